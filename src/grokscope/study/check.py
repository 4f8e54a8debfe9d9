"""Compare the results of a study with its expectations."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from grokscope.inference.claims import Word, answer, standing, word
from grokscope.results.verdict import NOT_JUDGED, VerdictRecord
from grokscope.store.run import read_record
from grokscope.store.same_data import Data, data_of, refuse_other_data
from grokscope.study.answers import seen_words
from grokscope.study.conditions import matches
from grokscope.study.expect import AnyExpectation, ComparedExpectation, Expectation, RatioExpectation, median_text
from grokscope.study.judge import Judge, problems_of, so_far
from grokscope.study.measured import MeasuredExpectation, MeasuredRatio
from grokscope.study.run_state import StudyRun
from grokscope.study.seen import Seen, route, seen
from grokscope.study.testing import members, one_result
from grokscope.study.words import describe_where, with_unit
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
    name: str = ""
    """What the study file calls it, where it does."""
    met: int | None = None
    """Runs that show it, of `of`; None for comparisons of groups."""
    of: int | None = None

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


def standing_of(runs: Sequence[StudyRun], criteria: "Criteria | None", judge: Judge | None = None) -> str:
    """How many of the planned runs are finished, in each arm, and how many of their verdicts are fragile. `judge` is
    one who asks for robustness, and may know the runs."""
    arms = {s.entry.label: (0, 0) for s in runs}
    robust, judge = [], judge or Judge(criteria)
    for s in judge.all_sound(runs):
        done, planned = arms[s.entry.label]
        arms[s.entry.label] = done + s.finished, planned + 1
        by_split = judge.known[s.run.id] if s.finished else {}
        if by_split and by_split[speaking(by_split)].verdict is not None:
            robust.append(by_split[speaking(by_split)].robust)
    return standing(arms, len(robust), robust.count(False))


def check(
    expectations: Sequence[AnyExpectation],
    runs: Sequence[StudyRun],
    criteria: "Criteria | None",
    judge: Judge | None = None,
) -> list[CheckRow]:
    """One row for each expectation that speaks of the given runs (a narrowed study leaves out the others). One that
    speaks of a damaged run decides nothing and names it; the others are decided. `judge` may know the runs.

    Raises:
        ValueError: a split or column that the runs do not have, or runs of one task and seed that learned from other
            data.
    """
    judge = judge or Judge(criteria)
    runs = judge.all_sound(runs)
    refuse_other_data((s.run.id, _data(s)) for s in runs if s.finished)
    rows = [(e, _check_one(e, runs, judge)) for e in expectations]
    return [replace(row, name=e.name) for e, row in rows if row is not None]


def _data(s: StudyRun) -> Data:
    """What a run learned from. Its record is not kept: thousands of them would fill the memory."""
    if s.known is None:
        return data_of(read_record(s.run.path))
    return s.known.data


def _check_one(e: AnyExpectation, runs: Sequence[StudyRun], judge: Judge) -> CheckRow | None:
    match e:
        case ComparedExpectation():
            return _compared(e, runs, judge)
        case RatioExpectation():
            return _ratio(e, runs, judge)
        case MeasuredRatio():
            return _measured_ratio(e, runs, judge)
        case MeasuredExpectation():
            return _measured(e, runs, judge)
        case Expectation():
            return _plain(e, runs, judge)


def _chosen(e: Expectation | MeasuredExpectation, runs: Sequence[StudyRun]) -> list[StudyRun] | CheckRow | None:
    """The runs an expectation speaks of; a row that decides nothing while some are unfinished; None where there are
    none."""
    chosen = [s for s in runs if matches(s.entry, e.where)]
    if not all(s.finished for s in chosen):
        row = _row(e, e.expected(), so_far(chosen), None, unfinished=True)
        return replace(row, problems=problems_of(chosen))
    return chosen or None


def _row(
    e: Expectation | MeasuredExpectation, expected: str, seen: str, held: bool | None, unfinished: bool = False
) -> CheckRow:
    return CheckRow(describe_where(e.where), expected, seen, held, e.note, e.split, e.published, unfinished)


def _compared(e: ComparedExpectation, runs: Sequence[StudyRun], judge: Judge) -> CheckRow | None:
    h = e.hypothesis
    groups = members(h, runs)
    if not all(groups):
        return None
    result = one_result(h, runs, judge)
    held = {"shown": True, "opposite": False}.get(result.outcome)
    row = CheckRow(" against ".join(h.names), e.expected(), seen_words(result), held, e.note, e.split, e.published)
    if not result.unfinished:
        return row
    return replace(row, unfinished=True, problems=problems_of(list(chain.from_iterable(groups))))


def _measured(e: MeasuredExpectation, runs: Sequence[StudyRun], judge: Judge) -> CheckRow | None:
    chosen = _chosen(e, runs)
    if not isinstance(chosen, list):
        return chosen
    recorded = [judge.recorded(s) for s in chosen]
    if (todo := e.undone(recorded)) is not None:
        return _row(e, e.expected(), todo, None, unfinished=True)
    values = [e.value(run) for run in recorded]
    met = sum(e.met(v) for v in values)
    held = met >= e.share * len(values) - 1e-9
    return replace(_row(e, e.expected(), e.describe(values), held), met=met, of=len(values))


def _plain(e: Expectation, runs: Sequence[StudyRun], judge: Judge) -> CheckRow | None:
    finished = _chosen(e, runs)
    if not isinstance(finished, list):
        return finished
    verdicts = [judge(s, e.split) for s in finished]
    met = sum(e.met(v) for v in verdicts)
    held = met >= e.share * len(verdicts) - 1e-9
    return replace(_row(e, _expected(e, verdicts), _describe(e, verdicts, met), held), met=met, of=len(verdicts))


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
    spreads = {name: _spread([seen(v, name) for v in verdicts]) for name in e.quantities()}
    return "; ".join(parts + [f"{name} {with_unit(name, spread)}" for name, spread in spreads.items()])


def _word(verdict: VerdictRecord, e: Expectation) -> str:
    """A run's verdict, with its route where the expectation asks for one."""
    name = verdict.verdict or NOT_JUDGED
    if e.formation:
        return f"{name} ({route(verdict) or 'no route'})"
    return name


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
        row = _ratio_row(e, e.expected(), so_far(both), None, unfinished=True)
        return replace(row, problems=problems_of(both))
    return above, below


def _ratio_row(
    e: RatioExpectation | MeasuredRatio, expected: str, seen: str, held: bool | None, unfinished: bool = False
) -> CheckRow:
    where = f"{describe_where(e.of)} against {describe_where(e.to)}"
    return CheckRow(where, expected, seen, held, e.note, e.split, e.published, unfinished)


def _ratio(e: RatioExpectation, runs: Sequence[StudyRun], judge: Judge) -> CheckRow | None:
    groups = _groups(e, runs)
    if not isinstance(groups, tuple):
        return groups
    verdicts = [[judge(s, e.split) for s in group] for group in groups]
    top, bottom = ([seen(v, e.ratio) for v in group] for group in verdicts)
    ratio = e.seen(top, bottom)
    medians = with_unit(e.ratio, f"{median_text(top)} and {median_text(bottom)}")
    intervals = "with 95 % intervals" if "[" in medians else "no bounded 95 % interval"
    text = f"{ratio} (medians {medians}, {intervals})"
    return _ratio_row(e, _expected(e, list(chain.from_iterable(verdicts))), text, _decide(ratio, *e.between))


def _measured_ratio(e: MeasuredRatio, runs: Sequence[StudyRun], judge: Judge) -> CheckRow | None:
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
    if ratio.censored and ratio.value <= high:
        return None
    return False
