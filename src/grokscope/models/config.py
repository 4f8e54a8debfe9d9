"""Model configs: what can be written under ``[model]``. Building imports torch, reading does not."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from grokscope.config import ModelConfig, require

if TYPE_CHECKING:
    from torch import nn

    from grokscope.tasks.data import TaskData


def _feature_count(data: "TaskData", model: str) -> int:
    x = data.splits["train"].x
    if data.vocabulary is not None:
        raise ValueError(
            f"model {model!r} reads feature vectors, this task gives tokens; "
            "use embedding-mlp, quadratic-mlp or transformer"
        )
    require(x.ndim == 2, f"model {model!r} reads feature vectors, this task gives arrays of shape {x.shape[1:]}")
    return x.shape[1]


def _token_shape(data: "TaskData", model: str) -> tuple[int, int]:
    """(vocabulary, length) of a token task."""
    if data.vocabulary is None:
        raise ValueError(f"model {model!r} reads tokens, this task gives feature vectors; use mlp or linear")
    return data.vocabulary, data.splits["train"].x.shape[1]


@dataclass(frozen=True, kw_only=True)
class Linear(ModelConfig):
    """One linear layer ``z = W x (+ b)``, (n, d) -> (n, outputs): logistic regression under a logistic or softmax loss.

    It starts at zero; `signal_dims` > 0 draws the first that many weights from N(0, signal_init^2): the starting point
    from which the competing-features toy really groks. Cost: d weights for an output. Misleads as a model of deep
    networks: its loss is convex, so a delay here comes from the scales of features and weights alone.
    """

    name: ClassVar[str] = "linear"
    bias: bool = False
    signal_dims: int = 0
    signal_init: float = 0.0

    def __post_init__(self) -> None:
        require(self.signal_dims >= 0 and self.signal_init >= 0, "signal_dims and signal_init must not be negative")

    def build(self, data: "TaskData", outputs: int) -> "nn.Module":
        from grokscope.models.mlp import linear

        features = _feature_count(data, self.name)
        require(
            self.signal_dims <= features, f"signal_dims {self.signal_dims} exceeds the {features} features of the task"
        )
        return linear(features, outputs, bias=self.bias, signal_dims=self.signal_dims, signal_init=self.signal_init)


@dataclass(frozen=True, kw_only=True)
class MLP(ModelConfig):
    """Fully connected: (n, d) -> hidden... -> (n, outputs), (optionally a norm and) an activation after each hidden
    layer: ``h' = relu(norm(W h + b))``.

    The network of Omnigrok (arXiv:2210.01117), there without a norm. Cost: for digits 55,210 weights, a millisecond a
    step. Misleads when a norm is switched on in a study of weight norms: the scale of the layers before it then no
    longer reaches the output.
    """

    name: ClassVar[str] = "mlp"
    hidden: tuple[int, ...] = (200, 200)
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    norm: Literal["none", "layer", "batch"] = "none"
    bias: bool = True

    def __post_init__(self) -> None:
        require(
            len(self.hidden) > 0 and min(self.hidden, default=0) > 0,
            f"hidden needs positive widths, got {list(self.hidden)}",
        )

    def build(self, data: "TaskData", outputs: int) -> "nn.Module":
        from grokscope.models.mlp import MLP as Network

        return Network(
            _feature_count(data, self.name),
            self.hidden,
            outputs,
            activation=self.activation,
            norm=self.norm,
            bias=self.bias,
        )


@dataclass(frozen=True, kw_only=True)
class EmbeddingMLP(ModelConfig):
    """Tokens (n, t) -> embed, one shared table ~ N(0, 1) -> concatenate (n, t * width) -> hidden... -> (n, outputs):
    ``z = V relu(W [E_a, E_b] + b) + c``.

    After Liu et al. (arXiv:2205.10343), who add the embeddings instead. Cost: under a minute to grok addition modulo
    59. Misleads when compared with networks that add: concatenation does not have a + b = b + a built in.
    """

    name: ClassVar[str] = "embedding-mlp"
    embedding: int = 64
    hidden: tuple[int, ...] = (128,)
    activation: Literal["relu", "gelu", "tanh"] = "relu"

    def __post_init__(self) -> None:
        require(self.embedding > 0, f"embedding must be positive, got {self.embedding}")
        require(
            len(self.hidden) > 0 and min(self.hidden, default=0) > 0,
            f"hidden needs positive widths, got {list(self.hidden)}",
        )

    def build(self, data: "TaskData", outputs: int) -> "nn.Module":
        from grokscope.models.mlp import EmbeddingMLP as Network

        vocabulary, length = _token_shape(data, self.name)
        return Network(vocabulary, length, self.embedding, self.hidden, outputs, activation=self.activation)


@dataclass(frozen=True, kw_only=True)
class QuadraticMLP(ModelConfig):
    """One-hot tokens (n, t * vocabulary) -> width, squared -> (n, outputs): ``z = V (U x)^2``; no biases; every weight
    ~ N(0, s^2) with s = 0.5 / (2 width)^(1/3).

    Solvable in closed form for modular addition (Gromov, arXiv:2301.02679). Cost: fifty steps to grok at width 256.
    Misleads about delays: it fits and generalizes almost together (ratio about 2). Its output is of degree three in the
    weights, so the init scale acts as its cube.
    """

    name: ClassVar[str] = "quadratic-mlp"
    width: int = 256

    def __post_init__(self) -> None:
        require(self.width > 0, f"width must be positive, got {self.width}")

    def build(self, data: "TaskData", outputs: int) -> "nn.Module":
        from grokscope.models.mlp import QuadraticMLP as Network

        vocabulary, length = _token_shape(data, self.name)
        return Network(vocabulary, length, self.width, outputs)


@dataclass(frozen=True, kw_only=True)
class Transformer(ModelConfig):
    """Tokens (n, t) and a closing ``=`` -> (n, t + 1, width) -> blocks of attention and MLP -> last position -> (n,
    outputs).

    A block is ``x + attention(x)``, then ``x + mlp(x)``, with the norm before each part or after each sum. One layer,
    no norm, is the network whose Fourier circuit Nanda et al. read (arXiv:2301.05217); it attends without a mask, since
    only the last position is read. Cost: minutes to half an hour for a prime of about 100. Misleads on restricted loss
    with a norm: logits are then no longer linear in what the MLP writes.
    """

    name: ClassVar[str] = "transformer"
    layers: int = 1
    width: int = 128
    heads: int = 4
    mlp_width: int = 512
    norm: Literal["none", "layer", "rms"] = "none"
    norm_position: Literal["pre", "post"] = "pre"
    activation: Literal["relu", "gelu", "tanh"] = "relu"

    def __post_init__(self) -> None:
        require(self.layers >= 1, f"layers must be at least 1, got {self.layers}")
        require(self.mlp_width > 0, f"mlp_width must be positive, got {self.mlp_width}")
        require(
            self.heads > 0 and self.width > 0 and self.width % self.heads == 0,
            f"width ({self.width}) must be a positive multiple of heads ({self.heads})",
        )

    def build(self, data: "TaskData", outputs: int) -> "nn.Module":
        from grokscope.models.transformer import Transformer as Network

        vocabulary, length = _token_shape(data, self.name)
        return Network(self, vocabulary, length, outputs)
