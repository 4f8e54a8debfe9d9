"""Pareto set of time and score, with censored times."""

from collections.abc import Sequence

import numpy as np

from grokscope.results.phase import Standing


def standings(at: Sequence[float], censored: Sequence[bool], best: Sequence[float]) -> list[Standing]:
    """The standing of each of n points: times `at` (n,), where `censored` (n,) only known to be later; levels `best`
    (n,), larger is better.

    A point is dominated where another was reached no later, has a level no lower, and is strictly better in one of
    them. Points that tie in both stand in the set together. A censored point was reached at some unknown time after
    `at`: it dominates none, since it may never be reached; it is dominated by a point that was reached by then with a
    level no lower; else it is ``open``: whether it belongs to the set a longer run would say.

    Misleads where levels are the best of many evaluations, by which noisy runs gain, and where runs were trained for
    different lengths: a longer one has more evaluations to be best at.
    """
    time, late = np.asarray(at, dtype=np.float64), np.asarray(censored, dtype=bool)
    level = np.asarray(best, dtype=np.float64)
    return [_standing(i, time, late, level) for i in range(len(time))]


def _standing(i: int, time: np.ndarray, late: np.ndarray, level: np.ndarray) -> Standing:
    as_good = ~late & (time <= time[i]) & (level >= level[i])
    if late[i]:  # its own time lies strictly after `time[i]`, so being no later than that is being sooner
        return "dominated" if as_good.any() else "open"
    better = as_good & ((time < time[i]) | (level > level[i]))
    return "dominated" if better.any() else "front"
