"""The control of meaningless labels: built by the same procedure as what it controls, weights included."""

from dataclasses import replace

import numpy as np
import pytest

from grokscope.dissect.battery import dissect_features, prepare_sample
from grokscope.dissect.labeling import random_labels
from grokscope.dissect.leace import ObliqueFitter, leace
from grokscope.dissect.planted import Planting, plant
from grokscope.dissect.subspaces import mean_diff
from grokscope.results.settings import Settings

FAST = Settings(draws=99, permutations=99, resamples=199, probe_controls=1, halves=2, erasers=("mean_diff",), ks=(0, 8))
TIED = Planting(environments=2, groups_per_environment=24, correlation=0.9, task_separation=6.0, reliance=0.5)
"""Two hospitals, one with nearly all the tumors; the head reads the hospital too, far less than the tumor."""


def sample_of(planted, settings=FAST):
    return prepare_sample(
        planted.labels, planted.environments, planted.groups, len(planted.labels), planted.head, settings
    )[0]


def table(z, y, weights):
    found = np.zeros((z.max() + 1, y.max() + 1))
    np.add.at(found, (z, y), weights)
    return found / found.sum()


def test_every_random_labeling_is_independent_of_the_class_under_its_own_weights():
    sample = sample_of(plant(TIED, 0))
    y, real = sample.target("task", "fit"), sample.weights["fit"]
    labelings = random_labels(sample, FAST)
    assert len(labelings) == FAST.draws
    tied = []
    for z, weights in labelings:
        assert weights is not None
        joint = table(z, y, weights)
        np.testing.assert_allclose(joint, np.outer(joint.sum(1), joint.sum(0)), atol=1e-12)
        other = table(z, y, real)
        tied.append(np.abs(other - np.outer(other.sum(1), other.sum(0))).max())
    assert np.mean(tied) > 0.01  # the real labeling's weights leave a permuted one associated with the class


def test_what_random_labels_remove_holds_no_more_of_the_task_than_any_direction_does():
    planted = plant(replace(TIED, separation=0.0), 1)
    sample = sample_of(planted)
    fit, y = planted.features[sample.parts.fit].astype(float), sample.target("task", "fit")
    task = planted.head.weight[1] / np.linalg.norm(planted.head.weight[1])

    def held(weights_of):
        return np.mean(
            [abs(mean_diff(fit, z, weights_of(w)).left[:, 0] @ task) for z, w in random_labels(sample, FAST)]
        )

    chance = 0.8 / np.sqrt(len(task))
    assert held(lambda own: own) < 1.5 * chance
    assert held(lambda _: sample.weights["fit"]) > 2.5 * chance
    assert np.ptp(y) == 1


@pytest.mark.parametrize("neurons", [1, 64])
def test_a_used_shortcut_that_follows_the_class_is_found_in_one_channel_and_smeared(neurons):
    found = 0
    for seed in range(4):
        p = plant(replace(TIED, neurons=neurons), seed)
        result = dissect_features(
            {"pooled": p.features}, p.head, p.labels, p.environments, p.groups, settings=replace(FAST, seed=seed)
        )
        found += result.m5.causal is True
    assert found == 4


def test_labelings_that_cannot_be_balanced_come_last():
    p = plant(replace(TIED, n=90, groups_per_environment=6, correlation=0.9), 3)
    sample = sample_of(p)
    labelings = random_labels(sample, FAST)
    known = [weights is not None for _, weights in labelings]
    assert len(known) == FAST.draws
    assert known == sorted(known, reverse=True)


@pytest.mark.parametrize(("n", "d"), [(600, 12), (60, 100)])
def test_leace_for_many_labelings_is_leace_for_each(n, d):
    rng = np.random.default_rng(0)
    h, z = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 5, np.arange(n) % 3
    for weights in (None, rng.uniform(0.3, 3, n)):
        one, many = leace(h, z, weights), ObliqueFitter(h).fit(z, weights)
        assert one.rank == many.rank == 2
        np.testing.assert_allclose(many.apply(h), one.apply(h), atol=1e-8)
