"""What is said of a network beside its scores, alike for one that is trained here and for one of an external loop."""

from collections.abc import Container, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from grokscope.components import Measurement
from grokscope.train.evaluate import TensorSplit, View
from grokscope.train.measurements.needs import take

Groups = Mapping[str, list[str]]
"""Parameter group -> names of its parameters."""


def take_all(measurements: Iterable[Measurement], view: View, taken: Iterable[str] = ()) -> dict[str, Any]:
    """What the measurements say of a view.

    Raises:
        ValueError: for a column that another one has, that is among those `taken`, or that is no single number.
    """
    out: dict[str, Any] = {}
    for measurement in measurements:
        values = take(measurement, view)
        _require_columns(values, measurement.name, {*taken, *out})
        out |= values
    return out


def effective_rates(weights: Mapping[str, Tensor], groups: Groups, lr: float, adaptive: bool) -> dict[str, Tensor]:
    """Effective learning rate of each scale-invariant tensor: lr / |w| for Adam-like steps, lr / |w|^2 for SGD
    (1706.05350)."""
    power = 1 if adaptive else 2
    return {f"effective_lr/{n}": lr / weights[n].double().norm() ** power for n in groups.get("scale_invariant", [])}


def network_facts(
    model: nn.Module,
    groups: Groups,
    splits: Mapping[str, TensorSplit],
    trivial: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """Sizes of the network, its groups and its splits, and what constants score there, as a run's facts have them."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    return {
        "parameters": sum(sizes.values()),
        "groups": groups,
        "group_sizes": {group: sum(sizes[name] for name in names) for group, names in groups.items()},
        "splits": {
            name: {"n": len(split.y), **{f"trivial_{key}": value for key, value in trivial[name].items()}}
            for name, split in splits.items()
        },
    }


def _require_columns(values: Mapping[str, Any], name: str, taken: Container[str]) -> None:
    """Raises ValueError for a measurement's column that is there already, or is no single number."""
    for column, value in values.items():
        if column in taken:
            raise ValueError(f"$.measure: {name!r} writes the column {column!r}, which already exists; rename it")
        single = value.numel() == 1 if isinstance(value, Tensor) else isinstance(value, int | float)
        if not single or column.endswith(("_correct", "_n")):
            raise ValueError(
                f"$.measure: {name!r}: {column!r} must be a single number, under a name that does not end in _correct "
                "or _n, which are counts of examples"
            )
