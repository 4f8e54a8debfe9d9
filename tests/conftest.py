"""Shared by all tests: one thread, no network, tiny runs."""

import os

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
