"""Meaning of the verdicts and terms on the page."""

from grokscope.report.read.glossary import VERDICTS
from grokscope.report.read.material import Material
from grokscope.report.sections.blocks import Chip, Pairs, Section, Symbol, Text

PLACE = 100.0
TERMS: tuple[tuple[Text, Text], ...] = (
    (
        Symbol("T", "fit"),
        "first evaluation with train accuracy (or R²) at the fit threshold; the true time lies in the interval below "
        "the number",
    ),
    (Symbol("T", "gen"), "first evaluation with held-out accuracy (or R²) at the threshold"),
    ("delay, ratio", "T_gen − T_fit and T_gen / T_fit"),
    (
        "censored ▷",
        "not reached by the run's last evaluation: a lower bound, neither dropped nor replaced by the last step",
    ),
    (
        "end",
        "mean over the last 5 % of the steps, with which a peak is compared; the number of evaluations is below it",
    ),
    ("final", "the last evaluation alone, which belongs to the final checkpoint; noisier than the end"),
    (
        "trivial predictor",
        "prediction without the input: the majority class, or the mean target; R² is relative to it",
    ),
    ("id_val", "held-out examples from the training environments; no selection rule may use ood_test"),
    ("so far", "the run has not finished; its verdict can still change and is not counted in the headline"),
)


def section(_: Material) -> Section:
    verdicts = [(Chip(word.name), word.meaning) for word in VERDICTS.values()]
    return Section("words", "Glossary", "Glossary", [Pairs(verdicts, "cards"), Pairs(TERMS)])
