"""Fit, select and test parts: fitting, selection and reporting never share an example or a group."""

from dataclasses import dataclass

import numpy as np

from grokscope.results.sample import PartsRecord

PARTS = ("fit", "select", "test")


@dataclass(frozen=True)
class Coded:
    """Ids of any kind (numbers, text) as codes 0..k-1 in sorted order, with the original values."""

    codes: np.ndarray
    values: tuple[str | int | float, ...]

    @property
    def k(self) -> int:
        return len(self.values)


def coded(ids: np.ndarray, name: str, n: int) -> Coded:
    """Raises ValueError, naming the argument, for another length than n, missing values or more than one dimension."""
    ids = np.asarray(ids)
    if ids.shape != (n,):
        raise ValueError(f"{name}: expected {n} values, one for each example, got shape {ids.shape}")
    if ids.dtype.kind == "f" and not np.isfinite(ids).all():
        raise ValueError(f"{name}: {int((~np.isfinite(ids)).sum())} values are missing (NaN)")
    if ids.dtype.kind == "O":
        if any(v is None or v != v for v in ids):
            raise ValueError(f"{name}: some values are missing")
        ids = ids.astype(str)
    values, codes = np.unique(ids, return_inverse=True)
    return Coded(codes.astype(np.int64), tuple(values.tolist()))


@dataclass(frozen=True)
class Parts:
    """Row numbers of each part, in order."""

    fit: np.ndarray
    select: np.ndarray
    test: np.ndarray

    def __getitem__(self, name: str) -> np.ndarray:
        return getattr(self, name)


def split_parts(
    environments: Coded,
    labels: Coded,
    groups: Coded | None = None,
    shares: tuple[float, float, float] = (0.5, 0.25, 0.25),
    seed: int = 0,
) -> tuple[Parts, PartsRecord]:
    """A seeded split, stratified by environment x class; no group is torn apart.

    With groups each goes, the largest first, where it leaves the cells nearest to their shares: an exact stratification
    is impossible when groups are few, so look at `cells`. Images of one patient in two parts make every probe look
    better than it is: give groups wherever there are patients, slides or subjects.

    Raises:
        ValueError: for one environment or class only, an environment or class absent from a part, or fewer examples
            than classes, each with the remedy.
    """
    _check(environments, labels, shares)
    rng = np.random.default_rng(seed)
    cell = environments.codes * labels.k + labels.codes
    unit = groups.codes if groups is not None else np.arange(len(cell))
    part = _by_group(rng, cell, unit, shares) if groups is not None else _by_example(rng, cell, shares)
    record = _record(environments, labels, groups, part, shares, seed)
    _check_parts(environments, labels, part, groups is not None)
    return Parts(*(np.flatnonzero(part == k) for k in range(3))), record


def _check(environments: Coded, labels: Coded, shares: tuple[float, float, float]) -> None:
    if environments.k < 2:
        raise ValueError(
            f"environments: only one ({', '.join(map(str, environments.values))}); locating a shortcut needs examples "
            f"from at least two"
        )
    if labels.k < 2:
        raise ValueError("labels: only one class; the dissection needs at least two")
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"shares must be three positive numbers that sum to 1, got {shares}")
    if len(labels.codes) < 3 * max(labels.k, environments.k):
        raise ValueError(
            f"{len(labels.codes):,} examples for {labels.k} classes and {environments.k} environments "
            "in three parts: too few"
        )


def _by_example(rng: np.random.Generator, cell: np.ndarray, shares: tuple[float, float, float]) -> np.ndarray:
    part = np.empty(len(cell), dtype=np.int64)
    for value in np.unique(cell):
        rows = rng.permutation(np.flatnonzero(cell == value))
        cuts = np.floor(np.cumsum(shares)[:2] * len(rows) + rng.random()).astype(int)
        for k, chosen in enumerate(np.split(rows, cuts)):
            part[chosen] = k
    return part


def _by_group(
    rng: np.random.Generator, cell: np.ndarray, group: np.ndarray, shares: tuple[float, float, float]
) -> np.ndarray:
    """Largest group first, each to the part where the squared distance from the wanted cell sizes stays smallest."""
    counts = np.zeros((group.max() + 1, cell.max() + 1))
    np.add.at(counts, (group, cell), 1)
    counts = counts[:, counts.any(axis=0)]
    total = counts.sum(axis=0)
    wanted, have = np.outer(shares, total), np.zeros((3, counts.shape[1]))
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    place = np.empty(len(counts), dtype=np.int64)
    for g in order:
        gain = ((have + counts[g] - wanted) ** 2 - (have - wanted) ** 2) / total
        # relative to the part's own size: half of a small part missing is as bad as half of a large one
        place[g] = int((gain.sum(axis=1) / np.asarray(shares)).argmin())
        have[place[g]] += counts[g]
    return place[group]


def _check_parts(environments: Coded, labels: Coded, part: np.ndarray, grouped: bool) -> None:
    unit = "groups (patients)" if grouped else "examples"
    for what, ids in (("environment", environments), ("class", labels)):
        for code, value in enumerate(ids.values):
            for k, name in enumerate(PARTS):
                if not ((ids.codes == code) & (part == k)).any():
                    raise ValueError(
                        f"{what} {value!r} is absent from the {name} part: it needs at least three {unit}; add some, "
                        f"omit the {what}, or try another seed of the parts"
                    )


def _record(environments, labels, groups, part, shares, seed) -> PartsRecord:
    table = np.zeros((3, environments.k, labels.k), dtype=np.int64)
    np.add.at(table, (part, environments.codes, labels.codes), 1)
    count = None
    if groups is not None:
        count = {p: len(np.unique(groups.codes[part == k])) for k, p in enumerate(PARTS)}
    return PartsRecord(
        seed=seed,
        shares=shares,
        sizes={p: int((part == k).sum()) for k, p in enumerate(PARTS)},
        groups=count,
        environments=environments.values,
        classes=labels.values,
        cells={p: table[k].tolist() for k, p in enumerate(PARTS)},
        association=cramers_v(table.sum(axis=0)),
    )


def cramers_v(table: np.ndarray) -> float:
    """Association of a contingency table's rows and columns, 0 (independent) to 1 (one determines the other).

    Biased upwards in small tables: independent environments and classes in 100 examples give about 0.1.
    """
    table = np.asarray(table, dtype=np.float64)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    seen = expected > 0
    chi2 = ((table - expected)[seen] ** 2 / expected[seen]).sum()
    return float(np.sqrt(chi2 / (table.sum() * (min(table.shape) - 1))))


def balancing_weights(environments: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """Weights (n,), mean 1, under which environment and class are independent and keep their shares: p(e) p(y) / p(e,
    y) (Kamiran & Calders 2012, doi:10.1007/s10115-011-0463-8).

    Without them the direction between environments holds a piece of the task wherever one hospital has more tumors.
    None when some environment lacks a class: no weights make them independent then. Rare cells get large weights, and
    estimates the noise of few examples.
    """
    e, y = (np.unique(v, return_inverse=True)[1] for v in (environments, labels))
    table = np.zeros((e.max() + 1, y.max() + 1))
    np.add.at(table, (e, y), 1)
    if (table == 0).any():
        return None
    weight = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum() / table
    return weight[e, y]
