"""Checks of the weights of an imported run, and facts derived from them."""

from itertools import chain
from typing import Any

from grokscope.archive.published import Parsed
from grokscope.archive.resnet import norms, resnet18
from grokscope.store.weights import Weights, misfit, shapes
from grokscope.vocabulary.text import percent

TOLERANCE = 1e-3
"""A logged norm that differs by more than this share from the one of the weights is another quantity."""


class ResNet18:
    """The published network. Fills the parameter norms by group, which the history lacks, at the epochs of the
    checkpoints, and says where the history's own norm is not the norm over all parameters."""

    def __init__(self, parsed: Parsed, classes: int):
        self.parsed, self.known = parsed, resnet18(classes)
        self.norms_at: dict[float, dict[str, float]] = {}
        if self.known is None:
            parsed.notes.append("timm is not installed: the weights were not compared with the network")
        else:
            parsed.facts |= {"parameters": self.known[2], "groups": self.known[1]}

    def check(self, weights: Weights) -> None:
        """Raises ValueError for weights that are another network's."""
        wrong = misfit(weights, self.known[0]) if self.known else None
        if wrong:
            raise ValueError(f"not the weights of timm's resnet18 ({wrong})")

    def note(self, name: str, weights: Weights) -> None:
        """Measure one checkpoint."""
        if self.known is None or not (name == "final" or name.startswith("ep")):
            return
        epoch = self.parsed.last_epoch if name == "final" else int(name[2:])
        self.norms_at[epoch] = norms(weights, self.known[1])

    def finish(self) -> None:
        """Add what was measured to the rows of the same epochs."""
        rows = {row["epoch"]: row for row in self.parsed.rows or []}
        logged = set(chain.from_iterable(rows.values()))
        added: set[str] = set()
        worst = 0.0
        for epoch in self.norms_at.keys() & rows.keys():
            row, measured = rows[epoch], self.norms_at[epoch]
            if "norm_total" in row:
                worst = max(worst, abs(row["norm_total"] / measured["norm_total"] - 1))
            new = {k: v for k, v in measured.items() if k not in logged}
            row |= new
            added |= new.keys()
        if added:
            self.parsed.notes.append(f"computed from the checkpoints, at their epochs only: {', '.join(sorted(added))}")
        if worst > TOLERANCE:
            self.parsed.notes.append(
                f"the history's weight norm differs by up to {percent(worst, 2)} from the L2 norm of all parameters"
            )


class Alike:
    """Networks of any kind: all checkpoints of a run must hold the same tensors."""

    def __init__(self, parsed: Parsed):
        del parsed
        self.first: dict[str, Any] | None = None

    def check(self, weights: Weights) -> None:
        """Raises ValueError for weights that are not like those before."""
        wrong = misfit(weights, self.first) if self.first else None
        if wrong:
            raise ValueError(f"not the network of the other checkpoints ({wrong})")
        self.first = self.first or shapes(weights)

    def note(self, name: str, weights: Weights) -> None:
        pass

    def finish(self) -> None:
        pass
