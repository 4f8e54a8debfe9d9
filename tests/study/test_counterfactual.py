"""A diagnosis as a study: what is written is what was meant, and what comes of it is judged pair by pair."""

import json
import tomllib

import numpy as np
import pytest

import grokscope as gs
from grokscope import cli, configio
from grokscope.mechanism import explain
from grokscope.mechanism.check import Arm
from grokscope.mechanism.in_force import beside
from grokscope.study import Study, counterfactual
from grokscope.study.counterfactual import AS_IT_WAS, Seen, _trial, counterfactual_study
from grokscope.tomlio import to_toml
from grokscope.train.driver import train
from mechanism.mechanism_cases import ROWS, adamw, memorizing
from tiny import tiny

RISING = np.linspace(1, 2, ROWS)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run without decay that fits and does not generalize."""
    changes = {"task.p": 11, "model.hidden": [64], "budget.steps": 400, "regime.weight_decay": 0.0}
    config = tiny({**changes, "evaluate.every": 20})
    return train(config, tmp_path_factory.mktemp("why") / "runs")


def written(run):
    return counterfactual_study(configio.load_run(run.config), gs.explain(run), [0, 1])


def test_the_file_is_the_study(run):
    study = written(run)
    assert tomllib.loads(to_toml(study)) == unflat(study)
    made = Study.from_dict(tomllib.loads(to_toml(study)))
    assert {e.label for e in made.entries} >= {AS_IT_WAS, "decay with time"}


def unflat(study):
    """Dotted keys of arms as the tables that TOML makes of them."""
    return {**study, "arm": [configio.overlay({}, arm) for arm in study["arm"]]}


def test_the_run_itself_is_one_of_the_studys(run):
    made = Study.from_dict(written(run))
    states = made.status(run.path.parent)
    assert [s.run.id for s in states if s.finished] == [run.id]


def test_two_claims_may_share_one_arm(run):
    """Decay without grip and a larger start that is undone are both tested without normalization."""
    rows = {"norm_total": RISING, "norm_scale_invariant": 0.95 * RISING, "norm_head": 0.1 * RISING}
    explanation = explain(memorizing(adamw(init_scale=4.0), **rows))
    told = [(finding.check, arm.name) for finding, arm in counterfactual.testable(explanation)]
    assert {("decay grip", "no normalization"), ("init scale undone", "no normalization")} <= set(told)
    config = tiny({"task": {"name": "digits", "n_train": 50}, "model": {"name": "small-resnet"}})
    names = [arm["name"] for arm in counterfactual_study(config, explanation, [0, 1])["arm"]]
    assert names.count("no normalization") == 1


def test_a_task_without_a_size_has_no_arm_with_more_data(run):
    arms = [arm["name"] for arm in written(run)["arm"]]
    assert "twice the data" not in arms, "modular addition has a fraction, not a number of examples"


def test_an_arm_is_not_switched_back_by_what_the_run_had():
    switch = {"name": "switch", "from": "T_fit", "to": {"weight_decay": 0.0, "lr": 1e-3}}
    run = tiny({"regime.interventions": [switch, {"name": "temperature", "temperature": 1.7}]})
    had = configio.dump(run)["regime"]["interventions"]
    changes = beside({"regime.weight_decay": 3.3}, had)
    assert changes["regime.weight_decay"] == 3.3
    kept = configio.load_run(configio.overlay(configio.dump(run), changes)).regime.interventions
    assert [i.name for i in kept] == ["switch", "temperature"]
    assert dict(kept[0].to) == {"lr": 1e-3}, "decay would be switched off again"
    assert beside({"regime.init_scale": 2.0}, had) == {"regime.init_scale": 2.0}, "what the arm does not touch stays"


@pytest.mark.parametrize("exact", [True, False])
def test_a_run_that_went_on_from_another_is_not_tested_as_if_it_began_at_0(run, exact):
    branched = gs.branch_run(run.path, exact=exact, overrides={"budget.steps": 500}).run
    with pytest.raises(ValueError, match=f"went on from {run.id} at step 400.*grokscope branch"):
        counterfactual_study(configio.load_run(branched.config), gs.explain(branched), [0, 1])


UP, DOWN = Arm(name="more", changes={}, expects=""), Arm(name="less", changes={}, expects="", raises=False)


def ends(*values):
    return {seed: Seen(value, 0.02, "memorized") for seed, value in enumerate(values)}


@pytest.mark.parametrize(
    ("arm", "before", "after", "fate"),
    [
        (UP, (0.5, 0.5, 0.5), (0.9, 0.8, 0.7), "survived"),
        (UP, (0.5, 0.5, 0.5), (0.51, 0.49, 0.5), "refuted"),
        (UP, (0.5, 0.5, 0.5), (0.1, 0.1, 0.1), "refuted"),
        (UP, (0.5, 0.5, 0.5), (0.9, 0.5, 0.7), "open"),
        (DOWN, (0.9, 0.9), (0.2, 0.3), "survived"),
        (DOWN, (0.9, 0.9), (0.9, 0.95), "refuted"),
        (UP, (0.5,), (0.9,), "open"),
        (UP, (), (), "open"),
    ],
)
def test_fates(arm, before, after, fate):
    trial = _trial("check", "claim", arm, ends(*before), ends(*after))
    assert trial.fate == fate
    assert trial.n == min(len(before), len(after))


def test_only_pairs_count():
    trial = _trial(
        "check", "claim", UP, ends(0.5, 0.5, 0.5), {0: Seen(0.9, 0.02, "grokked"), 7: Seen(0.1, 0.02, "memorized")}
    )
    assert trial.n == 1
    assert trial.fate == "open"


def test_three_pairs_say_that_no_p_can_be_small():
    trial = _trial("check", "claim", UP, ends(0.5, 0.5, 0.5), ends(0.9, 0.8, 0.7))
    assert trial.p == trial.smallest_p == pytest.approx(0.25)


def test_the_command_writes_trains_and_judges(run, tmp_path, capsys):
    file, root = tmp_path / "why.toml", run.path.parent
    command = ["explain", str(run.path), "--test", str(file), "--root", str(root), "--seeds", "0", "1"]
    assert cli.run(command) == 0
    text = capsys.readouterr().out
    assert "1 of " in text
    assert "nothing can be said yet" in text
    assert cli.run([*command, "--go", "--workers", "0", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["finished"] == data["runs"]
    assert data["steps_left"] == 0
    assert {t["n"] for t in data["trials"]} == {2}
    file.write_text(file.read_text() + "\n# mine\n")
    assert cli.run(command) == 2
    assert "already exists with different content" in capsys.readouterr().err


@pytest.mark.slow
def test_decay_is_found_to_be_what_lacked(tmp_path):
    """Modular addition without decay memorizes; given time to decay, every seed groks, and the explanation survives.
    A growing head is no reason there: decay on the head alone changes nothing."""
    from grokscope.study.counterfactual import trials

    study = Study.load("two_routes").only(["addition, no decay"], [0])
    study.run(0, tmp_path)
    run = study.status(tmp_path)[0].run
    explanation = gs.explain(run)
    config = configio.load_run(run.config)
    whole = Study.from_dict(counterfactual_study(config, explanation, [0, 1]))
    test = whole.only([AS_IT_WAS, "decay with time", "decay on the head"])
    test.run(0, tmp_path)
    fates = {t.check: t.fate for t in trials(test, tmp_path, explanation)}
    assert fates["decay time"] == "survived"
    assert "survived" not in {fate for check, fate in fates.items() if check == "head growth"}


def test_all_that_makes_a_run_is_in_the_study():
    """Engine, components with parameters, measurements and cadences: as it was, it is the same run."""
    config = configio.load_run(
        {
            "task": {"name": "competing-features", "n_train": 64, "n_test": 32},
            "model": {"name": "linear"},
            "regime": {"optimizer": "sgd", "loss": "logistic", "batch_size": 1, "lr": 0.05, "weight_decay": 1e-3},
            "budget": {"epochs": 30},
            "engine": "compiled",
        }
    )
    explanation = explain(memorizing(adamw(), norm_head=RISING, norm_total=RISING))
    arms = counterfactual_study(config, explanation, [0])["arm"]
    assert not any("regime.interventions" in arm for arm in arms), "the compiled engine carries none out"
    other = tiny({"regime.optimizer": {"name": "adamw", "betas": [0.9, 0.98]}, "diagnose.every": 30})
    for whole in (config, other):
        study = counterfactual_study(whole, explain(memorizing(adamw())), [whole.seed])
        made = Study.from_dict(tomllib.loads(to_toml(study)))
        assert next(e for e in made.entries if e.label == AS_IT_WAS).config.identity() == whole.identity()


SOONER = Arm(name="sooner", changes={}, expects="", by="T_gen")
LATER = Arm(name="later", changes={}, expects="", raises=False, by="T_gen")


def arriving(*times, last=1000):
    """Runs on a grid of 10 that arrive at these times; None: not by the end."""
    return {
        seed: Seen(0.99, 0.02, "grokked", at, at - 10, last) if at else Seen(0.1, 0.02, "memorized", last_step=last)
        for seed, at in enumerate(times)
    }


@pytest.mark.parametrize(
    ("arm", "before", "after", "fate"),
    [
        (SOONER, (500, 600), (100, 200), "survived"),
        (SOONER, (500, 600), (500, 610), "refuted"),
        (SOONER, (None, None), (500, 600), "survived"),
        (SOONER, (None, None), (None, None), "refuted"),
        (SOONER, (500, 600), (100, 700), "open"),
        (LATER, (500, 600), (None, None), "survived"),
        (LATER, (500, 600), (100, 200), "refuted"),
        (SOONER, (500, 600), (495, 598), "refuted"),  # within the grid
    ],
)
def test_fates_by_the_time_of_arrival(arm, before, after, fate):
    """At the end both are at the top, so only the time can tell."""
    assert _trial("check", "claim", arm, arriving(*before), arriving(*after)).fate == fate


def test_an_arm_that_begins_at_the_fit_is_the_run_until_there_bit_for_bit(tmp_path):
    """So what differs afterward is the intervention's, as in a fork from the state at the fit."""
    base = {"task.p": 11, "model.hidden": [64], "regime.batch_size": 0, "budget.steps": 300, "evaluate.every": 10}
    plain = train(tiny(base), tmp_path / "plain")
    arm = [{"name": "switch", "from": "T_fit", "to": {"weight_decay": 0.0}}]
    forked = train(tiny({**base, "regime.interventions": arm}), tmp_path / "forked")
    fit = gs.verdict(plain)["id_val"].milestones.T_fit
    assert not fit.censored
    until = [row for row in plain.rows() if row["step"] <= fit.at]
    assert until == [row for row in forked.rows() if row["step"] <= fit.at]
    assert plain.rows()[-1] != forked.rows()[-1]


def test_interventions_of_the_run_stay_beside_those_of_an_arm():
    held = [{"name": "hold_norm", "rho": 1.5, "from": 100}]
    config = tiny({"regime.interventions": held})
    case = memorizing(adamw(had=tuple(held)), norm_head=RISING, norm_total=RISING)
    explanation = explain(case)
    study = counterfactual_study(config, explanation, [0])
    arms = {arm["name"]: arm for arm in study["arm"]}
    names = [each["name"] for each in arms["decay on the head"]["regime.interventions"]]
    assert names == ["hold_norm", "decay_head"]
    assert tomllib.loads(to_toml(study)) == unflat(study)
    labels = {e.label: e.config for e in Study.from_dict(tomllib.loads(to_toml(study))).entries}
    assert labels[AS_IT_WAS].identity() == config.identity()
    assert [i.name for i in labels["decay on the head"].regime.interventions] == ["hold_norm", "decay_head"]


def test_plug_ins_of_the_run_are_named():
    study = counterfactual_study(tiny(), explain(memorizing(adamw())), [0], plugins=["my_lab"])
    assert tomllib.loads(to_toml(study))["plugins"] == ["my_lab"]
    assert "plugins" not in counterfactual_study(tiny(), explain(memorizing(adamw())), [0])
