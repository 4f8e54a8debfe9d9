"""Text description of one dissected checkpoint, as alternative text and for the run's details."""

from grokscope.figures.checkpoint_view import POOLED, hardest
from grokscope.report.read.dissections import Dissected
from grokscope.report.sections.dissection_tables import monotone_words, shown
from grokscope.vocabulary.text import NONE


def probe_in_words(d: Dissected) -> str:
    score = d.score(POOLED, "environment")
    if score is None:
        return f"environment read at the pooled layer with {NONE}"
    return f"environment read at the pooled layer with {shown(score.balanced)}, chance {shown(score.chance)}"


def erasure_in_words(d: Dissected) -> str:
    erasure, null = d.erasure, hardest(d.gap_effect)
    if erasure is None:
        return "no eraser"
    lost = d.gap_effect.value if d.gap_effect else None
    return (
        f"{erasure.eraser}: probe {shown(erasure.before.balanced)} before, {shown(erasure.refitted.balanced)} "
        f"refitted; gap lost {shown(lost)}, p {shown(null.p if null else None)}"
    )


def steering_in_words(d: Dissected) -> str:
    curve = d.main_curve
    return f"on {curve.on} {monotone_words(curve)}" if curve else NONE


def neurons_in_words(d: Dissected) -> str:
    value, null = d.beyond_random or (None, None)
    return f"environment gap lost beyond random neurons {shown(value)}, p {shown(null.p if null else None)}"
