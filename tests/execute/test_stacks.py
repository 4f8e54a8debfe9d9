"""Runs of one architecture are put into stacks, by every executor and from the command line; what cannot be is said."""

import json
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest
import torch

from grokscope.commands import study as verbs
from grokscope.execute import stacks
from grokscope.execute.protocol import Silent
from grokscope.store import Run
from grokscope.study import Stopped, Study
from tiny import TINY, same_folder_content

AXES = {"regime.lr": [1e-2, 3e-3]}
RAW = {**TINY, "name": "small", "seeds": [0, 1, 2], "axes": AXES}


@pytest.fixture
def study():
    return Study.from_dict(RAW)


def jobs(study, root="runs"):
    return [s.job() for s in study.status(root)]


def with_engine(study, engine, at=0):
    from tiny import COMPILED, tiny

    entries = list(study.entries)
    entries[at] = replace(entries[at], config=tiny({**COMPILED, "seed": 9} if engine == "compiled" else {}))
    return replace(study, entries=tuple(entries))


# -- in which stacks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "workers", "sizes"),
    [(None, 1, [6]), (4, 1, [3, 3]), (None, 2, [3, 3]), (None, 4, [2, 2, 2]), (1, 1, [1] * 6), (2, 1, [2, 2, 2])],
)
def test_stacks_are_as_large_as_may_be_with_one_for_each_worker(study, size, workers, sizes):
    units = stacks.arrange(jobs(study), "stacked", size, workers)
    assert sorted(len(u.jobs) for u in units) == sorted(sizes)
    assert Counter(job.run for u in units for job in u.jobs) == Counter(job.run for job in jobs(study))


@pytest.mark.parametrize("order", [1, -1])
def test_runs_of_equal_settings_share_a_stack_as_far_as_there_are_such(order, tmp_path):
    """A learning rate of its own for each member costs a third of the speed."""
    made = Study.from_dict({**RAW, "seeds": list(range(6)), "axes": {"regime.lr": [1e-2, 3e-3, 1e-3]}})
    by_seed = sorted(jobs(made, tmp_path), key=lambda job: order * job.config.seed)
    for size, rates in ((6, [1, 1, 1]), (3, [1] * 6), (9, [2, 2]), (18, [3])):
        units = stacks.arrange(by_seed, "stacked", size)
        assert [len({job.config.regime.lr for job in unit.jobs}) for unit in units] == rates


def test_the_probe_is_asked_once_for_each_mixture_of_settings(monkeypatch, tmp_path):
    """That stacks of one optimizer are fast says nothing of another one's."""
    asked = []

    def probe(configs):
        asked.append({config.regime.optimizer.name for config in configs})
        return 3.0 if asked[-1] == {"adamw"} else 0.8

    monkeypatch.setattr("grokscope.train.stacked.probe.speedup", probe)
    axes = {"regime.lr": [1e-2, 3e-3], "regime.optimizer": ["adamw", "muon"]}
    made = Study.from_dict({**RAW, "seeds": list(range(4)), "axes": axes})
    units = stacks.arrange(jobs(made, tmp_path), "auto", 4)
    assert sorted(asked, key=min) == [{"adamw"}, {"muon"}]
    for unit in units:
        (optimizer,) = {job.config.regime.optimizer.name for job in unit.jobs}
        assert (unit.stacked, unit.speedup) == ((True, 3.0) if optimizer == "adamw" else (False, 0.8))


def test_runs_of_other_batches_and_networks_do_not_share_a_stack():
    other = Study.from_dict({**RAW, "axes": {"model.embedding": [4, 5], "regime.batch_size": [8, 6]}})
    units = stacks.arrange(jobs(other), "stacked")
    assert [len(u.jobs) for u in units] == [3, 3, 3, 3]
    for unit in units:
        assert len({(j.config.model, j.config.regime.batch_size) for j in unit.jobs}) == 1


def test_one_by_one_keeps_the_order(study):
    units = stacks.arrange(jobs(study), "one")
    assert [u.jobs[0] for u in units] == jobs(study)


def test_what_cannot_be_stacked_is_refused_or_trained_alone(study):
    mixed = jobs(with_engine(study, "compiled"))
    with pytest.raises(ValueError, match=r"cannot be stacked: \$\.engine: 'compiled'.*--engine auto or one"):
        stacks.arrange(mixed, "stacked")
    units = stacks.arrange(mixed, "auto", measure=False)
    assert sorted(len(u.jobs) for u in units) == [1, 5]
    assert any("$.engine" in u.reason for u in units if not u.stacked)


@pytest.mark.parametrize(("measured", "stacked"), [(0.94, False), (1.0, False), (3.0, True)])
def test_auto_stacks_only_what_is_faster(study, measured, stacked, monkeypatch):
    monkeypatch.setattr("grokscope.train.stacked.probe.speedup", lambda configs: measured)
    units = stacks.arrange(jobs(study), "auto")
    assert [u.stacked for u in units] == [stacked] * len(units)
    assert {u.speedup for u in units} == {measured}
    assert stacked or all(f"{measured:.2f} times as fast" in u.reason for u in units)


def test_auto_leaves_apart_what_the_trial_refuses(study, monkeypatch):
    from grokscope.train.stacked.stackable import CannotStack

    def refuse(configs):
        raise CannotStack("$.model: no")

    monkeypatch.setattr("grokscope.train.stacked.probe.speedup", refuse)
    assert {u.reason for u in stacks.arrange(jobs(study), "auto")} == {"$.model: no"}
    with pytest.raises(ValueError, match=r"cannot be stacked: \$\.model: no"):
        stacks.arrange(jobs(study), "stacked", measure=True)


def test_the_probe_measures_and_leaves_nothing(study, tmp_path, monkeypatch):
    from grokscope.train.stacked.probe import speedup

    monkeypatch.chdir(tmp_path)
    assert 0.1 < speedup([j.config for j in jobs(study)], seconds=0.2) < 20
    assert list(tmp_path.iterdir()) == []


def test_the_probe_counts_the_time_of_its_own_thread():
    """By the clock on the wall a full-batch stack looked 1.14 times as fast on a busy machine, and was 0.73 times."""
    from grokscope.train.stacked.probe import _clock

    assert _clock(torch.device("cpu"), 1) is time.process_time
    assert _clock(torch.device("cpu"), 2) is time.perf_counter
    assert _clock(torch.device("cuda"), 1) is time.perf_counter


@pytest.mark.parametrize(("words", "given"), [("engine: expected", {"engine": "fast"}), ("stack", {"stack": 0})])
def test_wrong_settings_are_refused_before_anything_trains(study, words, given, tmp_path):
    with pytest.raises(ValueError, match=words):
        study.run(0, tmp_path, **{"engine": "stacked", **given})
    assert not any(tmp_path.iterdir())


# -- training ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    outcomes = Study.from_dict(RAW).run(0, root, engine="stacked", stack=3)
    assert {o.state for o in outcomes} == {"done"}
    return root


def test_a_study_is_trained_in_stacks_in_this_process(undisturbed):
    runs = [s.run for s in Study.from_dict(RAW).status(undisturbed)]
    assert [r.facts["stacked"]["members"] for r in runs] == [3] * 6
    assert {r.status["state"] for r in runs} == {"done"}
    assert all(r.rows()[-1]["step"] == r.status["step"] > 0 for r in runs)


def test_worker_processes_train_the_same_bits(study, undisturbed, tmp_path):
    outcomes = study.run(2, tmp_path, engine="stacked", stack=3)
    assert [o.state for o in outcomes] == ["done"] * 6
    for s in study.status(tmp_path):
        same_folder_content(undisturbed / s.run.id, s.run.path)


def test_a_killed_worker_costs_its_stack_only_time(study, undisturbed, tmp_path, monkeypatch):
    from grokscope.execute import processes

    begun = []
    start = processes._Worker.start.__func__
    monkeypatch.setattr(processes._Worker, "start", classmethod(lambda cls: begun.append(start(cls)) or begun[-1]))

    def kill_once_all_have_a_state():
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if len({state.parent for state in tmp_path.glob("*/resume/state*.pt")}) == 3:
                os.kill(begun[0].process.pid, signal.SIGKILL)
                return
            time.sleep(0.01)

    long = study.with_budget(replace(study.entries[0].config.budget, steps=60))
    thread = threading.Thread(target=kill_once_all_have_a_state)
    thread.start()
    outcomes = long.run(1, tmp_path, engine="stacked", stack=3)
    thread.join()
    killed = [o for o in outcomes if o.state == "failed"]
    assert all("killed by SIGKILL" in o.message for o in killed)
    again = study.run(0, tmp_path, engine="stacked", stack=3)
    assert {(o.state, o.message) for o in again} <= {("done", "")}
    for s in study.status(tmp_path):
        assert s.state == "done"
        same_folder_content(undisturbed / s.run.id, s.run.path)


def test_a_stopped_stack_says_so_and_goes_on(study, tmp_path, undisturbed, monkeypatch):
    from grokscope.train.stacked import driver

    monkeypatch.setattr(driver._Work, "_stop_at", lambda self: [30])
    stopped = driver._Work._stopped

    def stop_at_thirty(self):
        self.stop = self.stop or any(s.engine.step >= 30 for s in self.sessions.values())
        return stopped(self)

    monkeypatch.setattr(driver._Work, "_stopped", stop_at_thirty)
    with pytest.raises(Stopped):
        study.run(0, tmp_path, engine="stacked", stack=3)
    states = Counter(s.state for s in study.status(tmp_path))
    assert states == {"partial": 3, "new": 3}
    monkeypatch.undo()
    study.run(0, tmp_path, engine="stacked", stack=3)
    for s in study.status(tmp_path):
        same_folder_content(undisturbed / s.run.id, s.run.path)


def test_auto_falls_back_where_a_stack_turns_out_not_to_be_one(study, tmp_path, monkeypatch):
    from grokscope.train.stacked import driver
    from grokscope.train.stacked.stackable import CannotStack

    def refuse(engines, configs):
        raise CannotStack("$.model: no")

    monkeypatch.setattr(driver, "require_stackable", refuse)
    monkeypatch.setattr("grokscope.train.stacked.probe.speedup", lambda configs: 3.0)
    assert {o.state for o in study.run(0, tmp_path / "auto", engine="auto")} == {"done"}
    outcomes = study.run(0, tmp_path / "stacked", engine="stacked")
    assert {(o.state, o.message) for o in outcomes} == {("failed", "$.model: no")}


# -- from the command line --------------------------------------------------------------------------------------------


def test_the_plan_shows_the_stacks_and_their_probe(tmp_path, monkeypatch, capsys):
    from rich.console import Console

    monkeypatch.setattr("grokscope.train.stacked.probe.speedup", lambda configs: 2.0)
    file = tmp_path / "small.json"
    file.write_text(json.dumps(RAW))
    study = Study.from_dict(RAW)
    planned = verbs.Planned(study, study.plan(tmp_path, workers=2, engine="auto"))
    assert planned.data()["stacks"] == [
        {"runs": 3, "regimes": [regime], "speedup": 2.0, "reason": "", "count": 1} for regime in ("lr=0.01", "lr=0.003")
    ]
    planned.show(Console(width=200))
    assert "1 stack of 3 runs of lr=0.01, " in (shown := capsys.readouterr().out)
    assert "2.0 times as many steps per second as one by one" in shown
    alone = study.plan(tmp_path, workers=2)
    assert alone.stacks == []
    assert planned.plan.seconds is not None
    assert planned.plan.seconds < alone.seconds * 0.8


def test_study_run_takes_engine_and_stack(tmp_path):
    import tomllib

    file = tmp_path / "small.toml"
    lines = ["seeds = [0, 1]", "[task]", 'name = "modular"', "p = 7", "[model]", 'name = "embedding-mlp"']
    lines += ["embedding = 4", "hidden = [8]", "[regime]", "lr = 0.01", "[budget]", "steps = 20"]
    file.write_text("\n".join(lines))
    assert tomllib.loads(file.read_text())["seeds"] == [0, 1]
    ran = verbs.run(file, root=tmp_path / "runs", workers=0, engine="stacked", board=Silent())
    assert ran.counts == {"done": 2}
    run = Run(next((tmp_path / "runs").iterdir()))
    assert run.facts["stacked"]["members"] == 2
    longer = verbs.extend(file, steps=30, root=tmp_path / "runs", workers=0, engine="stacked", board=Silent())
    assert longer.counts == {"done": 2}


def test_the_size_of_a_stack_without_an_engine_that_stacks_is_refused(study, tmp_path):
    for verb in (study.run, study.plan):
        with pytest.raises(ValueError, match="stack = 3 needs engine = stacked or auto"):
            verb(root=tmp_path, stack=3)
    with pytest.raises(ValueError, match="stack = 3 needs engine = stacked or auto"):
        study.extend(steps=100, root=tmp_path, stack=3)
    assert not list(tmp_path.iterdir())
