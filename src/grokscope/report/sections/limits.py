"""What not to conclude."""

from grokscope.report.read.material import Material
from grokscope.report.sections.blocks import Bullets, Section

PLACE = 110.0
LINES = (
    "Verdicts hold for the budget that was trained: a memorized run is one that has not generalized yet.",
    "Every time is known to the evaluation grid only; differences smaller than the intervals shown mean nothing.",
    "The unit is the seed. With few seeds, medians and bands describe these runs; they do not promise the next ones.",
    "Runs that failed, diverged or were stopped are censored where they ended. If they ended because of how they were "
    "going, the Kaplan-Meier curves and tests are biased.",
    "A verdict names the shape of a curve, not its cause.",
)


def section(_: Material) -> Section:
    return Section("limits", "Limits", "Limits", [Bullets(LINES)])
