"""Sentences that summarize a comparison, shared by terminal and page."""

from collections.abc import Sequence

from grokscope.results.comparison import Comparison, ComparisonSide, CurveDifference, NumberRow, SideNumber
from grokscope.results.hypothesis import HypothesisResult
from grokscope.results.seed_tests import ENOUGH
from grokscope.study.answers import effect_words, p_words
from grokscope.vocabulary.text import capitalized, number, plural


def state_sentence(comparison: Comparison) -> str:
    """How many runs there are on each side, and which will give no number."""
    return f"Runs: {_state(comparison.a)}; {_state(comparison.b)}."


def _state(side: ComparisonSide) -> str:
    if side.kind == "logs":
        return f"{side.name}: {plural(len(side.runs), 'log')}"
    parts = [f"{side.finished:,} of {plural(len(side.runs), 'run')} finished"]
    if side.failed:
        parts.append(f"{side.failed:,} failed or damaged (counted, without a number)")
    if side.waiting:
        parts.append(f"{side.waiting:,} not finished")
    return f"{side.name}: {', '.join(parts)}"


def findings(comparison: Comparison) -> list[str]:
    """Verdicts and T_gen of the leading split, then what the test of T_gen says or why there is none."""
    lead = [s for s in comparison.splits if s.split == comparison.split]
    out = []
    for s in lead[:3]:
        front = f"{s.arms[0]}: " if len(lead) > 1 else ""
        verdicts = f"{comparison.a.name}: {_counts(s.verdicts.a)}; {comparison.b.name}: {_counts(s.verdicts.b)}"
        out.append(f"{front}Verdicts on {s.split}: {verdicts}.")
        T_gen = next(row for row in s.milestones if row.name == "T_gen")
        out.append(f"{front}{row_sentence(T_gen, comparison)}")
    if comparison.tests_note:
        out.append(f"{capitalized(comparison.tests_note)}.")
    return [*out, *fewest(comparison.tests)]


def _counts(words: dict[str, int]) -> str:
    if sum(words.values()) == 1:
        return next(iter(words))
    return ", ".join(f"{count:,} {word}" for word, count in words.items()) or "nothing"


def fewest(tests: Sequence[HypothesisResult]) -> list[str]:
    """That few seeds decide nothing, once for all tests."""
    sizes = [min(t.test.n) for t in tests if t.test is not None]
    if not sizes or min(sizes) >= ENOUGH:
        return []
    return [f"Fewer than {ENOUGH} seeds on a side: the p-values are exact, but single seeds can decide them."]


def row_sentence(row: NumberRow, comparison: Comparison) -> str:
    """``T_gen: 560 (A) and 380 (B), difference 180 [170, 190] steps.``"""
    sides = f"{row.name}: {side_words(row.a)} ({comparison.a.name}) and {side_words(row.b)} ({comparison.b.name})"
    if difference := difference_words(row):
        return f"{sides}, difference {difference} {row.unit}."
    return ", ".join(filter(None, (sides, row.note))) + "."


def side_words(n: SideNumber) -> str:
    """``560``; ``> 1,000``; of several runs the median with how many reached it: ``560 (3 of 3)``."""
    if not n.n:
        return "none"
    if n.n == 1 and n.middle is None:
        return f"> {number(n.low or 0)}"
    middle = "not reached by half" if n.middle is None else number(n.middle)
    if n.n > 1 and n.reached < n.n:
        return f"{middle} ({n.reached:,} of {n.n:,})"
    return middle


def range_words(n: SideNumber) -> str:
    """Of a single run what the grid leaves open, of several the range; empty where there is nothing to add."""
    if not n.n or n.low is None:
        return ""
    if n.low == n.high or (n.n == 1 and n.high is None):
        return ""
    if n.high is None:
        return f"from {number(n.low)}, open"
    return f"{number(n.low)} to {number(n.high)}"


def difference_words(row: NumberRow) -> str:
    """``180 [170, 190]``; ``> 180`` or ``< -180`` where one run did not reach it; empty where nothing is known."""
    low, high = row.low, row.high
    if row.difference is not None:
        middle = number(row.difference)
        if low is None or high is None or low == high:
            return middle
        return f"{middle} [{number(low)}, {number(high)}]"
    if low is not None:
        return f"> {number(low)}"
    if high is not None:
        return f"< {number(high)}"
    return ""


def agrees(row: NumberRow) -> bool:
    """Whether the numbers are the same as they are shown, so that the row can be folded away."""
    return side_words(row.a) == side_words(row.b) and row.difference in (0, None)


def furthest(curve: CurveDifference, comparison: Comparison) -> list[str]:
    """(curve, difference at the end, the largest one, its step, pairs), as a table has them."""
    at = max(range(len(curve.step)), key=lambda i: abs(curve.difference[i]))
    several = len({c.arms for c in comparison.curves}) > 1
    name = f"{curve.arms[0]}, {curve.curve}" if several else curve.curve
    pairs = plural(len(curve.seeds), "seed") if curve.paired else "not paired"
    return [name, number(curve.difference[-1]), number(curve.difference[at]), number(curve.step[at]), pairs]


def test_cells(result: HypothesisResult) -> tuple[str, str, str]:
    """(effect with its interval, p with what it must be read against, seeds that would decide)."""
    if result.test is None:
        return next(iter(result.notes), ""), "", ""
    seeds = result.test.seeds_to_decide
    return effect_words(result.test), p_words(result), "over 1,000" if seeds is None else f"{seeds:,}"
