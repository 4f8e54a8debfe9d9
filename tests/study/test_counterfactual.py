"""A diagnosis as a study: what is written is what was meant, and what comes of it is judged pair by pair."""

import json
import tomllib

import pytest

import grokscope as gs
from grokscope import cli, configio
from grokscope.mechanism import explain
from grokscope.mechanism.check import Arm
from grokscope.study import Study
from grokscope.study.counterfactual import AS_IT_WAS, _trial, counterfactual_study, to_toml
from grokscope.train.driver import train
from mechanism.mechanism_cases import adamw, memorizing
from tiny import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run without decay that fits and does not generalize."""
    config = tiny({"task.p": 11, "budget.steps": 400, "regime.weight_decay": 0.0, "evaluate.every": 20})
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


def test_a_task_without_a_size_has_no_arm_with_more_data(run):
    arms = [arm["name"] for arm in written(run)["arm"]]
    assert "twice the data" not in arms, "modular addition has a fraction, not a number of examples"


UP, DOWN = Arm(name="more", changes={}, expects=""), Arm(name="less", changes={}, expects="", raises=False)


def ends(*values):
    return {seed: (value, 0.02, "memorized") for seed, value in enumerate(values)}


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
    trial = _trial("check", "claim", UP, ends(0.5, 0.5, 0.5), {0: (0.9, 0.02, "grokked"), 7: (0.1, 0.02, "memorized")})
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
    assert "holds something else" in capsys.readouterr().err


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
    other = tiny({"regime.optimizer": {"name": "adamw", "betas": [0.9, 0.98]}, "diagnose.every": 30})
    for whole in (config, other):
        study = counterfactual_study(whole, explain(memorizing(adamw())), [whole.seed])
        made = Study.from_dict(tomllib.loads(to_toml(study)))
        assert next(e for e in made.entries if e.label == AS_IT_WAS).config.identity() == whole.identity()
