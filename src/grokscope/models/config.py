"""Model configs: the keys of ``[model]``. Building imports torch, reading does not."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

from grokscope.checks import names_checked
from grokscope.config import ModelConfig, require, require_whole
from grokscope.limits import MAX_LAYERS, MAX_WIDTH, require_memory

if TYPE_CHECKING:
    from torch import nn

    from grokscope.task_data import TaskData

Norm = Literal["batch", "layer", "group", "none"]
"""Normalization of a feature map in a convolutional network."""


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


def _require_widths(hidden: tuple[int, ...]) -> None:
    require(len(hidden) <= MAX_LAYERS, f"hidden: {len(hidden):,} layers are more than {MAX_LAYERS:,}")
    for width in hidden:
        require_whole("a width of hidden", width, 1, MAX_WIDTH)


def _dense(*widths: int) -> int:
    """Weights of fully connected layers from each width to the next."""
    return sum(a * b for a, b in pairwise(widths))


def require_weights(count: int, keys: str) -> None:
    """Raises ValueError, naming the keys of ``[model]`` to lower, for more weights than memory holds four times over:
    themselves, their gradient and an optimizer's two averages, in float32."""
    require_memory(16 * count, f"$.model.{keys}", "weights")


@names_checked
@dataclass(frozen=True, kw_only=True)
class Linear(ModelConfig):
    """One linear layer ``z = W x (+ b)``, (n, d) -> (n, outputs): logistic regression under a logistic or softmax loss.

    It starts at zero; `signal_dims` > 0 draws the first that many weights from N(0, signal_init^2): the initialization
    from which the competing-features toy model does grok. Cost: d weights per output. Misleads as a model of deep
    networks: its loss is convex, so a delay is due only to the scales of features and weights.
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


@names_checked
@dataclass(frozen=True, kw_only=True)
class MLP(ModelConfig):
    """Fully connected: (n, d) -> hidden... -> (n, outputs), (optionally a norm and) an activation after each hidden
    layer: ``h' = relu(norm(W h + b))``.

    The network of Omnigrok (arXiv:2210.01117), there without a norm. Cost: for digits 55,210 weights, a millisecond a
    step. Misleads if a norm is enabled in a study of weight norms: the scale of the layers before it then no longer
    affects the output.
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
        _require_widths(self.hidden)

    def build(self, data: "TaskData", outputs: int) -> "nn.Module":
        from grokscope.models.mlp import MLP as Network

        features = _feature_count(data, self.name)
        require_weights(_dense(features, *self.hidden, outputs), "hidden")
        return Network(
            features,
            self.hidden,
            outputs,
            activation=self.activation,
            norm=self.norm,
            bias=self.bias,
        )


@names_checked
@dataclass(frozen=True, kw_only=True)
class EmbeddingMLP(ModelConfig):
    """Tokens (n, t) -> embed, one shared table ~ N(0, 1) -> concatenate (n, t * width) -> hidden... -> (n, outputs):
    ``z = V relu(W [E_a, E_b] + b) + c``.

    After Liu et al. (arXiv:2205.10343), who add the embeddings instead. Cost: under a minute to grok addition modulo
    59. Misleads when compared with networks that add: concatenation has no built-in commutativity.
    """

    name: ClassVar[str] = "embedding-mlp"
    embedding: int = 64
    hidden: tuple[int, ...] = (128,)
    activation: Literal["relu", "gelu", "tanh"] = "relu"

    def __post_init__(self) -> None:
        require(self.embedding > 0, f"embedding must be positive, got {self.embedding}")
        require_whole("embedding", self.embedding, 1, MAX_WIDTH)
        require(
            len(self.hidden) > 0 and min(self.hidden, default=0) > 0,
            f"hidden needs positive widths, got {list(self.hidden)}",
        )
        _require_widths(self.hidden)

    def build(self, data: "TaskData", outputs: int) -> "nn.Module":
        from grokscope.models.mlp import EmbeddingMLP as Network

        vocabulary, length = _token_shape(data, self.name)
        dense = _dense(length * self.embedding, *self.hidden, outputs)
        require_weights(vocabulary * self.embedding + dense, "embedding or hidden")
        return Network(vocabulary, length, self.embedding, self.hidden, outputs, activation=self.activation)


@names_checked
@dataclass(frozen=True, kw_only=True)
class QuadraticMLP(ModelConfig):
    """One-hot tokens (n, t * vocabulary) -> width, squared -> (n, outputs): ``z = V (U x)^2``; no biases; every weight
    ~ N(0, s^2) with s = 0.5 / (2 width)^(1/3).

    Solvable in closed form for modular addition (Gromov, arXiv:2301.02679). Cost: fifty steps to grok at width 256.
    Misleads about delays: it fits and generalizes almost simultaneously (ratio about 2). Its output is of degree three
    in the weights, so the init scale acts as its cube.
    """

    name: ClassVar[str] = "quadratic-mlp"
    width: int = 256

    def __post_init__(self) -> None:
        require(self.width > 0, f"width must be positive, got {self.width}")
        require_whole("width", self.width, 1, MAX_WIDTH)

    def build(self, data: "TaskData", outputs: int) -> "nn.Module":
        from grokscope.models.mlp import QuadraticMLP as Network

        vocabulary, length = _token_shape(data, self.name)
        require_weights(_dense(vocabulary * length, self.width, outputs), "width")
        return Network(vocabulary, length, self.width, outputs)


COSINE_SCALE = 10.0
"""Largest logit of a cosine head where no other is given."""


@names_checked
@dataclass(frozen=True, kw_only=True)
class Transformer(ModelConfig):
    """Tokens (n, t) and a closing ``=`` -> (n, t + 1, width) -> blocks of attention and MLP -> last position -> (n,
    outputs).

    A block is ``x + attention(x)``, then ``x + mlp(x)``, with the norm before each part or after each sum. One layer,
    no norm, is the network whose Fourier circuit Nanda et al. read (arXiv:2301.05217); it attends without a mask, since
    only the last position is read. Cost: minutes to half an hour for a prime of about 100. Misleads about restricted
    loss with a norm: logits are then no longer linear in the output of the MLP.

    Bounded geometry (arXiv:2603.05228): with ``residual = "sphere"`` the residual stream is normalized to length
    sqrt(width) at each position, after the embedding and after every residual sum; with ``head = "cosine"`` logits are
    ``cosine_scale * cos(h, w_k)``. With both, growth of the weights cannot increase the logits, and decay only acts as
    a learning rate. Misleads when compared at another ``cosine_scale``, which is the inverse temperature of the
    softmax. The radius and the fixed scale are choices of this library.
    """

    name: ClassVar[str] = "transformer"
    layers: int = 1
    width: int = 128
    heads: int = 4
    mlp_width: int = 512
    norm: Literal["none", "layer", "rms"] = "none"
    norm_position: Literal["pre", "post"] = "pre"
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    residual: Literal["free", "sphere"] = "free"
    """Where the residual stream lives: anywhere, or on the sphere of radius sqrt(width)."""
    head: Literal["linear", "cosine"] = "linear"
    cosine_scale: float = COSINE_SCALE
    """Of a cosine head: logits lie within this of zero. At 10, some hundred classes can be told apart with a
    cross-entropy below .01."""

    def __post_init__(self) -> None:
        require(self.cosine_scale > 0, f"cosine_scale must be positive, got {self.cosine_scale}")
        unused = self.head != "cosine" and self.cosine_scale != COSINE_SCALE
        require(not unused, "cosine_scale belongs to head = 'cosine'; add that")
        require_whole("layers", self.layers, 1, MAX_LAYERS)
        require(self.mlp_width > 0, f"mlp_width must be positive, got {self.mlp_width}")
        require(
            self.heads > 0 and self.width > 0 and self.width % self.heads == 0,
            f"width ({self.width}) must be a positive multiple of heads ({self.heads})",
        )
        for key in ("width", "mlp_width"):
            require_whole(key, getattr(self, key), 1, MAX_WIDTH)

    def build(self, data: "TaskData", outputs: int) -> "nn.Module":
        from grokscope.models.transformer import Transformer as Network

        vocabulary, length = _token_shape(data, self.name)
        block = 4 * self.width**2 + 2 * self.width * self.mlp_width
        require_weights(
            self.layers * block + self.width * (vocabulary + length + outputs), "layers, width or mlp_width"
        )
        return Network(
            vocabulary,
            length,
            outputs,
            layers=self.layers,
            width=self.width,
            heads=self.heads,
            mlp_width=self.mlp_width,
            norm=self.norm,
            norm_position=self.norm_position,
            activation=self.activation,
            residual=self.residual,
            cosine_scale=self.cosine_scale if self.head == "cosine" else None,
        )
