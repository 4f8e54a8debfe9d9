"""A name that a dataclass does not have is refused in Python as in a file: as a ValueError with the right one."""

from dataclasses import dataclass, is_dataclass, replace
from typing import get_args

import pytest

import grokscope as gs
from grokscope import registry
from grokscope.checks import names_checked
from grokscope.config import Checkpoints, Start
from grokscope.dissect.battery import Unseen
from grokscope.results import Settings

MADE_BY_US = {"Run", "Selection", "Trajectory", "Verdict"}
"""Results that users receive and do not construct."""
BASES = {
    "TaskConfig", "ModelConfig", "Optimizer", "Loss", "Filter", "Schedule", "EngineChoice", "Measurement",
    "Intervention", "ErasureMethod", "Tracker",
}  # fmt: skip
"""Abstract: their subclasses are registered, and checked as such."""


def constructed():
    public = {name: getattr(gs, name) for name in gs.__all__ if name not in MADE_BY_US | BASES}
    named = {name: thing for name, thing in public.items() if isinstance(thing, type) and is_dataclass(thing)}
    return [*named.values(), Checkpoints, Settings, Start, Unseen]


def registered():
    return [entry.load() for kind in get_args(registry.Kind) for entry in registry.built_in(kind).values()]


@pytest.mark.parametrize("cls", [*constructed(), *registered()], ids=lambda cls: cls.__name__)
def test_a_name_that_is_no_field_is_refused_with_the_class_and_the_name(cls):
    with pytest.raises(ValueError, match=rf"^{cls.__name__}\.no_such_name"):
        cls(no_such_name=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gs.Criteria(final_rows=3), r"Criteria\.final_rows is superseded by end_share"),
        (lambda: gs.Criteria(generalise=0.9), r"Criteria\.generalise: unknown key; did you mean 'generalize'\?"),
        (lambda: gs.Regime(betas=(0.9, 0.98)), r"Regime\.betas is a parameter of the optimizer now"),
        (lambda: gs.Budget(step=3), r"Budget\.step: unknown key; did you mean 'steps'\?"),
        (lambda: replace(gs.Criteria(), fitt=0.9), r"Criteria\.fitt: unknown key; did you mean 'fit'\?"),
    ],
)  # fmt: skip
def test_the_right_name_is_given(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_is_right_is_constructed_as_before():
    @names_checked
    @dataclass(frozen=True)
    class Point:
        x: int
        y: int = 2

    assert Point(1) == Point(1, y=2) == Point(x=1)
    assert replace(Point(1), y=3).y == 3
    with pytest.raises(TypeError, match="missing 1 required"):
        Point(y=3)
