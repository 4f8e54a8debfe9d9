"""The columns of metrics: everything that is written is described, and what nobody described is named plainly."""

from pathlib import Path

import pytest

import my_lab
from grokscope import registry
from grokscope.measure.groups import GROUPS
from grokscope.train.driver import train
from grokscope.vocabulary.column_table import COLUMNS, PARAMETER_GROUPS, REQUESTED, Column
from grokscope.vocabulary.columns import describe, panels, plain_name, undescribed
from grokscope.vocabulary.reference import page
from tiny import SMALL_TASKS, fitting, tiny

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("task", SMALL_TASKS)
def test_every_column_that_a_run_writes_is_described(task, tmp_path):
    changes = fitting("task", task) | {"budget.steps": 8, "evaluate.every": 4, "diagnose.every": 4}
    if task == "digits":
        changes["regime.label_noise"] = 0.2
    run = train(tiny(changes), tmp_path)
    columns = set(run.metrics())
    splits = [s for s in run.facts["splits"] if s != "train"]
    assert len(columns) > 10
    assert [c.column for c in undescribed(columns, splits)] == []


def test_parameter_groups_have_names_for_figures():
    assert set(GROUPS) <= set(PARAMETER_GROUPS)


@pytest.mark.parametrize(
    ("column", "title"),
    [
        ("id_val_env10_class1_acc", "id_val accuracy, environment 10, class 1"),
        ("grad_norm_scale_invariant", "gradient norm, scale invariant"),
        ("effective_lr/layer1.0.weight", "effective learning rate, layer1.0.weight"),
        ("ood_test_loss", "ood_test loss"),
    ],
)
def test_a_column_is_described_by_its_name(column, title):
    described = describe(column)
    assert described is not None
    assert described.title == title


@pytest.mark.parametrize(
    "column", ["my_lab_score", "ood_test_f1", "my_loss", "norm_mine", "train_env_acc", "probe_acc"]
)
def test_what_only_looks_like_one_of_ours_is_not(column):
    assert describe(column) is None


def test_a_split_of_a_foreign_log_is_known_where_it_is_named():
    assert describe("site_9_loss") is None
    assert describe("site_9_loss", ["train", "site_9"]) is not None


def test_panels_come_in_the_order_of_the_table_then_by_split_then_by_number():
    columns = [
        "id_val_env10_acc",
        "id_val_env2_acc",
        "id_val_loss",
        "ood_val_loss",
        "train_loss",
        "rank_stable",
        "norm_head",
    ]
    assert [d.column for d in panels(columns, ["ood_val", "id_val"])] == [
        "train_loss", "ood_val_loss", "id_val_loss", "rank_stable", "id_val_env2_acc", "id_val_env10_acc",
    ]  # fmt: skip


def test_a_probe_names_the_columns_that_its_band_reaches_over():
    (probe,) = panels(["id_val_probe_acc"], ["id_val"])
    assert probe.around == ("id_val_probe_low", "id_val_probe_high")


def test_nothing_is_lost_between_described_and_undescribed():
    """A score on a split that the runs were not judged on is drawn nowhere else."""
    columns = ["my_lab_score", "ood_test_f1", "ood_test_acc", "id_val_acc", "step"]
    assert [(d.column, d.title) for d in undescribed(columns, ["id_val"])] == [
        ("my_lab_score", "my lab score"), ("ood_test_acc", "ood_test accuracy"), ("ood_test_f1", "f1, ood_test"),
    ]  # fmt: skip


def test_plain_names():
    assert [plain_name(c) for c in ("_", "ood_val_", "train_top5", "a/b c")] == ["_", "ood val", "top5, train", "a/b c"]


def test_each_row_describes_its_own_columns():
    """No row is hidden behind an earlier, wider one."""
    example = {
        "split": "id_val",
        "held_out": "id_val",
        "env": "3",
        "cls": "1",
        "group": "2",
        "part": "env3",
        "weights": "head",
        "tensor": "a",
    }
    for row in COLUMNS:
        described = describe(row.pattern.format(**example))
        assert described is not None, row.pattern
        words = example | {"part": "env3"}
        assert described.title == row.title.format(**words), row.pattern
        assert row.meaning
        assert row.unit


def test_the_reference_is_current():
    written = Path(__file__).parents[2] / "docs" / "reference" / "columns.md"
    assert written.read_text(encoding="utf-8") == page(), "run: make reference"


def test_a_registered_measurement_describes_its_own_columns(registered_here_only):
    assert describe("steepness") is None
    registry.register(my_lab.Steepness)
    described = describe("steepness")
    assert described is not None
    assert (described.title, described.unit, described.scale) == ("steepness of the loss", "loss per weight", "log")
    assert described.writer == REQUESTED
    assert [d.column for d in panels(["steepness", "norm_head"], ["id_val"])] == ["steepness"]
    assert "steepness of the loss" not in page(), "the reference is of grokscope alone"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pattern": "x_{spilt}"}, r"unknown placeholder \{spilt\} in its pattern; there are split, held_out"),
        ({"title": "of {env}"}, r"unknown placeholder \{env\} in its title"),
        ({"around": ("low_{env}", "high")}, r"unknown placeholder \{env\} in its around"),
    ],
)
def test_a_placeholder_that_there_is_not_is_named(changes, words):
    with pytest.raises(ValueError, match=words):
        Column(**{"pattern": "x", "title": "x", "meaning": "m", "unit": "u"} | changes)


def test_a_measurement_that_cannot_be_imported_describes_nothing(monkeypatch):
    broken = registry.Entry("measurement", "broken", "no_such_module:Broken", "", "-", built_in=False)
    monkeypatch.setattr(registry, "_plugins", lambda kind: {"broken": broken} if kind == "measurement" else {})
    with pytest.warns(UserWarning, match="not described: plug-in measurement 'broken'"):
        assert describe("broken_column") is None
    assert describe("norm_total") is not None
