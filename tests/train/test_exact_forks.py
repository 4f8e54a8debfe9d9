"""Exact forks: what a run keeps for them, that they are their parents bit for bit, and what may change in one."""

import json

import pytest

from grokscope import configio, registry
from grokscope.commands.train import branch as branch_command
from grokscope.config import Budget
from grokscope.files import read_json
from grokscope.store import open_run
from grokscope.store.checkpoints import state_paths
from grokscope.store.intervened import interventions_of
from grokscope.train.branch import branch
from grokscope.train.driver import Interrupted, extend, train
from grokscope.train.fork import fork
from grokscope.train.resume import CannotResume
from grokscope.verdicts import run_verdicts
from tiny import COMPILED, INTERVENING, assert_same, fitting, tiny

FITTING = {"model.embedding": 8, "model.hidden": [32], "regime.lr": 2e-2, "budget.steps": 90}


def keeping(*states, **changes):
    return tiny({"hardware.resume_every_s": 1000.0, "checkpoint.states": list(states), **changes})


def state_of(path):
    import torch

    return torch.load(path, weights_only=True)


def require_identical(parent, child, since):
    """The whole trajectory, every checkpoint after the fork, and the last state with all that a step depends on."""
    for name in ("metrics.jsonl", "history.json", "summary.json"):
        assert (child.path / "results" / name).read_bytes() == (parent.path / "results" / name).read_bytes(), name
    later = {step: path for step, path in parent.checkpoints().items() if step > since}
    assert child.checkpoints().keys() == later.keys()
    for step, path in later.items():
        assert child.checkpoints()[step].read_bytes() == path.read_bytes()
    states = [state_of(state_paths(run.path / "resume")[0]) for run in (parent, child)]
    assert_same(*states)


FORKED = [
    *(("optimizer", name) for name in registry.built_in("optimizer")),
    *(("filter", name) for name in registry.built_in("filter") if name != "none"),
    *(("intervention", name) for name in registry.built_in("intervention")),
    ("engine", "compiled"),
    ("schedule", "cosine"),
]


@pytest.mark.parametrize(("kind", "name"), FORKED, ids=lambda v: v)
def test_a_fork_without_a_change_is_bit_identical_to_its_parent(tmp_path, kind, name):
    parent = train(keeping(23, **fitting(kind, name)), tmp_path)
    config = fork(parent, {}, at=23)
    child = train(config, tmp_path)
    assert child.id != parent.id
    require_identical(parent, child, since=23)
    assert child.record["lineage"] == {"run": parent.id, "step": 23, "digest": config.start.digest, "exact": True}
    if kind == "intervention":
        assert interventions_of(child) == interventions_of(parent)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return train(keeping("T_fit", "T_fit + 5", 60, **FITTING), tmp_path_factory.mktemp("runs"))


def fit_of(run):
    return next(r["step"] for r in run.rows() if r["train_acc"] >= 0.99)


def test_a_run_keeps_its_states_at_the_fit_and_at_named_steps(parent):
    fit = fit_of(parent)
    assert [int(p.stem[5:]) for p in state_paths(parent.path / "states")] == sorted({fit, fit + 5, 60}, reverse=True)
    plain = train(tiny({**FITTING, "hardware.resume_every_s": 1000.0}), parent.path.parent / "plain")
    assert plain.id == parent.id, "what is kept changes no number, and no identity"
    assert plain.rows() == parent.rows()
    assert not (plain.path / "states").exists()


@pytest.mark.parametrize("at", ["T_fit", "T_fit + 5", 60, "60", None])
def test_a_fork_can_begin_at_the_fit_at_a_step_or_at_the_end(parent, tmp_path, at):
    fit = fit_of(parent)
    step = {"T_fit": fit, "T_fit + 5": fit + 5, None: 90}.get(at, 60)
    budget = {} if at is not None else {"budget.steps": 120}
    child = train(fork(parent, budget, at=at, root=tmp_path), tmp_path)
    assert child.config["start"]["step"] == step
    if at is not None:
        require_identical(parent, child, since=step)


def test_a_fork_with_other_decay_leaves_its_parent_at_the_fork_and_keeps_the_moments(parent, tmp_path):
    fit = fit_of(parent)
    child = train(fork(parent, {"regime.weight_decay": 0.0}, at="T_fit", root=tmp_path), tmp_path)
    shared = [[r for r in run.rows() if r["step"] <= fit] for run in (parent, child)]
    assert shared[0] == shared[1]
    assert child.rows()[-1] != parent.rows()[-1]
    state = state_of(state_paths(child.path / "resume")[0])
    assert [g["weight_decay"] for part in state["optimizer"] for g in part["param_groups"]] == [0.0]
    assert {int(s["step"]) for part in state["optimizer"] for s in part["state"].values()} == {90}
    switched = train(tiny({**FITTING, "regime.interventions": [{"name": "switch", "from": "T_fit",
                                                               "to": {"weight_decay": 0.0}}]}), tmp_path)  # fmt: skip
    assert child.rows() == switched.rows(), "as a switch at the fit does, by another way"


def test_a_fork_with_another_optimizer_or_filter_begins_those_anew(parent, tmp_path):
    for key, value in ("regime.optimizer", "muon"), ("regime.grad_filter", "grokfast_ema"), ("regime.loss", "mse"):
        child = train(fork(parent, {key: value}, at=60, root=tmp_path), tmp_path)
        switched = train(tiny({**FITTING, "regime.interventions": [
            {"name": "switch", "from": 60, "to": {key.partition(".")[2]: value}}]}), tmp_path)  # fmt: skip
        assert child.rows()[-1] == switched.rows()[-1]


@pytest.mark.parametrize("name", registry.built_in("intervention"))
def test_an_intervention_in_a_fork_acts_as_it_would_have_in_its_parent(parent, tmp_path, name):
    item = {"name": name, **INTERVENING[name], "from": "T_fit"}
    child = train(fork(parent, {"regime.interventions": [item]}, at="T_fit", root=tmp_path), tmp_path)
    whole = train(tiny({**FITTING, "regime.interventions": [item]}), tmp_path)
    assert child.rows() == whole.rows()
    assert interventions_of(child) == interventions_of(whole)


def test_interventions_that_a_fork_keeps_remember_and_those_it_drops_end(tmp_path):
    held = {"name": "hold_norm", "rho": 0.8, "from": 10}
    switch = {"name": "switch", "from": 20, "to": {"weight_decay": 1.0}}
    parent = train(keeping(30, **{"regime.interventions": [switch, held]}), tmp_path)
    child = train(fork(parent, {"regime.interventions": [held, {"name": "freeze", "from": 40}]}, at=30), tmp_path)
    record = interventions_of(child)["interventions"]
    assert [(e["name"], e["began"]) for e in record] == [("hold_norm", 10), ("freeze", 40)]
    assert record[0]["referred_to"] == interventions_of(parent)["interventions"][1]["referred_to"]
    state = state_of(state_paths(child.path / "resume")[0])
    assert state["optimizer"][0]["param_groups"][0]["weight_decay"] == pytest.approx(0.1), "the switch is over"
    early = train(fork(parent, {"regime.interventions": [{"name": "freeze", "from": 10}]}, at=30), tmp_path)
    assert interventions_of(early)["interventions"][0]["began"] == 30, "never before the fork itself"


def test_milestones_of_a_fork_count_from_the_parents_first_step(parent, tmp_path):
    child = train(fork(parent, {"regime.weight_decay": 0.0}, at="T_fit + 5", root=tmp_path), tmp_path)
    ours, theirs = (run_verdicts(run)["id_val"].milestones.T_fit for run in (child, parent))
    assert (ours.at, ours.previous, ours.censored) == (theirs.at, theirs.previous, False)
    assert child.rows()[0]["step"] == 0


def test_a_fork_that_is_stopped_continues_and_can_be_extended(parent, tmp_path):
    changes = {"regime.grad_filter": "grokfast_ema"}
    whole = train(fork(parent, changes, at="T_fit", root=tmp_path / "whole"), tmp_path / "whole")
    config = fork(parent, changes, at="T_fit", root=tmp_path / "parts")
    with pytest.raises(Interrupted):
        train(config, tmp_path / "parts", interrupt_at=70)
    stopped = train(config, tmp_path / "parts")
    require_identical(whole, stopped, since=fit_of(parent))
    longer = train(
        fork(parent, {**changes, "budget.steps": 130}, at="T_fit", root=tmp_path / "long"), tmp_path / "long"
    )
    require_identical(longer, extend(stopped, Budget(steps=130)), since=fit_of(parent))


def test_a_fork_of_a_fork_and_a_branch_of_a_fork(parent, tmp_path):
    once = fork(parent, {"checkpoint.states": [70]}, at="T_fit", root=tmp_path)
    first = train(once, tmp_path)
    second = train(fork(first, {}, at=70), tmp_path)
    assert second.rows() == parent.rows()
    assert second.record["lineage"]["run"] == first.id
    config = branch(first, {}, step=60)
    assert not config.start.exact
    assert train(config, tmp_path).rows()[0]["step"] == 0


def test_a_branch_that_trains_without_its_initial_function_resumes_exactly(parent, tmp_path):
    changes = {"regime.interventions": ["subtract_initial"], "budget.steps": 40}
    whole = train(branch(parent, changes, step=60, root=tmp_path / "whole"), tmp_path / "whole")
    assert whole.rows()[0]["train_loss"] == pytest.approx(1.9459101, rel=1e-6), "f - f0 is 0, f0 what was branched from"
    config = branch(parent, changes, step=60, root=tmp_path / "parts")
    with pytest.raises(Interrupted):
        train(config, tmp_path / "parts", interrupt_at=17)
    assert train(config, tmp_path / "parts").rows() == whole.rows()


# -- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task.p": 11}, r"\$\.task: an exact fork inherits it from its parent; branch without exact"),
        ({"seed": 3}, r"\$\.seed: an exact fork inherits it from its parent"),
        ({"evaluate.every": 5}, r"\$\.evaluate: an exact fork"),
        ({"regime.batch_size": 4}, r"\$\.regime\.batch_size cannot change during a run"),
        ({"regime.init_scale": 2.0}, r"\$\.regime\.init_scale cannot change during a run"),
        ({"budget.steps": 50}, r"\$\.budget: 50 steps end before the fork begins, at step 60"),
    ],
)
def test_changes_that_would_make_the_past_another_are_refused(parent, tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        fork(parent, changes, at=60, root=tmp_path)
    assert not list(tmp_path.iterdir()), "no folder stays behind"


def test_a_schedule_that_depends_on_the_length_allows_no_other_budget(tmp_path):
    parent = train(keeping(23, **{"regime.schedule": "cosine"}), tmp_path)
    with pytest.raises(ValueError, match=r"'cosine' depends on the length.*steps up to 23 would have been others"):
        fork(parent, {"budget.steps": 99}, at=23)


def test_a_moment_without_a_state_is_told_with_those_that_there_are(parent, tmp_path):
    fit = fit_of(parent)
    with pytest.raises(ValueError, match=rf"no full state at step 34; it has {fit}, {fit + 5}, 60, 90\. .*states = "):
        fork(parent, {}, at=34)
    with pytest.raises(ValueError, match="at must be a moment such as"):
        fork(parent, {}, at="T_gen")
    never = train(keeping("T_fit", **{"regime.lr": 1e-9}), tmp_path)
    with pytest.raises(ValueError, match="was not fitted in any evaluation, so it has no state at T_fit"):
        fork(never, {}, at="T_fit")
    assert "no state is kept at T_fit: train was not fitted by step 60" in (never.path / "logs/train.log").read_text()


def test_a_damaged_state_is_not_forked_from(parent, tmp_path):
    run = train(keeping(23), tmp_path)
    path = state_paths(run.path / "states")[0]
    path.write_bytes(path.read_bytes()[:-400] + b"x" * 400)
    with pytest.raises(ValueError, match=r"state0000000023\.pt is damaged"):
        fork(run, {}, at=23)


def test_a_fork_without_its_first_state_says_how_to_fork_again(parent, tmp_path):
    config = fork(parent, {}, at=60, root=tmp_path)
    folder = next(tmp_path.iterdir())
    for path in state_paths(folder / "resume"):
        path.unlink()
    with pytest.raises(CannotResume, match=rf"fork again: grokscope branch {parent.id} --exact --at 60"):
        train(config, tmp_path)


def test_a_complete_run_that_is_asked_for_a_state_says_that_it_has_none(tmp_path):
    train(keeping(), tmp_path)
    with pytest.warns(UserWarning, match=r"the state at 23 \(step 23\) was not requested when the run passed it"):
        train(keeping(23), tmp_path)


@pytest.mark.parametrize("wrong", ["T_gen", -1, 2.5])
def test_states_are_moments(wrong):
    with pytest.raises(ValueError, match=r"checkpoint"):
        keeping(wrong)


def test_the_compiled_engine_forks_with_another_decay(tmp_path):
    parent = train(keeping(40, **COMPILED), tmp_path)
    child = train(fork(parent, {"regime.weight_decay": 0.5}, at=40), tmp_path)
    assert child.rows()[-1]["norm_total"] < parent.rows()[-1]["norm_total"]


def test_the_command_forks_and_says_whose_rows_they_are(parent, tmp_path):
    done = branch_command(parent.path, exact=True, at="T_fit", root=tmp_path, overrides={"regime.weight_decay": 0.0})
    assert f"exact fork of {parent.id} at step {fit_of(parent)}: rows and milestones" in str(done)
    assert json.loads(json.dumps(done.data()))["step"] == 90
    assert read_json(done.run.path / "config.json")["lineage"]["exact"] is True
    assert open_run(done.run.path).rows()[0]["step"] == 0
    with pytest.raises(ValueError, match="add --exact, or use --step"):
        branch_command(parent.path, at="T_fit")
    with pytest.raises(ValueError, match="both select the starting point"):
        branch_command(parent.path, exact=True, step=60, at="T_fit")


def test_a_plan_counts_the_disk_of_kept_states():
    from grokscope.study.estimate import Cost
    from grokscope.train.plan import make_plan

    cost = Cost(step_s=0.0, row_s=0.0, diagnosed_s=0.0, weights=10, state=1000)
    costs = [cost.bytes(make_plan(keeping(*states), 24)) for states in ((), ("T_fit", 800))]
    assert costs[1] - costs[0] == 2000


@pytest.mark.slow
def test_without_decay_after_the_fit_modular_addition_does_not_generalize_within_the_budget(tmp_path):
    """The parent groks; its exact fork at T_fit, with decay removed there and nothing else changed, is censored."""
    recipe = {
        "task": {"name": "modular", "p": 59},
        "model": {"name": "embedding-mlp"},
        "regime": {"recipe": "modular"},
        "budget": {"steps": 1500},
        "evaluate": {"every": 10, "at": [0]},
        "diagnose": {"at": [1500]},
        "checkpoint": {"at": [1500], "states": ["T_fit"]},
        "hardware": {"resume_every_s": 1000.0},
    }
    parent = train(configio.load_run(recipe), tmp_path)
    child = train(fork(parent, {"regime.weight_decay": 0.0}, at="T_fit"), tmp_path)
    with_decay, without = (run_verdicts(run)["id_val"] for run in (parent, child))
    assert (with_decay.verdict, without.verdict) == ("grokked", "memorized")
    assert 350 <= with_decay.milestones.T_gen.at <= 700
    assert (without.milestones.T_gen.at, without.milestones.T_gen.censored) == (1500, True)
    assert with_decay.milestones.T_fit == without.milestones.T_fit
