"""Dominance by time and level, by hand and against the definition."""

import numpy as np
import pytest

from grokscope.inference.pareto import standings


@pytest.mark.parametrize(
    ("at", "censored", "best", "expected"),
    [
        ([1, 2], [False, False], [0.9, 0.8], ["front", "dominated"]),
        ([1, 2], [False, False], [0.8, 0.9], ["front", "front"]),
        ([1, 1], [False, False], [0.9, 0.9], ["front", "front"]),  # ties stand together
        ([1, 1], [False, False], [0.9, 0.8], ["front", "dominated"]),
        ([1, 2], [False, False], [0.9, 0.9], ["front", "dominated"]),
        ([5, 2], [True, False], [0.9, 0.8], ["open", "front"]),  # better, and perhaps never
        ([5, 2], [True, False], [0.8, 0.8], ["dominated", "front"]),  # surely later, no better
        ([5, 5], [True, False], [0.8, 0.8], ["dominated", "front"]),  # not by 5 is later than at 5
        ([1, 2], [True, False], [0.99, 0.5], ["open", "front"]),  # what is not reached beats nobody
        ([1, 2], [True, True], [0.9, 0.5], ["open", "open"]),
        ([], [], [], []),
    ],
)
def test_standings_by_hand(at, censored, best, expected):
    assert standings(at, censored, best) == expected


def test_the_set_is_the_one_that_the_definition_names():
    rng = np.random.default_rng(0)
    at, best = rng.integers(0, 12, 80), rng.integers(0, 12, 80)
    expected = [
        not any((a <= at[i] and b >= best[i]) and (a < at[i] or b > best[i]) for a, b in zip(at, best, strict=True))
        for i in range(80)
    ]
    found = standings(list(at), [False] * 80, list(best))
    assert [s == "front" for s in found] == expected
    assert 0 < sum(expected) < 80
