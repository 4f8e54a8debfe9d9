"""The registry: everything listed loads, names are checked without importing, other packages can add to it."""

import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import get_args

import pytest

import my_lab
from grokscope import configio, registry
from grokscope.config import ModelConfig, Regime, TaskConfig
from grokscope.registry import Kind, entries, find, load, nearest
from tiny import TINY

KINDS = get_args(Kind)
ALL = [(kind, name) for kind in KINDS for name in registry.built_in(kind)]


@pytest.fixture
def plugged(monkeypatch):
    """Pretend that other packages offer these entry points: {kind: {name: target}}."""

    def plug(offers):
        def points(group):
            kind = "loss" if group == "grokscope.losses" else group.removeprefix("grokscope.").removesuffix("s")
            return [EntryPoint(name, target, group) for name, target in offers.get(kind, {}).items()]

        monkeypatch.setattr(registry, "entry_points", points)
        registry._entry_points.cache_clear()

    before = dict(registry._LOADED)
    yield plug
    registry._LOADED.clear()
    registry._LOADED.update(before)
    registry._entry_points.cache_clear()


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
    some = next(iter(registry.built_in(kind)))
    with pytest.raises(registry.Unknown, match=f"unknown {kind} '{some}x'; did you mean"):
        load(kind, f"{some}x")
    with pytest.raises(ValueError, match=rf"unknown {kind} 'qqqqq'; known: .*{re.escape(some)}"):
        load(kind, "qqqqq")


def test_nearest_ignores_case():
    assert nearest("AdamW", ["adam", "adamw", "sgd"]) == "; did you mean 'adamw'?"
    assert nearest("zzz", ["b", "a"]) == "; known: a, b"


def test_a_plug_in_is_as_good_as_built_in(plugged):
    plugged({"task": {"tens": "my_lab:Tens"}, "filter": {"halved": "my_lab:Halved"}})
    assert "tens" in entries("task")
    assert load("task", "tens") is my_lab.Tens
    grad_filter = {"name": "halved", "share": 0.25}
    raw = TINY | {"task": {"name": "tens", "n": 33}, "model": {"name": "mlp"}, "regime": {"grad_filter": grad_filter}}
    config = configio.load_run(raw)
    assert config.task == my_lab.Tens(n=33)
    assert config.regime.grad_filter == my_lab.Halved(share=0.25)
    assert config.identity()["regime"]["grad_filter"] == {"name": "halved", "share": 0.25}
    with pytest.raises(ValueError, match="did you mean 'halved'"):
        Regime(grad_filter="halve")


def test_a_plug_in_cannot_take_a_built_in_name(plugged):
    plugged({"task": {"modular": "grokscope.tasks.digits:Digits"}})
    assert load("task", "modular").__module__ == "grokscope.tasks.modular"
    assert entries("task")["modular"].target.endswith(":Modular")


def test_a_plug_in_is_imported_only_when_asked_for(plugged):
    plugged({"task": {"broken": "no_such_package.tasks:Task"}})
    assert "broken" in entries("task")
    assert load("task", "modular")
    with pytest.raises(
        registry.PluginError, match=r"plug-in task 'broken' \(no_such_package.tasks:Task\): ModuleNotFoundError: .*"
    ):
        load("task", "broken")


@pytest.mark.parametrize(
    ("kind", "name", "target", "words"),
    [
        ("task", "tens", "my_lab:Halved", "its class is the filter 'halved'"),
        ("filter", "mine", "my_lab:Halved", "its class is the filter 'halved'"),
        ("filter", "mine", "my_lab:a_function", "must extend"),
    ],
)
def test_an_entry_point_that_is_something_else_is_named(plugged, kind, name, target, words):
    plugged({kind: {name: target}})
    with pytest.raises(registry.PluginError, match=rf"plug-in {kind} '{name}' \({target}\): .*{words}"):
        load(kind, name)


def test_built_in_names_are_found_without_a_look_at_other_packages(monkeypatch):
    def never(group):
        raise AssertionError(f"{group} was looked up on disk")

    monkeypatch.setattr(registry, "entry_points", never)
    registry._entry_points.cache_clear()
    try:
        assert find("optimizer", "adamw").name == "adamw"
    finally:
        registry._entry_points.cache_clear()


def test_listing_names_imports_no_torch():
    code = (
        "import sys; from grokscope import registry\n"
        f"for kind in {KINDS!r}: [e.summary for e in registry.entries(kind).values()]\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
