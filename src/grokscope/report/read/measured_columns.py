"""The measured columns that a report draws, with what a reader should know about each."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from grokscope.report.read.bands import Band, group_band
from grokscope.report.read.judged_run import Reading


@dataclass(frozen=True)
class Diagnostic:
    """A column of metrics.jsonl and what a reader should know about it."""

    column: str
    title: str
    meaning: str
    scale: Literal["linear", "log"] = "linear"
    around: tuple[str, str] | None = None
    """Columns of the lowest and the highest of what `column` is the mean of: the band then reaches over them."""

    @property
    def loss(self) -> bool:
        """Whether it is a split's loss: measured at every evaluation, where the others are measured more rarely."""
        return self.column.endswith("_loss") and not self.column.startswith("fourier")


AROUND = {"elr_mean": ("elr_low", "elr_high")}


def _known(*rows: tuple[str, str, str] | tuple[str, str, str, str]) -> dict[str, Diagnostic]:
    found = {row[0]: Diagnostic(*row[:3], "log" if "log" in row[3:] else "linear") for row in rows}
    return {name: replace(d, around=AROUND.get(name)) for name, d in found.items()}


KNOWN = _known(
    ("train_loss", "train loss", "as trained, without weight decay", "log"),
    ("grad_norm_total", "gradient norm, L2", "over all parameters, before the filter", "log"),
    ("update_norm", "update size, L2", "of one step's change of the weights", "log"),
    ("rank_effective", "effective rank", "exp of the entropy of the features' singular values (Roy & Vetterli 2007)"),
    ("rank_participation", "participation ratio", "of the features' variance: (Σλ)² / Σλ²"),
    ("rank_stable", "stable rank", "of the features: total variance over its largest direction"),
    ("softmax_collapse", "softmax collapse", "share of train rows whose softmax sum is exactly 1 (2501.04697)"),
    ("margin_mean", "mean logit margin", "right class minus best wrong one, on train"),
    ("margin_max", "largest logit margin", "right class minus best wrong one, on train"),
    ("logit_max", "largest logit", "on train"),
    ("cos_grad_weights", "cosine of gradient and weights", "the filtered gradient with the weights it updates"),
    ("cos_grad_head", "cosine of gradient and head growth", "the filtered gradient with the growing head"),
    (
        "elr_mean",
        "effective learning rate",
        "mean over scale-invariant tensors (van Laarhoven 1706.05350); band: smallest to largest tensor of all runs",
        "log",
    ),
    ("fourier_embedding_gini", "Gini of the embedding's spectrum", "towards 1: few frequencies carry it (2301.05217)"),
    ("fourier_key_frequencies", "key frequencies", "how many carry 90 % of the logits' power (2301.05217)"),
    ("fourier_explained", "share of logits explained", "by a + b (or a − b) alone"),
    ("fourier_restricted_loss", "restricted loss", "with the key frequencies only (2301.05217)", "log"),
    ("fourier_excluded_loss", "excluded loss", "without the key frequencies (2301.05217)", "log"),
    ("generalization_gap", "generalization gap", "held-out minus train risk"),
    ("objective_l2", "L2 objective", "train risk with the penalty that weight decay stands for", "log"),
    ("cos_max_margin", "cosine with the max-margin direction", "of a support vector machine on the same data"),
    ("pac_bayes_bound", "PAC-Bayes bound", "on the risk; above 1 it says nothing", "log"),
)
PATTERNS: tuple[tuple[str, str, str], ...] = (
    (r"(\w+?)_irm", "IRM penalty, {}", "falls with the loss: on memorized data it says nothing"),
    (r"(\w+?)_env(\d+)_acc", "{} accuracy, environment {}", "of this environment alone"),
    (r"grad_norm_(?!total$)(\w+)", "gradient norm, {}", "of this parameter group, before the filter"),
)
"""Columns whose names carry a split, an environment or a parameter group."""
LOGARITHMIC = ("irm", "grad_norm")


def diagnostics_in(columns: Iterable[str], splits: Sequence[str]) -> list[Diagnostic]:
    """What can be drawn of these columns, in a fixed order; `splits` are the held-out ones."""
    found = set(columns)
    probes = [_probe(s) for s in splits]
    losses = [Diagnostic(f"{s}_loss", f"{s} loss", "on held-out data", "log") for s in splits]
    named = [d for d in (*probes, KNOWN["train_loss"], *losses, *list(KNOWN.values())[1:]) if d.column in found]
    return [*named, *(d for column in sorted(found) if (d := _patterned(column)) is not None)]


def _probe(split: str) -> Diagnostic:
    front = f"{split}_probe"
    meaning = (
        f"accuracy on {split} of a ridge probe of the last hidden layer, fitted on train labels: where it stands high "
        "from the start, no representation forms (2605.27078); band: its weakest to its best strength"
    )
    return Diagnostic(f"{front}_acc", f"linear probe, {split}", meaning, around=(f"{front}_low", f"{front}_high"))


def _patterned(column: str) -> Diagnostic | None:
    for pattern, title, meaning in PATTERNS:
        if match := re.fullmatch(pattern, column):
            scale = "log" if any(word in pattern for word in LOGARITHMIC) else "linear"
            words = (part.replace("_", " ") if "grad" in pattern else part for part in match.groups())
            return Diagnostic(column, title.format(*words), meaning, scale)
    return None


LINES = 8
"""At most this many groups get a line here; the others are in the tables and the data."""


def group_bands(diagnostic: Diagnostic, groups: dict[str, list[Reading]]) -> dict[str, Band]:
    """Group -> median and band of one column; groups that lack it are left out, and beyond LINES groups the later
    ones."""
    out: dict[str, Band] = {}
    for name, members in groups.items():
        if (band := _band(members, diagnostic)) is not None:
            out[name] = band
        if len(out) == LINES:
            break
    return out


def _band(members: list[Reading], diagnostic: Diagnostic) -> Band | None:
    """Median and band of the column; where it is a mean over parts, the band reaches over all parts of all runs."""
    made = [_over(members, column, diagnostic.scale) for column in (diagnostic.column, *(diagnostic.around or ()))]
    band, *edges = made
    if band is None or len(edges) != 2 or edges[0] is None or edges[1] is None:
        return band
    return replace(band, low=edges[0].low, high=edges[1].high, kind="range")


def _over(members: list[Reading], column: str, scale: str) -> Band | None:
    return group_band([c for r in members if (c := _curve(r, column, scale)) is not None])


def _curve(reading: Reading, column: str, scale: str) -> tuple[np.ndarray, np.ndarray] | None:
    metrics = reading.subject.metrics
    values = metrics.get(column)
    if values is None:
        return None
    if scale == "log":
        values = np.where(values > 0, values, np.nan)
    return metrics["step"], values
