"""Named places in a network: the output of any module, and two names that every ResNet or linear head understands."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from torch import nn

from grokscope.dissect.records import Record
from grokscope.measure.groups import find_head

RESNET_STAGES = ("stem", "layer1", "layer2", "layer3", "layer4", "pooled")
"""The six published stages."""

_STEM_ENDS = ("maxpool", "act1", "relu", "bn1")
"""Where the stem of a ResNet ends, in timm's and torchvision's names, the latest one first."""


@dataclass(frozen=True)
class Site(Record):
    """A place in a network, by the module that is hooked and the side of it that is read."""

    name: str
    module: str
    side: Literal["output", "input"]


def resolve(model: nn.Module, name: str) -> Site:
    """The site called `name`.

    ``pooled`` is what the last linear layer reads; ``stem`` is the end of a ResNet's stem where no module has that
    name; any other name is the output of the module of that name (``layer1.0.conv2``).

    Raises:
        ValueError: for an unknown name, with the nearest ones.
    """
    modules = dict(model.named_modules())
    if name == "pooled":
        return Site(name, find_head(model)[0], "input")
    if name and name in modules:
        return Site(name, name, "output")
    if name == "stem" and (end := next((m for m in _STEM_ENDS if m in modules), None)):
        return Site(name, end, "output")
    known = [*(m for m in modules if m), "pooled"]
    close = get_close_matches(str(name), known, n=3, cutoff=0.5)
    top = [m for m in known if "." not in m]
    raise ValueError(
        f"sites: unknown site {name!r}; " + ("nearest: " if close else "known: ") + ", ".join(close or top)
    )


def default_sites(model: nn.Module) -> tuple[str, ...]:
    """The six stages where the network has them, else only ``pooled``: name the others yourself."""
    modules = dict(model.named_modules())
    stages = all(stage in modules for stage in RESNET_STAGES[1:-1])
    return RESNET_STAGES if stages and ("stem" in modules or any(m in modules for m in _STEM_ENDS)) else ("pooled",)
