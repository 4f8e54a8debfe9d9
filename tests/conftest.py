"""Shared by all tests: one thread, no network, tiny runs."""

import os
import subprocess

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture
def registered_here_only():
    """What a test registers, others do not see."""
    from grokscope import registry

    tables = (registry._IN_PROCESS, registry._LOADED, registry._SECTIONS)
    before = [dict(table) for table in tables]
    yield
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)


@pytest.fixture
def one_thread():
    """Products are added up in one order, however many cores there are."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB; skipped where mounting is not permitted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "grokscope-test", str(disk)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no permission to mount a small tmpfs: {done.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)
