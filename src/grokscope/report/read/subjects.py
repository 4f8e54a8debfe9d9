"""Subjects of a report: runs of any origin in one form. No launched run is omitted."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope import configio
from grokscope.files import plain_file
from grokscope.progress import watched
from grokscope.registry import LISTS
from grokscope.report.read.shelf import Brief, Loaded, Shelf, Shelved, brief_of, curve_of
from grokscope.store import kept_columns
from grokscope.store.ended import changed_since
from grokscope.store.kept_verdicts import looked_at
from grokscope.store.measured import with_measured
from grokscope.store.metrics import columns, read_rows
from grokscope.store.run import METRICS
from grokscope.store.same_data import version_of

if TYPE_CHECKING:
    from grokscope.store import Run
    from grokscope.trajectory import Trajectory

NOT_IDENTITY = ("seed", "hardware", "budget", "regime.name")
"""Config keys that may differ inside one group: a group is what differs by seed only."""
_BRANCHED, _FROM = "branched at step", "branched from"
_NUMBER = re.compile(r"(\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?)")
EFFECTIVE, RATES = "effective_lr/", ("elr_mean", "elr_low", "elr_high")
"""Begin of the columns that `effective_rates` are made of, and their names."""
Seen = list[int]
"""Size, mtime and ctime (ns)."""
_SEED = re.compile(r"_s\d+-[0-9a-f]{8}$")
"""The end of a run's id that names its seed."""


@dataclass(frozen=True)
class Subject:
    """One run as the report sees it: a run folder of grokscope, or somebody's own log.

    `evaluations` is None where there is nothing to judge (failed before its first evaluation, unreadable); the subject
    is then still counted and listed. `record` is the whole of a run's config.json, `problem` why it could not be read.
    """

    name: str
    group: str
    seed: int | None
    evaluations: "Trajectory | Shelved | None"
    """Of a log its trajectory, of a run folder its metrics, which are not all in memory."""
    config: Mapping[str, Any] | None = None
    status: Mapping[str, Any] | None = None
    rows: Sequence[Mapping[str, Any]] | None = None
    """As they were logged; None for a run folder, which is asked for them again where they are shown: those of
    thousands of runs would fill the memory."""
    record: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = None
    problem: str | None = None
    unit: str = "step"
    """What the trajectory's steps count: ``step``, or a foreign log's own unit (``epoch``)."""
    seen: Seen | None = field(default=None, repr=False)
    """What the metrics file looked like when these evaluations were read: a verdict kept since then is theirs. None
    where they are not the file's alone, as checkpoints were measured later."""

    @property
    def trajectory(self) -> "Trajectory | None":
        """Read anew where it is not among the last few: see `brief`, `curve` and `metrics` for what is asked of all
        runs."""
        return self.evaluations.trajectory if isinstance(self.evaluations, Shelved) else self.evaluations

    @cached_property
    def brief(self) -> Brief | None:
        """What there is to say of the trajectory without its curves; None without evaluations."""
        if self.evaluations is None:
            return None
        return self.evaluations.brief if isinstance(self.evaluations, Shelved) else brief_of(self.evaluations)

    def curve(self, name: str, split: str) -> tuple[np.ndarray, np.ndarray] | None:
        """See `grokscope.report.read.shelf.curve_of`; None without evaluations."""
        if self.evaluations is None:
            return None
        if isinstance(self.evaluations, Shelved):
            return self.evaluations.curve(name, split)
        return curve_of(self.evaluations, name, split)

    @property
    def state(self) -> str:
        """planned, running, done, failed, diverged, interrupted; ``unreadable``; a foreign log counts as done."""
        if self.problem is not None:
            return "unreadable"
        return str((self.status or {}).get("state", "done"))

    @property
    def label(self) -> str:
        return f"seed {self.seed}" if self.seed is not None else self.name

    def all_rows(self) -> Sequence[Mapping[str, Any]]:
        """Every evaluation that the trajectory was made of, with all that was logged; empty for a foreign log."""
        if self.rows is not None or self.path is None or not isinstance(self.evaluations, Shelved):
            return self.rows or ()
        rows = read_rows(plain_file(Path(self.path), METRICS))
        return rows[: self.evaluations.rows]  # of a run that still trains there may be more by now

    @cached_property
    def metrics(self) -> Mapping[str, np.ndarray]:
        """Every numeric column of the rows, and what is derived from them; for a foreign log the losses of its
        trajectory."""
        if isinstance(self.evaluations, Shelved):
            return WithRates(self.evaluations.table)
        if self.rows:
            return WithRates(columns([dict(row) for row in self.rows]))
        t = self.evaluations
        if t is None:
            return {}
        losses = {"train": t.train_loss, **t.held_out_loss}
        return {"step": t.step, **{f"{split}_loss": v for split, v in losses.items() if v is not None}}


class WithRates(Mapping[str, np.ndarray]):
    """Columns, and `effective_rates` of them among the others."""

    def __init__(self, table: Mapping[str, np.ndarray]):
        self._table = table

    @cached_property
    def _recorded(self) -> list[str]:
        return [name for name in self._table if name.startswith(EFFECTIVE)]

    def __getitem__(self, name: str) -> np.ndarray:
        if name in RATES and self._recorded:
            return effective_rates({column: self._table[column] for column in self._recorded})[name]
        return self._table[name]

    def __contains__(self, name: object) -> bool:
        return name in self._table or (name in RATES and bool(self._recorded))

    def __iter__(self) -> Iterator[str]:
        yield from self._table
        if self._recorded:
            yield from (name for name in RATES if name not in self._table)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def effective_rates(table: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """``elr_mean``, ``elr_low`` and ``elr_high`` over the scale-invariant tensors (`effective_lr/<tensor>`), at each
    evaluation over those that have a finite value; nothing where none was recorded."""
    recorded = [values for name, values in table.items() if name.startswith(EFFECTIVE)]
    if not recorded:
        return {}
    every = np.array(recorded)
    known = np.isfinite(every)
    some = known.any(axis=0)
    mean = np.where(known, every, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    low, high = np.where(known, every, np.inf).min(axis=0), np.where(known, every, -np.inf).max(axis=0)
    named = {"elr_mean": mean, "elr_low": low, "elr_high": high}
    return {name: np.where(some, values, np.nan) for name, values in named.items()}


def subject_from_run(run: "Run", shelf: Shelf | None = None) -> Subject:
    """A run folder as a subject, whose metrics are put on the shelf. Damaged metrics, or others than the run ended
    with, become a `problem`, not an exception: the run was launched."""
    base = Subject(run.id, run.label, run.seed, None, config=run.config, record=run.record, path=str(run.path))
    try:
        before = looked_at(run)
        kept = kept_columns.recall(run.path)
        plain = columns(run.rows()) if kept is None else kept
        status = run.status
        if changed := changed_since(run, status):
            return replace(base, problem=changed)
        table = with_measured(run.path, plain)
        loaded = Loaded(run.id, run.facts, status, table)
        evaluations = (Shelf() if shelf is None else shelf).put(loaded) if len(plain["step"]) else None
    except ValueError as error:
        return replace(base, problem=str(error))
    own = before == looked_at(run) and all(plain.get(name) is values for name, values in table.items())
    return replace(base, evaluations=evaluations, status=status, seen=before if own else None)


def subject_from_trajectory(
    trajectory: "Trajectory", name: str, group: str | None = None, seed: int | None = None, unit: str = "step"
) -> Subject:
    """Somebody's own log (`grokscope.trajectory.from_log`) as a subject; without a group it forms its own. `unit`
    names what its step column counts."""
    return Subject(name, group if group is not None else name, seed, trajectory, unit=unit)


@dataclass(frozen=True)
class Labeled:
    """A run folder that has another label on the page than its own: that of a study which did not train it."""

    run: "Run"
    group: str
    seed: int
    config: "Callable[[], Mapping[str, Any]]"
    """What is said of it where its own cannot be read."""

    def subject(self, shelf: Shelf) -> Subject:
        try:
            return replace(subject_from_run(self.run, shelf), group=self.group)
        except ValueError as error:
            path = str(self.run.path)
            return Subject(
                self.run.id, self.group, self.seed, None, config=self.config(), path=path, problem=str(error)
            )


def as_subjects(
    runs: "Iterable[Run | Labeled | Subject]", look: Callable[[Subject], object] | None = None
) -> list[Subject]:
    """Runs of any form as subjects; `look` sees each of them while its metrics are in memory."""
    shelf = Shelf()
    subjects = []
    for run in watched(list(runs), "read and judged" if look is not None else "read"):
        subject = _as_subject(run, shelf)
        if look is not None:
            look(subject)
        subjects.append(subject)
    return subjects


def _as_subject(run: "Run | Labeled | Subject", shelf: Shelf) -> Subject:
    if isinstance(run, Subject):
        return run
    return run.subject(shelf) if isinstance(run, Labeled) else subject_from_run(run, shelf)


def gather(runs: "Iterable[Run | Labeled | Subject]", by_name: bool = False) -> list[Subject]:
    """Subjects in a stable order with distinct names and groups that mean one configuration each.

    Groups keep the order in which they are first met, or are sorted `by_name`; inside a group subjects are ordered by
    seed, then name.
    """
    subjects = _unique_names(_separate_groups(as_subjects(runs)))
    met = list(dict.fromkeys(s.group for s in subjects))
    order = {group: i for i, group in enumerate(sorted(met, key=natural) if by_name else met)}
    return sorted(subjects, key=lambda s: (order[s.group], s.seed is None, s.seed or 0, s.name))


def groups(subjects: Iterable[Subject]) -> dict[str, list[Subject]]:
    by_group: dict[str, list[Subject]] = {}
    for subject in subjects:
        by_group.setdefault(subject.group, []).append(subject)
    return by_group


def natural(name: str) -> list[str | float]:
    """A key that sorts the numbers in names by size: n=40 before n=120, lr 1e-4 before lr 0.001."""
    parts = _NUMBER.split(name)
    return [float(part.replace(",", "")) if i % 2 else part for i, part in enumerate(parts)]


def flat(config: Any) -> dict[str, Any]:
    """Nested tables as dotted keys: ``{"regime": {"lr": 1}}`` -> ``{"regime.lr": 1}``; nothing where there is none. Of
    interventions there is a key for each of their parameters in place of the list."""
    if not isinstance(config, Mapping):
        return {}
    keys = configio.with_items(configio.flatten(config))
    return {key: value for key, value in keys.items() if key not in LISTS or not value}


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Dotted keys on which flat configs do not all agree (a key that some lack differs), in order of appearance."""
    return differing_of(iter(configs))


def differing_of(configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """`differing` of configs that are looked at one after the other, as those of many runs are."""
    first: dict[str, Any] = {}
    held: Counter[str] = Counter()
    apart: set[str] = set()
    runs = 0
    for config in configs:
        runs += 1
        held.update(config.keys())
        for key, value in config.items():
            before = first.setdefault(key, value)
            if before is not value and key not in apart and not _same(before, value):
                apart.add(key)
    absent = _word("absent")  # stands for a key that a config lacks
    return [k for k in first if k in apart or (held[k] < runs and _word(first[k]) != absent)]


def _same(one: Any, two: Any) -> bool:
    """Whether two settings are written alike; what is plainly equal is not written for it. 1, 1.0 and true are not,
    nor are 0.0 and -0.0."""
    if type(one) is type(two) and isinstance(one, str | int | float) and one == two and one != 0:
        return True
    return _word(one) == _word(two)


def _separate_groups(subjects: list[Subject]) -> list[Subject]:
    """One name used for several configurations is split: the name gets what differs."""
    label: dict[int, str] = {}
    for name, members in groups(subjects).items():
        essentials = {id(s): _essential(s) for s in members if s.config is not None}
        parents = {essential[_FROM] for essential in essentials.values()} - {""}
        keys = [k for k in differing(list(essentials.values())) if k != _FROM or len(parents) > 1]
        for i, essential in essentials.items():
            words = [w for k in keys if (w := _difference(k, essential.get(k)))]
            label[i] = f"{name} · {', '.join(words)}" if words else name
    return [replace(s, group=label.get(id(s), s.group)) for s in subjects]


def _essential(subject: Subject) -> dict[str, Any]:
    """Settings that make a configuration. A branch counts by the step and the kind of run it left: with the very run
    and its weights each seed would be a group of its own."""
    config = dict(subject.config or {})
    start = config.pop("start", None) or {}
    settings = {k: v for k, v in flat(config).items() if not differs_freely(k)}
    settings |= {"task.data_version": version_of(subject.record)}
    return settings | {_FROM: _SEED.sub("", str(start.get("run") or "")), _BRANCHED: start.get("step")}


def _difference(key: str, value: Any) -> str:
    """A setting as part of a group's name; empty for a run that did not branch, which is the ordinary case."""
    if key not in (_FROM, _BRANCHED):
        return f"{key.rpartition('.')[2]} {_shown(value)}"
    if isinstance(value, int):
        return f"{key} {value:,}"
    return f"{key} {value}" if value else ""


def differs_freely(key: str) -> bool:
    """Whether runs of one configuration may differ in this dotted key."""
    return any(key == n or key.startswith(n + ".") for n in NOT_IDENTITY)


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else _word(value)


def _word(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _unique_names(subjects: list[Subject]) -> list[Subject]:
    seen: Counter[str] = Counter()
    out = []
    for subject in subjects:
        seen[subject.name] += 1
        again = seen[subject.name]
        out.append(subject if again == 1 else replace(subject, name=f"{subject.name} ({again})"))
    return out
