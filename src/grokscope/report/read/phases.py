"""Phases of a run: fitting, plateau, transition, generalized, with their times as far as the evaluations show."""

from dataclasses import dataclass

import numpy as np

from grokscope.report.read.judged_run import Reading
from grokscope.results.milestones import Milestone


@dataclass(frozen=True)
class Phase:
    """`start` None: it began with the training. A censored `end` was not reached by the last evaluation."""

    name: str
    meaning: str
    start: Milestone | None
    end: Milestone

    @property
    def length(self) -> tuple[float, float, float]:
        """Steps from start to end, and the least and the most that the evaluations allow; without an end that was
        reached at least the first, and without bound."""
        begun, earliest = (0.0, 0.0) if self.start is None else (self.start.at, self.start.earliest)
        if self.end.censored:
            return self.end.at - begun, self.end.at - begun, float("inf")
        return self.end.at - begun, max(self.end.earliest - begun, 0.0), self.end.at - earliest


def phases_of(reading: Reading) -> list[Phase]:
    """In order; empty for a run that could not be judged. A plateau is there only where held-out began to rise after
    train was fitted, or never did."""
    milestones, last = reading.milestones, reading.last
    if milestones is None or last is None:
        return []
    fit, gen = milestones.T_fit, milestones.T_gen
    phases = [Phase("fitting", "until train reaches its threshold", None, fit)]
    rise = _transition(reading)
    if not fit.censored:
        waited = gen if rise is None else rise[0]
        if waited.censored or waited.at > fit.at:
            phases.append(Phase("plateau", "fitted, and held-out still low", fit, waited))
    if rise is not None:
        phases.append(Phase("transition", "the middle half of held-out's steepest lasting rise", *rise))
    if not gen.censored:
        end = Milestone(last, censored=True)
        phases.append(
            Phase("generalized", f"held-out at {milestones.threshold:.3g} or above, {_kept(reading)}", gen, end)
        )
    return phases


def _kept(reading: Reading) -> str:
    """Whether it stayed there."""
    assert reading.milestones is not None
    stable = reading.milestones.T_gen_stable
    if stable.censored:
        return "which it did not keep"
    if stable.at == reading.milestones.T_gen.at:
        return "kept to the end"
    return f"kept from {stable.at:,.0f} on"


def _transition(reading: Reading) -> tuple[Milestone, Milestone] | None:
    """When the rise left its lowest quarter and when it reached its highest, to the evaluation grid; None where nothing
    rose. An event's start is the last evaluation before, its end the first one after."""
    event = next((e for e in reading.events if e.kind == "transition"), None)
    curve = reading.curve(reading.split)
    if event is None or curve is None:
        return None
    grid = curve[0]
    after = grid[np.searchsorted(grid, event.start, side="right")].item()
    before = grid[max(int(np.searchsorted(grid, event.end)) - 1, 0)].item()
    return Milestone(after, event.start), Milestone(event.end, before)
