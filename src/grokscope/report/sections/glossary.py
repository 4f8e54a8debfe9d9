"""What the verdicts and the terms of the page mean."""

from grokscope.report.read.glossary import VERDICTS
from grokscope.report.read.material import Material
from grokscope.report.sections.blocks import Chip, Pairs, Section, Symbol, Text

PLACE = 100.0
TERMS: tuple[tuple[Text, Text], ...] = (
    (
        Symbol("T", "fit"),
        "first evaluation with train accuracy (or R²) at the fit threshold; it lies in the interval below the number",
    ),
    (Symbol("T", "gen"), "first evaluation with held-out accuracy (or R²) at the threshold"),
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
    ("id_val", "held-out examples of the environments that were trained on; no rule of selection may see ood_test"),
    ("so far", "the run has not finished; its verdict can still change and is not counted in the headline"),
)


def section(_: Material) -> Section:
    verdicts = [(Chip(word.name), word.meaning) for word in VERDICTS.values()]
    return Section("words", "Glossary", "Glossary", [Pairs(verdicts, "cards"), Pairs(TERMS)])
