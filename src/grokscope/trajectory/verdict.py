"""The class of a trajectory for one held-out split, with its evidence and how far it hangs on the thresholds.

Decision order; the first line that holds gives the verdict:

1. `diverged`: the train loss is not finite from some evaluation to the end.
2. `unstable`: after fitting, the train score collapsed repeatedly (`collapses`, filling `collapse_share` of the
   evaluations), and held-out did not stay at the threshold through it (`kept_share`).
3. `recovered-to-baseline`: a late rise, as in 8, that ends no better than the trivial predictor, fitted or not.
4. `underfit`: train never reached the fit threshold, whatever held-out did.
5. `ungrokked`, after-grokking: held-out had reached the threshold, has been below it for the last `dwell` evaluations
   or more, and decayed as in 9 or lies below the threshold by more than noise and `drop_share`.
6. `generalized`: held-out reached the threshold (flickers aside) with no real delay, or after a delay that it mostly
   spent near the threshold.
7. `grokked`: it reached the threshold after a real delay, far below for most of it, and is still there, or not clearly
   below it.
8. `semi-grokked`: it ends above the plateau that it had after fitting, by more than noise and `rise_share`, and kept
   `kept_rise` of that rise.
9. `ungrokked`, early-peak: its lasting peak lies above the end by more than noise and `drop_share`, and it has
   been nearer to the end for the last `dwell` evaluations or more.
10. `memorized`: none of these. Fitted, and held-out has not left its plateau so far (censored).

Why this order: 1, 2 and 4 say that the run is not of the kind the others describe. 3 precedes 4 because a network
that never fitted can still make a late "transition" up to the trivial predictor, and that is the news. 5 precedes 6
and 7 because what was lost was not kept. 8 and 9 can both hold for a late rise that is partly lost: `kept_rise`
decides.

A peak of one evaluation (an untrained network that happens to be right, logged at epoch 1) is reported with
`peak_single` and never makes a run `ungrokked`: that verdict rests on the lasting peak, a running median of three
evaluations.

How often noise alone makes a flat curve `ungrokked`, by simulation with 30 to 300 evaluations: white noise, 2 in 100;
neighbouring evaluations correlated by 0.5, 7 to 13 in 100; by 0.8, 8 to 30 in 100, and often `robust`, because a slow
drift is hard to tell from a decay. One run is an anecdote: compare seeds.

Ungrokking by a run's own training is what the shortcut study means (`early-peak`); Varma et al. (arXiv:2309.02390)
use the word for a grokked network that loses the rule when trained on with less data (`after-grokking`, if the log
spans both).
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.evidence import Evidence, NothingToShow, gather
from grokscope.trajectory.milestones import Milestones
from grokscope.trajectory.reasons import reason
from grokscope.trajectory.series import Trajectory

Name = Literal[
    "diverged",
    "underfit",
    "generalized",
    "grokked",
    "semi-grokked",
    "memorized",
    "ungrokked",
    "unstable",
    "recovered-to-baseline",
]
Qualifier = Literal["early-peak", "after-grokking"]
VERDICTS: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One held-out split's class. Misleads where the grid is coarse against the delay: see `robust` and the
    intervals."""

    split: str
    verdict: Name
    qualifier: Qualifier | None
    reason: str
    """One sentence with the numbers that decided."""
    milestones: Milestones
    evidence: dict[str, Any]
    robust: bool
    """No neighbour says otherwise, and there are at least `dwell` evaluations to judge by."""
    neighbours: dict[str, Name]
    """What it would be with one threshold moved to its neighbour (``delay_ratio=3``), with the delay as short or as
    long as the grid allows (``grid=shortest``, ``grid=longest``), and without the last evaluation
    (``last_row=dropped``). Empty if not asked for."""
    criteria: Criteria

    @property
    def label(self) -> str:
        """``ungrokked (early-peak)``."""
        return f"{self.verdict} ({self.qualifier})" if self.qualifier else self.verdict

    def __str__(self) -> str:
        return f"{self.split}: {self.label}{'' if self.robust else ', not robust'}: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        own = {k: v for k, v in vars(self).items() if k not in ("milestones", "criteria")}
        return {**own, "milestones": self.milestones.to_dict(), "criteria": self.criteria.to_dict()}


def verdict(
    trajectory: Trajectory, split: str | None = None, criteria: Criteria | None = None, *, neighbours: bool = True
) -> Verdict:
    """Classify one held-out split (None: the only one).

    With ``neighbours=False`` the thresholds are not moved, which is some thirty times faster; `robust` is then False,
    for it is not known.

    Raises:
        ValueError: an unknown split, one without evaluations, or a trivial predictor already at the threshold.
    """
    criteria = criteria or Criteria()
    split = trajectory.split(split)
    evidence = gather(trajectory, split, criteria)
    name, qualifier = decide(evidence, criteria)
    near = dict(_neighbours(trajectory, split, criteria, evidence)) if neighbours else {}
    enough = evidence.milestones.evaluations >= criteria.dwell
    return Verdict(
        split=split,
        verdict=name,
        qualifier=qualifier,
        reason=reason(name, qualifier, evidence, criteria),
        milestones=evidence.milestones,
        evidence=evidence.to_dict(),
        robust=neighbours and enough and all(v == name for v in near.values()),
        neighbours=near,
        criteria=criteria,
    )


def verdicts(
    trajectory: Trajectory, criteria: Criteria | None = None, *, neighbours: bool = True
) -> dict[str, Verdict]:
    """The verdict of every held-out split. One on which the trivial predictor already reaches the threshold is left out
    with a warning, so that it does not cost the others theirs.

    Raises:
        ValueError: that is so on every split.
    """
    found, refused = {}, {}
    for split in trajectory.splits:
        try:
            found[split] = verdict(trajectory, split, criteria, neighbours=neighbours)
        except NothingToShow as error:
            refused[split] = error
    if refused and not found:
        raise next(iter(refused.values()))
    for error in refused.values():
        warnings.warn(f"no verdict on {error}", stacklevel=2)
    return found


def decide(e: Evidence, c: Criteria) -> tuple[Name, Qualifier | None]:
    """The table of the module's docstring, in its order."""
    if e.diverged_at is not None:
        return "diverged", None
    if e.unstable:
        return "unstable", None
    if e.rose_late and e.no_better:
        return "recovered-to-baseline", None
    if not e.fitted:
        return "underfit", None
    if e.reached:
        if e.lost:
            return "ungrokked", "after-grokking"
        return ("grokked", None) if delayed(e, c) and lagged(e, c) else ("generalized", None)
    if e.rose_late and e.kept_rise >= c.kept_rise:
        return "semi-grokked", None
    return ("ungrokked", "early-peak") if e.decayed else ("memorized", None)


def delayed(e: Evidence, c: Criteria) -> bool:
    """Whether the threshold was reached late against the fit."""
    return e.delay_ratio is not None and e.delay_ratio >= c.delay_ratio


def lagged(e: Evidence, c: Criteria) -> bool:
    """Whether held-out was far below the threshold for most of the delay."""
    return e.low_share is not None and e.low_share >= c.plateau_share


def _neighbours(trajectory: Trajectory, split: str, criteria: Criteria, e: Evidence) -> Iterator[tuple[str, Name]]:
    for label, near in criteria.neighbours(trajectory, split):
        yield label, decide(gather(trajectory, split, near), near)[0]
    if e.fitted and e.reached:
        yield "grid=shortest", decide(gather(trajectory, split, criteria, "shortest"), criteria)[0]
        yield "grid=longest", decide(gather(trajectory, split, criteria, "longest"), criteria)[0]
    shorter = _without_last(trajectory, split)
    if shorter is not None:
        yield "last_row=dropped", decide(gather(shorter, split, criteria), criteria)[0]


def _without_last(trajectory: Trajectory, split: str) -> Trajectory | None:
    """The run as if it had ended before the last held-out evaluation; None if nothing would be left."""
    rows = np.flatnonzero(~np.isnan(trajectory.held_out[split]))
    if len(rows) < 2 or np.isnan(trajectory.train[: rows[-1]]).all():
        return None
    return trajectory.head(int(rows[-1]))
