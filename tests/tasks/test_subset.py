"""Prefixes of a nested order are stratified, whatever the strata."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.tasks.subset import nested_order


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6), seed=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_every_prefix_is_proportional(sizes, seed):
    strata = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    order = nested_order(strata, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(strata)))
    counts = np.cumsum(strata[order][:, None] == np.arange(len(sizes)), axis=0)
    quota = np.arange(1, len(strata) + 1)[:, None] * np.array(sizes) / len(strata)
    # a divisor method follows one common multiplier, so each stratum is within 1/2 of it and the quota within k/2 more
    assert np.abs(counts - quota).max() <= 0.5 + len(sizes) / 2
    np.testing.assert_array_equal(counts[-1], sizes)


def test_members_of_a_stratum_are_shuffled_by_the_generator():
    strata = np.zeros(100, np.int64)
    first, again, other = (nested_order(strata, np.random.default_rng(s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first != np.arange(100)).any()


def test_equal_strata_meet_in_random_order():
    strata = np.repeat([0, 1], 50)
    starts = {int(strata[nested_order(strata, np.random.default_rng(s))[0]]) for s in range(20)}
    assert starts == {0, 1}
