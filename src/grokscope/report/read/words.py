"""Numbers and milestones as text, and text alternatives for figures."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from grokscope.report.read.bands import Band
from grokscope.report.read.judged_run import STATE_WORDS, Reading
from grokscope.vocabulary.text import listed, plural, steps

if TYPE_CHECKING:
    from grokscope.trajectory import Milestone


def interval(moment: "Milestone | None") -> str:
    """The evaluation interval of an observed milestone, ``(1,200, 1,400]``; empty for a censored one."""
    if moment is None or moment.censored:
        return ""
    return f"({steps(moment.previous)}, {steps(moment.at)}]" if moment.previous is not None else "at or before"


def tally(readings: Sequence[Reading]) -> str:
    """``3 grokked and 1 still running``: verdicts of finished runs, the state of the others."""
    words = [r.outcome if r.final_verdict else STATE_WORDS.get(r.open_state, r.open_state) for r in readings]
    return listed([f"{n:,} {name}" for name, n in Counter(words).items()])


def spoken_curves(group: str, readings: Sequence[Reading], bands: dict[str, Band], split: str, metric: str) -> str:
    """What a panel of the hero figure shows, with its numbers."""
    parts = [f"{group}: {metric} against step, {plural(len(readings), 'run')}: {tally(readings)}."]
    if fits := [r.fit.at for r in readings if r.fit is not None and not r.fit.censored]:
        parts.append(f"Train reaches the fit threshold at step {_range(fits)}.")
    if (band := bands.get(split)) is not None:
        first, middle, end = (band.median[i] for i in (0, len(band.step) // 2, -1))
        at = steps(float(band.step[len(band.step) // 2]))
        parts.append(f"Held-out {split} starts at {first:.2f}, is {middle:.2f} at step {at} and ends at {end:.2f}")
        parts[-1] += f" ({band.words})."
    gens = [r.gen.at for r in readings if r.gen is not None and not r.gen.censored]
    if gens:
        parts.append(f"It reaches its threshold at step {_range(gens)} in {plural(len(gens), 'run')}.")
    if late := sum(r.gen is not None and r.gen.censored for r in readings):
        parts.append(f"{plural(late, 'run')} did not reach it by the last evaluation (right-censored).")
    if (norm := bands.get("norm_total")) is not None:
        parts.append(f"The weight norm goes from {norm.median[0]:.3g} to {norm.median[-1]:.3g}.")
    return " ".join(parts)


def _range(values: Sequence[float]) -> str:
    low, middle, high = min(values), float(np.median(values)), max(values)
    return steps(low) if low == high else f"{steps(round(middle))} in the median ({steps(low)} to {steps(high)})"
