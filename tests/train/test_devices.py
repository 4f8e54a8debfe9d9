"""Devices: what is missing is replaced by the CPU and told, and nothing mixes tensors of two devices."""

import json

import pytest
import torch

from grokscope import configio
from grokscope.cli import run as command_line
from grokscope.study import Study
from grokscope.train import torch_engine
from grokscope.train.decay import Decay
from grokscope.train.driver import train
from grokscope.train.evaluate import TensorSplit
from grokscope.train.torch_engine import TorchEngine, pick_device
from tiny import TINY, fitting, tiny

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def test_the_cpu_and_the_best_device():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["tpu", "mps", "cuda:", "cuda:x", ""])
def test_unknown_devices_are_refused_by_name(name):
    with pytest.raises(ValueError, match=r"\$.hardware: device must be cpu, cuda, cuda:<n> or auto, got"):
        tiny({"hardware.device": name})


@without_gpu
def test_a_missing_gpu_is_told_recorded_and_replaced(tmp_path):
    with pytest.warns(UserWarning, match="'cuda:1' requested, but this machine has no GPU .* training on the CPU"):
        run = train(tiny({"hardware.device": "cuda:1"}), tmp_path)
    assert run.status["state"] == "done"
    assert run.record["provenance"]["device"] == "cpu"
    assert [n for n in run.facts["notes"] if "training on the CPU" in n]
    assert run.rows() == train(tiny(), tmp_path / "cpu").rows()


@without_gpu
@pytest.mark.filterwarnings("default")
def test_the_command_line_says_it_in_one_line_and_keeps_it(tmp_path, capsys):
    file = tmp_path / "run.toml"
    file.write_text(
        'schema = 1\n[task]\nname = "modular"\np = 7\n[model]\nname = "embedding-mlp"\n[budget]\nsteps = 3\n'
        '[hardware]\ndevice = "cuda"\n'
    )
    assert command_line(["train", str(file), "--root", str(tmp_path / "runs"), "--json"]) == 0
    said = capsys.readouterr()
    told = [line for line in said.err.splitlines() if "cuda" in line]
    assert len(told) == 1
    assert told[0].startswith("grokscope: warning: $.hardware.device: 'cuda' requested")
    found = json.loads(said.out)
    assert any("training on the CPU" in note for note in found["notes"])
    assert command_line(["show", found["path"]]) == 0
    assert "note: $.hardware.device" in capsys.readouterr().out


@without_gpu
@pytest.mark.filterwarnings("default")
def test_workers_pass_it_on_once_for_all_runs(tmp_path, capsys):
    raw = configio.overlay(TINY, {"hardware.device": "cuda", "schema": 1, "name": "s", "seeds": [0, 1, 2]})
    file = tmp_path / "study.toml"
    file.write_text(toml(raw))
    with pytest.warns(UserWarning, match="training on the CPU"):
        Study.load(file).run(root=tmp_path / "runs", workers=2)
    assert command_line(["study", "run", str(file), "--root", str(tmp_path / "again"), "--workers", "2"]) == 0
    assert capsys.readouterr().err.count("training on the CPU") == 1


def toml(raw):
    """Plain tables as TOML: strings, numbers, lists."""
    top = [f"{k} = {json.dumps(v)}" for k, v in raw.items() if not isinstance(v, dict)]
    tables = [
        "\n".join([f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in table.items())])
        for name, table in raw.items()
        if isinstance(table, dict)
    ]
    return "\n".join([*top, *tables]) + "\n"


# -- no two devices in one operation -----------------------------------------------------------------------------------


class Plain:
    """Gradient descent; the real optimizers are torch's own and refuse the device without memory."""

    def __init__(self, parameters):
        self.parameters = parameters

    def step(self, lr):
        for p in self.parameters:
            p.data.sub_(lr * p.grad)
            p.grad = None


def elsewhere(engine: TorchEngine) -> TorchEngine:
    """The engine on torch's device without memory: as strict as a GPU about operations that mix devices."""
    device = torch.device("meta")

    def move(t):
        return None if t is None else t.to(device)

    for name, split in engine.splits.items():
        moved = TensorSplit(*(move(getattr(split, k)) for k in ("x", "y", "target", "env", "group")))
        for part in ("environments", "cells"):  # on a GPU these are looked up once, which this device cannot
            moved.__dict__[part] = {k: move(rows) for k, rows in getattr(split, part).items()}
        engine.splits[name] = moved
    engine.model.to(device)
    engine.device = engine.network.device = device
    engine.network.mean, engine.network.std = move(engine.network.mean), move(engine.network.std)
    engine.environments, engine.clean = move(engine.environments), move(engine.clean)
    engine.parameters = list(engine.model.parameters())
    engine.optimizer, engine.decay = Plain(engine.parameters), Decay(engine.model, engine.regime)
    engine.watch = torch_engine.StepWatch(engine.model, engine.groups)
    return engine


@pytest.mark.parametrize(
    "changes",
    [
        {"regime.irm_weight": 1.0, "regime.irm_estimator": "split_half", "regime.grad_filter": "grokfast_ema"},
        {"regime.irm_weight": 1.0, "regime.grad_filter": "grokfast_ma", "regime.clip_norm": 1.0},
        {"regime.grad_filter": "orthogonal", "regime.decay_target": "init", "regime.label_noise": 0.2},
        {"regime.loss": "stablemax", "regime.decay_groups": "head"},
        {"regime.loss": "mse"},
    ],
)
def test_a_step_and_a_diagnosed_row_stay_on_one_device(monkeypatch, changes):
    config = tiny({**fitting("task", "hospitals"), **changes})
    engine = elsewhere(TorchEngine(config, config.task.build(0), 60))
    engine.eager_step(engine.watch)
    engine.eager_step(None)
    seen = {}
    monkeypatch.setattr(torch_engine, "to_row", lambda values, _: seen.update(values))
    engine.row(diagnose=True)
    tensors = [v for v in seen.values() if isinstance(v, torch.Tensor)]
    assert len(tensors) > 60
    assert {t.device.type for t in tensors} == {"meta"}
