"""The page's fixed words: what a reader needs beside the figures, and what not to conclude."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from grokscope.report.figures import PANELS
from grokscope.report.read.bands import SMALL
from grokscope.report.read.curves import VISIBLE
from grokscope.report.read.survival import COMPARED
from grokscope.vocabulary.text import plural

if TYPE_CHECKING:
    from grokscope.report.build import Material
    from grokscope.report.read.survival import Arm

TERMS: tuple[tuple[str, str], ...] = (
    (
        "T<sub>fit</sub>",
        "first evaluation with train accuracy (or R²) at the fit threshold; it lies in the interval below the number",
    ),
    ("T<sub>gen</sub>", "first evaluation with held-out accuracy (or R²) at the goal"),
    ("delay, ratio", "T_gen − T_fit and T_gen / T_fit"),
    (
        "censored ▷",
        "not reached by the run's last evaluation: a lower bound, neither dropped nor replaced by the last step",
    ),
    (
        "end",
        "mean over the last 5 % of the steps, with which a peak is compared; beneath it, of how many evaluations",
    ),
    ("final", "the last evaluation alone, and the weights kept there; noisier than the end"),
    (
        "trivial predictor",
        "what is reached without looking at the input: the majority class, or the mean target; R² measures from it",
    ),
    ("so far", "the run has not finished; its verdict can still change and is not counted in the headline"),
)
LIMITS: tuple[str, ...] = (
    "Verdicts hold for the budget that was trained: a memorized run is one that has not generalized yet.",
    "Every time is known to the evaluation grid only; differences smaller than the intervals shown mean nothing.",
    "The unit is the seed. With few seeds, medians and bands describe these runs; they do not promise the next ones.",
    "Runs that failed, diverged or were stopped are censored where they ended. If they ended because of how they were "
    "going, the Kaplan-Meier curves and tests are biased.",
    "A verdict names the shape of a curve, not its cause.",
)


def curve_note(material: "Material") -> str:
    small = len([p for p in material.panels if p.bands]) > PANELS
    strip = (
        "" if small else "The numbers beside the middle strip are seeds. Spikes of the train loss are marked ▾ on top. "
    )
    norms = f"Norms of parameter groups below {VISIBLE:.0%} of the total are not drawn. " if not small else ""
    return (
        f"The band is the full range below {SMALL} runs, else a 95 % interval of the median (between order statistics, "
        f"pointwise). {strip}{norms}Curves with more evaluations than the drawing has room for keep the first, lowest, "
        "highest and last of each column; tables and data use all."
    )


def verdict_intro(split: str) -> str:
    return (
        f"One row per run, judged on {split}. A verdict is fragile when moving one threshold to its neighbour, or the "
        "leeway of the evaluation grid, would change its word; what it would become is named."
    )


def verdict_note() -> str:
    return (
        "Under T the interval (before, at] in which the milestone lies; ▷ means not reached by the last evaluation "
        "(censored). Peak, end and drop are held-out scores. The end is the mean over the last 5 % of the steps, of as "
        "many evaluations as stand beneath it (end and end_rows in the CSV); the last evaluation alone is called final "
        "wherever it is shown. The noise under a drop is what chance alone can do."
    )


def times_intro(split: str) -> str:
    return (
        f"Kaplan-Meier estimates on {split} (Turnbull's where the runs of a group were evaluated on different grids): "
        "the share of each group's runs that had generalized by a step, and after how long a delay. A run that did "
        "not is counted up to its last evaluation. Bands: 95 %, log-log, pointwise, undefined where nobody or "
        "everybody has."
    )


def times_note(found: Mapping[str, "Sequence[Arm]"], tests: Sequence[Any]) -> str:
    sizes = [n for a in found["T_gen"] if (n := len(a.times))]
    parts = []
    if not any(a.times.events for a in found["T_gen"]):
        parts.append("No run has generalized: all curves would lie at 0 % up to where the runs ended.")
    tested = any(test.p is not None for _, _, test, _ in tests)
    if tested:
        parts.append(
            "p: log-rank on the step of generalization, two-sided, from permuting the groups' labels; Holm over all "
            "pairs of this table. Groups of different evaluation grids are compared on the evaluations that all "
            "of their runs had; the smallest possible p is that of these runs, with their ties and censoring."
        )
    if tested and min(sizes) < SMALL:
        parts.append(
            f"The smallest group has {plural(min(sizes), 'run')}, fewer than {SMALL}: read the p-values against the "
            "smallest possible ones and call no difference established."
        )
    if len(sizes) > COMPARED:
        parts.append(
            f"Not tested against each other: among the pairs of more than {COMPARED} groups chance alone finds "
            "differences."
        )
    return " ".join(parts)


def unchecked_note(names: Sequence[str]) -> str:
    """Which runs were pooled on trust; empty where there are none."""
    if not names:
        return ""
    return (
        f"{plural(len(names), 'run')} pooled on trust, as older versions and other programs recorded no digest of "
        f"their data, and others here have their task and seed: {', '.join(names)}."
    )


def events_intro() -> str:
    return (
        "Found in the curves once train was fitted or held-out had reached a plateau: a loss spike is a brief rise of "
        "the train loss, by more than six robust standard deviations of its logarithm; a norm collapse a fast fall of "
        "the weight norm; a transition the steepest lasting rise of the held-out curve (in regression, of the log "
        "loss); a slingshot a cycle of head growth, spike and plateau. A coarse grid hides short ones."
    )
