"""Expectations about recorded numbers: growth after fit, gaps between columns, and what does not exist."""

import json
import math

import numpy as np
import pytest

from grokscope.store import Run
from grokscope.study import Study
from grokscope.study.check import check
from grokscope.study.measured import MeasuredExpectation, MeasuredRatio, Recorded
from grokscope.study.run_state import StudyRun
from grokscope.train.plan import make_plan
from grokscope.trajectory import Criteria


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


def test_the_fit_is_the_one_of_the_studys_criteria(tmp_path):
    rows = [row(1, 0.5, 0.5, 1.0), row(2, 0.9, 0.6, 2.0), row(3, 1.0, 0.6, 4.0), row(4, 1.0, 0.6, 6.0)]
    run = run_folder(tmp_path / "r", rows)
    assert expectation().value(Recorded(run)) == pytest.approx(1.5)
    assert expectation().value(Recorded(run, Criteria(fit=0.9))) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("measure", "statistic", "stamp"),
    [
        ("ood_test_acc", "maximum", True),
        ("id_val_acc - ood_test_acc", "minimum", True),
        ("ood_test_acc", "final", False),
        ("ood_val_acc", "maximum", False),
    ],
)
def test_an_extreme_on_ood_test_is_stamped(measure, statistic, stamp):
    said = expectation(measure, statistic).expected()
    assert ("oracle (chosen on ood_test)" in said) == stamp
    assert said.startswith(f"{statistic} of {measure}")


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


def test_the_norm_at_the_spike_next_to_the_transition(tmp_path):
    """The loss jumps, then the norm falls: row by row they have little to do with each other."""
    rng = np.random.default_rng(0)
    loss = 0.02 * np.exp(0.02 * rng.normal(size=120))
    loss[60:62] *= 1.6
    norm = 30 + 0.05 * rng.normal(size=120)
    norm[62:] -= 5
    held = np.where(np.arange(120) < 63, 0.5, 0.9)
    rows = [{**row(s + 1, 1.0, held[s], 1.0), "train_loss": loss[s], "norm_total": norm[s]} for s in range(len(loss))]
    run = run_folder(tmp_path / "r", rows)
    assert expectation("norm drop at spike", "final").value(run) < 0.05
    assert -0.5 < expectation("spike and norm", "final").value(run) < 0.5
    assert math.isnan(expectation("spike and norm", "final").value(Recorded(run, Criteria(spike_rise=2))))
    assert expectation("norm drop at spike", "final").called == "norm drop at spike"


def test_blocks_are_read_strictly_and_checked():
    raw = {
        "seeds": [0],
        "task": {"name": "modular"},
        "model": {"name": "embedding-mlp"},
        "budget": {"steps": 10},
        "expect": [{"measure": "norm_head", "statistic": "growth after fit", "between": [1, 2], "share": 0.5}],
    }
    study = Study.from_dict(raw)
    assert study.expectations[0].expected() == "growth after fit of norm_head in [1, 2] in 50 % of the runs"
    for change, message in (
        ({"statistic": "growth"}, "unknown statistic 'growth'"),
        ({"between": [2, 1]}, "expected a range"),
        ({"measur": 1}, "did you mean 'measure'"),
        ({"split": "id_val"}, "a column determines its own split"),
        ({"of": {}, "share": None}, "to: missing; a ratio of measures needs both groups"),
        ({"of": {}, "to": {}}, "share: unknown key"),
        ({"of": {}, "to": {"arm": "x"}, "share": None}, "no run of this study has x"),
    ):
        block = {k: v for k, v in {**raw["expect"][0], **change}.items() if v is not None}
        with pytest.raises(ValueError, match=message):
            Study.from_dict({**raw, "expect": [block]})


# -- one group against another ----------------------------------------------------------------------------------------


def grows(folder, by, splits=("id_val",)):
    """A run that fits at its second evaluation and whose norm then grows by a factor."""
    return run_folder(folder, [row(1, 0.5, 0.5, 9.0), row(2, 1.0, 0.6, 2.0), row(3, 1.0, 0.6, 2.0 * by)], splits)


def two_groups(tmp_path, monkeypatch, above, below, **block):
    """The check of one ratio over finished runs with these growths (None: never fitted), and how often each run's
    metrics were read."""
    raw = {
        "seeds": list(range(max(len(above), len(below)))),
        "task": {"name": "modular"},
        "model": {"name": "embedding-mlp"},
        "budget": {"steps": 10},
        "axes": {"regime.lr": [0.1, 0.2]},
        "expect": [
            {
                "measure": "norm_head",
                "statistic": "growth after fit",
                "of": {"regime.lr": 0.1},
                "to": {"regime.lr": 0.2},
                "between": [1.0, 3.0],
                **block,
            },
            {"measure": "norm_head", "statistic": "first", "between": [9, 9]},
            {"measure": "norm_head", "statistic": "growth after fit", "between": [0, 100], "share": 0.1},
        ],
    }
    study = Study.from_dict(raw)
    runs, reads = [], {}
    for entry in study.entries:
        group = above if entry.config.regime.lr == 0.1 else below
        if entry.config.seed >= len(group):
            continue
        folder = tmp_path / entry.config.run_id()
        growth = group[entry.config.seed]
        run = grows(folder, growth) if growth else run_folder(folder, [row(1, 0.5, 0.5, 9.0)])
        runs.append(StudyRun(entry, run, "done", 10, make_plan(entry.config, 1)))
    rows = Run.rows
    monkeypatch.setattr(Run, "rows", lambda self: reads.update({self.id: reads.get(self.id, 0) + 1}) or rows(self))
    return check(study.expectations, runs, None), reads


def test_growth_of_one_group_against_another(tmp_path, monkeypatch):
    rows, reads = two_groups(tmp_path, monkeypatch, [2.0, 4.0, 3.0], [1.5, 1.0])
    assert rows[0].held is True
    assert rows[0].seen == "2.4 (medians 3 of 3 and 1.25 of 2 runs)"
    assert rows[0].where == "lr=0.1 against lr=0.2"
    assert rows[0].expected == "growth after fit of norm_head / that of (lr=0.2) in [1, 3]"
    # Each run's metrics once for all three expectations, and twice to judge a run that was not judged before.
    assert set(reads.values()) == {3}


def test_a_ratio_of_measures_can_fail(tmp_path, monkeypatch):
    rows, _ = two_groups(tmp_path, monkeypatch, [1.0], [2.0])
    assert (rows[0].held, rows[0].seen) == (False, "0.5 (medians 1 of 1 and 2 of 1 runs)")


def test_a_run_without_the_number_leaves_a_ratio_open(tmp_path, monkeypatch):
    rows, _ = two_groups(tmp_path, monkeypatch, [2.0, None], [1.5, 1.0])
    assert (rows[0].held, rows[0].seen) == (None, "none: 1 of 4 runs have no such number")


def test_a_ratio_to_nothing_says_nothing():
    ratio = MeasuredRatio(measure="a", statistic="final", of={}, to={}, between=(0, 1))
    assert ratio.met(ratio.ratio([1.0], [0.0])) is None
    assert ratio.met(ratio.ratio([1.0], [-2.0])) is None
    assert ratio.describe([1.0], [0.0]) == "none (medians 1 of 1 and 0 of 1 runs)"
    assert ratio.met(ratio.ratio([1.0], [2.0])) is True


def test_a_column_is_read_at_the_peak_of_a_split(tmp_path):
    rows = [row(1, 0.5, 0.5, 1.0), row(2, 1.0, 0.8, 2.0), row(3, 1.0, 0.6, 3.0)]
    run = run_folder(tmp_path / "r", rows)
    assert expectation(statistic="at peak", split="id_val").value(run) == 2.0
    with pytest.raises(ValueError, match="has no column 'ood_val_acc'; did you mean 'id_val_acc'"):
        expectation(statistic="at peak", split="ood_val").value(run)
    words = expectation(statistic="at peak", split="ood_test").expected()
    assert "norm_head at the peak of ood_test, oracle (chosen on ood_test), in" in words
