"""``grokscope track``: runs that are there already, of any origin."""

import json
from pathlib import Path

import pytest

import grokscope
import lab_trackers
from grokscope.cli import run as cli
from grokscope.store import Run
from grokscope.track import courier
from grokscope.track.afterward import mirror_here
from grokscope.train.driver import train
from lab_trackers import Paper, sheets
from tiny import tiny

pytestmark = pytest.mark.usefixtures("registered_here_only", "paper")


@pytest.fixture
def paper():
    grokscope.register(lab_trackers.Paper)
    yield
    courier._close_all()


def steps(lines):
    return [line["step"] for line in lines if "step" in line]


def results(capsys):
    return json.loads(capsys.readouterr().out)


def test_trained_recorded_and_imported_runs_and_what_is_none(tmp_path, capsys):
    root = tmp_path / "runs"
    trained = train(tiny(), root)
    with grokscope.Recorder(root / "own") as recorder:
        for step in range(5):
            recorder.log(step, train_acc=0.2 * step, id_val_acc=0.1)
    (tmp_path / "log.csv").write_text("epoch,acc,val\n" + "".join(f"{i},{i / 10},{i / 20}\n" for i in range(11)))
    words = ["archive", "import-logs", str(tmp_path / "log.csv"), "--step", "epoch", "--train", "acc"]
    assert cli([*words, "--held-out", "id_val=val", "--into", str(root)]) == 0
    damaged = train(tiny(seed=1), root)
    (damaged.path / "results" / "metrics.jsonl").write_text('{"step": 0}\nnonsense\n')
    (tmp_path / "nothing").mkdir()
    capsys.readouterr()

    assert cli(["track", str(root), str(tmp_path / "nothing"), "--to", "paper", "--json"]) == 1
    by_name = {Path(r["run"]).name: r for r in results(capsys)}
    assert len(by_name) == 5, "one that fails costs the others nothing"
    assert "line 2: not a row of metrics" in by_name.pop(damaged.id)["problem"]
    assert "is not a run" in by_name.pop("nothing")["problem"]
    assert trained.id in by_name
    for name, result in by_name.items():
        run = Run(root / name)
        (lines,) = sheets(run.path)
        assert result["problem"] == ""
        assert result["rows"] == len(run.rows()) > 0
        assert [line for line in lines if "step" in line] == run.rows()
        assert lines[-1]["closed"]["id_val.verdict"]


@pytest.mark.parametrize("endless", [False, True])
def test_the_same_command_again_adds_nothing(endless, tmp_path, capsys):
    run = train(tiny(), tmp_path)
    to = f"paper:endless={'true' if endless else 'false'}"
    for _ in range(2):
        assert cli(["track", str(run.path), "--to", to, "--json"]) == 0
        (result,) = results(capsys)
        assert result["rows"] == 12
    (lines,) = sheets(run.path)
    assert steps(lines) == steps(run.rows())
    assert result["where"] == str(next((run.path / "paper").iterdir()))
    assert sum("opened" in line for line in lines) == 1


def test_what_is_there_is_left_alone_and_what_was_deleted_comes_back(tmp_path):
    run = train(tiny(), tmp_path)
    (first,) = grokscope.track_run(run, "paper")
    before = Path(first.where).stat().st_mtime_ns
    (second,) = grokscope.track_run(run, "paper")
    assert (second.where, second.rows) == (first.where, 12)
    assert Path(first.where).stat().st_mtime_ns == before
    Path(first.where).unlink()
    (third,) = grokscope.track_run(run, "paper")
    assert (third.where, third.rows) == (first.where, 12)
    assert steps(sheets(run.path)[0]) == steps(run.rows())


def test_a_run_in_training_is_mirrored_as_far_as_it_is(tmp_path):
    with grokscope.Recorder(tmp_path / "own") as recorder:
        recorder.log(1, id_val_acc=0.1)
        (first,) = grokscope.track_run(tmp_path / "own", "paper:endless=true")
        recorder.log(2, id_val_acc=0.2)
    (second,) = grokscope.track_run(tmp_path / "own", "paper:endless=true")
    (lines,) = sheets(tmp_path / "own")
    assert (first.rows, second.rows, steps(lines)) == (1, 2, [1, 2])
    closed = [line["closed"] for line in lines if "closed" in line]
    assert closed[0] == {}
    assert closed[1]["state"] == "done"


def test_a_tracker_that_fails_has_a_problem_and_the_others_go_on(tmp_path, capsys):
    run = train(tiny(), tmp_path)
    assert cli(["track", str(run.path), "--to", "paper:fault=killed", f"paper:dir={tmp_path}/other"]) == 1
    out = capsys.readouterr().out
    assert f"paper: {run.path}: not mirrored: its process was killed by SIGKILL" in out
    assert f"paper: {run.path}: 12 rows in {tmp_path}/other" in out


def test_a_folder_with_links_is_not_written_to(tmp_path):
    run = train(tiny(), tmp_path / "runs")
    (tmp_path / "precious").mkdir()
    (run.path / "paper").symlink_to(tmp_path / "precious")
    (result,) = grokscope.track_run(run, "paper")
    assert "symbolic link" in result.problem
    assert not list((tmp_path / "precious").iterdir())


def test_bad_input(tmp_path, capsys):
    run = train(tiny(), tmp_path)
    assert cli(["track", "--to", "paper"]) == 2
    assert "name at least one run folder" in capsys.readouterr().err
    assert cli(["track", str(run.path), "--to", "paperr"]) == 2
    assert "--to: unknown tracker 'paperr'; did you mean 'paper'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no such folder"):
        grokscope.track_run(tmp_path / "absent", "paper")


def test_errors_of_a_tracker_are_raised_where_one_develops_it(tmp_path):
    run = train(tiny(), tmp_path)
    assert Path(mirror_here(run, Paper())).parent == run.path / "paper"
    with pytest.raises(RuntimeError, match="cannot finish"):
        mirror_here(run, Paper(fault="close"))
