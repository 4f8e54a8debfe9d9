"""The log-rank test between two groups of runs."""

from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from scipy import stats

from grokscope.trajectory.survival import FEW, censored_data
from grokscope.trajectory.times import Times, coarsened, exact_times, pooled, shared_steps
from grokscope.vocabulary.text import whole

EXACT_UP_TO = 20_000
"""Up to this many relabelings the permutation test visits all; beyond, it draws as many."""
SMALLEST_DRAWN = 2 / (EXACT_UP_TO + 1)
"""The smallest two-sided p that so many draws can tell."""
RELABELED = 1_000
"""Up to this many runs each relabeling is drawn as such; of more only how often it gives a group each score, which has
the same distribution and costs by the different scores, not by the runs."""
AT_ONCE = 2_000_000
"""So many numbers are drawn at once."""


@dataclass(frozen=True, kw_only=True)
class LogRank:
    """Two-sided comparison of two groups of runs. p-values are None where nothing can be told; `reason` then says
    why."""

    n: tuple[int, int]
    events: tuple[int, int]
    statistic: float | None = None
    """Standardized; positive if the first group reaches the milestone earlier."""
    p: float | None = None
    """Exact (or, for many runs, drawn) permutation p of the log-rank statistic: the one to quote for few seeds."""
    p_asymptotic: float | None = None
    """From the normal approximation (`scipy.stats.logrank`); can be smaller than any exact p attainable with so few
    runs."""
    smallest_p: float | None = None
    """The smallest two-sided p that these times could have given, had they fallen to the groups otherwise: ties and
    censored runs leave fewer outcomes than the sizes alone."""
    reason: str = ""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


Pair = tuple[Any, Any]
"""(times, observed), exact or of one shared grid."""


def logrank(a: Times | Pair, b: Times | Pair, *, seed: int = 0) -> LogRank:
    """Log-rank test (Mantel 1966) between two groups, each `Times` or (times, observed).

    Runs that were evaluated on different grids are compared on the steps that all of them had. "Cannot tell" (p None)
    when there are no such steps, when a group has fewer than two runs, or when nobody reached the milestone. A group
    without events beside one with some is comparable, and a note says that its median is unknown. Loses power when the
    curves cross, and when the groups had unequal budgets: it is then valid but rejects equal curves more rarely than
    its level says. Assumes that censoring does not depend on a run's outcome (hand-picked stops do).
    """
    a, b = (x if isinstance(x, Times) else exact_times(*x) for x in (a, b))
    n, events = (len(a), len(b)), (a.events, b.events)
    notes = _notes(a, b)
    if min(n) < 1:
        return LogRank(n=n, events=events, reason="cannot tell: a group has no run")
    same = on_one_grid(a, b)
    if isinstance(same, str):
        return LogRank(n=n, events=events, reason=f"cannot tell: {same}", notes=notes)
    a, b, coarse = same
    if reason := _incomparable(a, b):
        return LogRank(n=n, events=events, reason=f"cannot tell: {reason}", notes=(*notes, *coarse))
    # The normal approximation only gives the statistic its sign and size; with a few seeds its p can lie below any
    # that is attainable, so the p to quote is that of relabeled runs.
    result = stats.logrank(censored_data(a), censored_data(b))
    p, smallest = _permutation_p(_scores(pooled([a, b])), len(a), seed)
    return LogRank(
        n=n,
        events=events,
        statistic=float(result.statistic),
        p=p,
        p_asymptotic=float(result.pvalue),
        smallest_p=smallest,
        notes=(*notes, *coarse),
    )


def on_one_grid(a: Times, b: Times) -> tuple[Times, Times, tuple[str, ...]] | str:
    """Both groups on the steps that all runs share, with a note where that changed something; or why there are none."""
    both = pooled([a, b])
    if both.grids is None:
        if both.mixed:
            return "the runs were evaluated on different grids, which are not known"
        return (a, b, ())
    steps = shared_steps(both.grids)
    if not len(steps) or steps[0] > min(a.budgets[-1], b.budgets[-1]):
        return "no evaluation step is shared by all runs"
    if all(len(grid) == np.searchsorted(steps, grid[-1], "right") for grid in both.grids):
        return a, b, ()
    gaps = ""
    if len(steps) > 1:
        gaps = f", every {whole(float(np.median(np.diff(steps))))} steps or so"
    note = f"evaluated on different grids: compared on the {len(steps):,} evaluations that all runs had{gaps}"
    return coarsened(a, steps), coarsened(b, steps), (note,)


def _incomparable(a: Times, b: Times) -> str:
    """Why nothing can be told; empty where it can."""
    if min(len(a), len(b)) < 2:
        return f"groups of {len(a):,} and {len(b):,} runs, at least 2 each are needed"
    if not a.events + b.events:
        return "no run of either group reached the milestone"
    if not _at_risk_together(a, b):
        return "at no event were runs of both groups still waiting, with some of them to wait on"
    return ""


def _at_risk_together(a: Times, b: Times) -> bool:
    """Whether some event had runs of both groups at risk and not all of them at once: otherwise its variance is 0."""
    both = pooled([a, b])
    moments = both.at[both.observed & (both.at <= min(a.at.max(), b.at.max()))]
    return any((both.at >= t).sum() > ((both.at == t) & both.observed).sum() for t in np.unique(moments))


def _notes(a: Times, b: Times) -> tuple[str, ...]:
    n, events = (len(a), len(b)), (a.events, b.events)
    out = []
    if min(n) < FEW:
        out = [f"{min(n)} runs in a group: too few for any claim of significance"]
    if 0 in events and sum(events):
        out.append("one group has no events: its median is unknown, only that it is later")
    if _unequal(a.budgets, b.budgets):
        out.append(
            "unequal budgets: the test stays valid but is weak; where the shorter one cuts off most runs it rejects "
            "equal curves far more rarely than its level says"
        )
    return tuple(out)


def _unequal(a: list[float], b: list[float]) -> bool:
    """Whether the shortest or the longest budget of the groups differs by more than a tenth."""
    return bool(a and b) and any(abs(x - y) > 0.1 * max(abs(x), abs(y)) for x, y in ((a[0], b[0]), (a[-1], b[-1])))


def _scores(times: Times) -> np.ndarray:
    """Log-rank scores (n,): event minus Nelson-Aalen hazard up to the run's time. Their sum over a group is observed
    minus expected events, so permuting group labels needs nothing else."""
    time, seen = times.at, times.observed
    moments = np.unique(time[seen])
    risk = (time[None, :] >= moments[:, None]).sum(axis=1)
    events = ((time[None, :] == moments[:, None]) & seen[None, :]).sum(axis=1)
    hazard = np.concatenate([[0.0], np.cumsum(events / risk)])
    return seen - hazard[np.searchsorted(moments, time, side="right")]


def _permutation_p(scores: np.ndarray, first: int, seed: int) -> tuple[float, float]:
    """(two-sided p, the smallest one that these scores allow)."""

    if len(scores) > RELABELED:
        return _drawn_p(scores, first, seed), SMALLEST_DRAWN

    def total(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.round(x.sum(axis=axis), 9)  # null mean 0, as all scores add up to 0; rounded so that ties are ties

    result = stats.permutation_test(
        (scores[:first], scores[first:]),
        total,
        vectorized=True,
        n_resamples=EXACT_UP_TO,
        rng=np.random.default_rng(seed),
    )
    drawn = np.asarray(result.null_distribution)
    p = float(min(result.pvalue, 1.0))
    if comb(len(scores), first) > EXACT_UP_TO:
        return p, SMALLEST_DRAWN
    # Two-sided, p is twice the smaller tail: at least twice the rarer of the two extreme statistics.
    extremes = min((drawn == drawn.max()).mean(), (drawn == drawn.min()).mean())
    return p, float(min(1.0, 2 * extremes))


def _drawn_p(scores: np.ndarray, first: int, seed: int) -> float:
    """Two-sided p from drawn relabelings. How often the first group gets each of the different scores is multivariate
    hypergeometric; p counts the observed labels among the draws (Phipson and Smyth 2010,
    doi:10.2202/1544-6115.1585)."""
    values, counts = np.unique(np.round(scores, 9), return_counts=True)
    rng, block = np.random.default_rng(seed), max(AT_ONCE // len(values), 1)
    sizes = [min(block, EXACT_UP_TO - done) for done in range(0, EXACT_UP_TO, block)]
    sums = [rng.multivariate_hypergeometric(counts, first, size, method="marginals") @ values for size in sizes]
    # the sums of a draw and of the labels add up in different orders: what differs by less is a tie
    drawn, seen = np.round(np.concatenate(sums), 6), np.round(np.round(scores[:first], 9).sum(), 6)
    least = min((drawn <= seen).sum(), (drawn >= seen).sum())
    return float(min(1.0, 2 * (least + 1) / (EXACT_UP_TO + 1)))
