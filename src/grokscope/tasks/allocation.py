"""Allocation of examples to splits: endless stratified sequences, and held-out patients."""

import numpy as np


def interleave(shares: np.ndarray, n: int) -> np.ndarray:
    """A sequence (n,) int64 of stratum numbers of which every prefix holds the strata in these shares, as nearly as
    whole numbers can (Sainte-Laguë). A longer sequence begins with the shorter one; ties go to the lower number."""
    shares = np.asarray(shares, dtype=np.float64) / np.sum(shares)
    used = np.flatnonzero(shares > 0)
    many = [np.arange(int(n * shares[s]) + len(used) + 1) for s in used]
    key = np.concatenate([(k + 0.5) / shares[s] for k, s in zip(many, used, strict=True)])
    owner = np.concatenate([np.full(len(k), s) for k, s in zip(many, used, strict=True)])
    return owner[np.lexsort((owner, key))][:n].astype(np.int64)


def hold_out_groups(
    groups: np.ndarray, y: np.ndarray, share: float, rng: np.random.Generator, tries: int = 4096
) -> np.ndarray:
    """Names of the whole groups (patients), sorted, that together hold about `share` of each class in `y`: the best of
    every single group and of `tries` random choices.

    Patients differ much in size and in how much tumor they have, so the share is met only as well as they allow. At
    least one group stays on each side. Raises ValueError with fewer than two groups.
    """
    names, code = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"cannot hold out patients when there is only one ({', '.join(map(str, names))})")
    classes, label = np.unique(y, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (code, label), 1)
    drawn = rng.random((tries, len(names))) < share
    drawn = drawn[drawn.any(axis=1) & ~drawn.all(axis=1)]
    choices = np.concatenate([np.eye(len(names), dtype=bool), drawn])
    miss = np.abs(choices @ counts / counts.sum(axis=0) - share).max(axis=1)
    return names[choices[miss.argmin()]]
