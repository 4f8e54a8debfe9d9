"""Columns suggested by the names in a log: printed for the user, never applied automatically."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from grokscope.trajectory.logs.reading import column_names, is_several
from grokscope.trajectory.logs.table import listed

_STEPS = (
    "step", "global_step", "_step", "steps", "trainer/global_step", "iteration", "iterations", "iter",
    "epoch", "epochs", "update", "updates", "tokens",
)  # fmt: skip
"""From the finest to the coarsest that a logger writes."""
_TRAIN = {"train", "training", "tr", "trn"}
_HELD_OUT = {"val", "valid", "validation", "test", "te", "tst", "eval", "dev", "held", "heldout", "ood", "id"}
_ACCURACY = {"acc", "accuracy", "accs", "accuracies", "top1"}
_LOSS = {"loss", "losses", "nll", "ce", "mse", "xent"}
_NOISE = {"min", "max", "std", "time", "runtime", "best", "per", "lr", "norm", "n", "size", "steps", "samples",
          "probe"}  # fmt: skip
"""Words of columns that are about a split but are no score of the network on it."""


@dataclass(frozen=True)
class Suggestion:
    """Columns by their roles, as far as the names tell."""

    step: str | None = None
    train: str | None = None
    held_out: dict[str, str] = field(default_factory=dict)
    train_loss: str | None = None
    held_out_loss: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return self.train is not None and bool(self.held_out)

    def options(self) -> str:
        """As on the command line: ``--step epoch --train train_acc --held-out val=val_acc``."""
        words: list[str] = []
        for option, value in (("step", self.step), ("train", self.train), ("train-loss", self.train_loss)):
            if value is not None:
                words += [f"--{option}", value]
        for split, column in self.held_out.items():
            words += ["--held-out", f"{split}={column}"]
        return shlex.join(words)

    def keywords(self) -> str:
        """As in Python: ``step='epoch', train='train_acc', held_out={'val': 'val_acc'}``."""
        given = {"step": self.step, "train": self.train, "train_loss": self.train_loss, "held_out": self.held_out}
        return ", ".join(f"{name}={value!r}" for name, value in given.items() if value)


def suggest(names: Iterable[str]) -> Suggestion:
    """Roles that common names of columns have; a role that two names claim equally goes to the first."""
    known = [n for n in names if not n.endswith(("__MIN", "__MAX"))]
    lower = {n.lower(): n for n in reversed(known)}
    step = next((lower[s] for s in _STEPS if s in lower), None)
    scores = _roles(n for n in known if n != step and not _words(n) & _LOSS)
    losses = _roles(n for n in known if n != step and _words(n) & _LOSS)
    return Suggestion(step, scores.train, scores.held_out, losses.train, losses.held_out)


def _roles(names: Iterable[str]) -> Suggestion:
    """The train column and the held-out ones among scores, or among losses. Names with a word for the measure win over
    bare ones (``train_acc`` over ``train``); one without a split is train's where a held-out one is named after it
    (Keras: ``accuracy`` beside ``val_accuracy``)."""
    plain = {n: _words(_short(n)) for n in names}
    plain = {n: words for n, words in plain.items() if not words & _NOISE}
    named = {n: words for n, words in plain.items() if words & (_ACCURACY | _LOSS)}
    chosen = named if any(words & _HELD_OUT for words in named.values()) else plain
    trains = [n for n, words in chosen.items() if words & _TRAIN and not words & _HELD_OUT]
    held = [n for n, words in chosen.items() if words & _HELD_OUT and not words & _TRAIN]
    trains = trains or [n for n in named if any(_short(h).lower().endswith(_short(n).lower()) for h in held if h != n)]
    trains = [n for n in trains if n not in held]
    return Suggestion(train=trains[0] if trains else None, held_out={_split(n): n for n in reversed(held)})


def _short(name: str) -> str:
    """Without the run that a W&B export puts in front."""
    return name.rpartition(" - ")[2]


def _words(name: str) -> set[str]:
    apart = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return set(re.split(r"[^a-z0-9]+", apart.lower()))


def _split(name: str) -> str:
    """``val_acc`` -> val, ``ood_test_accuracy`` -> ood_test: the split's name without the measure's."""
    apart = re.sub(r"([a-z])([A-Z])", r"\1_\2", _short(name)).lower()
    words = [w for w in re.split(r"[^a-z0-9]+", apart) if w and w not in _ACCURACY | _LOSS]
    return "_".join(words) or "held_out"


def unnamed(source: Any, *, part: str | None = None, max_mb: float | None = None, command: str | None = None) -> str:
    """What to say when the columns of a log were not named: which it has, and the call that its names suggest.

    Args:
        command: front of the command line that asked (``grokscope verdict log.csv``), else the call is Python's.

    Raises:
        ValueError: the log cannot be read at all.
    """
    paths = list(source) if is_several(source) else [source]
    names = list(chain.from_iterable(column_names(path, part=part, max_mb=max_mb) for path in paths))
    what = "the log"
    if isinstance(paths[0], str | Path):
        what = " and ".join(map(str, paths))
    how = "step=, train= and held_out="
    if command:
        how = "--step, --train and --held-out"
    words = f"{what}: name its columns with {how}; it has {listed(names)}"
    suggested = suggest(names)
    if suggested.complete:
        call = f"{command} {suggested.options()}" if command else f"gs.verdict(..., {suggested.keywords()})"
        return f"{words}\ndid you mean: {call}"
    if suggested.train_loss is not None and suggested.held_out_loss:
        return (
            f"{words}\nit seems to contain only losses: a regression is judged by R2, with --kind regression "
            f"--train-loss {shlex.quote(suggested.train_loss)} --held-out-loss "
            f"{shlex.quote(next(iter(suggested.held_out_loss.values())))} --trivial-loss LOSS, the loss of predicting "
            f"the mean target; a classification cannot be judged by losses"
        )
    return words
