"""Survival data: each group's times with censoring, tests between groups, and their texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from grokscope.inference.families import holm
from grokscope.report.read.judged_run import Reading
from grokscope.results.seed_tests import ENOUGH
from grokscope.vocabulary.text import listed, p_value, plural, steps

if TYPE_CHECKING:
    from grokscope.trajectory import LogRank, Survival, Times

DRAWN = 8
"""At most this many groups are drawn; all are in the table."""
COMPARED = 6
"""Up to this many groups every pair is tested; with more, hunting through pairs would only find chance."""


@dataclass(frozen=True)
class Arm:
    """One group's times; `left_out` runs had nothing that could begin."""

    group: str
    split: str
    """On which its runs were judged."""
    times: "Times"
    left_out: int
    estimate: "Survival | None"

    def at_risk(self, time: float) -> int:
        """Runs that had neither reached it nor ended before `time`."""
        return int((self.times.at >= time).sum())


def arms(groups: Mapping[str, Sequence[Reading]], what: str) -> list[Arm]:
    """`what` is ``T_gen`` or ``delay``. Runs without a single evaluation are counted in `left_out`, and for the delay
    also those that never fitted: their delay has not begun."""
    from grokscope.trajectory import delays_of, survival, times_of

    out = []
    for group, readings in groups.items():
        judged = [r.milestones for r in readings if r.milestones is not None]
        missing = len(readings) - len(judged)
        if what == "delay":
            times, unfitted = delays_of(judged)
            missing += unfitted
        else:
            times = times_of(judged, what)
        split = readings[0].split if readings else ""
        out.append(Arm(group, split, times, missing, survival(times) if len(times) else None))
    return out


def drawn_arms(times: Sequence[Arm]) -> list[int]:
    """Places of the groups that are drawn, in their order: all where they are few, else those of which the largest
    share has reached it, the earliest of them first."""
    if len(times) <= DRAWN:
        return list(range(len(times)))
    return sorted(sorted(range(len(times)), key=lambda i: (*_reached(times[i]), i))[:DRAWN])


def _reached(arm: Arm) -> tuple[float, float]:
    """(what remains, when), smaller where more have reached it and sooner."""
    k = arm.estimate
    if k is None or not k.events:
        return 1.0, 0.0
    return float(k.survival[-1]), float(k.bound if k.median is None else k.median)


def worth_drawing(arms: Sequence[Arm]) -> bool:
    """Two runs or more, and one that reached it: curves that all lie at 0 % say less than the sentence does."""
    return sum(len(a.times) for a in arms) > 1 and any(a.times.events for a in arms)


def pairs(arms: Sequence[Arm]) -> list[tuple[Arm, Arm, "LogRank", float | None]]:
    """Log-rank tests between all pairs of up to COMPARED groups, with Holm's adjusted p (Holm 1979) over the family."""
    usable = [a for a in arms if len(a.times)]
    if not 2 <= len(usable) <= COMPARED:
        return []
    tests = [(a, b, _test(a, b)) for a, b in combinations(usable, 2)]
    known = [t[2].p for t in tests if t[2].p is not None]
    adjusted = iter(holm(known))  # a test that gave no p is not in the family
    return [(a, b, test, None if test.p is None else next(adjusted)) for a, b, test in tests]


def _test(a: Arm, b: Arm) -> "LogRank":
    """Times to a threshold on one split are not compared with times to one on another."""
    from grokscope.trajectory import LogRank, logrank

    if a.split == b.split:
        return logrank(a.times, b.times)
    n, events = (len(a.times), len(b.times)), (a.times.events, b.times.events)
    return LogRank(n=n, events=events, reason=f"judged on different splits, {a.split} and {b.split}: not compared")


def spoken_survival(arms: Sequence[Arm], what: str) -> str:
    """What the figure shows, with its numbers."""
    subject = "the delay from fitting to generalizing" if what == "delay" else "the step of generalization"
    turnbull = any(a.estimate is not None and a.estimate.method == "Turnbull" for a in arms)
    parts = [f"{'Turnbull estimates' if turnbull else 'Kaplan-Meier curves'} of {subject}."]
    for arm in arms:
        k = arm.estimate
        if k is None:
            parts.append(f"{arm.group}: no run with evaluations.")
            continue
        parts.append(
            f"{arm.group}: {k.events:,} of {plural(k.n, 'run')} reached it, median {' ('.join(median_words(k))})."
        )
    return " ".join(parts)


def survival_rows(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """The drawn curves: by each time the share that has reached it, with its band, and who is at risk; then each run
    that had not, where it ended."""
    rows: list[dict[str, Any]] = []
    for arm in arms:
        k = arm.estimate
        if k is None:
            continue
        for time, share, low, high in zip(k.times, k.survival, k.low, k.high, strict=True):
            at_risk = arm.at_risk(float(time))
            values = {"at": float(time), "reached": 1 - share.item(), "low": 1 - high.item(), "high": 1 - low.item()}
            rows.append({"group": arm.group, "method": k.method, **values, "at_risk": at_risk, "runs": k.n})
        ended = arm.times.at[~arm.times.observed].tolist()
        rows += [{"group": arm.group, "method": "censored", "at": end, "runs": k.n} for end in ended]
    return rows


def arm_rows(times: Sequence[Arm], delays: Sequence[Arm]) -> list[dict[str, Any]]:
    """Group by group: n, how many generalized, medians with their intervals."""
    out = []
    for arm, delay in zip(times, delays, strict=True):
        k = arm.estimate
        out.append({
            "group": arm.group, "n": len(arm.times), "left_out": arm.left_out, "events": 0 if k is None else k.events,
            "gen": median_words(k), "delay": median_words(delay.estimate), "unfitted": delay.left_out - arm.left_out,
            "notes": "no evaluations" if k is None else listed([n for n in k.notes if "too few" not in n]),
        })  # fmt: skip
    return out


def median_words(k: "Survival | None") -> tuple[str, str]:
    """(median, its 95 % interval in words); a median that was not reached is larger than its bound."""
    if k is None:
        return "–", ""
    return f"> {steps(k.bound)}" if k.median is None else steps(k.median), f"95 %: {_spread(k)}"


def _spread(k: "Survival") -> str:
    low, high = k.median_low, k.median_high
    if low is None and high is None:
        many_and_none = not k.events and k.n >= ENOUGH
        return f"open, reached by none of {k.n:,} runs" if many_and_none else "undetermined, too few runs"
    if high is None:
        return f"{steps(low)} or later"
    if low is None:
        return f"up to {steps(high)}"
    if low == high:
        return f"{steps(low)} to {steps(high)}, zero width: all fall on one evaluation, which does not mean certainty"
    return f"{steps(low)} to {steps(high)}"


def pair_rows(tests: "Sequence[tuple[Arm, Arm, LogRank, float | None]]") -> list[dict[str, Any]]:
    return [
        {"a": a.group, "b": b.group, "n": test.n, "events": test.events,
         "p": p_value(test.p), "holm": p_value(adjusted), "smallest": p_value(test.smallest_p),
         "asymptotic": p_value(test.p_asymptotic), "reason": test.reason,
         "cautions": [note for note in test.notes if "too few" not in note]}
        for a, b, test, adjusted in tests
    ]  # fmt: skip


def one_answer(rows: Sequence[Mapping[str, Any]]) -> str:
    """The sentence in place of a table whose rows all say why nothing can be told; empty where they differ."""
    reasons = {row["reason"] for row in rows}
    if len(rows) < 2 or len(reasons) > 1 or "" in reasons:
        return ""
    return f"The same for all {len(rows):,} pairs of groups: {reasons.pop()}."
