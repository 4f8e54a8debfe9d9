"""Whether anything can be saved in a folder of runs. A full disk, a file system that has become read-only or was
unmounted is no fault of the run that meets it: the next run would meet it as well."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from grokscope.files import FULL, ReadOnly, chain_of


@dataclass(frozen=True)
class Storage:
    """The folder of runs as it was when work on them began."""

    root: Path
    device: int
    """The file system that it lay on: where that was unmounted, an empty folder may be left in its place."""

    @classmethod
    def of(cls, root: Path) -> "Storage":
        """Makes the folder where it is not there.

        Raises:
            OSError: where it cannot be made.
        """
        root.mkdir(parents=True, exist_ok=True)
        return cls(root, root.stat().st_dev)

    def trouble(self, error: BaseException | None = None) -> str:
        """Why no run can be saved here at present, as far as `error` or the folder itself tells; empty where there is
        no reason, and for a fault of one run."""
        if error is not None and (words := trouble_of(error, self.root)):
            return words
        try:
            now = self.root.stat().st_dev
        except OSError as gone:
            return f"{self.root}: the folder of runs is gone ({gone.strerror}); bring it back, then run again"
        if now != self.device:
            return (
                f"{self.root}: another file system is here than when this command began; mount the one with the runs "
                "again, then run again"
            )
        return ""


def trouble_of(error: BaseException, root: Path) -> str:
    """What `error` says of the storage as a whole: a full disk or quota, or a read-only file system; else nothing."""
    for cause in chain_of(error):
        number = cause.errno if isinstance(cause, OSError) else None
        if number in FULL:
            return _full(cause)
        if isinstance(cause, ReadOnly) or (number == errno.EROFS and _is_read_only(root)):
            return (
                f"{root}: this file system is read-only, so no run can be saved; what was saved before is intact: "
                "make it writable, then run again"
            )
    return ""


def _is_read_only(root: Path) -> bool:
    """A plug-in may have tried to write elsewhere, which is a fault of its runs."""
    try:
        return bool(os.statvfs(root).f_flag & os.ST_RDONLY)
    except OSError:
        return True


def _full(error: BaseException) -> str:
    """``no space left to write runs/x/status.json; what was saved before is intact: free space, then run again``."""
    assert isinstance(error, OSError)
    words = error.strerror or os.strerror(error.errno or errno.ENOSPC)
    if "free space" in words:
        return words
    where = f": {error.filename}" if error.filename else ""
    return f"{words}{where}; what was saved before is intact: free space, then run again"
