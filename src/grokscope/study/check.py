"""Expected against seen."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from grokscope.inference.claims import Word, answer, standing, word
from grokscope.registry import nearest
from grokscope.results.verdict import NOT_JUDGED, VerdictRecord
from grokscope.store.kept_verdicts import Splits
from grokscope.store.same_data import refuse_mixed
from grokscope.study.expect import (
    AnyExpectation,
    Expectation,
    RatioExpectation,
    Seen,
    matches,
    median_text,
    route,
    seen,
)
from grokscope.study.measured import MeasuredExpectation, MeasuredRatio, Recorded
from grokscope.study.run_state import BAD, StudyRun
from grokscope.study.words import describe_where
from grokscope.verdicts import run_verdicts
from grokscope.vocabulary.splits import REPORTED, speaking

if TYPE_CHECKING:
    from grokscope.trajectory.criteria import Criteria


@dataclass(frozen=True)
class CheckRow:
    """One expectation. `held` is None while its runs are not finished, or where the ratio of two unreached milestones
    says nothing: then nothing was confirmed."""

    where: str
    expected: str
    seen: str
    held: bool | None
    note: str = ""
    split: str | None = None
    """The split that the expectation names."""
    published: str = ""
    """How it stands to a published claim: ``claim``, ``opposite``, or empty."""
    unfinished: bool = False
    """Whether it waits for runs."""
    problems: tuple[str, ...] = ()
    """Which of its runs cannot be judged, and why; `held` is then None."""

    @property
    def word(self) -> Word:
        return word(self.held, self.unfinished)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "word": self.word}

    def for_report(self) -> dict[str, Any]:
        """The same row in the words of `grokscope.report.build_report`."""
        shown = {"where": self.where, "what": self.note, "expected": self.expected, "seen": self.seen, "ok": self.held}
        return {**shown, "word": self.word, "published": self.published}


def answer_of(rows: Sequence[CheckRow]) -> str:
    """What heads the check, on the terminal as on the page."""
    return answer([row.to_dict() for row in rows])[1]


def standing_of(runs: Sequence[StudyRun], criteria: "Criteria | None") -> str:
    """How many of the planned runs are finished, in each arm, and how many of their verdicts are fragile."""
    arms = {s.entry.label: (0, 0) for s in runs}
    robust, judge = [], _Judge(criteria)
    for s in map(judge.sound, runs):
        done, planned = arms[s.entry.label]
        arms[s.entry.label] = done + s.finished, planned + 1
        found = judge.known[s.run.id] if s.finished else {}
        if found and found[speaking(found)].verdict is not None:
            robust.append(found[speaking(found)].robust)
    return standing(arms, len(robust), robust.count(False))


def check(
    expectations: Sequence[AnyExpectation], runs: Sequence[StudyRun], criteria: "Criteria | None"
) -> list[CheckRow]:
    """One row for each expectation that speaks of the given runs (a narrowed study leaves out the others). One that
    speaks of a damaged run decides nothing and names it; the others are decided.

    Raises:
        ValueError: a split or column that the runs do not have, or runs of one task and seed that learned from other
            data.
    """
    judge = _Judge(criteria)
    runs = [judge.sound(s) for s in runs]
    refuse_mixed((s.run.id, s.run.record) for s in runs if s.finished)
    rows = [_check_one(e, runs, judge) for e in expectations]
    return [row for row in rows if row is not None]


def _check_one(e: AnyExpectation, runs: Sequence[StudyRun], judge: "_Judge") -> CheckRow | None:
    match e:
        case RatioExpectation():
            return _ratio(e, runs, judge)
        case MeasuredRatio():
            return _measured_ratio(e, runs, judge)
        case MeasuredExpectation():
            return _measured(e, runs, judge)
        case Expectation():
            return _plain(e, runs, judge)


class _Judge:
    """Each run's verdicts and metrics, read once."""

    def __init__(self, criteria: "Criteria | None"):
        self.criteria = criteria
        self.known: dict[str, Splits] = {}
        self.read: dict[str, Recorded] = {}

    def sound(self, study_run: StudyRun) -> StudyRun:
        """The same run where it is not finished or can be judged, else a damaged one, with the reason."""
        if not study_run.finished:
            return study_run
        try:
            self.known[study_run.run.id] = run_verdicts(study_run.run, self.criteria)
        except ValueError as error:
            return replace(study_run, state="damaged", message=str(error))
        return study_run

    def __call__(self, study_run: StudyRun, split: str | None) -> VerdictRecord:
        found = self.known[study_run.run.id]
        if split is not None and split not in found:
            raise ValueError(f"{study_run.run.id} has no held-out split {split!r}{nearest(split, list(found))}")
        return found[split or speaking(found)]

    def recorded(self, study_run: StudyRun) -> Recorded:
        return self.read.setdefault(study_run.run.id, Recorded(study_run.run, self.criteria))


def _chosen(e: Expectation | MeasuredExpectation, runs: Sequence[StudyRun]) -> list[StudyRun] | CheckRow | None:
    """The runs an expectation speaks of; a row that decides nothing while some are unfinished; None where there are
    none."""
    chosen = [s for s in runs if matches(s.entry, e.where)]
    if not all(s.finished for s in chosen):
        row = _row(e, e.expected(), _so_far(chosen), None, unfinished=True)
        return replace(row, problems=_problems(chosen))
    return chosen or None


def _so_far(chosen: Collection[StudyRun]) -> str:
    finished = sum(s.finished for s in chosen)
    bad = [s.run.id for s in chosen if s.state in BAD]
    named = f"; cannot be judged: {', '.join(bad[:3])}{f' and {len(bad) - 3} more' * (len(bad) > 3)}" if bad else ""
    return f"{finished:,} of {len(chosen):,} runs are finished{named}"


def _problems(chosen: Collection[StudyRun]) -> tuple[str, ...]:
    return tuple(f"{s.state}: {s.run.id}: {s.message}" for s in chosen if s.state in BAD)


def _row(
    e: Expectation | MeasuredExpectation, expected: str, seen: str, held: bool | None, unfinished: bool = False
) -> CheckRow:
    return CheckRow(describe_where(e.where), expected, seen, held, e.note, e.split, e.published, unfinished)


def _measured(e: MeasuredExpectation, runs: Sequence[StudyRun], judge: _Judge) -> CheckRow | None:
    chosen = _chosen(e, runs)
    if not isinstance(chosen, list):
        return chosen
    recorded = [judge.recorded(s) for s in chosen]
    if (todo := e.undone(recorded)) is not None:
        return _row(e, e.expected(), todo, None, unfinished=True)
    values = [e.value(own) for own in recorded]
    held = sum(e.met(v) for v in values) >= e.share * len(values) - 1e-9
    return _row(e, e.expected(), e.describe(values), held)


def _plain(e: Expectation, runs: Sequence[StudyRun], judge: _Judge) -> CheckRow | None:
    finished = _chosen(e, runs)
    if not isinstance(finished, list):
        return finished
    verdicts = [judge(s, e.split) for s in finished]
    met = sum(e.met(v) for v in verdicts)
    held = met >= e.share * len(verdicts) - 1e-9
    return _row(e, _expected(e, verdicts), _describe(e, verdicts, met), held)


def _expected(e: AnyExpectation, verdicts: Sequence[VerdictRecord]) -> str:
    """What was expected. Where no split is named and the one that spoke for every run is only to be reported, it is
    named, and a peak on it stamped."""
    spoke = {v.split for v in verdicts}
    unsaid = e.split is None and len(spoke) == 1 and spoke <= set(REPORTED)
    return (replace(e, split=spoke.pop()) if unsaid else e).expected()


def _describe(e: Expectation, verdicts: Sequence[VerdictRecord], met: int) -> str:
    names = Counter(_word(v, e) for v in verdicts)
    parts = [
        f"{met} of {len(verdicts):,}: "
        + ", ".join(f"{n} {name}" if len(names) > 1 else name for name, n in names.items())
    ]
    return "; ".join(parts + [f"{name} {_spread([seen(v, name) for v in verdicts])}" for name in e.quantities()])


def _word(verdict: VerdictRecord, e: Expectation) -> str:
    """A run's verdict, with its route where the expectation asks for one."""
    name = verdict.verdict or NOT_JUDGED
    return f"{name} ({route(verdict) or 'no route'})" if e.formation else name


def _spread(values: Sequence[Seen]) -> str:
    """``2,600`` or ``2,500 to 2,800``."""
    ordered = sorted(values, key=lambda s: (s.censored, s.value))
    low, high = str(ordered[0]), str(ordered[-1])
    return low if low == high else f"{low} to {high}"


def _groups(
    e: RatioExpectation | MeasuredRatio, runs: Sequence[StudyRun]
) -> tuple[list[StudyRun], ...] | CheckRow | None:
    """The two groups of a ratio; a row that decides nothing while some runs are unfinished; None without a group."""
    above, below = ([s for s in runs if matches(s.entry, w)] for w in (e.of, e.to))
    if not above or not below:
        return None
    both = {s.run.id: s for s in (*above, *below)}.values()
    if not all(s.finished for s in both):
        row = _ratio_row(e, e.expected(), _so_far(both), None, unfinished=True)
        return replace(row, problems=_problems(both))
    return above, below


def _ratio_row(
    e: RatioExpectation | MeasuredRatio, expected: str, seen: str, held: bool | None, unfinished: bool = False
) -> CheckRow:
    where = f"{describe_where(e.of)} against {describe_where(e.to)}"
    return CheckRow(where, expected, seen, held, e.note, e.split, e.published, unfinished)


def _ratio(e: RatioExpectation, runs: Sequence[StudyRun], judge: _Judge) -> CheckRow | None:
    groups = _groups(e, runs)
    if not isinstance(groups, tuple):
        return groups
    verdicts = [[judge(s, e.split) for s in group] for group in groups]
    top, bottom = ([seen(v, e.ratio) for v in group] for group in verdicts)
    ratio = e.seen(top, bottom)
    text = f"{ratio} (medians {median_text(top)} and {median_text(bottom)}, with 95 % intervals)"
    return _ratio_row(e, _expected(e, list(chain.from_iterable(verdicts))), text, _decide(ratio, *e.between))


def _measured_ratio(e: MeasuredRatio, runs: Sequence[StudyRun], judge: _Judge) -> CheckRow | None:
    groups = _groups(e, runs)
    if not isinstance(groups, tuple):
        return groups
    recorded = [[judge.recorded(s) for s in group] for group in groups]
    once = {run.id: run for run in chain.from_iterable(recorded)}  # a run may be in both groups
    if (todo := e.undone(list(once.values()))) is not None:
        return _ratio_row(e, e.expected(), todo, None, unfinished=True)
    above, below = ([e.value(run) for run in group] for group in recorded)
    return _ratio_row(e, e.expected(), e.describe(above, below), e.met(e.ratio(above, below)))


def _decide(ratio: Seen, low: float, high: float) -> bool | None:
    """A ratio with an unreached numerator is only known to be larger than its value."""
    if ratio.value != ratio.value:
        return None
    if ratio.within(low, high):
        return True
    return None if ratio.censored and ratio.value <= high else False
