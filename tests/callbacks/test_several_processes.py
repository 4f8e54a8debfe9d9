"""Trainings in two processes on the CPU, recorded: the first one writes, none waits for another, and the training ends
as it does without."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from grokscope import Recorder, open_run
from grokscope.callbacks.recording import Recording
from grokscope.store.checkpoints import load_weights

SCRIPTS = Path(__file__).parent / "scripts"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
WAYS = {
    "lightning": ("lightning.pytorch", [], "lightning_two_processes.py"),
    "trainer": ("transformers", TORCHRUN, "trainer_two_processes.py"),
}


@pytest.mark.slow
@pytest.mark.parametrize("framework", WAYS)
def test_two_processes_end_as_without_and_one_writes(framework, tmp_path):
    needed, start, script = WAYS[framework]
    pytest.importorskip(needed)
    pytest.importorskip("accelerate" if framework == "trainer" else needed)
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        [sys.executable, *start, str(SCRIPTS / script), str(tmp_path)], check=False, capture_output=True, text=True,
        timeout=300, env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    ends = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    for rank in (0, 1):
        assert ends[f"plain-{rank}"]["world"] == 2
        for way in ("splits", "columns"):
            assert ends[f"{way}-{rank}"] == ends[f"plain-{rank}"], "weights or random state moved"
        assert "contains the recording of another run" in ends[f"refused-{rank}"], "both hear of it"
    assert ends["plain-0"] == ends["plain-1"]
    scored, logged = (open_run(tmp_path / "runs" / way) for way in ("splits", "columns"))
    assert (scored.status["state"], logged.status["state"]) == ("done", "done")
    by_step = {row["step"]: row for row in scored.rows()}
    assert [row["step"] for row in logged.rows()] == [4, 8, 12]
    assert list(by_step) == [0, 4, 8, 12]
    for row in logged.rows():  # one was written when the weights had moved on
        same = by_step[row["step"]]
        assert row["norm_total"] == pytest.approx(same["norm_total"], rel=1e-6)
        assert row["lr"] == same["lr"]
    assert scored.config["model"]["name"] in ("Module", "Model"), "the network itself, not what distributes it"


# -- which weights are scored ------------------------------------------------------------------------------------------


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))


X = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
SPLITS = {"train": (X[:20], (X[:20, 0] > 0).long()), "id_val": (X[20:], (X[20:, 0] > 0).long())}


def test_averaged_weights_are_scored_and_called_so(tmp_path):
    model = network()
    averaged = torch.optim.swa_utils.AveragedModel(model)
    for _ in range(2):  # the average stands between the two
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(3)
        averaged.update_parameters(model)
    rec = Recorder(tmp_path / "mine", averaged, splits=SPLITS, loss="cross_entropy")
    row = rec.evaluate(0)
    path = rec.checkpoint(0)
    run = rec.finish()
    plain = sum(float(p.detach().double().square().sum()) for p in averaged.module.parameters()) ** 0.5
    assert row["norm_total"] == pytest.approx(plain)
    assert run.config["model"] == {"name": "Sequential", "averaged": True}
    assert any("averages of the weights that are trained" in note for note in run.facts["notes"])
    assert load_weights(path).keys() == model.state_dict().keys(), "under the network's own names"
    with pytest.raises(ValueError, match="averaged True, not False"):
        Recorder(tmp_path / "mine", model, splits=SPLITS, loss="cross_entropy")


def test_a_network_whose_weights_are_spread_over_processes_is_refused(tmp_path):
    import torch.distributed as distributed
    from torch.distributed.fsdp import fully_shard

    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        model = network()
        fully_shard(model, mesh=distributed.device_mesh.init_device_mesh("cpu", (1,)))
        with pytest.raises(ValueError, match="its weights are spread over processes"):
            Recorder(tmp_path / "mine", model, splits=SPLITS, loss="cross_entropy")
        assert not (tmp_path / "mine").exists()
        recording = Recording(tmp_path / "mine", columns={"train_acc": "a"}, every=1, options={})
        recording.begin(model, 0, optimizer=torch.optim.AdamW(model.parameters()))
        recording.note(3, {"a": 0.5})
        recording.checkpoint(3)
        recording.end()
    finally:
        distributed.destroy_process_group()
    (row,) = open_run(tmp_path / "mine").rows()
    assert row == {"step": 3, "train_acc": 0.5}, "no norm of a part"


def test_what_is_logged_keeps_the_norm_and_rate_of_its_own_step(tmp_path):
    """A row is written when the next one begins: by then the weights have moved on."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recording = Recording(tmp_path / "mine", columns={"train_acc": "a", "id_val_acc": "b"}, every=1, options={})
    recording.begin(model, 0, optimizer=optimizer)
    norms = []
    for step in (1, 2, 3):
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(2)
        optimizer.param_groups[0]["lr"] = step / 100
        norms.append(sum(float(p.detach().double().square().sum()) for p in model.parameters()) ** 0.5)
        recording.note(step, {"a": 0.1})
        recording.note(step, {"b": 0.2})
    recording.end()
    rows = open_run(tmp_path / "mine").rows()
    assert [row["norm_total"] for row in rows] == pytest.approx(norms)
    assert [row["lr"] for row in rows] == [0.01, 0.02, 0.03]


def test_a_note_is_kept_once_and_shown(tmp_path, capsys):
    from grokscope import cli

    rec = Recorder(tmp_path / "mine", n={"train": 4})
    rec.note("scored are the averaged weights")
    rec.note("scored are the averaged weights")
    rec.log(1, train_acc=0.5)
    run = rec.finish()
    assert run.facts["notes"].count("scored are the averaged weights") == 1
    assert cli.run(["show", str(run.path)]) == 0
    assert "scored are the averaged weights" in capsys.readouterr().out
    with pytest.raises(ValueError, match="this recorder is finished"):
        rec.note("too late")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["splits", "columns"])
@pytest.mark.parametrize("averaging", ["EMAWeightAveraging", "StochasticWeightAveraging"])
def test_lightning_says_which_weights_are_scored(way, averaging, tmp_path):
    pl = pytest.importorskip("lightning.pytorch")
    kind = getattr(pl.callbacks, averaging, None)
    if kind is None:
        pytest.skip(f"this Lightning has no {averaging}")
    from test_lightning_callback import VAL, VAL_Y, X, Y, fit

    from grokscope.callbacks.lightning import GrokscopeCallback

    options = {"splits": {"train": (X, Y), "id_val": (VAL, VAL_Y)}, "loss": "cross_entropy", "every": 3}
    if way == "columns":
        options = {"columns": {"train_acc": "train_score", "id_val_acc": "val_score"}}
    averager = kind(decay=0.5) if averaging == "EMAWeightAveraging" else kind(swa_lrs=1e-2)
    callback = GrokscopeCallback(tmp_path / "mine", checkpoints=True, **options)
    fit(callback, more=[averager], max_epochs=4)
    run = open_run(tmp_path / "mine")
    swapped = averaging == "EMAWeightAveraging" and way == "columns"
    words = (
        "held-out scores are of the averaged weights" if swapped else "of the weights that are trained, not of their"
    )
    assert any(words in note for note in run.facts["notes"]), run.facts["notes"]
    assert "the checkpoint at the end holds the averaged weights" not in run.facts["notes"], "ours came first"
