"""Rows of unknown field names: read by alias, by an explicit mapping, or kept; never guessed, never dropped unsaid."""

import json
import math

import pytest
from archive_samples import history

from grokscope.archive import fields
from grokscope.archive.fields import ALIASES, AMBIGUOUS, plain, read_history, translate


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("ood_acc", "ood_test_acc"),
        ("OOD Accuracy", "ood_test_acc"),
        ("ood/acc", "ood_test_acc"),
        ("oodAcc", "ood_test_acc"),
        ("acc_ood", "ood_test_acc"),
        ("ood_val_acc", "ood_val_acc"),
        ("id_acc", "id_val_acc"),
        ("id_val_accuracy", "id_val_acc"),
        ("loss", "train_loss"),
        ("weight_norm", "norm_total"),
        ("irm_penalty", "train_irm"),
        ("eff_rank", "rank_effective"),
        ("head_norm", "norm_head"),
        ("grad_norm", "grad_norm_total"),
        ("norm_scale_invariant", "norm_scale_invariant"),
        ("effective_lr/conv1.weight", "effective_lr/conv1.weight"),
    ],
)
def test_field_names_are_recognized(theirs, ours):
    table = translate([{"epoch": 1, theirs: 0.5}], {})
    assert table.rows == [{"epoch": 1.0, ours: 0.5}]
    assert any(f"{theirs} -> {ours}" in note for note in table.notes)


def test_no_alias_is_ambiguous_and_none_leads_nowhere():
    assert not set(ALIASES) & set(AMBIGUOUS)
    assert all(plain(alias) == alias for alias in (*ALIASES, *AMBIGUOUS))
    assert all(fields.is_ours(target) for target in ALIASES.values())


@pytest.mark.parametrize("name", ["val_acc", "test_acc", "acc", "val_loss"])
def test_what_can_mean_two_things_is_not_guessed(name):
    table = translate([{"epoch": 1, name: 0.5}], {})
    assert table.rows[0][name] == 0.5
    assert len(table.problems) == 1
    assert name in table.problems[0]
    assert "mapping" in table.problems[0]


def test_a_mapping_comes_before_everything():
    table = translate(
        [{"epoch": 1, "val_acc": 0.6, "ood_acc": 0.7, "acc_c2": 0.8}],
        {"ood_val_acc": "val_acc", "ood_test_acc": "acc_c2"},
    )
    assert table.rows[0]["ood_val_acc"] == 0.6
    assert table.rows[0]["ood_test_acc"] == 0.8
    assert table.rows[0]["ood_acc"] == 0.7  # its place is taken: kept under its own name, and said
    assert any("ood_acc could also be ood_test_acc, which" in note for note in table.notes)
    assert not table.problems


def test_a_mapping_that_fits_nothing_is_an_error():
    rows = [[{"epoch": 1, "acc_c2": 0.5}]]
    with pytest.raises(ValueError, match="'ood_tset_acc' is not a grokscope column; did you mean 'ood_test_acc'"):
        fields.check_mapping({"ood_tset_acc": "acc_c2"}, rows)
    with pytest.raises(ValueError, match="no history has a field 'acc_c3'; did you mean 'acc_c2'"):
        fields.check_mapping({"ood_test_acc": "acc_c3"}, rows)


def test_unknown_numbers_stay_and_text_is_named():
    table = translate([{"epoch": 1, "mean_conf": 0.5, "phase": "fit", "done": True}], {})
    assert table.rows == [{"epoch": 1.0, "mean_conf": 0.5}]
    assert any("kept under their own names: mean_conf" in n for n in table.notes)
    assert any("excluded" in n and "phase" in n and "done" in n for n in table.notes)


def test_a_foreign_step_does_not_pose_as_ours():
    assert translate([{"epoch": 2, "step": 9}], {}).rows == [{"epoch": 2.0, "archive_step": 9.0}]


def test_a_loss_that_was_not_logged_is_not_a_loss_that_blew_up():
    table = translate([{"epoch": 1, "train_loss": 0.5}, {"epoch": 2}], {})
    assert "train_loss" not in table.rows[0]
    assert table.rows[0]["archive_train_loss"] == 0.5
    assert any("missing in 1 of 2 rows" in n for n in table.notes)
    blown = translate([{"epoch": 1, "train_loss": math.nan}], {})
    assert math.isnan(blown.rows[0]["train_loss"])


@pytest.mark.parametrize(
    "data",
    [
        [{"epoch": 1, "a": {"x": 0.5, "y": [1, 2]}}],
        {"epoch": [1], "a": [{"x": 0.5, "y": [1, 2]}]},
        {"history": [{"epoch": 1, "a": {"x": 0.5, "y": [1, 2]}}], "seed": 3},
    ],
)
def test_shapes_of_a_history_file(tmp_path, data):
    path = tmp_path / "history.json"
    path.write_text(json.dumps(data))
    assert read_history(path) == [{"epoch": 1, "a.x": 0.5, "a.y.0": 1, "a.y.1": 2}]


@pytest.mark.parametrize("text", ["[{", '{"epoch": [1], "acc": [1, 2]}', '"rows"', "[1, 2]"])
def test_other_files_are_refused_by_name(tmp_path, text):
    path = tmp_path / "history.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"history\.json"):
        read_history(path)


def test_rows_out_of_order_are_named_and_left_out():
    table = fields.Table([{"epoch": 1.0}, {"epoch": 50.0}, {"epoch": 50.0}, {}, {"epoch": 100.0}])
    fields.in_order(table)
    assert [row["epoch"] for row in table.rows] == [1, 50, 100]
    assert table.problems == ["row 3 has epoch 50 after 50: excluded", "row 4 has no epoch: excluded"]


def test_counts_are_believed_only_where_every_accuracy_is_one():
    exact = translate(history(), {})
    assert fields.add_counts(exact, {}, {"train": 1000, "ood_test": 85054, "id_val": 33561}) == {
        "train": 1000,
        "ood_test": 85054,
    }
    assert all(row["ood_test_correct"] / 85054 == row["ood_test_acc"] for row in exact.rows)
    assert "id_val_correct" not in exact.rows[0]
    rounded = fields.Table([{"epoch": 1.0, "ood_test_acc": 0.6876}, {"epoch": 2.0, "ood_test_acc": 0.5882}])
    assert fields.add_counts(rounded, {}, {"ood_test": 85054}) == {}
    assert fields.add_counts(rounded, {"ood_test": 85054}, {"ood_test": 1}) == {
        "ood_test": 85054
    }  # told: for the noise band
    assert "ood_test_correct" not in rounded.rows[0]


def test_float32_accuracies_are_counts():
    import numpy as np

    values = [float(np.float32(c / 85054)) for c in (58483, 50029)]
    table = fields.Table([{"epoch": 1.0 + i, "ood_test_acc": v} for i, v in enumerate(values)])
    fields.add_counts(table, {}, {"ood_test": 85054})
    assert [row["ood_test_correct"] for row in table.rows] == [58483, 50029]
    assert table.rows[0]["ood_test_acc"] == 58483 / 85054


def test_percent_is_told_never_guessed():
    table = fields.Table([{"epoch": 1.0, "ood_test_acc": 68.76}])
    with pytest.raises(ValueError, match=r"ood_test_acc holds 68.76.*scale=0.01"):
        fields.scale_accuracies(fields.Table([{"ood_test_acc": 68.76}]), 1.0)
    fields.scale_accuracies(table, 0.01)
    assert table.rows[0]["ood_test_acc"] == pytest.approx(0.6876)


def test_a_wrong_scale_is_refused_with_what_it_would_have_made():
    def rows(*values):
        return fields.Table([{"epoch": float(i), "ood_test_acc": v} for i, v in enumerate(values)])

    with pytest.raises(
        ValueError, match=r"scale=0.01 was given, but no accuracy .* above 0.9: they are already shares"
    ):
        fields.scale_accuracies(rows(0.5, 0.9), 0.01)
    with pytest.raises(ValueError, match=r"holds 6.876 \(68.76 times the scale 0.1\), .* in percent, pass scale=0.01"):
        fields.scale_accuracies(rows(68.76), 0.1)
    with pytest.raises(ValueError, match=r"holds 1.8 \(0.9 times the scale 2\), which is not an accuracy in 0..1$"):
        fields.scale_accuracies(rows(0.5, 0.9), 2.0)
    early = rows(0.8, 68.76)  # a percent history may begin below one percent
    fields.scale_accuracies(early, 0.01)
    assert early.rows[0]["ood_test_acc"] == pytest.approx(0.008)
    nothing = rows(0.0)
    fields.scale_accuracies(nothing, 0.01)
    assert nothing.rows[0]["ood_test_acc"] == 0
