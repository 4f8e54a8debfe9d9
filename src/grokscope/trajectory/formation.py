"""Representation or readout? Whether a late rise of a held-out curve is a representation that forms, or a readout that
recovers."""

import numpy as np

from grokscope.results.verdict import Formation, Route
from grokscope.trajectory.milestones import Milestones
from grokscope.trajectory.series import Trajectory

FORMED = 0.5
"""The probe rose by at least this share of the network's own rise: a representation formed. Judged with the best
strength at the fit, so that a probe which was merely badly regularized there does not count as a rise."""

THERE = 0.25
"""By at most this share: what the network reached late, a readout could have had from the start."""

HALF_WAY = 0.5
"""A diagnosis stands for the time of the fit if the network has not yet made more than this share of its rise."""


def formation(trajectory: Trajectory, split: str, milestones: Milestones) -> Formation | None:
    """The route of one held-out split; None where no probe was recorded (no hidden layer, regression, foreign log).

    Source: representation against readout, arXiv:2605.27078. Misleads: the probe is linear and regularized; what it
    reads is a property of network *and* probe, hence the range over strengths. Below a few hundred held-out examples,
    differences of .03 are noise.
    """
    probe = trajectory.probe.get(split)
    if probe is None or milestones.T_fit.censored:
        return None
    diagnosed = np.flatnonzero(~np.isnan(probe))
    if not diagnosed.size:
        return None
    held = _as_of(trajectory.held_out[split])
    end = diagnosed[-1]
    at = _row_of_fit(trajectory.step, held, diagnosed, milestones.T_fit.at)
    if at is None:
        return Formation(
            route="cannot tell",
            reason="no diagnosis lies between the fit and the middle of the rise, so what a readout could have had is "
            "unknown; diagnose more often",
        )
    return _judged(trajectory, split, held, int(at), int(end))


def _as_of(values: np.ndarray) -> np.ndarray:
    """A curve (t,) with each gap filled by the evaluation before it; a diagnosed row may lack this split."""
    last = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))))
    return values[last]


def _row_of_fit(step: np.ndarray, held: np.ndarray, diagnosed: np.ndarray, fit: float) -> int | None:
    """The first diagnosis from the fit on, if the network has not made half of its rise by then."""
    after = diagnosed[step[diagnosed] >= fit]
    if len(after) < 2:
        return None
    first = after[0]
    at_fit = held[np.searchsorted(step, fit)]
    gone = held[first] - at_fit
    if gone <= HALF_WAY * (held[after[-1]] - at_fit):
        return int(first)
    return None


def _judged(trajectory: Trajectory, split: str, held: np.ndarray, at: int, end: int) -> Formation:
    probe, low, high = (curves[split] for curves in (trajectory.probe, trajectory.probe_low, trajectory.probe_high))
    rise = held[end] - held[at]
    share = (probe[end] - probe[at]) / rise if rise > 0 else np.nan
    share_of_best = (probe[end] - high[at]) / rise if rise > 0 else np.nan
    route: Route = "cannot tell"
    if share_of_best >= FORMED:
        route = "representation"
    elif share <= THERE:
        route = "readout"
    raw = trajectory.input_probe.get(split)
    return Formation(
        route=route,
        reason=_sentence(route, probe[at], (low[at], high[at]), probe[end], held[at], held[end], raw),
        probe_at_fit=float(probe[at]),
        probe_at_fit_low=float(low[at]),
        probe_at_fit_high=float(high[at]),
        probe_at_end=float(probe[end]),
        network_at_fit=float(held[at]),
        network_at_end=float(held[end]),
        share=float(share) if np.isfinite(share) else None,
        step=float(trajectory.step[at]),
        raw_input=raw,
    )


def _sentence(
    route: Route,
    at_fit: float,
    span: tuple[float, float],
    at_end: float,
    network_at_fit: float,
    network_at_end: float,
    raw: float | None,
) -> str:
    what = {
        "representation": "one formed",
        "readout": "the representation was there, and its readout recovered",
        "cannot tell": "whether a representation formed or a readout recovered",
    }[route]
    of_raw = "" if raw is None else f"; the raw input gives {raw:.3g}"
    return (
        f"{what}: a linear probe of the last hidden layer scored {at_fit:.3g} ({span[0]:.3g} to {span[1]:.3g} over its "
        f"strengths) after the fit and {at_end:.3g} at the end, the network {network_at_fit:.3g} and "
        f"{network_at_end:.3g}{of_raw}"
    )
