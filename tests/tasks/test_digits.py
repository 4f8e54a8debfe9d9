"""The digits: scaled, stratified, nested, without leakage."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from grokscope.tasks.digits import Digits
from grokscope.tasks.trivial import trivial_metrics


def keys(split):
    return [row.tobytes() for row in split.x]


def test_every_image_lies_in_exactly_one_split():
    data = Digits().build(0)
    pixels, digits = load_digits(return_X_y=True)
    truth = {(row / 16).astype(np.float32).tobytes(): d for row, d in zip(pixels, digits, strict=True)}
    train, held_out = data.splits["train"], data.splits["id_val"]
    assert (len(train), len(held_out)) == (200, 1597)
    assert not set(keys(train)) & set(keys(held_out))
    seen = dict(zip(keys(train) + keys(held_out), [*train.y.tolist(), *held_out.y.tolist()], strict=True))
    assert seen == truth
    assert (data.classes, data.threshold) == (10, 0.90)


def test_pixels_are_scaled_to_the_unit_interval():
    x = Digits().build(0).splits["train"].x
    assert (x.dtype, x.shape) == (np.float32, (200, 64))
    assert (x.min(), x.max()) == (0.0, 1.0)


@pytest.mark.parametrize("n", [10, 57, 200, 1000])
def test_training_images_are_stratified_and_nested(n):
    large = Digits(n_train=1796).build(3).splits["train"]
    small = Digits(n_train=n).build(3).splits["train"]
    assert keys(small) == keys(large)[:n]
    counts = np.bincount(small.y, minlength=10)
    shares = np.bincount(load_digits().target) / 1797
    assert counts.min() >= 1
    assert np.abs(counts - n * shares).max() <= 1


def test_the_seed_decides_the_subset():
    first, again, other = (set(keys(Digits().build(s).splits["train"])) for s in (0, 0, 1))
    assert first == again
    assert len(first & other) < 60  # about 22 expected of 200


def test_the_trivial_predictor_is_the_majority_class():
    data = Digits().build(0)
    counts = np.bincount(data.splits["train"].y)
    got = trivial_metrics(data)
    assert got["train"]["acc"] == counts.max() / 200
    assert 0.08 < got["id_val"]["acc"] < 0.12


def test_labels_belong_to_their_images():
    splits = Digits(n_train=400).build(0).splits
    model = LogisticRegression(max_iter=2000).fit(splits["train"].x, splits["train"].y)
    assert model.score(splits["id_val"].x, splits["id_val"].y) > 0.9


@pytest.mark.parametrize("n", [0, 9, 1797, 5000])
def test_impossible_sizes_are_refused(n):
    with pytest.raises(ValueError, match=rf"n_train must lie in \[10, 1796\].*got {n}"):
        Digits(n_train=n)
