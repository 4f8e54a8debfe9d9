"""Runs that earlier versions wrote, as the tests of schemas compare them."""

from pathlib import Path

import pytest

from golden.record import machine
from grokscope.store import open_run


def on_the_same_machine(run):
    made, here = run.record["provenance"], machine()
    return made["processor"] == here["processor"][0] and made["packages"]["torch"] == here["packages"]["torch"]


def assert_same_numbers(one, two):
    """Every bit on the machine that the stored run was made on; the same curve elsewhere."""
    a, b = open_run(one).rows(), open_run(two).rows()
    assert [r["step"] for r in a] == [r["step"] for r in b]
    if on_the_same_machine(open_run(two)):
        assert [{k: x[k] for k in y} for x, y in zip(a, b, strict=True)] == b, "later versions may add columns"
        final = Path("checkpoints") / "final.safetensors"
        assert (one / final).read_bytes() == (two / final).read_bytes()
    for x, y in zip(a, b, strict=True):
        assert x["train_loss"] == pytest.approx(y["train_loss"], rel=1e-3)
