"""Generators derived by name."""

import numpy as np

from grokscope.seeds import derive


def test_a_derived_seed_never_changes():
    """It is part of every stored run: another value here would silently make other data of the same config."""
    assert derive(0, "init") == 7797302695267191734
    assert derive(3, "digits", "subset") == 2120299116585917995


def test_every_purpose_and_every_seed_has_its_own():
    names = ("init", "order", "label-noise", "training", "modular/subset", "digits")
    values = {derive(seed, name) for seed in range(-50, 50) for name in names}
    assert len(values) == 100 * len(names)
    assert all(0 <= v < 2**63 for v in values)
    assert derive(1, "a", "b") != derive(1, "b", "a")
    assert derive(1, "2") != derive(12)


def test_neighboring_seeds_give_unrelated_streams():
    draws = np.array([np.random.default_rng(derive(s, "x")).standard_normal(200) for s in range(20)])
    correlations = np.corrcoef(draws)[np.triu_indices(20, 1)]
    assert abs(correlations).max() < 5 / 200**0.5
