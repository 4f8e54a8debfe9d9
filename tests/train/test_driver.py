"""From config to folder: what is written, when, and what happens when a run cannot go on."""

import json
import os
import subprocess

import pytest
import torch

from grokscope import configio
from grokscope.config import Budget
from grokscope.store import find_runs, open_run
from grokscope.store.lock import exclusive
from grokscope.store.run import Run
from grokscope.train import driver
from grokscope.train.driver import Interrupted, extend, make_engine, train
from grokscope.train.torch_engine import TorchEngine
from tiny import TINY, assert_same, fitting, same_folder_content
from tiny import tiny as with_many_states

BATCH_NORM = fitting("model", "mlp")


def tiny(changes=None, /, **dotted):
    """Without a resume state at every event: they have tests of their own, and a slow disk would be all of the time."""
    return with_many_states({"hardware.resume_every_s": 1000.0} | (changes or {}), **dotted)


def steps_of(run):
    return [row["step"] for row in run.rows()]


def weights_of(run):
    return (run.path / "checkpoints" / "final.safetensors").read_bytes()


# -- what a run leaves ------------------------------------------------------------------------------------------------


def test_a_run_leaves_what_the_design_promises(tmp_path):
    run = train(tiny(), tmp_path, passed=("regime.lr",))
    assert run.path.parent == tmp_path
    assert run.id == tiny().run_id()
    assert steps_of(run) == sorted({0, *range(7, 61, 7), 20, 40, 60})
    assert [r["epoch"] for r in run.rows()] == [s / 3 for s in steps_of(run)]
    assert list(run.checkpoints()) == [15, 30, 45, 60]
    assert (run.path / "checkpoints" / "st00000015.safetensors").exists()
    assert weights_of(run) == run.checkpoints()[60].read_bytes()
    history = json.loads((run.path / "results" / "history.json").read_text())
    summary = json.loads((run.path / "results" / "summary.json").read_text())
    assert history == run.rows()
    assert summary == {"state": "done", "evaluations": len(history), "final": history[-1]}
    assert run.status["state"] == "done"
    assert (run.status["step"], run.status["total_steps"], run.status["error"]) == (60, 60, None)
    assert run.record["passed"] == ["regime.lr"]
    assert run.record["lineage"] is None
    assert run.record["provenance"]["threads"] == torch.get_num_threads()
    assert run.facts["splits"]["train"]["n"] == 24
    assert run.facts["parameters"] == sum(p.numel() for p in engine_of(tiny()).parameters)
    assert configio.load_run(run.config) == tiny()
    assert "done at step 60" in (run.path / "logs" / "train.log").read_text()


def engine_of(config):
    return make_engine(config, config.task.build(config.seed))[1]


def test_rows_hold_no_clock(tmp_path):
    one, two = train(tiny(), tmp_path / "a"), train(tiny(), tmp_path / "b")
    same_folder_content(one.path, two.path)
    assert not any("time" in key or "per_s" in key for row in one.rows() for key in row)


def test_checkpoints_by_epochs_are_named_by_epochs(tmp_path):
    run = train(tiny({"checkpoint": {"every": 5, "unit": "epochs"}, "budget.epochs": 12}), tmp_path)
    assert sorted(p.name for p in (run.path / "checkpoints").iterdir()) == [
        "ep00005.safetensors",
        "ep00010.safetensors",
        "final.safetensors",
    ]
    assert list(run.checkpoints()) == [15, 30]
    assert run.status["step"] == 36


@pytest.mark.parametrize("changes", [{}, BATCH_NORM], ids=["tokens", "batch-norm"])
def test_the_weights_do_not_depend_on_who_looks_and_how_often(tmp_path, changes):
    extra = {"regime.grad_filter": "grokfast_ma", "regime.grad_filter.window": 5, "regime.label_noise": 0.2}
    cadences = [
        {"evaluate": {"every": 1}, "diagnose": {"every": 1}, "checkpoint": {"every": 1}},
        {"evaluate": {"at": [60]}, "diagnose": {"at": []}, "checkpoint": {"at": []}},
        {"evaluate": {"per_decade": 9}, "diagnose": {"every": 13}, "hardware.resume_every_s": 1000.0},
    ]
    raw = {k: v for k, v in TINY.items() if k not in ("evaluate", "diagnose", "checkpoint")}
    runs = [
        train(configio.load_run(configio.overlay(raw, changes | extra | c)), tmp_path / str(i))
        for i, c in enumerate(cadences)
    ]
    assert weights_of(runs[0]) == weights_of(runs[1]) == weights_of(runs[2])
    rows = {row["step"]: row for row in runs[0].rows()}
    shared = [row for row in runs[2].rows() if row["step"] in rows]
    assert len(shared) > 5
    for row in shared:  # rows of the same step agree too, whatever else was measured
        assert row == {k: v for k, v in rows[row["step"]].items() if k in row}


def test_the_thread_that_trains_need_not_be_the_main_one(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(train, tiny(), tmp_path / "thread").result()
    same_folder_content(run.path, train(tiny(), tmp_path / "main").path)


def test_training_leaves_the_callers_torch_as_it_was(tmp_path):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    train(tiny(), tmp_path)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_watcher_hears_of_the_start_and_the_end(tmp_path):
    heard = []
    train(tiny(), tmp_path, watcher=heard.append)
    assert [(p.step, p.total) for p in heard] == [(0, 60), (60, 60)]


# -- interruption -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stops", [(0,), (0, 0, 1), (42, 10, 42, 43), (7, 14, 15, 20)], ids=str)
def test_an_interruption_at_or_before_the_present_step_doubles_nothing(tmp_path, stops):
    whole = train(tiny(), tmp_path / "whole")
    for stop in stops:
        with pytest.raises(Interrupted, match="run the same command again"):
            train(tiny(), tmp_path / "parts", interrupt_at=stop)
    run = Run(tmp_path / "parts" / tiny().run_id())
    assert run.status["state"] == "interrupted"
    assert run.status["step"] == max(stops)
    same_folder_content(whole.path, train(tiny(), tmp_path / "parts").path)


def test_an_interruption_at_the_last_step_or_after_it_is_none(tmp_path):
    assert train(tiny(), tmp_path / "a", interrupt_at=60).status["state"] == "done"
    assert train(tiny(), tmp_path / "b", interrupt_at=61).status["state"] == "done"


def test_a_request_to_stop_that_comes_with_the_last_step_is_too_late(tmp_path, monkeypatch):
    """The run is whole: calling it interrupted would only make somebody start it again."""
    original = TorchEngine.advance

    def advance(self, until, watch_last, paused):
        original(self, until, watch_last, paused)
        if self.step == 60:
            os.kill(os.getpid(), 2)

    monkeypatch.setattr(TorchEngine, "advance", advance)
    assert train(tiny(), tmp_path).status["state"] == "done"


def test_a_smaller_budget_loses_no_row_of_what_was_trained(tmp_path):
    whole = train(tiny(), tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(tiny(), tmp_path / "cut", interrupt_at=45)
    rows = Run(tmp_path / "cut" / tiny().run_id()).rows()
    closed = train(tiny(budget__steps=10), tmp_path / "cut")
    assert closed.status["state"] == "done"
    assert closed.status["step"] == closed.status["total_steps"] == 45
    assert closed.rows()[: len(rows)] == rows
    assert steps_of(closed)[-1] == 45, "a finished run ends with a row"
    same_folder_content(whole.path, train(tiny(), tmp_path / "cut").path)


# -- divergence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("diagnose", [7, 20])
@pytest.mark.parametrize("changes", [{}, {"regime.loss": "mse"}, BATCH_NORM], ids=["softmax", "mse", "batch-norm"])
def test_a_diverged_run_ends_early_with_its_data_kept(tmp_path, changes, diagnose):
    config = tiny(changes | {"regime.optimizer": "sgd", "regime.lr": 1e30, "diagnose.every": diagnose})
    run = train(config, tmp_path)
    assert run.status["state"] == "diverged"
    assert run.status["step"] < 60
    assert run.rows()[-1]["train_loss"] is None, "JSON has no word for NaN"
    assert run.rows()[0]["train_loss"] > 0
    assert run.metrics()["train_loss"][-1] != run.metrics()["train_loss"][-1]
    assert (run.path / "checkpoints" / "final.safetensors").exists()
    assert json.loads((run.path / "results" / "summary.json").read_text())["state"] == "diverged"
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.is_file()}
    train(config, tmp_path)  # the same command again does nothing
    assert before == {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.is_file()}


def with_losses(monkeypatch, losses):
    original = TorchEngine.row

    def row(self, diagnose):
        return {**original(self, diagnose), **({"train_loss": losses[self.step]} if self.step in losses else {})}

    monkeypatch.setattr(TorchEngine, "row", row)


def test_a_loss_that_is_infinite_for_a_moment_is_not_divergence(tmp_path, monkeypatch):
    with_losses(monkeypatch, {7: float("inf"), 14: float("nan"), 28: float("inf")})
    run = train(tiny(), tmp_path)
    assert run.status["state"] == "done"
    assert [r["train_loss"] is None for r in run.rows()][:6] == [False, True, True, False, False, True]


def test_three_evaluations_in_a_row_without_a_finite_loss_are(tmp_path, monkeypatch):
    with_losses(monkeypatch, dict.fromkeys((14, 20, 21), float("inf")))
    run = train(tiny(), tmp_path)
    assert run.status["state"] == "diverged"
    assert run.status["step"] == 21


def test_the_count_of_bad_evaluations_survives_an_interruption(tmp_path, monkeypatch):
    with_losses(monkeypatch, dict.fromkeys((14, 20, 21), float("inf")))
    with pytest.raises(Interrupted):
        train(tiny(), tmp_path, interrupt_at=20)
    assert train(tiny(), tmp_path).status["step"] == 21


# -- failure ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regime.loss": "squared_error"}, r"\$.regime.loss"),
        ({"regime.loss": "hinge"}, r"\$.regime.loss"),
        ({"regime.schedule.warmup_steps": 5}, r"\$.regime.schedule.warmup_steps"),
        ({"model": {"name": "mlp"}}, "reads feature vectors"),
        ({"model": {"name": "linear"}}, "reads feature vectors"),
        ({"engine": "compiled"}, r"\$.engine"),
        ({"regime.irm_weight": 1.0}, r"\$.regime.irm_weight"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_leaves_no_folder(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        train(tiny(changes), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_crash_is_recorded_and_the_next_call_goes_on(tmp_path, monkeypatch):
    whole = train(tiny(), tmp_path / "whole")
    original = TorchEngine.eager_step

    def fails_at_33(self, watch):
        if self.step == 33:
            raise RuntimeError("the machine hiccuped")
        original(self, watch)

    with monkeypatch.context() as patch:
        patch.setattr(TorchEngine, "eager_step", fails_at_33)
        with pytest.raises(RuntimeError, match="hiccuped"):
            train(tiny(), tmp_path / "crash")
    run = open_run(tmp_path / "crash" / tiny().run_id())
    assert run.status["state"] == "failed"
    assert run.status["error"]["type"] == "RuntimeError"
    assert run.status["error"]["message"] == "the machine hiccuped"
    assert "fails_at_33" in run.status["error"]["traceback"]
    assert [r.id for r in find_runs(tmp_path / "crash")] == [run.id], "failed runs are runs"
    with pytest.warns(
        UserWarning, match=r"no resume state had been saved, so the run begins again; its \d rows are in"
    ):
        again = train(tiny(), tmp_path / "crash")
    same_folder_content(whole.path, again.path)
    assert "no resume state had been saved" in again.facts["notes"][-1]


def test_a_run_that_fails_at_once_is_in_the_manifest(tmp_path, monkeypatch):
    def fails(self, diagnose):
        raise RuntimeError("at once")

    monkeypatch.setattr(TorchEngine, "row", fails)
    with pytest.raises(RuntimeError, match="at once"):
        train(tiny(), tmp_path)
    (run,) = find_runs(tmp_path)
    assert run.status["state"] == "failed"
    assert run.seed == 0


def test_a_branch_without_its_weights_says_so(tmp_path):
    start = {"run": "gone", "step": 3, "digest": "00"}
    with pytest.raises(ValueError, match=r"start\.safetensors: no such checkpoint"):
        train(tiny({"start": start}), tmp_path)
    assert find_runs(tmp_path)[0].status["state"] == "failed"


# -- one writer -------------------------------------------------------------------------------------------------------


def test_a_second_process_is_refused_with_the_firsts_pid(tmp_path):
    config = tiny()
    folder = tmp_path / config.run_id()
    ready, release = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with exclusive(folder):
                os.write(ready[1], b"x")
                os.read(release[0], 1)
        finally:
            os._exit(0)
    os.read(ready[0], 1)
    with pytest.raises(ValueError, match=f"is being trained by pid {child} on .*; wait for it or stop it"):
        train(config, tmp_path)
    os.write(release[1], b"x")
    os.waitpid(child, 0)
    assert train(config, tmp_path).status["state"] == "done"
    for end in (*ready, *release):
        os.close(end)


# -- full disk --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "every", "where"),
    [
        (0, 0.0, "results/metrics|config|status|logs|claim"),
        (60_000, 1e3, "checkpoints/st"),
        (300_000, 0.0, "resume/state"),
    ],
)
def test_a_full_disk_is_said_plainly_and_the_run_goes_on_later(tmp_path, small_disk, free, every, where):
    """The weights take about 70 kB, a resume state some 600 kB."""
    size = {"model.embedding": 32, "model.hidden": [256], "regime.grad_filter": "grokfast_ma"}
    config = tiny(size | {"budget.steps": 150, "hardware.resume_every_s": every}, regime__grad_filter__window=4)
    whole = train(config, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(config, small_disk, interrupt_at=40)
    filler = small_disk / "filler"
    left = os.statvfs(small_disk)
    filler.write_bytes(b"\0" * max(0, left.f_bavail * left.f_frsize - free))
    with pytest.raises(OSError, match=rf"no space left to write .*({where}).*free space, then run again"):
        train(config, small_disk)
    filler.unlink()
    run = open_run(small_disk / config.run_id())
    assert run.status["state"] in ("interrupted", "failed")
    for folder in run.path.rglob("*"):
        assert not folder.name.endswith(".tmp"), "nothing half-written stays"
    big = tmp_path / "moved"
    subprocess.run(["cp", "-a", str(small_disk), str(big)], check=True)
    same_folder_content(whole.path, train(config, big).path)


# -- facts and versions -----------------------------------------------------------------------------------------------


def test_going_on_with_other_threads_is_noted(tmp_path):
    with pytest.raises(Interrupted):
        train(tiny(), tmp_path, interrupt_at=20)
    before = torch.get_num_threads()
    try:
        with pytest.warns(UserWarning, match="resumed with other threads"):
            run = train(tiny(hardware__threads=2), tmp_path)
    finally:
        torch.set_num_threads(before)
    assert "warning: resumed with other threads" in (run.path / "logs" / "train.log").read_text()
    assert run.config["hardware"]["threads"] == 2
    assert run.record["provenance"]["threads"] == 1, "the first provenance is kept"


def test_the_generator_of_training_is_the_seeds(tmp_path):
    """Dropout must differ between seeds, or their spread is too small."""
    states = []
    for seed in (0, 1):
        run = train(tiny(seed=seed), tmp_path)
        newest = sorted((run.path / "resume").glob("*.pt"))[-1]
        states.append(torch.load(newest, weights_only=True)["rng"])
    assert not torch.equal(*states)
    again = train(tiny(seed=1), tmp_path / "again")
    assert_same(states[1], torch.load(sorted((again.path / "resume").glob("*.pt"))[-1], weights_only=True)["rng"])


def test_heartbeats_come_while_nothing_is_due(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "HEARTBEAT_S", 0.0)
    heard = []
    config = tiny({"evaluate": {"at": [60]}, "diagnose": {"at": []}, "checkpoint": {"at": []}})
    train(config, tmp_path, watcher=heard.append)
    assert len(heard) > 50
    assert [p.step for p in heard] == sorted(p.step for p in heard)


def test_a_second_ctrl_c_is_an_interruption_and_no_failure(tmp_path, monkeypatch):
    original = TorchEngine.eager_step

    def impatient(self, watch):
        if self.step == 33:
            raise KeyboardInterrupt
        original(self, watch)

    with monkeypatch.context() as patch:
        patch.setattr(TorchEngine, "eager_step", impatient)
        with pytest.raises(KeyboardInterrupt):
            train(tiny(), tmp_path)
    (run,) = find_runs(tmp_path)
    assert run.status["state"] == "interrupted"
    with pytest.warns(UserWarning, match="no resume state had been saved"):
        assert train(tiny(), tmp_path).status["state"] == "done"


def test_a_resume_state_of_another_version_is_said_plainly(tmp_path):
    with pytest.raises(Interrupted) as caught:
        train(tiny(), tmp_path, interrupt_at=20)
    (path,) = (caught.value.run.path / "resume").glob("*.pt")
    state = torch.load(path, weights_only=True)
    del state["filter"]
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"pt is of another version of grokscope \(it lacks 'filter'\)"):
        train(tiny(), tmp_path)


def test_what_diverged_cannot_be_extended(tmp_path):
    run = train(tiny({"regime.optimizer": "sgd", "regime.lr": 1e30}), tmp_path)
    with pytest.raises(ValueError, match=r"diverged at step \d+: it cannot be trained further"):
        extend(run, Budget(steps=1000))


def test_a_run_on_images_keeps_a_contact_sheet(tmp_path):
    from PIL import Image

    run = train(tiny(fitting("task", "hospitals")), tmp_path)
    with Image.open(run.path / "results" / "contact.png") as sheet:
        assert min(sheet.size) > 200
    assert not (train(tiny(), tmp_path).path / "results" / "contact.png").exists()


@pytest.mark.filterwarnings("ignore:train has")
@pytest.mark.parametrize(("n", "batch"), [(33, 32), (1, 8)])
def test_a_batch_of_one_is_refused_before_training_and_names_both_numbers(tmp_path, n, batch):
    changes = {**fitting("task", "hospitals"), "task.n_train": n, "regime.batch_size": batch}
    with pytest.raises(
        ValueError, match=rf"\$.regime.batch_size: {n} training examples in batches of {batch} leave a batch"
    ):
        train(tiny(changes), tmp_path)
    assert not list(tmp_path.iterdir())
    assert train(tiny({**changes, "model.norm": "layer"}), tmp_path).status["state"] == "done"
