"""Everything a page needs, read and judged but not drawn."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.report.read.copies import Copy, is_import, set_aside
from grokscope.report.read.explained import note_told
from grokscope.report.read.judged_run import Judge, Reading, leads_of, splits_of
from grokscope.report.read.subjects import Labeled, Subject, as_subjects, gather
from grokscope.report.read.subjects import groups as by_group
from grokscope.store.same_data import refuse_mixed
from grokscope.vocabulary.splits import speaking
from grokscope.vocabulary.text import listed, plural

if TYPE_CHECKING:
    from grokscope.store import Run
    from grokscope.trajectory import Criteria

MANY_RUNS = 60
"""Above this many runs the page spares what it would repeat for each of them: see `Material.many`."""
LISTED = 1_000
"""Above this many runs not every one has a row and a fold on the page: see `Material.listed`."""
EXAMPLES = 25
"""So many runs of each group and outcome are then listed."""


@dataclass(frozen=True)
class Material:
    """Runs with their verdicts, and what was asked of them."""

    title: str
    subjects: list[Subject]
    splits: list[str]
    """Held-out splits; the first one leads most groups."""
    leads: Mapping[str, str]
    """Group -> the split on which its runs are judged wherever no other is named."""
    readings: dict[str, list[Reading]]
    """split -> one reading per subject, in the subjects' order."""
    criteria: "Criteria"
    study: Mapping[str, Any] | None
    expectations: Sequence[Mapping[str, Any]] | None
    remake: str
    copies: Sequence[Copy] = ()
    """Imports and other folders of runs that are among the subjects: left out of everything, and named."""
    unchecked: Sequence[str] = ()
    """Names of runs that record no digests of their data, beside others of their task and seed."""
    stem: str = "report"
    """Of the page's file: what is too large for the page lies beside it under this name."""

    @cached_property
    def lead(self) -> list[Reading]:
        """One reading per subject, in their order, on the split that leads its group."""
        return [self.readings[self.leads[s.group]][i] for i, s in enumerate(self.subjects)]

    @property
    def leading(self) -> list[str]:
        """Splits that lead some group."""
        return [split for split in self.splits if split in self.leads.values()]

    @property
    def mixed(self) -> bool:
        """Whether groups are judged on different splits."""
        return len(self.leading) > 1

    @property
    def judged_on(self) -> str:
        """``id_val``; ``id_val (20 runs) and ood_val (3 runs)`` where groups differ."""
        runs = Counter(reading.split for reading in self.lead)
        if not self.mixed:
            return next(iter(runs), self.splits[0])
        return listed([f"{split} ({plural(runs[split], 'run')})" for split in self.splits if runs[split]])

    @property
    def many(self) -> bool:
        """Whether there are so many runs that settings stand once for each group, and curves in tables only once."""
        return len(self.subjects) > MANY_RUNS

    def groups(self, split: str | None = None) -> dict[str, list[Reading]]:
        """Group -> its readings, on the split that leads it or on one for all."""
        members: dict[str, list[Reading]] = {name: [] for name in by_group(self.subjects)}
        for reading in self.readings[split] if split else self.lead:
            members[reading.subject.group].append(reading)
        return members

    @cached_property
    def listed(self) -> frozenset[str]:
        """Names of the runs that have a row and a fold on the page: all, or of so many that no reader could look at
        them the first of each group and outcome."""
        if len(self.subjects) <= LISTED:
            return frozenset(s.name for s in self.subjects)
        alike: dict[tuple[str, str], list[str]] = {}
        for reading in self.lead:
            alike.setdefault((reading.subject.group, reading.outcome), []).append(reading.subject.name)
        each = min(EXAMPLES, max(LISTED // len(alike), 1))
        chosen = chain.from_iterable(names[:each] for names in alike.values())
        return frozenset(islice(chosen, LISTED))

    @property
    def all_listed(self) -> bool:
        return len(self.listed) == len(self.subjects)

    @cached_property
    def anchors(self) -> dict[str, str]:
        """Name of a listed run -> an id that is unique on the page and safe in it."""
        return {s.name: f"run-{i + 1}" for i, s in enumerate(self.subjects) if s.name in self.listed}


def collect(
    runs: "Iterable[Run | Labeled | Subject]",
    *,
    title: str | None,
    study: Mapping[str, Any] | None,
    expectations: Sequence[Mapping[str, Any]] | None,
    criteria: "Criteria | None",
    split: str | None,
    remake: str | None,
    out: Path,
) -> Material:
    """Read and judge.

    Raises:
        ValueError: an unknown split, or runs of one task and seed that learned from other data.
    """
    from grokscope.trajectory import Criteria

    runs, criteria = list(runs), criteria or Criteria()
    judge = Judge(criteria)
    notes_told = len(runs) > MANY_RUNS  # of few runs the whole explanations are kept

    def look(subject: Subject) -> None:
        own = judge.look(subject)
        if own and notes_told:
            note_told(own[split if split is not None and split in own else speaking(own)])

    given, copies = set_aside(as_subjects(runs, look))
    folders = [c.copy for c in copies if not is_import(c.copy)]
    refuse_mixed((s.path or s.name, s.record) for s in [*given, *folders])
    unchecked = refuse_mixed((s.path or s.name, s.record) for s in given)
    subjects = gather(given, by_name=study is None)  # a study's runs come in the order of its axes
    splits = splits_of(subjects, split)
    leads = leads_of(by_group(subjects), splits, split)
    readings = judge.read_all(subjects, splits)
    name = title or (study or {}).get("title") or (study or {}).get("name") or _default_title(subjects)
    remake = remake or _remake(subjects, out)
    return Material(
        name, subjects, splits, leads, readings, criteria, study, expectations, remake, copies, unchecked, out.stem
    )


def _default_title(subjects: Sequence[Subject]) -> str:
    tasks = dict.fromkeys(str((s.config or {}).get("task", {}).get("name", "")) for s in subjects)
    named = [t for t in tasks if t]
    return f"Training on {', '.join(named)}" if named else "Training runs"


def _remake(subjects: Sequence[Subject], out: Path) -> str:
    places = list(dict.fromkeys(str(Path(s.path).parent) if s.path else s.name for s in subjects))
    shown = " ".join(places) if len(places) <= 4 else f"{' '.join(places[:4])} …"
    return f"grokscope report {shown} --out {out.name}"
