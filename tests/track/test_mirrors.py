"""Mirrors of runs that train: they say what the folder says, and nothing they do reaches the training."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest

import grokscope
import lab_trackers
from grokscope.cli import run as cli
from grokscope.commands.train import train_run
from grokscope.execute.remote import _entries
from grokscope.execute.submissions import new_submission, read_runs
from grokscope.store import Run
from grokscope.study import Study
from grokscope.track import courier, mirrors
from grokscope.track.mirrors import Mirrors
from grokscope.train.driver import Interrupted, train
from lab_trackers import Paper, sheets
from tiny import TINY, TINY_TOML, same_folder_content, tiny

pytestmark = pytest.mark.usefixtures("registered_here_only", "own_processes")
HERE = Path(__file__).parent.parent
STUDY = {**TINY, "seeds": [0, 1, 2]}


@pytest.fixture
def own_processes(monkeypatch):
    """Processes of this test alone, and nobody who is remembered as hanging."""
    monkeypatch.setattr(mirrors, "_hung", set())
    monkeypatch.setattr(mirrors, "_told", set())
    monkeypatch.setenv("REGISTER_LAB_TRACKERS", "1")
    grokscope.register(lab_trackers.Paper)
    yield
    courier._close_all()


def rows_of(run):
    return [{key: value for key, value in row.items() if value is not None} for row in run.rows()]


def steps(lines):
    return [line["step"] for line in lines if "step" in line]


def test_rows_are_mirrored_with_config_and_what_the_run_came_to(tmp_path):
    run = train_run(tiny(), tmp_path, track="paper").run
    (lines,) = sheets(run.path)
    first, *rows, last = lines
    assert first == {"opened": False, "name": run.id, "group": "custom", "task": "modular"}
    assert rows == rows_of(run)
    verdict = grokscope.verdict(run)["id_val"]
    assert last["closed"]["state"] == "done"
    assert last["closed"]["id_val.verdict"] == verdict.label
    assert last["closed"]["id_val.T_gen"] == f"not by {verdict.milestones.T_gen.at}"


def test_a_complete_run_is_mirrored_when_it_is_asked_for_again(tmp_path):
    plain = train_run(tiny(), tmp_path).run
    assert not sheets(plain.path)
    train_run(tiny(), tmp_path, track=[{"name": "paper"}])
    assert steps(sheets(plain.path)[0]) == steps(plain.rows())


@pytest.mark.parametrize("fault", ["none", "open", "rows", "close", "hang", "killed", "exit"])
def test_whatever_a_tracker_does_the_run_is_the_same_to_the_bit(fault, tmp_path, monkeypatch):
    if fault == "hang":
        monkeypatch.setenv(mirrors.WAIT, "1")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mirrored = train_run(tiny(), tmp_path / "with", track=Paper(fault=fault)).run
    plain = train(tiny(), tmp_path / "without")
    same_folder_content(plain.path, mirrored.path)
    assert mirrored.status["state"] == "done"
    texts = [str(w.message) for w in caught if "paper" in str(w.message)]
    if fault == "none":
        assert texts == []
        return
    why = {
        "open": "OSError: No space left on device", "rows": "RuntimeError: the server says no",
        "close": "RuntimeError: cannot finish", "hang": "it did not finish within 1 s",
        "killed": "its process was killed by SIGKILL",
        "exit": "SystemExit: not logged in",
    }[fault]  # fmt: skip
    (text,) = texts
    assert text.startswith(f"paper: the mirror of {mirrored.path} is not complete: {why}")
    assert text.endswith(f"mirror later with: grokscope track {mirrored.path} --to paper:fault={fault}")


def test_warnings_that_are_errors_do_not_stop_a_run(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert train_run(tiny(), tmp_path, track=Paper(fault="rows")).run.status["state"] == "done"


def test_a_tracker_that_hangs_is_not_waited_for_when_training_is_stopped(tmp_path, monkeypatch):
    """With the patience for finished runs this would outlast the time limit of tests."""
    monkeypatch.setenv(mirrors.WAIT, "1e9")
    monkeypatch.setattr(mirrors, "HURRY_S", 0.2)
    hanging = Mirrors([Paper(fault="hang")])
    stopped = pytest.raises(Interrupted)  # raised inside of what ends the mirror
    with pytest.warns(UserWarning, match=r"paper: .* did not finish within 0.2 s"), hanging as m, stopped:
        train(tiny(), tmp_path, watcher=m.watching(None), interrupt_at=30)
    assert mirrors._hung == set(), "a stopped training gives too little time to say so"


def test_who_hung_once_is_not_waited_for_again(tmp_path, monkeypatch):
    monkeypatch.setattr(mirrors, "HURRY_S", 0.2)
    monkeypatch.setenv(mirrors.WAIT, "0.5")
    with pytest.warns(UserWarning, match="within 0.5 s"):
        train_run(tiny(), tmp_path, track=Paper(fault="hang"))
    with pytest.warns(UserWarning, match="within 0.2 s"):
        train_run(tiny(seed=1), tmp_path, track=Paper(fault="hang"))


def test_one_tracker_that_fails_costs_the_others_nothing(tmp_path):
    with pytest.warns(UserWarning, match="paper: "):
        run = train_run(tiny(), tmp_path, track=[Paper(fault="killed"), Paper(dir=str(tmp_path / "elsewhere"))]).run
    assert steps(sheets(tmp_path / "elsewhere" / run.id)[0]) == steps(run.rows())


def test_who_is_killed_is_not_taken_for_hanging(tmp_path):
    with pytest.warns(UserWarning, match="SIGKILL"):
        train_run(tiny(), tmp_path, track=Paper(fault="killed"))
    assert mirrors._hung == set()


def test_one_reason_is_said_once_however_many_runs_it_concerns(tmp_path):
    study = Study.from_dict({**STUDY, "track": ["paper:fault=rows"]})
    with pytest.warns(UserWarning, match="paper") as caught:
        study.run(workers=0, root=tmp_path)
    assert [str(w.message).partition(":")[0] for w in caught] == ["paper"]


def test_a_fault_of_ours_does_not_stop_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(courier.Courier, "follow", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match="paper: .* is not complete: ZeroDivisionError"):
        assert train_run(tiny(), tmp_path, track="paper").run.status["state"] == "done"


def test_a_process_with_thousands_of_open_files_is_mirrored(tmp_path):
    """As that of a stack of a thousand runs is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("this machine lets a process open few files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    with ExitStack() as files:
        for _ in range(1100):
            files.enter_context(open(os.devnull))
        run = train_run(tiny(), tmp_path, track="paper").run
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert steps(sheets(run.path)[0]) == steps(run.rows())


def test_where_the_mirrors_are_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("run.toml").write_text(f"{TINY_TOML}[budget]\nsteps = 20\n")
    assert cli(["train", "run.toml", "--track", "paper", "--json"]) == 0
    where = json.loads(capsys.readouterr().out)["mirrors"]["paper"]
    assert Path(where).exists()
    assert cli(["train", "run.toml", "--track", "paper"]) == 0
    assert f"paper        {where}" in capsys.readouterr().out.splitlines()


def test_a_patience_that_is_no_number_is_said_before_anything_trains(tmp_path, monkeypatch):
    monkeypatch.setenv(mirrors.WAIT, "long")
    with pytest.raises(ValueError, match="GROKSCOPE_TRACK_WAIT_S: expected a number of seconds, got 'long'"):
        train_run(tiny(), tmp_path, track="paper")
    assert not list(tmp_path.iterdir())


def test_jobs_of_a_cluster_know_the_trackers_of_their_study(tmp_path):
    study = Study.from_dict({**STUDY, "track": ["paper:endless=true"]})
    sent = new_submission(study.name, tmp_path, "slurm", [s.job() for s in study.status(tmp_path)], {})
    head, runs = read_runs(sent.folder)
    assert [entry.track for entry in _entries(head, runs)] == [(Paper(endless=True),)] * 3
    assert all(e.track == () for e in _entries({k: v for k, v in head.items() if k != "track"}, runs)), "older ones"
    assert study.tracked("paper:dir=x").runs() == study.runs()
    assert study.tracked("none").status(tmp_path)[0].job().track == ()


def test_a_process_that_cannot_be_started_costs_a_warning(tmp_path, monkeypatch):
    def start(tracker):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(courier.Courier, "start", start)
    with pytest.warns(UserWarning, match=r"its process could not be started \(Cannot allocate memory\)"):
        assert train_run(tiny(), tmp_path, track="paper").run.status["state"] == "done"


def test_the_queue_is_bounded(tmp_path):
    """A process that reads nothing is given up after some thousands of lines, and nobody waits for it."""
    carrier = courier.courier_of(Paper())
    os.kill(carrier.process.pid, signal.SIGSTOP)
    for number in range(5000):
        carrier.follow(tmp_path / f"run{number}")
        if not carrier.alive:
            break
    assert not carrier.alive
    assert set(carrier.problems.values()) == {"it no longer answers"}


def test_the_process_that_trains_imports_no_tracker(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from grokscope.commands.train import train_run\n"
        "from tiny import tiny\n"
        "train_run(tiny(), sys.argv[2], track='tensorboard')\n"
        "print([name for name in ('tensorboard', 'wandb', 'trackio') if name in sys.modules])\n"
    )
    if find_spec("tensorboard") is None:
        pytest.skip("tensorboard is not installed")
    done = subprocess.run([sys.executable, "-c", code, str(HERE), str(tmp_path)], capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert done.stdout.strip() == "[]"
    assert done.stderr == "", "nothing is left running, and nothing is said"


# -- resuming ---------------------------------------------------------------------------------------------------------


def killed_at(root, step, track):
    """A run that was killed after `step`, with a resume state from before its last rows."""
    with Mirrors(track) as m, pytest.raises(Interrupted):
        train(tiny(), root, watcher=m.watching(None), interrupt_at=step)
    run = Run(root / tiny().run_id())
    newest = max((run.path / "resume").glob("*.pt"))
    newest.unlink()
    return run


@pytest.mark.parametrize("endless", [False, True])
def test_rows_that_a_resumed_run_repeats_are_mirrored_once(endless, tmp_path):
    paper = Paper(endless=endless)
    run = killed_at(tmp_path, 35, [paper])
    before = steps(run.rows())
    train_run(tiny(), tmp_path, track=paper)
    (lines,) = sheets(run.path)
    assert before[-1] == 35
    assert [line for line in lines if "step" in line] == rows_of(run)
    assert [line["opened"] for line in lines if "opened" in line] == ([False, True] if endless else [False])
    assert [bool(line["closed"]) for line in lines if "closed" in line] == ([False, True] if endless else [True])


@pytest.mark.parametrize("change", ["other", "gone"])
def test_rows_that_a_run_no_longer_has_are_not_left_silently(change, tmp_path):
    """As after resuming on another machine: a row says otherwise, or is gone."""
    paper = Paper(endless=True)
    run = train_run(tiny(), tmp_path, track=paper).run
    path = run.path / "results" / "metrics.jsonl"
    first, *rest = [json.loads(line) for line in path.read_text().splitlines()]
    new = [{**first, "train_loss": 0.5}, *rest] if change == "other" else [first, *rest[:3], *rest[4:]]
    path.write_text("".join(json.dumps(row) + "\n" for row in new))
    (result,) = grokscope.track_run(run, paper)
    old, anew = sheets(run.path)
    assert [line for line in anew if "step" in line] == rows_of(run)
    assert "mirrored anew, beside it" in result.notes[0]
    assert steps(old)[-1] == 60, "what cannot be deleted from here stays"
    grokscope.track_run(run, Paper())
    assert [line for line in sheets(run.path)[-1] if "step" in line] == rows_of(run)


def test_extended_runs_go_on_in_their_mirror(tmp_path):
    paper = Paper(endless=True)
    run = train_run(tiny(budget__steps=56), tmp_path, track=paper).run
    train_run(tiny(budget__steps=70), tmp_path, track=paper)
    (lines,) = sheets(run.path)
    assert [line for line in lines if "step" in line] == rows_of(run)
    assert [line["closed"]["step"] for line in lines if "closed" in line] == [56, 70]


def test_when_the_training_process_is_killed_the_mirror_is_ended(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import grokscope, lab_trackers\n"
        "from grokscope.commands.train import train_run\n"
        "from tiny import tiny\n"
        "grokscope.register(lab_trackers.Paper)\n"
        "train_run(tiny(budget__steps=10**7, evaluate={'every': 1000}), sys.argv[2], track='paper')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(HERE), str(tmp_path)])
    run = tmp_path / tiny(budget__steps=10**7, evaluate={"every": 1000}).run_id()
    wait_for(lambda: sheets(run) and steps(sheets(run)[0]))
    process.kill()
    process.wait()
    wait_for(lambda: "closed" in sheets(run)[0][-1])
    assert sheets(run)[0][-1] == {"closed": {}}, "an open end, for the run is not over"


def wait_for(condition):
    while not condition():  # the time limit of tests ends it
        time.sleep(0.05)


# -- studies, stacks, recordings --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"workers": 2}, {"workers": 0}, {"workers": 1, "engine": "stacked"}], ids=str)
def test_every_run_of_a_study_is_mirrored_as_one(options, tmp_path):
    study = Study.from_dict({**STUDY, "track": [{"name": "paper"}]})
    assert study.runs() == Study.from_dict(STUDY).runs(), "no run is another one for it"
    outcomes = study.run(root=tmp_path, **options)
    assert [o.state for o in outcomes] == ["done"] * 3
    for config in study.runs():
        run = Run(tmp_path / config.run_id())
        (lines,) = sheets(run.path)
        assert [line for line in lines if "step" in line] == rows_of(run)
        assert lines[-1]["closed"]["state"] == "done"
        assert "paper" not in json.dumps(run.config), "the config of a run does not name it"


def test_the_command_line_chooses_over_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    toml = f'seeds = [0]\ntrack = ["paper:dir={tmp_path}/told"]\n{TINY_TOML}[budget]\nsteps = 20\n'
    Path("study.toml").write_text(toml)
    Path("run.toml").write_text(toml.replace("seeds = [0]\n", ""))
    assert cli(["study", "run", "study.toml", "--root", "a", "--workers", "0", "--track", "none"]) == 0
    assert not Path("told").exists()
    assert cli(["worker", "study.toml", "--root", "a2", "--track", "paper"]) == 0
    assert len(list(Path("told").glob("*/paper/*.jsonl"))) == 1, "by its name alone it keeps the file's parameters"
    assert cli(["train", "run.toml", "--root", "b", "--track", f"paper:dir={tmp_path}/other"]) == 0
    assert len(list(Path("other").glob("*/paper/*.jsonl"))) == 1
    assert cli(["train", "run.toml", "--root", "c"]) == 0
    capsys.readouterr()
    assert cli(["study", "status", "study.toml", "--root", "a"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tensorbord"], "--track: unknown tracker 'tensorbord'; did you mean 'tensorboard'"),
        (["paper:fold=1"], "--track.fold: tracker 'paper' has no parameter 'fold'"),
        (["paper:x"], "--track: expected NAME:KEY=VALUE,KEY=VALUE, got 'x'"),
        (["paper", "paper"], "--track: paper is named twice"),
        (["absent"], "--track: 'absent' needs the package no_such_package: pip install 'mine[absent]'"),
    ],
)
def test_mistakes_are_said_before_anything_trains(words, message, tmp_path, monkeypatch, capsys):
    grokscope.register(lab_trackers.Absent)
    monkeypatch.chdir(tmp_path)
    Path("run.toml").write_text(f"{TINY_TOML}[budget]\nsteps = 20\n")
    assert cli(["train", "run.toml", "--track", *words]) == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()


def test_recordings_are_mirrored_as_they_grow(tmp_path):
    for part in (range(0, 5), range(3, 8)):  # the second goes on from before the end of the first
        with grokscope.Recorder(tmp_path / "own", name="mine", track="paper") as recorder:
            for step in part:
                recorder.log(step, train_acc=step / 10, id_val_acc=0.1)
    (lines,) = sheets(tmp_path / "own")
    assert [line for line in lines if "step" in line] == rows_of(Run(tmp_path / "own"))
    assert steps(lines) == list(range(8))
    assert lines[0]["group"] == "mine"
    assert lines[-1]["closed"]["id_val.verdict"]
