"""`grokscope.compare`: compare two runs, arms, studies or logs, from their data to their results."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.comparison.compared import Compared
from grokscope.comparison.curves import PairedCurve, paired_curves
from grokscope.comparison.dissected import dissections
from grokscope.comparison.judging import SideJudge, judged, shared_splits
from grokscope.comparison.mechanisms import mechanisms as mechanism_words
from grokscope.comparison.member import Member
from grokscope.comparison.numbers import Apart, compared_on
from grokscope.comparison.questions import Pair, answers
from grokscope.comparison.same_data import data_sentence, same_data, split_data
from grokscope.comparison.sentences import findings, state_sentence
from grokscope.comparison.settings import differing_settings, settings_note
from grokscope.comparison.sides import Options, Side, two_sides
from grokscope.progress import without_collector
from grokscope.registry import nearest
from grokscope.results.comparison import ComparedRun, Comparison, ComparisonSide, SplitComparison
from grokscope.results.hypothesis import HypothesisResult
from grokscope.vocabulary.splits import speaking
from grokscope.vocabulary.text import capitalized, listed, whole

if TYPE_CHECKING:
    from grokscope.trajectory import Criteria

FEW_CURVES = 100
"""Up to so many runs the curves are read without being asked for."""


def compare(
    a: Any,
    b: Any = None,
    *,
    split: str | None = None,
    root: str | Path = "runs",
    group: str | None = None,
    names: Sequence[str] | None = None,
    criteria: "Criteria | None" = None,
    steps_per_unit: float | None = None,
    mechanisms: bool | None = None,
    html: str | Path | None = None,
    **columns: Any,
) -> Comparison:
    """Compare two sides: runs, arms of a study, whole studies or external logs, in any combination.

        gs.compare("runs/a_s0-1f...", "runs/b_s0-9c...")
        gs.compare("studies/digits.toml::decay 0.1", "studies/digits.toml::decay 0.5", html="compare.html")
        gs.compare("mine/*.csv", "theirs/*.csv", group=r"(?P<g>.*)_s(?P<seed>\\\\d+)", step="epoch", train="acc",
                   held_out={"test": "val_acc"})

    Every difference is the first side minus the second. Tests are those of ``[[hypothesis]]``; they are exploratory,
    because they were chosen after the runs were seen. Nothing is tested for one run against one run.

    Args:
        a: a run folder, a folder or pattern of runs, a study file (or the name of a shipped study), a log, or a
            pattern of logs, each with ``::ARM`` for one arm of it; a `Run`, `Trajectory` or `Study`; a list of these.
        b: the other side; None if `a` has exactly two arms.
        split: the held-out split shown first; by default the headline split of the runs.
        root: folder of the runs of studies.
        group: pattern for groups and seeds in the names of logs, see `grokscope.verdicts_of_logs`.
        names: names of the two sides.
        criteria: thresholds; by default those of the study file, if both sides have the same.
        steps_per_unit: optimizer steps per unit of a log's step column, if it counts something else.
        mechanisms: whether to run the mechanism checks; None: for up to 60 runs.
        html: also write one self-contained page here.
        columns: for logs, see `grokscope.trajectory.from_log`; read logs with different columns with it first, and
            compare them as trajectories.

    Misleads: a difference between configurations that differ in several settings cannot be attributed to any single
        one; and scores on different examples also differ because of the examples.

    Raises:
        ValueError: a place that is nothing, one run on both sides, no held-out split in common, an unknown arm or
            split, nothing that could be judged.
    """
    options = Options(Path(root), group, columns, steps_per_unit)
    drawn = html is not None
    sides = two_sides(a, b, options, names)
    compared = compare_sides(*sides, split=split, criteria=criteria, mechanisms=mechanisms, curves=drawn)
    if html is not None:
        from grokscope.comparison.page import write_page

        write_page(compared, html)
    return compared.record


@without_collector()
def compare_sides(
    a: Side,
    b: Side,
    *,
    split: str | None = None,
    criteria: "Criteria | None" = None,
    mechanisms: bool | None = None,
    curves: bool = False,
) -> Compared:
    """The comparison of two sides that were read. `curves`: of any number of runs; else of few. See `compare`."""
    judge = SideJudge(criteria or _criteria(a, b))
    a, b = (replace(s, members=judged(s.members, judge)) for s in (a, b))
    splits = _ordered(a, b, judge, split)
    pairs, unpaired = _pairs(a, b)
    apart = _apart(a, b)
    drawn, curves_note = _curves(pairs, splits[0], judge, apart, curves)
    tests, tests_note = _tests(pairs, splits[0], judge, apart)
    data = split_data(a, b)
    numbers, words, dissection_note = dissections(a, b)
    checks, checks_note = mechanism_words(a, b, splits[0], judge, mechanisms)
    known = Comparison(
        a=_side(a, splits[0], judge),
        b=_side(b, splits[0], judge),
        split=splits[0],
        same_data=same_data(data),
        says=(),
        data=data,
        settings=differing_settings(a, b),
        settings_note=settings_note(a, b),
        splits=tuple(_on_splits(pairs, splits, judge, apart)),
        unpaired_arms=tuple(unpaired),
        tests=tests,
        tests_note=tests_note,
        curves=tuple(curve.record() for curve in drawn),
        curves_note=curves_note,
        dissection=numbers,
        dissection_words=words,
        dissection_note=dissection_note,
        mechanisms=checks,
        mechanisms_note=checks_note,
    )
    cautions = [*_cautions(a, b, apart, _lengths(pairs, splits[0], judge)), *judge.notes]
    says = (data_sentence(data, a, b), *cautions, state_sentence(known), *findings(known))
    return Compared(replace(known, says=tuple(filter(None, says))), tuple(drawn))


def _criteria(a: Side, b: Side) -> "Criteria | None":
    """A study's own thresholds, where both sides are judged by the same."""
    given = [side.criteria for side in (a, b) if side.kind == "study"]
    if len(given) == 2 and given[0] != given[1]:
        raise ValueError(
            f"criteria: {a.name} and {b.name} have study files with different thresholds; give the thresholds for both"
        )
    return given[0] if given else None


def _ordered(a: Side, b: Side, judge: SideJudge, wanted: str | None) -> list[str]:
    """Splits that both sides have, the leading one first."""
    shared = shared_splits(a.members, b.members, judge)
    if not shared:
        raise ValueError(_no_split(a, b, judge))
    if wanted is not None and wanted not in shared:
        raise ValueError(f"both sides have no held-out split {wanted!r}{nearest(wanted, shared)}")
    lead = wanted or speaking(shared)
    return [lead, *(split for split in shared if split != lead)]


def _no_split(a: Side, b: Side, judge: SideJudge) -> str:
    parts = []
    for side in (a, b):
        why = next((m.problem for m in side.members if m.problem), "no evaluations yet")
        parts.append(f"{side.name} has {listed(judge.splits_of(side.members)) or f'none ({why})'}")
    remedy = ""
    if "logs" in (a.kind, b.kind):
        remedy = "; give the column of a log the other side's name, as in held_out={'id_val': 'val_acc'}"
    return f"no held-out split is on both sides: {'; '.join(parts)}{remedy}"


def _pairs(a: Side, b: Side) -> tuple[list[Pair], list[str]]:
    """Which arm is compared with which: the only ones, else those of one name; and what has no counterpart."""
    if len(a.arms) == len(b.arms) == 1:
        return [Pair((a.name, b.name), (a.arms[0], b.arms[0]), a.members, b.members)], []
    shared = [arm for arm in a.arms if arm in b.arms]
    pairs = [Pair((f"{a.name}, {arm}", f"{b.name}, {arm}"), (arm, arm), a.of(arm), b.of(arm)) for arm in shared]
    alone = []
    for side in (a, b):
        alone += [f"{side.name}: {arm}" for arm in side.arms if arm not in shared]
    if not pairs:
        # Runs of several configurations are no sample of one: they are shown, and nothing is tested
        return [Pair((a.name, b.name), (a.name, b.name), a.members, b.members, pooled=True)], alone
    return pairs, alone


def _on_splits(pairs: Sequence[Pair], splits: Sequence[str], judge: SideJudge, apart: Apart) -> list[SplitComparison]:
    every = product(splits, pairs)
    return [compared_on(split, pair.arms, pair.a, pair.b, judge, apart) for split, pair in every]


def _tests(
    pairs: Sequence[Pair], split: str, judge: SideJudge, apart: Apart
) -> tuple[tuple[HypothesisResult, ...], str]:
    """(tests, why there are none)."""
    if any(pair.pooled for pair in pairs):
        return (), (
            "the sides have several configurations and no arm with the same name, so seeds would be counted several "
            "times; compare one arm with one arm (STUDY::ARM)"
        )
    sizes = [tuple(sum(m.finished for m in group) for group in pair.groups) for pair in pairs]
    if all(n == (1, 1) for n in sizes):
        return (
            (),
            "one run against one run: nothing is tested; the interval of a difference shows the uncertainty of the "
            "evaluation grid",
        )
    if all(min(n) < 2 for n in sizes):
        words = "; ".join(f"{n[0]} and {n[1]} finished runs" for n in sizes[:3])
        return (), f"{words}: a test needs at least 2 on each side"
    return answers(pairs, split, judge, apart, _lengths(pairs, split, judge)), ""


def _lengths(pairs: Sequence[Pair], split: str, judge: SideJudge) -> str:
    """That ends are seen after different numbers of steps; empty where they are not."""
    lasts = []
    for members in (chain.from_iterable(pair.a for pair in pairs), chain.from_iterable(pair.b for pair in pairs)):
        done = [m for m in members if m.finished and split in judge.splits(m)]
        lasts.append(sorted({float(judge(m, split).milestones.last_step) for m in done}))
    if lasts[0] == lasts[1] or not all(lasts):
        return ""
    # one step, or the first and the last of several
    first, second = (" to ".join(map(whole, dict.fromkeys((steps[0], steps[-1])))) for steps in lasts)
    return f"the first side ends at {first} and the second at {second}: ends and verdicts refer to different lengths"


def _curves(
    pairs: Sequence[Pair], split: str, judge: SideJudge, apart: Apart, wanted: bool
) -> tuple[list[PairedCurve], str]:
    runs = sum(len(pair.members) for pair in pairs)
    if runs > FEW_CURVES and not wanted:
        return [], f"not read for more than {FEW_CURVES} runs unless a page is requested"
    if apart.times:
        return [], apart.times
    drawn: list[PairedCurve] = []
    missing: list[str] = []
    for pair in pairs:
        curves, lacking = paired_curves(pair, split, judge, alike=apart.alike)
        drawn += curves
        missing += lacking
    return drawn, "; ".join(dict.fromkeys(missing))


def _apart(a: Side, b: Side) -> Apart:
    unit = " or ".join(dict.fromkeys((a.unit, b.unit)))
    return Apart(_times_apart(a, b), _kinds_apart(a, b), unit, alike=_tasks(a) == _tasks(b))


def _times_apart(a: Side, b: Side) -> str:
    """Why times of the two sides cannot be subtracted; empty where they can."""
    if a.unit == b.unit:
        return ""
    facts = (m.record.get("facts", {}) for m in (*a.members, *b.members))
    epoch = next((steps for known in facts if (steps := known.get("steps_per_epoch"))), None)
    hint = ""
    if epoch:
        hint = f", such as {epoch:,} if it counts epochs of the same length as the runs"
    return (
        f"{a.name} counts {a.unit} and {b.name} counts {b.unit}: times are not compared; give the number of optimizer "
        f"steps per unit of the log (steps_per_unit{hint})"
    )


def _kinds_apart(a: Side, b: Side) -> str:
    """Why scores cannot be subtracted."""
    kinds = [{_kind(m) for m in side.members} - {""} for side in (a, b)]
    if kinds[0] == kinds[1] or not all(kinds):
        return ""
    return "the scores of one side are accuracies and those of the other are R2, so they are not subtracted"


def _kind(m: Member) -> str:
    if m.given is not None:
        return m.given.kind
    return str((m.record.get("facts") or {}).get("kind", ""))


def _tasks(side: Side) -> set[str]:
    """Names of its tasks; empty for logs."""
    configs: list[Mapping[str, Any]] = [m.config for m in side.members if m.config]
    return {str((config.get("task") or {}).get("name", "")) for config in configs} - {""}


def _cautions(a: Side, b: Side, apart: Apart, lengths: str) -> list[str]:
    """What makes numbers of the sides mean different things."""
    out = []
    if _tasks(a) and _tasks(b) and not apart.alike:
        named = [f"{side.name} is trained on {listed(sorted(_tasks(side)))}" for side in (a, b)]
        out.append(f"Different tasks: {' and '.join(named)} ; numbers are comparable only as far as the tasks are.")
    if apart.scores:
        out.append(f"{capitalized(apart.scores)}.")
    if apart.times:
        out.append(f"Times: {apart.times}.")
    for side in (a, b):
        out += [f"{side.name}: {note}." for note in side.notes]
    if lengths:
        out.append(f"Lengths: {lengths}.")
    return out


def _side(side: Side, split: str, judge: SideJudge) -> ComparisonSide:
    members = side.members
    finished, waiting = sum(m.finished for m in members), sum(m.waiting for m in members)
    return ComparisonSide(
        name=side.name,
        source=side.source,
        kind=side.kind,
        unit=side.unit,
        arms=side.arms,
        finished=finished,
        failed=len(members) - finished - waiting,
        waiting=waiting,
        runs=tuple(_run(m, split, judge) for m in members),
        notes=side.notes,
    )


def _run(m: Member, split: str, judge: SideJudge) -> ComparedRun:
    verdict = judge.splits(m).get(split)
    reason = m.problem or ("" if verdict is None else verdict.reason)
    return ComparedRun(
        run=m.id,
        arm=m.arm,
        seed=m.seed,
        state=m.state,
        step=m.step,
        total=m.total,
        verdict=None if verdict is None else verdict.label,
        reason=reason or f"no evaluation of {split}",
        milestones=None if verdict is None else verdict.milestones,
    )
