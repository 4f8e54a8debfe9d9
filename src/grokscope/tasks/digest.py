"""Digests of a task's data: two runs used the same examples if and only if these agree. Also detects examples shared
between splits."""

from hashlib import blake2b

import numpy as np

from grokscope.task_data import Split, TaskData
from grokscope.vocabulary.splits import TRAIN

COMPARED = 256 * 2**20
"""Bytes of inputs up to which rows are compared one by one: a quarter of a second. Larger sets of images come from
files, whose reader warns of one that stands in two splits."""


def split_digests(data: TaskData) -> dict[str, str]:
    """Split -> hex digest of inputs, targets, environments and groups: their bytes, dtypes and shapes, in order.

    Images out of a cache count by the digests of their files (`Split.x_digest`), so that nothing large is read again;
    all else costs about a second for each gigabyte.
    """
    return {name: _digest(split) for name, split in data.splits.items()}


def _digest(split: Split) -> str:
    total = blake2b(digest_size=16)
    for name in ("x", "y", "env", "group"):
        array: np.ndarray | None = getattr(split, name)
        if array is None:
            continue
        total.update(f"{name} {array.dtype.str} {array.shape};".encode())
        if name == "x" and split.x_digest is not None:
            total.update(split.x_digest.encode())
        else:
            total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def rows_in_train(data: TaskData) -> dict[str, int]:
    """Held-out split -> how many of its rows have an input that stands in train as well, bit for bit.

    Empty where the inputs are too large to be compared. Misleads about near copies, crops or other recordings of the
    same thing, which no digest sees.
    """
    if sum(split.x.nbytes for split in data.splits.values()) > COMPARED:
        return {}
    known = set(_rows(data.splits[TRAIN].x))
    return {name: sum(row in known for row in _rows(split.x)) for name, split in data.splits.items() if name != TRAIN}


def _rows(x: np.ndarray) -> list[bytes]:
    return [blake2b(row, digest_size=16).digest() for row in np.ascontiguousarray(x)]
