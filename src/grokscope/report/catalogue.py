"""The measured columns that a report draws, with what a reader should know about each."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Diagnostic:
    """A column of metrics.jsonl and what a reader should know about it."""

    column: str
    title: str
    meaning: str
    scale: Literal["linear", "log"] = "linear"


KNOWN: tuple[Diagnostic, ...] = (
    Diagnostic("grad_norm", "gradient norm, L2", "of the raw gradient over all parameters", "log"),
    Diagnostic("update_norm", "update size, L2", "of one step's change of the weights", "log"),
    Diagnostic(
        "rank_effective",
        "effective rank of the features",
        "exp of the entropy of the singular values' shares, centred features (Roy & Vetterli 2007)",
    ),
    Diagnostic(
        "rank_participation",
        "participation ratio of the features",
        "(sum of eigenvalues)² / sum of their squares, centred features",
    ),
    Diagnostic(
        "rank_stable",
        "stable rank of the features",
        "squared Frobenius norm over squared largest singular value, centred features",
    ),
    Diagnostic(
        "softmax_collapse",
        "softmax collapse (share of rows)",
        "train rows whose softmax sum rounds to exactly 1: no gradient is left there (2501.04697)",
    ),
    Diagnostic("margin_mean", "mean logit margin", "right class minus best wrong one, on train"),
    Diagnostic("margin_max", "largest logit margin", "right class minus best wrong one, on train"),
    Diagnostic("logit_max", "largest logit", "on train"),
    Diagnostic(
        "cos_grad_weights", "cosine of gradient and weights", "the filtered gradient with the weights it updates"
    ),
    Diagnostic(
        "cos_grad_head",
        "cosine of gradient and head growth",
        "the filtered gradient with the direction in which the head grows",
    ),
    Diagnostic(
        "elr_mean", "effective learning rate", "mean over scale-invariant tensors (van Laarhoven 1706.05350)", "log"
    ),
    Diagnostic("fourier_restricted_loss", "restricted loss", "with the key frequencies only (2301.05217)", "log"),
    Diagnostic("fourier_excluded_loss", "excluded loss", "without the key frequencies (2301.05217)", "log"),
    Diagnostic(
        "fourier_gini", "Gini of the embedding spectrum", "0: all frequencies alike, 1: one frequency (2301.05217)"
    ),
    Diagnostic("train_loss", "train loss", "as trained, without weight decay", "log"),
)
