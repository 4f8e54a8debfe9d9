"""Interventions on the settings of the regime that can change during a run. Importing them imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from grokscope import configio, identity
from grokscope.checks import require
from grokscope.components import Component, Intervention
from grokscope.config import Regime
from grokscope.limits import brief
from grokscope.registry import nearest, register

SWITCHABLE = (
    "optimizer",
    "lr",
    "weight_decay",
    "decay_groups",
    "loss",
    "loss_dtype",
    "grad_filter",
    "clip_norm",
    "irm_weight",
    "irm_estimator",
    "irm_anneal_steps",
    "schedule",
    "batch_size",
    "augment_flip",
    "augment_crop",
    "augment_stain",
)
"""Keys of the regime that can change while a run goes on; the others made its data or its start."""
FORKABLE = tuple(key for key in SWITCHABLE if key != "batch_size")
"""Those that an exact fork may have otherwise than its parent. Its epochs are the parent's, and they follow from the
batch size; an intervention can switch that in a fork as in any run."""


@register
@dataclass(frozen=True, kw_only=True)
class DecayHead(Intervention):
    """Decay acts on the last layer only: ``w_head -= lr * decay * w_head``, nothing else shrinks. Under cross-entropy
    the head is the group that grows without bound once the data are fitted (arXiv:2501.04697). Identity where the
    regime has ``decay_groups = "head"`` and this decay.

    Cost: none. Misleads if the regime has another decay: two things then differ, which groups decay and how fast.
    """

    name: ClassVar[str] = "decay_head"
    summary: ClassVar[str] = "weight decay on the last layer only"
    source: ClassVar[str] = "arXiv:2501.04697"

    weight_decay: float | None = None
    """none: as strong as the regime's."""

    def settings(self, regime: Regime) -> Regime:
        decay = regime.weight_decay if self.weight_decay is None else self.weight_decay
        return _switched(regime, {"decay_groups": "head", "weight_decay": decay})

    def check(self, regime: Regime) -> None:
        require_switchable(regime, ("decay_groups",))


@register
@dataclass(frozen=True, kw_only=True)
class Switch(Intervention):
    """The regime with some settings replaced: ``{ name = "switch", from = "T_fit", to = { weight_decay = 0.0 } }``.
    Decay removed at the fit, for instance, left no grokking within the budget (arXiv:2605.18845). Identity where
    ``to`` holds what is in force anyway.

    Moments are kept unless the optimizer or one of its parameters changes; a changed filter begins without memory; both
    return to the regime's at the end, anew where they had been replaced. A schedule counts from the first step of the
    run, whenever it comes in force. With another batch size a new epoch of batches begins; cadences and moments in
    epochs go on counting those of the regime. Cost: none. Misleads when several settings are switched at once: their
    effects are confounded.
    """

    name: ClassVar[str] = "switch"
    summary: ClassVar[str] = "replaces settings of the regime: decay, learning rate, batch size, filter, loss, ..."
    source: ClassVar[str] = "arXiv:2605.18845"

    to: Mapping[str, Any]
    """Keys of the regime with their new values: optimizer, lr, weight_decay, decay_groups, loss, loss_dtype,
    grad_filter, clip_norm, irm_weight, irm_estimator, irm_anneal_steps, schedule, batch_size, augment_flip,
    augment_crop, augment_stain."""

    def __post_init__(self) -> None:
        require(
            isinstance(self.to, Mapping) and len(self.to) > 0, f"to: expected settings to switch, got {brief(self.to)}"
        )
        object.__setattr__(self, "to", {key: _normal(key, value) for key, value in sorted(self.to.items())})

    def check(self, regime: Regime) -> None:
        require_switchable(regime, tuple(self.to), "to.")
        schedule = self.settings(regime).schedule
        if schedule != regime.schedule and schedule.depends_on_length:
            raise ValueError(
                f"to.schedule: {schedule.name!r} depends on the length of the run, which is not part of the run's "
                f"identity if only an intervention uses it; set it in the regime, or fork the run with it"
            )

    def settings(self, regime: Regime) -> Regime:
        return _switched(regime, self.to)


def require_switchable(
    regime: Regime, keys: tuple[str, ...], front: str = "", switchable: tuple[str, ...] = SWITCHABLE
) -> None:
    """Raise ValueError for a key of the regime that cannot change while a run goes on; `front` stands before it."""
    for key in keys:
        require(key in switchable, f"{front}{key} cannot change during a run{nearest(key, list(switchable))}")
    decays = [key for key in keys if key in ("weight_decay", "decay_groups")]
    if decays and regime.decay_target == "init":
        raise ValueError(
            f"{decays[0]} cannot change while decay goes toward the initial weights (decay_target = 'init')"
        )


def _switched(regime: Regime, to: Mapping[str, Any]) -> Regime:
    """The regime with these settings; components given as names or tables. Raises ValueError for what cannot be."""
    return replace(regime, interventions=(), **to)


def _normal(key: str, value: Any) -> Any:
    """A setting as plain data in which equal ones look alike: components as short as they can be written."""
    if key not in SWITCHABLE:
        return value  # refused with words once the regime is known
    typed = getattr(configio.structure({key: value}, Regime, "to"), key)
    return identity.short_form(typed) if isinstance(typed, Component) else identity.canonical(typed)
