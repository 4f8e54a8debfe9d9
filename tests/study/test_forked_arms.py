"""Arms that are exact forks of other arms' runs: planned before there is a state, trained after their parents."""

import json
import shutil
import tomllib

import pytest

import grokscope as gs
from grokscope import cli, configio
from grokscope.files import read_json, write_json
from grokscope.study import Study
from grokscope.study.counterfactual import counterfactual_study, why_no_forks
from grokscope.study.worker import Worker
from grokscope.tomlio import to_toml
from grokscope.train.driver import Interrupted, train
from grokscope.train.fork_source import NotForked
from tiny import TINY

BASE = {
    **TINY,
    "model": {"name": "embedding-mlp", "embedding": 8, "hidden": [32]},
    "regime": {"lr": 2e-2, "weight_decay": 0.1, "batch_size": 8},
    "budget": {"steps": 90},
    "hardware": {"resume_every_s": 1000.0},
    "seeds": [0],
}
PARENT = {"name": "whole", "regime.lr": 2e-2}
SAME = {"name": "same", "of": "whole", "from": "T_fit"}
BARE = {"name": "no decay", "of": "whole", "from": "T_fit", "regime.weight_decay": 0.0}


def study(*arms, **more):
    return Study.from_dict({**BASE, "arm": [PARENT, *arms], **more})


def by_label(one, root):
    return {s.entry.label: s for s in one.status(root)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    one = study(SAME, BARE)
    before = {e.label: e.config.run_id() for e in one.entries}
    states = {s.entry.label: (s.state, s.step) for s in one.status(root)}
    outcomes = one.run(0, root)
    return one, root, before, states, outcomes


def test_a_fork_without_a_change_is_its_parent_bit_for_bit(trained):
    one, root, before, states, outcomes = trained
    assert states == {"whole": ("new", 0), "same": ("waiting", 0), "no decay": ("waiting", 0)}
    assert [o.state for o in outcomes] == ["done"] * 3
    now = by_label(one, root)
    whole, same = now["whole"].run, now["same"].run
    assert same.path.name == before["same"], "its name is known before its parent is trained"
    assert whole.path.name == before["whole"]
    for name in ("metrics.jsonl", "history.json"):
        assert (same.path / "results" / name).read_bytes() == (whole.path / "results" / name).read_bytes()
    final = "checkpoints/final.safetensors"
    assert (same.path / final).read_bytes() == (whole.path / final).read_bytes()
    assert now["same"].forked_at == gs.verdict(whole)["id_val"].milestones.T_fit.at
    assert now["no decay"].run.rows()[-1] != whole.rows()[-1], "and a change would show"
    assert same.record["lineage"] == {
        "run": whole.id, "step": now["same"].forked_at, "digest": same.record["lineage"]["digest"], "exact": True,
        "of": one.entries[0].config.identity_hash, "at": "T_fit",
    }  # fmt: skip
    assert len(same.record["lineage"]["digest"]) == 16


def test_what_was_trained_is_found_again_and_not_trained_twice(trained):
    one, root, *_ = trained
    assert one.run(0, root) == []
    assert {s.state for s in one.status(root)} == {"done"}
    plan = one.plan(root, probe=False)
    saved = by_label(one, root)["same"].forked_at
    assert plan.steps_saved == plan.to_dict()["steps_saved"] == 2 * saved > 0


def test_a_parent_is_the_run_that_it_is_without_forks():
    plain = Study.from_dict({**BASE, "arm": [PARENT]}).entries[0].config
    parent = study(SAME).entries[0].config
    assert parent.run_id() == plain.run_id()
    assert (plain.checkpoint.states, parent.checkpoint.states) == ((), ("T_fit",))


def test_a_fork_at_a_step_is_ready_as_soon_as_the_state_is_there(tmp_path):
    one = study({**SAME, "from": 40})
    parent, child = (e.config for e in one.entries)
    with pytest.raises(NotForked, match=r"waits for .*has not begun"):
        train(child, tmp_path)
    with pytest.raises(Interrupted):
        train(parent, tmp_path, interrupt_at=30)
    waiting = by_label(one, tmp_path)["same"]
    assert (waiting.state, waiting.forked_at) == ("waiting", 40)
    assert "which is at step 30" in waiting.message
    with pytest.raises(Interrupted):
        train(parent, tmp_path, interrupt_at=50)
    ready = by_label(one, tmp_path)["same"]
    assert (ready.state, ready.step) == ("new", 40)
    with pytest.raises(Interrupted):
        train(child, tmp_path, interrupt_at=60)
    assert by_label(one, tmp_path)["same"].state == "partial"
    outcomes = one.run(0, tmp_path)
    assert {o.job.label: o.state for o in outcomes} == {"whole seed 0": "done", "same seed 0": "done"}
    rows = [s.run.rows() for s in one.status(tmp_path)]
    assert rows[0] == rows[1]


def test_a_fork_of_a_fork(tmp_path):
    one = study({**SAME, "from": 40}, {"name": "later", "of": "same", "from": 60})
    assert [o.state for o in one.run(0, tmp_path)] == ["done"] * 3
    rows = [s.run.rows() for s in one.status(tmp_path)]
    assert rows[0] == rows[1] == rows[2]


def test_a_parent_without_its_state_is_refused_with_the_remedy(trained, tmp_path):
    one, root, before, *_ = trained
    shutil.copytree(root / before["whole"], tmp_path / before["whole"])
    shutil.rmtree(tmp_path / before["whole"] / "states")
    blocked = by_label(one, tmp_path)["same"]
    assert blocked.state == "blocked"
    assert not blocked.waiting
    assert not blocked.finished
    for words in ("passed T_fit (step", "delete that run", '[checkpoint] states = ["T_fit"]', "begin at step 0"):
        assert words in blocked.message
    outcomes = one.run(0, tmp_path)
    assert [(o.state, o.message) for o in outcomes] == [("failed", blocked.message)] * 2
    assert not (tmp_path / before["same"]).exists()
    assert [o.state for o in Worker(one.entries, tmp_path).work()] == ["failed"] * 2


def test_a_failed_parent_says_so_and_its_forks_follow_once_it_is_mended(trained, tmp_path, monkeypatch, capsys):
    before = trained[2]
    file = tmp_path / "study.toml"
    file.write_text(to_toml({**BASE, "arm": [PARENT, SAME]}))
    with monkeypatch.context() as patch:
        patch.setattr("grokscope.train.driver.Session._train", lambda self: 1 / 0)
        assert cli.run(["study", "run", str(file), "--root", str(tmp_path), "--workers", "0"]) == 1
    text = capsys.readouterr().out
    assert f"its parent {before['whole']} failed: division by zero" in text.replace("\n", " ")
    assert cli.run(["study", "status", str(file), "--root", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert [row["state"] for row in rows] == ["failed", "blocked"]
    assert cli.run(["study", "run", str(file), "--root", str(tmp_path), "--workers", "0"]) == 0
    assert {s.state for s in Study.load(file).status(tmp_path)} == {"done"}


def test_a_run_that_never_fits_has_no_fork_at_the_fit(tmp_path):
    one = study(SAME, budget={"steps": 10})
    assert [o.state for o in one.run(0, tmp_path)] == ["done", "failed"]
    assert "was not fitted by step 10" in by_label(one, tmp_path)["same"].message


def test_workers_train_parents_before_their_forks(tmp_path):
    one = study(SAME, seeds=[0, 1])
    outcomes = Worker(tuple(reversed(one.entries)), tmp_path).work()
    assert [(o.job.config.regime.name, o.state) for o in outcomes] == [("whole", "done")] * 2 + [("same", "done")] * 2
    alone = Worker([e for e in one.entries if e.label == "same"], tmp_path / "other").work()
    assert {(o.state, "has not begun" in o.message) for o in alone} == {("waiting", True)}


def test_shell_lines_of_forks_wait_for_their_parents(tmp_path, capsys):
    file = tmp_path / "study.toml"
    file.write_text(to_toml({**BASE, "arm": [PARENT, SAME]}))
    assert cli.run(["study", "plan", str(file), "--root", str(tmp_path), "--commands", "runs"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert [line.endswith("--wait") for line in lines[:2]] == [False, True]
    assert cli.run(["study", "plan", str(file), "--root", str(tmp_path), "--no-probe"]) == 0
    assert "1 exact fork: 0 steps saved; not known yet for 1 fork" in capsys.readouterr().out.replace("\n", " ")


def test_forks_have_the_seeds_and_the_points_of_their_parents():
    one = study(SAME, axes={"task.train_fraction": [0.4, 0.6]}, seeds=[3, 4])
    parents = {e.config.identity_hash: e.config for e in one.entries if e.config.start is None}
    forks = [e.config for e in one.entries if e.config.start is not None]
    assert len(forks) == len(parents) == 4
    for config in forks:
        assert config.start is not None
        parent = parents[config.start.of]
        assert (parent.seed, parent.task) == (config.seed, config.task)
    few = study(SAME, arm=[{**PARENT, "seeds": [5]}, SAME])
    assert {e.config.seed for e in few.entries} == {5}


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ({"of": "hole"}, "no arm 'hole' precedes this one.*whole"),
        ({"from": None}, "names its parent and the moment"),
        ({"of": None}, "names its parent and the moment"),
        ({"from": "T_fitt"}, "from must be a moment"),
        ({"of": 3}, "expected the name of an arm"),
        ({"seeds": [7]}, "'whole' has no seed 7 to fork from .in 'same'"),
        ({"from": 90}, "90 steps end before the fork begins, at step 90 .in 'same'"),
        ({"regime.batch_size": 0, "regime.init_scale": 2.0}, "cannot change during a run"),
        ({"model.hidden": [16]}, r"\$.model: an exact fork inherits it from its parent.*in 'same'"),
    ],
)
def test_what_cannot_be_a_fork_is_refused_when_the_file_is_read(arm, words):
    block = {key: value for key, value in {**SAME, **arm}.items() if value is not None}
    with pytest.raises(ValueError, match=words):
        study(block)


# -- the arms of a diagnosis ------------------------------------------------------------------------------------------

LATE = ("norm held where it was at the fit", "decay on the head")


@pytest.fixture(scope="module")
def diagnosed(tmp_path_factory):
    """A run without decay that fits and does not generalize, once with its state at the fit and once without."""
    root = tmp_path_factory.mktemp("why")
    runs = {}
    for kept in (["T_fit"], []):
        changes = {"task.p": 11, "model.hidden": [64], "regime.weight_decay": 0.0, "budget.steps": 250,
                   "evaluate.every": 20, "checkpoint.states": kept}  # fmt: skip
        runs[bool(kept)] = train(configio.load_run(configio.overlay(TINY, changes)), root / str(bool(kept)))
    return runs


def arms_of(run, forks):
    file = counterfactual_study(configio.load_run(run.config), gs.explain(run), [0], forks=forks)
    return Study.from_dict(tomllib.loads(to_toml(file))).only(["as it was", "decay with time", *LATE])


def test_arms_that_differ_from_the_fit_on_are_forks_and_the_same_runs_as_from_step_0(diagnosed):
    run = diagnosed[True]
    root = run.path.parent
    forked, whole = arms_of(run, True), arms_of(run, False)
    assert why_no_forks(configio.load_run(run.config), [0], root) == ""
    starts = {e.label: e.config.start for e in forked.entries}
    assert {label for label, start in starts.items() if start is not None} == set(LATE)
    left = [sum(s.total - s.step for s in one.status(root) if not s.finished) for one in (forked, whole)]
    assert left[0] == left[1] - forked.plan(root, probe=False).steps_saved < left[1]
    for one in (forked.only(LATE), whole.only(LATE)):
        assert {o.state for o in one.run(0, root)} == {"done"}
    for label in LATE:
        rows = [by_label(one, root)[label].run.rows() for one in (forked, whole)]
        assert rows[0] == rows[1]
    assert forked.entries[-1].config.run_id() != whole.entries[-1].config.run_id()


def test_without_the_state_every_arm_trains_from_step_0_and_the_reason_is_said(diagnosed, tmp_path, capsys):
    run = diagnosed[False]
    assert "passed T_fit" in why_no_forks(configio.load_run(run.config), [0, 1], run.path.parent)
    command = ["explain", str(run.path), "--test", str(tmp_path / "why.toml"), "--root", str(run.path.parent)]
    assert cli.run(command) == 0
    assert "every arm trains from step 0: its parent" in capsys.readouterr().out
    assert cli.run([*command, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["no_forks"]
    assert data["steps_saved"] == 0
    assert 'of = "as it was"' not in (tmp_path / "why.toml").read_text()
    elsewhere = [*command[:3], str(tmp_path / "new.toml"), "--root", str(tmp_path)]
    assert cli.run(elsewhere) == 0, "where the run as it was is trained anew, its state is kept"
    assert 'of = "as it was"' in (tmp_path / "new.toml").read_text()


def test_the_same_command_goes_on_where_forks_have_become_impossible(diagnosed, tmp_path, capsys, monkeypatch):
    """A run of the study never fitted, or lost its state: what was written stays the study."""
    run = diagnosed[True]
    file = tmp_path / "why.toml"
    command = ["explain", str(run.path), "--test", str(file), "--root", str(run.path.parent), "--json"]
    assert cli.run(command) == 0
    text = file.read_text()
    assert 'of = "as it was"' in text
    monkeypatch.setattr("grokscope.study.counterfactual.why_no_forks", lambda *_: "its parent was not fitted")
    assert cli.run(command) == 0
    assert file.read_text() == text
    file.unlink()
    assert cli.run(command) == 0
    assert 'of = "as it was"' not in file.read_text()
    capsys.readouterr()
    monkeypatch.undo()
    assert cli.run(command) == 0
    assert "delete it to rewrite it with forks" in json.loads(capsys.readouterr().out)["no_forks"]
    file.write_text(text + "\n# mine\n")
    assert cli.run(command) == 2


def test_a_damaged_parent_blocks_its_fork_and_nothing_else(trained, tmp_path):
    one, root, before, *_ = trained
    shutil.copytree(root / before["whole"], tmp_path / before["whole"])
    config = tmp_path / before["whole"] / "config.json"
    write_json(config, {**read_json(config), "schema": 10**6})
    states = by_label(one, tmp_path)
    assert states["same"].state in ("blocked", "unreadable")
    assert "newer grokscope" in states["same"].message
