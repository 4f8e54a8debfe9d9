"""Atomic file writes: write to a temporary file, flush to disk, rename."""

import errno
import json
import math
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from grokscope.limits import MAX_DEPTH, check_depth, too_deep, whole_number


class NotPlain(ValueError):
    """A link, FIFO, socket or device where a file or folder of a run should be. It was not opened."""


class NotWritable(ValueError):
    """This user may not write there. The message says whose it is, and what people who share runs need."""


class ReadOnly(NotWritable):
    """Nobody may write there: the file system is read-only."""


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a system answers where there is no room: on the disk, within this user's quota, within the longest file."""


_guards: dict[str, Callable[[], None]] = {}
"""Folder -> what to ask before anything in it is written. Here and not passed along, for no writer may forget it."""


@contextmanager
def guarded(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """Meanwhile every write below `folder` by this module, and every one that asks `require_writable`, first calls
    `check`, which raises where the folder has become somebody else's."""
    key = os.path.abspath(folder)
    _guards[key] = check
    try:
        yield
    finally:
        del _guards[key]


def require_writable(path: Path) -> None:
    """Raise what the guard of a folder above `path` raises. For writers that do not go through `write_atomic`."""
    if not _guards:
        return
    above = os.path.abspath(path)
    while above != (parent := os.path.dirname(above)):
        if check := _guards.get(parent):
            check()
        above = parent


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Create or replace `path` with what `write` puts into a binary file: readers see the old content or the new.

    Raises:
        OSError: with the path and the remedy when the disk is full; the old content is then still there.
    """
    require_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with open(temporary, "xb") as file:  # never through a link that lies there
            write(file)
            file.flush()
            os.fsync(file.fileno())
        require_writable(path)
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
    for cause in chain_of(error):
        if isinstance(cause, OSError) and cause.errno in FULL:
            raise OSError(
                errno.ENOSPC,
                f"no space left to write {path}; what was saved before is intact: free space, then run again",
            ) from error


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it came from: torch answers a failed write with a RuntimeError of its own."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def explain_denied(error: BaseException, path: Path) -> None:
    """Raise NotWritable where `error` means that this user, or nobody, may write below `path`; otherwise do nothing."""
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        raise ReadOnly(f"{path}: this file system is read-only, so nothing can be trained here") from None
    if isinstance(error, PermissionError):
        raise NotWritable(
            f"{path}: this user may not write here ({_owner(_present(path))}); to share runs, users need a common "
            f"group, write permission for it (chmod -R g+w) and umask 002"
        ) from None


def require_may_write(folder: Path) -> None:
    """Raise NotWritable where this user may not make or change files in `folder`, or make it where it is not there."""
    present = _present(folder)
    if present.is_symlink() and not present.exists():
        target = os.readlink(present)
        raise NotWritable(f"{present}: is a link to {target}, which is not there; is its disk mounted?")
    if not present.is_dir():
        raise NotWritable(f"{present}: is a file, where a folder of runs is expected")
    if not os.access(present, os.W_OK | os.X_OK):
        read_only = os.statvfs(present).f_flag & os.ST_RDONLY
        explain_denied(OSError(errno.EROFS, "") if read_only else PermissionError(), folder)


def _present(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    path = Path(os.path.abspath(path))
    return next((p for p in (path, *path.parents) if os.path.lexists(p)), path)


def _owner(path: Path) -> str:
    """``alice's, drwxr-xr-x``, of the folder itself where a link stands for it."""
    facts = path.stat() if path.exists() else path.lstat()
    try:
        name = pwd.getpwuid(facts.st_uid).pw_name
    except KeyError:
        name = f"user {facts.st_uid}"
    return f"{name}'s, {stat.filemode(facts.st_mode)}"


def to_json(data: Any, indent: int | None = None) -> str:
    """Strict JSON: non-finite floats become null, because JSON has no word for them."""
    return json.dumps(finite(data), indent=indent, allow_nan=False)


def finite(data: Any) -> Any:
    """Plain data in which floats that are not finite are None."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {k: finite(v) for k, v in data.items()}
    if isinstance(data, list | tuple):
        return [finite(v) for v in data]
    return data


def write_json(path: Path, data: Any) -> None:
    write_atomic(path, lambda file: file.write((to_json(data, indent=1) + "\n").encode()))


def read_json(path: Path) -> Any:
    """Raises ValueError naming the file when it is absent, no regular file, not readable, or not JSON."""
    try:
        if not path.is_file() and path.exists():
            raise ValueError(f"{path}: is {_kind(path.stat().st_mode)}, not a file")
        text = path.read_text(encoding="utf-8")
        data = json.loads(text, parse_int=whole_number)
        if text.count("{") + text.count("[") > MAX_DEPTH:  # fewer cannot nest too deep
            check_depth(data, str(path))
        return data
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except RecursionError:
        raise ValueError(f"{path}: not readable as JSON ({too_deep()})") from None
    except ValueError as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise ValueError(f"{path}: not readable as JSON ({error})") from None


def plain_file(top: Path, name: str) -> Path:
    """``top/name`` where nothing below `top` is a link: a regular file reached through real folders, or absent.

    A folder that somebody sent may hold a link to any file of the reader's, or a FIFO on which reading never ends.

    Raises:
        ValueError: naming what is a symbolic link, a FIFO, a socket, a device or a folder.
    """
    *folders, last = name.split("/")
    path = str(top)  # text, for this is asked several times of each of ten thousand runs
    for part in folders:
        path = f"{path}/{part}"
        _require_kind(path, stat.S_ISDIR, "a folder")
    _require_kind(f"{path}/{last}", stat.S_ISREG, "a regular file")
    return top / name


def require_plain_folder(top: Path) -> None:
    """Raise ValueError, naming it, where anything below `top` is a link, a FIFO, a socket or a device: who writes there
    would write somewhere else."""
    for folder, folders, files in os.walk(top):
        for name in folders:
            _require_kind(f"{folder}/{name}", stat.S_ISDIR, "a folder")
        for name in files:
            _require_kind(f"{folder}/{name}", stat.S_ISREG, "a regular file")


def _require_kind(path: str, right: Callable[[int], bool], wanted: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise ValueError(f"{Path(path)}: cannot be read ({error.strerror})") from None
    if stat.S_ISLNK(mode) and wanted == "a regular file" and _in_hub_cache(path):
        return
    if not right(mode):
        remedy = ""
        if stat.S_ISLNK(mode):
            remedy = "; it is not followed: put what it points to in its place"
        raise NotPlain(f"{Path(path)}: is {_kind(mode)}, not {wanted}{remedy}")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFDIR: "a folder",
        stat.S_IFREG: "a file",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def _in_hub_cache(link: str) -> bool:
    """Whether a link is one of the Hugging Face cache, whose ``snapshots/<revision>/`` consists of links to regular
    files in the ``blobs`` beside it. Nothing outside the repository's own folder is reached that way."""
    target = Path(os.path.realpath(link))
    for folder in Path(link).absolute().parents:
        if folder.name == "snapshots":
            blobs = folder.parent / "blobs"
            return not blobs.is_symlink() and target.parent == Path(os.path.realpath(blobs)) and target.is_file()
    return False
