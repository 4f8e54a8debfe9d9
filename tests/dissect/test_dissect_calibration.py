from dataclasses import replace

import numpy as np
import pytest

from grokscope.dissect.calibrate import BASE, CONDITIONS, calibrate, summarize, told_apart
from grokscope.dissect.parts import cramers_v
from grokscope.dissect.planted import Planting, plant
from grokscope.dissect.subspaces import class_means, row_space
from grokscope.results.settings import Settings

QUICK = Settings(draws=39, permutations=99, resamples=49, probe_controls=1, halves=4, regularization=(1e-2,))


def test_planted_geometry_is_as_promised():
    what = Planting(n=30_000, d=20, neurons=5, rank=2, separation=4.0, group_sd=0.0, task_separation=3.0)
    p = plant(what, 0)
    means, _, center = class_means(p.features, p.environments)
    gaps = means - center
    assert np.abs(np.delete(gaps, p.neurons, axis=1)).max() < 0.05
    np.testing.assert_allclose(row_space(gaps, 2).T @ p.basis @ p.basis.T @ row_space(gaps, 2), np.eye(2), atol=5e-3)
    along = gaps @ p.basis[:, 0]
    assert np.ptp(along) == pytest.approx(4.0, abs=0.05)
    assert (p.head.weight[1] - p.head.weight[0]) @ p.direction == pytest.approx(1.0, abs=1e-6)
    within = p.features - class_means(p.features, 2 * p.environments + p.labels)[0][2 * p.environments + p.labels]
    assert within.std(axis=0) == pytest.approx(np.ones(20), abs=0.03)


def test_an_unused_shortcut_is_invisible_to_the_head():
    p = plant(replace(BASE, used=False, rank=2, scale_spread=1.0), 1)
    np.testing.assert_allclose(p.head.weight @ p.basis, 0, atol=1e-9)


def test_scales_change_the_features_and_not_the_function():
    a, b = plant(BASE, 5), plant(replace(BASE, scale_spread=1.0), 5)
    np.testing.assert_allclose(a.head.logits(a.features), b.head.logits(b.features), atol=1e-3)
    assert b.features.std(axis=0).max() > 3 * b.features.std(axis=0).min()


@pytest.mark.parametrize(("correlation", "wanted"), [(0.0, 0.0), (1.0, 0.82)])
def test_correlation_dial(correlation, wanted):
    p = plant(Planting(n=6000, correlation=correlation), 0)
    table = np.zeros((3, 2))
    np.add.at(table, (p.environments, p.labels), 1)
    assert cramers_v(table) == pytest.approx(wanted, abs=0.03)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 3}, "rank must lie in 1..2"),
        ({"neurons": 65}, "neurons must lie in 1..64"),
        ({"correlation": 2}, "correlation"),
    ],
)
def test_impossible_plantings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Planting(**changes)


def test_rows_and_rates():
    small = {"none": Planting(n=300, d=16, neurons=4, separation=0.0), "used": Planting(n=300, d=16, neurons=4)}
    rows = calibrate(range(2), small, QUICK)
    assert [(r.condition, r.seed) for r in rows] == [("none", 0), ("none", 1), ("used", 0), ("used", 1)]
    used = rows[2:]
    assert all(r.cosine > 0.8 and r.precision == 1.0 for r in used)
    assert all(r.angle["leace"] < 45 for r in used)
    rates = {(r.condition, r.flag): r for r in summarize(rows)}
    assert rates["used", "m4_leace"].rate == 1.0
    assert rates["used", "m4_leace"].low == pytest.approx(0.342, abs=0.001)  # Wilson, 2 of 2
    assert rates["none", "m4_leace"].n == 2
    assert rows[0].to_dict()["flags"]["m5"] in (True, False, None)
    assert calibrate([1], {"used": small["used"]}, QUICK)[0] == rows[3]


def test_told_apart_counts_pairs():
    rows = calibrate([0], {"used": Planting(n=300, d=16, neurons=4)}, QUICK)
    few, many = replace(rows[0], half_k=2.0), replace(rows[0], half_k=9.0)
    assert told_apart([few], [many]) == 1.0
    assert told_apart([many], [few]) == 0.0
    assert told_apart([few], [few]) == 0.5
    assert told_apart([few], [replace(rows[0], half_k=None)]) == 1.0


@pytest.mark.slow
def test_the_battery_is_calibrated():
    """What the report quotes, on fewer seeds: level on nothing and on the unused, power on the used, geometry."""
    seeds = 25
    conditions = {k: CONDITIONS[k] for k in ("none", "unused", "concentrated", "smeared", "correlated, unused")}
    rows = calibrate(range(100, 100 + seeds), conditions)
    rates = {(r.condition, r.flag): r.rate for r in summarize(rows)}
    most = 5 / seeds  # 99.9 % of draws from binomial(25, .05)
    assert rates["none", "decodable"] <= most
    for flag in ("reliance", "m4_leace", "m4_mean_diff", "m5", "m6"):
        assert rates["none", flag] <= most, flag
        assert rates["unused", flag] <= most, flag
        assert rates["correlated, unused", flag] <= most, flag
    assert rates["unused", "decodable"] == 1.0
    for condition in ("concentrated", "smeared"):
        assert rates[condition, "used_cell"] >= 0.9
        assert rates[condition, "m5"] >= 0.9
    by = {c: [r for r in rows if r.condition == c] for c in conditions}
    assert told_apart(by["concentrated"], by["smeared"]) > 0.99
    assert np.mean([r.precision for r in by["concentrated"]]) > 0.9
    for condition in ("concentrated", "smeared"):
        predicted = np.mean([r.predicted_cosine for r in by[condition]])
        assert predicted == pytest.approx(np.mean([r.cosine for r in by[condition]]), abs=0.03)
