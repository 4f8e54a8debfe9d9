"""One sentence per verdict, with the numbers that decided it."""

import math

from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.evidence import Evidence
from grokscope.vocabulary.text import percent, whole

HIGH_PLATEAU = 0.5
"""A plateau above this share of the chance-corrected range up to the threshold may be all that a task has to give."""


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
        "rising": _rising,
        "ungrokked": _ungrokked,
        "memorized": _memorized,
    }[name](e, c)
    return sentence + _aside(name, e)


def _diverged(e: Evidence, c: Criteria) -> str:
    before = ""
    if e.reached:
        before = f"; held-out had reached {e.milestones.goal} at {whole(e.milestones.T_gen_lasting.at)}"
    return f"{e.diverged}{before}"


def _unstable(e: Evidence, c: Criteria) -> str:
    fit = f"train fitted at {whole(e.milestones.T_fit.at)}"
    if e.instability == "cyclic":
        what = f"and then collapsed {e.collapses} times, in {percent(e.collapse_share)} of the time since"
    elif e.collapsed_from is not None:
        level = f"below {e.collapse_level:.3g}; it ends at {e.train_end:.3g}"
        what = f"and collapsed for good at {whole(e.collapsed_from)} ({level})"
    else:
        what = f"and was collapsed (below {e.collapse_level:.3g}) for {percent(e.collapse_share)} of the time since"
    return f"{fit} {what}; {_held_out(e)}"


def _held_out(e: Evidence) -> str:
    """What held-out reached, and whether it kept it."""
    m = e.milestones
    if e.stable:
        return f"held-out reached {m.goal} at {whole(m.T_gen_lasting.at)} and holds it (ends at {m.end:.3g})"
    if e.reached:
        return f"held-out reached {m.goal} at {whole(m.T_gen_lasting.at)} and lost it (ends at {m.end:.3g})"
    kept = "kept that" if m.peak_lasting - m.end <= m.noise.band else "lost it"
    highest = f"at best {m.peak_lasting:.3g} (step {whole(m.peak_lasting_step)}) and {kept} (ends at {m.end:.3g})"
    return f"held-out {_never(e)} and stood {highest}"


def _never(e: Evidence) -> str:
    """That the threshold was not reached, or only by a flicker."""
    m = e.milestones
    if m.T_gen.censored:
        return f"never reached {m.goal}"
    return f"reached {m.goal} only for a moment, at {whole(m.T_gen.at)}"


def _recovered(e: Evidence, c: Criteria) -> str:
    m = e.milestones
    assert e.trivial is not None
    if m.end <= e.trivial:
        level = f"which is no better than the trivial predictor's {e.trivial:.3g}"
    else:
        level = (
            f"which is the level of the trivial predictor ({e.trivial:.3g}): within {percent(c.baseline_share)} of the "
            f"chance-corrected range, from there to {m.goal}"
        )
    return f"held-out rose late, from {e.base:.3g} to {m.end:.3g}, {level}{'' if e.fitted else '; ' + _train(e, c)}"


def _train(e: Evidence, c: Criteria) -> str:
    """How far a train score got that never fitted."""
    fit = f"{e.fit_threshold:g}" if c.fit_loss is None else f"a loss of {c.fit_loss:g}"
    got = (
        f"train never fitted by {whole(e.milestones.T_fit.at)}: it got to {e.train_peak:.3g} at "
        f"{whole(e.train_peak_step)} (fit threshold {fit})"
    )
    if e.train_trivial is None:
        return got
    if e.train_peak <= e.train_trivial + c.baseline_share * (e.fit_threshold - e.train_trivial):
        return f"{got}, no further than the trivial predictor's {e.train_trivial:.3g}, so nothing was memorized"
    return f"{got}, above the trivial predictor's {e.train_trivial:.3g}"


def _underfit(e: Evidence, c: Criteria) -> str:
    m = e.milestones
    if e.reached:
        held = f"held-out did reach {m.goal} at {whole(m.T_gen_lasting.at)}, so question the fit threshold"
    else:
        held = f"held-out ends at {m.end:.3g}"
    return f"{_train(e, c)}; {held}"


def _generalized(e: Evidence, c: Criteria) -> str:
    m = e.milestones
    when = f"held-out reached {m.goal} at {whole(m.T_gen_lasting.at)}, train fitted at {whole(m.T_fit.at)}"
    if e.delay_ratio is None or e.delay_ratio < c.delay_ratio:
        return f"{when}: no real delay (ratio {_ratio(e)} < {c.delay_ratio:g}){_kept(e)}"
    return f"{when}: late, but far below ({e.low_level:.3g}) for only {percent(e.low_share)} of the delay{_kept(e)}"


def _grokked(e: Evidence, c: Criteria) -> str:
    m = e.milestones
    return (
        f"train fitted at {whole(m.T_fit.at)}, held-out reached {m.goal} at {whole(m.T_gen_lasting.at)} "
        f"(ratio {_ratio(e)}), below {e.low_level:.3g} for {percent(e.low_share)} of the delay{_kept(e)}"
    )


def _semi(e: Evidence, c: Criteria) -> str:
    m = e.milestones
    return f"{_rose(e)}, and has leveled off below {m.goal} by {whole(m.last_step)}{_task(e)}"


def _rising(e: Evidence, c: Criteria) -> str:
    m = e.milestones
    share = f"{percent(e.gained_lately / e.rise)} of the rise in the last quarter of the time since it began"
    return (
        f"{_rose(e)}, below {m.goal}, and is still rising at {whole(m.last_step)} ({share}): censored there, "
        "a longer run says whether it groks"
    )


def _rose(e: Evidence) -> str:
    m = e.milestones
    assert e.rise_from is not None
    rise = f"held-out rose late from {e.base:.3g} (until {whole(e.rise_from)}) to {m.end:.3g}"
    return f"train fitted at {whole(m.T_fit.at)}; {rise}"


def _ungrokked(e: Evidence, c: Criteria) -> str:
    m = e.milestones
    if e.reached:
        return (
            f"held-out had reached {m.goal} at {whole(m.T_gen_lasting.at)} and peaked at {m.peak_lasting:.3g} "
            f"(step {whole(m.peak_lasting_step)}); it ends at {m.end:.3g}, a loss beyond noise"
        )
    return (
        f"held-out peaked at {m.peak_lasting:.3g} (step {whole(m.peak_lasting_step)}) and decayed to {m.end:.3g}, "
        f"a drop of {e.lasting_drop:.2g} beyond the noise band of {e.drop_band:.2g}; it {_never(e)}"
    )


def _memorized(e: Evidence, c: Criteria) -> str:
    m = e.milestones
    flicker = ""
    if not m.T_gen.censored:
        flicker = f" (a flicker reached {m.goal} at {whole(m.T_gen.at)})"
    return (
        f"train fitted at {whole(m.T_fit.at)}; held-out ends at {m.end:.3g} (threshold {m.goal}) and has not "
        f"left its plateau by {whole(m.last_step)}{flicker}: censored there, a longer run may still grok{_task(e)}"
    )


def _task(e: Evidence) -> str:
    """What to do where a plateau is as high as the task allows, and the threshold above it."""
    m = e.milestones
    floor = e.trivial or 0.0
    if m.end < floor + HIGH_PLATEAU * e.way or m.peak_lasting - m.end > max(m.noise.band, 0.05 * e.way):
        return ""
    threshold = math.floor(100 * (m.end - max(m.noise.band, 0.02 * e.way))) / 100
    if threshold <= floor:
        return ""
    return f"; if this is as far as the task goes, judge it with --threshold {threshold:g}"


def _kept(e: Evidence) -> str:
    m = e.milestones
    if not e.stable or e.held_for is None:
        return f"; it ends at {m.end:.3g}, below the threshold but not clearly"
    held = f"{whole(e.held_for)} steps, {percent(e.held_for_share)} of the log"
    if m.T_gen_stable.at > m.T_gen_lasting.at:
        return f"; it fell below in between and holds since {whole(m.T_gen_stable.at)} ({held})"
    return f"; it has held since ({held})"


def _ratio(e: Evidence) -> str:
    if e.delay_ratio is None:
        return "unknown"
    return f"{e.delay_ratio:.3g}"


def _aside(name: str, e: Evidence) -> str:
    """A single-evaluation peak is never evidence of ungrokking; say that it was seen."""
    if not e.peak_single or name not in ("memorized", "ungrokked"):
        return ""
    m = e.milestones
    before = ", before the fit" if e.peak_before_fit else ""
    return (
        f"; the highest value, {m.peak:.3g} at {whole(m.peak_step)}{before}, is one evaluation alone and does not count"
    )
