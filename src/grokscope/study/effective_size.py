"""The ``[[effective_size]]`` blocks of a study file, and their estimates.

    [[effective_size]]
    arms = ["grokking-favorable", "standard"]   # at which size does the second do what the first does?
    quantity = "end"                            # or final, peak, peak_lasting; T_gen and other milestones
    split = "ood_test"
    at = [100, 200]                             # sizes of the first arm; all of them if not given
    name = "effective size in unseen hospitals" # only where a [[claimed]] block names it

In place of `arms` also ``of`` and ``to``, with conditions as in a hypothesis. The size is that of the training set,
however the task's options come to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from grokscope.config import is_whole, require
from grokscope.inference.effective_size import FEWEST, Plain, as_plain, falls, read_off
from grokscope.limits import brief
from grokscope.registry import nearest
from grokscope.results.effective_size import Conclusion, EffectiveSize, SizeCell, SizeComparison
from grokscope.study.conditions import check_where, matches
from grokscope.study.hypothesis import MILESTONES, Hypothesis, Quantity, called
from grokscope.study.judge import Judge, so_far
from grokscope.study.numbers import ArmNumbers, CannotTell, arm_numbers
from grokscope.study.run_state import StudyRun
from grokscope.study.spec import Entry
from grokscope.vocabulary.splits import HELD_OUT
from grokscope.vocabulary.text import listed, plural, whole

LEVELS = ("end", "final", "peak", "peak_lasting")
QUANTITIES = (*LEVELS, *MILESTONES)
KEYS = ("arms", "of", "to", "quantity", "split", "at", "name")


@dataclass(frozen=True, kw_only=True)
class SizeQuestion:
    """One block: at which sizes `plain` does what `other` does."""

    quantity: Quantity
    other: Mapping[str, Any]
    plain: Mapping[str, Any]
    at: tuple[int, ...]
    """Sizes of the other arm."""
    name: str = ""
    """By which a claim names it."""

    @property
    def groups(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Conditions of the runs that it speaks of."""
        return self.other, self.plain


def read_effective_sizes(raw: Any, entries: Sequence[Entry]) -> tuple[SizeQuestion, ...]:
    """The blocks.

    Raises:
        ValueError: an unknown key, quantity, split, arm or size (with the nearest), a plain arm of a single size, or
            arms in which a seed has several runs of one size.
    """
    where = "$.effective_size"
    require(
        raw is None or isinstance(raw, list), f"{where}: write [[effective_size]] with double brackets, a block each"
    )
    return tuple(_read(block, f"{where}[{i}]", entries) for i, block in enumerate(raw or ()))


def _read(block: Any, where: str, entries: Sequence[Entry]) -> SizeQuestion:
    require(isinstance(block, Mapping), f"{where}: expected a table, got {brief(block)}")
    for key in block:
        require(key in KEYS, f"{where}.{key}: unknown key{nearest(key, list(KEYS))}")
    other, plain = _arms(block, where, entries)
    for arm in (other, plain):
        _require_seed_is_unit(_members(entries, arm), called(arm), where)
    sizes = _sizes(entries, plain)
    only = f"{where}: {called(plain)} has one size only, {sizes[0]:,}; a size is read off two or more"
    require(len(sizes) > 1, only)
    name = block.get("name", "")
    require(isinstance(name, str), f"{where}.name: expected a text, got {brief(name)}")
    return SizeQuestion(
        name=name,
        quantity=_quantity(block, where),
        other=other,
        plain=plain,
        at=_at(block, where, called(other), _sizes(entries, other)),
    )


def _quantity(block: Mapping[str, Any], where: str) -> Quantity:
    name, split = block.get("quantity"), block.get("split")
    known = isinstance(name, str) and name in QUANTITIES
    require(known, f"{where}.quantity: unknown quantity {brief(name)}{nearest(brief(name), list(QUANTITIES))}")
    known = split is None or split in HELD_OUT
    require(known, f"{where}.split: unknown held-out split {brief(split)}{nearest(brief(split), list(HELD_OUT))}")
    return Quantity(name=str(name), split=split)


def _at(block: Mapping[str, Any], where: str, arm: str, sizes: Sequence[int]) -> tuple[int, ...]:
    at = block.get("at", sizes)
    ok = isinstance(at, list) and at and all(is_whole(n) for n in at)
    require(bool(ok), f"{where}.at: expected a list of sizes, got {brief(at)}")
    listing = listed([f"{size:,}" for size in sizes])
    for n in at:
        require(n in sizes, f"{where}.at: {arm} has no size {n:,}; it has {listing}")
    return tuple(at)


def _arms(block: Mapping[str, Any], where: str, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    by_name, by_conditions = "arms" in block, "of" in block and "to" in block
    half = ("of" in block) != ("to" in block)
    require(
        by_name != by_conditions and not half,
        f'{where}: give the arms in one way: arms = ["compared", "plain"], or of and to',
    )
    if by_conditions:
        return [check_where(block[key], f"{where}.{key}", entries) for key in ("of", "to")]
    arms = block["arms"]
    pair = isinstance(arms, list) and len(arms) == 2 and all(isinstance(a, str) for a in arms)
    require(pair, f"{where}.arms: expected the names of two arms, got {brief(arms)}")
    return [check_where({"arm": arm}, f"{where}.arms", entries) for arm in arms]


def _members(entries: Sequence[Entry], where: Mapping[str, Any]) -> list[Entry]:
    return [entry for entry in entries if matches(entry, where)]


def _sizes(entries: Sequence[Entry], where: Mapping[str, Any]) -> list[int]:
    return sorted({entry.config.task.train_size() for entry in _members(entries, where)})


def _require_seed_is_unit(members: Sequence[Entry], name: str, where: str) -> None:
    seen: set[tuple[int, int]] = set()
    for entry in members:
        place = entry.config.task.train_size(), entry.config.seed
        again = f"{where}: {name} has several runs of seed {place[1]} at size {place[0]:,}; add conditions by of and to"
        require(place not in seen, again)
        seen.add(place)


def size_comparison(question: SizeQuestion, runs: Sequence[StudyRun], judge: Judge) -> SizeComparison | None:
    """The answers of one block on sound runs; None where a part of the study holds no run of an arm."""
    groups = [_by_size([s for s in runs if matches(s.entry, arm)]) for arm in (question.plain, question.other)]
    plain, other = groups
    asked = {n: members for n, members in other.items() if n in question.at}
    if len(plain) < 2 or not asked:
        return None
    blank = SizeComparison(
        name=question.name,
        quantity=str(question.quantity),
        larger_is_better=not question.quantity.is_time,
        plain=called(question.plain),
        other=called(question.other),
        plain_cells=(),
        other_cells=(),
        answers=(),
        notes=(),
    )
    needed = {s.run.id: s for group in (*plain.values(), *asked.values()) for s in group}.values()
    if any(s.waiting for s in needed):
        return _silent(blank, list(asked), "open", so_far(needed))
    try:
        return _compared(question, blank, plain, asked, judge)
    except CannotTell as why:
        return _silent(blank, list(asked), "cannot tell", str(why))


def _by_size(runs: Sequence[StudyRun]) -> dict[int, list[StudyRun]]:
    by_size: dict[int, list[StudyRun]] = {}
    for s in sorted(runs, key=lambda s: s.entry.config.task.train_size()):
        by_size.setdefault(s.entry.config.task.train_size(), []).append(s)
    return by_size


def _silent(blank: SizeComparison, sizes: Sequence[int], conclusion: Conclusion, why: str) -> SizeComparison:
    answers = [_no_answer(n, conclusion, f"{blank.other} at {n:,}: {conclusion}: {why}") for n in sizes]
    return replace(blank, answers=tuple(answers), notes=(why,))


def _no_answer(n: int, conclusion: Conclusion, says: str) -> EffectiveSize:
    return EffectiveSize(
        n=n, value=None, size=None, sign="", low=None, high=None, level=0.0, seeds=0, paired=False, method="",
        conclusion=conclusion, says=says,
    )  # fmt: skip


def _compared(
    question: SizeQuestion,
    blank: SizeComparison,
    plain: Mapping[int, Sequence[StudyRun]],
    other: Mapping[int, Sequence[StudyRun]],
    judge: Judge,
) -> SizeComparison:
    notes = [*_lost([*plain.values(), *other.values()])]
    finished = {n: [s for s in group if s.finished] for n, group in plain.items()}
    common = set.intersection(*({s.seed for s in group} for group in finished.values()))
    _require_seeds(len(common), f"{blank.plain} at every size")
    kept = {n: [s for s in group if s.seed in common] for n, group in finished.items()}
    read_plain, read_other = _numbers(question, kept, judge), {}
    for n, group in other.items():
        finished_runs = [s for s in group if s.finished]
        _require_seeds(len(finished_runs), f"{blank.other} at {n:,}")
        read_other |= _numbers(question, {n: finished_runs}, judge)
    plain_values, other_values, cut = _values(question, read_plain, read_other)
    notes += cut
    curve = as_plain(list(plain_values), [list(v.values()) for v in plain_values.values()], blank.larger_is_better)
    fit = curve.fit if blank.larger_is_better else -curve.fit
    cells = [_cell(n, v, f) for (n, v), f in zip(plain_values.items(), fit.tolist(), strict=True)]
    known = replace(
        blank, plain_cells=tuple(cells), other_cells=tuple(_cell(n, v, None) for n, v in other_values.items())
    )
    if fall := falls(curve):
        why = f"{blank.plain} does not do better with more examples: {fall}"
        return replace(_silent(known, list(other), "cannot tell", why), notes=(*notes, why))
    answers = [_answer(known, n, values, plain_values) for n, values in other_values.items()]
    notes += _unpaired(answers, other_values)
    return replace(known, answers=tuple(answers), notes=tuple(notes))


def _lost(groups: Sequence[Sequence[StudyRun]]) -> list[str]:
    failed = [s.run.id for group in groups for s in group if not s.finished]
    if not failed:
        return []
    return [f"{plural(len(failed), 'run')} failed and are left out, perhaps not at random: {listed(failed[:3])}"]


def _require_seeds(count: int, where: str) -> None:
    if count < FEWEST:
        raise CannotTell(f"{plural(count, 'seed')} finished in {where}, and {FEWEST} are needed")


def _numbers(question: SizeQuestion, groups: Mapping[int, Sequence[StudyRun]], judge: Judge) -> dict[int, ArmNumbers]:
    """The quantity of every run, by size."""
    asked = Hypothesis(name="", quantity=question.quantity, groups=(), sidedness="two-sided", test="")
    return {n: arm_numbers(asked, group, judge) for n, group in groups.items()}


SeedValues = dict[int, dict[int, float]]
"""Size -> seed -> value."""


def _values(
    question: SizeQuestion, plain: Mapping[int, ArmNumbers], other: Mapping[int, ArmNumbers]
) -> tuple[SeedValues, SeedValues, list[str]]:
    """(of the plain arm, of the other, notes). Times that were not reached are cut where the shortest run ends: their
    mean up to there grows less with the size, but it grows where any of them came sooner."""
    end, late, notes = np.inf, 0, []
    if question.quantity.is_time:
        everything = [*plain.values(), *other.values()]
        end = min(numbers.end for numbers in everything)
        late = sum(not r.reached or r.value > end for numbers in everything for r in numbers.rows)
        if all(not r.reached or r.value > end for numbers in other.values() for r in numbers.rows):
            raise CannotTell(f"no run of {called(question.other)} reached it by {whole(end)}")
    if late:
        notes.append(f"{plural(late, 'run')} did not reach it by {whole(end)}: means of the steps up to there")
    values = [{n: _of_seeds(numbers, end) for n, numbers in arm.items()} for arm in (plain, other)]
    return values[0], values[1], notes


def _of_seeds(numbers: ArmNumbers, end: float) -> dict[int, float]:
    return {row.seed or 0: min(row.value, end) if row.reached else float(min(end, row.value)) for row in numbers.rows}


def _unpaired(answers: Sequence[EffectiveSize], other: SeedValues) -> list[str]:
    """Runs without a partner of their seed."""
    dropped = sum(len(other[a.n]) - a.seeds for a in answers if a.paired)
    if not dropped:
        return []
    return [f"{plural(dropped, 'run')} without runs of the same seed in the plain arm left out"]


def _cell(n: int, values: Mapping[int, float], fit: float | None) -> SizeCell:
    mean = float(np.mean(list(values.values())))
    return SizeCell(n=n, seeds=tuple(values), values=tuple(values.values()), mean=mean, fit=fit)


def _answer(known: SizeComparison, n: int, values: Mapping[int, float], plain: SeedValues) -> EffectiveSize:
    shared = [seed for seed in values if seed in next(iter(plain.values()))]
    paired = len(shared) >= FEWEST
    at_size = [values[seed] for seed in (shared if paired else values)]
    rows = [[of_size[seed] for seed in (shared if paired else of_size)] for of_size in plain.values()]
    curve: Plain = as_plain(list(plain), rows, known.larger_is_better)
    turn = 1.0 if known.larger_is_better else -1.0
    read_size = read_off(curve, turn * np.array(at_size), paired=paired)
    conclusion: Conclusion = "not told apart"
    if read_size.low is None and read_size.high is None:
        conclusion = "cannot tell"
    elif read_size.low is not None and read_size.low >= n:
        conclusion = "larger"
    elif read_size.high is not None and read_size.high <= n:
        conclusion = "smaller"
    answer = EffectiveSize(
        n=n,
        value=float(np.mean(at_size)),
        size=read_size.size,
        sign=read_size.sign,
        low=read_size.low,
        high=read_size.high,
        level=read_size.level,
        seeds=min(len(at_size), len(rows[0])),
        paired=paired,
        method=read_size.method,
        conclusion=conclusion,
        says="",
    )
    return replace(answer, says=_sentence(known, answer, list(plain)))


ENDINGS: dict[Conclusion, str] = {
    "larger": "equivalent to a larger training set",
    "smaller": "equivalent to a smaller training set",
    "not told apart": "not distinguishable from its own size",
    "cannot tell": "no size that was run can be ruled out",
}


def _sentence(known: SizeComparison, a: EffectiveSize, sizes: Sequence[int]) -> str:
    """``favorable at 100 performs like standard at about 180 (95 %: between 100 and 400; 5 seeds): ...``."""
    if a.size is not None:
        where = f"at about {whole(round(a.size))}, {a.size / a.n:.2g} times as many"
    elif a.sign == ">":
        where = f"above {whole(sizes[-1])}, the largest size that was run"
    else:
        where = f"below {whole(sizes[0])}, the smallest size that was run"
    sure = f"{100 * a.level:.4g} %: {a.between}; {plural(a.seeds, 'seed')}"
    front = f"{known.quantity}: {known.other} at {a.n:,} performs like {known.plain} {where} ({sure})"
    return f"{front}: {ENDINGS[a.conclusion]}"
