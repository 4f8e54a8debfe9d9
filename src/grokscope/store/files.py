"""Files that are whole or absent: write beside, flush to disk, rename."""

import errno
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Create or replace `path` with what `write` puts into a binary file: readers see the old content or the new.

    Raises:
        OSError: with the path and the remedy when the disk is full; the old content is then still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        explain_full_disk(error, path)
        raise
    _sync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of writers that were killed. Only for whoever holds the folder's lock."""
    for temporary in folder.glob(".*.tmp"):
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def explain_full_disk(error: BaseException, path: Path) -> None:
    """Raise an OSError that says what to do where `error` means a full disk; otherwise do nothing."""
    cause: BaseException | None = error
    while cause is not None:  # torch answers a failed write with a RuntimeError of its own
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OSError(
                errno.ENOSPC,
                f"no space left to write {path}; what was saved before is intact: free space, then run again",
            ) from error
        cause = cause.__cause__ or cause.__context__


def to_json(data: Any, indent: int | None = None) -> str:
    """Strict JSON: non-finite floats become null, because JSON has no word for them."""
    return json.dumps(_finite(data), indent=indent, allow_nan=False)


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {k: _finite(v) for k, v in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(v) for v in data]
    return data


def write_json(path: Path, data: Any) -> None:
    write_atomic(path, lambda file: file.write((to_json(data, indent=1) + "\n").encode()))


def read_json(path: Path) -> Any:
    """Raises ValueError naming the file when it is absent or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from None
