"""Moved thresholds are tried once for each run and kept beside it."""

import json
from importlib import import_module

import pytest

from grokscope import trajectory
from grokscope.report.read.judged_run import read
from grokscope.report.read.subjects import gather, subject_from_run, subject_from_trajectory
from grokscope.store import find_runs, open_run
from grokscope.trajectory import Criteria
from report.synthetic import GROKKED, MEMORIZED, write_run


@pytest.fixture
def judgements(monkeypatch):
    """Which verdicts are computed with moved thresholds, by the split that they are on."""
    module = import_module("grokscope.trajectory.verdict")  # the package gives the function of this name
    seen = []
    original = module._neighbors
    monkeypatch.setattr(module, "_neighbors", lambda t, split, *rest: seen.append(split) or original(t, split, *rest))
    return seen


def judged(root):
    return read(gather(find_runs(root)), "id_val", Criteria())


def test_a_second_report_moves_no_threshold_and_says_the_same(tmp_path, judgements):
    for seed, shape in enumerate((GROKKED, MEMORIZED)):
        write_run(tmp_path, "a", seed, shape)
    first = judged(tmp_path)
    assert judgements == ["id_val", "id_val"]
    second = judged(tmp_path)
    assert judgements == ["id_val", "id_val"]
    for a, b in zip(first, second, strict=True):
        assert a.verdict.neighbors == b.verdict.neighbors != {}
        assert (a.verdict.robust, a.verdict.fragile) == (b.verdict.robust, b.verdict.fragile)
        direct = trajectory.verdict(b.trajectory, "id_val", Criteria())
        assert (b.verdict.robust, b.verdict.neighbors) == (direct.robust, direct.neighbors)


def test_a_kept_answer_to_another_curve_is_not_believed(tmp_path, judgements):
    folder = write_run(tmp_path, "a", 0, GROKKED)
    subject = subject_from_run(open_run(folder))
    path = folder / "results" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    flat = [row | {"id_val_acc": 0.2, "id_val_correct": 320} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in flat))  # the run went on between reading and judging
    (reading,) = read([subject], "id_val", Criteria())
    assert reading.outcome == "grokked"
    assert reading.verdict.neighbors == trajectory.verdict(subject.trajectory, "id_val", Criteria()).neighbors


def test_other_criteria_are_kept_apart(tmp_path, judgements):
    write_run(tmp_path, "a", 0, GROKKED)
    judged(tmp_path)
    (reading,) = read(gather(find_runs(tmp_path)), "id_val", Criteria(delay_ratio=50))
    assert len(judgements) == 2
    assert (
        reading.verdict.neighbors
        == trajectory.verdict(reading.trajectory, "id_val", Criteria(delay_ratio=50)).neighbors
    )


def test_a_log_without_a_folder_is_tested_too(tmp_path, judgements):
    subject = subject_from_run(open_run(write_run(tmp_path, "a", 0, GROKKED)))
    assert subject.trajectory is not None
    (reading,) = read([subject_from_trajectory(subject.trajectory, "log")], "id_val", Criteria())
    assert judgements == ["id_val"]
    assert reading.verdict.neighbors
