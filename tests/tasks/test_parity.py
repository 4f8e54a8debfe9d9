"""Sparse parity: the formula, distinct rows, nesting."""

from functools import reduce
from itertools import product
from operator import xor

import numpy as np
import pytest

from grokscope.tasks.parity import Parity


def keys(split):
    return [row.tobytes() for row in split.x]


def test_labels_are_the_parity_of_the_first_k_bits():
    data = Parity(n=12, k=5, n_train=300, n_val=200).build(0)
    for split in data.splits.values():
        bits = (split.x < 0).astype(int)  # -1 is a set bit, so an odd number of them makes the product -1
        assert split.y.tolist() == [1 - reduce(xor, row[:5]) for row in bits.tolist()]
        assert set(np.unique(split.x).tolist()) == {-1.0, 1.0}
        assert split.x.dtype == np.float32
    assert data.meta == {"support": [0, 1, 2, 3, 4]}
    assert (data.classes, data.threshold) == (2, 0.98)
    assert list(data.splits) == ["train", "id_val"]


def test_rows_are_distinct_within_and_between_splits():
    splits = Parity(n=6, k=2, n_train=40, n_val=24).build(5).splits
    together = keys(splits["train"]) + keys(splits["id_val"])
    assert len(set(together)) == 64
    assert set(together) == {np.array(c, np.float32).tobytes() for c in product((-1, 1), repeat=6)}


@pytest.mark.parametrize("n", [11, 40])
def test_training_rows_are_nested_and_validation_does_not_move(n):
    small, large = (Parity(n=n, n_train=size, n_val=100).build(2).splits for size in (300, 1500))
    assert keys(small["train"]) == keys(large["train"])[:300]
    np.testing.assert_array_equal(small["id_val"].x, large["id_val"].x)


def test_seeds_and_splits_have_streams_of_their_own():
    first, again, other = (Parity().build(s).splits for s in (0, 0, 1))
    np.testing.assert_array_equal(first["train"].x, again["train"].x)
    assert not set(keys(first["train"])) & set(keys(other["train"]))


def test_no_single_bit_predicts_the_label_but_the_product_does():
    train = Parity(n_train=4000, n_val=1).build(0).splits["train"]
    sign = 2 * train.y - 1
    assert np.abs(train.x.T @ sign / 4000).max() < 5 / np.sqrt(4000)
    assert (train.x[:, :3].prod(axis=1) == sign).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n": 0}, "n must be at least 1"),
        ({"k": 0}, r"k hidden bits must lie in \[1, n = 40\], got 0"),
        ({"k": 41}, r"k hidden bits must lie in \[1, n = 40\], got 41"),
        ({"n_train": 0}, "n_train must be at least 1"),
        ({"n_val": 0}, "n_val must be at least 1"),
        ({"n": 8, "n_train": 200, "n_val": 57}, "257 distinct examples, but n = 8 bits have only 256"),
    ],
)
def test_impossible_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Parity(**fields)
