"""Two-level designs in a study file:

    [design]
    factors = { "regime.weight_decay" = [0.1, 1.0], "regime.init_scale" = [1.0, 4.0], "regime.lr" = [1e-3, 3e-3] }
    responses = ["T_gen", { measure = "norm_total", statistic = "growth after fit" }]
    cells = 4        # of 8: a fraction; one_off = true: all on, and each factor off by itself

The first level of a factor is its lower one, or off. Every cell is run with every seed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grokscope import configio
from grokscope.config import is_whole, require
from grokscope.inference.factorial import MOST, Cell, Effect, aliases, cells_of, estimable, one_off, resolution
from grokscope.limits import brief
from grokscope.registry import nearest
from grokscope.study.entries import Arm
from grokscope.study.hypothesis import Quantity
from grokscope.study.read_hypothesis import read_quantity
from grokscope.study.spec import check_variable, describe
from grokscope.vocabulary.text import listed, plural

KEYS = ("factors", "responses", "cells", "one_off")


@dataclass(frozen=True)
class Design:
    """What is varied, in which cells, and what is looked at."""

    factors: tuple[tuple[str, tuple[Any, Any]], ...]
    """(dotted key, (lower level, upper level))."""
    cells: tuple[Cell, ...]
    one_off: bool
    responses: tuple[Quantity, ...]

    @property
    def names(self) -> list[str]:
        """``weight_decay``: the last part of a key where that is not ambiguous."""
        lasts = [key.rpartition(".")[2] for key, _ in self.factors]
        return [
            key if lasts.count(last) > 1 or last == "name" else last
            for (key, _), last in zip(self.factors, lasts, strict=True)
        ]

    def changes(self, cell: Cell) -> dict[str, Any]:
        """The settings of a cell."""
        return {key: levels[sign > 0] for (key, levels), sign in zip(self.factors, cell, strict=True)}

    def arms(self) -> list[Arm]:
        """An arm for each cell."""
        return [Arm(describe(self.changes(cell)), self.changes(cell)) for cell in self.cells]

    @property
    def resolution(self) -> str:
        if self.one_off:
            return "one off"
        return resolution(len(self.factors), len(self.cells))

    def effects(self) -> list[Effect]:
        """What can be estimated: with one factor off at a time only main effects."""
        if self.one_off:
            return [frozenset({i}) for i in range(len(self.factors))]
        return estimable(len(self.factors), len(self.cells))

    def called(self, effect: Effect) -> str:
        return " x ".join(self.names[i] for i in sorted(effect))

    def aliases(self, effect: Effect) -> tuple[str, ...]:
        if self.one_off:
            return ()
        return tuple(self.called(other) for other in aliases(effect, len(self.factors), len(self.cells)))

    def says(self) -> str:
        """``4 of 8 cells of 3 factors, resolution III: weight_decay is aliased with init_scale x lr; ...``"""
        count = plural(len(self.factors), "factor")
        if self.one_off:
            return f"All of {count} on, and each off by itself: main effects beside the others, no interactions."
        if self.resolution == "full":
            return f"All {len(self.cells)} cells of {count}: main effects and all interactions of two."
        confounded = [
            f"{self.called(e)} is aliased with {listed(list(others))}"
            for e in self.effects()
            if (others := self.aliases(e))
        ]
        of = f"{len(self.cells)} of {2 ** len(self.factors)} cells of {count}, resolution {self.resolution}"
        return f"{of}{': ' if confounded else ''}{'; '.join(confounded)}."


def read_design(raw: Any) -> Design | None:
    """The ``[design]`` table.

    Raises:
        ValueError: an unknown key, a factor without two levels, cells that no fraction has, no response.
    """
    if raw is None:
        return None
    where = "$.design"
    require(isinstance(raw, Mapping), f"{where}: expected a table, got {brief(raw)}")
    for key in raw:
        require(key in KEYS, f"{where}.{key}: unknown key{nearest(key, list(KEYS))}")
    factors = _factors(raw.get("factors"), f"{where}.factors")
    off = raw.get("one_off", False)
    require(isinstance(off, bool), f"{where}.one_off: expected true or false, got {brief(off)}")
    require(not (off and "cells" in raw), f"{where}.cells: one_off has one cell for each factor, and one more")
    return Design(factors, _cells(raw, where, len(factors), off), off, _responses(raw.get("responses"), where))


def _factors(raw: Any, where: str) -> tuple[tuple[str, tuple[Any, Any]], ...]:
    require(isinstance(raw, Mapping), f"{where}: expected a table of dotted keys, each with two levels")
    factors = configio.flatten(raw)
    for key, levels in factors.items():
        check_variable(key, where)
        two = isinstance(levels, list) and len(levels) == 2 and levels[0] != levels[1]
        require(two, f"{where}.{key}: expected two different levels, [lower, upper], got {brief(levels)}")
    require(2 <= len(factors) <= MOST, f"{where}: a design has 2 to {MOST} factors, got {len(factors)}")
    return tuple((key, (levels[0], levels[1])) for key, levels in factors.items())


def _cells(raw: Mapping[str, Any], where: str, factors: int, off: bool) -> tuple[Cell, ...]:
    if off:
        return tuple(one_off(factors))
    cells = raw.get("cells")
    require(cells is None or is_whole(cells), f"{where}.cells: expected a whole number, got {brief(cells)}")
    try:
        return tuple(cells_of(factors, cells))
    except ValueError as error:
        raise ValueError(f"{where}.cells: {error}") from None


def _responses(raw: Any, where: str) -> tuple[Quantity, ...]:
    ok = isinstance(raw, list) and len(raw) > 0
    require(ok, f'{where}.responses: expected a list such as ["T_gen", {{ measure = "norm_total" }}], got {brief(raw)}')
    blocks = [{"quantity": one} if isinstance(one, str) else one for one in raw]
    for i, block in enumerate(blocks):
        require(isinstance(block, Mapping), f"{where}.responses[{i}]: expected a name or a table, got {brief(block)}")
    return tuple(read_quantity(block, f"{where}.responses[{i}]") for i, block in enumerate(blocks))
