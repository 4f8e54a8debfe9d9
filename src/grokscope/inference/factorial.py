"""Two-level designs: the combinations of factors, their aliases, and effects estimated from runs with shared seeds.

An effect is a set of factors, as numbers: {0} a main effect, {0, 2} an interaction. Its sign in a cell is the product
of the levels (-1 or 1) of its factors.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from math import prod

import numpy as np

Effect = frozenset[int]
Cell = tuple[int, ...]
"""A level, -1 or 1, of each factor."""

GENERATORS: dict[tuple[int, int], tuple[tuple[int, ...], ...]] = {
    (3, 4): ((0, 1),),
    (4, 8): ((0, 1, 2),),
    (5, 8): ((0, 1), (0, 2)),
    (5, 16): ((0, 1, 2, 3),),
    (6, 8): ((0, 1), (0, 2), (1, 2)),
    (6, 16): ((0, 1, 2), (1, 2, 3)),
    (6, 32): ((0, 1, 2, 3, 4),),
    (7, 8): ((0, 1), (0, 2), (1, 2), (0, 1, 2)),
    (7, 16): ((0, 1, 2), (1, 2, 3), (0, 2, 3)),
    (7, 32): ((0, 1, 2, 3), (0, 1, 3, 4)),
    (7, 64): ((0, 1, 2, 3, 4, 5),),
}
"""(factors, cells) -> the products that set the last factors: the fractions of highest resolution (Box, Hunter and
Hunter 2005, table 6.22)."""
MOST = 7
"""Factors of a design: 128 cells in full."""
NUMERALS = {3: "III", 4: "IV", 5: "V", 6: "VI", 7: "VII"}


def cells_of(factors: int, cells: int | None = None) -> list[Cell]:
    """The cells of a full design (None, or 2 to the power of `factors`) or of a fraction.

    Raises:
        ValueError: naming the numbers of cells that there are.
    """
    if cells is None or cells == 2**factors:
        return list(product((-1, 1), repeat=factors))
    if (factors, cells) not in GENERATORS:
        known = [str(c) for f, c in GENERATORS if f == factors] + [str(2**factors)]
        raise ValueError(f"{factors} factors can be run in {', '.join(known)} cells, not in {cells}")
    generators = GENERATORS[factors, cells]
    base = product((-1, 1), repeat=factors - len(generators))
    return [(*levels, *(prod(levels[i] for i in word) for word in generators)) for levels in base]


def one_off(factors: int) -> list[Cell]:
    """All factors on, and each of them off by itself."""
    on = [1] * factors
    return [tuple(on), *(tuple(-1 if j == i else 1 for j in range(factors)) for i in range(factors))]


def words_of(factors: int, cells: int) -> list[Effect]:
    """The products of factors that are constant in a fraction: every product of the generating ones. None in full."""
    if cells == 2**factors:
        return []
    generators = GENERATORS[factors, cells]
    first = factors - len(generators)
    basic = [frozenset({*word, first + i}) for i, word in enumerate(generators)]
    chosen = (c for size in range(1, len(basic) + 1) for c in combinations(basic, size))
    return sorted((_product(c) for c in chosen), key=lambda word: (len(word), sorted(word)))


def _product(words: Sequence[Effect]) -> Effect:
    """Factors that occur an odd number of times: each squared is 1."""
    out: Effect = frozenset()
    for word in words:
        out = out ^ word
    return out


def resolution(factors: int, cells: int) -> str:
    """``full``, or the length of the shortest constant product in Roman numerals: III confounds main effects with
    interactions of two factors, IV these with each other, V neither."""
    words = words_of(factors, cells)
    if not words:
        return "full"
    return NUMERALS[min(map(len, words))]


def aliases(effect: Effect, factors: int, cells: int) -> list[Effect]:
    """Main effects and interactions of two factors that cannot be told from this one."""
    others = {effect ^ word for word in words_of(factors, cells)}
    return sorted((o for o in others if 1 <= len(o) <= 2), key=lambda o: (len(o), sorted(o)))


def estimable(factors: int, cells: int) -> list[Effect]:
    """Main effects, and of the interactions of two factors those that are no alias of one before them."""
    out: list[Effect] = []
    candidates = [frozenset(c) for size in (1, 2) for c in combinations(range(factors), size)]
    for effect in candidates:
        # Aliases have the same signs in every cell that is run, so their contrasts are one number: told once, under
        # the first name, or the same evidence would be counted twice in a family of tests.
        if len(effect) == 1 or not set(aliases(effect, factors, cells)) & set(out):
            out.append(effect)
    return out


def signs(effect: Effect, cells: Sequence[Cell]) -> np.ndarray:
    """(cells,) of -1 and 1."""
    return np.array([prod(cell[i] for i in effect) for cell in cells])


def contrasts(effect: Effect, values: Mapping[Cell, np.ndarray]) -> np.ndarray:
    """Of each seed (n,): the mean over cells of sign 1 less that over cells of sign -1. `values`: cell -> (n,), in one
    order of seeds."""
    # Seed by seed, before anything is averaged: what a seed does to all cells alike (its data, its initial weights)
    # drops out of the difference, and the seeds are the independent units that a test counts.
    cells = list(values)
    sign = signs(effect, cells)
    table = np.stack([values[cell] for cell in cells])
    return table[sign == 1].mean(axis=0) - table[sign == -1].mean(axis=0)


def off_contrasts(factor: int, values: Mapping[Cell, np.ndarray]) -> np.ndarray:
    """Of each seed (n,): all factors on less this one off."""
    factors = len(next(iter(values)))
    cells = one_off(factors)
    return values[cells[0]] - values[cells[1 + factor]]
