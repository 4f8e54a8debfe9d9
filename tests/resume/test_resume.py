"""A run that was killed and continued is the run that was not: bit for bit, for everything that is registered."""

import os
import random
import shutil
import signal
import time
import traceback
import warnings
from dataclasses import replace

import pytest
import torch

from grokscope import configio, registry
from grokscope.config import Budget
from grokscope.files import read_json
from grokscope.store import open_run
from grokscope.train.branch import branch
from grokscope.train.driver import Interrupted, extend, train
from tiny import TAKEN_AFTERWARDS, TINY, fitting, same_folder_content, tiny

pytestmark = pytest.mark.filterwarnings(TAKEN_AFTERWARDS)
SLOW = {("model", "timm")}
REGISTERED = [
    pytest.param(kind, name, marks=[pytest.mark.slow] if (kind, name) in SLOW else [])
    for kind in ("optimizer", "loss", "filter", "schedule", "engine", "measurement", "intervention", "model")
    for name in registry.entries(kind)
]


def killed(config, root, delay, wait_for_state):
    """Train in a child process and SIGKILL it `delay` seconds after its start, or after it has saved a new state.
    False when the child was done before."""
    folder = root / config.run_id() / "resume"
    before = set(folder.glob("*.pt"))
    child = os.fork()
    if child == 0:
        train_and_leave(config, root)
    while wait_for_state and set(folder.glob("*.pt")) <= before:
        if is_done(child):
            return False
        time.sleep(0.001)
    deadline = time.monotonic() + delay
    while time.monotonic() < deadline:
        if is_done(child):
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def train_and_leave(config, root):
    code = 1
    try:
        # Killed between its first row and its first saved state, a run begins again and warns of it.
        warnings.simplefilter("default")
        train(config, root)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def is_done(child):
    ended, status = os.waitpid(child, os.WNOHANG)
    assert not ended or os.waitstatus_to_exitcode(status) == 0, "the child failed; its traceback is in the output"
    return bool(ended)


def test_twenty_kills_at_random_moments(tmp_path):
    config = tiny({"budget.steps": 3000, "regime.grad_filter": "grokfast_ema"}, hardware__resume_every_s=0.02)
    whole = train(replace(config, hardware=replace(config.hardware, resume_every_s=60)), tmp_path / "whole")
    rng = random.Random(0)
    kills = 0
    while kills < 20:
        # Every second kill comes at any moment, start and first row included; the others let the run get on.
        if killed(config, tmp_path / "killed", rng.uniform(0, 0.1), wait_for_state=kills % 2 == 0):
            kills += 1
            continue
        # A fast machine ends a run before it was killed twenty times: that one is compared, and the next one begun.
        same_folder_content(whole.path, tmp_path / "killed" / config.run_id())
        shutil.rmtree(tmp_path / "killed")
    run = train(config, tmp_path / "killed")
    same_folder_content(whole.path, run.path)
    assert run.status["state"] == "done"


def test_kills_while_interventions_wait_for_the_fit_begin_and_end(tmp_path):
    """The resume state, the rows and the record of interventions agree, wherever the process dies."""
    items = [
        {"name": "hold_norm", "rho": 0.5, "from": "T_fit", "until": "T_fit + 300"},
        {"name": "switch", "from": "T_fit + 100", "to": {"optimizer": "sgd", "grad_filter": "grokfast_ema"}},
        {"name": "train_subset", "share": 0.4, "from": "T_fit + 200"},
        {"name": "reinitialize", "from": "T_fit + 250"},
    ]
    config = tiny(
        {"model.embedding": 8, "model.hidden": [32], "regime.interventions": items, "budget.steps": 800},
        hardware__resume_every_s=0.02,
    )
    whole = train(replace(config, hardware=replace(config.hardware, resume_every_s=60)), tmp_path / "whole")
    assert [e["state"] for e in read_json(whole.path / "results" / "interventions.json")["interventions"]] == [
        "ended", "acting", "acting", "acting",
    ]  # fmt: skip
    rng = random.Random(1)
    kills = 0
    while kills < 8 and killed(config, tmp_path / "killed", rng.uniform(0, 0.2), wait_for_state=kills % 2 == 0):
        kills += 1
    assert kills >= 2
    run = train(config, tmp_path / "killed")
    same_folder_content(whole.path, run.path)


@pytest.mark.parametrize(("kind", "name"), REGISTERED, ids=lambda v: v)
def test_every_registered_thing_resumes_exactly(tmp_path, kind, name):
    config = tiny(fitting(kind, name))
    whole = train(config, tmp_path / "whole")
    for stop in (10, 23, 41):  # inside an epoch, between cadences
        with pytest.raises(Interrupted):
            train(config, tmp_path / "parts", interrupt_at=stop)
    run = train(config, tmp_path / "parts")
    same_folder_content(whole.path, run.path)
    checkpoints = [p.read_bytes() for p in run.checkpoints().values()]
    assert len(set(checkpoints)) == len(checkpoints) == 4, "consecutive checkpoints must differ"


def test_the_compiled_engine_resumes_exactly(tmp_path):
    config = compiled()
    whole = train(config, tmp_path / "whole")
    for stop in (100, 777):
        with pytest.raises(Interrupted):
            train(config, tmp_path / "parts", interrupt_at=stop)
    same_folder_content(whole.path, train(config, tmp_path / "parts").path)


def compiled(**changes):
    raw = {
        "task": {"name": "competing-features", "n_train": 64, "n_test": 32},
        "model": {"name": "linear"},
        "regime": {"optimizer": "sgd", "loss": "logistic", "batch_size": 1, "lr": 0.05, "weight_decay": 1e-3},
        "budget": {"epochs": 30},
        "evaluate": {"every": 5, "unit": "epochs"},
        "diagnose": {"every": 10, "unit": "epochs"},
        "checkpoint": {"every": 10, "unit": "epochs"},
        "engine": "compiled",
        "hardware": {"resume_every_s": 0.0},
    }
    return configio.load_run(configio.overlay(raw, changes))


def test_sigint_saves_and_the_next_call_continues(tmp_path):
    config = tiny({"budget.steps": 20_000})
    child = os.fork()
    if child == 0:
        try:
            train(config, tmp_path)
        except Interrupted:
            os._exit(42)
        os._exit(0)
    run_path = tmp_path / config.run_id()
    deadline = time.monotonic() + 60
    while not list((run_path / "resume").glob("*.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(child, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    status = open_run(run_path).status
    assert status["state"] == "interrupted"
    assert 0 < status["step"] < 20_000


def test_extended_equals_given_the_length_from_the_start(tmp_path):
    long = tiny(budget__steps=110)
    whole = train(long, tmp_path / "whole")
    short = train(tiny(budget__steps=60), tmp_path / "grown")  # 60 is not on the grid of sevens
    extended = extend(short, Budget(steps=110))
    assert extended.path == short.path
    same_folder_content(whole.path, extended.path)
    assert extended.config["budget"]["steps"] == 110


def test_a_renamed_run_is_extended_and_trained_where_it_lies(tmp_path):
    whole = train(tiny(budget__steps=90), tmp_path / "whole")
    moved = train(tiny(), tmp_path).path.rename(tmp_path / "my-best-run")
    assert train(tiny(), tmp_path).path == moved
    assert extend(open_run(moved), Budget(steps=90)).path == moved
    same_folder_content(whole.path, moved)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["my-best-run", "whole"]


def test_extend_refuses_what_would_not_be_exact(tmp_path):
    cosine = train(tiny(regime__schedule="cosine"), tmp_path)
    with pytest.raises(ValueError, match="depends on the length"):
        extend(cosine, Budget(steps=100))
    plain = train(tiny(), tmp_path)
    with pytest.raises(ValueError, match="would not extend"):
        extend(plain, Budget(steps=60))


def test_a_complete_run_is_not_touched(tmp_path):
    run = train(tiny(), tmp_path)
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.is_file()}
    train(tiny(), tmp_path)
    train(tiny(budget__steps=30), tmp_path)  # shorter than what is there
    assert before == {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.is_file()}


def test_a_truncated_resume_state_falls_back_on_the_one_before(tmp_path):
    config = tiny()
    whole = train(config, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(config, tmp_path / "cut", interrupt_at=40)
    run = open_run(tmp_path / "cut" / config.run_id())
    states = sorted((run.path / "resume").glob("*.pt"))
    assert len(states) == 2
    states[-1].write_bytes(states[-1].read_bytes()[:200])
    with pytest.warns(UserWarning, match="damaged"):
        again = train(config, tmp_path / "cut")
    same_folder_content(whole.path, again.path)
    assert "damaged" in (run.path / "logs" / "train.log").read_text()


def test_no_readable_resume_state_is_an_error_and_nothing_is_lost(tmp_path):
    config = tiny()
    with pytest.raises(Interrupted):
        train(config, tmp_path, interrupt_at=40)
    run = open_run(tmp_path / config.run_id())
    rows = run.rows()
    for state in (run.path / "resume").glob("*.pt"):
        state.write_bytes(b"")
    with pytest.raises(ValueError, match="no resume state is readable"):
        train(config, tmp_path)
    assert run.rows() == rows


def test_a_row_cut_short_by_a_crash_is_written_again(tmp_path):
    config = tiny()
    whole = train(config, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(config, tmp_path / "cut", interrupt_at=40)
    metrics = tmp_path / "cut" / config.run_id() / "results" / "metrics.jsonl"
    with open(metrics, "ab") as file:
        file.write(b'{"step": 42, "train_l')
    same_folder_content(whole.path, train(config, tmp_path / "cut").path)


def test_branch_starts_from_the_parents_weights_and_names_it(tmp_path):
    parent = train(tiny(evaluate={"every": 7, "at": [0, 30]}), tmp_path)
    config = branch(parent, {"regime.weight_decay": 0.0, "regime.lr": 1e-3}, step=30)
    child = train(config, tmp_path)
    assert child.id != parent.id
    assert child.record["lineage"]["run"] == parent.id
    assert child.record["lineage"]["step"] == 30
    left = next(r for r in parent.rows() if r["step"] == 30)
    first = child.rows()[0]
    assert first["step"] == 0
    from safetensors.torch import load_file

    start = load_file(parent.checkpoints()[30])
    norm = torch.stack([t.double().norm() for t in start.values()]).norm()
    assert first["norm_total"] == pytest.approx(float(norm), rel=1e-6)
    for key in ("train_loss", "train_acc", "id_val_loss", "id_val_acc"):
        assert first[key] == left[key], key
    assert left["train_loss"] != parent.rows()[-1]["train_loss"]


def test_branch_of_another_data_size_shares_the_nested_subset(tmp_path):
    parent = train(tiny(), tmp_path)
    child = train(branch(parent, {"task.train_fraction": 0.2}), tmp_path)
    assert child.facts["splits"]["train"]["n"] < parent.facts["splits"]["train"]["n"]


def test_branch_errors_name_the_checkpoints(tmp_path):
    parent = train(tiny(), tmp_path)
    with pytest.raises(ValueError, match=r"no checkpoint at step 31; it has 15, 30, 45, 60"):
        branch(parent, {}, step=31)
    parent.checkpoints()[30].write_bytes(b"short")
    with pytest.raises(ValueError, match="damaged"):
        branch(parent, {}, step=30)


def test_budget_is_not_part_of_the_identity_unless_the_schedule_depends_on_it():
    a, b = tiny(), tiny(budget__steps=99)
    assert a.run_id() == b.run_id()
    assert replace(a, seed=1).run_id() != a.run_id()
    assert tiny(regime__schedule="cosine").run_id() != tiny(regime__schedule="cosine", budget__steps=99).run_id()
    assert tiny(TINY | {"hardware": {"threads": 2}}).run_id() == a.run_id()


def test_branch_takes_a_recipe_with_all_its_fields(tmp_path):
    parent = train(tiny(), tmp_path)
    config = branch(parent, {"regime.recipe": "grokking-favorable", "regime.lr": 3e-4})
    assert (config.regime.grad_filter.name, config.regime.weight_decay, config.regime.lr) == (
        "grokfast_ema",
        5e-3,
        3e-4,
    )
