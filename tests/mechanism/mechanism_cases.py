"""Constructed trajectories whose mechanism is known, for checks that must find it and for those that must not."""

import numpy as np

from grokscope.mechanism import Case, Setup, case_of_trajectory
from grokscope.mechanism.diffusion import diffused_norm
from grokscope.trajectory import from_log

PUBLISHED_SETUP = Setup(
    optimizer="adamw",
    lr=1e-3,
    weight_decay=5e-3,
    loss="cross_entropy",
    grad_filter="grokfast_ema",
    init_scale=4,
    irm_weight=0,
    parameters=11_177_538,
    steps_per_unit=32,
)
"""The grokking-favorable regime of the shortcut study at n = 1,000: 32 steps in an epoch, a ResNet-18."""
PUBLISHED = {
    "epoch": [1, 50, 350, 1000, 2000, 3000],
    "train": [0.6, 1, 1, 1, 1, 1],
    "ood": [0.5, 0.68, 0.7336, 0.69, 0.67, 0.6639],
    "norm": [356, 500, 908, 1150, 1350, 1470],
    "rank": [110, 90, 70, 50, 40, 36],
    "penalty": [0.2, 0.01, 1e-4, 1e-5, 2e-6, 1e-6],
    "loss": [0.69, 0.01, 1e-3, 1e-4, 3e-5, 1e-5],
}
"""Its milestones as published (norm 356, 908 at the peak, 1,470; rank 110 to 36), the rows between filled in."""


def published() -> Case:
    trajectory = from_log(
        PUBLISHED,
        step="epoch",
        train="train",
        held_out={"ood_test": "ood"},
        train_loss="loss",
        norm="norm",
        measured={"rank_effective": "rank", "train_irm": "penalty"},
        trivial=0.5,
        threshold=0.9,
    )
    return case_of_trajectory(trajectory, PUBLISHED_SETUP)


ROWS = 60


def memorizing(setup: Setup | None = None, **columns) -> Case:
    """A run of 6,000 steps that fits at 300 and whose held-out stays at .6; `columns` are (ROWS,) arrays by name."""
    return constructed(np.full(ROWS, 0.6), setup, **columns)


def grokking(setup: Setup | None = None, **columns) -> Case:
    """The same, with held-out at .3 until 3,000 and at .99 after."""
    return constructed(np.where(STEPS < 3000, 0.3, 0.99), setup, **columns)


STEPS = np.arange(1, ROWS + 1) * 100


def constructed(held: np.ndarray, setup: Setup | None = None, train: np.ndarray | None = None, **columns) -> Case:
    train = np.minimum(1.0, STEPS / 300) if train is None else train
    norms = {k.removeprefix("norm_"): k for k in columns if k.startswith("norm_")}
    rows = {"step": STEPS, "train": train, "held": held, **columns}
    trajectory = from_log(
        rows,
        step="step",
        train="train",
        held_out={"ood_val": "held"},
        train_loss="train_loss" if "train_loss" in columns else None,
        norm=norms or None,
        measured={k: k for k in columns if k not in ("train_loss", *norms.values())},
        trivial=0.1,
        n={"train": 300},
        threshold=0.9,
    )
    return case_of_trajectory(trajectory, setup or Setup(), can_be_trained=True)


def adamw(**more) -> Setup:
    known = {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 1e-4, "loss": "cross_entropy", "parameters": 100_000}
    return Setup(**{**known, **more})


def norms_of_noise(setup: Setup, u: float, start: float = 30.0) -> np.ndarray:
    """(ROWS,) norms that steps of pure noise of size `u` lead to."""
    assert setup.lr is not None
    assert setup.weight_decay is not None
    assert setup.parameters is not None
    return np.array([diffused_norm(start, u, setup.lr, setup.weight_decay, t, setup.parameters) for t in STEPS - 100])
