"""Index tables and compiled sweeps behind `heights`: all maximal minors of [I | P], then the subset lattice.

Positions are 0..n-1: the k identity columns first, then the r columns of P. Codes are processed eight at a time (the
last axis, "lanes"), so that every inner loop is one vector instruction. The tables depend on (k, r) only.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import numpy as np
from numba import njit

LANES = 8
ROUNDING = 2.0**-53
TRUSTED = 2.0**-32
"""Relative error up to which a minor computed in float64 is accepted without an exact recomputation."""


class Laplace(NamedTuple):
    """Expansion of each k-subset's minor along its last parity column, smaller minors first.

    size (M,): order of the minor; entry, sub (M, k): flat index into P and the minor that multiplies it; sign (M, k):
    +-1; slack (M,): a minor is accepted when it exceeds `slack` times the permanent of its absolute entries.
    """

    size: np.ndarray
    entry: np.ndarray
    sub: np.ndarray
    sign: np.ndarray
    slack: np.ndarray


class Lattice(NamedTuple):
    """Subsets of the n-1 positions other than a, by size: the k-subsets, then their supersets.

    minor, union (n, C(n-1, k)): for each a and k-subset T, the minor of T and the row of `faces` of T + a;
    faces (C(n, k+1), k+1): the minors of U - u; operands (supersets, k+1): rows of k+1 subsets S - u, one size down
    (any k-subset of S misses one of k+1 chosen elements, so these k+1 see every T in S); ends (r,): row where the
    subsets of size k, k+1, ..., n-1 end.
    """

    minor: np.ndarray
    union: np.ndarray
    faces: np.ndarray
    operands: np.ndarray
    ends: np.ndarray


def _minor_sets(k: int, r: int) -> list[int]:
    """The k-subsets of positions as bit masks, by number of parity columns, hence by order of the minor."""
    masks = [sum(1 << p for p in chosen) for chosen in combinations(range(k + r), k)]
    return sorted(masks, key=lambda mask: (mask >> k).bit_count())


@lru_cache
def laplace(k: int, r: int) -> Laplace:
    """The expansion table for codes with k information and r parity positions."""
    sets = _minor_sets(k, r)
    row = {mask: t for t, mask in enumerate(sets)}
    size = np.array([(mask >> k).bit_count() for mask in sets])
    entry, sub = np.zeros((2, len(sets), k), np.int64)
    sign = np.zeros((len(sets), k))
    for t, mask in enumerate(sets[1:], start=1):
        column = mask.bit_length() - 1
        missing = [i for i in range(k) if not mask >> i & 1]
        for term, i in enumerate(missing):
            entry[t, term] = i * r + column - k
            sub[t, term] = row[mask ^ (1 << column) ^ (1 << i)]
            sign[t, term] = (-1.0) ** (len(missing) - 1 - term)
    # A minor of order b passes through 2 + 3 + ... + b roundings; one more for the permanent itself.
    slack = size * (size + 1) / 2 * ROUNDING / TRUSTED
    slack[size <= 1] = 0.0  # entries of P are exact
    return Laplace(size, entry, sub, sign, slack)


@lru_cache
def lattice(k: int, r: int) -> Lattice:
    """The lattice table for codes with k information and r parity positions."""
    n = k + r
    row = {mask: t for t, mask in enumerate(_minor_sets(k, r))}
    unions = [sum(1 << p for p in chosen) for chosen in combinations(range(n), k + 1)]
    union_row = {mask: u for u, mask in enumerate(unions)}
    faces = np.array([[row[mask ^ (1 << p)] for p in range(n) if mask >> p & 1] for mask in unions])
    minor, union = np.empty((2, n, comb(n - 1, k)), np.int64)
    # Of the subsets S only their places among the other n - 1 positions matter: one table of operands serves every a.
    for a in range(n):
        others = [1 << p for p in range(n) if p != a]
        bases = [sum(chosen) for chosen in combinations(others, k)]
        minor[a] = [row[mask] for mask in bases]
        union[a] = [union_row[mask | 1 << a] for mask in bases]
    index = {chosen: s for s, chosen in enumerate(c for size in range(k, n) for c in combinations(range(n - 1), size))}
    operands = [
        [index[s[:drop] + s[drop + 1 :]] for drop in range(k + 1)]
        for size in range(k + 1, n)
        for s in combinations(range(n - 1), size)
    ]
    ends = np.cumsum([comb(n - 1, size) for size in range(k, n)])
    return Lattice(minor, union, faces, np.array(operands, np.int64).reshape(-1, k + 1), ends)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """njit, cached on disk where the installation or the user's cache folder can be written."""
    try:
        return njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # numba found no writable place for its cache
        return njit(error_model="numpy")(function)


@_compiled
def minors(entries, size, entry, sub, sign, slack):
    """All minors of G codes x lanes: entries (G, k r, LANES) -> |p| as signed values (G, M, LANES).

    Also returns, per code, whether some minor is doubtful (see Laplace.slack) and the largest permanent met.
    """
    groups, count = entries.shape[0], size.shape[0]
    value = np.zeros((groups, count, LANES))
    permanent = np.zeros((count, LANES))
    doubtful = np.zeros((groups, LANES), np.bool_)
    largest = np.ones((groups, LANES))
    permanent[0] = 1.0
    for g in range(groups):
        value[g, 0] = 1.0
        for t in range(1, count):
            permanent[t] = 0.0
            for term in range(size[t]):
                e, s, sgn = entry[t, term], sub[t, term], sign[t, term]
                for lane in range(LANES):
                    x = entries[g, e, lane]
                    value[g, t, lane] += sgn * x * value[g, s, lane]
                    permanent[t, lane] += abs(x) * permanent[s, lane]
            for lane in range(LANES):
                doubtful[g, lane] |= abs(value[g, t, lane]) < slack[t] * permanent[t, lane]
                largest[g, lane] = max(largest[g, lane], permanent[t, lane])
    return value, doubtful, largest


@_compiled
def ratios(value, q, minor, union, operands, ends, levels, v):
    """Fill v (subsets, LANES) for one code group and one position a: max over T in S of |p(T)| / Q(T + a).

    That is 1 / (1 + the largest |c_a| subject to |c_i| <= 1 on S); 0 where no T in S is nonsingular.
    """
    bases = minor.shape[0]
    for t in range(bases):
        p, u = minor[t], union[t]
        for lane in range(LANES):
            v[t, lane] = abs(value[p, lane]) / q[u, lane] if q[u, lane] > 0.0 else 0.0
    for s in range(ends[levels - 1] - bases):
        first = operands[s, 0]
        for lane in range(LANES):
            v[bases + s, lane] = v[first, lane]
        for j in range(1, operands.shape[1]):
            o = operands[s, j]
            for lane in range(LANES):
                v[bases + s, lane] = max(v[bases + s, lane], v[o, lane])


@_compiled
def sweep(value, minor, union, faces, operands, ends, levels):
    """Minors (G, M, LANES) -> min over (a, S) of `ratios`, (G, r, LANES), at m-1 for m in n-k down to n-k-levels+1."""
    groups, n, r = value.shape[0], minor.shape[0], ends.shape[0]
    least = np.full((groups, r, LANES), np.inf)
    q = np.empty((faces.shape[0], LANES))
    v = np.empty((ends[levels - 1], LANES))
    for g in range(groups):
        for u in range(faces.shape[0]):
            q[u] = 0.0
            for j in range(faces.shape[1]):
                f = faces[u, j]
                for lane in range(LANES):
                    q[u, lane] += abs(value[g, f, lane])
        for a in range(n):
            ratios(value[g], q, minor[a], union[a], operands, ends, levels, v)
            start = 0
            for level in range(levels):
                for s in range(start, ends[level]):
                    for lane in range(LANES):
                        least[g, r - 1 - level, lane] = min(least[g, r - 1 - level, lane], v[s, lane])
                start = ends[level]
    return least
