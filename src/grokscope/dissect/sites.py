"""Named places in a network: the output of any module, and two names for every ResNet or linear head."""

from difflib import get_close_matches

from torch import nn

from grokscope.measure.groups import find_head
from grokscope.registry import nearest
from grokscope.results.sample import Site

RESNET_STAGES = ("stem", "layer1", "layer2", "layer3", "layer4", "pooled")
"""The six published stages."""

_STEM_ENDS = ("maxpool", "act1", "relu", "bn1")
"""Where the stem of a ResNet ends, in timm's and torchvision's names, the latest one first."""


def the_head(model: nn.Module, name: str | None = None) -> tuple[str, nn.Module]:
    """(name, module) of the head: the module called `name`, or what the network names as its classifier, or its last
    linear layer.

    Raises:
        ValueError: for an unknown name, with the linear layers there are; for a network without a linear layer.
    """
    if name is None:
        return find_head(model)
    modules = dict(model.named_modules())
    if name and name in modules:
        return name, modules[name]
    linear = [n for n, m in modules.items() if isinstance(m, nn.Linear)]
    raise ValueError(f"head: no module {name!r}{nearest(name, linear)}; its linear layers: {_some(linear)}")


def resolve(model: nn.Module, name: str, head: str | None = None) -> Site:
    """The site called `name`.

    ``pooled`` is what the head reads (`the_head`); ``stem`` is the end of a ResNet's stem where no module has that
    name; any other name is the output of the module of that name (``layer1.0.conv2``).

    Raises:
        ValueError: for an unknown name, with the nearest ones.
    """
    modules = dict(model.named_modules())
    if name == "pooled":
        return Site(name, the_head(model, head)[0], "input")
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


def channels_last(model: nn.Module, site: Site) -> bool:
    """Whether a map (n, ., ., .) at this site holds its channels on the last axis: in networks that say
    ``output_fmt = "NHWC"``, as timm marks Swin and its kind, all but what a convolution, its normalization or its
    pooling gives. Set that attribute on a network of your own that works so."""
    if str(getattr(model, "output_fmt", "")) != "NHWC":
        return False
    module = dict(model.named_modules())[site.module]
    return site.side == "input" or not isinstance(module, _CHANNELS_FIRST)


_CHANNELS_FIRST = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


def default_sites(model: nn.Module) -> tuple[str, ...]:
    """The six stages of a ResNet; up to five modules spread over the stages that a timm network names in its
    `feature_info`, and ``pooled``; for other networks only ``pooled``: name the others yourself (`candidates`)."""
    modules = dict(model.named_modules())
    stages = all(stage in modules for stage in RESNET_STAGES[1:-1])
    if stages and ("stem" in modules or any(m in modules for m in _STEM_ENDS)):
        return RESNET_STAGES
    info = getattr(model, "feature_info", None)
    named = []
    if isinstance(info, list):
        named = [str(stage.get("module")) for stage in info if isinstance(stage, dict)]
    known = [m for m in dict.fromkeys(named) if m in modules]
    return (*_spread(known, MOST_STAGES), "pooled")


MOST_STAGES = 5
"""A vision transformer names a dozen blocks; probing each would cost more than it tells."""


def _spread(names: list[str], most: int) -> list[str]:
    """At most so many of the names, evenly spread, first and last among them."""
    if len(names) <= most:
        return names
    return [names[round(i * (len(names) - 1) / (most - 1))] for i in range(most)]


def candidates(model: nn.Module) -> str:
    """Modules that could be named as sites, in words: the outermost ones, and what is right inside them."""
    names = [n for n, _ in model.named_modules() if n and n.count(".") <= 1]
    return _some(names, 12)


def _some(names: list[str], most: int = 5) -> str:
    return f"{', '.join(names[:most])}{f' and {len(names) - most} more' * (len(names) > most)}" or "none"
