"""Provenance of a run. Thread count and versions change borderline outcomes, so they are recorded."""

import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("grokscope", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "numba")


@cache
def provenance() -> dict[str, Any]:
    """Versions, machine, command line and git commit of the folder in use (None outside a repository)."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "host": socket.gethostname(),
        "command": sys.argv,
        "packages": {name: v for name in _PACKAGES if (v := _version(name)) is not None},
        "git": _git(),
    }


def commit_in_words(git: Mapping[str, Any]) -> str:
    """``2b49780b1c3d with local changes``, of the commit that a run recorded."""
    short = str(git.get("commit"))[:12]
    if git.get("dirty"):
        return f"{short} with local changes"
    return short


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _git() -> dict[str, Any] | None:
    def ask(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=5, check=True)
        return done.stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None
