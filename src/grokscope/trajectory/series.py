"""A trajectory: the metrics of one run over its steps, from a grokscope run or an external log."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from typing import Any, Protocol

import numpy as np

from grokscope.fit_rule import USUAL_THRESHOLD, Kind, reaches
from grokscope.registry import nearest
from grokscope.trajectory.curves import roughness, running_median, wander
from grokscope.vocabulary.column_table import REQUESTED
from grokscope.vocabulary.columns import describe
from grokscope.vocabulary.text import whole
from grokscope.vocabulary.time_units import STEPS

FLOAT_TOLERANCE = 1e-6
"""Slack for accuracies known only as floats: a float32 mean of booleans can give 0.99999994 for all-correct and
0.98999995 for 99 of 100. Accuracies known as counts are compared exactly (a correctly rounded c/n never crosses a
decimal threshold)."""

EXPLODED = 1e20
"""A loss this large is as good as not finite, whatever the log began with."""
EXPLODED_GROWTH = 1e6
"""So is one that grew by this factor over its first finite value (over 1, if that was smaller, or had exploded)."""


MEASURED = frozenset(
    (
        *("lr", "train_irm", "train_logit_scale", "softmax_collapse"),
        *("cos_grad_head", "cos_grad_weights", "update_norm"),
        *("rank_effective", "rank_participation", "rank_stable"),
        *("margin_mean", "margin_max", "logit_max"),
    )
)
"""Columns of a run that are read beside scores, losses, norms and probes."""


class RunLike(Protocol):
    """What `from_run` needs of a run; `grokscope.store.Run` has it."""

    @property
    def facts(self) -> Mapping[str, Any]: ...
    def metrics(self) -> Mapping[str, np.ndarray]: ...


@dataclass(frozen=True, eq=False)
class RunTable:
    """A run whose files have been read: what `from_run` needs of it."""

    id: str
    facts: Mapping[str, Any]
    status: Mapping[str, Any]
    table: Mapping[str, np.ndarray]
    """Column -> (t,)."""

    def metrics(self) -> Mapping[str, np.ndarray]:
        return self.table


@dataclass(frozen=True, eq=False)
class Curve:
    """One metric at the evaluations where it was logged. step (t,), value (t,) finite."""

    step: np.ndarray
    value: np.ndarray
    slack: float
    """How far below a threshold a value may lie and still count as reaching it (see FLOAT_TOLERANCE)."""

    def __len__(self) -> int:
        return len(self.step)

    def reaches(self, level: float) -> np.ndarray:
        """(t,) bool: value >= level."""
        return reaches(self.value, level, self.slack)

    @cached_property
    def smooth(self) -> np.ndarray:
        """(t,) running median of three evaluations."""
        return running_median(self.value)

    def wander(self, start: int, *, increasing: bool) -> float:
        """See `grokscope.trajectory.curves.wander`; from the row `start` on. Kept, because a verdict asks for the same
        stretch again with each threshold that it moves."""
        key = (start, increasing)
        if key not in self._wanders:
            self._wanders[key] = wander(self.value[start:], increasing=increasing)
        return self._wanders[key]

    @cached_property
    def _wanders(self) -> dict[tuple[int, bool], float]:
        return {}

    @cached_property
    def roughness(self) -> float | None:
        """See `grokscope.trajectory.curves.roughness`."""
        return roughness(self.value)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """Metrics of one run on its evaluation grid; arrays are read-only.

    NaN means "not evaluated in this row"; in a loss, +inf means "evaluated and not finite". In regression `train` and
    `held_out` are ``R2 = 1 - loss / loss of the trivial predictor``, so the trivial predictor has 0; this misleads if
    the trivial predictor's loss is itself nearly 0.
    """

    step: np.ndarray
    """(t,) strictly increasing: int64, or float64 for a log in fractional epochs."""
    train: np.ndarray
    """(t,) accuracy in 0..1, or R2."""
    held_out: dict[str, np.ndarray]
    """split -> (t,)."""
    kind: Kind = "classification"
    n: dict[str, int | None] = field(default_factory=dict)
    """split (train included) -> number of examples, where known."""
    train_loss: np.ndarray | None = None
    held_out_loss: dict[str, np.ndarray] = field(default_factory=dict)
    norm: np.ndarray | None = None
    """(t,) L2 norm over all weights."""
    norm_groups: dict[str, np.ndarray] = field(default_factory=dict)
    """group (`head`, `weights`, ...) -> (t,) L2 norm."""
    probe: dict[str, np.ndarray] = field(default_factory=dict)
    """split -> (t,) accuracy of a linear probe of the last hidden layer, NaN where none was fitted."""
    probe_low: dict[str, np.ndarray] = field(default_factory=dict)
    """split -> (t,) the same with the worst of the probe's strengths."""
    probe_high: dict[str, np.ndarray] = field(default_factory=dict)
    """split -> (t,) and with the best one."""
    measured: dict[str, np.ndarray] = field(default_factory=dict)
    """Other recorded column, by the name that grokscope gives it (``rank_effective``, ``train_irm``) -> (t,). No
    verdict depends on them; mechanism checks read them."""
    input_probe: dict[str, float] = field(default_factory=dict)
    """split -> accuracy of a linear probe of the raw input, where it was recorded."""
    trivial: dict[str, float] = field(default_factory=dict)
    """split -> score of the trivial predictor; a split without an entry is judged without it. Always 0 in
    regression."""
    threshold: float
    """Held-out score from which the task counts as generalized."""
    counted: frozenset[str] = frozenset()
    """Splits whose accuracies are exact counts over n."""
    stopped: bool = False
    """Whether the trainer itself reported divergence (it may stop before a row could be written)."""
    notes: tuple[str, ...] = ()
    """What a reader should know about how the log was read."""
    time_unit: str = STEPS
    """What `step` counts: ``steps`` of the optimizer, or else the column that counts it (``epoch``), or ``rows``."""

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray):
                object.__setattr__(self, f.name, _frozen(value, f.name))
            elif isinstance(value, dict) and any(isinstance(v, np.ndarray) for v in value.values()):
                frozen = {k: _frozen(v, f"{f.name}[{k!r}]") for k, v in value.items()}
                object.__setattr__(self, f.name, frozen)
        self._check()

    def _check(self) -> None:
        if self.kind not in ("classification", "regression"):
            raise ValueError(f"kind must be classification or regression, got {self.kind!r}")
        if not len(self.step):
            raise ValueError("the trajectory has no evaluations")
        if (np.diff(self.step) <= 0).any():
            row = int(np.argmax(np.diff(self.step) <= 0)) + 1
            raise ValueError(
                f"step must increase strictly: row {row + 1} has {self.step[row]} after {self.step[row - 1]}; sort "
                f"the rows by step, merge those of the same step, and keep only one attempt of a restarted log"
            )
        if not self.held_out:
            raise ValueError("a trajectory needs at least one held-out split")
        every = {"train": self.train, **self.held_out}
        beside = {"train_loss": self.train_loss, "norm": self.norm, **self.norm_groups, **self.measured}
        for name, values in {**every, **beside}.items():
            if values is not None and values.shape != self.step.shape:
                raise ValueError(f"{name} has shape {values.shape}, step has {self.step.shape}")
        if self.kind == "classification":
            for name, values in every.items():
                _require_accuracy(name, values)
            for name, value in self.trivial.items():
                if not 0 <= value <= 1:
                    raise ValueError(f"trivial[{name!r}] must be an accuracy in 0..1, got {value}")
        if not math.isfinite(self.threshold) or self.threshold > 1:
            raise ValueError(f"threshold must be at most 1, got {self.threshold}")

    @property
    def splits(self) -> list[str]:
        """Held-out splits, in the order given."""
        return list(self.held_out)

    @property
    def last_step(self) -> float:
        return self.step[-1].item()

    def split(self, name: str | None) -> str:
        """The validated name of a held-out split; None means the only one. Raises ValueError with the closest name."""
        if name is None:
            if len(self.held_out) > 1:
                raise ValueError(f"which split? this trajectory has {', '.join(self.held_out)}")
            return next(iter(self.held_out))
        if name not in self.held_out:
            raise ValueError(f"no held-out split {name!r}{nearest(name, self.splits)}")
        return name

    def curve(self, split: str) -> Curve:
        """The metric of `train` or of a held-out split at its own evaluations.

        An R2 of -inf (an infinite loss) counts as the worst finite value of the curve. Raises ValueError if the split
        was never evaluated."""
        if split not in self._curves:
            self._curves[split] = self._curve(split)
        return self._curves[split]

    @cached_property
    def _curves(self) -> dict[str, Curve]:
        return {}

    @cached_property
    def known(self) -> dict[Any, Any]:
        """What was read off it, by what it was read with: a verdict and its events ask for the same things many
        times."""
        return {}

    def evaluated(self, split: str) -> bool:
        """Whether `train` or a held-out split was ever evaluated."""
        values = self.train if split == "train" else self.held_out[self.split(split)]
        return not bool(np.isnan(values).all())

    def _curve(self, split: str) -> Curve:
        if not self.evaluated(split):
            raise ValueError(f"{split} has no evaluations{self._only_losses(split)}")
        values = self.train if split == "train" else self.held_out[self.split(split)]
        logged = ~np.isnan(values)
        values = values[logged]
        finite = values[np.isfinite(values)]
        values = np.where(np.isfinite(values), values, min(finite.min(initial=0.0), 0.0))
        slack = FLOAT_TOLERANCE if self.kind == "classification" and split not in self.counted else 0.0
        return Curve(self.step[logged], values, slack)

    @cached_property
    def non_finite_from(self) -> float | None:
        """First step from which the train loss is not finite or has exploded (see EXPLODED), to the end; None if it
        ends as a number to go by."""
        loss = self.train_loss
        if loss is None and self.kind == "regression":
            loss = -self.train  # an R2 of -inf is an infinite loss
        at = None if loss is None else self._lost_from(loss)
        if at is None and self.stopped:
            return self.last_step
        return at

    def divergence(self, split: str) -> tuple[float, str] | None:
        """(time, description) of divergence for one held-out split, whose own loss may overflow before the train loss
        does; None if both end with usable values."""
        at = self.non_finite_from
        if at is not None:
            return at, f"the train loss {_beyond(self.train_loss)} from {whole(at)} to the end"
        loss = self.held_out_loss.get(split)
        if loss is None and self.kind == "regression":
            loss = -self.held_out[split]
        at = None if loss is None else self._lost_from(loss)
        if at is None:
            return None
        return (at, f"the loss on {split} {_beyond(loss)} from {whole(at)} to the end")

    def _lost_from(self, loss: np.ndarray) -> float | None:
        logged = ~np.isnan(loss)
        loss = loss[logged]
        finite = loss[np.isfinite(loss)]
        first = max(abs(finite[0].item()), 1.0) if finite.size else 1.0
        if first > EXPLODED:  # the log begins after it had exploded: what training began with is not known
            first = 1.0
        with np.errstate(invalid="ignore"):
            bad = ~np.isfinite(loss) | (loss > EXPLODED) | (loss > EXPLODED_GROWTH * first)
        if not bad.any() or not bad[-1]:
            return None
        start = len(bad) - int(np.argmin(bad[::-1])) if not bad.all() else 0
        return self.step[logged][start].item()

    def _only_losses(self, split: str) -> str:
        loss = self.train_loss if split == "train" else self.held_out_loss.get(split)
        if loss is None or np.isnan(loss).all() or self.kind == "regression":
            return ""
        return (
            ", only a loss: log an accuracy, or judge it as kind='regression' with trivial_loss, the loss of the best "
            "constant prediction"
        )

    def head(self, rows: int) -> "Trajectory":
        """The first `rows` rows, as if the run had ended there."""
        cut = {f.name: getattr(self, f.name) for f in fields(self)}
        for key, value in cut.items():
            if isinstance(value, np.ndarray):
                cut[key] = value[:rows]
            elif isinstance(value, dict) and any(isinstance(v, np.ndarray) for v in value.values()):
                cut[key] = {k: v[:rows] for k, v in value.items()}
        return Trajectory(**{**cut, "stopped": False})


def _beyond(loss: np.ndarray | None) -> str:
    last = np.inf if loss is None or np.isnan(loss).all() else loss[~np.isnan(loss)][-1]
    if EXPLODED_GROWTH < last < np.inf:
        return f"has exploded (it ends at {last:.3g})"
    return "is not finite"


def _frozen(values: np.ndarray, name: str) -> np.ndarray:
    if values.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got shape {values.shape}")
    keep = np.int64 if name == "step" and np.issubdtype(values.dtype, np.integer) else np.float64
    out = values.astype(keep)
    out.setflags(write=False)
    return out


def _require_accuracy(name: str, values: np.ndarray) -> None:
    logged = values[~np.isnan(values)]
    if logged.size and (logged.min() < 0 or logged.max() > 1 + FLOAT_TOLERANCE):
        worst = logged.max() if logged.max() > 1 + FLOAT_TOLERANCE else logged.min()
        raise ValueError(f"{name} holds {worst:g}, which is not an accuracy in 0..1; a log in percent needs scale=0.01")


def r2(loss: np.ndarray, trivial_loss: float) -> np.ndarray:
    """``1 - loss / trivial_loss``; an infinite loss gives -inf. Raises ValueError unless trivial_loss is positive."""
    if not trivial_loss > 0:
        raise ValueError(f"the trivial predictor's loss must be positive to define R2, got {trivial_loss}")
    return 1.0 - loss / trivial_loss


def from_run(run: RunLike) -> Trajectory:
    """The trajectory of a grokscope run, finished or not: accuracies as exact counts, R2 from the losses.

    In a run's own metrics a null loss in an evaluated row means "not finite" and is read as such.

    Raises:
        ValueError: no evaluations yet, or no held-out split among them.
    """
    facts, metrics = run.facts, run.metrics()
    if not len(metrics.get("step", ())) or not facts:
        raise ValueError(f"{getattr(run, 'id', 'the run')}: no evaluations yet")
    kind: Kind = facts["kind"]
    splits: Mapping[str, Mapping[str, Any]] = facts["splits"]
    score = {s: v for s in splits if (v := score_of(metrics, s, facts)) is not None}
    held_out = {s: v for s, v in score.items() if s != "train"}
    if "train" not in score or not held_out:
        raise ValueError(f"{getattr(run, 'id', 'the run')}: metrics contain no train and held-out evaluations")
    losses = {s: loss for s in splits if (loss := _loss(metrics, s)) is not None}
    norms = {k.removeprefix("norm_"): v for k, v in metrics.items() if k.startswith("norm_")}
    return Trajectory(
        step=np.asarray(metrics["step"]),
        train=score["train"],
        held_out=held_out,
        kind=kind,
        n={s: int(f["n"]) for s, f in splits.items() if f.get("n") is not None},
        train_loss=losses.pop("train", None),
        held_out_loss=losses,
        norm=norms.pop("total", None),
        norm_groups=norms,
        probe=_probes(metrics, held_out, ""),
        probe_low=_probes(metrics, held_out, "_low"),
        probe_high=_probes(metrics, held_out, "_high"),
        measured={k: v for k, v in metrics.items() if k in MEASURED or _on_request(k)},
        input_probe=_scored(facts.get("input_probe") or {}),
        trivial=_trivial_of(splits, kind),
        threshold=_threshold(facts, kind),
        counted=frozenset(s for s in score if f"{s}_correct" in metrics),
        stopped=(getattr(run, "status", None) or {}).get("state") == "diverged",
        notes=tuple(f"split {s} has facts but no metrics" for s in splits if s not in score),
    )


def _scored(probe: Mapping[str, Mapping[str, float | None]]) -> dict[str, float]:
    """Split -> accuracy of the probe of raw inputs; inputs that are not finite have none."""
    return {split: float(p["acc"]) for split, p in probe.items() if p["acc"] is not None}


def _threshold(facts: Mapping[str, Any], kind: Kind) -> float:
    """0 is a threshold too."""
    threshold = facts.get("threshold")
    return float(USUAL_THRESHOLD[kind] if threshold is None else threshold)


@cache
def _on_request(column: str) -> bool:
    """Whether a column is one of a measurement that a run, or somebody after it, asked for."""
    described = describe(column)
    return described is not None and described.writer == REQUESTED


def score_of(metrics: Mapping[str, np.ndarray], split: str, facts: Mapping[str, Any]) -> np.ndarray | None:
    """(t,) accuracy or R2 of one of the splits of a run's `facts`; None where the metrics have none."""
    of_split = facts["splits"][split]
    if facts["kind"] == "regression":
        loss, trivial = _loss(metrics, split), of_split.get("trivial_loss")
        if loss is not None and trivial is not None:
            return r2(loss, float(trivial))
        return metrics.get(f"{split}_r2")
    correct = metrics.get(f"{split}_correct")
    if correct is None:
        return metrics.get(f"{split}_acc")
    return correct / np.asarray(metrics.get(f"{split}_n", of_split["n"]), dtype=np.float64)


def _loss(metrics: Mapping[str, np.ndarray], split: str) -> np.ndarray | None:
    loss = metrics.get(f"{split}_loss")
    if loss is None:
        return None
    evaluated = metrics.get(f"{split}_loss_logged")  # of an imported log, whose losses may be sparser than its scores
    if evaluated is None:
        evaluated = metrics.get(f"{split}_n")
    evaluated = np.ones(len(loss), dtype=bool) if evaluated is None else ~np.isnan(evaluated)
    return np.where(evaluated & ~np.isfinite(loss), np.inf, loss)


def _probes(metrics: Mapping[str, np.ndarray], splits: Iterable[str], end: str) -> dict[str, np.ndarray]:
    """The probe's accuracy on each split that has one, or an end of its range."""
    columns = {s: f"{s}_probe{end or '_acc'}" for s in splits}
    return {s: metrics[name] for s, name in columns.items() if name in metrics}


def _trivial_of(splits: Mapping[str, Mapping[str, Any]], kind: Kind) -> dict[str, float]:
    if kind == "regression":
        return dict.fromkeys(splits, 0.0)
    return {s: float(f["trivial_acc"]) for s, f in splits.items() if f.get("trivial_acc") is not None}
