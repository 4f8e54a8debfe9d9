"""Named training recipes, with a reason for each number. ``[regime] recipe = "standard"`` starts from one; every other
key overrides it.

A recipe is a starting point, never a bundle: the two published regimes differ on three axes at once, which confounds
whatever is found between them, so each of their axes can be set alone.
"""

from typing import Any

_PUBLISHED = {
    "optimizer": "adamw",
    "lr": 1e-3,
    "batch_size": 32,
    "clip_norm": 1.0,
    "loss": "cross_entropy",
    "irm_weight": 0.0,  # the penalty is computed and recorded, never added to the loss
}

RECIPES: dict[str, dict[str, Any]] = {
    # The shortcut study's baseline: a decay so small that it does nothing within 3,000 epochs.
    "standard": {**_PUBLISHED, "weight_decay": 1e-4, "init_scale": 1.0, "grad_filter": "none"},
    # The same with three axes moved: 50 times the decay, a fourfold initialization, slow gradients amplified threefold.
    "grokking-favorable": {
        **_PUBLISHED,
        "weight_decay": 5e-3,
        "init_scale": 4.0,
        "grad_filter": {"name": "grokfast_ema", "alpha": 0.98, "lambda": 2.0},
    },
    # Modular addition on two cores: decay 1 because the clock runs at lr * decay; beta2 .98 as in the first report of
    # grokking.
    "modular": {
        "optimizer": {"name": "adamw", "betas": [0.9, 0.98]},
        "lr": 1e-2,
        "weight_decay": 1.0,
        "batch_size": 0,
    },
    # One-layer transformers on modular arithmetic: the usual rate and decay of the reports that read their circuits.
    "modular-transformer": {
        "optimizer": {"name": "adamw", "betas": [0.9, 0.98]},
        "lr": 1e-3,
        "weight_decay": 1.0,
        "batch_size": 0,
    },
    # Images that grok by their readout: MSE because it groks more easily than cross-entropy; scale 8 puts the start far
    # outside the generalizing shell, and spoils what a linear probe of the hidden layer could read all along.
    "large-init": {
        "optimizer": "adamw",
        "lr": 1e-3,
        "loss": "mse",
        "init_scale": 8.0,
        "weight_decay": 0.1,
        "batch_size": 0,
    },
}


_SHORTCUTS = "Interventional Analysis of Shortcut Geometry Under Grokking-Favorable Training"
ABOUT: dict[str, tuple[str, str]] = {
    "standard": ("AdamW with next to no decay: the baseline of the shortcut study", _SHORTCUTS),
    "grokking-favorable": ("fifty times its decay, a fourfold start and Grokfast-EMA, all at once", _SHORTCUTS),
    "modular": ("full batch, decay 1: groks modular addition in some 500 steps", "arXiv:2201.02177"),
    "modular-transformer": ("full batch, lr 1e-3, decay 1: a one-layer transformer groks", "arXiv:2301.05217"),
    "large-init": ("MSE with an eightfold init scale: images, whose readout recovers late", "arXiv:2210.01117"),
}
"""What each recipe is, and its source."""
