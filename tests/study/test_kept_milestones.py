"""Milestones of kept verdicts, with grids from columns or text, are those that are read off the curve."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from grokscope.results.milestones import MilestonesRecord
from grokscope.store import Run, kept_columns
from grokscope.study import Study, kept_milestones
from grokscope.study.judge import Judge
from grokscope.trajectory import Criteria, from_run
from grokscope.trajectory.milestones import milestones
from grokscope.verdicts import run_verdicts
from tiny import TINY

SPLITS = {s: {"n": 40, "trivial_acc": 0.1, "trivial_loss": 2.0} for s in ("train", "id_val")}


def counted(step: int) -> dict:
    """A row as the engines write it."""
    train, held = min(40, 4 * step), min(38, step)
    return {"train_correct": train, "train_n": 40, "train_acc": train / 40,
            "id_val_correct": held, "id_val_n": 40, "id_val_acc": held / 40, "train_loss": 1 / (step + 1)}  # fmt: skip


def sparse(step: int) -> dict:
    """The held-out split is evaluated in every third row."""
    return {k: v for k, v in counted(step).items() if step % 3 == 0 or not k.startswith("id_val")}


def only_shares(step: int) -> dict:
    return {"train_acc": min(1, step / 10), "id_val_acc": min(0.96, step / 40), "train_loss": 1.0}


def losses(step: int) -> dict:
    """A regression, whose score follows from its losses."""
    return {"train_loss": 2 / (step + 1), "train_n": 40, "id_val_loss": 4 / (step + 2), "id_val_n": 40}


def make(folder: Path, row, kind: str = "classification", leave: bool = True) -> Run:
    (folder / "results").mkdir(parents=True)
    config = {"task": {"name": "modular"}, "regime": {"name": "r"}, "seed": 0}
    facts = {"kind": kind, "threshold": 0.9, "splits": SPLITS}
    (folder / "config.json").write_text(json.dumps({"schema": 3, "config": config, "facts": facts, "passed": []}))
    (folder / "status.json").write_text(json.dumps({"state": "done", "step": 180, "error": None}))
    rows = [{"step": step * 3, **row(step)} for step in range(61)]
    (folder / "results" / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    if leave:
        kept_columns.leave(folder)
    return Run(folder)


def agrees(run: Run, criteria: Criteria | None = None) -> bool:
    """Whether the kept milestones are known without the curve; where they are, they must be the curve's."""
    record = run_verdicts(run, criteria, neighbors=False)["id_val"].milestones
    kept = kept_milestones.kept_milestones(run, record, criteria)
    if kept is None:
        return False
    read = milestones(from_run(run), "id_val", criteria)
    for field in fields(MilestonesRecord):
        assert getattr(kept, field.name) == getattr(read, field.name), field.name
    assert kept.grids.keys() == read.grids.keys()
    for name, grid in read.grids.items():
        np.testing.assert_array_equal(kept.grids[name], grid)
    return True


@pytest.mark.parametrize("row", [counted, sparse, only_shares])
@pytest.mark.parametrize("criteria", [None, Criteria(fit=0.8, in_a_row=3)])
def test_with_kept_columns(tmp_path, row, criteria):
    assert agrees(make(tmp_path / "run", row), criteria)


def test_of_a_regression(tmp_path):
    assert agrees(make(tmp_path / "run", losses, "regression"))


@pytest.mark.parametrize(("row", "sure"), [(counted, True), (only_shares, True), (sparse, False)])
def test_from_the_text_of_the_metrics(tmp_path, row, sure):
    assert agrees(make(tmp_path / "run", row, leave=False)) is sure


def test_a_threshold_of_loss_is_read_off_the_curve(tmp_path):
    assert not agrees(make(tmp_path / "run", counted), Criteria(fit_loss=0.1))


def test_a_grid_that_is_not_the_verdict_s_is_not_taken(tmp_path):
    run = make(tmp_path / "run", counted)
    record = run_verdicts(run, neighbors=False)["id_val"].milestones
    longer = type(record)(**{**{f.name: getattr(record, f.name) for f in fields(record)}, "evaluations": 62})
    assert kept_milestones.kept_milestones(run, record, None) is not None
    assert kept_milestones.kept_milestones(run, longer, None) is None


HYPOTHESIS = {
    "name": "a higher rate fits sooner", "quantity": "T_fit", "direction": "earlier", "effect": "difference",
    "of": {"regime.lr": 0.01}, "to": {"regime.lr": 0.001},
}  # fmt: skip


def test_a_hypothesis_about_times_reads_no_rows_and_answers_alike(tmp_path, monkeypatch):
    study = Study.from_dict(
        {**TINY, "axes": {"regime.lr": [0.01, 0.001]}, "seeds": [0, 1, 2], "hypothesis": [HYPOTHESIS],
         "criteria": {"fit": 0.25}}
    )  # fmt: skip
    study.run(workers=0, root=tmp_path)
    with monkeypatch.context() as off:
        off.setattr("grokscope.study.judge.kept_milestones", lambda *_: None)
        read = study.test(tmp_path)
    assert read.results[0].test is not None

    def never(*_: object) -> None:
        raise AssertionError("the rows were parsed, although verdicts and columns are kept")

    monkeypatch.setattr("grokscope.store.run.read_rows", never)
    monkeypatch.setattr(Judge, "recorded", never)
    assert study.test(tmp_path).to_dict() == read.to_dict()
