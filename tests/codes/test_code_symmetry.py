"""Keys collide for equivalent matrices, splits never share a key, augmentation changes no label."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.codes.dataset import Codes, make_dataset
from grokscope.codes.heights import m_heights
from grokscope.codes.symmetry import augment, canonical_key, split_by_symmetry


@pytest.fixture(scope="module")
def codes() -> Codes:
    return make_dataset(1, 60)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=60, deadline=None)
def test_equivalent_matrices_share_their_key(k, r, seed, integers):
    rng = np.random.default_rng(seed)
    P = rng.integers(-2, 3, (k, r)).astype(float) if integers else rng.normal(size=(k, r))
    Q = P[rng.permutation(k)][:, rng.permutation(r)] * rng.choice([-1, 1], (k, 1)) * rng.choice([-1, 1], (1, r))
    keys = canonical_key(np.stack([P, Q]))
    assert keys[0] == keys[1]


def test_keys_tell_inequivalent_matrices_apart():
    signs = np.array([[[1, 1], [1, 1]], [[1, 1], [1, -1]]])
    swapped = np.array([[[1, 2], [3, 4]], [[1, 3], [2, 4]]])  # a transpose is another code
    arranged = np.array([[[1, 2], [3, 4]], [[1, 2], [4, 3]]])
    for pair in (signs, swapped, arranged):
        assert len(set(canonical_key(pair).tolist())) == 2
    assert canonical_key(np.zeros((1, 2, 3))) != canonical_key(np.zeros((1, 3, 2)))
    assert len(set(canonical_key(np.random.default_rng(0).normal(size=(5000, 4, 5))).tolist())) == 5000


def test_padding_is_not_part_of_the_key(codes):
    group = codes.group((9, 6, 3))
    padded = canonical_key(codes.P[group], codes.params[group])
    assert np.array_equal(padded, canonical_key(codes.P[group][:, :, :3]))
    assert not np.array_equal(padded, canonical_key(codes.P[group]))


def test_augmentation_keeps_labels_keys_and_padding(codes):
    P = augment(codes.P, codes.params, np.random.default_rng(0))
    assert P.dtype == np.float32
    assert np.mean((P == codes.P).all(axis=(1, 2))) < 0.01
    assert np.array_equal(canonical_key(P, codes.params), canonical_key(codes.P, codes.params))
    assert not np.signbit(P[P == 0]).any()
    for n, k, m in [(9, 4, 3), (10, 6, 4)]:
        rows = codes.group((n, k, m))
        assert not P[rows, k:].any()
        assert not P[rows][:, :, n - k :].any()
        assert np.allclose(np.log2(m_heights(P[rows, :k, : n - k], m)), codes.log2h[rows], rtol=0, atol=1e-9)


def with_copies(codes: Codes) -> Codes:
    """The codes and, for a third of them, an equivalent copy under another m."""
    third = np.flatnonzero((codes.params[:, 0] == 10) & (codes.params[:, 2] == 2))
    params = codes.params[third] + [0, 0, 1]
    P = augment(codes.P[third], params, np.random.default_rng(1))
    return Codes(
        np.concatenate([codes.P, P]),
        np.concatenate([codes.params, params]),
        np.concatenate([codes.log2h, codes.log2h[third]]),
        codes.meta,
    )


def test_equivalent_matrices_never_cross_splits(codes):
    codes = with_copies(codes)
    sizes = {"train": 12, "id_val": 15}
    split = split_by_symmetry(codes, sizes, seed=0)
    keys = {name: set(canonical_key(codes.P[rows], codes.params[rows]).tolist()) for name, rows in split.items()}
    assert not keys["train"] & keys["id_val"]
    assert sum(len(rows) for rows in split.values()) > sum(map(len, keys.values()))  # some copies are in, on one side
    for name, rows in split.items():
        assert np.unique(codes.params[rows], axis=0, return_counts=True)[1].tolist() == [sizes[name]] * 21


def test_splits_are_nested_in_their_size_and_independent_of_the_others(codes):
    small = split_by_symmetry(codes, {"train": 5, "id_val": 12}, seed=0)
    large = split_by_symmetry(codes, {"train": 15, "id_val": 12}, seed=0)
    assert set(small["train"]) < set(large["train"])
    assert np.array_equal(small["id_val"], large["id_val"])
    assert not np.array_equal(small["train"], split_by_symmetry(codes, {"train": 5, "id_val": 12}, seed=1)["train"])


def test_a_group_too_small_for_a_split_is_refused(codes):
    with pytest.raises(ValueError, match=r"split 'train' needs 55 codes.*draw about"):
        split_by_symmetry(codes, {"train": 55, "id_val": 5}, seed=0)
    with pytest.raises(ValueError, match="name at least one split"):
        split_by_symmetry(codes, {}, seed=0)
