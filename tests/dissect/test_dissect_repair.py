"""An erasure as a file: fitted as the dissection fits it, applied again to the same effect, and worth something where a
shortcut is what stands in the way."""

import json

import numpy as np
import pytest
import torch
from networks import planted_network
from torch import nn

from grokscope import configio
from grokscope.cli import run as cli
from grokscope.dissect.intervention import Steer, load, save
from grokscope.dissect.planted import Planting, plant
from grokscope.dissect.repair import changes, fit_erasure
from grokscope.results.settings import Settings
from grokscope.task_data import Split
from grokscope.train.driver import train

PLANTED = Planting(n=900, d=12, neurons=4, environments=2, groups_per_environment=24, separation=4.0, correlation=0.8)


def split_of(p, rows, shift=0.0) -> Split:
    x = (p.features[rows] + shift * p.direction).astype(np.float32)
    return Split(x, p.labels[rows], p.environments[rows], p.groups[rows])


@pytest.mark.parametrize("used", [True, False])
def test_erasing_a_used_shortcut_helps_where_it_misleads_and_an_ignored_one_changes_nothing(used):
    p = plant(Planting(**(vars(PLANTED) | {"used": used})), 0)
    model, every = planted_network(p).eval(), np.arange(len(p.labels))
    sample, away = split_of(p, every), split_of(p, every, shift=6.0)  # a hospital far beyond those that were seen
    edit = fit_erasure(model, sample, Settings())
    assert edit.site == "pooled"
    test, unseen = changes(model, edit, sample, {"ood_test": away}, Settings())
    assert test.n < sample.y.size / 3
    if used:
        assert unseen.gain > 0.1
        assert unseen.interval[0] > 0.05
    else:
        assert abs(unseen.gain) < 0.05
    off = changes(
        model, Steer(site="pooled", direction=tuple(np.eye(12)[0].tolist()), step=0.0), sample, {}, Settings()
    )
    assert off[0].gain == 0


def test_a_named_eraser_is_the_one_that_is_fitted():
    p = plant(PLANTED, 1)
    model, sample = planted_network(p), split_of(p, np.arange(len(p.labels)))
    default, leace, mean = (fit_erasure(model, sample, Settings(), eraser=e) for e in (None, "leace", "mean_diff"))
    assert default == (leace if 24 >= 3 * 12 else mean)  # 24 patients in the fit part
    assert leace != mean
    with pytest.raises(ValueError, match="leaze"):
        fit_erasure(model, sample, Settings(), eraser="leaze")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    raw = {
        "task": {"name": "hospitals", "n_train": 40, "n_eval": 120, "image_size": 16, "patients": 40, "slides": 40},
        "model": {"name": "small-resnet", "width": 4},
        "regime": {"recipe": "standard"},
        "budget": {"steps": 6},
        "evaluate": {"every": 3},
        "checkpoint": {"every": 3},
    }
    return train(configio.load_run(raw), tmp_path_factory.mktemp("runs"))


def test_the_verb_keeps_the_edit_and_a_stored_edit_does_the_same(run, tmp_path, capsys):
    before = torch.cat([t.flatten() for t in _weights(run)])
    assert cli(["repair", str(run.path), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    kept = run.path / "mechinterp" / "repair.toml"
    assert first["intervention"] == {"kind": "erase", "site": "pooled", "strength": 1.0, "file": str(kept)}
    assert [change["on"] for change in first["changes"]] == ["test part", "ood_val", "ood_test"]
    assert load(kept).kind == "erase"
    assert cli(["repair", str(run.path), "--intervention", str(kept), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["changes"] == first["changes"]
    assert cli(["repair", str(run.path), "--strength", "0", "--out", str(tmp_path / "off.json")]) == 0
    assert "erase at 'pooled', strength 0" in capsys.readouterr().out
    assert cli(["repair", str(run.path), "--checkpoint", "oracle", "--json"]) == 0
    assert "oracle" in json.loads(capsys.readouterr().out)["chosen"]  # stamped
    assert load(tmp_path / "off.json").strength == 0
    assert torch.equal(torch.cat([t.flatten() for t in _weights(run)]), before)


def _weights(run):
    from safetensors.torch import load_file

    return load_file(run.checkpoints()[6]).values()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--checkpoint", "all"], "choose one"),
        (["--eraser", "leaze"], "leaze"),
        (["--intervention", "nothing.toml"], "nothing.toml"),
        (["--intervention", "wide.toml"], "made for 99 channels"),
        (["--intervention", "wide.toml", "--eraser", "leace"], "give only one of them"),
    ],
)
def test_mistakes_are_one_message(run, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    save(Steer(site="pooled", direction=tuple(np.eye(99)[0].tolist()), step=1.0), "wide.toml")
    assert cli(["repair", str(run.path), *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_network_without_a_linear_head_is_refused():
    p = plant(PLANTED, 1)
    model = nn.Sequential(nn.Linear(12, 2), nn.Tanh())
    with pytest.raises(ValueError, match="is not that of its linear layer"):
        fit_erasure(model, split_of(p, np.arange(len(p.labels))), Settings())
