"""The tests of hypotheses keep to their level where nothing differs, and their intervals hold the truth: a small part
of benchmarks/inference_level.py; and what they guard against does happen without them."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from inference_level import COARSE, FINE, LEVEL, bounds_kept, designs, one_row, seen_on

from grokscope.inference.ranks import TimedArms

DRAWS = 100


@pytest.mark.parametrize(
    "name",
    ["times, unpaired, coarse grid, many ties", "times, paired, half are censored", "times, unpaired, mixed grids",
     "times, unpaired, unequal budgets", "values, paired", "shares", "slope within seeds"],
)  # fmt: skip
def test_level_and_coverage_with_five_seeds(name):
    row = one_row(name, 5, designs(5)[name], DRAWS)
    assert bounds_kept(row, DRAWS), row
    assert float(row["told"]) > 0.9


def test_the_shipped_measurement_kept_to_its_bounds():
    path = Path(__file__).parents[2] / "benchmarks" / "results" / "inference_level.json"
    result = json.loads(path.read_text())["result"]
    assert {row["n"] for row in result["rows"]} == {3, 5, 7, 10}
    assert all(bounds_kept(row, result["draws"]) for row in result["rows"])
    for row in result["hazard_ratios"]:
        assert min(row["coverage"]) >= 0.95 - 0.02 - 2 * (0.05 * 0.95 / result["draws"]) ** 0.5
        assert row["told"] > 0.9


def test_without_a_common_grid_equal_arms_are_told_apart():
    """The same test on what each arm's own grid shows, taken as it stands."""
    rng, rejected = np.random.default_rng(0), 0
    for _ in range(DRAWS):
        a, b = (seen_on(1_200 * np.exp(0.1 * rng.standard_normal(7)), grid) for grid in (FINE, COARSE))
        exact = [type(t)(before=t.at, at=t.at, observed=t.observed) for t in (a, b)]
        arms = TimedArms(a=exact[0], b=exact[1], a_end=1e4, b_end=1e4, paired=False)
        rejected += arms.p()["two-sided"] <= LEVEL
    assert rejected / DRAWS > 0.3


def test_a_planted_effect_is_found_more_often_than_none():
    row = one_row("values, unpaired, rounded", 7, lambda rng, _: designs(7)["values, unpaired, rounded"](rng, True), 60)
    assert float(row["two-sided"]) > 0.25
