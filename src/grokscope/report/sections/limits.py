"""Limits of interpretation."""

from grokscope.report.read.material import Material
from grokscope.report.sections.blocks import Bullets, Section

PLACE = 110.0
LINES = (
    "Verdicts are valid for the training budget: a memorized run is one that has not generalized yet.",
    "Times are known only to the resolution of the evaluation grid; differences smaller than the intervals are "
    "meaningless.",
    "The unit is the seed. With few seeds, medians and bands describe these runs and may not predict new ones.",
    "Runs that failed, diverged or were stopped are censored at their end. If they ended because of their trajectory, "
    "the Kaplan-Meier curves and tests are biased.",
    "A verdict describes the shape of a curve, not its cause.",
)


def section(_: Material) -> Section:
    return Section("limits", "Limits", "Limits", [Bullets(LINES)])
