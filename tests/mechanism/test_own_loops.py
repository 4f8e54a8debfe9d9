"""What `explain` says of trainings that grokscope only recorded: arms in words, and declared random labels."""

import json

import numpy as np
import pytest

from grokscope import cli
from grokscope.mechanism import Case, Setup, case_of_run, explain_by
from grokscope.mechanism import explain as run_checks
from grokscope.mechanism.check import Check
from grokscope.mechanism.explain import CHECKS
from grokscope.mechanism.own_loop import in_own_loop
from grokscope.recorder import Recorder
from grokscope.results.mechanisms import Arm
from grokscope.store import Run, open_run
from grokscope.train.driver import train
from tiny import tiny


def recorded(folder, **more) -> Run:
    """A memorizing loop: train fits at once, held-out never rises."""
    rec = Recorder(folder, n={"train": 100, "id_val": 400}, trivial={"id_val": 0.1}, **more)
    for step in range(0, 400, 10):
        train_acc = min(1.0, 0.1 + step / 50)
        rec.log(
            step,
            train_acc=train_acc,
            id_val_acc=0.1,
            train_loss=2 - 1.9 * train_acc,
            norm_total=30 + step / 10,
            lr=1e-3,
        )
    return rec.finish()


# -- arms in words -----------------------------------------------------------------------------------------------------


def test_a_recorded_run_is_told_what_to_change_in_its_loop(tmp_path, capsys):
    run = recorded(tmp_path / "mine")
    assert cli.run(["explain", str(run.path), "--weight-decay", "1e-4"]) == 0
    page = capsys.readouterr().out
    assert "--regime" not in page
    assert "--task" not in page
    assert "in your loop: set the weight decay of the optimizer to " in page
    assert "in your loop: train on 200 examples, and keep the held-out splits" in page
    assert cli.run(["explain", str(run.path), "--weight-decay", "1e-4", "--json"]) == 0
    arms = [f["arm"] for f in json.loads(capsys.readouterr().out)["findings"] if f["arm"]]
    assert arms
    assert all(arm["in_own_loop"] for arm in arms)


def test_a_run_of_grokscope_s_own_is_told_the_options(tmp_path):
    explanation = explain_by(case_of_run(train(tiny(), tmp_path)))
    arms = [f.arm for f in explanation.findings if f.arm is not None]
    assert arms
    assert {arm.in_own_loop for arm in arms} == {""}


def every_arm() -> list[tuple[str, Arm]]:
    """All arms that checks hand out, looked up where they are defined or made."""
    from grokscope.mechanism import data, decay, features, head, logits, norms

    constants = {
        f"{module.__name__}.{name}": value
        for module in (data, decay, features, head, logits, norms)
        for name, value in vars(module).items()
        if isinstance(value, Arm)
    }
    made = {
        "held": {"regime.interventions": [{"name": "hold_norm", "of": "head", "rho": 1.0, "from": "T_fit"}]},
        "decay": {"regime.weight_decay": 17.0, "regime.decay_groups": "all"},
        "a fifth": {"regime.interventions": [{"name": "switch", "from": 40, "to": {"weight_decay": 4.0}}]},
        "float64": {"regime.loss_dtype": "float64"},
        "data": {"task.n_train": 200},
        "longer": {"budget.steps": 5000},
        "f - f0": {"regime.interventions": [{"name": "subtract_initial"}]},
    }
    return [*constants.items(), *((k, Arm(name=k, changes=v, expects="")) for k, v in made.items())]


@pytest.mark.parametrize(("name", "arm"), every_arm(), ids=lambda x: x if isinstance(x, str) else "")
def test_every_arm_has_words_without_a_key_of_ours(name, arm):
    words = arm.in_own_loop or in_own_loop(arm.changes, 120.0)
    assert words, name
    for ours in ("regime", "task.", "budget", "model.norm", "--", "{", "hold_norm", "grad_filter", "decay_groups",
                 "subtract_initial", "None"):  # fmt: skip
        assert ours not in words, (name, words)
    assert not words.startswith("set ") or "weight decay of the optimizer" in words, "the general sentence"


def test_there_are_as_many_arms_as_checks_hand_out():
    """A check that comes with a new arm needs its words in the list above."""
    import inspect

    named = {name.rpartition(".")[2] for name, _ in every_arm()}
    for check in {type(c) for c in CHECKS}:
        source = inspect.getsource(inspect.getmodule(check))
        for word in {w.strip("),") for w in source.split() if w.startswith("arm=")}:
            constant = word.removeprefix("arm=")
            assert not constant.isupper() or constant in named, (check, constant)


def test_when_and_what_stand_in_the_words():
    held = {"regime.interventions": [{"name": "hold_norm", "of": None, "rho": 0.5, "from": "T_fit"}]}
    assert in_own_loop(held, 1200.0) == (
        "from the fit on (T_fit, 1,200), after every optimizer step rescale all weights, by one factor, to 0.5 times "
        "the norm of the beginning"
    )
    off = {"regime.interventions": [{"name": "switch", "from": "T_fit", "to": {"weight_decay": 0.0}}]}
    assert in_own_loop(off, None) == "from the fit on, set the weight decay of the optimizer to 0"


def test_a_plug_in_s_check_says_its_settings_all_the_same(tmp_path):
    from grokscope.mechanism.check import Answer

    class Own(Check):
        name, claim, source, misleads = "own", "claim", "doi:1", "never"

        def read(self, case: Case) -> Answer:
            del case
            return Answer("supports", "so", arm=Arm(name="x", changes={"regime.batch_size": 8}, expects="y"))

    finding = Own().look(case_of_run(recorded(tmp_path / "mine")))
    assert finding.arm is not None
    assert finding.arm.in_own_loop == "set batch_size to 8"


def test_the_page_says_it_too(tmp_path, capsys):
    run = recorded(tmp_path / "mine")
    assert cli.run(["report", str(run.path), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "--task.n_train" not in page
    assert "--regime" not in page


# -- declared random labels --------------------------------------------------------------------------------------------


def test_random_labels_declared_to_a_recorder_are_the_reason(tmp_path, capsys):
    run = recorded(tmp_path / "mine", label_noise=1.0)
    assert run.config["regime"]["label_noise"] == 1.0
    findings = {f.check: f for f in explain_by(case_of_run(run)).findings}
    assert (findings["label noise"].word, findings["label noise"].explains) == ("supports", True)
    assert not [f.check for f in findings.values() if f.explains and f.check != "label noise"]


def test_some_noise_is_named_and_none_is_none(tmp_path):
    some, none, unknown = (
        {f.check: f for f in explain_by(case_of_run(run)).findings}["label noise"]
        for run in (
            recorded(tmp_path / "a", label_noise=0.2),
            recorded(tmp_path / "b", label_noise=0),
            recorded(tmp_path / "c"),
        )
    )
    assert (some.word, "20 %" in some.evidence) == ("cannot tell", True)
    assert not none.applies
    assert unknown.missing == ("label_noise",)


def test_noise_makes_train_the_harder_split_legitimately(tmp_path):
    """Held-out ahead of train: suspicious with clean labels, and not where a fifth of them is wrong."""
    words = {}
    for noise in (0.0, 0.2):
        rec = Recorder(
            tmp_path / str(noise), n={"train": 900, "id_val": 900}, trivial={"id_val": 0.1}, label_noise=noise
        )
        for step in range(0, 400, 10):
            rec.log(step, train_acc=min(0.8, step / 200), id_val_acc=min(0.99, step / 150), train_loss=0.1)
        findings = explain_by(case_of_run(rec.finish())).findings
        words[noise] = next(f for f in findings if f.check == "evaluation mode")
    assert words[0.0].word == "supports"
    assert not words[0.2].applies


@pytest.mark.parametrize("wrong", [-0.1, 1.1, 20, "0.2", True, float("nan")])
def test_what_is_no_share_is_refused_with_the_field(wrong, tmp_path):
    with pytest.raises(ValueError, match="label_noise: expected a share from 0 to 1"):
        Recorder(tmp_path / "mine", label_noise=wrong)
    assert not (tmp_path / "mine").exists()
    with pytest.raises(ValueError, match="label_noise: expected a share"):
        Setup(label_noise=wrong)


def test_a_recording_does_not_go_on_with_other_noise(tmp_path):
    recorded(tmp_path / "mine", label_noise=0.2)
    with pytest.raises(ValueError, match=r"label_noise 0\.2, not 1\.0"):
        Recorder(tmp_path / "mine", label_noise=1.0)
    Recorder(tmp_path / "mine").finish()
    assert open_run(tmp_path / "mine").config["regime"]["label_noise"] == 0.2, "what was known stays known"


def test_logs_are_declared_when_they_are_imported_or_explained(tmp_path, capsys):
    log = tmp_path / "log.csv"
    log.write_text("step,train,val\n" + "".join(f"{i},{min(1, i / 5)},0.1\n" for i in range(60)))
    options = ["--step", "step", "--train", "train", "--held-out", "val"]
    into = ["--into", str(tmp_path / "runs")]
    assert cli.run(["archive", "import-logs", str(log), *into, *options]) == 0
    assert cli.run(["archive", "import-logs", str(log), *into, *options, "--label-noise", "1.0"]) == 0
    assert "1 of them new or updated" in capsys.readouterr().out
    (run,) = (p for p in (tmp_path / "runs").iterdir() if p.is_dir())
    assert open_run(run).config["regime"]["label_noise"] == 1.0
    for source, more in ((run, []), (log, [*options, "--label-noise", "1"])):
        assert cli.run(["explain", str(source), *more]) == 0
        page = capsys.readouterr().out
        assert "The training labels are noise: there is nothing to generalize to." in page
        assert "in your loop: train on the true labels, with none replaced" in page
    assert cli.run(["archive", "import-logs", str(log), *into, *options, "--label-noise", "20"]) == 2
    assert "label_noise: expected a share from 0 to 1" in capsys.readouterr().err
    assert cli.run(["explain", str(run), "--label-noise", "0.5"]) == 2
    assert "was trained with 1.0 according to its record" in capsys.readouterr().err


def test_a_trajectory_is_explained_in_words(tmp_path):
    from grokscope.mechanism import case_of_trajectory
    from grokscope.trajectory.series import from_run

    trajectory = from_run(recorded(tmp_path / "mine"))
    explanation = run_checks(case_of_trajectory(trajectory, Setup(lr=1e-3, weight_decay=1e-4)))
    assert np.all([f.arm.in_own_loop for f in explanation.findings if f.arm is not None])
