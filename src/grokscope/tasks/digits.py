"""Handwritten digits from scikit-learn: 1,797 real images of 8 x 8 pixels."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from grokscope.checks import names_checked
from grokscope.config import TaskConfig, require
from grokscope.seeds import derive
from grokscope.task_data import Split, TaskData
from grokscope.tasks.subset import nested_order

IMAGES = 1797
CLASSES = 10
WHITE = 16.0
"""Largest pixel value on disk."""


@names_checked
@dataclass(frozen=True, kw_only=True)
class Digits(TaskConfig):
    """Classify handwritten digits of scikit-learn: a few for training, all others held out.

    Formula: x = pixels / 16 in [0, 1], y the digit. Splits: `train` is stratified by class, `id_val` all other images.
        The subsets of a seed are nested: a larger `n_train` keeps the earlier images. Source: doi:10.24432/C50P49
        (Alpaydin & Kaynak; the part with 1,797 images), grokking on images after Omnigrok, arXiv:2210.01117. Cost:
        milliseconds.

    Misleads: with a large init scale, what groks here is the readout. A linear probe of the last hidden layer has .91
        before training and .93 or more at the end, the raw pixels .90 (arXiv:2605.27078 names the effect); for a
        representation that forms, see `modular`. With few images the ceiling is below 1, so the threshold is 0.90. The
        images come from 13 unidentified writers, so `id_val` shares writers with `train` and does not show
        generalization to new writers.
    """

    name: ClassVar[str] = "digits"

    n_train: int = 200
    """Training images; 200 are few enough that a large initialization delays generalization."""

    def __post_init__(self) -> None:
        require(
            CLASSES <= self.n_train < IMAGES,
            f"n_train must lie in [{CLASSES}, {IMAGES - 1}] (an image of each class for training, one for id_val), "
            f"got {self.n_train}",
        )

    def train_size(self) -> int:
        return self.n_train

    def build(self, seed: int) -> TaskData:
        """Splits train and id_val; x (n, 64) float32 in [0, 1], y (n,) int64 in 0..9."""
        from sklearn.datasets import load_digits

        pixels, digits = load_digits(return_X_y=True)
        x, y = np.asarray(pixels / WHITE, np.float32), np.asarray(digits, np.int64)
        assert len(y) == IMAGES, f"this scikit-learn ships {len(y)} digits, not {IMAGES}"
        order = nested_order(y, np.random.default_rng(derive(seed, self.name, "subset")))
        parts = zip(("train", "id_val"), np.split(order, [self.n_train]), strict=True)
        return TaskData(
            kind="classification",
            splits={name: Split(x[rows], y[rows]) for name, rows in parts},
            classes=CLASSES,
            threshold=0.90,
            meta={"image_shape": [8, 8]},
        )
