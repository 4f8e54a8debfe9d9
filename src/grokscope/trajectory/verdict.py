"""The verdict on a trajectory for one held-out split, with its evidence and its sensitivity to the thresholds.

Decision order; the first line that holds gives the verdict:

1. `diverged`: from some evaluation to the end the loss is not finite, or has exploded.
2. `unstable`: after fitting, the train score collapsed for good (`lasting`: for `lasting_share` of the time, or at the
   end), or repeatedly (`cyclic`: `collapses` of them, filling `collapse_share` of the time) while held-out did not stay
   at the threshold through it (`kept_share`).
3. `recovered-to-baseline`: a late rise, as in 8, that has ended no better than the trivial predictor, fitted or not.
4. `underfit`: train never reached the fit threshold, whatever held-out did.
5. `ungrokked`, after-grokking: held-out had reached the threshold, has been below it for the last `dwell` evaluations
   or more, and decayed as in 10 or lies below the threshold by more than noise and `drop_share`.
6. `generalized`: held-out reached the threshold (flickers aside) with no real delay, or after a delay that it mostly
   spent near the threshold.
7. `grokked`: it reached the threshold after a real delay, far below for most of it, and is still there, or not clearly
   below it.
8. `semi-grokked`: it ends above the plateau that it had after fitting, by more than noise and `rise_share`, kept
   `kept_rise` of that rise, and has leveled off (`level_share`).
9. `rising`: the same, still under way at the last evaluation (censored).
10. `ungrokked`, early-peak: its lasting peak lies above the end by more than noise and `drop_share`, and it has been
    nearer to the end for the last `dwell` evaluations or more.
11. `memorized`: none of these. Fitted, and held-out has not left its plateau so far (censored).

Why this order: 1, 2 and 4 say that the run is not of the kind the others describe. 3 precedes 4 because a network
that never fitted can still make a late "transition" up to the trivial predictor, and that is the news. 5 precedes 6
and 7 because what was lost was not kept. 8 and 10 can both hold for a late rise that is partly lost: `kept_rise`
decides.

No class at all (`verdict` is None, and `reason` says why): train and held-out are one column, train was evaluated once
or not where it matters, a loss was asked for that a trivial predictor has as well, or both milestones lie before the
log begins, so that nothing is known of a delay; what happened after them (1, 2, 5) is judged all the same.

A peak of one evaluation (an untrained network that happens to be right, logged at epoch 1) is reported with
`peak_single` and never makes a run `ungrokked`: that verdict rests on the lasting peak, a running median of three
evaluations.

Everything about the end is a share of the steps, never a number of rows; only `dwell` counts evaluations.

`ungrokked` carries how often a flat curve with noise as slow drops as far, and is not robust where that is more often
than 5 in 100 (`grokscope.trajectory.slow_noise`, with the measured table). One run is an anecdote all the same: compare
seeds.

Ungrokking by a run's own training is what the shortcut study means (`early-peak`); Varma et al. (arXiv:2309.02390)
use the word for a grokked network that loses the rule when trained on with less data (`after-grokking`, if the log
spans both).
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from grokscope.results.verdict import Formation, Name, Qualifier, VerdictRecord, label_of
from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.evidence import Evidence, NothingToShow, Reading, gather
from grokscope.trajectory.formation import formation
from grokscope.trajectory.judgeable import left_censored, never_measured, unjudgeable, worthless_loss
from grokscope.trajectory.milestones import NO_GRIDS, READS, Milestones, believe, grids_of, milestones, unmeasured
from grokscope.trajectory.reasons import reason
from grokscope.trajectory.series import Trajectory
from grokscope.trajectory.slow_noise import drop_luck_of
from grokscope.vocabulary.text import plural
from grokscope.vocabulary.verdicts import those

ABOUT_THE_END = those(lambda kind: kind.is_about_the_end)
"""Verdicts that say how a run ends: robust only if the log, cut short, says the same."""
LATE_RISES = those(lambda kind: kind.is_late_rise)
"""Verdicts of which it is asked by which route held-out rose."""
CUTS = (0.8, 0.9, 0.95)
"""Shares of the time at which it is cut for that."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on one held-out split. Misleads if the grid is coarse compared with the delay: see `robust` and the
    intervals."""

    split: str
    verdict: Name | None
    """None where the log cannot be judged; `reason` says why."""
    qualifier: Qualifier | None
    reason: str
    """One sentence with the numbers that decided."""
    milestones: Milestones
    evidence: dict[str, Any]
    """Empty where train or the split was never evaluated."""
    robust: bool
    """No neighbor says otherwise, and nothing in `fragile` speaks against it."""
    fragile: tuple[str, ...]
    """What else makes it fragile, in words: too few evaluations to judge by, or since the threshold was reached."""
    neighbors: dict[str, Name]
    """What it would be with one threshold moved to its neighbor (``delay_ratio=3``), with the delay as short or as
    long as the grid allows (``grid=shortest``, ``grid=longest``), with the recent gain of a late rise as small or as
    large as its error allows (``trend=flattest``, ``trend=steepest``), without the last evaluation
    (``last_row=dropped``) and, for words about the end, with the log cut short (``cut=80%``). Empty if not asked for,
    or if the log cannot be judged."""
    formation: Formation | None
    """Of a late rise: whether a representation formed or a readout recovered. None for other verdicts, and where no
    probe was recorded."""
    criteria: Criteria
    notes: tuple[str, ...] = ()
    """How the log was read, and what was left out of it (`Trajectory.notes`)."""

    @property
    def label(self) -> str:
        """``ungrokked (early-peak)``."""
        return label_of(self.verdict, self.qualifier)

    def __str__(self) -> str:
        doubt = "" if self.robust or self.verdict is None else ", not robust"
        return f"{self.split}: {self.label}{doubt}: {self.reason}"

    def record(self) -> VerdictRecord:
        """The record that is stored and printed."""
        return VerdictRecord(
            split=self.split,
            verdict=self.verdict,
            qualifier=self.qualifier,
            reason=self.reason,
            evidence=self.evidence,
            robust=self.robust,
            fragile=self.fragile,
            neighbors=self.neighbors,
            notes=self.notes,
            milestones=self.milestones.record(),
            criteria=self.criteria.to_dict(),
            formation=self.formation,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return self.record().to_dict()


def verdict_from(record: VerdictRecord, trajectory: Trajectory, criteria: Criteria) -> Verdict:
    """The verdict that was kept of this trajectory by these criteria, with the grids that a record leaves out."""
    known = {f.name: getattr(record, f.name) for f in fields(VerdictRecord)}
    grids = grids_of(trajectory, record.split, criteria) if record.milestones.evaluations else dict(NO_GRIDS)
    marks = Milestones(**vars(record.milestones), grids=grids)
    if marks.evaluations:
        believe(trajectory, marks, criteria)
    return Verdict(**{**known, "milestones": marks, "criteria": criteria, "notes": trajectory.notes})


def verdict(
    trajectory: Trajectory, split: str | None = None, criteria: Criteria | None = None, *, neighbors: bool = True
) -> Verdict:
    """Classify one held-out split (None: the only one); `Verdict.verdict` is None where it cannot be judged.

    With ``neighbors=False`` the thresholds are not moved, which is some thirty times faster; `robust` is then False,
    for it is not known.

    Raises:
        ValueError: an unknown split, or a trivial predictor already at the threshold.
    """
    judged = _classified(trajectory, trajectory.split(split), criteria or Criteria(), neighbors)
    return replace(judged, notes=trajectory.notes)


def _classified(trajectory: Trajectory, split: str, criteria: Criteria, neighbors: bool) -> Verdict:
    missing = never_measured(trajectory, split)
    if missing is not None:
        return _unmeasured(trajectory, split, criteria, missing)
    if criteria.generalize_loss is not None:
        marks = milestones(trajectory, split, criteria)
        worthless = worthless_loss(trajectory, split, marks, criteria)
        if worthless is not None:
            return _verdict(split, None, None, worthless, marks, {}, criteria)
    evidence = gather(trajectory, split, criteria)
    name, qualifier = decide(evidence, criteria)
    why_not = _why_not(trajectory, split, name, evidence)
    if why_not is not None:
        return _verdict(split, None, None, why_not, evidence.milestones, evidence.to_dict(), criteria)
    near = dict(_neighbors(trajectory, split, criteria, evidence, name)) if neighbors else {}
    luck = drop_luck_of(trajectory, split, evidence.milestones) if name == "ungrokked" else None
    weak = (*_fragile(name, evidence, criteria), *(luck.doubt if luck is not None else ()))
    sentence = reason(name, qualifier, evidence, criteria)
    return _verdict(
        split,
        name,
        qualifier,
        sentence if luck is None else f"{sentence}; {luck.words}",
        evidence.milestones,
        evidence.to_dict() if luck is None else {**evidence.to_dict(), "luck": luck.to_dict()},
        criteria,
        robust=neighbors and not weak and all(v == name for v in near.values()),
        fragile=weak,
        neighbors=near,
        route=formation(trajectory, split, evidence.milestones) if name in LATE_RISES else None,
    )


def _verdict(
    split: str,
    name: Name | None,
    qualifier: Qualifier | None,
    sentence: str,
    marks: Milestones,
    evidence: dict[str, Any],
    criteria: Criteria,
    *,
    robust: bool = False,
    fragile: tuple[str, ...] = (),
    neighbors: dict[str, Name] | None = None,
    route: Formation | None = None,
) -> Verdict:
    return Verdict(
        split=split,
        verdict=name,
        qualifier=qualifier,
        reason=sentence,
        milestones=marks,
        evidence=evidence,
        robust=robust,
        fragile=fragile,
        neighbors=neighbors or {},
        formation=route,
        criteria=criteria,
    )


def _unmeasured(trajectory: Trajectory, split: str, criteria: Criteria, missing: str) -> Verdict:
    """Without any score there is no class, except for a loss that says that training had broken down."""
    marks, lost = unmeasured(trajectory, split, criteria), trajectory.divergence(split)
    if lost is None:
        return _verdict(split, None, None, missing, marks, {}, criteria)
    return _verdict(split, "diverged", None, f"{lost[1]}; {missing}", marks, {}, criteria, fragile=(missing,))


def _why_not(trajectory: Trajectory, split: str, name: Name, e: Evidence) -> str | None:
    """Why a log that was read gets no class. Divergence is seen in the loss, whatever else was logged."""
    if name == "diverged":
        return None
    return unjudgeable(trajectory, split, e.milestones) or (
        left_censored(e.milestones) if name in ("generalized", "grokked") else None
    )


def _fragile(name: Name, e: Evidence, c: Criteria) -> Iterator[str]:
    """What makes a verdict fragile besides its neighbors."""
    m = e.milestones
    if m.evaluations < c.dwell:
        yield f"only {m.evaluations:,} held-out evaluations"
    if name in ("grokked", "generalized"):
        if not e.stable:
            yield "held-out ends below the threshold, though not clearly"
        elif e.held_rows < c.dwell:
            yield f"the threshold has held for only {plural(e.held_rows, 'evaluation')} after it was reached"


def verdicts(trajectory: Trajectory, criteria: Criteria | None = None, *, neighbors: bool = True) -> dict[str, Verdict]:
    """The verdict of every held-out split. One on which the trivial predictor already reaches the threshold is left out
    with a warning, so that it does not cost the others theirs.

    Raises:
        ValueError: that is so on every split.
    """
    judged, refused = {}, {}
    for split in trajectory.splits:
        try:
            judged[split] = verdict(trajectory, split, criteria, neighbors=neighbors)
        except NothingToShow as error:
            refused[split] = error
    if refused and not judged:
        raise next(iter(refused.values()))
    for error in refused.values():
        warnings.warn(f"no verdict on {error}", stacklevel=2)
    return judged


def decide(e: Evidence, c: Criteria) -> tuple[Name, Qualifier | None]:
    """The table of the module's docstring, in its order."""
    if e.diverged_at is not None:
        return "diverged", None
    if e.instability is not None:
        return "unstable", e.instability
    if e.rose_late and e.no_better and not e.still_rising:
        return "recovered-to-baseline", None
    if not e.fitted:
        return "underfit", None
    if e.reached:
        if e.lost:
            return "ungrokked", "after-grokking"
        if delayed(e, c) and lagged(e, c):
            return ("grokked", None)
        return ("generalized", None)
    if e.rose_late and e.kept_rise >= c.kept_rise:
        return ("rising", None) if e.still_rising else ("semi-grokked", None)
    return ("ungrokked", "early-peak") if e.decayed else ("memorized", None)


def delayed(e: Evidence, c: Criteria) -> bool:
    """Whether the threshold was reached late against the fit."""
    return e.delay_ratio is not None and e.delay_ratio >= c.delay_ratio


def lagged(e: Evidence, c: Criteria) -> bool:
    """Whether held-out was far below the threshold for most of the delay."""
    return e.low_share is not None and e.low_share >= c.plateau_share


def _neighbors(
    trajectory: Trajectory, split: str, criteria: Criteria, e: Evidence, name: Name
) -> Iterator[tuple[str, Name]]:
    for label, near in criteria.neighbors(trajectory, split):
        # Milestones depend on some thresholds only; where the moved one is another, they need not be read again.
        alike = all(getattr(near, name) == getattr(criteria, name) for name in READS)
        evidence = gather(trajectory, split, near, known=e.milestones if alike else None)
        yield label, decide(evidence, near)[0]
    readings: dict[str, Reading] = {}
    if e.fitted and e.reached:
        readings |= {"grid=shortest": "shortest", "grid=longest": "longest"}
    if e.rose_late and not e.reached:
        readings |= {"trend=flattest": "flattest", "trend=steepest": "steepest"}
    for label, reading in readings.items():
        yield label, decide(gather(trajectory, split, criteria, reading, e.milestones), criteria)[0]
    rows = _shorter(trajectory, split, name)
    judged: dict[int, Name] = {}
    for label, count in rows.items():
        if count not in judged:
            judged[count] = decide(gather(trajectory.head(count), split, criteria), criteria)[0]
        yield label, judged[count]


def _shorter(trajectory: Trajectory, split: str, name: Name) -> dict[str, int]:
    """How many rows are left of a log that ended before its last held-out evaluation, and for words about the end of
    one that was cut at `CUTS` of its time. Cuts that leave no score are left out."""
    evaluated = np.flatnonzero(~np.isnan(trajectory.held_out[split]))
    rows = {"last_row=dropped": int(evaluated[-1])}
    if name in ABOUT_THE_END:
        first, last = trajectory.step[evaluated[[0, -1]]].astype(float)
        for share in CUTS:
            rows[f"cut={share:.0%}"] = int(np.searchsorted(trajectory.step, first + share * (last - first), "right"))
    begun = max(int(evaluated[0]), int(np.flatnonzero(~np.isnan(trajectory.train))[0])) + 1
    return {label: count for label, count in rows.items() if count >= begun}
