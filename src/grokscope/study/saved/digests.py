"""Verify that the files of a saved study are unchanged."""

import hashlib
from collections.abc import Mapping
from pathlib import Path


def digest(path: Path) -> str:
    """SHA-256 of a text file; line ends count as they are in a repository, whatever a checkout made of them."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def changed_files(folder: Path, digests: Mapping[str, str]) -> list[str]:
    """Names of files that are missing, or other than when they were saved."""
    return [name for name, known in digests.items() if not _same(folder / name, known)]


def _same(path: Path, known: str) -> bool:
    try:
        return digest(path) == known
    except OSError:
        return False
