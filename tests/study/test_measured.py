"""Expectations about recorded numbers: growth after fit, gaps between columns, and what does not exist."""

import json
import math

import pytest

from grokscope.store import Run
from grokscope.study import Study
from grokscope.study.measured import MeasuredExpectation


def run_folder(folder, rows, splits=("id_val",)):
    """A finished run with these rows and nothing else."""
    (folder / "results").mkdir(parents=True)
    facts = {"kind": "classification", "threshold": 0.9, "steps_per_epoch": 1}
    facts["splits"] = {s: {"n": 100, "trivial_acc": 0.5} for s in ("train", *splits)}
    config = {"task": {"name": "x"}, "regime": {"name": "r"}, "seed": 0}
    (folder / "config.json").write_text(json.dumps({"schema": 1, "config": config, "facts": facts}))
    (folder / "results" / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return Run(folder)


def row(step, train, held_out, norm):
    counts = {
        "train_correct": round(100 * train),
        "train_n": 100,
        "id_val_correct": round(100 * held_out),
        "id_val_n": 100,
    }
    return {
        "step": step,
        "train_acc": train,
        "id_val_acc": held_out,
        "train_loss": 1 - train,
        "norm_head": norm,
        **counts,
    }


def expectation(measure="norm_head", statistic="growth after fit", between=(1.4, 1.6), **more):
    return MeasuredExpectation(where={}, measure=measure, statistic=statistic, between=between, **more)


def test_growth_is_counted_from_the_first_fitted_evaluation(tmp_path):
    run = run_folder(tmp_path / "r", [row(1, 0.5, 0.5, 1.0), row(2, 1.0, 0.6, 2.0), row(3, 1.0, 0.6, 3.0)])
    assert expectation().value(run) == pytest.approx(1.5)
    assert expectation().met(1.5)
    assert not expectation().met(3.0)


def test_a_run_that_never_fitted_has_no_growth_and_does_not_meet(tmp_path):
    run = run_folder(tmp_path / "r", [row(1, 0.5, 0.5, 1.0), row(2, 0.6, 0.6, 2.0)])
    value = expectation().value(run)
    assert math.isnan(value)
    assert not expectation().met(value)
    assert expectation().describe([value, 1.5]) == "1 of 2: 1.5; none in 1"


def test_difference_of_columns_and_statistics(tmp_path):
    run = run_folder(tmp_path / "r", [row(1, 1.0, 0.5, 1.0), row(2, 1.0, 0.7, 4.0)])
    assert expectation("train_acc - id_val_acc", "final").value(run) == pytest.approx(0.3)
    assert expectation("train_acc - id_val_acc", "maximum").value(run) == pytest.approx(0.5)
    assert expectation("norm_head", "first").value(run) == 1.0
    with pytest.raises(ValueError, match="no column 'norm_haed'; did you mean 'norm_head'"):
        expectation("norm_haed", "final").value(run)


def test_no_spike_is_no_number(tmp_path):
    run = run_folder(tmp_path / "r", [row(s, 1.0, 0.5, 1.0) for s in range(1, 40)])
    assert math.isnan(expectation("spike and norm", "final").value(run))


def test_blocks_are_read_strictly_and_checked():
    raw = {
        "seeds": [0],
        "task": {"name": "modular"},
        "model": {"name": "embedding-mlp"},
        "budget": {"steps": 10},
        "expect": [{"measure": "norm_head", "statistic": "growth after fit", "between": [1, 2], "share": 0.5}],
    }
    study = Study.from_dict(raw)
    assert study.expectations[0].expected() == "growth after fit of norm_head in [1, 2] in 50% of the runs"
    for change, message in (
        ({"statistic": "growth"}, "unknown statistic 'growth'"),
        ({"between": [2, 1]}, "expected a range"),
        ({"measur": 1}, "did you mean 'measure'"),
    ):
        block = {**raw["expect"][0], **change}
        with pytest.raises(ValueError, match=message):
            Study.from_dict({**raw, "expect": [block]})
