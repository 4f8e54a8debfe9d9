"""One sentence per verdict, with the numbers that decided it."""

from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.evidence import Evidence


def reason(name: str, qualifier: str | None, e: Evidence, c: Criteria) -> str:
    """The sentence behind a verdict, without a full stop."""
    sentence = {
        "diverged": _diverged,
        "unstable": _unstable,
        "recovered-to-baseline": _recovered,
        "underfit": _underfit,
        "generalized": _generalized,
        "grokked": _grokked,
        "semi-grokked": _semi,
        "ungrokked": _ungrokked,
        "memorized": _memorized,
    }[name](e, c)
    return sentence + _aside(name, e)


def _diverged(e: Evidence, c: Criteria) -> str:
    before = (
        f"; held-out had reached {e.milestones.threshold:g} at {e.milestones.T_gen_lasting.at:g}" if e.reached else ""
    )
    return f"the train loss is not finite from {e.diverged_at:g} to the end{before}"


def _unstable(e: Evidence, c: Criteria) -> str:
    return (
        f"after fitting at {e.milestones.T_fit.at:g} the train score collapsed {e.collapses} times, "
        f"in {e.collapse_share:.0%} of the evaluations"
    )


def _recovered(e: Evidence, c: Criteria) -> str:
    fit = "" if e.fitted else "; train never fitted either"
    return (
        f"held-out rose late, from {e.base:.3g} to {e.milestones.end:.3g}, "
        f"which is no better than the trivial predictor's {e.trivial:.3g}{fit}"
    )


def _underfit(e: Evidence, c: Criteria) -> str:
    m = e.milestones
    odd = (
        f"; held-out did reach {m.threshold:g} at {m.T_gen_lasting.at:g}, so question the fit threshold"
        if e.reached
        else ""
    )
    return f"train did not reach the fit threshold by {m.T_fit.at:g}{odd}"


def _generalized(e: Evidence, c: Criteria) -> str:
    m = e.milestones
    when = f"held-out reached {m.threshold:g} at {m.T_gen_lasting.at:g}, train fitted at {m.T_fit.at:g}"
    if e.delay_ratio is None or e.delay_ratio < c.delay_ratio:
        return f"{when}: no real delay (ratio {_ratio(e)} < {c.delay_ratio:g}){_kept(e)}"
    return f"{when}: late, but far below ({e.low_level:.3g}) for only {e.low_share:.0%} of the delay{_kept(e)}"


def _grokked(e: Evidence, c: Criteria) -> str:
    m = e.milestones
    return (
        f"train fitted at {m.T_fit.at:g}, held-out reached {m.threshold:g} at {m.T_gen_lasting.at:g} "
        f"(ratio {_ratio(e)}), below {e.low_level:.3g} for {e.low_share:.0%} of the delay{_kept(e)}"
    )


def _semi(e: Evidence, c: Criteria) -> str:
    m = e.milestones
    end = "and is still rising" if e.still_rising else "and stops there"
    return (
        f"train fitted at {m.T_fit.at:g}; held-out rose late from {e.base:.3g} (until {e.base_until:g}) "
        f"to {m.end:.3g}, below {m.threshold:g}, {end} at {m.last_step:g}"
    )


def _ungrokked(e: Evidence, c: Criteria) -> str:
    m = e.milestones
    if e.reached:
        return (
            f"held-out had reached {m.threshold:g} at {m.T_gen_lasting.at:g} and peaked at {m.peak_lasting:.3g} "
            f"(step {m.peak_lasting_step:g}); it ends at {m.end:.3g}, a loss beyond noise"
        )
    return (
        f"held-out peaked at {m.peak_lasting:.3g} (step {m.peak_lasting_step:g}) and decayed to {m.end:.3g}, "
        f"a drop of {e.lasting_drop:.2g} beyond the noise band of {e.drop_band:.2g}; it never reached {m.threshold:g}"
    )


def _memorized(e: Evidence, c: Criteria) -> str:
    m = e.milestones
    flicker = "" if m.T_gen.censored else f" (a flicker reached {m.threshold:g} at {m.T_gen.at:g})"
    return (
        f"train fitted at {m.T_fit.at:g}; held-out ends at {m.end:.3g} (threshold {m.threshold:g}) and has not "
        f"left its plateau by {m.last_step:g}{flicker}: censored there, a longer run may still grok"
    )


def _kept(e: Evidence) -> str:
    m = e.milestones
    if not e.stable:
        return f"; it ends at {m.end:.3g}, below the threshold but not clearly"
    if m.T_gen_stable.at > m.T_gen_lasting.at:
        return f"; it fell below in between and holds since {m.T_gen_stable.at:g}"
    return ""


def _ratio(e: Evidence) -> str:
    return "unknown" if e.delay_ratio is None else f"{e.delay_ratio:.3g}"


def _aside(name: str, e: Evidence) -> str:
    """A single-evaluation peak is never evidence of ungrokking; say that it was seen."""
    if not e.peak_single or name not in ("memorized", "ungrokked"):
        return ""
    m = e.milestones
    before = ", before the fit" if e.peak_before_fit else ""
    return f"; the highest value, {m.peak:.3g} at {m.peak_step:g}{before}, is one evaluation alone and does not count"
