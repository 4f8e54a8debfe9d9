"""Every column that grokscope writes: meaning, unit, writer, and display.

A registered measurement may describe its columns in its own class instead (`grokscope.components.Measurement.columns`);
the page, ``grokscope list column`` and docs/reference/columns.md follow either way.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from grokscope.checks import names_checked

EVALUATION, DIAGNOSED, REPORT, IMPORT = "every evaluation", "diagnosed evaluations", "only on the page", "imported logs"
REQUESTED = "on request"
"""By a run that names the measurement under ``measure``, at diagnosed evaluations, or by ``grokscope measure``."""

PARAMETER_GROUPS: Mapping[str, str] = {
    "scale_invariant": "scale-inv.", "weights": "weights", "normalization": "norm. layers", "biases": "biases",
    "head": "head", "signal": "signal", "memorization": "memoriz.",
}  # fmt: skip
"""Groups of parameters whose norms are recorded, with the short names that figures have room for."""


@names_checked
@dataclass(frozen=True)
class Column:
    """One kind of column. `pattern`, `title`, `meaning` and `around` contain placeholders: ``{split}``, ``{held_out}``
    (a split other than train), ``{env}``, ``{cls}`` and ``{group}`` (numbers), ``{part}`` (an environment, a class or
    both), ``{weights}`` (of `PARAMETER_GROUPS`) and ``{tensor}`` (the name of a parameter)."""

    pattern: str
    title: str
    meaning: str
    unit: str
    scale: Literal["linear", "log"] = "linear"
    writer: str = EVALUATION
    panel: bool = False
    """Whether it has a panel of its own under "Other diagnostics"; the others are drawn elsewhere, in tables or in the
    CSV."""
    around: tuple[str, str] | None = None
    """Columns of the lowest and the highest of what this one is the mean of: the band then reaches over them."""
    losses: tuple[str, ...] = ()
    """Names of the losses under which it means something, where not under all: the others get no curve of it."""

    def __post_init__(self) -> None:
        """Raises ValueError for a placeholder that there is not, or that the pattern does not have."""
        words = {"title": self.title, "meaning": self.meaning}
        words |= {"around": " ".join(self.around or ()), "pattern": self.pattern}
        for where, text in words.items():
            known = PLACEHOLDERS if where == "pattern" else _placeholders(self.pattern)
            for name in _placeholders(text):
                if name not in known:
                    have = f"; there are {', '.join(known)}" if known else ""
                    raise ValueError(f"column {self.pattern!r}: unknown placeholder {{{name}}} in its {where}{have}")


PLACEHOLDERS = ("split", "held_out", "env", "cls", "group", "part", "weights", "tensor")


def _placeholders(text: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", text)


_LOSS = "as the loss (nats for cross-entropy)"
_SHARE, _COUNT, _L2, _COSINE = "share, 0 to 1", "examples", "L2", "cosine, -1 to 1"

COLUMNS: tuple[Column, ...] = (
    Column("step", "step", "optimizer steps taken; 0 is the untrained network", "steps"),
    Column("archive_step", "step of the archive", "as the imported history counts them, where it counts "
        "otherwise", "steps", writer=IMPORT),
    Column("epoch", "epoch", "steps over the steps of one pass through the training data", "epochs"),
    Column("lr", "learning rate", "of the step just taken, after the schedule", "per step"),
    Column("{split}_acc", "{split} accuracy", "right answers over examples", _SHARE),
    Column("{split}_r2", "{split} R²", "1 - loss / loss of the trivial predictor (regression)", "1 is perfect, 0 "
        "trivial"),
    Column("{split}_correct", "{split} right answers", "an exact count, from which accuracy is computed", _COUNT),
    Column("{split}_n", "{split} examples", "number in the split, or in its part", _COUNT),
    Column("{held_out}_probe_acc", "linear probe, {held_out}", "accuracy on {held_out} of a ridge probe of the last "
        "hidden layer, fitted on train labels: if it is high from the start, no representation forms (2605.27078); "
        "band: worst to best strength", _SHARE, writer=DIAGNOSED, panel=True, around=("{held_out}_probe_low", "{held_out}_probe_high")),
    Column("{held_out}_probe_low", "linear probe, {held_out}, lowest", "at its weakest strength", _SHARE, writer=DIAGNOSED),
    Column("{held_out}_probe_high", "linear probe, {held_out}, highest", "at its best strength", _SHARE, writer=DIAGNOSED),
    Column("train_loss", "train loss", "as trained, without weight decay", _LOSS, "log", panel=True),
    Column("{held_out}_loss", "{held_out} loss", "on held-out data", _LOSS, "log", panel=True),
    Column("{split}_loss_logged", "{split} loss was logged", "1 where an imported log had a loss, finite or not", "0 or 1", writer=IMPORT),
    Column("{split}_logit_scale", "{split} logit scale", "mean norm of the logits, in tasks with environments", "logits"),
    Column("norm_total", "weight norm", "over all parameters", _L2, "log"),
    Column("norm_{weights}", "weight norm, {weights}", "of this parameter group", _L2, "log"),
    Column("grad_norm_total", "gradient norm, L2", "over all parameters, before the filter", _L2, "log", writer=DIAGNOSED, panel=True),
    Column("train_clean_acc", "train accuracy on clean labels", "against the labels before noise was added: what is "
        "learned despite it", _SHARE, panel=True),
    Column("train_clean_correct", "right answers on clean labels", "an exact count", _COUNT),
    Column("train_clean_n", "examples with clean labels", "all of train", _COUNT),
    Column("train_subset_acc", "train accuracy on the rows still trained on", "while the intervention train_subset "
        "acts", _SHARE, panel=True),
    Column("train_subset_correct", "right answers on the rows still trained on", "an exact count", _COUNT),
    Column("train_subset_n", "rows still trained on", "while the intervention train_subset acts", _COUNT),
    Column("train_subset_loss", "train loss on the rows still trained on", "as trained, without weight decay", _LOSS, "log"),
    Column("update_norm", "update size, L2", "of one step's change of the weights", _L2, "log", writer=DIAGNOSED, panel=True),
    Column("rank_effective", "effective rank", "exp of the entropy of the features' singular values (Roy & Vetterli "
        "2007)", "dimensions", writer=DIAGNOSED, panel=True),
    Column("rank_participation", "participation ratio", "of the features' variance: (Σλ)² / Σλ²", "dimensions", writer=DIAGNOSED, panel=True),
    Column("rank_stable", "stable rank", "of the features: total variance over its largest direction", "dimensions", writer=DIAGNOSED, panel=True),
    Column("softmax_collapse", "softmax collapse", "share of train rows whose softmax sum is exactly 1 "
        "(2501.04697)", _SHARE, writer=DIAGNOSED, panel=True, losses=("cross_entropy", "stablemax")),
    Column("margin_mean", "mean logit margin", "right class minus best wrong one, on train", "logits", writer=DIAGNOSED, panel=True),
    Column("margin_max", "largest logit margin", "right class minus best wrong one, on train", "logits", writer=DIAGNOSED, panel=True),
    Column("logit_max", "largest logit", "on train", "logits", writer=DIAGNOSED, panel=True),
    Column("cos_grad_weights", "cosine of gradient and weights", "the filtered gradient with the weights it updates", _COSINE, writer=DIAGNOSED, panel=True),
    Column("cos_grad_head", "cosine of gradient and head growth", "the filtered gradient with the growing head", _COSINE, writer=DIAGNOSED, panel=True),
    Column("elr_mean", "effective learning rate", "mean over scale-invariant tensors (van Laarhoven 1706.05350); "
        "band: smallest to largest tensor of all runs", "per step", "log", writer=REPORT, panel=True, around=("elr_low", "elr_high")),
    Column("elr_low", "effective learning rate, lowest", "over scale-invariant tensors", "per step", "log", writer=REPORT),
    Column("elr_high", "effective learning rate, highest", "over scale-invariant tensors", "per step", "log", writer=REPORT),
    Column("effective_lr/{tensor}", "effective learning rate, {tensor}", "learning rate over the tensor's squared "
        "norm (Adam: its norm), for scale-invariant tensors", "per step", "log", writer=DIAGNOSED),
    Column("fourier_embedding_gini", "Gini of the embedding's spectrum", "toward 1: few frequencies carry it "
        "(2301.05217)", "0 to 1", writer=DIAGNOSED, panel=True),
    Column("fourier_key_frequencies", "key frequencies", "how many carry 90 % of the logits' power (2301.05217)", "frequencies", writer=DIAGNOSED, panel=True),
    Column("fourier_explained", "share of logits explained", "by a + b (or a − b) alone", _SHARE, writer=DIAGNOSED, panel=True),
    Column("fourier_restricted_loss", "restricted loss", "with the key frequencies only (2301.05217)", "nats", "log", writer=DIAGNOSED, panel=True),
    Column("fourier_excluded_loss", "excluded loss", "without the key frequencies (2301.05217)", "nats", "log", writer=DIAGNOSED, panel=True),
    Column("generalization_gap", "generalization gap", "held-out minus train risk", "nats", writer=DIAGNOSED, panel=True),
    Column("objective_l2", "L2 objective", "train risk with the penalty that corresponds to weight "
        "decay", "nats", "log", writer=DIAGNOSED, panel=True),
    Column("cos_max_margin", "cosine with the max-margin direction", "of a support vector machine on the same data", _COSINE, writer=DIAGNOSED, panel=True),
    Column("pac_bayes_bound", "PAC-Bayes bound", "on the risk; above 1 it is vacuous", "risk", "log", writer=DIAGNOSED, panel=True),
    Column("pac_bayes_kl", "KL of the PAC-Bayes bound", "of the posterior from the prior", "nats", "log", writer=DIAGNOSED),
    Column("cos_update_weights", "cosine of update and weights", "of the last step, decay included, with the weights "
        "before it: +1 is pure growth, -1 pure shrinking", _COSINE, writer=REQUESTED, panel=True),
    Column("cos_update_weights_{weights}", "cosine of update and weights, {weights}", "of the last step with the "
        "weights before it, within this group", _COSINE, writer=REQUESTED),
    Column("cos_update_head", "cosine of update and head growth", "of the whole last step with the growing head", _COSINE, writer=REQUESTED, panel=True),
    Column("rotation_mean", "angle per step", "of scale-invariant tensors, mean; band: smallest to largest tensor "
        "(2305.17212)", "radians", "log", writer=REQUESTED, panel=True, around=("rotation_low", "rotation_high")),
    Column("rotation_low", "angle per step, smallest", "over scale-invariant tensors", "radians", "log", writer=REQUESTED),
    Column("rotation_high", "angle per step, largest", "over scale-invariant tensors", "radians", "log", writer=REQUESTED),
    Column("rotation_equilibrium", "angle per step at balance", "sqrt(2 eta lambda (1 - b) / (1 + b)), where decay "
        "and growth would balance (2305.17212)", "radians", "log", writer=REQUESTED, panel=True),
    Column("rotation_ratio", "angle per step over balance", "above 1 the norm of scale-invariant weights grows, below "
        "it shrinks", "1 is balance", "log", writer=REQUESTED, panel=True),
    Column("rotation/{tensor}", "angle per step, {tensor}", "by which the last step rotated this tensor", "radians", "log", writer=REQUESTED),
    Column("distance_total", "distance from the start", "of all weights", _L2, "log", writer=REQUESTED, panel=True),
    Column("distance_{weights}", "distance from the start, {weights}", "of this parameter group", _L2, "log", writer=REQUESTED),
    Column("distance_relative_total", "relative distance from the start", "over the norm of the initial weights", "share of the start's norm", "log", writer=REQUESTED, panel=True),
    Column("distance_relative_{weights}", "relative distance from the start, {weights}", "over the group's initial "
        "norm", "share of the start's norm", "log", writer=REQUESTED),
    Column("logit_scale", "logit scale", "mean norm of the centered logits on train (2606.18465)", "logits", "log", writer=REQUESTED, panel=True),
    Column("margin_normalized_min", "normalized margin, least", "margin over the logit scale, on train", "logit scales", writer=REQUESTED, panel=True),
    Column("margin_normalized_q10", "normalized margin, lowest tenth", "margin over the logit scale, on train", "logit scales", writer=REQUESTED),
    Column("margin_normalized_median", "normalized margin, median", "margin over the logit scale, on train", "logit scales", writer=REQUESTED),
    Column("margin_normalized_mean", "normalized margin, mean", "margin over the logit scale, on train", "logit scales", writer=REQUESTED, panel=True),
    Column("rank_hidden/{tensor}", "effective rank, what {tensor} reads", "of the hidden activations on training rows", "dimensions", writer=REQUESTED),
    Column("head_class_alignment", "class means and head", "mean cosine of centered class means and head rows "
        "(2008.08186)", _COSINE, writer=REQUESTED, panel=True),
    Column("head_variance_share", "features' variance that the head reads", "share in the subspace that the head "
        "distinguishes", _SHARE, writer=REQUESTED, panel=True),
    Column("head_variance_chance", "features' variance that a random head reads", "dimension of the head's space over "
        "the features' width", _SHARE, writer=REQUESTED),
    Column("l1_total", "L1 norm", "over all parameters", "L1", "log", writer=REQUESTED, panel=True),
    Column("l1_{weights}", "L1 norm, {weights}", "of this parameter group", "L1", "log", writer=REQUESTED),
    Column("gini_total", "Gini of weights", "of their sizes: toward 1, few weights carry it", "0 to 1", writer=REQUESTED, panel=True),
    Column("gini_{weights}", "Gini of weights, {weights}", "of the sizes in this parameter group", "0 to 1", writer=REQUESTED),
    Column("gini_activations", "Gini of activations", "of the last hidden layer, mean over training rows: toward 1, "
        "few units are active", "0 to 1", writer=REQUESTED, panel=True),
    Column("dead_units", "dead units", "share of hidden units that are the same for all training rows looked "
        "at", _SHARE, writer=REQUESTED, panel=True),
    Column("{held_out}_gap", "generalization gap, {held_out}", "loss on {held_out} minus train loss", _LOSS, writer=REQUESTED, panel=True),
    Column("description_bits", "description length", "bits of the weights on the coarsest grid that keeps the "
        "loss", "bits", "log", writer=REQUESTED, panel=True),
    Column("description_bits_per_weight", "description length per weight", "on the coarsest grid that keeps the loss", "bits", writer=REQUESTED),
    Column("description_width", "width of the coarsest grid", "that keeps the loss", "bits", writer=REQUESTED),
    Column("pac_bayes_risk", "risk of the PAC-Bayes posterior", "share of wrong training examples, mean over drawn "
        "networks", _SHARE, writer=REQUESTED),
    Column("pac_bayes_spread", "spread of the PAC-Bayes posterior", "standard deviation of each weight", "as the weights", "log", writer=REQUESTED),
    Column("cos_update_projected", "cosine of update and projected shrinking", "of the last step with -w without its "
        "part that moves the outputs on a sample (2511.01938)", _COSINE, writer=REQUESTED, panel=True),
    Column("projected_share", "share of shrinking that is free", "norm of -w without its part that moves the outputs "
        "on a sample, over the weights' norm (2511.01938)", _SHARE, writer=REQUESTED, panel=True),
    Column("cos_gradient_shrinking", "cosine of gradient step and shrinking", "of minus the loss gradient on a "
        "sample, without decay, with -w: below 0 the loss drives the weights to "
        "grow", _COSINE, writer=REQUESTED, panel=True),
    Column("hessian_top", "largest Hessian eigenvalue", "of the loss on a sample; not invariant under rescaling", "loss per squared weight", "log", writer=REQUESTED, panel=True),
    Column("hessian_trace", "trace of the Hessian", "of the loss on a sample, by Hutchinson's estimate", "loss per squared weight", writer=REQUESTED, panel=True),
    Column("hessian_trace_se", "standard error of the Hessian's trace", "over random probes", "loss per squared "
        "weight", "log", writer=REQUESTED),
    Column("hessian_scaled_top", "largest Hessian eigenvalue, scale-invariant", "of the loss along steps relative to "
        "each tensor's norm", _LOSS, "log", writer=REQUESTED, panel=True),
    Column("hessian_scaled_trace", "trace of the Hessian, scale-invariant", "of the loss along steps relative to each "
        "tensor's norm", _LOSS, writer=REQUESTED, panel=True),
    Column("hessian_scaled_trace_se", "standard error of the scale-invariant trace", "over random probes", _LOSS, "log", writer=REQUESTED),
    Column("kernel_distance", "kernel distance from the start", "1 - cosine of the tangent kernel with its first one "
        "(2010.15110)", "0 to 1", writer=REQUESTED, panel=True),
    Column("kernel_growth", "size of the kernel", "Frobenius norm of the tangent kernel over that of the first "
        "one", "1 at the start", "log", writer=REQUESTED, panel=True),
    Column("kernel_label_alignment", "kernel and labels", "cosine of the centered tangent kernel with that of the "
        "labels", _COSINE, writer=REQUESTED, panel=True),
    Column("jacobian_rank", "rank of E[J'J]", "effective rank of the mean outer product of the outputs' Jacobians "
        "with respect to the input, or what embeds it (2212.13881)", "dimensions", writer=REQUESTED, panel=True),
    Column("jacobian_rank/{tensor}", "rank of E[J'J], what {tensor} reads", "the same with respect to what this layer "
        "reads: the definition of causal dimensionality (2605.08740) on a sample", "dimensions", writer=REQUESTED),
    Column("prequential_bits", "prequential code length", "bits of the training labels, each block coded by a network "
        "trained on those before it (1802.07044)", "bits", writer=REQUESTED, panel=True),
    Column("prequential_bits_per_example", "prequential code length, per label", "the same over the number of "
        "examples", "bits", writer=REQUESTED),
    Column("prequential_compression", "prequential compression", "code length over that of uniform guesses: below 1 "
        "the labels are compressed", "1: not at all", writer=REQUESTED, panel=True),
    Column("{split}_irm", "IRM penalty, {split}", "falls with the loss: uninformative on memorized data", "squared gradient", "log", writer=DIAGNOSED, panel=True),
    Column("{split}_env{env}_acc", "{split} accuracy, environment {env}", "of this environment alone", _SHARE, panel=True),
    Column("grad_norm_{weights}", "gradient norm, {weights}", "of this parameter group, before the filter", _L2, "log", writer=DIAGNOSED, panel=True),
    Column("{split}_env{env}_loss", "{split} loss, environment {env}", "of this environment alone", _LOSS, "log"),
    Column("{split}_env{env}_irm", "IRM penalty, {split}, environment {env}", "naive: the squared estimated gradient", "squared gradient", "log", writer=DIAGNOSED),
    Column("{split}_env{env}_irm_split", "IRM penalty, {split}, environment {env}, split-half", "the mean gradient of "
        "one half of the rows times that of the other; unbiased", "squared gradient", "log", writer=DIAGNOSED),
    Column("{split}_env{env}_irm_u", "IRM penalty, {split}, environment {env}, U-statistic", "unbiased, and can be "
        "negative", "squared gradient", "log", writer=DIAGNOSED),
    Column("{split}_env{env}_irm_u_se", "standard error of the U-statistic, {split}, environment "
        "{env}", "approximate", "squared gradient", "log", writer=DIAGNOSED),
    Column("{split}_class{cls}_acc", "{split} accuracy, class {cls}", "of this class alone", _SHARE),
    Column("{split}_env{env}_class{cls}_acc", "{split} accuracy, environment {env}, class {cls}", "of this class in "
        "this environment", _SHARE),
    Column("{split}_{part}_correct", "{split} right answers, {part}", "an exact count", _COUNT),
    Column("{split}_{part}_n", "{split} examples, {part}", "of this environment, class or both", _COUNT),
    Column("{split}_group{group}_loss", "{split} loss, group {group}", "of this group of a regression", _LOSS, "log"),
)  # fmt: skip
"""In the order in which panels stand on the page."""
