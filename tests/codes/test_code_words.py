"""Certificates attain the heights they certify; the height of one word; the printed form."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from grokscope.codes.codewords import certificate, codeword_height, generator
from grokscope.codes.heights import m_heights
from grokscope.codes.show import describe_code, show_code

codes = st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(-2, 2))
)


def assert_certified(P: np.ndarray) -> None:
    heights, G = m_heights(P[None])[0], generator(P)
    for m, height in enumerate(heights, start=1):
        proof = certificate(P, m)
        size = np.abs(proof.codeword).max()
        assert np.allclose(proof.message @ G, proof.codeword, rtol=0, atol=1e-9 * size)
        assert codeword_height(proof.codeword, m) == proof.height
        assert proof.height == pytest.approx(height, rel=1e-9)


@given(codes)
@settings(max_examples=60, deadline=None)
def test_degenerate_codes_are_certified(P):
    assert_certified(P)


@pytest.mark.parametrize("shape", [(4, 5), (6, 4), (4, 6), (5, 5)])
def test_random_codes_are_certified(shape):
    assert_certified(np.random.default_rng(0).uniform(-100, 100, shape).astype(np.float32))


def test_an_infinite_height_is_shown_by_exact_zeros():
    P = np.array([[1.1, 1.1, 0.3], [0.7, 0.7, 0.9]])
    proof = certificate(P, 3)
    assert proof.height == float("inf")
    assert 1 <= np.count_nonzero(proof.codeword) <= 3


def test_random_words_never_exceed_the_height():
    rng = np.random.default_rng(1)
    P = rng.uniform(-2, 2, (3, 3))
    heights = m_heights(P[None])[0]
    for word in rng.normal(size=(2000, 3)) @ generator(P):
        for m in range(1, 4):
            assert codeword_height(word, m) <= heights[m - 1] * (1 + 1e-12)


def test_height_of_a_word():
    assert codeword_height(np.array([1, -6, 2, 0]), 1) == 3.0
    assert codeword_height(np.array([1, -6, 2, 0]), 3) == float("inf")
    with pytest.raises(ValueError, match="zero codeword"):
        codeword_height(np.zeros(3), 1)
    with pytest.raises(ValueError, match=r"1\.\.n-1 = 1\.\.2"):
        codeword_height(np.ones(3), 3)
    with pytest.raises(ValueError, match="one dimension"):
        codeword_height(np.ones((2, 3)), 1)
    with pytest.raises(ValueError, match="finite numbers"):
        codeword_height(np.array([1.0, np.nan]), 1)


def test_generator_and_certificate_refuse_what_heights_refuse():
    assert generator(np.array([[2, 3]])).tolist() == [[1.0, 2.0, 3.0]]
    with pytest.raises(ValueError, match="expected"):
        generator(np.ones(3))
    with pytest.raises(ValueError, match=r"outside 1\.\.n-k"):
        certificate(np.ones((2, 2)), 3)


def test_shown_code():
    code = describe_code(np.array([[1, 2], [2, 4]]))
    assert (code["n"], code["k"], code["distance"]) == (4, 2, 2)
    json.dumps(code, allow_nan=False)
    text = show_code(np.array([[1, 2], [2, 4]]))
    assert text.splitlines()[0] == "[4, 2] code, minimum distance 2"
    assert "infinite" in text.splitlines()[-1]
