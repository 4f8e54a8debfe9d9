"""The steering slope against environments dealt anew: an exact test, which says so where it can show nothing."""

import math
from dataclasses import replace
from itertools import permutations as orders

import numpy as np
import pytest

from grokscope.dissect.battery import dissect_features, prepare_sample
from grokscope.dissect.calibrate import BASE
from grokscope.dissect.effects import make_scene
from grokscope.dissect.erasure import Bench, make_bench
from grokscope.dissect.labeling import exchanged, other_partitions, smallest_p, units_needed
from grokscope.dissect.parts import Parts
from grokscope.dissect.planted import Planted, Planting, plant
from grokscope.dissect.sample import Sample, make_sample
from grokscope.dissect.scoring import homes, log_distinct
from grokscope.dissect.sentences import TISSUE, _steered
from grokscope.dissect.steering import run_m5
from grokscope.results.scores import Null
from grokscope.results.settings import Settings
from grokscope.results.steering import M5

QUICK = Settings(draws=99, permutations=19, resamples=19, probe_controls=1, halves=1, steps=(-1.0, 0.0, 1.0))
SIX_PATIENTS = replace(BASE, groups_per_environment=6, separation=0.0)
SMALL = replace(SIX_PATIENTS, n=180, d=12)


def bench_of(p: Planted, sample: Sample, classes: np.ndarray, settings: Settings) -> Bench:
    rows, group = sample.parts.test, sample.group("test")
    scene = make_scene("test", p.features[rows], p.head, classes[rows], sample.environments[rows], group, 19, 0)
    return make_bench(p.features, p.head, sample, {"test": scene}, settings)


def steering(what: Planting, seed: int, draws: int = 99) -> M5:
    """M5 alone, which needs no probe and no scene but the test part's curve."""
    p = plant(what, seed)
    settings = replace(QUICK, seed=seed, draws=draws)
    sample, record, classes = prepare_sample(p.labels, p.environments, p.groups, len(p.labels), p.head, settings)
    return run_m5(bench_of(p, sample, classes, settings), record.environments)


def labels_of(m5: M5) -> Null:
    assert m5.slope_controls is not None
    return m5.slope_controls.labels


def rejected(what: Planting, seeds: range) -> float:
    return float(np.mean([steering(what, seed).causal is True for seed in seeds]))


def test_every_way_to_deal_the_patients_has_its_own_p_when_it_is_taken_for_the_real_one():
    """What makes the test exact: over the 35 ways to deal eight patients to two hospitals the p are 1/35, 2/35, ... 1,
    so at most 5 % of them pass the level of 5 %. Directions fitted to what the real hospitals leave do not do this: of
    patients who all are alike they passed 13 % with three patients to a hospital."""
    p = plant(replace(SMALL, environments=2, groups_per_environment=8), 0)
    sample, record, classes = prepare_sample(p.labels, p.environments, p.groups, len(p.labels), p.head, QUICK)
    fit = sample.parts.fit
    home, units = homes(sample.environments[fit], sample.groups[fit]) or pytest.fail(
        "patients lie in one hospital each"
    )
    every = [home, *other_partitions(home)]
    ps = []
    for dealt in every:
        environments = sample.environments.copy()
        environments[fit] = dealt[units]
        here = make_sample(sample.labels, environments, sample.groups, sample.parts, "class")
        ps.append(labels_of(run_m5(bench_of(p, here, classes, QUICK), record.environments)).p)
    np.testing.assert_allclose(sorted(ps), np.arange(1, 36) / 35)


def test_a_used_shortcut_is_found_with_as_few_patients_however_strong_it_is():
    for separation in (3.0, 12.0):
        assert rejected(replace(SMALL, separation=separation), range(6)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "what",
    [
        SMALL,
        replace(SMALL, environments=5),
        replace(SMALL, environments=2, groups_per_environment=8),
        replace(SMALL, separation=3.0, used=False),
        replace(SMALL, correlation=0.5),
        replace(SMALL, environments=2, groups_per_environment=12, small_share=0.25),
        replace(SMALL, groups_per_environment=0, group_sd=0.0),
    ],
    ids=["three", "five", "two", "unused", "correlated", "one small", "no patients"],
)
def test_the_level_is_kept_whatever_the_environments(what):
    assert rejected(what, range(200)) <= 0.09  # 99 % of draws from binomial(200, .05) / 200


def words(m5: M5, environments: int, settings: Settings = QUICK) -> str:
    return _steered(m5.causal, labels_of(m5), "group", environments, settings, TISSUE)


def test_two_hospitals_of_three_patients_in_the_fit_part_cannot_be_told_and_the_words_say_what_would():
    m5 = steering(replace(SIX_PATIENTS, environments=2, separation=6.0), 0)
    assert labels_of(m5).draws == 9
    assert labels_of(m5).smallest_p == pytest.approx(0.1)
    assert m5.causal is None
    assert words(m5, 2) == (
        "Whether a step along the direction between hospitals moves the decision farther than chance is not known: the "
        "patients at hand can be dealt to 2 hospitals in only 10 different ways, too few for the level of 0.05; with "
        "8 patients per hospital this can be decided."
    )
    enough = steering(replace(SIX_PATIENTS, environments=2, separation=6.0, groups_per_environment=8), 0)
    assert enough.causal is True
    assert labels_of(enough).smallest_p == pytest.approx(1 / 35)
    assert words(enough, 2) == (
        "A step along the direction between hospitals moves the decision farther than along all 34 directions between "
        "patients dealt to hospitals at random."
    )


def test_the_whole_dissection_withholds_use_where_patients_can_be_dealt_in_few_ways():
    p = plant(replace(SIX_PATIENTS, environments=2, separation=6.0), 0)
    settings = replace(QUICK, permutations=99, resamples=99, erasers=("mean_diff",), ks=(0, 8))
    result = dissect_features(
        {"pooled": p.features}, p.head, p.labels, p.environments, p.groups, settings=settings, nouns=TISSUE
    )
    assert result.m4.erasures[0].causal is None
    assert result.where.use == "cannot tell"
    assert "in only 10 different ways" in result.where.reason
    assert result.where.reason.count("with 8 patients per hospital this can be decided") == 2  # erasure and steering
    assert result.reliance is not None
    assert result.reliance.smallest_p >= 0.1


def test_no_more_than_chance_says_how_many_do_as_much():
    m5 = steering(SIX_PATIENTS, 0)
    assert m5.causal is False
    as_much = round(labels_of(m5).p * 100) - 1
    assert words(m5, 3) == (
        "A step along the direction between hospitals moves the decision no farther than chance may: "
        f"{as_much} of 99 directions between patients dealt to hospitals at random do as much."
    )


def test_too_few_draws_are_named_before_too_few_patients():
    m5 = steering(SIX_PATIENTS, 0, draws=9)
    assert m5.causal is None
    text = words(m5, 3, replace(QUICK, draws=9))
    assert text.endswith("9 random labelings cannot show that something is rare; raise draws.")


def by_hand(home: tuple[int, ...]) -> set[frozenset[frozenset[int]]]:
    """Partitions of the units into sets of these sizes, from all orders of the codes."""
    every = set()
    for codes in set(orders(home)):
        every.add(frozenset(frozenset(np.flatnonzero(np.array(codes) == e).tolist()) for e in set(codes)))
    return every


@pytest.mark.parametrize(
    "home", [(0, 0, 0, 1, 1, 1), (0, 1, 1, 2, 2), (1, 0, 0, 0), (0, 1, 2, 0, 1, 2), (0, 0, 1, 1, 2)]
)
def test_every_other_way_to_deal_units_is_there_once(home):
    dealt = [
        frozenset(frozenset(np.flatnonzero(codes == e).tolist()) for e in np.unique(codes))
        for codes in other_partitions(np.array(home))
    ]
    real = frozenset(frozenset(np.flatnonzero(np.array(home) == e).tolist()) for e in set(home))
    assert len(dealt) == len(set(dealt))
    assert set(dealt) == by_hand(home) - {real}
    assert math.exp(log_distinct(np.bincount(home)[None], named=False)) == pytest.approx(len(dealt) + 1)


@pytest.mark.parametrize(("environments", "needed"), [(2, 4), (3, 3), (5, 2)])
def test_units_that_are_needed_for_a_level(environments, needed):
    assert units_needed(environments, 0.05) == needed
    assert units_needed(2, 0.001) == 7  # 1,716 ways


def test_labelings_that_cannot_be_balanced_are_left_out_of_the_exact_test():
    """Eight patients of one class each: dealt so that a hospital has one class alone, the class cannot be balanced."""
    groups = np.repeat(np.arange(8), 4)
    environments, labels = groups // 4, np.array([0, 0, 0, 1, 0, 1, 1, 1])[groups]
    every = np.arange(len(groups))
    sample = make_sample(labels, environments, groups, Parts(every, every, every), "class")
    labelings = exchanged(sample, QUICK)
    assert len(labelings) == 35 - 1 - 1
    assert all(weights is not None for _, weights in labelings)
    assert smallest_p(sample) == pytest.approx(1 / 35)
    unweighted = exchanged(make_sample(labels, environments, groups, Parts(every, every, every), "none"), QUICK)
    assert len(unweighted) == 35 - 1
    assert all(weights is None for _, weights in unweighted)
