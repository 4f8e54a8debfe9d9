"""Symmetries of a parity part that preserve every height: permutations and sign changes of rows and columns.

They permute or negate the positions of the code, which no sorted magnitude sees. (Another choice of the k information
positions also gives an equivalent code, with an unrelated-looking P; keys do not identify those.)
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from grokscope.codes.dataset import Codes
from grokscope.seeds import derive

_ODD = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)


def canonical_key(P: np.ndarray, params: np.ndarray | None = None) -> np.ndarray:
    """A 64-bit key per matrix, (N,) uint64: equivalent matrices always share it.

    P (N, k, r), or zero-padded (N, 6, 6) with `params` (N, 3) giving n and k; both ways give one code the same key,
    and m is not part of it. The key mixes magnitudes with those of their row and column, and the magnitudes of all 2
    x 2 minors, which see the relative signs; each is bit-for-bit unchanged by a symmetry, and sums modulo 2^64 forget
    the order. Inequivalent matrices share a key rarely (never seen for random reals; possible for small integers),
    which only keeps more codes together.
    """
    if params is None:
        return _keys(np.asarray(P, np.float64))
    keys = np.empty(len(P), np.uint64)
    for n, k in np.unique(params[:, :2], axis=0).tolist():
        of_length = np.flatnonzero((params[:, :2] == (n, k)).all(axis=1))
        for block in np.array_split(of_length, len(of_length) // 8192 + 1):  # a block's temporaries stay in cache
            keys[block] = _keys(P[block, :k, : n - k].astype(np.float64))
    return keys


def _keys(P: np.ndarray) -> np.ndarray:
    _, k, r = P.shape
    size = _mix(_bits(P))
    row = _mix(size.sum(axis=2))[:, :, None]
    column = _mix(size.sum(axis=1))[:, None, :]
    key = _mix(size + row * _ODD[1] + column * _ODD[2]).sum(axis=(1, 2)) + np.uint64(64 * k + r)
    for i, j in combinations(range(k), 2):
        for a, b in combinations(range(r), 2):
            minor = P[:, i, a] * P[:, j, b] - P[:, i, b] * P[:, j, a]
            key += _mix(_bits(minor) + _ODD[0])
    return _mix(key)


def _bits(x: np.ndarray) -> np.ndarray:
    """The magnitudes' bit patterns (abs also turns -0 into 0)."""
    return np.ascontiguousarray(np.abs(x)).view(np.uint64)


def _mix(x: np.ndarray) -> np.ndarray:
    """splitmix64's finalizer, a scattering bijection of 64-bit words (Steele et al., doi:10.1145/2660193.2660195)."""
    x = x + _ODD[0]
    x = (x ^ (x >> np.uint64(30))) * _ODD[1]
    x = (x ^ (x >> np.uint64(27))) * _ODD[2]
    return x ^ (x >> np.uint64(31))


def split_by_symmetry(codes: Codes, sizes: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """Sorted indices per split, `sizes[name]` codes from every (n, k, m); equivalent matrices never fall in two splits.

    Each key draws a number in [0, 1) from the seed; the unit interval is shared equally among the splits, and a group's
    codes enter their split in the order of that number. Growing one size therefore keeps the codes already there and
    changes no other split. The rest stays unused. Raises ValueError when a group cannot fill a split.
    """
    if not sizes or min(sizes.values()) < 1:
        raise ValueError(f"sizes = {dict(sizes)}: name at least one split, with at least one code per group in each")
    u = _mix(canonical_key(codes.P, codes.params) ^ np.uint64(derive(seed, "m-heights", "split")))
    side = (u >> np.uint64(32)) * np.uint64(len(sizes)) >> np.uint64(32)
    order = np.lexsort((np.arange(len(codes)), u))
    chosen = {}
    for number, (name, size) in enumerate(sizes.items()):
        side_rows = order[side[order] == number]
        parts = []
        for group in np.unique(codes.params, axis=0):
            members = side_rows[(codes.params[side_rows] == group).all(axis=1)]
            if len(members) < size:
                raise ValueError(
                    f"split {name!r} needs {size} codes of (n, k, m) = {tuple(group.tolist())} and has {len(members)}; "
                    f"lower its size, or draw about {round(1.1 * size * len(sizes)) + 20} codes per group"
                )
            parts.append(members[:size])
        chosen[name] = np.sort(np.concatenate(parts))
    return chosen


def augment(P: np.ndarray, params: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random symmetry for each code: zero-padded P (N, 6, 6) and params (N, 3) -> equivalent P of the same dtype.

    Permutes and negates real rows and columns, never the padding; the labels stay what they are.
    """
    n, k = np.asarray(params)[:, 0], np.asarray(params)[:, 1]
    rows, columns = _shuffle(rng, k, P.shape[1]), _shuffle(rng, n - k, P.shape[2])
    P = np.take_along_axis(np.take_along_axis(P, rows[:, :, None], axis=1), columns[:, None, :], axis=2)
    row_signs, column_signs = (rng.choice(np.array([-1, 1], P.dtype), shape) for shape in (rows.shape, columns.shape))
    # `+ 0` turns the -0 that negated padding would leave into 0.
    return P * row_signs[:, :, None] * column_signs[:, None, :] + P.dtype.type(0)


def _shuffle(rng: np.random.Generator, real: np.ndarray, size: int) -> np.ndarray:
    """Per code, a random order of the first `real` of `size` indices, the rest in place."""
    keys = rng.random((len(real), size))
    index = np.arange(size)
    return np.argsort(np.where(index < real[:, None], keys, 1.0 + index), axis=1)
