"""Two-level designs: what is constant is confounded, and planted effects come out; the grouped-time model recovers a
planted hazard ratio and says nothing where runs are separated."""

import numpy as np
import pytest

from grokscope.inference.factorial import (
    GENERATORS,
    aliases,
    cells_of,
    contrasts,
    estimable,
    off_contrasts,
    one_off,
    resolution,
    signs,
    words_of,
)
from grokscope.inference.grouped_time import log_hazards
from grokscope.trajectory.times import Times


@pytest.mark.parametrize(("factors", "cells"), list(GENERATORS))
def test_fractions_are_balanced_and_what_is_constant_is_what_they_say(factors, cells):
    rows = cells_of(factors, cells)
    assert len(set(rows)) == cells
    for effect in estimable(factors, cells):
        assert signs(effect, rows).sum() == 0
        for other in aliases(effect, factors, cells):
            assert (signs(effect, rows) == signs(other, rows)).all()
    for word in words_of(factors, cells):
        assert set(signs(word, rows)) == {1}
    assert len(words_of(factors, cells)) == 2**factors // cells - 1


def test_resolutions_are_the_published_ones():
    known = {(3, 4): "III", (4, 8): "IV", (5, 16): "V", (5, 8): "III", (6, 16): "IV", (7, 32): "IV", (7, 64): "VII"}
    assert {key: resolution(*key) for key in known} == known
    assert resolution(3, 8) == "full"
    assert aliases(frozenset({0}), 3, 4) == [frozenset({1, 2})]
    assert len(estimable(3, 8)) == 6
    with pytest.raises(ValueError, match="4 factors can be run in 8, 16 cells, not in 4"):
        cells_of(4, 4)


def test_planted_effects_come_out_and_nothing_else():
    cells = cells_of(3)
    values = {c: np.array([10.0, 20.0]) + 3 * c[0] - 1 * c[0] * c[2] for c in cells}
    found = {tuple(sorted(e)): contrasts(e, values).tolist() for e in estimable(3, 8)}
    assert found.pop((0,)) == [6.0, 6.0]
    assert found.pop((0, 2)) == [-2.0, -2.0]
    assert all(v == [0.0, 0.0] for v in found.values())
    off = {c: np.array([1.0 + c[0], 2.0]) for c in one_off(3)}
    assert off_contrasts(0, off).tolist() == [2.0, 0.0]
    assert off_contrasts(1, off).tolist() == [0.0, 0.0]


def timed(hazard, rng, every=50.0, end=600.0):
    at = np.ceil(rng.exponential(300 / hazard) / every) * every
    seen = at <= end
    at = np.where(seen, at, end)
    return Times(before=np.where(seen, at - every, -np.inf), at=at, observed=seen)


def test_a_planted_hazard_ratio_is_recovered_and_its_error_is_the_spread_of_the_estimates():
    rng = np.random.default_rng(1)
    x = np.repeat(np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]), 30, axis=0)
    fits = [log_hazards(timed(np.exp(x @ [1.0, 0.0]), rng), x) for _ in range(40)]
    beta = np.array([f[0] for f in fits if f is not None])
    error = np.array([f[1] for f in fits if f is not None])
    assert beta.mean(axis=0) == pytest.approx([1.0, 0.0], abs=0.12)
    assert error.mean(axis=0) == pytest.approx(beta.std(axis=0), rel=0.35)


def test_separated_runs_have_no_hazard_ratio():
    x = np.repeat([[-0.5], [0.5]], 5, axis=0)
    at = np.r_[np.full(5, 100.0), np.full(5, 600.0)]
    assert log_hazards(Times(before=at - 50, at=at, observed=at < 600), x) is None
    never = Times(before=at - 50, at=at, observed=np.zeros(10, dtype=bool))
    assert log_hazards(never, x) is None
