"""Do train-loss spikes near the transition coincide with drops of the weight norm?

The m-height study predicts a perfect correlation between the spike at the transition and a large drop of the norm:
the network pays with its fit for shedding complexity. This module puts numbers to that prediction and says when it
cannot tell.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.event import Event, logged
from grokscope.trajectory.events import transition
from grokscope.trajectory.loss_spikes import loss_spikes
from grokscope.trajectory.onset import first_judged
from grokscope.trajectory.series import Trajectory
from grokscope.vocabulary.text import p_equation, percent

FEWEST_PAIRS = 8
"""Below this the interval of a rank correlation spans more than half of [-1, 1] whatever the data say."""

STRONG = -0.5
"""An interval wholly above this rules out the predicted strong negative correlation."""

ALPHA = 0.05

Answer = Literal["supports", "against", "cannot tell"]


@dataclass(frozen=True, kw_only=True)
class SpikeLink:
    """One loss spike against the transition of a held-out split and against the norm.

    The prediction has a strong and a weak reading. Strong: the two move against each other, evaluation by evaluation.
    `rho` is Spearman's correlation, over the `spike_window` evaluations on either side of the spike, of the change in
    log train loss with the change in log norm: -1. `low` and `high` are its 95 % interval (Bonett & Wright 2000,
    doi:10.1007/BF02294183), `p` is two-sided from permuted pairings. Weak: the norm falls across the spike as it hardly
    does elsewhere, whatever the order in which they do so, as where the loss jumps first and the norm goes after it:
    `norm_drop_rank`. `verdict` is `supports` if either shows (each at half of .05) and `against` only if neither does.
    Both take the changes as exchangeable; successive changes of a smooth norm are not quite, which makes them
    optimistic.
    """

    spike: Event
    split: str
    transition: Event | None
    near: bool
    """Within the transition, or outside it by at most `spike_reach` times the widths of both together."""
    lag: float | None
    """Steps from the transition to the spike: negative if the spike came first."""
    lag_evaluations: int | None
    norm_drop_rank: float | None
    """Share of the stretches with as many evaluations, from where events are judged to the end, in which the norm fell
    at least as much as from before the spike to after it: (1 + #) / (1 + N)."""
    pairs: int
    rho: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    verdict: Answer = "cannot tell"
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        nested = {"spike": self.spike.to_dict(), "transition": self.transition and self.transition.to_dict()}
        return {**vars(self), **nested}


def spike_links(
    trajectory: Trajectory, split: str | None = None, criteria: Criteria | None = None, *, seed: int = 0
) -> list[SpikeLink]:
    """Every loss spike against the transition and the norm; `seed` is for the permutations.

    An empty list means that no spike was seen (`grokscope.trajectory.events.unseen` says whether one could have been).
    """
    criteria = criteria or Criteria()
    split = trajectory.split(split)
    moved = transition(trajectory, split, criteria)
    return [_link(trajectory, split, s, moved, criteria, seed) for s in loss_spikes(trajectory, criteria)]


def _link(
    trajectory: Trajectory, split: str, spike: Event, moved: Event | None, criteria: Criteria, seed: int
) -> SpikeLink:
    step = trajectory.step
    loss, norm = _changes(trajectory, spike, criteria.spike_window)
    lag = None if moved is None else spike.at - moved.at
    rows = None
    if moved is not None:
        rows = int(np.searchsorted(step, spike.at) - np.searchsorted(step, moved.at))
    rank = _drop_rank(trajectory, spike, criteria)
    return SpikeLink(
        spike=spike,
        split=split,
        transition=moved,
        near=moved is not None and _near(spike, moved, criteria.spike_reach),
        lag=lag,
        lag_evaluations=rows,
        norm_drop_rank=rank,
        pairs=len(loss),
        **_association(loss, norm, rank, seed),
    )


def _near(spike: Event, moved: Event, reach: float) -> bool:
    slack = reach * (moved.end - moved.start + spike.end - spike.start)
    return moved.start - slack <= spike.at <= moved.end + slack


def _changes(trajectory: Trajectory, spike: Event, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Changes of log train loss and of log norm between evaluations with both, around a spike: two arrays (pairs,)."""
    if trajectory.train_loss is None or trajectory.norm is None:
        return np.empty(0), np.empty(0)
    evaluated = np.flatnonzero(~np.isnan(trajectory.train_loss))
    at = int(np.searchsorted(trajectory.step[evaluated], spike.at))
    rows = evaluated[max(at - window, 0) : at + window + 1]
    loss, norm = trajectory.train_loss[rows], trajectory.norm[rows]
    usable = np.isfinite(loss) & np.isfinite(norm)
    loss, norm = loss[usable], norm[usable]
    positive = (loss > 0) & (norm > 0)
    loss, norm = loss[positive], norm[positive]
    return np.diff(np.log(loss)), np.diff(np.log(norm))


def _drop_rank(trajectory: Trajectory, spike: Event, criteria: Criteria) -> float | None:
    """(1 + #) / (1 + N) over the other judged stretches whose norm fell as much as across the spike."""
    step, norm = logged(trajectory, trajectory.norm)
    since = first_judged(trajectory, criteria)
    judged = step >= min(spike.start if since is None else since, spike.start)
    step, norm = step[judged], norm[judged]
    i, j = np.searchsorted(step, spike.start, side="right") - 1, np.searchsorted(step, spike.end, side="right")
    if i < 0 or j >= len(step) or not (norm > 0).all():
        return None
    change = np.log(norm[j - i :] / norm[: len(norm) - (j - i)])
    others = np.delete(change, i)
    return float((1 + (others <= change[i]).sum()) / (1 + len(others)))


def _association(loss: np.ndarray, norm: np.ndarray, rank: float | None, seed: int) -> dict[str, Any]:
    if len(loss) < FEWEST_PAIRS:
        return {"reason": f"{len(loss):,} pairs of changes around the spike, fewer than {FEWEST_PAIRS}"}
    if np.ptp(loss) == 0 or np.ptp(norm) == 0:
        return {"reason": "the train loss or the norm does not change around the spike"}
    x, y = stats.rankdata(loss), stats.rankdata(norm)
    rho = float(np.corrcoef(x, y)[0, 1])
    low, high = _interval(rho, len(x))
    p = _permutation_p(x, y, seed)
    numbers = f"rank correlation {rho:.2f} [{low:.2f}, {high:.2f}], two-sided {p_equation(p)}, {len(x):,} pairs"
    named, words = _named(rho, low, high, p, rank)
    return {"rho": rho, "low": low, "high": high, "p": p, "verdict": named, "reason": f"{words}: {numbers}"}


def _named(rho: float, low: float, high: float, p: float, rank: float | None) -> tuple[Answer, str]:
    """(verdict, why)"""
    if rho < 0 and p <= ALPHA / 2 and high < 0:
        return "supports", "the norm falls as the loss rises"
    across = ""
    if rank is not None:
        across = f", and the fall of the norm across the spike is none of its largest ({rank:.2g})"
    if rank is not None and rank <= ALPHA / 2:
        return "supports", (
            f"the norm falls across the spike more than over {percent(1 - rank)} of the other stretches as long, "
            "though not evaluation by evaluation"
        )
    if low > STRONG and (rank is None or rank > ALPHA):
        return "against", f"no strong negative correlation{across}"
    return "cannot tell", "the data fit both"


def _interval(rho: float, n: int) -> tuple[float, float]:
    """95 % interval of Spearman's rho, by Fisher's z with Bonett and Wright's variance."""
    z = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    half = stats.norm.ppf(1 - ALPHA / 2) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    return float(np.tanh(z - half)), float(np.tanh(z + half))


def _permutation_p(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    y = y - y.mean()

    def covariance(a: np.ndarray, axis: int = -1) -> np.ndarray:
        return (a * y).sum(axis=axis)

    result = stats.permutation_test(
        (x,),
        covariance,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=4999,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)
