"""The result of a hypothesis in one sentence that claims no more than the numbers support."""

from grokscope.results.hypothesis import HypothesisResult, HypothesisTest, Outcome
from grokscope.study.words import number
from grokscope.vocabulary.text import p_equation, p_value, plural

WORDS: dict[Outcome, str] = {
    "shown": "Shown", "opposite": "The opposite is shown", "not shown": "Not shown", "open": "Open",
    "cannot tell": "Cannot tell",
}  # fmt: skip


def outcome(result: HypothesisResult) -> Outcome:
    """``shown`` where the corrected p is at most alpha. The opposite is held to the same: its one-sided p times the
    looks and the size of the family."""
    test = result.test
    if test is None or result.p_adjusted is None:
        return result.outcome
    if result.p_adjusted <= result.alpha:
        return "shown"
    opposite = test.p_opposite * max(len(result.looks), 1) * result.family_size
    if result.sidedness != "two-sided" and opposite <= result.alpha:
        return "opposite"
    return "not shown"


def answer(result: HypothesisResult) -> str:
    """``Shown: T_gen of decay 0.5 is earlier than that of decay 0.1: ratio of medians 0.31 (93.75 %: 0.2 to 0.4), ...``
    with what would decide it where it is not; it never says significant."""
    first = WORDS[result.outcome]
    if result.standing == "exploratory" and result.test is not None:
        first += ", exploratory"
    if result.test is None:
        reason = f" ({result.notes[0]})" if result.notes else ""
        return f"{first}: {result.asked}{reason}."
    return f"{first}: {result.asked}: {seen_words(result)}."


def effect_words(test: HypothesisTest) -> str:
    """``ratio of medians 0.31 (93.75 %: 0.2 to 0.4)``."""
    sign = f"{test.effect_sign} " if test.effect_sign else ""
    return f"{test.effect_name} {sign}{number(test.effect)} ({test.interval_words})"


def p_words(result: HypothesisResult) -> str:
    """``p = 0.031 one-sided (at best 0.031), 5 pairs``, with the corrected p where there is more than one test."""
    test = result.test
    assert test is not None
    sides = {"two-sided": "two-sided", "within": "for equality"}.get(result.sidedness, "one-sided")
    n = " v ".join(map(str, test.n))
    units = plural(test.n[0], "pair") if test.paired and len(result.arms) > 1 else f"n = {n}"
    corrected = ""
    if result.p_adjusted is not None and result.p_adjusted > test.p:
        corrected = f", corrected {p_value(result.p_adjusted)}"
    return f"{p_equation(test.p)} {sides}{corrected} (smallest possible {p_value(test.smallest_p)}), {units}"


def _more(result: HypothesisResult) -> str:
    """What would decide, where it is not shown."""
    test = result.test
    assert test is not None
    if result.outcome != "not shown" or len(result.arms) < 2:
        return ""
    if result.margin is not None and test.effect_name == "difference of shares":
        return ""  # not computed
    if test.seeds_to_decide is None:
        return "; at the observed effect, even 1,000 seeds per arm have a power below 80 %"
    seeds = plural(test.seeds_to_decide, "seed")
    if test.seeds_to_decide <= min(test.n):
        return f"; {seeds} per arm have a power of 80 % at the observed effect"
    return f"; {seeds} per arm would have a power of 80 % at the observed effect"


def seen_words(result: HypothesisResult) -> str:
    """The numbers alone, or why there are none: what a table shows beside what was claimed."""
    if result.test is None:
        return "; ".join(result.notes)
    return f"{effect_words(result.test)}, {p_words(result)}{_more(result)}"
