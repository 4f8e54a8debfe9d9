"""Everything that can be named in a config: name -> factory, one line, source.

A target is written ``"package.module:attribute"`` and imported only when it is asked for, so that listing names (help
texts, error messages) never imports torch. Other packages add entries through the entry-point groups
``grokscope.tasks``, ``grokscope.models``, ``grokscope.optimizers``, ``grokscope.losses``, ``grokscope.filters`` and
``grokscope.schedules``; the entry point's object is the factory itself.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

Kind = Literal["task", "model", "optimizer", "loss", "filter", "schedule"]


class Unknown(ValueError):
    """A name under which nothing is registered; `key` is the config key that holds names of this kind."""

    def __init__(self, kind: Kind, name: object, known: list[str]):
        super().__init__(f"unknown {kind} {name!r}{nearest(str(name), known)}")
        self.key = {"task": "name", "model": "name", "filter": "grad_filter"}.get(kind, kind)


@dataclass(frozen=True)
class Entry:
    """One registered thing; `load` imports and returns its factory."""

    kind: Kind
    name: str
    target: str
    summary: str
    source: str

    def load(self) -> Any:
        return EntryPoint(self.name, self.target, f"grokscope.{self.kind}s").load()


def _table(kind: Kind, *rows: tuple[str, str, str, str]) -> dict[str, Entry]:
    return {name: Entry(kind, name, f"grokscope.{target}", summary, source) for name, target, summary, source in rows}


_BUILT_IN: dict[Kind, dict[str, Entry]] = {
    "task": _table(
        "task",
        ("modular", "tasks.modular:Modular", "arithmetic modulo p, or composition in S5, from part of the table", "arXiv:2201.02177"),
        ("digits", "tasks.digits:Digits", "scikit-learn's 1,797 real handwritten digits", "doi:10.24432/C50P49"),
        ("parity", "tasks.parity:Parity", "parity of k hidden bits among n", "arXiv:2303.11873"),
        ("competing-features", "tasks.competing:CompetingFeatures", "a linear rule against one memorization feature per example", "arXiv:2201.02177"),
        ("mheight", "tasks.mheight:MHeight", "log2 m-height of a linear code from its matrix (regression)", "arXiv:2602.20366"),
        ("hospitals", "tasks.hospitals:Hospitals", "drawn tissue whose label follows the hospital's stain in training", "arXiv:2012.07421"),
        ("camelyon17", "tasks.camelyon17:Camelyon17", "tumour in real tissue of five hospitals, from a WILDS folder", "arXiv:2012.07421"),
        ("table", "tasks.table:Table", "your own images, listed with label, environment and split", "arXiv:2012.07421"),
    ),
    "model": _table(
        "model",
        ("linear", "models.config:Linear", "one linear layer", "-"),
        ("mlp", "models.config:MLP", "fully connected network on real features", "arXiv:2210.01117"),
        ("embedding-mlp", "models.config:EmbeddingMLP", "embeds the tokens, concatenates, one hidden layer or more", "arXiv:2205.10343"),
        ("quadratic-mlp", "models.config:QuadraticMLP", "one-hot tokens, squared activation", "arXiv:2301.02679"),
        ("small-resnet", "models.vision:SmallResNet", "small residual network with a chosen norm", "arXiv:1512.03385"),
        ("timm", "models.vision:Timm", "any timm classifier from scratch, ResNet-18 by default", "arXiv:2110.00476"),
        ("code-resnet", "models.vision:CodeResNet", "residual network with LayerNorm for matrices of codes", "arXiv:1512.03385"),
        ("transformer", "models.config:Transformer", "small transformer, read at its last position", "arXiv:2301.05217"),
    ),
    "optimizer": _table(
        "optimizer",
        ("adamw", "train.optimizers:adamw", "Adam with decoupled weight decay", "arXiv:1711.05101"),
        ("adam", "train.optimizers:adam", "Adam; weight decay is L2 added to the gradient", "arXiv:1412.6980"),
        ("sgd", "train.optimizers:sgd", "SGD with momentum, decoupled weight decay", "doi:10.1214/aoms/1177729586"),
        ("muon", "train.optimizers:muon", "orthogonalized momentum on matrices, AdamW on the rest", "arXiv:2502.16982"),
    ),
    "loss": _table(
        "loss",
        ("cross_entropy", "train.losses:CrossEntropy", "softmax cross-entropy on class labels", "-"),
        ("mse", "train.losses:OneHotMSE", "mean squared error on one-hot class labels", "arXiv:2006.07322"),
        ("stablemax", "train.losses:StableMax", "cross-entropy with StableMax in place of softmax", "arXiv:2501.04697"),
        ("hinge", "train.losses:Hinge", "max(0, 1 - y z) for two classes and one output", "arXiv:2303.11873"),
        ("logistic", "train.losses:Logistic", "log(1 + exp(-y z)) for two classes and one output", "-"),
        ("squared_error", "train.losses:SquaredError", "mean squared error on real targets", "-"),
    ),
    "filter": _table(
        "filter",
        ("none", "train.filters:NoFilter", "leaves the gradient alone", "-"),
        ("grokfast_ema", "train.filters:GrokfastEMA", "adds lambda times an exponential average of past gradients", "arXiv:2405.20233"),
        ("grokfast_ma", "train.filters:GrokfastMA", "adds lambda times the mean of a full window of past gradients", "arXiv:2405.20233"),
        ("orthogonal", "train.filters:OrthogonalGradient", "removes the part of each gradient along its weights", "arXiv:2501.04697"),
    ),
    "schedule": _table(
        "schedule",
        ("constant", "train.schedules:Constant", "the same learning rate at every step", "-"),
        ("warmup", "train.schedules:Warmup", "linear warm-up, then constant", "arXiv:1706.02677"),
        ("cosine", "train.schedules:Cosine", "linear warm-up, then half a cosine to zero at the budget's end", "arXiv:1608.03983"),
    ),
}  # fmt: skip


@cache
def _plugins(kind: Kind) -> dict[str, Entry]:
    points = entry_points(group=f"grokscope.{kind}s")
    return {p.name: Entry(kind, p.name, p.value, f"plug-in from {p.module}", "-") for p in points}


def entries(kind: Kind) -> dict[str, Entry]:
    """All entries of one kind by name, built-in ones first; a plug-in may not take a built-in's name."""
    return {**_plugins(kind), **_BUILT_IN[kind]}


def find(kind: Kind, name: str) -> Entry:
    """The entry called `name`. Raises Unknown (a ValueError) naming the nearest registered name."""
    entry = _BUILT_IN[kind].get(name) or _plugins(kind).get(name)  # built-in first: plug-ins cost a look at the disk
    if entry is None:
        raise Unknown(kind, name, list(entries(kind)))
    return entry


def load(kind: Kind, name: str) -> Any:
    """The factory behind a name, imported now."""
    return find(kind, name).load()


_COMPARED, _SHOWN = 2000, 100
"""Names that a word is compared with, and names (and characters of the word) that a message is about: a table of 30,000
columns is no list of choices."""


def nearest(word: str, known: list[str]) -> str:
    """The end of an error message: the nearest right name, or all of them."""
    lower = {name.lower(): name for name in known[:_COMPARED]}
    close = get_close_matches(str(word)[:_SHOWN].lower(), list(lower), n=1, cutoff=0.6)
    if close:
        return f"; did you mean {lower[close[0]]!r}?"
    more = f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else ""
    return f"; known: {', '.join(sorted(known)[:_SHOWN])}{more}"
