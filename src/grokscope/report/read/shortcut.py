"""Data of a shortcut study: selected checkpoints by rule, end scores, and scores by hospital."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.report.read.judged_run import Reading
from grokscope.report.read.subjects import differs_freely, flat
from grokscope.vocabulary.splits import REPORTED as SPLITS_ONLY_REPORTED
from grokscope.vocabulary.splits import SELECTING, UNSEEN

if TYPE_CHECKING:
    from grokscope.trajectory import Selection

CHOOSING = next(name for name in UNSEEN if name in SELECTING)
"""The unseen environment that honest rules choose on."""
REPORTED = SPLITS_ONLY_REPORTED[0]
"""The unseen environment that nothing may be chosen on."""
PEAKS = {f"peak_{CHOOSING}": CHOOSING, "oracle": REPORTED}
"""Rules that take a maximum, and on what."""
RULES = ("final", "mean_last", *PEAKS)
SIZE = "task.n_train"
_ENVIRONMENT = re.compile(r"(\w+?)_env(\d+)_acc")
_IN_NAME = re.compile(r"\bn_train=\S+")
"""What a study's axis over the size adds to the name of a regime."""


Spread = tuple[float, float, float]
"""Mean, lowest, highest."""


@dataclass(frozen=True)
class Outcome:
    """One run, judged on both unseen environments, and what each rule of selection reports."""

    readings: Mapping[str, Reading]
    """split -> reading."""

    @property
    def subject(self):
        return next(iter(self.readings.values())).subject

    @cached_property
    def chosen(self) -> "dict[str, Selection]":
        """Rule -> selection; rules that look at a split the run lacks are absent."""
        from grokscope.trajectory import select

        trajectory = self.subject.trajectory
        if trajectory is None:
            return {}
        rules = [r for r in RULES if PEAKS.get(r, "") in ("", *_evaluated(trajectory))]
        return {rule: select(trajectory, rule) for rule in rules}

    def epoch(self, step: float) -> float | None:
        """The epoch of an evaluation, where it was logged."""
        epochs = self.subject.metrics.get("epoch")
        if epochs is None:
            return None
        here = epochs[self.subject.metrics["step"] == step]
        return float(here[0]) if len(here) and np.isfinite(here[0]) else None


def _evaluated(trajectory: Any) -> list[str]:
    return [name for name, values in trajectory.held_out.items() if np.isfinite(values).any()]


def has_unseen(reading: Reading) -> bool:
    """Whether the run's facts name an unseen environment."""
    return any(split in ((reading.subject.record.get("facts") or {}).get("splits") or {}) for split in UNSEEN)


def outcomes(readings: Mapping[str, Sequence[Reading]]) -> list[Outcome]:
    """One per subject; `readings` by split, all in the subjects' order."""
    names = [s for s in UNSEEN if s in readings]
    return [Outcome(dict(zip(names, row, strict=True))) for row in zip(*(readings[s] for s in names), strict=True)]


@dataclass(frozen=True)
class Heat:
    """Final accuracy of one environment (or of all) on one split: mean over seeds and range, by class."""

    split: str
    environment: str
    cells: Mapping[str, Spread]
    """``all`` and each class."""


def heat_rows(readings: Sequence[Reading], splits: Sequence[str]) -> tuple[list[str], list[Heat]]:
    """(class names, rows): one row for each environment of a split, and where there are several one for all of them.
    Logs that do not know classes by environment have them only where a split is one environment, and for all of it."""
    finals = [_final(r) for r in readings if r.subject.metrics]
    meta = next((m for r in readings if (m := (r.subject.record.get("facts") or {}).get("meta"))), {})
    columns = set(chain.from_iterable(finals))
    classes = sorted({int(m[1]) for c in columns if (m := re.fullmatch(r"\w+?_class(\d+)_acc", c))})
    labels = [str(w) for w in meta.get("labels") or []]
    names = [labels[c] if c < len(labels) else str(c) for c in classes]
    hospitals = meta.get("environments") or {}
    rows = []
    for split in splits:
        environments = sorted({int(m[2]) for c in columns if (m := _ENVIRONMENT.fullmatch(c)) and m[1] == split})
        whole = _cells(finals, split, classes, names)
        if len(environments) > 1:
            rows += [
                Heat(split, str(hospitals.get(str(e), e)), _cells(finals, f"{split}_env{e}", classes, names))
                for e in environments
            ]
        if environments and whole:
            one = str(hospitals.get(str(environments[0]), environments[0]))
            rows.append(Heat(split, one if len(environments) == 1 else "all of them", whole))
    return names, rows


def _cells(
    finals: Sequence[Mapping[str, float]], part: str, classes: Sequence[int], names: Sequence[str]
) -> dict[str, Spread]:
    columns = {"all": f"{part}_acc", **{n: f"{part}_class{c}_acc" for c, n in zip(classes, names, strict=True)}}
    return {name: spread for name, column in columns.items() if (spread := _spread(finals, column))}


def _final(reading: Reading) -> dict[str, float]:
    """Last finite value of every accuracy."""
    out = {}
    for name, values in reading.subject.metrics.items():
        if name.endswith("_acc") and np.isfinite(values).any():
            out[name] = float(values[np.isfinite(values)][-1])
    return out


def _spread(finals: Sequence[Mapping[str, float]], column: str) -> Spread | None:
    values = [f[column] for f in finals if column in f]
    return (float(np.mean(values)), min(values), max(values)) if values else None


@dataclass(frozen=True)
class SizeCurve:
    """Runs of one configuration but for the size of the training set."""

    name: str
    points: Sequence[tuple[int, float, float]]
    """(n_train, peak, end) for each run; the end is the mean of the last evaluations."""
    threshold: float | None
    trivial: float | None = None
    """Score of the trivial predictor."""

    @cached_property
    def sizes(self) -> list[int]:
        return sorted({n for n, _, _ in self.points})

    def at(self, size: int, which: int) -> list[float]:
        """Peaks (1) or ends (2) of the runs with this size."""
        return [p[which] for p in self.points if p[0] == size]

    @property
    def critical(self) -> int | None:
        """The smallest size from which, there and at every larger one, at least half of the runs end at the
        threshold."""
        smallest = None
        for size in reversed(self.sizes):
            ends = self.at(size, 2)
            if self.threshold is None or 2 * sum(v >= self.threshold for v in ends) < len(ends):
                break
            smallest = size
        return smallest


def size_curves(readings: Iterable[Reading]) -> list[SizeCurve]:
    """Families of runs that differ in `task.n_train` (and the seed) only, where it takes at least two values."""
    families: dict[tuple[str, str], list[Reading]] = {}
    for r in readings:
        if r.subject.config is not None and r.milestones is not None and r.milestones.peak is not None:
            families.setdefault(_family(r), []).append(r)
    out = []
    for (name, _), members in families.items():
        points = [
            (_size(r), float(r.milestones.peak), float(r.milestones.end)) for r in members if r.milestones is not None
        ]
        if len({n for n, _, _ in points}) > 1:
            out.append(SizeCurve(name, sorted(points), members[0].threshold, members[0].trivial))
    return out


def _family(reading: Reading) -> tuple[str, str]:
    """(name, everything else that was set) without the size of the training set, which is also in the name where a
    study varies it."""
    config = flat(reading.subject.config)
    rest = {k: v for k, v in config.items() if k != SIZE and not differs_freely(k)}
    name = " ".join(_IN_NAME.sub("", str(config.get("regime.name", ""))).split())
    return name or "all runs", repr(sorted(rest.items()))


def _size(reading: Reading) -> int:
    return int(flat(reading.subject.config).get(SIZE) or 0)
