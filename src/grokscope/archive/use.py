"""The Use section of a model card: for each kind of network, code that builds it and loads one run's weights.

Architecture, normalization and weights are always those of one and the same run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grokscope import configio
from grokscope.archive.layout import Source
from grokscope.archive.loading import outputs, tells_shape
from grokscope.models.vision import Timm
from grokscope.store import Run

_NORMS = {
    "layer": "nn.GroupNorm(1, channels)",
    "group": "nn.GroupNorm(channels // 8, channels)",
    "none": "nn.Identity()",
}
"""Of `grokscope.models.resnet.norm_layer`, for readers who do not have it."""


@dataclass(frozen=True)
class Use:
    """One kind of network."""

    what: str
    """``timm resnet18, norm group: 12 runs``."""
    code: str
    inputs: str | None
    """What the network takes, where the run recorded it."""


def uses(runs: Sequence[Run], names: Sequence[str], out: Path) -> Iterator[Use]:
    """One for each kind of network of which weights were exported into `out`, by the first run that has some."""
    kinds: dict[str, list[tuple[Run, str]]] = {}
    for run, name in zip(runs, names, strict=True):
        meta = run.facts.get("meta") or {}
        kind = [run.config.get("model"), meta.get("image_shape"), len(meta.get("labels") or ())]
        kinds.setdefault(configio.content_hash(kind), []).append((run, name))
    for members in kinds.values():
        for run, name in members:
            if (weights := _weights(out, name)) is not None:
                count = f"{len(members):,} run{'s' * (len(members) > 1)}"
                yield Use(f"{_what(run)}: {count}", _code(run, weights.relative_to(out)), _inputs(run))
                break


def _weights(out: Path, name: str) -> Path | None:
    """The final weights of an exported run, else the last checkpoint's."""
    files = Source(out / "runs" / name, name).checkpoints()
    return files.get("final") or next(reversed(files.values()), None)


def _what(run: Run) -> str:
    model = run.config.get("model")
    if not isinstance(model, dict) or "name" not in model:
        return "a network of the author's own"
    name = f"timm {model['architecture']}" if model["name"] == "timm" else str(model["name"])
    if "norm" in model:
        return f"{name}, norm {model['norm']}"
    return name


def _inputs(run: Run) -> str | None:
    meta = run.facts.get("meta") or {}
    if not meta.get("image_shape") or (run.record.get("lineage") or {}).get("kind") == "archive":
        return None  # how another archive's images were standardized is not known
    shape = " x ".join(map(str, meta["image_shape"]))
    scale = ""
    if {"mean", "std"} <= meta.keys():
        scale = f", minus {_listed(meta['mean'])}, over {_listed(meta['std'])}"
    return f"float images (n x {shape}): pixels / 255{scale}"


def _listed(values: Any) -> str:
    if isinstance(values, list):
        return "(" + ", ".join(f"{v:.4g}" for v in values) + ")"
    return f"{values:.4g}"


def _code(run: Run, weights: Path) -> str:
    try:
        config = configio.load_run(run.config)
    except ValueError:  # recorded by another loop, or a plug-in's that is not here
        return "\n".join(
            [*_imports(weights), "", _read(weights), "# and load them into the network they were saved from"]
        )
    registered = not isinstance(config.model, Timm) or _depends_on_size(config.model.architecture)
    if registered or not tells_shape(run.facts):
        return _ours(weights)
    return _timm(run, config, weights)


def _ours(weights: Path) -> str:
    checkpoint = "" if weights.stem == "final" else f', "{weights.stem}"'
    return (
        f'from grokscope.archive import load_model\n\nmodel = load_model("{weights.parents[1].as_posix()}"{checkpoint})'
    )


def _timm(run: Run, config: Any, weights: Path) -> str:
    channels = run.facts["meta"]["image_shape"][0]
    norm = _NORMS.get(config.model.norm)
    lines = ["import timm", *_imports(weights), *(["from torch import nn"] if norm else []), "", _read(weights), ""]
    if norm:
        lines += ["", "def norm(channels, **unused):  # in place of batch normalization", f"    return {norm}", "", ""]
    arguments = [f'"{config.model.architecture}"', "pretrained=False", f"in_chans={channels}"]
    arguments += [f"num_classes={outputs(config, run.facts)}", *(["norm_layer=norm"] if norm else [])]
    return "\n".join([*lines, f"model = timm.create_model({', '.join(arguments)})", "model.load_state_dict(weights)",
                      "model.eval()"])  # fmt: skip


def _depends_on_size(architecture: str) -> bool:
    """Whether an architecture may have been built for the size of the task's images, which only grokscope repeats."""
    try:
        from timm.models import get_pretrained_cfg
    except ImportError:
        return False
    known = get_pretrained_cfg(architecture)
    return known is not None and known.fixed_input_size


def _imports(weights: Path) -> list[str]:
    if weights.suffix == ".safetensors":
        return ["from safetensors.torch import load_file"]
    return ["import torch"]


def _read(weights: Path) -> str:
    if weights.suffix == ".safetensors":
        return f'weights = load_file("{weights.as_posix()}")'
    return f'weights = torch.load("{weights.as_posix()}", map_location="cpu", weights_only=True)'
