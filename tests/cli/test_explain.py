"""explain: one page on a run or a log, a table on a study, the same as JSON, and words for wrong input."""

import json

import pytest

import grokscope as gs
from grokscope import cli
from grokscope.study import Study
from tiny import TINY


@pytest.fixture
def log(tmp_path):
    rows = "".join(f"{i},{min(1, i / 5)},{0.3},{30 + i}\n" for i in range(1, 60))
    path = tmp_path / "log.csv"
    path.write_text(f"epoch,train_acc,val_acc,norm\n{rows}")
    return path


TRAINED = ["--lr", "1e-3", "--weight-decay", "1e-4", "--steps-per-unit", "10"]
OPTIONS = ["--step", "epoch", "--train", "train_acc", "--held-out", "val_acc", "--norm", "norm"]


def test_a_log_gets_one_page(log, capsys):
    assert cli.run(["explain", str(log), *OPTIONS, *TRAINED]) == 0
    page = capsys.readouterr().out
    assert "held_out: memorized" in page
    assert page.index("Possible explanations") < page.index("Weight decay had too little time to act.")
    assert "lr x decay x steps is 5.9e-05 in all" in page
    lacking = page.partition("Undecided because of missing data\n")[2].splitlines()
    assert "  number of weights: more than diffusion" in lacking
    assert "  norm_head: more than diffusion, head; head growth" in lacking
    assert "  rank_effective: rank collapse" in lacking
    assert "--regime" not in page, "nobody can give a log's training an option of ours"
    assert "  decay with time: with a budget of " in page
    assert "    in your loop: set the weight decay of the optimizer to 17\n" in page


def test_epochs_are_not_taken_for_steps(log, capsys):
    """A log in epochs whose number of steps nobody gave: not a ten times too small budget, but no budget."""
    assert cli.run(["explain", str(log), *OPTIONS, *TRAINED[:-2], "--json"]) == 0
    findings = {f["check"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    for check in ("decay time", "more than diffusion"):
        assert findings[check]["word"] == "cannot tell"
        assert any("steps_per_unit" in name for name in findings[check]["missing"])
    in_steps = log.with_name("steps.csv")
    in_steps.write_text(log.read_text().replace("epoch", "step"))
    assert cli.run(["explain", str(in_steps), "--step", "step", *OPTIONS[2:], *TRAINED[:-2], "--json"]) == 0
    findings = {f["check"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert findings["decay time"]["numbers"]["decay_budget"] == pytest.approx(5.9e-6)


def test_a_log_that_was_imported_keeps_its_unit(log, tmp_path, capsys):
    into = tmp_path / "runs"
    assert cli.run(["archive", "import-logs", str(log), "--into", str(into), *OPTIONS]) == 0
    [run] = sorted(into.iterdir())
    capsys.readouterr()
    assert cli.run(["explain", str(run), *TRAINED[:-2], "--json"]) == 0
    findings = {f["check"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert "steps_per_unit" in findings["decay time"]["missing"][0]
    assert cli.run(["explain", str(run), *TRAINED, "--json"]) == 0
    findings = {f["check"]: f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert findings["decay time"]["numbers"]["decay_budget"] == pytest.approx(5.9e-5)


def test_json_holds_every_finding_with_its_arm(log, capsys):
    assert cli.run(["explain", str(log), *OPTIONS, *TRAINED, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    findings = {f["check"]: f for f in data["findings"]}
    assert findings["decay time"]["word"] == "supports"
    assert findings["decay time"]["arm"]["changes"]["regime.weight_decay"] == pytest.approx(17, rel=0.02)
    assert findings["norm after the fit"]["numbers"]["norm_at_end"] == 89
    assert all(f["misleads"] and f["source"] for f in data["findings"])


def test_python_says_the_same(log):
    setup = gs.Setup(optimizer="adamw", lr=1e-3, weight_decay=1e-4, steps_per_unit=10)
    why = gs.explain(log, setup=setup, step="epoch", train="train_acc", held_out="val_acc", norm="norm")
    assert {f.check for f in why.fitting} == {"decay time"}
    assert {f.check for f in why.also_seen} == {"norm after the fit"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("explained")
    raw = {**TINY, "schema": 2, "name": "two", "seeds": [0, 1], "axes": {"regime.weight_decay": [0.0, 50.0]}}
    study = Study.from_dict(raw)
    study.run(0, root / "runs")
    return study, root


def test_a_run_and_a_study_are_explained(study, tmp_path, capsys, monkeypatch):
    made, root = study
    run = next(iter(sorted((root / "runs").iterdir())))
    assert cli.run(["explain", str(run)]) == 0
    assert "Weight decay" in capsys.readouterr().out
    monkeypatch.setattr("grokscope.study.study.find_study", lambda file: file)
    monkeypatch.setattr("grokscope.study.study.Study.load", lambda file: made)
    assert cli.run(["explain", "two", "--root", str(root / "runs"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [arm["n"] for arm in data["arms"]] == [2, 2]
    assert [c["key"] for c in data["contrasts"]] == ["regime.weight_decay"]
    assert data["contrasts"][0]["values"] == [0.0, 50.0]
    assert cli.run(["explain", "two", "--root", str(root / "runs")]) == 0
    assert "Effects of single settings" in capsys.readouterr().out


def test_a_plan_says_the_decay_budget(study):
    plan = study[0].plan(study[1] / "elsewhere", workers=1, probe=False)
    budgets = {r.decay_budget for r in plan.runs}
    config = plan.runs[-1].study_run.entry.config
    assert budgets == {0.0, config.regime.lr * 50.0 * plan.runs[-1].study_run.total}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", 50.0),
        ({"name": "warmup", "warmup_steps": 60}, 50.0 * 61 / 120),
        ({"name": "cosine", "warmup_steps": 0}, 25.0),
    ],
)
def test_a_planned_budget_follows_the_schedule(schedule, expected, tmp_path):
    """Sum of lr x decay over the steps: a warm-up to the end has half of it, a cosine half."""
    raw = {**TINY, "schema": 2, "name": "one", "seeds": [0]}
    raw["regime"] = {**TINY["regime"], "weight_decay": 50.0, "schedule": schedule}
    [planned] = Study.from_dict(raw).plan(tmp_path, workers=1, probe=False).runs
    assert planned.decay_budget == pytest.approx(0.01 * 60 * expected, rel=0.03)


def test_mean_rates_of_long_schedules_are_sampled():
    from grokscope.study.plan import mean_rate

    assert mean_rate(lambda step: step, 10) == pytest.approx(5.5)
    assert mean_rate(lambda step: min(1.0, step / 10**6), 10**7) == pytest.approx(0.95, rel=1e-3)


def test_a_budget_that_an_intervention_changes_is_not_planned(tmp_path):
    raw = {**TINY, "schema": 2, "name": "one", "seeds": [0]}
    off = [{"name": "switch", "from": "T_fit", "to": {"weight_decay": 0.0}}]
    raw["regime"] = {**TINY["regime"], "interventions": off}
    [planned] = Study.from_dict(raw).plan(tmp_path, workers=1, probe=False).runs
    assert planned.decay_budget is None


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["explain", "nowhere"], "nowhere"),
        (["explain", "digits", "--lr", "0.1"], "--lr: only for a log"),
        (["explain", "LOG"], "--step epoch --train train_acc --held-out"),
        (["explain", "LOG", "--step", "epoch", "--train", "train_ac", "--held-out", "val_acc"], "train_acc"),
        (["explain", "LOG", *OPTIONS, "--measured", "rnk=norm"], "rank"),
        (["explain", "LOG", *OPTIONS, "--lr", "-1"], "lr must be positive"),
        (["explain", "LOG", *OPTIONS, "--split", "ood_test"], "no held-out split 'ood_test'"),
    ],
)
def test_wrong_input_is_one_message(log, argv, words, capsys):
    assert cli.run([str(log) if a == "LOG" else a for a in argv]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_what_a_run_recorded_is_not_overridden(study, capsys):
    run = next(iter(sorted((study[1] / "runs").iterdir())))
    lr = json.loads((run / "config.json").read_text())["config"]["regime"]["lr"]
    assert cli.run(["explain", str(run), "--lr", str(3 * lr)]) == 2
    assert f"lr {3 * lr!r}: the run {run.name} was trained with {lr!r}" in capsys.readouterr().err
    assert cli.run(["explain", str(run), "--lr", str(lr)]) == 0
    assert cli.run(["explain", str(run), "--lr", str(lr), "--test", "why.toml"]) == 2
    assert "--lr: not with --test, which trains the run with its recorded settings" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "words"), [("nowhere/why.toml", "there is no folder"), ("why", "ends in .toml")])
def test_the_file_of_a_test_is_a_study_file_in_a_folder_that_is_there(study, tmp_path, capsys, name, words):
    run = next(iter(sorted((study[1] / "runs").iterdir())))
    assert cli.run(["explain", str(run), "--test", str(tmp_path / name)]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
    assert not (tmp_path / "why").exists()


def test_thresholds_reach_what_is_explained(study, log, capsys):
    run = next(iter(sorted((study[1] / "runs").iterdir())))
    assert cli.run(["explain", str(run), "--criteria.fit", "0.5", "--criteria.fit_loss", "1e-30", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "underfit"
    assert cli.run(["explain", str(log), *OPTIONS, "--criteria.generalize", "0.2"]) == 0
    assert "generalized" in capsys.readouterr().out
    assert cli.run(["explain", "digits", "--criteria.fit", "0.5"]) == 2
    assert "under [criteria]" in capsys.readouterr().err


def test_the_thresholds_of_a_study_are_those_of_its_file(study, capsys, monkeypatch):
    from dataclasses import replace

    from grokscope.trajectory import Criteria

    made, root = study
    strict = replace(made, criteria=Criteria(fit_loss=1e-30))
    monkeypatch.setattr("grokscope.study.study.find_study", lambda file: file)
    monkeypatch.setattr("grokscope.study.study.Study.load", lambda file: strict)
    assert cli.run(["explain", "two", "--root", str(root / "runs"), "--json"]) == 0
    arms = json.loads(capsys.readouterr().out)["arms"]
    assert all(set(arm["verdicts"]) == {"underfit"} for arm in arms)


def test_the_amount_of_an_intervention_is_a_dose(tmp_path, capsys, monkeypatch):
    held = [{"name": "hold_norm", "rho": rho, "from": 5} for rho in (0.8, 1.2)]
    arms = [{"name": f"rho {each['rho']}", "regime": {"interventions": [each]}} for each in held]
    made = Study.from_dict({**TINY, "schema": 2, "name": "dose", "seeds": [0, 1], "arm": arms})
    made.run(0, tmp_path)
    monkeypatch.setattr("grokscope.study.study.find_study", lambda file: file)
    monkeypatch.setattr("grokscope.study.study.Study.load", lambda file: made)
    assert cli.run(["explain", "dose", "--root", str(tmp_path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [c["key"] for c in data["contrasts"]] == ["regime.interventions.0.rho"]
    assert data["doses"] == [], "none of them generalized"
