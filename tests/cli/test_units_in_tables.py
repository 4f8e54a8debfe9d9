"""Tables say what their numbers count: steps, a log's own unit, a score."""

import csv
from pathlib import Path

import pytest

from grokscope.cli import run as cli
from grokscope.study.check import _describe
from grokscope.study.expect import Expectation
from report.synthetic import GROKKED, MEMORIZED, rows, write_run
from results.verdict_samples import verdict


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed, shape in enumerate((GROKKED, MEMORIZED)):
        write_run(tmp_path / "runs", "wd 0.1", seed, shape)
    return tmp_path / "runs"


def first_line(capsys: pytest.CaptureFixture[str], starts: str) -> str:
    return next(line for line in capsys.readouterr().out.splitlines() if line.startswith(starts))


def test_ls_and_compare(root, capsys):
    assert cli(["ls", str(root)]) == 0
    header = first_line(capsys, "state")
    assert "T_fit [steps]" in header
    assert "end [score]" in header
    assert cli(["compare", *map(str, sorted(root.iterdir()))]) == 0
    shown = capsys.readouterr().out
    for row in ("T_gen [steps]", "delay_ratio [times]", "peak [score]", "settling [steps]"):
        assert f"\n{row} " in shown


def test_verdicts_of_runs_are_in_steps_and_those_of_logs_in_their_own_unit(root, tmp_path, capsys):
    log = tmp_path / "log.csv"
    with open(log, "w", newline="") as file:
        writer = csv.DictWriter(file, ["epoch", "train_acc", "id_val_acc"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows(GROKKED, 0, 20000))
    named = ["--step", "epoch", "--train", "train_acc", "--held-out", "id_val_acc"]
    assert cli(["verdict", str(root)]) == 0
    assert "T_gen [steps]" in first_line(capsys, "source")
    assert cli(["verdict", str(log), *named]) == 0
    assert "T_gen [epoch]" in first_line(capsys, "source")
    assert cli(["verdict", str(root), str(log), *named]) == 0
    assert "T_gen [steps or epoch]" in first_line(capsys, "source")


def test_a_check_says_steps_of_what_is_steps_and_of_nothing_else():
    expectation = Expectation(where={}, ranges={"T_gen": (400, 2600), "delay_ratio": (2, 20), "peak": (0.9, 1.0)})
    words = "T_gen in [400, 2,600] steps; delay_ratio in [2, 20]; peak in [0.9, 1]"
    assert expectation.expected() == words
    seen = _describe(expectation, [verdict(), verdict()], 2)
    assert seen == "2 of 2: grokked; T_gen 500 steps; delay_ratio 10; peak 0.97"
