"""Verdicts on constructed trajectories whose class is planted: see `verdict_shapes` in benchmarks/."""

import json
from itertools import groupby
from pathlib import Path

import pytest
import verdict_shapes
from verdict_shapes import FAMILIES, Case, cases, judge, measure, right

from grokscope.trajectory import VERDICTS

RESULT = Path(verdict_shapes.__file__).parent / "results" / "verdict_shapes.json"
CLEAR = [
    "grokked",
    "generalized",
    "memorized",
    "semi_grokked",
    "rising",
    "early_peak",
    "after_grokking",
    "cyclic",
    "lasting",
    "underfit",
    "recovered",
    "diverged",
    "same_column",
    "left_censored",
]


def test_every_verdict_is_planted():
    planted = {one.truth for one in cases(3, families=CLEAR)}
    assert {None if t is None else t.split(" (")[0].split(" or ")[0] for t in planted} == {*VERDICTS, None}


def test_the_same_seed_draws_the_same_case():
    a, b = (verdict_shapes.case("grokked", 5) for _ in range(2))
    assert a.trajectory.held_out["val"].tolist() == b.trajectory.held_out["val"].tolist()
    assert a.truth == b.truth
    lengths = [len(verdict_shapes.case("memorized", seed).setting.u) for seed in range(200)]
    assert min(lengths) < 15
    assert max(lengths) > 1500


@pytest.mark.parametrize("family", CLEAR)
def test_clear_cases_are_judged_rightly_and_firmly(family: str):
    row = measure(12, first=5000, families=(family,))[family]
    assert row["clear"] >= 5
    assert row["right"] >= row["clear"] - 1
    assert row["robust"] >= 0.7 * row["clear"]
    assert row["robust_and_wrong"] == 0


def test_near_a_boundary_no_verdict_is_firm_and_wrong():
    near = [family for family in FAMILIES if family not in CLEAR]
    found = measure(12, first=5000, families=near)
    assert sum(row["cases"] for row in found.values()) == 12 * len(near)
    assert sum(row["robust_and_wrong"] for row in found.values()) <= 1


def test_a_wrong_rule_would_be_seen(monkeypatch: pytest.MonkeyPatch):
    """The measure itself can fail: truths drawn from another family are not met."""
    one = verdict_shapes.case("grokked", 5)
    found, _ = judge(one)
    assert right(found, "grokked")
    assert not right(found, "memorized")
    assert not right(None, "grokked")
    swapped = Case("grokked", "memorized", True, one.trajectory, one.setting)
    monkeypatch.setattr(verdict_shapes, "cases", lambda *_: iter([swapped]))
    assert measure(1)["grokked"] == {"cases": 1, "clear": 1, "right": 0, "robust": 1, "robust_and_wrong": 1}


def test_the_committed_measurement_keeps_what_is_promised():
    found = json.loads(RESULT.read_text(encoding="utf-8"))["result"]
    assert found["robust_and_wrong"] <= 0.01
    assert found["seeds"][0] >= 1000, "seeds below were looked at while rules were tuned"
    assert set(found["families"]) == set(FAMILIES)
    for family, row in found["families"].items():
        assert row["cases"] >= 150
        assert (row["clear"] >= 75) == (family in CLEAR)
        assert row["right"] >= 0.97 * row["clear"], family
        assert row["robust"] >= 0.85 * row["clear"], family
    assert [k for k, _ in groupby(found["families"])] == list(FAMILIES)
