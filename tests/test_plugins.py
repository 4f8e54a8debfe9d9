"""Plug-ins: registered in process or by entry point, known to workers, named when they fail, missed without harm."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

import grokscope
import my_lab
from grokscope import configio, registry
from grokscope.cli import run as cli
from grokscope.components import Filter, Measurement
from grokscope.store import open_run
from grokscope.store.query import run_rows
from grokscope.study import Study
from grokscope.train.driver import extend, train
from tiny import TINY, tiny

HERE = Path(__file__).parent


pytestmark = pytest.mark.usefixtures("registered_here_only")


def test_what_is_registered_in_process_trains_and_is_recorded(tmp_path, capsys):
    assert grokscope.register(my_lab.Halved) is my_lab.Halved
    assert registry.entries("filter")["halved"].summary == "Keeps a share of the gradient"
    run = train(tiny({"regime.grad_filter": {"name": "halved", "share": 0.25}, "regime.optimizer": "sgd"}), tmp_path)
    plain = train(tiny({"regime.optimizer": "sgd"}), tmp_path)
    assert run.rows()[-1]["train_loss"] != plain.rows()[-1]["train_loss"]
    assert run.record["plugins"] == {"filter halved": "my_lab:Halved"}
    assert "plugins" not in plain.record
    assert run.config["regime"]["grad_filter"] == {"name": "halved", "share": 0.25}
    assert cli(["show", str(run.path)]) == 0
    assert "plug-in filter halved: my_lab:Halved" in capsys.readouterr().out


def test_a_run_whose_plug_in_is_missing_is_listed_shown_and_reported(tmp_path, capsys):
    grokscope.register(my_lab.Halved)
    path = train(tiny({"regime.grad_filter": "halved"}), tmp_path).path
    registry._IN_PROCESS.clear()
    run = open_run(path)
    (row,) = run_rows(tmp_path)
    assert (row["state"], row["regime.grad_filter"], row["regime.grad_filter.share"]) == ("done", "halved", 0.5)
    for words in (["ls", str(tmp_path)], ["show", str(path)], ["report", str(path), "--out", str(tmp_path / "r.html")]):
        assert cli(words) == 0
    assert "halved" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"unknown filter 'halved'.*GROKSCOPE_PLUGINS"):
        extend(run, grokscope.Budget(steps=90))


def test_an_error_inside_a_plug_in_names_it(tmp_path):
    grokscope.register(my_lab.Failing)
    config = tiny({"regime.grad_filter": "failing"})
    with pytest.raises(registry.PluginError, match=r"plug-in filter 'failing' \(my_lab:Failing\): KeyError: 'weights'"):
        train(config, tmp_path)
    status = json.loads((tmp_path / config.run_id() / "status.json").read_text())
    assert status["state"] == "failed"
    assert "plug-in filter 'failing'" in status["error"]["message"]
    grokscope.register(my_lab.Halved)
    with pytest.raises(ValueError, match=r"\$.regime.grad_filter.sare: filter 'halved' has no parameter 'sare'"):
        tiny({"regime.grad_filter": {"name": "halved", "sare": 1}})


def test_a_filter_that_could_not_be_resumed_is_refused(tmp_path):
    grokscope.register(my_lab.Forgetful)
    with pytest.raises(ValueError, match=r"\$.regime.grad_filter: 'forgetful': .* has no state_dict and no load_state"):
        train(tiny({"regime.grad_filter": "forgetful"}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_error_of_ours_is_not_blamed_on_a_plug_in(tmp_path):
    grokscope.register(my_lab.Halved)
    with pytest.raises(ValueError, match=r"\$.regime.loss") as caught:
        train(tiny({"regime.grad_filter": "halved", "regime.loss": "squared_error"}), tmp_path)
    assert not isinstance(caught.value, registry.PluginError)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "grokfast_ema"}, "filter 'grokfast_ema' is built in; choose another name"),
        ({"name": None}, "has no name"),
        ({"kind": "shape"}, "a class must extend"),
        ({"build": Filter.build}, "does not define build"),
    ],
)
def test_what_cannot_be_used_is_refused_when_it_is_registered(changes, words):
    cls = type("Mine", (my_lab.Halved,), {"name": "mine", "__module__": "my_lab", **changes})
    with pytest.raises(ValueError, match=f"my_lab:Mine: .*{words}"):
        registry.register(dataclass(frozen=True, kw_only=True)(cls))
    with pytest.raises(ValueError, match="is not a frozen dataclass"):
        registry.register(type("Mine", (my_lab.Halved,), {"name": "mine"}))


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (
            {},
            r"does not say what it needs; write in the class needs = frozenset\(\), or in it which of initial, update",
        ),
        ({"needs": frozenset({"trainig_loss"})}, "needs the unknown 'trainig_loss'; did you mean 'training_loss'"),
    ],
)
def test_a_measurement_that_leaves_open_what_it_needs_is_refused(needs, words):
    """Where an intervention changes the outputs that the loss sees, its number might be wrong and look right."""
    body = {"name": "mine", "__module__": "my_lab", "__call__": lambda self, view: {}, **needs}
    with pytest.raises(ValueError, match=f"my_lab:Mine: {words}"):
        registry.register(dataclass(frozen=True, kw_only=True)(type("Mine", (Measurement,), body)))


def test_two_plug_ins_of_one_name_are_refused_and_one_may_be_registered_again():
    registry.register(my_lab.Halved)
    registry.register(my_lab.Halved)

    @dataclass(frozen=True, kw_only=True)
    class Other(my_lab.Halved):
        name: ClassVar[str] = "halved"

    with pytest.raises(ValueError, match="filter 'halved' is registered by my_lab:Halved already"):
        registry.register(Other)


def test_a_measurement_writes_its_column_and_leaves_the_training_alone(tmp_path):
    for cls in (my_lab.Steepness, my_lab.Clashing):
        grokscope.register(cls)
    plain = train(tiny(), tmp_path)
    run = train(tiny({"measure": ["steepness"]}), tmp_path)
    measured = [row for row in run.rows() if "steepness" in row]
    assert [row["step"] for row in measured] == [row["step"] for row in plain.rows() if "logit_max" in row]
    assert len(measured) > 2
    assert all(row["steepness"] > 0 for row in measured)
    kept = [{k: v for k, v in row.items() if k != "steepness"} for row in run.rows()]
    assert kept == plain.rows(), "the same training, to the last bit"
    assert tiny({"measure": ["steepness"]}).identity()["measure"] == ["steepness"]
    squared = tiny({"measure": [{"name": "steepness", "power": 2.0}]})
    assert squared.identity()["measure"] == [{"name": "steepness", "power": 2}]
    assert configio.load_run(configio.dump(squared)) == squared
    assert "measure" not in tiny().identity()
    (again,) = [r["measure"] for r in run_rows(tmp_path) if r["measure"] != "[]"]
    assert "steepness" in again


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "'clashing' writes the column 'logit_max', which already exists"),
        ({"column": "mine_n"}, "'mine_n' must be a single number, under a name that does not end in _correct or _n"),
        ({"column": "mine", "size": 2}, "'mine' must be a single number"),
    ],
)
def test_a_column_that_cannot_be_is_refused(tmp_path, changes, words):
    grokscope.register(my_lab.Clashing)
    with pytest.raises(ValueError, match=words):
        train(tiny({"measure": [{"name": "clashing", **changes}]}), tmp_path)


STUDY = {k: v for k, v in TINY.items() if k != "regime"} | {
    "plugins": ["lab_of_the_study"],
    "seeds": [0, 1],
    "axes": {"regime.grad_filter.share": [0.25, 0.5]},
    "regime": {"grad_filter": "halved"},
    "expect": [{"where": {"regime.grad_filter": "halved", "regime.grad_filter.share": 0.5}, "censored": "T_gen"}],
}


def test_a_study_names_its_plug_ins_and_worker_processes_know_them(tmp_path):
    """In a process of its own, which has never heard of the module; it lies beside the study file."""
    decorated = "import grokscope\n\n\n@grokscope.register\n@dataclass(frozen=True, kw_only=True)\nclass Halved"
    (tmp_path / "lab_of_the_study.py").write_text(
        (HERE / "my_lab.py").read_text().replace("@dataclass(frozen=True, kw_only=True)\nclass Halved", decorated)
    )
    (tmp_path / "study.json").write_text(json.dumps(STUDY))
    command = [sys.executable, "-m", "grokscope.cli", "study", "run", "study.json", "--root", "runs", "--workers", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
                          env={**os.environ, "PYTHONPATH": str(Path(grokscope.__file__).parents[1])})  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = run_rows(tmp_path / "runs")
    assert [row["state"] for row in rows] == ["done"] * 4
    assert {row["regime.grad_filter.share"] for row in rows} == {0.25, 0.5}


@pytest.mark.parametrize(
    ("plugins", "words"),
    [
        (["no_such_lab"], r"plug-in module 'no_such_lab': ModuleNotFoundError"),
        ("my_lab", r"\$.plugins: expected a list of modules to import"),
        (["../evil"], r"\$.plugins: expected a list of modules to import"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(plugins, words):
    with pytest.raises(ValueError, match=words):
        Study.from_dict({**STUDY, "plugins": plugins})


def test_a_plug_in_of_the_script_itself_is_refused_by_workers(tmp_path, monkeypatch):
    grokscope.register(my_lab.Halved)
    monkeypatch.setattr(my_lab.Halved, "__module__", "__main__")
    raw = {k: v for k, v in STUDY.items() if k != "plugins"}
    with pytest.raises(ValueError, match=r"filter halved \(__main__:Halved\) is registered by the main script"):
        Study.from_dict(raw).run(1, tmp_path)


def test_modules_in_the_environment_are_imported(monkeypatch):
    code = "from grokscope import registry; print(sorted(registry.entries('task')))"
    env = {**os.environ, "GROKSCOPE_PLUGINS": "lab_from_environment", "PYTHONPATH": os.pathsep.join(sys.path)}
    made = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert "plug-in module 'lab_from_environment': ModuleNotFoundError" in made.stderr
    monkeypatch.setattr(registry, "_import_from_environment", lambda: registry.register(my_lab.Tens))
    assert "tens" in registry.entries("task")


def test_a_flat_key_and_a_parameter_are_understood_the_same_everywhere():
    config = configio.load_run(
        configio.overlay(TINY, {"regime.optimizer.name": "sgd", "regime.optimizer.momentum": 0.5})
    )
    assert config == tiny({"regime.optimizer": {"name": "sgd", "momentum": 0.5}})
