"""Two models with exactly known training, as trajectories on which verdicts and checks can be verified.

Neither is trained here. Each step is a closed form in the eigenbasis of the problem, so a million steps cost what a
hundred do.
"""

import math
from dataclasses import dataclass

import numpy as np

from grokscope.config import require
from grokscope.mechanism.setup import Setup
from grokscope.trajectory import Trajectory
from grokscope.trajectory.series import r2

ROWS_PER_DECADE = 400


def log_grid(steps: int) -> np.ndarray:
    """0, then whole steps up to `steps`, about `ROWS_PER_DECADE` in each factor of ten. int64."""
    count = max(2, round(ROWS_PER_DECADE * math.log10(max(steps, 2))))
    return np.unique(np.concatenate([[0], np.round(np.geomspace(1, steps, count))]).astype(np.int64))


@dataclass(frozen=True, kw_only=True)
class Ridge:
    """Overparametrized ridge regression by gradient descent: the model of two clocks.

    x ~ N(0, I / m), targets of a unit teacher, start ~ N(0, nu^2), loss |X (w - w*)|^2 / n with half gradients and
    decay lambda w. The train loss falls at the rate of the data's eigenvalues, the held-out loss waits for decay to
    shrink the start in the directions that no example sees: t2 = ln((1 - n/m) nu^2 / loss) / (2 eta lambda), so t2 *
    lambda is constant and a fourfold nu^2 adds ln 4 / (2 eta lambda) steps (arXiv:2601.19791).

    Misleads: with both losses below .01 held-out is still ten times the trivial loss (1 / m), so this is no grokking
    in the sense of the verdicts.
    """

    n: int = 100
    m: int = 1000
    nu: float = 1.0
    decay: float = 1e-4
    lr: float = 1.0
    steps: int = 40_000
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 < self.n < self.m, f"n must lie in 1 to m - 1, got n {self.n}, m {self.m}")
        require(self.nu > 0 and self.lr > 0, "nu and lr must be positive")
        require(self.decay >= 0, f"decay must not be negative, got {self.decay}")
        require(self.steps >= 1, f"steps must be at least 1, got {self.steps}")

    def setup(self) -> Setup:
        return Setup(optimizer="sgd", lr=self.lr, weight_decay=self.decay, loss="squared_error", parameters=self.m)

    def losses(self, step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(train loss, held-out loss, weight norm), each (t,), after these numbers of steps. The held-out loss is the
        expectation over new examples, |w - w*|^2 / m."""
        rng = np.random.default_rng(self.seed)
        x = rng.standard_normal((self.n, self.m)) / math.sqrt(self.m)
        teacher = rng.standard_normal(self.m)
        teacher /= np.linalg.norm(teacher)
        start = self.nu * rng.standard_normal(self.m)
        _, singular, basis = np.linalg.svd(x, full_matrices=False)
        eigen = singular**2 / self.n
        seen, seen_start = basis @ teacher, basis @ start
        rest, rest_start = teacher - basis.T @ seen, start - basis.T @ seen_start
        # Along an eigenvector w -> c + r^t (w0 - c); where no example reaches, decay alone acts and c is 0.
        center = eigen * seen / (eigen + self.decay)
        factor = (1 - self.lr * (eigen + self.decay)) ** step[:, None]
        along = center + factor * (seen_start - center)
        kept = (1 - self.lr * self.decay) ** step.astype(np.float64)
        unseen_error = kept**2 * (rest_start @ rest_start) - 2 * kept * (rest_start @ rest) + rest @ rest
        train = ((along - seen) ** 2 * eigen).sum(axis=1)
        held = (((along - seen) ** 2).sum(axis=1) + unseen_error) / self.m
        norm = np.sqrt((along**2).sum(axis=1) + kept**2 * (rest_start @ rest_start))
        return train, held, norm

    def trajectory(self) -> Trajectory:
        """On a log-spaced grid; the trivial predictor says 0, whose loss is |w*|^2 / m on new examples."""
        step = log_grid(self.steps)
        train, held, norm = self.losses(step)
        trivial = 1 / self.m
        return _regression(step, r2(train, trivial), r2(held, trivial), train, held, norm)

    def first_below(self, loss: float = 0.01) -> tuple[int | None, int | None]:
        """(t1, t2): first steps with the train and the held-out loss below `loss`, exactly; None where not reached."""
        step = np.arange(self.steps + 1)
        blocks = np.array_split(step, max(1, len(step) // 4096))
        steps: list[int | None] = [None, None]
        for block in blocks:
            for which, values in enumerate(self.losses(block)[:2]):
                below = np.flatnonzero(values < loss)
                if steps[which] is None and below.size:
                    steps[which] = int(block[below[0]])
            if None not in steps:
                break
        return steps[0], steps[1]


@dataclass(frozen=True, kw_only=True)
class TwoWeights:
    """f = w1 a + w2 b on the one example 1 + 1 = 2, from (0, 2): fitted before the first step, and generalizing only as
    decay brings the two weights together (arXiv:2511.01938).

    Loss e^2 + lambda |w|^2: the sum goes to 2 / (1 + lambda / 2), the difference shrinks as (1 - 2 eta lambda)^t.
    Held-out is the mean squared error of a + b over standard normal a and b, |w - (1, 1)|^2.
    """

    decay: float = 0.01
    lr: float = 0.1
    steps: int = 5000

    def __post_init__(self) -> None:
        require(0 < self.lr < 0.25, f"lr must lie in (0, 0.25), where the sum does not swing, got {self.lr}")
        require(self.decay >= 0 and self.steps >= 1, "decay must not be negative, and steps at least 1")

    def setup(self) -> Setup:
        return Setup(optimizer="sgd", lr=2 * self.lr, weight_decay=self.decay, loss="squared_error", parameters=2)

    def weights(self, step: np.ndarray) -> np.ndarray:
        """(t, 2) after these numbers of steps."""
        total = 2 / (1 + self.decay / 2)
        factor = 1 - self.lr * (4 + 2 * self.decay)
        sums = total + factor ** step.astype(np.float64) * (2 - total)
        differences = -2 * (1 - 2 * self.lr * self.decay) ** step.astype(np.float64)
        return np.stack([sums + differences, sums - differences], axis=1) / 2

    def trajectory(self) -> Trajectory:
        """On a log-spaced grid; the trivial predictor says 0: a loss of 4 on the example, 2 on new ones."""
        step = log_grid(self.steps)
        w = self.weights(step)
        train, held = (w.sum(axis=1) - 2) ** 2, ((w - 1) ** 2).sum(axis=1)
        return _regression(step, r2(train, 4.0), r2(held, 2.0), train, held, np.linalg.norm(w, axis=1))


def _regression(
    step: np.ndarray, train_r2: np.ndarray, held_r2: np.ndarray, train: np.ndarray, held: np.ndarray, norm: np.ndarray
) -> Trajectory:
    return Trajectory(
        step=step,
        train=train_r2,
        held_out={"held_out": held_r2},
        kind="regression",
        train_loss=train,
        held_out_loss={"held_out": held},
        norm=norm,
        trivial={"train": 0.0, "held_out": 0.0},
        threshold=0.9,
    )
