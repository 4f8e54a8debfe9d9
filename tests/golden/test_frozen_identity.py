"""Ids and defaults are for ever: a folder that was trained is found by every later version."""

import json
from dataclasses import dataclass, field, make_dataclass, replace

import pytest

from golden.record_identity import DEFAULTS, IDS, changed, defaults, shipped
from grokscope import configio, flat_regime, identity, registry
from grokscope.config import Cadence, Regime
from grokscope.models.config import EmbeddingMLP
from grokscope.tasks.modular import Modular
from grokscope.train.optimizers import AdamW, Muon
from tiny import tiny

RECORDED = json.loads(IDS.read_text())
RECORD = "python tests/golden/record_identity.py"


def test_every_id_that_was_ever_recorded_still_follows_from_its_config():
    wrong = {}
    for study, runs in RECORDED.items():
        for run_id, dotted in runs.items():
            version = dotted.pop("task.data_version", 1)
            config = configio.load_run(configio.overlay({"schema": flat_regime.SCHEMA}, dotted))
            raw = identity.identity_of(configio.dump(config), version)
            now = f"{config.run_id().rpartition('-')[0]}-{configio.content_hash(raw)[:8]}"
            if now != run_id:
                wrong[f"{study}: {run_id}"] = now
    assert not wrong, "ids have changed: a default, or the identity itself, was touched; folders would not be found"


def test_the_runs_of_all_shipped_studies_are_recorded():
    new = {name: sorted(runs.keys() - RECORDED.get(name, {}).keys()) for name, runs in shipped().items()}
    assert not any(new.values()), f"new or changed studies, or new data versions: {RECORD} adds their runs"


def test_no_default_changes():
    lost = changed(json.loads(DEFAULTS.read_text()), defaults())
    assert not lost, (
        "a default never changes, for runs leave it out of their identity: two different trainings would be one run. "
        f"Keep it, and give the new behavior a new name (field, component or recipe). Changed: {lost}"
    )


def test_every_default_is_frozen():
    frozen, now = json.loads(DEFAULTS.read_text()), defaults()
    new = [t for t in now if t not in frozen]
    new += [f"{t}.{k}" for t, values in now.items() for k in values if k not in frozen.get(t, {})]
    assert not new, f"new fields or components: {RECORD} freezes their defaults: {new}"


def test_the_check_of_defaults_can_fail():
    now = defaults()
    assert changed({"Regime": {"lr": 1e-3}}, now) == []
    assert changed({"Regime": {"lr": 2e-3}}, now) == ["Regime.lr: 0.002 is now 0.001"]
    assert changed({"RunConfig": {"regime": {"lr": 1e-3}}}, now) == []  # the other fields came later
    assert len(changed({"RunConfig": {"regime": {"lr": 2e-3}}}, now)) == 1
    assert changed({"Regime": {"gone": 1}, "loss no": {}}, now) == ["Regime.gone: 1 is now 'gone'", "loss no: gone"]


def grown(cls: type, **extra: object) -> type:
    """The same dataclass with fields added, each with a default."""
    added = [(k, type(v), field(default=v)) for k, v in extra.items()]
    return make_dataclass(cls.__name__, added, bases=(cls,), frozen=True, kw_only=True)


def test_a_new_field_with_a_default_changes_no_id(monkeypatch):
    config = tiny({"regime.optimizer.eps": 1e-7})
    task, model, regime = grown(Modular, twist=3), grown(EmbeddingMLP, dropout=0.0), grown(Regime, sam_rho=0.0)
    cadence = grown(Cadence, never=0)
    values = {"task": task, "model": model, "regime": regime, "evaluate": cadence, "diagnose": cadence}
    grown_tables = {"regime": regime, "evaluate": cadence, "diagnose": cadence}
    monkeypatch.setattr(identity, "_TABLES", identity._TABLES | grown_tables)
    later = replace(config, **{k: cls(**vars(getattr(config, k))) for k, cls in values.items()})
    assert later.run_id() == config.run_id()
    assert replace(later, task=replace(later.task, twist=4)).run_id() != config.run_id()
    assert replace(later, regime=replace(later.regime, sam_rho=0.1)).run_id() != config.run_id()
    assert replace(later, evaluate=replace(later.evaluate, never=9)).run_id() != config.run_id()


def test_a_new_component_changes_no_id(monkeypatch):
    before = {name: set(runs) for name, runs in shipped().items()}
    for kind in ("optimizer", "filter", "loss", "model"):
        entry = registry.Entry(kind, "new", "models.config:Linear", "new", "-")
        monkeypatch.setitem(registry._BUILT_IN[kind], "new", entry)
    assert before == {name: set(runs) for name, runs in shipped().items()}


def test_a_value_at_its_default_may_be_given():
    plain = tiny()
    assert plain.run_id() == tiny({"regime.optimizer.betas": [0.9, 0.999], "task.train_fraction": 0.5}).run_id()
    assert tiny({"evaluate": {"every": 7, "at": [0], "unit": "steps"}}).run_id() == plain.run_id()


@pytest.mark.parametrize(("one", "two"), [(1, 1.0), (1e-3, 0.001), (0.0, -0.0), ((1, 2.0), [1.0, 2])])
def test_equal_numbers_are_written_alike(one, two):
    assert json.dumps(identity.canonical(one)) == json.dumps(identity.canonical(two))


def test_numbers_given_from_python_count_as_those_of_a_file():
    config = tiny({"regime.lr": 1.0, "regime.weight_decay": 0.0})
    given = replace(config, regime=replace(config.regime, lr=1, weight_decay=-0.0, optimizer=AdamW(betas=[0.9, 0.999])))
    assert given.run_id() == config.run_id()


def test_the_compiled_engine_is_another_algorithm_and_another_run():
    assert replace(tiny(), engine="compiled").identity() != tiny().identity()
    assert "engine" not in tiny().identity()


def test_no_points_at_all_is_not_the_default():
    assert replace(tiny(), diagnose=Cadence()).identity()["diagnose"] == {}
    bare = configio.load_run({k: v for k, v in configio.dump(tiny()).items() if k != "diagnose"})
    assert "diagnose" not in bare.identity()


def test_other_data_is_another_run():
    @dataclass(frozen=True, kw_only=True)
    class Redrawn(Modular):
        data_version = 2

    config = tiny()
    again = replace(config, task=Redrawn(**vars(config.task)))
    assert again.identity() == config.identity() | {"task": config.identity()["task"] | {"data_version": 2}}
    assert again.run_id() != config.run_id()


def test_a_parameter_of_a_component_stands_where_it_always_stood():
    """A folder that was trained when regimes were flat is found by what its config says now."""
    changes = {"regime.optimizer.betas": [0.9, 0.98], "regime.grad_filter": {"name": "grokfast_ma", "lambda": 5.0}}
    regime = tiny(changes).identity()["regime"]
    assert regime["optimizer"] == "adamw"
    assert (regime["betas"], regime["grad_filter"], regime["filter_lambda"]) == ([0.9, 0.98], "grokfast_ma", 5)
    plain = tiny().identity()["regime"]
    assert regime.keys() - plain.keys() == {"betas", "filter_lambda"}


def test_muons_usual_momentum_is_its_default_and_none_at_all_is_another_run():
    usual = tiny({"regime.optimizer": "muon"})
    assert "momentum" not in usual.identity()["regime"]
    assert tiny({"regime.optimizer": {"name": "muon", "momentum": 0.95}}).run_id() == usual.run_id()
    assert replace(usual, regime=replace(usual.regime, optimizer=Muon(momentum=0.0))).run_id() != usual.run_id()


def test_a_new_parameter_of_a_component_changes_no_id_until_it_is_used(monkeypatch):
    config = tiny({"regime.optimizer.eps": 1e-7})
    later = grown(AdamW, amsgrad=False)
    entry = replace(registry.find("optimizer", "adamw"), registered=later)
    monkeypatch.setitem(registry._BUILT_IN["optimizer"], "adamw", entry)
    same, other = (later(eps=1e-7, amsgrad=on) for on in (False, True))
    assert replace(config, regime=replace(config.regime, optimizer=same)).run_id() == config.run_id()
    changed = replace(config, regime=replace(config.regime, optimizer=other)).identity()["regime"]
    assert changed["optimizer"] == {"name": "adamw", "amsgrad": True}
    assert changed["eps"] == 1e-7
