"""A planted slope is found, a setting that does nothing has an interval around zero, and what differs otherwise is no
dose."""

import numpy as np
import pytest
from mechanism_cases import memorizing
from scipy.stats import linregress

from grokscope.mechanism import explain
from grokscope.mechanism.arms import Member
from grokscope.mechanism.doses import doses

EXPLAINED = explain(memorizing())
RHO = "regime.interventions.0.rho"


def member(rho, T_gen, **more):
    settings = {RHO: rho, "regime.lr": 8e-3, "regime.optimizer": "adamw", "budget.steps": 1000 * rho, **more}
    return Member(f"rho {rho}", settings, EXPLAINED, 0.99, T_gen)


def planted(slope, seed=0, spread=0.1):
    rng = np.random.default_rng(seed)
    return [member(rho, 500 * np.exp(slope * (rho - 0.85) + rng.normal(0, spread))) for rho in (0.85, 1, 1.15) * 4]


def test_a_planted_slope_is_found_whatever_the_budgets():
    [dose] = doses(planted(7.64))
    assert dose.key == RHO
    assert dose.values == (0.85, 1.0, 1.15)
    assert dose.n == 12
    assert dose.interval[0] < 7.64 < dose.interval[1]
    assert dose.interval[1] - dose.interval[0] < 2


def test_the_interval_covers_as_often_as_it_says():
    """Of 200 settings that do nothing, about ten have an interval without zero."""
    outside = sum(not d.interval[0] < 0 < d.interval[1] for seed in range(200) for d in doses(planted(0.0, seed)))
    assert 2 <= outside <= 20


def test_it_is_a_least_squares_line():
    members = planted(3.0, seed=5)
    line = linregress([m.settings[RHO] for m in members], np.log([m.T_gen for m in members]))
    assert doses(members)[0].slope == pytest.approx(line.slope)


def test_arms_that_differ_in_more_are_lines_of_their_own():
    two = [*planted(7.64), *[member(r, 300.0, **{"regime.optimizer": "sgd"}) for r in (0.85, 1.0, 1.15, 1.3)]]
    assert len(doses(two)) == 2
    mixed = [member(0.85, 500.0), member(1.0, 900.0, **{"regime.lr": 1e-3})]
    assert doses(mixed) == ()


def test_runs_that_have_not_arrived_are_counted_and_in_no_line():
    [dose] = doses([*planted(7.64), member(1.3, None)])
    assert (dose.n, dose.censored) == (12, 1)
    assert doses([member(r, None) for r in (0.85, 1.0, 1.15, 1.3)]) == ()
