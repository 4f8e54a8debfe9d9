"""One row of metrics: loss and accuracy on every split, norms by group, and optionally the costly diagnostics.

Everything stays on the device until the row is complete; counts are integers, because a float mean of booleans can miss
1.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn

from grokscope.components import LossFunction
from grokscope.config import Regime
from grokscope.measure.groups import find_head, group_norms
from grokscope.measure.hidden import Hidden, hidden_layers
from grokscope.measure.logits import margins, softmax_collapse
from grokscope.measure.probe import ProbeScores, input_features, probe_rows, probe_scores
from grokscope.measure.spectra import spectra

CHUNK = 4096
"""Examples in one evaluation batch."""

IMAGE_CHUNK = 256
"""Images in one evaluation batch."""

HIDDEN_ROWS = 256
"""Training rows whose hidden activations are looked at in every layer."""

RANK_ROWS = 512
"""Spectra use at most this many training rows, always the same ones: dimension counts compare at equal n only."""

INPUT_NUMBERS = 30_000_000
"""Numbers in the matrix of raw inputs of one split that is probed: 120 MB of float32. Large images use fewer rows."""


@dataclass(frozen=True)
class TensorSplit:
    """A split on the device: inputs (n, ...), labels (n,), encoded targets, and environment ids where the task has
    them."""

    x: Tensor
    y: Tensor
    target: Tensor
    env: Tensor | None = None
    group: Tensor | None = None

    @cached_property
    def environments(self) -> dict[int, Tensor]:
        """Environment -> its rows, looked up once: asking again would make a GPU wait at every evaluation."""
        if self.env is None:
            return {}
        return _rows_of(self.env)

    @cached_property
    def cells(self) -> dict[str, Tensor]:
        """``class0``, ``env3`` and ``env3_class0`` -> the rows there; cells without rows are left out."""
        classes = {f"class{c}": rows for c, rows in _rows_of(self.y).items()}
        out = dict(classes)
        for e, here in self.environments.items():
            inside = {f"env{e}_{name}": rows[torch.isin(rows, here)] for name, rows in classes.items()}
            out |= {f"env{e}": here} | {name: rows for name, rows in inside.items() if len(rows)}
        return out

    def take(self, index: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Inputs, targets and environments of a batch; None takes all examples."""
        if index is None:
            return self.x, self.target, self.env
        index = index.to(self.x.device)  # once, not once for each of the three
        return self.x[index], self.target[index], None if self.env is None else self.env[index]


def _rows_of(ids: Tensor) -> dict[int, Tensor]:
    """Each value of ids (n,) -> the rows that have it, in order."""
    return {value: (ids == value).nonzero()[:, 0] for value in ids.unique().tolist()}


Row = dict[str, float | int]


@torch.inference_mode()
def forward(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Logits (n, k), chunk by chunk: examples at once so that images of any size fit beside each other."""
    size = CHUNK if x.dim() < 4 else IMAGE_CHUNK
    if len(x) <= size:
        return network(x)
    return torch.cat([network(part) for part in x.split(size)])


@torch.inference_mode()
def split_metrics(logits: Tensor, split: TensorSplit, loss: LossFunction, name: str) -> dict[str, Tensor | int]:
    """Loss, and for classes the count of right answers: in all, by environment, by class, and by both."""
    n = len(split.y)
    out: dict[str, Tensor | int] = {f"{name}_loss": loss(logits, split.target), f"{name}_n": n}
    if loss.targets == "real":
        return out | _group_losses(logits, split, name)
    right = loss.predict(logits) == split.y
    out[f"{name}_correct"] = right.sum()
    if split.env is not None:
        out[f"{name}_logit_scale"] = logits.norm(dim=1).mean()
        for cell, rows in split.cells.items():
            out |= {f"{name}_{cell}_correct": right[rows].sum(), f"{name}_{cell}_n": len(rows)}
        for e, rows in split.environments.items():
            out[f"{name}_env{e}_loss"] = loss(logits[rows], split.target[rows])
    return out


def _group_losses(logits: Tensor, split: TensorSplit, name: str) -> dict[str, Tensor]:
    """Mean squared error of each group of a regression: the groups differ in difficulty more than networks do."""
    if split.group is None:
        return {}
    ids, index = split.group.unique(return_inverse=True)
    errors = (logits[:, 0] - split.y).double().square()
    totals = torch.zeros(len(ids), dtype=errors.dtype, device=errors.device).index_add_(0, index, errors)
    counts = torch.bincount(index, minlength=len(ids))
    return {f"{name}_group{g}_loss": t for g, t in zip(ids.tolist(), (totals / counts).unbind(), strict=True)}


def to_row(values: Mapping[str, Tensor | float | int], trivial: Mapping[str, Mapping[str, float]]) -> Row:
    """Fetch all device values at once, and derive accuracy (count / n) or R2 (1 - loss / trivial loss)."""
    tensors = {k: v for k, v in values.items() if isinstance(v, Tensor)}
    fetched = []
    if tensors:
        fetched = torch.stack([t.double().reshape(()) for t in tensors.values()]).tolist()
    numbers: Row = {**values, **dict(zip(tensors, fetched, strict=True))}  # type: ignore[dict-item]
    row: Row = {}
    for key, value in numbers.items():
        if key.endswith("_correct"):
            row[key.removesuffix("_correct") + "_acc"] = value / numbers[key.removesuffix("_correct") + "_n"]
            row[key] = int(value)
        elif key.endswith("_n"):
            row[key] = int(value)
        else:
            row[key] = value
            base = None
            if key.endswith("_loss"):
                base = trivial.get(key.removesuffix("_loss"), {}).get("loss")
            if base:
                row[key.removesuffix("_loss") + "_r2"] = 1 - value / base
    return row


@dataclass(frozen=True)
class Retraining:
    """Networks trained anew on a part of the training examples, in the run's way."""

    order: Tensor
    """Training examples (n,) in the order in which parts grow."""
    outputs_after: Callable[[int, int], Tensor]
    """(m, steps) -> outputs (n, k) on all training examples of a network trained for so many steps on the first m."""
    why_not: str | None
    """Why that would be another training than the run's; None where it would not."""


@dataclass(frozen=True)
class View:
    """What a measurement sees of a run that is being diagnosed."""

    model: nn.Module
    """In eval mode."""
    splits: Mapping[str, TensorSplit]
    """Every split, ``train`` first."""
    logits: Mapping[str, Tensor]
    """Split -> the network's outputs (n, k)."""
    features: Mapping[str, Tensor]
    """Split -> what the last layer reads (m, d), in the rows of `feature_rows`."""
    loss: LossFunction
    meta: dict[str, Any]
    """The task's facts."""
    probed_classes: int
    """Classes that a probe of the features can tell apart; 0 where there is no hidden layer, or no classes."""
    step: int
    groups: Mapping[str, list[str]] = field(default_factory=dict)
    """Parameter group -> names of its parameters."""
    prepare: Callable[[Tensor], Tensor] = torch.clone
    """What a split stores (n, ...) -> what the model itself takes: images are stored as bytes."""
    regime: Regime | None = None
    lr: float = float("nan")
    """Of the step just taken."""
    initial: Mapping[str, Tensor] | None = None
    """Parameter or buffer -> its value before the first step; None where nobody knows it."""
    initial_learned: bool = False
    """Whether the run began with trained weights: it was branched off another one."""
    update: Mapping[str, Tensor] | None = None
    """Parameter -> its change in the step just taken; None where no step was watched."""
    classes: int = 0
    """Of the task; 0 for real targets."""
    retrain: "Retraining | None" = None
    """How networks of the run are trained anew; None while it trains."""
    outputs_changed: bool = False
    """Whether an intervention changes what the training loss sees: it is not `loss` of the model's own outputs. That it
    overrides such a hook is all that is asked: a declaration could be forgotten, and would then say the contrary."""

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """Parameter -> its present value."""
        return {name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}

    def sample(self, rows: int) -> TensorSplit:
        """At most so many training examples, always the same ones, with x as the model takes it."""
        train = self.splits["train"]
        at = torch.linspace(0, len(train.y) - 1, min(rows, len(train.y))).long().to(train.x.device)
        return TensorSplit(self.prepare(train.x[at]), train.y[at], train.target[at])

    @property
    def has_hidden_layer(self) -> bool:
        return has_hidden_layer(self.model)

    @cached_property
    def hidden(self) -> dict[str, Hidden]:
        """Layer -> what it reads of what the network has learned, on a sample: of every layer but the first."""
        return hidden_layers(self.model, self.sample(HIDDEN_ROWS).x)


@torch.inference_mode()
def logit_diagnostics(logits: Tensor, train: TensorSplit, loss: LossFunction) -> dict[str, Tensor | float]:
    """The largest logit (n, k), margins, and softmax collapse in the loss dtype, on the training rows."""
    out: dict[str, Tensor | float] = {"logit_max": logits.abs().max()}
    if loss.targets != "real":
        m = margins(logits, train.y)
        out |= {
            "margin_mean": m.mean(),
            "margin_max": m.max(),
            "softmax_collapse": softmax_collapse(logits, loss.dtype),
        }
    return out


@torch.inference_mode()
def feature_spectra(features: Tensor, train: TensorSplit) -> dict[str, Tensor]:
    """Dimension counts of what the head reads in the training rows that are kept for it, of `features` (m, d)."""
    rows = feature_rows("train", len(train.y))
    return spectra(features[torch.searchsorted(rows, _rank_rows(len(train.y))).to(train.x.device)])


@torch.inference_mode()
def probe_columns(
    features: Mapping[str, Tensor], splits: Mapping[str, TensorSplit], classes: int
) -> dict[str, Tensor | float]:
    """``{split}_probe_acc`` and its range over strengths; on every held-out split."""
    read = {}
    for name, split in splits.items():
        rows = feature_rows(name, len(split.y))
        read_rows = probe_rows(name, len(split.y))
        at = torch.searchsorted(rows, read_rows).to(split.x.device)
        read[name] = (features[name][at], split.y[read_rows.to(split.x.device)])
    train, labels = read.pop("train")
    return _score_columns(probe_scores(train, labels, read, classes))


def _score_columns(scores: Mapping[str, ProbeScores]) -> dict[str, Tensor | float]:
    """Columns of a row: ``{split}_probe_acc`` and its range over strengths, ``_low`` and ``_high``."""
    out: dict[str, Tensor | float] = {}
    for name, s in scores.items():
        front = f"{name}_probe"
        out |= {f"{front}_acc": s.correct / s.n, f"{front}_low": s.low, f"{front}_high": s.high}
    return out


def input_probe(splits: Mapping[str, TensorSplit], classes: int) -> dict[str, dict[str, float]]:
    """What the probe of each row reads from the raw input, per held-out split: accuracy, and its range over the probe's
    strengths. The baseline of every ``{split}_probe_acc``."""
    vocabulary = _vocabulary(splits)
    read = {}
    for name, split in splits.items():
        width = max(split.x[0].numel(), 1) * max(vocabulary, 1)
        rows = probe_rows(name, len(split.y), max(INPUT_NUMBERS // width, 200)).to(split.x.device)
        read[name] = (input_features(split.x[rows], vocabulary), split.y[rows])
    train, labels = read.pop("train")
    scores = probe_scores(train, labels, read, classes)
    return {
        name: {"acc": s.correct.item() / s.n, "low": s.low.item(), "high": s.high.item(), "n": s.n}
        for name, s in scores.items()
    }


def _vocabulary(splits: Mapping[str, TensorSplit]) -> int:
    """Number of different tokens, 0 where inputs are no tokens."""
    x = splits["train"].x
    if x.is_floating_point() or x.dtype == torch.uint8:
        return 0
    return max(int(split.x.max()) for split in splits.values()) + 1


def _rank_rows(n: int) -> Tensor:
    return torch.linspace(0, n - 1, min(RANK_ROWS, n)).long()


@cache
def feature_rows(split: str, n: int) -> Tensor:
    """The rows (m,) of a split of n examples whose features are kept: those of the probe, and in train those of the
    spectra too."""
    rows = probe_rows(split, n)
    if split == "train":
        return torch.cat([_rank_rows(n), rows]).unique()
    return rows


@torch.inference_mode()
def forward_with_features(
    model: nn.Module, network: Callable[[Tensor], Tensor], x: Tensor, rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Logits (n, k) of all x, and what the last layer of `model` reads (m, d) in the given rows, sorted: from one and
    the same forward, of which only those rows are kept. `network` must call the model uncompiled: a compiled one runs
    past the hook."""
    with _reading_head(model, rows) as seen:
        logits = forward(network, x)
    return logits, torch.cat(seen).float()


@contextmanager
def _reading_head(model: nn.Module, rows: Tensor) -> Iterator[list[Tensor]]:
    """Collects, chunk after chunk, the head's inputs in the given rows of all that is sent through."""
    seen: list[Tensor] = []
    start = 0

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal start
        chunk = inputs[0].flatten(1)
        first, last = torch.searchsorted(rows, torch.tensor([start, start + len(chunk)])).tolist()
        wanted = rows[first:last] - start
        seen.append(chunk if len(wanted) == len(chunk) else chunk[wanted.to(chunk.device)])
        start += len(chunk)

    _, head = find_head(model)
    handle = head.register_forward_pre_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


def has_hidden_layer(model: nn.Module) -> bool:
    """Whether anything is learned before the last layer: a linear model's features are its raw input."""
    _, head = find_head(model)
    in_head = {id(p) for p in head.parameters()}
    return any(id(p) not in in_head for p in model.parameters())


class StepWatch:
    """What one training step did: gradient norms by group, direction of the filtered gradient, size of the update."""

    def __init__(self, model: nn.Module, groups: Mapping[str, list[str]]):
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.groups = groups
        self.values: dict[str, Tensor] = {}
        self.keep_update = False
        """Whether the step's change of every weight is kept until `forget`."""
        self.update: dict[str, Tensor] | None = None

    @torch.no_grad()
    def before_filter(self) -> None:
        grads = {n: p.grad for n, p in self.parameters.items() if p.grad is not None}
        self.values = group_norms(grads, self.groups, "grad_norm")

    @torch.no_grad()
    def before_update(self) -> None:
        """The filtered gradient, against the weights and against the head's growth. A negative cosine means that
        descending along it makes the norm grow."""
        pairs = [(n, p.grad, p) for n, p in self.parameters.items() if p.grad is not None]
        dots = {n: (g.double() * p.double()).sum() for n, g, p in pairs}
        grad = torch.stack([g.double().square().sum() for _, g, _ in pairs]).sum().sqrt()
        weights = torch.stack([p.double().square().sum() for _, _, p in pairs]).sum().sqrt()
        self.values["cos_grad_weights"] = torch.stack(list(dots.values())).sum() / (grad * weights)
        head = [n for n in self.groups.get("head", []) if n in dots]
        if head:
            size = torch.stack([self.parameters[n].double().square().sum() for n in head]).sum().sqrt()
            self.values["cos_grad_head"] = torch.stack([dots[n] for n in head]).sum() / (grad * size)
        self._kept = [p.detach().clone() for p in self.parameters.values()]

    @torch.no_grad()
    def after_update(self) -> None:
        change = torch._foreach_sub([p.detach() for p in self.parameters.values()], self._kept)
        self.values["update_norm"] = torch.stack(torch._foreach_norm(change)).double().square().sum().sqrt()
        if self.keep_update:
            self.update = dict(zip(self.parameters, change, strict=True))
        del self._kept

    def forget(self) -> None:
        """The step has been described: its update is as large as the network."""
        self.update = None
