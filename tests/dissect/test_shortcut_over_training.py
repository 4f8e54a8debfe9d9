"""What became of a shortcut over training: each fate from points in which it is planted, and none from noise."""

import numpy as np
import pytest
from shortcut_over_training import (
    MEASURES,
    Point,
    against_reference,
    as_text,
    beside_as_text,
    changes_by_arm,
    first_and_last,
    read_point,
    tabulate,
)

from results import samples

RNG = np.random.default_rng


def arm(seeds: int = 6, noise: float = 0.02, **ends: tuple[float, float]) -> list[Point]:
    """Points at two steps: of a measure its value at the first and at the last, the others stay at .5."""
    rng, points = RNG(0), []
    for seed in range(seeds):
        for i, step in enumerate((1_500, 15_000)):
            base = dict.fromkeys(MEASURES, 0.5) | {"readable": 0.9}
            values = {m: ends[m][i] if m in ends else v for m, v in base.items()}
            points.append(
                Point("arm", seed, step, 1 / 3, {m: v + noise * rng.standard_normal() for m, v in values.items()})
            )
    return points


@pytest.mark.parametrize(
    ("ends", "word"),
    [
        ({"readable": (0.9, 0.34), "reliance": (0.8, 0.1)}, "erased"),
        ({"reliance": (0.8, 0.2)}, "outvoted"),
        ({"reliance": (0.8, 0.2), "half_share": (0.4, 0.1)}, "outvoted, and concentrated in fewer neurons"),
        ({"half_share": (0.4, 0.1)}, "concentrated"),
        ({"reliance": (0.2, 0.8)}, "readable, and used more than before"),
        ({}, "readable; no change of its use is shown"),
        ({"readable": (0.9, 0.55)}, "cannot tell: whether it can still be read"),
    ],
)
def test_each_fate_is_named(ends, word):
    noise = 0.2 if word.startswith("cannot tell") else 0.02
    assert changes_by_arm(arm(noise=noise, **ends))["arm"]["fate"] == word


def test_one_seed_shows_nothing_and_five_no_change_at_the_level():
    assert changes_by_arm(arm(seeds=1))["arm"]["fate"] == "cannot tell: fewer than two seeds"
    found = changes_by_arm(arm(seeds=4, reliance=(0.8, 0.2)))["arm"]
    assert found["fate"] == "readable; no change of its use is shown"  # four pairs bound nothing
    assert found["differences"]["reliance"]["smallest_p"] == 0.125


def test_noise_alone_seldom_has_a_fate():
    words = []
    for seed in range(40):
        rng = RNG(seed)
        points = [
            Point("a", s, step, 1 / 3, {m: 0.9 + 0.1 * rng.standard_normal() for m in MEASURES})
            for s in range(6)
            for step in (1, 2)
        ]
        words.append(changes_by_arm(points)["a"]["fate"])
    assert words.count("readable; no change of its use is shown") >= 32  # two tests of 5 %, one side each


def test_a_table_has_means_and_intervals_over_seeds_and_counts_what_is_missing():
    points = arm(noise=0.0, reliance=(0.8, 0.2))
    values = dict(points[0].values) | {"half_share": float("nan")}
    table = tabulate([Point("arm", 0, 1_500, 1 / 3, values), *points[1:]])
    assert table["arm"][15_000]["reliance"] == pytest.approx((0.2, 0.2, 0.2, 6))
    assert table["arm"][1_500]["half_share"][3] == 5
    text = as_text(table, changes_by_arm(points))
    assert text.startswith("arm: outvoted")
    assert "| 1,500 | 0.90 (0.90 to 0.90) |" in text


def test_a_dissection_becomes_a_point():
    d = samples.dissection()
    point = read_point(d, "arm", 3, 100)
    assert point.values["readable"] == d.m1.at("pooled", "environment").test.balanced
    assert point.values["reliance"] == pytest.approx(d.reliance.env_gap / d.reliance.class_gap)
    assert point.values["slope"] == pytest.approx(d.m5.slope_size / d.reliance.class_gap)
    assert point.values["erasure"] == d.where.size
    silent = read_point(samples.at_chance("the network is at chance", probes=False), "arm", 3, 100)
    assert np.isnan([silent.values[m] for m in ("readable", "reliance", "erasure", "slope", "half_share")]).all()


def test_arms_are_compared_at_the_end_seed_by_seed():
    base = arm(noise=0.0)
    other = [Point("decayed", p.seed, p.step, p.chance, dict(p.values) | {"ood_val": 0.7}) for p in base if p.seed != 2]
    beside = against_reference([*base, *other], "arm")
    assert list(beside) == ["decayed"]
    gain = beside["decayed"]["ood_val"]
    assert gain["mean"] == pytest.approx(0.2)
    assert gain["seeds"] == 5
    assert gain["smallest_p"] == pytest.approx(2 / 32)
    assert "decayed: " in beside_as_text(beside, "arm")
    assert "ood_val +0.20 (+0.20 to +0.20; 5)" in beside_as_text(beside, "arm")


def test_change_is_between_steps_that_most_seeds_kept():
    values = dict.fromkeys(MEASURES, 0.5)
    kept = {7: (1_500, 6_000, 15_000), 42: (6_000, 15_000), 123: (6_000, 15_000)}
    points = [Point("a", seed, step, 1 / 3, values) for seed, steps in kept.items() for step in steps]
    assert first_and_last(points) == (6_000, 15_000)
    assert first_and_last([*points, Point("a", 9, 15_000, 1 / 3, values)]) == (6_000, 15_000)
    only = changes_by_arm([p for p in points if p.step == 15_000])["a"]
    assert only["differences"] == {}
    assert only["fate"] == "readable; no change of its use is shown"
