"""Download the official WILDS archive, only on request."""

import gzip
import http.client
import os
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path

from grokscope.tasks.camelyon17.files import METADATA, RELEASE

URL = "https://worksheets.codalab.org/rest/bundles/0xe45e15f39fb54e9d9e919556af67aabe/contents/blob/"
"""CodaLab's copy, which the WILDS package uses."""
SIZE = 10_658_709_504
"""Bytes of the archive (WILDS, camelyon17 v1.0)."""
FOLDER = "camelyon17_v1.0"
_PIECE = 1 << 20

Progress = Callable[[int, int], None]


def fetch_camelyon17(
    dest: str | Path,
    *,
    url: str = URL,
    size: int = SIZE,
    retries: int = 5,
    wait_s: float = 5.0,
    progress: Progress | None = None,
    keep_archive: bool = False,
) -> Path:
    """Downloads and unpacks camelyon17_v1.0 into the folder `dest`; returns the unpacked folder.

    A broken transfer goes on where it stopped, in this call (up to `retries` times in a row without a new byte,
    `wait_s` seconds apart) and in the next. The archive is used only when it has exactly `size` bytes; members that
    would land outside the folder are refused. A folder that is already there is left alone. `progress(bytes, size)` is
    called as data arrive. `url` may be any mirror that holds the same archive; it can go on with what another one sent.

    Raises:
        ValueError: when `url` is none, the disk is too small, the host does not answer, or the archive is not the
            expected one; the message says what was kept and what to do instead.
    """
    if not hasattr(tarfile, "data_filter"):
        raise ValueError("unpacking an archive safely needs Python 3.11.4 or later; upgrade Python")
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"url: expected http://... or https://..., got {url!r}")
    dest = Path(dest).expanduser()
    folder = dest / FOLDER
    if (folder / RELEASE).is_file():
        return folder
    if folder.exists():
        raise ValueError(f"{folder} exists but has no {RELEASE}; move it away, or finish it by hand")
    dest.mkdir(parents=True, exist_ok=True)
    archive = dest / f"{FOLDER}.tar.gz"
    have = _length(archive) or _length(_partial(archive))
    _require_space(dest, 2 * size - have)
    if archive.exists() and _length(archive) != size:
        raise ValueError(f"{archive}: {_length(archive)} bytes, expected {size}; delete it and fetch again")
    if not archive.exists():
        _download(url, archive, size, retries, wait_s, progress)
    _unpack(archive, folder)
    if not keep_archive:
        archive.unlink()
    return folder


def _partial(archive: Path) -> Path:
    return archive.with_name(archive.name + ".part")


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _require_space(dest: Path, needed: int) -> None:
    free = shutil.disk_usage(dest).free
    if free < needed:
        raise ValueError(f"{dest}: {free / 1e9:.1f} GB free, but archive and patches need {needed / 1e9:.1f} GB more")


def _download(url: str, archive: Path, size: int, retries: int, wait_s: float, progress: Progress | None) -> None:
    part = _partial(archive)
    failures, reason = 0, ""
    while (have := _length(part)) < size:
        if failures > retries:
            raise ValueError(_advice(url, reason, part, have, size))
        try:
            _transfer(url, part, have, size, progress)
            reason = "the transfer ended early"
        except urllib.error.HTTPError as error:
            reason = f"the host answers {error.code} {error.reason}"
            if error.code < 500 and error.code != 429:  # asking again would not help
                raise ValueError(_advice(url, reason, part, have, size)) from None
        except (OSError, http.client.HTTPException) as error:
            reason = f"{type(error).__name__}: {error}"
        grown = _length(part) > have
        failures = 0 if grown else failures + 1
        if _length(part) < size:
            time.sleep(wait_s)
    if have > size:
        raise ValueError(f"{part}: {have} bytes, expected {size}; delete it and start again")
    os.replace(part, archive)


def _transfer(url: str, part: Path, have: int, size: int, progress: Progress | None) -> None:
    """One request: appends what comes, or starts anew where the host does not know ranges."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        total = _total(answer, have)
        if total is not None and total != size:
            raise ValueError(f"{url}: the archive there has {total:,} bytes, expected {size:,}; it is another one")
        resumed = have > 0 and answer.status == 206
        done = have if resumed else 0
        with part.open("ab" if resumed else "wb") as f:
            while piece := answer.read(_PIECE):
                f.write(piece)
                done += len(piece)
                if progress:
                    progress(done, size)


def _total(answer: http.client.HTTPResponse, have: int) -> int | None:
    """Size of the whole archive as the host tells it, where it does."""
    if answer.status == 206:
        size = answer.headers.get("Content-Range", "").rpartition("/")[2]
        return int(size) if size.isdigit() else None
    size = answer.headers.get("Content-Length", "")
    return int(size) if size.isdigit() else None


def _advice(url: str, reason: str, part: Path, have: int, size: int) -> str:
    kept = "nothing came"
    if have:
        kept = f"{have:,} of {size:,} bytes are kept in {part}, and the same command resumes from there"
    return (
        f"{url}: {reason}; {kept}. CodaLab has been down for months at a time: try again later, look for news at "
        f"https://wilds.stanford.edu/downloads, or copy an existing {FOLDER} folder (the `wilds` package makes the "
        f"same one) and check it with: grokscope data camelyon17 check FOLDER. A mirror of the archive is given with "
        f"--url. The synthetic task 'hospitals' needs no download."
    )


def _unpack(archive: Path, folder: Path) -> None:
    """Into a temporary folder first, so that an interrupted unpacking leaves nothing that looks whole."""
    part = folder.with_name(folder.name + ".unpacking")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with gzip.open(archive) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                tar.extractall(part, filter="data")
            while stream.read(_PIECE):  # only at its very end does gzip compare the checksum
                pass
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise ValueError(f"{archive}: cannot be unpacked ({error}); delete it and fetch again") from error
    inner = part / FOLDER if (part / FOLDER).is_dir() else part
    if not (inner / RELEASE).is_file() or not (inner / METADATA).is_file():
        shutil.rmtree(part, ignore_errors=True)
        raise ValueError(
            f"{archive}: contains no {RELEASE} and {METADATA}; it is not the camelyon17 archive, delete it"
        )
    os.replace(inner, folder)
    shutil.rmtree(part, ignore_errors=True)
