"""What is missing or damaged in a run's folder is noticed before anything is trained on it, and nothing is lost."""

import json
import os
import random
import shutil
import signal
import time
import warnings

import pytest
import torch

from grokscope.config import Budget
from grokscope.files import read_json, write_json
from grokscope.store import open_run
from grokscope.store.checkpoints import state_paths
from grokscope.train.driver import Interrupted, extend, train
from grokscope.train.resume import CannotResume
from tiny import same_folder_content, tiny

CONFIG = tiny(regime__grad_filter="grokfast_ema")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(CONFIG, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory):
    """Stopped at step 40, with rows at 0, 7, 14, 20, 21, 28, 35 and 40, and states at 35 and 40."""
    root = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Interrupted):
        train(CONFIG, root, interrupt_at=40)
    return root


@pytest.fixture
def stopped(stopped_once, tmp_path):
    root = shutil.copytree(stopped_once, tmp_path / "runs")
    return open_run(root / CONFIG.run_id())


@pytest.fixture
def done(whole, tmp_path):
    return open_run(shutil.copytree(whole.path, tmp_path / "runs" / whole.id))


def bytes_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def without_log(contents):
    """Without what says who tried: the log, the lock and the claims."""
    kept = {name: data for name, data in contents.items() if not name.startswith((".claim-", ".lock"))}
    return {name: data for name, data in kept.items() if name != "logs/train.log"}


def metrics(run):
    return run.path / "results" / "metrics.jsonl"


def drop(run, *steps):
    lines = metrics(run).read_text().splitlines(keepends=True)
    metrics(run).write_text("".join(line for line in lines if json.loads(line)["step"] not in steps))


# -- rows -------------------------------------------------------------------------------------------------------------


def test_a_gap_after_an_older_state_is_mended_from_it(stopped, whole):
    drop(stopped, 40)
    with pytest.warns(
        UserWarning, match=r"1 row is missing up to step 40 \(the first at step 40\); using the state before"
    ):
        run = train(CONFIG, stopped.path.parent)
    same_folder_content(whole.path, run.path)
    assert any("1 row is missing" in note for note in run.facts["notes"])


@pytest.mark.parametrize(
    "damage", ["one in the middle", "the first", "all but two", "emptied", "no file", "broken line"]
)
def test_a_gap_before_every_state_stops_with_words_and_changes_nothing(stopped, damage):
    match damage:
        case "one in the middle":
            drop(stopped, 21)
        case "the first":
            drop(stopped, 0)
        case "all but two":
            drop(stopped, 14, 20, 21, 28, 35, 40)
        case "emptied":
            metrics(stopped).write_text("")
        case "no file":
            metrics(stopped).unlink()
        case "broken line":
            metrics(stopped).write_text(metrics(stopped).read_text().replace('{"step": 21,', '{"step": 2'))
    before = without_log(bytes_of(stopped.path))
    with pytest.raises(
        CannotResume, match=r"metrics\.jsonl.*(missing|damaged).*restore the complete file, branch from a check"
    ):
        train(CONFIG, stopped.path.parent)
    assert without_log(bytes_of(stopped.path)) == before


def test_a_finished_run_without_its_last_row_is_closed_again(done, whole):
    drop(done, 60)
    with pytest.warns(UserWarning, match="1 row is missing up to step 60"):
        run = train(CONFIG, done.path.parent)
    same_folder_content(whole.path, run.path)
    assert run.status["state"] == "done"


def test_a_finished_run_with_a_gap_is_not_called_done(done):
    drop(done, 28)
    before = without_log(bytes_of(done.path))
    with pytest.raises(CannotResume, match=r"1 row is missing up to step 60 \(the first at step 28\)"):
        train(CONFIG, done.path.parent)
    assert without_log(bytes_of(done.path)) == before


def test_a_finished_run_of_before_the_size_was_recorded_is_looked_at_too(done):
    status = read_json(done.path / "status.json")
    del status["metrics_bytes"], status["saved_step"]
    write_json(done.path / "status.json", status)
    before = done.path.stat().st_mtime_ns
    train(CONFIG, done.path.parent)
    assert done.path.stat().st_mtime_ns == before, "whole: not touched"
    drop(done, 28)
    with pytest.raises(CannotResume, match="the first at step 28"):
        train(CONFIG, done.path.parent)


def test_a_shorter_budget_asks_for_no_row_that_was_not_due(stopped):
    run = train(tiny(regime__grad_filter="grokfast_ema", budget__steps=30), stopped.path.parent)
    assert (run.status["state"], run.status["step"]) == ("done", 40)


def test_deleted_checkpoints_are_mentioned_and_no_error(stopped):
    (stopped.path / "checkpoints" / "st00000015.safetensors").unlink()
    with pytest.warns(UserWarning, match="checkpoints of these steps are no longer there: 15"):
        run = train(CONFIG, stopped.path.parent)
    assert run.status["state"] == "done"
    assert any("no longer there: 15" in note for note in run.facts["notes"])
    assert list(run.checkpoints()) == [30, 45, 60]


# -- states -----------------------------------------------------------------------------------------------------------


def test_a_flipped_bit_is_never_trained_on(stopped_once, whole, tmp_path):
    rng = random.Random(0)
    newest = state_paths(stopped_once / CONFIG.run_id() / "resume")[0]
    size = newest.stat().st_size
    positions = [*rng.sample(range(size), 40), 0, size - 1, size - 40, size - 60]
    for number, position in enumerate(positions):
        root = shutil.copytree(stopped_once, tmp_path / str(number))
        path = root / CONFIG.run_id() / "resume" / newest.name
        data = bytearray(path.read_bytes())
        data[position] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        with pytest.warns(UserWarning, match=r"state0000000040\.pt is damaged .*; using the state before it"):
            run = train(CONFIG, root)
        same_folder_content(whole.path, run.path)
        shutil.rmtree(root)


def rewrite(path, change):
    """A state of before the digests, changed."""
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


def shape(state):
    name = next(iter(state["model"]))
    state["model"][name] = state["model"][name][:-1]


def dtype(state):
    name = next(iter(state["model"]))
    state["model"][name] = state["model"][name].double()


def moment(state):
    _, moments = next((n, t) for n, t in walk(state["optimizer"]) if n == "exp_avg")
    moments["exp_avg"] = moments["exp_avg"].flatten()[:1]


def walk(data):
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        if isinstance(value, torch.Tensor):
            yield key, data
        yield from walk(value)


DAMAGE = {
    "a weight of another shape": shape,
    "a weight of another type": dtype,
    "a moment of another shape": moment,
    "text for the step": lambda state: state.update(step="40"),
    "another step": lambda state: state.update(step=39),
    "no table of weights": lambda state: state.update(model=[1, 2]),
    "a number for the generator": lambda state: state.update(rng=3),
    "a cut generator": lambda state: state.update(rng=state["rng"][:100]),
    "examples that do not exist": lambda state: state["order"]["permutation"].add_(1),
    "fewer examples": lambda state: state["order"].update(permutation=state["order"]["permutation"][:5]),
    "an entry less": lambda state: state.pop("filter"),
    "no count of bad rows": lambda state: state.pop("bad_rows"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_state_that_loads_but_does_not_fit_falls_back_to_the_older(stopped, whole, kind):
    rewrite(state_paths(stopped.path / "resume")[0], DAMAGE[kind])
    with pytest.warns(UserWarning, match=r"state0000000040\.pt is .*; using the state before it"):
        run = train(CONFIG, stopped.path.parent)
    same_folder_content(whole.path, run.path)


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_a_state_that_is_no_regular_file_is_not_opened(stopped, whole, tmp_path, kind):
    newest = state_paths(stopped.path / "resume")[0]
    newest.rename(tmp_path / "elsewhere.pt")
    match kind:
        case "link":
            newest.symlink_to(tmp_path / "elsewhere.pt")
        case "fifo":
            os.mkfifo(newest)
    with pytest.raises(ValueError, match=r"state0000000040\.pt: is (a symbolic link|a FIFO)"):
        train(CONFIG, stopped.path.parent)
    newest.unlink()
    same_folder_content(whole.path, train(CONFIG, stopped.path.parent).path)


def test_states_of_before_the_digests_go_on_exactly(stopped, whole):
    for path in state_paths(stopped.path / "resume"):
        rewrite(path, lambda state: None)
    same_folder_content(whole.path, train(CONFIG, stopped.path.parent).path)


# -- no states --------------------------------------------------------------------------------------------------------


def test_extending_without_states_is_refused_and_names_branch(done):
    shutil.rmtree(done.path / "resume")
    before = without_log(bytes_of(done.path))
    with pytest.raises(ValueError, match=r"its resume states are missing.*replace its 12 rows.*branch from"):
        extend(done, Budget(steps=90))
    with pytest.raises(ValueError, match="its resume states are missing"):
        train(tiny(regime__grad_filter="grokfast_ema", budget__steps=90), done.path.parent)
    assert without_log(bytes_of(done.path)) == before


@pytest.mark.parametrize("old", [False, True])
def test_training_on_without_the_states_that_there_were_is_refused(stopped, old):
    shutil.rmtree(stopped.path / "resume")
    if old:  # of before it was recorded: it was at work for longer than the time between two states
        status = read_json(stopped.path / "status.json")
        del status["saved_step"]
        write_json(stopped.path / "status.json", status)
    before = without_log(bytes_of(stopped.path))
    with pytest.raises(CannotResume, match="its resume states are missing"):
        train(CONFIG, stopped.path.parent)
    assert without_log(bytes_of(stopped.path)) == before


def test_killed_before_its_first_state_a_run_begins_again_and_keeps_its_rows(tmp_path, whole):
    config = tiny(regime__grad_filter="grokfast_ema", budget__steps=10**7, hardware__resume_every_s=1000.0)
    child = os.fork()
    if child == 0:
        try:
            train(config, tmp_path)
        finally:
            os._exit(1)
    path = tmp_path / config.run_id()
    deadline = time.monotonic() + 60
    while not (path / "results" / "metrics.jsonl").exists() or len(open_run(path).rows()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    rows = open_run(path).rows()
    with pytest.warns(
        UserWarning, match=rf"no resume state had been saved.* its {len(rows)} rows are in results/metrics\.bef"
    ):
        run = train(CONFIG, tmp_path)
    same_folder_content(whole.path, run.path)
    kept = (path / "results" / "metrics.before-restart-1.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in kept if line.endswith("}")][: len(rows)] == rows


def test_an_undamaged_run_goes_on_without_a_word(stopped, whole):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same_folder_content(whole.path, train(CONFIG, stopped.path.parent).path)
