"""What a task drew, as short digests: two runs learned from the same examples if, and only if, these agree."""

from hashlib import blake2b

import numpy as np

from grokscope.task_data import Split, TaskData


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
