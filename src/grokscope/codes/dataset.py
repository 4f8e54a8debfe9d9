"""The m-height data set: 21 groups (n, k, m), random parity parts with exact labels, in one safetensors file.

(n, k) in {9, 10} x {4, 5, 6}, m in 2..n-k; 40,000 codes per group make the published 840,000. Every code has its own P,
drawn for its group alone, so that a group's codes depend on nothing but (seed, distribution, n, k, m), and a larger set
begins with the codes of a smaller one.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from grokscope.codes.heights import m_heights
from grokscope.headers import check_safetensors
from grokscope.limits import require_memory
from grokscope.registry import nearest
from grokscope.seeds import derive

Group = tuple[int, int, int]
GROUPS: tuple[Group, ...] = tuple((n, k, m) for n in (9, 10) for k in (4, 5, 6) for m in range(2, n - k + 1))
SIDE = 6
"""P is zero-padded to SIDE x SIDE, its k x (n-k) entries in the top left corner."""
DISTRIBUTIONS = ("uniform", "integers", "gaussian")
"""uniform on (-100, 100); integers -100..100; gaussian with the uniform's standard deviation, 100 / sqrt 3."""
VERSION = 1
CODE_BYTES = 400
"""Of a code while the data set is made: its matrix twice, its height and its parameters."""


@dataclass(frozen=True)
class Codes:
    """N labeled codes: P (N, 6, 6) float32 zero-padded, params (N, 3) int64 rows (n, k, m), log2h (N,) float64."""

    P: np.ndarray
    params: np.ndarray
    log2h: np.ndarray
    meta: dict[str, object]
    """version, seed, distribution, per_group, groups, and `redrawn`: codes replaced for an infinite height."""

    def __len__(self) -> int:
        return len(self.log2h)

    def group(self, group: Group) -> np.ndarray:
        """Indices of the codes of one (n, k, m)."""
        return np.flatnonzero((self.params == group).all(axis=1))


def make_dataset(
    seed: int, per_group: int = 40_000, distribution: str = "uniform", groups: Iterable[Group] = GROUPS
) -> Codes:
    """Draw and label `per_group` codes for each (n, k, m) of `groups`.

    P is rounded to float32 before it is labeled, so the label belongs to the numbers that are stored. A code with an
    infinite height has no finite target: it is drawn again and counted in `meta["redrawn"]`. That conditions the
    distribution: never for `uniform` and `gaussian` in practice, for 10 to 17 % of the `integers` codes with m = n-k.
    Raises ValueError for an unknown distribution, an impossible group or a non-positive count.
    """
    groups = tuple(groups)
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"unknown distribution {distribution!r}{nearest(distribution, list(DISTRIBUTIONS))}")
    if per_group < 1 or not groups or len(set(groups)) != len(groups):
        raise ValueError(f"per_group = {per_group}, groups = {groups}: need at least one code and distinct groups")
    for group in groups:
        _check_group(group)
    require_memory(per_group * len(groups) * CODE_BYTES, "per_group (a task's pool_per_group)", "codes")
    parts = [_draw_group(seed, per_group, distribution, group) for group in groups]
    P = np.zeros((len(groups) * per_group, SIDE, SIDE), np.float32)
    for i, ((n, k, _), (part, _, _)) in enumerate(zip(groups, parts, strict=True)):
        P[i * per_group : (i + 1) * per_group, :k, : n - k] = part
    meta = {"version": VERSION, "seed": int(seed), "distribution": distribution, "per_group": int(per_group)}
    meta |= {"groups": [list(group) for group in groups], "redrawn": sum(redrawn for *_, redrawn in parts)}
    return Codes(
        P, np.repeat(np.array(groups, np.int64), per_group, axis=0), np.concatenate([p[1] for p in parts]), meta
    )


def _check_group(group: Group) -> None:
    n, k, m = group
    if not (1 <= k <= SIDE and 1 <= n - k <= SIDE and 1 <= m <= n - k):
        raise ValueError(f"group (n, k, m) = {group}: need k and n-k in 1..{SIDE} and m in 1..n-k")


def _draw_group(seed: int, count: int, distribution: str, group: Group) -> tuple[np.ndarray, np.ndarray, int]:
    """Parity parts (count, k, n-k) float32, log2 heights, and how many infinite ones were replaced."""
    n, k, m = group
    names = ("m-heights", distribution, f"{n}-{k}-{m}")
    P = _draw(np.random.default_rng(derive(seed, *names)), distribution, (count, k, n - k))
    height = m_heights(P, m)
    redrawn = turn = 0
    while (bad := np.flatnonzero(np.isinf(height))).size:
        turn, redrawn = turn + 1, redrawn + bad.size
        # A stream per round, consumed in order: the first codes stay the same in a larger set.
        P[bad] = _draw(
            np.random.default_rng(derive(seed, *names, f"redraw {turn}")), distribution, (bad.size, k, n - k)
        )
        height[bad] = m_heights(P[bad], m)
    return P, np.log2(height), redrawn


def _draw(rng: np.random.Generator, distribution: str, shape: tuple[int, int, int]) -> np.ndarray:
    if distribution == "integers":
        return rng.integers(-100, 101, shape).astype(np.float32)
    if distribution == "gaussian":
        return rng.normal(0.0, 100 / np.sqrt(3), shape).astype(np.float32)
    return rng.uniform(-100, 100, shape).astype(np.float32)


def write_dataset(codes: Codes, path: str | Path) -> None:
    """One safetensors file with P, params, log2h; `codes.meta` in its header as JSON under "codes"."""
    tensors = {"P": codes.P, "params": codes.params, "log2h": codes.log2h}
    save_file(tensors, path, metadata={"codes": json.dumps(codes.meta, sort_keys=True)})


def _check_file(path: str | Path) -> None:
    """Raises ValueError where a file is none of `write_dataset`'s, before anything of its claimed size is read."""
    try:
        check_safetensors(path)
    except ValueError as error:
        raise ValueError(f"{error}; generate the data set again") from None


def read_dataset(path: str | Path) -> Codes:
    """What `write_dataset` wrote. ValueError for another kind or version of file, FileNotFoundError if absent."""
    _check_file(path)
    try:
        with safe_open(path, framework="np") as file:
            meta = json.loads((file.metadata() or {}).get("codes", "{}"))
            if meta.get("version") != VERSION:
                raise ValueError(f"{path}: not an m-height data set of version {VERSION}; generate it again")
            return Codes(file.get_tensor("P"), file.get_tensor("params"), file.get_tensor("log2h"), meta)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error}); generate the data set again") from error


def group_table(codes: Codes) -> list[dict[str, float]]:
    """One row per group: n, k, m, count, mean and standard deviation (ddof 0) of log2 h."""
    rows = []
    for n, k, m in np.unique(codes.params, axis=0).tolist():
        y = codes.log2h[codes.group((n, k, m))]
        rows.append({"n": n, "k": k, "m": m, "count": len(y), "mean": float(y.mean()), "std": float(y.std())})
    return rows
