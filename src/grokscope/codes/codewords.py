"""Certificates of heights: generator matrix, height of one codeword, and an exact certificate for h_m.

The certificate is found in rational arithmetic, so its zeros are zeros. The compiled sweep names the best (a, S, T)
of the formula in `heights`. From T, simplex pivots on min sum |y| (none unless that optimum is degenerate; Bland's
rule, hence finitely many) reach a codeword with |c_i| <= 1 on S and the largest |c_a|: in the tableau B^-1 G every
row is a codeword, and their sum is the dual solution.
"""

import itertools
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from grokscope.codes import kernel
from grokscope.codes.heights import check_m, minors, parity_parts

Rows = list[list[Fraction]]


class Certificate(NamedTuple):
    """codeword (n,) whose ratio |c_(0)| / |c_(m)| is `height`, the m-height; message (k,), codeword = message @ G."""

    codeword: np.ndarray
    message: np.ndarray
    height: float


def generator(P: np.ndarray) -> np.ndarray:
    """G = [I | P], (k, n) float64, of one parity part P (k, n-k). Raises ValueError as `m_heights` does."""
    P = parity_parts(np.asarray(P)[None])[0]
    return np.hstack([np.eye(len(P)), P])


def codeword_height(codeword: np.ndarray, m: int) -> float:
    """|c_(0)| / |c_(m)| of one word (n,), magnitudes sorted downwards; infinite when c_(m) is exactly zero.

    A word computed in floating point rarely has exact zeros: compare with care, or use `certificate`.
    Raises ValueError for the zero word, a word that is not a finite vector, and m outside 1..n-1.
    """
    size = np.sort(np.abs(np.asarray(codeword, np.float64)), axis=None)[::-1]
    if np.ndim(codeword) != 1 or not np.isfinite(size).all():
        raise ValueError(f"codeword has shape {np.shape(codeword)}; expected n finite numbers in one dimension")
    if not 1 <= m < len(size):
        raise ValueError(f"m = {m} is outside 1..n-1 = 1..{len(size) - 1}")
    if size[0] == 0:
        raise ValueError("the zero codeword has no height; pass a nonzero codeword")
    if size[m] > 0:
        return float(size[0] / size[m])
    return float("inf")


def certificate(P: np.ndarray, m: int) -> Certificate:
    """A codeword of [I | P] that attains h_m, for one parity part P (k, n-k), 1 <= m <= n-k.

    Where h_m is infinite, a nonzero codeword with at most m nonzero positions. Found exactly, then rounded to float64.
    Takes milliseconds to seconds as n grows to 16. Raises ValueError as `m_heights` does.
    """
    P = parity_parts(np.asarray(P)[None])
    check_m(m, P.shape[2])
    a, quiet, basis = _best(P, m)
    rows = [[Fraction(float(x)) for x in row] for row in generator(P[0])]
    _reduce(rows, basis or quiet)
    word = _attain(rows, a, quiet, basis) if basis else rows[-1]
    codeword = np.array([float(x) for x in word])
    return Certificate(codeword, codeword[: len(rows)], codeword_height(codeword, m))


def _best(P: np.ndarray, m: int) -> tuple[int, list[int], list[int]]:
    """The (a, S) that decides h_m and the best nonsingular T in S; no T (empty list) when the height is infinite."""
    _, k, r = P.shape
    n, table = k + r, kernel.lattice(k, r)
    value = np.abs(minors(P)[0])
    q = value[table.faces].sum(axis=1)
    v = np.empty((table.ends[-1], kernel.LANES))
    level = r - m
    start, end = (table.ends[level - 1] if level else 0), table.ends[level]
    best = (np.inf, 0, 0)
    for a in range(n):
        kernel.ratios(value, q, table.minor[a], table.union[a], table.operands, table.ends, level + 1, v)
        s = int(v[start:end, 0].argmin())
        best = min(best, (float(v[start + s, 0]), a, s))
    ratio, a, s = best
    others = [p for p in range(n) if p != a]
    quiet = [others[p] for p in _subset(n - 1, n - m, s)]
    if ratio == 0.0:
        return a, quiet, []
    kernel.ratios(value, q, table.minor[a], table.union[a], table.operands, table.ends, 1, v)
    inside = [t for t in range(table.ends[0]) if v[t, 0] == ratio]
    bases = ([others[p] for p in _subset(n - 1, k, t)] for t in inside)
    return a, quiet, next(basis for basis in bases if set(basis) <= set(quiet))


def _subset(n: int, size: int, index: int) -> tuple[int, ...]:
    """Subset number `index` of the given size, in the lexicographic order of the tables."""
    return next(itertools.islice(itertools.combinations(range(n), size), index, None))


def _pivot(rows: Rows, at: int, column: int) -> None:
    """Make `column` the unit vector of row `at`."""
    pivot = rows[at][column]
    rows[at] = [x / pivot for x in rows[at]]
    for i, row in enumerate(rows):
        if i != at and row[column]:
            rows[i] = [x - row[column] * y for x, y in zip(row, rows[at], strict=True)]


def _reduce(rows: Rows, columns: list[int]) -> None:
    """Row-reduce with pivots in `columns` only; rows beyond the rank they have vanish on all of them."""
    rank = 0
    for column in columns:
        at = next((i for i in range(rank, len(rows)) if rows[i][column]), None)
        if at is not None:
            rows[rank], rows[at] = rows[at], rows[rank]
            _pivot(rows, rank, column)
            rank += 1


def _attain(rows: Rows, a: int, quiet: list[int], basis: list[int]) -> list[Fraction]:
    """Simplex on min sum z, B z = g_a, z >= 0, over the signed columns +-g_i of S: the optimal codeword.

    Row i of the tableau belongs to column `basis[i]`; its entry at `a` is z_i. A position of S where the word exceeds 1
    names the column that must enter.
    """
    signs = [-1 if row[a] < 0 else 1 for row in rows]
    rows[:] = [[sign * x for x in row] for sign, row in zip(signs, rows, strict=True)]
    signed = list(zip(basis, signs, strict=True))
    while True:
        word = [sum(column, Fraction(0)) for column in zip(*rows, strict=True)]
        loud = [i for i in quiet if abs(word[i]) > 1]
        if not loud:
            return word
        entering = loud[0]
        sign = 1 if word[entering] > 0 else -1
        leaving = [i for i, row in enumerate(rows) if sign * row[entering] > 0]
        at = min(leaving, key=lambda i: (rows[i][a] / abs(rows[i][entering]), signed[i]))
        _pivot(rows, at, entering)
        rows[at] = [sign * x for x in rows[at]]
        signed[at] = (entering, sign)
