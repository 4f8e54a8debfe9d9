"""How a run was trained, as far as it is known: what the checks need beside the trajectory."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from grokscope.components import name_in
from grokscope.config import require

DECOUPLED = ("adamw", "sgd", "muon")
"""Optimizers whose weight decay shrinks the weights by ``1 - lr * decay`` at each step, whatever the gradient."""
CROSS_ENTROPY = ("cross_entropy", "stablemax", "logistic")
"""Losses that fall for as long as the logits grow."""
GROKFAST = ("grokfast_ema", "grokfast_ma")


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Settings of a training; None is unknown, and a check that needs it says so.

    `steps_per_unit` turns the trajectory's own time into optimizer steps: steps per epoch for a log in epochs.
    """

    optimizer: str | None = None
    lr: float | None = None
    weight_decay: float | None = None
    decay_groups: str = "all"
    loss: str | None = None
    grad_filter: str | None = None
    init_scale: float | None = None
    irm_weight: float | None = None
    parameters: int | None = None
    """Number of weights."""
    group_sizes: Mapping[str, int] = field(default_factory=dict)
    """Number of weights by group (``head``, ``scale_invariant``, ...)."""
    steps_per_unit: float = 1.0
    interventions: tuple[str, ...] = ()
    """Names of what changed the training while it went on."""
    switched_decay: tuple[tuple[float, float, float], ...] = ()
    """(after this step, up to this one, the decay in force between), where it was not always the same."""
    rows_in_train: Mapping[str, int] = field(default_factory=dict)
    """Held-out split -> how many of its rows stand in train as well; without an entry this is unknown."""
    label_noise: float | None = None
    """Share of training labels that were replaced: train scores are then honestly lower."""
    evaluated_alike: bool = False
    """Whether train and held-out are known to be scored in the same way: in eval mode, without augmentation, over all
    rows. It is so in runs of grokscope's own."""

    def __post_init__(self) -> None:
        for key in ("lr", "steps_per_unit", "init_scale", "parameters"):
            value = getattr(self, key)
            require(value is None or value > 0, f"{key} must be positive, got {value}")
        require(self.weight_decay is None or self.weight_decay >= 0, "weight_decay must not be negative")

    @property
    def decoupled(self) -> bool | None:
        """Whether decay acts on the weights themselves; None where the optimizer is unknown."""
        return None if self.optimizer is None else self.optimizer in DECOUPLED

    @property
    def grows_logits(self) -> bool | None:
        """Whether the loss falls for as long as the logits grow; None where it is unknown."""
        return None if self.loss is None else self.loss in CROSS_ENTROPY


def setup_of_config(
    config: Mapping[str, Any], facts: Mapping[str, Any], intervened: Mapping[str, Any] | None = None
) -> Setup:
    """The settings of a run, from its resolved config, its facts and the record of its interventions
    (`grokscope.store.intervened`). What no training can have been run with (a record of another program, a damaged one)
    is unknown; so is a decay that an intervention changes, where it was not recorded when.
    """
    regime = config.get("regime") or {}
    interventions = [each for each in regime.get("interventions") or () if isinstance(each, str | Mapping)]
    is_known = bool(intervened) or not any(map(_changes_decay, interventions))
    return Setup(
        optimizer=name_in(regime.get("optimizer")),
        lr=_positive(regime.get("lr")),
        weight_decay=_number(regime.get("weight_decay")) if is_known else None,
        decay_groups=str(regime.get("decay_groups", "all")),
        loss=name_in(regime.get("loss")),
        grad_filter=name_in(regime.get("grad_filter")),
        init_scale=_positive(regime.get("init_scale")),
        irm_weight=_number(regime.get("irm_weight")),
        parameters=_positive(facts.get("parameters")),
        group_sizes=facts.get("group_sizes") or {},
        interventions=tuple(str(name_in(each)) for each in interventions),
        switched_decay=switched_decay(intervened or {}),
        rows_in_train=_counts((facts.get("data") or {}).get("rows_in_train")),
        label_noise=_number(regime.get("label_noise")),
        evaluated_alike="digests" in (facts.get("data") or {}),
    )


def _counts(value: Any) -> Mapping[str, int]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> Any:
    """A finite number of at least 0; None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value < float("inf") else None


def _positive(value: Any) -> Any:
    return _number(value) or None


def switched_decay(record: Mapping[str, Any]) -> tuple[tuple[float, float, float], ...]:
    """When interventions put another weight decay in force, and which, from a run's record of them
    (`grokscope.store.intervened`). One that decays the head alone leaves the rest without."""
    spans = []
    for entry in record.get("interventions", []):
        began, ended, decay = entry.get("began"), entry.get("ended"), _decay_put(entry)
        if decay is not None and began is not None:
            spans.append((float(began), math.inf if ended is None else float(ended), decay))
    return tuple(spans)


def _changes_decay(intervention: Any) -> bool:
    if name_in(intervention) == "decay_head":
        return True
    settings = intervention.get("to") if isinstance(intervention, Mapping) else None
    return isinstance(settings, Mapping) and bool(settings.keys() & {"weight_decay", "decay_groups", "optimizer"})


def _decay_put(entry: Mapping[str, Any]) -> float | None:
    if entry.get("name") == "decay_head":
        return 0.0
    settings = entry.get("to")
    if entry.get("name") != "switch" or not isinstance(settings, Mapping):
        return None
    return _number(settings.get("weight_decay"))
