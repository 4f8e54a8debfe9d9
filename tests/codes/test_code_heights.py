"""Heights against exact rationals and linear programs; infinities; what leaves them unchanged; refusals."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles import determinant, exact_height, lp_height

from grokscope.codes import kernel
from grokscope.codes.heights import m_heights, minors

small_integers = st.tuples(st.integers(1, 4), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.sampled_from([-3, -2, -1, 0, 0, 1, 1, 2, 5]))
)


def assert_exact(P: np.ndarray, tolerance: float) -> None:
    heights = m_heights(P[None])[0]
    for m, height in enumerate(heights.tolist(), start=1):
        exact = exact_height(P.tolist(), m)
        if exact == float("inf"):
            assert height == float("inf")
        else:
            assert height == pytest.approx(float(exact), rel=tolerance)


@given(small_integers)
@settings(max_examples=80, deadline=None)
def test_degenerate_integer_codes_equal_the_exact_heights(P):
    assert_exact(P, 1e-15)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (2, 3), (3, 3)])
def test_random_codes_equal_the_exact_heights(shape):
    rng = np.random.default_rng(0)
    assert_exact(rng.integers(-100, 101, shape), 1e-15)
    assert_exact(rng.uniform(-100, 100, shape).astype(np.float32), 1e-13)


@pytest.mark.slow
def test_a_code_of_full_size_equals_the_exact_height():
    P = np.random.default_rng(1).integers(-100, 101, (4, 5))
    assert_exact(P, 1e-15)


def test_hilbert_like_and_repeated_columns():
    hilbert = 1.0 / (np.arange(3)[:, None] + np.arange(3) + 1)
    assert_exact(hilbert, 1e-9)
    assert_exact(hilbert[:, [0, 1, 1]], 1e-9)
    assert_exact(np.vstack([hilbert[:2], np.zeros(3)]), 1e-9)


@pytest.mark.parametrize(("k", "r", "m"), [(1, 2, 2), (2, 2, 1), (2, 2, 2), (2, 3, 2), (3, 2, 2), (3, 3, 2)])
def test_heights_equal_the_linear_programs(k, r, m):
    P = np.random.default_rng(k * 10 + r).uniform(-3, 3, (k, r))
    assert m_heights(P[None], m)[0] == pytest.approx(lp_height(P, m), rel=1e-9)


def test_known_heights():
    assert m_heights(np.ones((1, 1, 3))).tolist() == [[1.0, 1.0, 1.0]]  # repetition code
    assert m_heights(np.ones((1, 3, 1)))[0, 0] == 3.0  # parity of three: u = (1, 1, 1)
    assert m_heights(np.zeros((1, 2, 2)))[0].tolist() == [np.inf, np.inf]


def test_singular_real_codes_are_infinite_although_rounding_hides_it():
    rng = np.random.default_rng(2)
    # Rank 2 by construction, and the products are exact in float64: 24 bits times a small integer, summed.
    P = rng.uniform(-1, 1, (40, 4, 2)).astype(np.float32).astype(np.float64) @ rng.integers(-9, 10, (40, 2, 4))
    entries = np.ascontiguousarray(P.reshape(5, 8, 16).transpose(0, 2, 1))
    rounded = kernel.minors(entries, *kernel.laplace(4, 4))[0][:, -1]
    assert (rounded != 0).any()
    assert np.isinf(m_heights(P)[:, 2:]).all()  # a 3 x 3 minor vanishes already


def test_minors_beyond_float64_integers_are_decided_exactly():
    P = np.random.default_rng(3).integers(-1000, 1001, (8, 8))
    P[7] = P[:7].sum(axis=0)
    entries = np.repeat(P.reshape(1, 64, 1).astype(float), 8, axis=2)
    assert kernel.minors(entries, *kernel.laplace(8, 8))[0][0, -1, 0] != 0  # what rounding would say
    assert np.isinf(m_heights(P[None], 8)[0])
    P[7, 0] += 1
    assert abs(minors(P[None].astype(float))[0, -1, 0]) == abs(float(determinant(P[:7, 1:].tolist())))


def test_every_minor_is_right_to_the_promised_precision():
    rng = np.random.default_rng(4)
    P = rng.uniform(-100, 100, (8, 3, 3)).astype(np.float32).astype(np.float64)
    P[:, 2] = P[:, 0] + P[:, 1] + rng.uniform(-1e-9, 1e-9, (8, 3))  # cancels nine digits and more
    value = minors(P)[0, -1]
    for code, got in zip(P, value, strict=True):
        exact = determinant([[Fraction(x) for x in row] for row in code.tolist()])
        assert abs(Fraction(float(got)) / exact - 1) < Fraction(1, 2**32)


@given(st.data(), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_permutations_and_signs_leave_heights_alone(data, seed):
    rng = np.random.default_rng(seed)
    k, r = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    P = rng.integers(-9, 10, (k, r)).astype(float)
    Q = P[rng.permutation(k)][:, rng.permutation(r)] * rng.choice([-1, 1], (k, 1)) * rng.choice([-1, 1], (1, r))
    heights = m_heights(np.stack([P, Q]))
    assert np.array_equal(heights[0], heights[1])
    assert (heights >= 1).all()
    assert (heights[0, :-1] <= heights[0, 1:]).all()


def test_negating_one_entry_is_not_a_symmetry():
    P = np.array([[[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, -4.0]]])
    heights = m_heights(P)
    assert not np.array_equal(heights[0], heights[1])


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 2000])
def test_batches_of_any_size_and_one_m_at_a_time(count):
    P = np.random.default_rng(5).uniform(-100, 100, (count, 3, 4))
    heights = m_heights(P)
    assert heights.shape == (count, 4)
    for m in range(1, 5):
        assert np.array_equal(m_heights(P, m), heights[:, m - 1])
    for i in range(0, count, 501):
        assert np.array_equal(m_heights(P[i : i + 1])[0], heights[i])


@pytest.mark.parametrize(
    ("P", "m", "message"),
    [
        (np.ones((2, 2)), None, r"P\[None\]"),
        (np.ones((1, 9, 2)), None, "k = 9"),
        (np.ones((1, 2, 0)), None, "n - k = 0"),
        (np.full((3, 2, 2), np.nan), None, r"P\[0\] holds NaN"),
        (np.full((1, 2, 2), np.inf), None, "infinity"),
        (np.full((1, 2, 2), 1e-30), None, "round tiny entries"),
        (np.full((1, 2, 2), 1j), None, "real numbers"),
        (np.ones((1, 2, 2)), 0, "outside 1..n-k = 1..2"),
        (np.ones((1, 2, 2)), 3, "outside 1..n-k = 1..2"),
    ],
)
def test_bad_input_is_refused_with_a_remedy(P, m, message):
    with pytest.raises(ValueError, match=message):
        m_heights(P, m)


def test_finite_refuses_infinite_heights_and_names_the_first():
    P = np.stack([[[1, 2], [3, 4]], [[1, 2], [2, 4]]])
    assert np.isfinite(m_heights(P, 1, finite=True)).all()
    with pytest.raises(ValueError, match="first code 1 at m = 2"):
        m_heights(P, 2, finite=True)
    with pytest.raises(ValueError, match="first code 1 at m = 2"):
        m_heights(P, finite=True)
