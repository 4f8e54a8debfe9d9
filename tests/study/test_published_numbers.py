"""The published numbers of the shortcut study lie in the ranges that its shipped study expects, and their opposites do
not: an expectation that anything meets would put nothing to the test."""

import pytest

from grokscope.study import Study, shipped_studies
from grokscope.study.measured import MeasuredExpectation, MeasuredRatio


@pytest.fixture(scope="module")
def expectations():
    return Study.load(shipped_studies()["camelyon17_published"]).expectations


@pytest.mark.parametrize(
    ("arm", "measure", "statistic", "published", "others"),
    [
        ("grokking-favorable", "norm_total", "first", [356], [89, 813]),
        ("grokking-favorable", "norm_total", "at peak", [908], [356, 1470]),
        ("grokking-favorable", "norm_total", "final", [1457, 1470, 1632], [356, 813, 908]),
        ("standard", "norm_total", "final", [813], [89, 1470]),
        ("grokking-favorable", "rank_effective", "first", [110], [36]),
        ("grokking-favorable", "rank_effective", "final", [36], [110]),
        ("standard", "rank_effective", "final", [33, 37], [110]),
    ],
)
def test_a_published_number_is_expected_and_another_is_not(expectations, arm, measure, statistic, published, others):
    (e,) = [
        e
        for e in expectations
        if isinstance(e, MeasuredExpectation)
        and (e.where.get("arm"), e.measure, e.statistic) == (arm, measure, statistic)
    ]
    assert all(e.met(value) for value in published)
    assert not any(e.met(value) for value in others)


def test_the_published_ratio_of_norms_is_expected_and_equality_is_not(expectations):
    (ratio,) = [e for e in expectations if isinstance(e, MeasuredRatio)]
    assert ratio.met(ratio.ratio([1457, 1470, 1500, 1600, 1632], [800, 813, 830]))
    assert not ratio.met(ratio.ratio([813.0], [813.0]))


@pytest.mark.parametrize(
    ("name", "arm", "seen", "other"),
    [
        ("steer.monotone.ood_test", "grokking-favorable", [1, 1, 1, 1, 0], [1, 1, 1, 0, 0]),
        ("steer.monotone.ood_test", "standard", [1, 0, 0], [1, 1, 0]),
        ("neurons.separated.ood_test@64", "grokking-favorable", [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]),
        ("neurons.separated.ood_test@64", "standard", [0, 0, 0], [1, 0, 0]),
    ],
)
def test_the_published_counts_of_dissections_meet_their_share_and_one_less_does_not(
    expectations, name, arm, seen, other
):
    (e,) = [
        e
        for e in expectations
        if isinstance(e, MeasuredExpectation) and (e.dissection, e.where.get("arm")) == (name, arm)
    ]

    def enough(values):
        return sum(e.met(v) for v in values) >= e.share * len(values) - 1e-9

    assert enough(seen)
    assert not enough(other)
