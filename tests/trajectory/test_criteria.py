"""Criteria: what is refused, and that each threshold of a verdict has neighbors."""

from dataclasses import fields, replace
from typing import Any

import pytest
from trajectory_shapes import grokked, trajectory

from grokscope.configio import structure
from grokscope.trajectory import Criteria

EVENTS_ONLY = {
    "spike_sigmas",
    "spike_rise",
    "spike_scale",
    "spike_window",
    "spike_floor",
    "slingshot_growth",
    "slingshot_calm",
    "norm_drop",
    "norm_drop_speed",
    "spike_reach",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fit": 99}, r"criteria\.fit must lie in \(0, 1\], got 99; in percent\? write 0\.99"),
        ({"generalize": 0.0}, "generalize"),
        ({"fit_r2": 1.5}, "fit_r2"),
        ({"delay_ratio": 0.5}, r"delay_ratio must be at least 1"),
        ({"plateau_share": 0}, "plateau_share"),
        ({"plateau_level": 80}, "plateau_level"),
        ({"dwell": 0}, "dwell must be a whole number"),
        ({"dwell": 2.5}, "dwell must be a whole number"),
        ({"end_share": 0}, "end_share"),
        ({"noise_sigmas": -1}, "noise_sigmas must not be negative"),
        ({"noise_sigmas": float("nan")}, "noise_sigmas"),
        ({"drop_share": 2}, "drop_share"),
        ({"norm_drop": 1.0}, "norm_drop"),
        ({"spike_rise": 0.1}, "spike_rise"),
        ({"spike_sigmas": -1}, "spike_sigmas"),
        ({"spike_scale": 0}, "spike_scale"),
        ({"fit_loss": 0.0}, "fit_loss must be positive and finite"),
        ({"generalize_loss": float("inf")}, "generalize_loss"),
    ],
)
def test_impossible_thresholds_are_refused(change: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Criteria(**change)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_every_threshold_of_a_verdict_moves_down_and_up(kind: Any):
    t = grokked() if kind == "classification" else trajectory([1, 2], [0, 1], [0, 1], kind=kind, trivial=0.0)
    moved = [label.split("=")[0] for label, _ in Criteria().neighbors(t, "id_val")]
    other = {"fit_r2", "generalize_r2"} if kind == "classification" else {"fit", "generalize"}
    expected = {f.name for f in fields(Criteria)} - EVENTS_ONLY - other - {"zero_loss", "fit_loss", "generalize_loss"}
    assert set(moved) == expected
    assert moved.count("in_a_row") == 1  # one evaluation is the fewest
    assert all(moved.count(key) == 2 for key in expected - {"in_a_row"})


def test_a_neighbor_changes_one_threshold_only():
    t, base = grokked(), Criteria()
    every = list(base.neighbors(t, "id_val"))
    assert len(every) > 30
    for label, near in every:
        key = label.split("=")[0]
        assert replace(near, **{key: getattr(base, key)}) == base
        assert getattr(near, key) != getattr(base, key)


def test_the_tasks_threshold_fills_in_and_stays_above_the_trivial_predictor():
    t = trajectory([1], [1], [0.9], threshold=0.93, trivial=0.92)
    assert Criteria().thresholds(t) == (0.99, 0.93)
    assert Criteria(generalize=0.97).thresholds(t) == (0.99, 0.97)
    near = [c.generalize for label, c in Criteria().neighbors(t, "id_val") if label.startswith("generalize")]
    assert min(x for x in near if x) > 0.92
    assert Criteria().thresholds(trajectory([1], [1], [0.9], kind="regression", threshold=0.8)) == (0.9, 0.8)


def test_extreme_but_legal_values_keep_legal_neighbors():
    t = grokked()
    edge = Criteria(fit=1.0, plateau_share=1.0, dwell=1, end_share=1.0, collapses=1, delay_ratio=1.0, noise_sigmas=0.0)
    assert len(list(edge.neighbors(t, "id_val"))) > 10


def test_an_old_name_says_what_took_its_place():
    message = r"riteria\.spike_factor is superseded: .*spike_sigmas.*spike_rise = 10"
    with pytest.raises(ValueError, match=message):
        Criteria(spike_factor=10)
    with pytest.raises(ValueError, match=r"^\$\.c" + message):
        structure({"spike_factor": 10}, Criteria, "$.criteria")
    with pytest.raises(ValueError, match=r"criteria\.final_rows is superseded by end_share"):
        structure({"final_rows": 5}, Criteria, "$.criteria")
    assert "spike_factor" not in Criteria().to_dict()
    assert replace(Criteria(), fit=0.9) == Criteria(fit=0.9)
