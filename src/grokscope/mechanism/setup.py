"""Known training settings of a run, which checks need in addition to the trajectory."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from grokscope.checks import names_checked, require_share_of_labels
from grokscope.components import name_in
from grokscope.config import require
from grokscope.mechanism.in_force import Span, decay_spans, put_by, values_since, whole_history
from grokscope.store.intervened import interventions_of
from grokscope.store.run import Run

DECOUPLED = ("adamw", "sgd", "muon")
"""Optimizers whose weight decay shrinks the weights by ``1 - lr * decay`` at each step, whatever the gradient."""
CROSS_ENTROPY = ("cross_entropy", "stablemax", "logistic")
"""Losses that fall for as long as the logits grow."""
GROKFAST = ("grokfast_ema", "grokfast_ma")


@names_checked
@dataclass(frozen=True, kw_only=True)
class Setup:
    """Settings of a training run; None is unknown, and a check that needs it says so.

    `steps_per_unit` converts the time unit of the trajectory to optimizer steps: steps per epoch for a log in epochs.
    Without it, one unit is one step if the name of the log's time column indicates steps, and unknown otherwise.
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
    steps_per_unit: float | None = None
    interventions: tuple[str, ...] = ()
    """Names of what changed the training while it went on."""
    switched_decay: tuple[Span, ...] = ()
    """When another decay was in force on all weights but the head, where it was not always the same."""
    switched_head_decay: tuple[Span, ...] = ()
    """The same on the head."""
    had: tuple[Mapping[str, Any], ...] = ()
    """The interventions as the config has them, which stay in force beside those of an arm."""
    rows_in_train: Mapping[str, int] = field(default_factory=dict)
    """Held-out split -> how many of its rows stand in train as well; without an entry this is unknown."""
    label_noise: float | None = None
    """Share of training labels that were replaced by random ones, as drawn by grokscope or declared for a recording or
    a log: train scores are then honestly lower. [share; 1: all labels are random]"""
    evaluated_alike: bool = False
    """Whether train and held-out are known to be scored in the same way: in eval mode, without augmentation, over all
    rows. It is so in runs of grokscope's own."""
    groups_tested: bool = False
    """Whether the groups of weights were found by scaling tensors and looking at the outputs, as in runs of grokscope's
    own: a group without a norm then has no weights, where in a log it may only not have been written."""

    def __post_init__(self) -> None:
        for key in ("lr", "steps_per_unit", "init_scale", "parameters"):
            value = getattr(self, key)
            require(value is None or value > 0, f"{key} must be positive, got {value}")
        require(self.weight_decay is None or self.weight_decay >= 0, "weight_decay must not be negative")
        require_share_of_labels(self.label_noise)

    @property
    def decoupled(self) -> bool | None:
        """Whether decay acts on the weights themselves; None if the optimizer is unknown."""
        if self.optimizer is None:
            return None
        return self.optimizer in DECOUPLED

    def decay_history(self, group: str | None, start: float, end: float) -> list[Span]:
        """The decay on a group of weights (None: all but the head) over a time interval; empty if it is unknown."""
        if self.weight_decay is None:
            return []
        if group == "head":
            return whole_history(self.weight_decay, self.switched_head_decay, start, end)
        base = 0.0 if self.decay_groups == "head" else self.weight_decay
        return whole_history(base, self.switched_decay, start, end)

    @property
    def grows_logits(self) -> bool | None:
        """Whether the loss keeps falling as the logits grow; None if it is unknown."""
        if self.loss is None:
            return None
        return self.loss in CROSS_ENTROPY


def setup_of_config(
    config: Mapping[str, Any],
    facts: Mapping[str, Any],
    intervened: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> Setup:
    """The settings of a run, from its resolved config, its facts and the record of its interventions
    (`grokscope.store.intervened`). What no training can have been run with (a record of another program, a damaged one)
    is unknown; so is a setting that an intervention changes, where no one value was in force.

    An exact fork was trained under its parent's decay before, which is read from the parent beside its `folder`, and
    unknown where that is gone.
    """
    regime, record = config.get("regime") or {}, intervened or {}
    interventions = [each for each in regime.get("interventions") or () if isinstance(each, str | Mapping)]
    setup = Setup(
        optimizer=_in_force(regime, interventions, record, "optimizer", 0.0),
        lr=_positive(regime.get("lr")),
        weight_decay=_known_decay(regime, interventions, record),
        decay_groups=str(regime.get("decay_groups", "all")),
        loss=_in_force(regime, interventions, record, "loss", _fit_in(record)),
        grad_filter=_in_force(regime, interventions, record, "grad_filter", _fit_in(record)),
        init_scale=_positive(regime.get("init_scale")),
        irm_weight=_number(_in_force(regime, interventions, record, "irm_weight", 0.0)),
        parameters=_positive(facts.get("parameters")),
        group_sizes=facts.get("group_sizes") or {},
        interventions=tuple(str(name_in(each)) for each in interventions),
        switched_decay=decay_spans(regime, record, on_head=False),
        switched_head_decay=decay_spans(regime, record, on_head=True),
        had=tuple(each if isinstance(each, Mapping) else {"name": each} for each in interventions),
        rows_in_train=_counts((facts.get("data") or {}).get("rows_in_train")),
        label_noise=_number(regime.get("label_noise")),
        evaluated_alike="digests" in (facts.get("data") or {}),
        groups_tested="groups" in facts,
    )
    start = config.get("start") or {}
    if start.get("exact"):
        return _after_parent(setup, start, folder)
    return setup


def _after_parent(setup: Setup, start: Mapping[str, Any], folder: Path | None) -> Setup:
    """The setup of an exact fork: up to the step at which it left, the decay was its parent's."""
    parent = None
    if folder is not None:
        parent = _setup_in(folder.parent / str(start.get("run")))
    step = start.get("step")
    if parent is None or parent.weight_decay is None or setup.weight_decay is None or step is None:
        return replace(setup, weight_decay=None)
    rest, head = (
        (*parent.decay_history(part, 0.0, step), *setup.decay_history(part, step, math.inf)) for part in (None, "head")
    )
    return replace(setup, switched_decay=rest, switched_head_decay=head)


def _setup_in(folder: Path) -> Setup | None:
    """The setup of the run in a folder; None where there is none that can be read."""
    try:
        run = Run(folder)
        return setup_of_config(run.config, run.facts, interventions_of(run), folder)
    except (ValueError, OSError):
        return None


def _fit_in(record: Mapping[str, Any]) -> float:
    return float(record.get("T_fit") or 0.0)


def _in_force(
    regime: Mapping[str, Any], interventions: Sequence[Any], record: Mapping[str, Any], key: str, since: float
) -> Any:
    """The one value of a setting since a step; None where there were several, or it is not recorded when they were."""
    if not record and any(key in put_by(each) for each in interventions if isinstance(each, Mapping)):
        return None
    values = values_since(regime, record, key, since)
    if len(values) != 1:
        return None
    return values[0]


def _known_decay(regime: Mapping[str, Any], interventions: Sequence[Any], record: Mapping[str, Any]) -> Any:
    """The regime's decay; None where interventions change it and it is not recorded when, or where it was for a time
    carried out by an optimizer that does not shrink the weights themselves."""
    if not record and any(map(_changes_decay, interventions)):
        return None
    optimizers = values_since(regime, record, "optimizer", 0.0)
    mixed = len(optimizers) > 1 and not set(optimizers) <= set(DECOUPLED)
    if mixed:
        return None
    return _number(regime.get("weight_decay"))


def _counts(value: Any) -> Mapping[str, int]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> Any:
    """A finite number of at least 0; None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and 0 <= value < float("inf"):
        return value
    return None


def _positive(value: Any) -> Any:
    return _number(value) or None


def _changes_decay(intervention: Any) -> bool:
    if not isinstance(intervention, Mapping):
        return name_in(intervention) == "decay_head"
    return bool(put_by(intervention).keys() & {"weight_decay", "decay_groups", "optimizer"})
