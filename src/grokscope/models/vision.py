"""Configs of convolutional models: the keys of ``[model]`` for images and for code matrices."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from grokscope.checks import names_checked
from grokscope.config import ModelConfig, require, require_whole
from grokscope.limits import MAX_LAYERS, MAX_WIDTH
from grokscope.models.config import Norm, require_weights

if TYPE_CHECKING:
    from torch import nn

    from grokscope.task_data import TaskData


def _image_channels(data: "TaskData", model: str) -> int:
    x = data.splits["train"].x
    require(x.ndim == 4, f"model {model!r} reads images (n, channels, height, width), this task gives {x.shape}")
    return x.shape[1]


@names_checked
@dataclass(frozen=True, kw_only=True)
class SmallResNet(ModelConfig):
    """Images (n, c, h, w) -> stem at half size -> four stages of residual blocks, each halving -> mean over space ->
    (n, outputs).

    A ResNet (``relu(x + f(x))``, He et al., arXiv:1512.03385) small enough for a CPU, with the module names of timm's
    (``conv1``, ``layer1`` ... ``layer4``, ``global_pool``, ``fc``), so that site names of ResNet-18 are valid here.
    Cost: about 300,000 weights at width 16. Misleads about weight norms: with any norm except ``none``, every
        convolution is scale-invariant, and decay on it is an effective learning rate.
    """

    name: ClassVar[str] = "small-resnet"
    width: int = 16
    """Channels of the first stage; doubled at each further stage."""
    blocks: int = 1
    """Residual blocks per stage."""
    norm: Norm = "batch"
    """``layer`` is over channels and space together, ``group`` in groups of 8 channels."""

    def __post_init__(self) -> None:
        require(self.width >= 1 and self.blocks >= 1, "width and blocks must be at least 1")
        require_whole("width", self.width, 1, MAX_WIDTH)
        require_whole("blocks", self.blocks, 1, MAX_LAYERS)
        require(
            self.norm != "group" or self.width % 8 == 0, f"norm 'group' needs a width divisible by 8, got {self.width}"
        )

    def build(self, data: "TaskData", outputs: int) -> "nn.Module":
        from grokscope.models.resnet import SmallResNet as Network

        channels = _image_channels(data, self.name)
        require_weights(sum(2 * self.blocks * 9 * (self.width << stage) ** 2 for stage in range(4)), "width or blocks")
        return Network(channels, self.width, self.blocks, outputs, self.norm)


@names_checked
@dataclass(frozen=True, kw_only=True)
class Timm(ModelConfig):
    """Any classifier of `timm` from scratch: images (n, c, h, w) -> (n, outputs), with timm's state-dict names.

    ``resnet18`` (arXiv:1512.03385; timm's recipes: arXiv:2110.00476) with two classes has 11,177,538 parameters; with
    init scale 4 their L2 norm is about 355. Weights are never downloaded. Cost: a GPU's, for images of any size.
    Misleads when taken for the behavior of a pretrained network; and timm may initialize the last norm of each block at
    zero, so that the init scale of its convolutions has an effect only later.
    """

    name: ClassVar[str] = "timm"
    architecture: str = "resnet18"
    norm: Norm = "batch"
    """What stands in place of batch normalization; anything but ``batch`` needs an architecture that takes a norm
    layer."""

    def build(self, data: "TaskData", outputs: int) -> "nn.Module":
        from grokscope.models.resnet import timm_classifier

        channels, side = _image_channels(data, self.name), data.splits["train"].x.shape[-1]
        return timm_classifier(self.architecture, channels, outputs, self.norm, side)


@names_checked
@dataclass(frozen=True, kw_only=True)
class CodeResNet(ModelConfig):
    """Matrices (n, side, side) and parameters (n, 3), given as one row (n, side^2 + 3) -> stem and residual blocks with
    LayerNorm over (channels, side, side), flattened, beside the projected parameters -> hidden -> (n, outputs).

    A block is ``relu(x + norm(conv(relu(norm(conv(x))))))`` (after He et al., arXiv:1512.03385). The defaults are the
    m-height network with exactly 1,027,585 parameters. Cost: a GPU's for the published 10,000 epochs. Misleads about
    symmetry: heights are invariant under permutations and sign changes of rows and columns, but this network's output
    is not.
    """

    name: ClassVar[str] = "code-resnet"
    channels: int = 64
    blocks: int = 5
    hidden: int = 256

    def __post_init__(self) -> None:
        for key, most in (("channels", MAX_WIDTH), ("blocks", MAX_LAYERS), ("hidden", MAX_WIDTH)):
            require_whole(key, getattr(self, key), 1, most)

    def build(self, data: "TaskData", outputs: int) -> "nn.Module":
        from grokscope.models.code_resnet import CodeResNet as Network

        side = data.meta.get("side")
        if side is None:
            raise ValueError(f"model {self.name!r} reads the matrices of codes; use it with task 'mheight'")
        blocks = self.blocks * (18 * self.channels**2 + 4 * self.channels * side**2)
        require_weights(blocks + self.channels * side**2 * self.hidden, "channels, blocks or hidden")
        return Network(side, self.channels, self.blocks, self.hidden, outputs)
