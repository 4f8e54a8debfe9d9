"""Dissecting saved runs: which checkpoint, what is written, and a model of somebody else's from the command line."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from grokscope import configio
from grokscope.cli import run as cli
from grokscope.dissect.runs import chosen_checkpoints, dissect_run, load_network, material
from grokscope.results.dissection import Dissection
from grokscope.results.settings import Settings
from grokscope.store import open_run
from grokscope.train.driver import train

RAW = {
    "task": {"name": "hospitals", "n_train": 40, "n_eval": 120, "image_size": 16, "patients": 40, "slides": 40},
    "model": {"name": "small-resnet", "width": 4},
    "regime": {"recipe": "standard"},
    "budget": {"steps": 12},
    "evaluate": {"every": 3},
    "checkpoint": {"every": 6},
}
FAST = Settings(draws=9, permutations=49, resamples=49, probe_controls=1, halves=4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(configio.load_run(RAW), tmp_path_factory.mktemp("runs"))


def test_rules_name_checkpoints(run):
    assert list(chosen_checkpoints(run, "final")) == [12]
    assert list(chosen_checkpoints(run, "all")) == [6, 12]
    assert [path for path, _ in chosen_checkpoints(run, "all").values()][-1].name == "final.safetensors"
    assert [name for _, name in chosen_checkpoints(run, "all").values()] == ["step=6", "step=12"]
    assert list(chosen_checkpoints(run, "step:6")) == list(chosen_checkpoints(run, "step=6")) == [6]
    scores = dict(zip(run.metrics()["step"], run.metrics()["ood_val_acc"], strict=True))
    best = max((6, 12), key=lambda s: (scores[s], -s))
    for rule in ("peak:ood_val", "peak_ood_val"):
        assert [(s, name) for s, (_, name) in chosen_checkpoints(run, rule).items()] == [(best, "peak_ood_val")]
    for rule in ("oracle", "oracle:ood_test", "oracle=ood_test"):
        assert chosen_checkpoints(run, rule).popitem()[1][1] == "oracle=ood_test"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("peak:ood_test", "only under the name 'oracle'"),
        ("mean_last", "selects no checkpoint"),
        ("step:7", "no checkpoint at step 7; nearest: 6, 12"),
        ("best", "unknown rule 'best'"),
        ("oracle:ood_tset", "did you mean 'ood_test'"),
    ],
)
def test_wrong_rules_say_what_there_is(run, rule, message):
    with pytest.raises(ValueError, match=message):
        chosen_checkpoints(run, rule)


def test_the_loaded_network_is_the_trained_one(run):
    given = material(run)
    path = chosen_checkpoints(run, "final")[12][0]
    model, prepare = load_network(run, path, given.data, given.config)
    with torch.inference_mode():
        logits = model(prepare(torch.as_tensor(given.sample.x)))
    right = int((logits.argmax(1).numpy() == given.sample.y).sum())
    assert right == run.rows()[-1]["id_val_correct"]


def test_all_checkpoints_leave_records_a_trajectory_and_its_pictures(run):
    steps = [step for step, _ in dissect_run(run, "all", settings=FAST)]
    folder = run.path / "mechinterp"
    assert steps == [6, 12]
    rows = json.loads((folder / "trajectory.json").read_text())
    assert [r["step"] for r in rows] == steps
    assert all("probe_environment_pooled" in r for r in rows)
    for part in ("m1", "m4", "m5", "m6"):
        assert (folder / f"{part}.json").exists()
        assert (folder / "step00000006" / f"{part}.json").exists()
    for name in ("along.png", "layers.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_tasks_without_environments_are_refused(tmp_path):
    digits = {"task": {"name": "digits"}, "model": {"name": "mlp", "hidden": [4]}, "budget": {"steps": 2}}
    other = train(configio.load_run({**digits, "regime": {"loss": "mse"}}), tmp_path)
    with pytest.raises(ValueError, match="needs class labels and environments"):
        list(dissect_run(other))


def test_a_model_of_ones_own_from_the_command_line(tmp_path, monkeypatch, capsys, run):
    from safetensors.torch import save_file

    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from grokscope.models.resnet import SmallResNet\n\ndef build():\n    return SmallResNet(3, 4, 1, 2, 'batch')\n"
    )
    given = material(run)
    model, _ = load_network(run, chosen_checkpoints(run, "final")[12][0], given.data, given.config)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    assert cli(["data", "hospitals", "patches", "--layout", "csv", "--n-train", "40", "--n-eval", "90"]) == 0
    table = next(tmp_path.joinpath("patches").rglob("*.csv"))
    words = ["dissect", "--model", "mine:build", "--weights", "w.safetensors", "--data", str(table), "--draws", "9"]
    assert cli([*words, "--no-figures", "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out[out.index("{\n") if "{\n" in out else out.index("{") :])["checkpoints"]
    assert cli([*words[:2], "mine:biuld", *words[3:]]) == 2
    assert cli(["dissect", "--model", "mine:build"]) == 2
    assert "--model needs --weights and --data" in capsys.readouterr().err


def test_a_study_redoes_what_older_rules_left(run, tmp_path, capsys):
    from grokscope.results.dissection import RULES
    from grokscope.store.dissected import outdated

    folder = shutil.copytree(run.path, tmp_path / run.id)
    shutil.rmtree(folder / "mechinterp", ignore_errors=True)  # of other tests with this run
    list(dissect_run(open_run(folder), "step=6", settings=FAST, figures=False))
    assert outdated(folder) == {}
    for path in (folder / "mechinterp").rglob("m?.json"):
        record = json.loads(path.read_text())
        assert record["rules"] == RULES
        path.write_text(json.dumps(record | {"rules": RULES - 1}))
    assert set(outdated(folder)) == {"step=6"}
    study = {"task": RAW["task"], "model": RAW["model"], "regime": RAW["regime"], "budget": RAW["budget"]}
    file = tmp_path / "study.json"
    file.write_text(json.dumps({**study, "evaluate": {"every": 3}, "checkpoint": {"every": 6}, "seeds": [0]}))
    assert cli(["study", "dissect", str(file), "--root", str(tmp_path), "--draws", "9"]) == 0
    assert outdated(folder) == {}
    told = capsys.readouterr().err
    assert told.startswith("1 run to dissect\n")
    assert re.search(rf"{run.id}: .* \| 1 of 1 run done\n$", told)


def test_progress_says_what_is_done_and_how_long_the_rest_takes(monkeypatch, capsys):
    from grokscope.commands import dissect as command

    now = [100.0]
    monkeypatch.setattr(command.time, "monotonic", lambda: now[0])
    clock = command._Clock("run", 3)
    now[0] += 30
    clock.within(1, 2, "a step 6: neither")  # half of one run in 30 s: 2.5 runs to go
    now[0] += 30
    clock.done("a: neither")
    now[0] += 120
    clock.done("b: neither")
    clock.done("c: neither")
    assert capsys.readouterr().err.splitlines() == [
        "3 runs to dissect",
        "a step 6: neither (1 of 2 checkpoints of this run) | 0 of 3 runs done, about 2 min 30 s left",
        "a: neither | 1 of 3 runs done, about 2 min left",
        "b: neither | 2 of 3 runs done, about 1 min 30 s left",
        "c: neither | 3 of 3 runs done",
    ]


def test_every_column_of_the_summary_is_explained(run, capsys):
    from grokscope.commands.dissect import COLUMNS, SHOWN

    assert set(COLUMNS) == set(SHOWN)
    assert cli(["dissect", str(run.path), "--draws", "9", "--no-figures"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for word in ("cell", "form"):
        assert f"{word}: {COLUMNS[word].split(';')[0]}" in told


def test_a_run_is_not_dissected_on_other_data(run, tmp_path):
    folder = shutil.copytree(run.path, tmp_path / run.id)
    record = json.loads((folder / "config.json").read_text())
    record["facts"]["data"]["digests"]["id_val"] = "0"
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="its data differ from those that it was trained on"):
        material(open_run(folder))
    record["facts"]["data"] = {"version": 0}
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="trained on version 0 of the data of task 'hospitals'"):
        material(open_run(folder))


def test_what_is_there_is_kept_only_if_it_is_what_would_be_made(run, tmp_path, capsys, monkeypatch):
    from grokscope.dissect import runs

    folder = Path(shutil.copytree(run.path, tmp_path / run.id))
    shutil.rmtree(folder / "mechinterp", ignore_errors=True)  # of other tests with this run
    one = open_run(folder)
    calls, plain = [], runs.dissect

    def counted(*given, **more):
        calls.append(more["selection"])
        return plain(*given, **more)

    monkeypatch.setattr(runs, "dissect", counted)
    first = dict(dissect_run(one, "all", settings=FAST, keep=True, figures=False))
    assert calls == ["step=6", "step=12"]
    second = dict(dissect_run(one, "all", settings=FAST, keep=True, figures=False))
    assert len(calls) == 2
    assert {step: (d.where, d.accuracy) for step, d in second.items()} == {
        step: (d.where, d.accuracy) for step, d in first.items()
    }
    trajectory = json.loads((folder / "mechinterp" / "trajectory.json").read_text())
    assert [row["step"] for row in trajectory] == [6, 12]  # of what was kept too

    list(dissect_run(one, "step=6", settings=FAST, figures=False))  # stands in the root now
    list(dissect_run(one, "all", settings=FAST, keep=True, figures=False))
    assert calls[2:] == ["step=6"]
    assert Dissection.read(folder / "mechinterp").selection == "step=12"
    calls.pop()

    damaged = folder / "mechinterp" / "step00000006" / "m4.json"
    damaged.write_text(damaged.read_text()[:100])
    list(dissect_run(one, "all", settings=FAST, keep=True, figures=False))
    assert calls[2:] == ["step=6"]
    list(dissect_run(one, "all", settings=replace(FAST, draws=10), keep=True, figures=False))
    assert calls[3:] == ["step=6", "step=12"]  # other settings
    list(dissect_run(one, "step=12", settings=FAST, keep=True, figures=False))
    list(dissect_run(one, "step=12", settings=FAST, keep=True, figures=False, split="train"))
    list(dissect_run(one, "step=12", settings=FAST, keep=True, figures=False, split="train"))
    assert calls[5:] == ["step=12", "step=12"]  # the first by another rule, the second of another split
    list(dissect_run(one, "step=12", settings=FAST, figures=False, split="train"))
    assert len(calls) == 8  # without keep


def test_a_study_that_was_dissected_is_read_and_dissected_again_if_asked(run, tmp_path, capsys, monkeypatch):
    from grokscope.dissect import runs

    shutil.copytree(run.path, tmp_path / run.id)
    shutil.rmtree(tmp_path / run.id / "mechinterp", ignore_errors=True)
    calls, plain = [], runs.dissect
    monkeypatch.setattr(runs, "dissect", lambda *given, **more: calls.append(1) or plain(*given, **more))
    study = {"task": RAW["task"], "model": RAW["model"], "regime": RAW["regime"], "budget": RAW["budget"]}
    file = tmp_path / "study.json"
    file.write_text(json.dumps({**study, "evaluate": {"every": 3}, "checkpoint": {"every": 6}, "seeds": [0]}))
    command = ["study", "dissect", str(file), "--root", str(tmp_path), "--draws", "9", "--json"]
    said = []
    for more in ([], [], ["--again"]):
        assert cli([*command, *more]) == 0
        said.append(capsys.readouterr().out)
    assert len(calls) == 2
    assert said[0] == said[1] == said[2]
