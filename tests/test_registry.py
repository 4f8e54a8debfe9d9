"""The registry: everything listed loads, names are checked without importing, other packages can add to it."""

import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import get_args

import pytest

from grokscope import configio, registry
from grokscope.config import ModelConfig, Regime, TaskConfig
from grokscope.registry import Kind, entries, find, load, nearest
from grokscope.tasks.digits import Digits
from tiny import TINY

KINDS = get_args(Kind)
ALL = [(kind, name) for kind in KINDS for name in registry._BUILT_IN[kind]]


@pytest.fixture
def plugged(monkeypatch):
    """Pretend that other packages offer these entry points: {kind: {name: target}}."""

    def plug(offers):
        def points(group):
            kind = group.removeprefix("grokscope.").removesuffix("s")
            return [EntryPoint(name, target, group) for name, target in offers.get(kind, {}).items()]

        monkeypatch.setattr(registry, "entry_points", points)
        registry._plugins.cache_clear()

    yield plug
    registry._plugins.cache_clear()


@pytest.mark.parametrize(("kind", "name"), ALL, ids=lambda v: v)
def test_every_entry_loads_and_says_what_it_is(kind, name):
    entry = find(kind, name)
    assert callable(entry.load())
    assert entry.summary
    assert len(entry.summary) < 90
    assert entry.source == "-" or re.match(r"(arXiv:\d{4}\.\d{4,5}|arXiv:\d{4}\.\d+|doi:10\.\S+)$", entry.source)
    if kind in ("task", "model"):
        cls = entry.load()
        assert issubclass(cls, TaskConfig if kind == "task" else ModelConfig)
        assert cls.name == name, "the class and the registry must agree on the name"


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_name_lists_or_guesses(kind):
    some = next(iter(registry._BUILT_IN[kind]))
    with pytest.raises(registry.Unknown, match=f"unknown {kind} '{some}x'; did you mean"):
        load(kind, f"{some}x")
    with pytest.raises(ValueError, match=rf"unknown {kind} 'qqqqq'; known: .*{re.escape(some)}"):
        load(kind, "qqqqq")


def test_nearest_ignores_case():
    assert nearest("AdamW", ["adam", "adamw", "sgd"]) == "; did you mean 'adamw'?"
    assert nearest("zzz", ["b", "a"]) == "; known: a, b"


def test_a_plug_in_is_as_good_as_built_in(plugged):
    plugged({"task": {"tens": "grokscope.tasks.digits:Digits"}, "filter": {"mine": "grokscope.train.filters:NoFilter"}})
    assert "tens" in entries("task")
    assert load("task", "tens") is Digits
    raw = TINY | {"task": {"name": "tens", "n_train": 33}, "model": {"name": "mlp"}, "regime": {"grad_filter": "mine"}}
    config = configio.load_run(raw)
    assert config.task == Digits(n_train=33)
    assert config.regime.grad_filter == "mine"
    with pytest.raises(ValueError, match="did you mean 'mine'"):
        Regime(grad_filter="min")


def test_a_plug_in_cannot_take_a_built_in_name(plugged):
    plugged({"task": {"modular": "grokscope.tasks.digits:Digits"}})
    assert load("task", "modular") is not Digits
    assert entries("task")["modular"].target.endswith(":Modular")


def test_a_plug_in_is_imported_only_when_asked_for(plugged):
    plugged({"task": {"broken": "no_such_package.tasks:Task"}})
    assert "broken" in entries("task")
    assert load("task", "modular")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        load("task", "broken")


def test_built_in_names_are_found_without_a_look_at_other_packages(monkeypatch):
    def never(group):
        raise AssertionError(f"{group} was looked up on disk")

    monkeypatch.setattr(registry, "entry_points", never)
    registry._plugins.cache_clear()
    try:
        assert find("optimizer", "adamw").name == "adamw"
    finally:
        registry._plugins.cache_clear()


def test_listing_names_imports_no_torch():
    code = (
        "import sys; from grokscope import registry\n"
        f"for kind in {KINDS!r}: [e.summary for e in registry.entries(kind).values()]\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
