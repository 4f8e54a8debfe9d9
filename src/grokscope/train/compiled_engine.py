"""The compiled engine: single-example SGD of the competing-features toy, exactly as published, behind the driver's
protocol.

One step is one example. The same seed gives the same initial weights and batch order as the general engine with
``batch_size = 1``, so the two can be compared step by step; this one computes in float64 and is some hundred times
faster. It decays before the forward, as published, the general engine between backward and update: without decay they
agree to rounding, with it to the order of lr * wd in each step.
"""

from collections.abc import Callable
from dataclasses import fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from grokscope.components import Component, key_of
from grokscope.config import Regime, RunConfig
from grokscope.measure import linear_theory
from grokscope.models.config import Linear
from grokscope.seeds import derive
from grokscope.task_data import Split, TaskData
from grokscope.tasks.competing import CompetingFeatures
from grokscope.tasks.trivial import trivial_metrics
from grokscope.train.order import BatchOrder
from grokscope.train.single_example import train_epochs

CHUNK = 50_000
"""Steps between two looks at the clock: about ten milliseconds."""

POSTERIOR_SIGMA = 1.0
"""Width of the Gaussians in the PAC-Bayes bound."""

_FIXED = {"optimizer": "sgd", "loss": "logistic", "batch_size": 1, "schedule": "constant", "grad_filter": "none"}
_FREE = {"name", "lr", "weight_decay", *_FIXED}


def _check(config: RunConfig) -> tuple[CompetingFeatures, Linear]:
    """Refuse every setting that the published update does not have, instead of ignoring it."""
    task, model, regime = config.task, config.model, config.regime
    if not isinstance(task, CompetingFeatures) or not isinstance(model, Linear) or model.bias:
        raise ValueError("$.engine: 'compiled' trains 'competing-features' with model 'linear' (no bias); use 'torch'")
    if config.measure:
        raise ValueError("$.measure: engine 'compiled' takes no further measurements; use engine 'torch'")
    for i, intervention in enumerate(regime.interventions):
        raise ValueError(
            f"$.regime.interventions[{i}]: engine 'compiled' cannot carry out {intervention.name!r}; use engine 'torch'"
        )
    default = Regime()
    for key in vars(default):
        given, usual = getattr(regime, key), getattr(default, key)
        if key in _FIXED:
            _require_fixed(key, given)
        elif key not in _FREE and given != usual:
            raise ValueError(f"$.regime.{key}: engine 'compiled' does not have it; use engine 'torch'")
    return task, model


def _require_fixed(key: str, given: Any) -> None:
    """The one value, or the one component with its parameters at their defaults, that the published update has."""
    name = given.name if isinstance(given, Component) else given
    if name != _FIXED[key]:
        raise ValueError(f"$.regime.{key}: engine 'compiled' needs {_FIXED[key]!r}, got {name!r}; or use 'torch'")
    changed = []
    if name is not given:
        changed = [key_of(f) for f in fields(given) if getattr(given, f.name) != f.default]
    if changed:
        raise ValueError(f"$.regime.{key}.{changed[0]}: engine 'compiled' does not have it; use engine 'torch'")


class CompiledEngine:
    """Weights (d + n,) in float64: d signal features, then one memorization feature per example."""

    def __init__(self, config: RunConfig, data: TaskData):
        self.task, model = _check(config)
        self.data, self.regime = data, config.regime
        self.order = BatchOrder(len(data.splits["train"]), 1, derive(config.seed, "order"))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(config.seed, "init"))
            start = model.build(data, outputs=1)
        self.w = start.get_parameter("weight").detach().double().numpy()[0].copy()
        self.w0 = self.w.copy()
        self.signal = data.splits["train"].x[:, : self.task.signal_dims].astype(np.float64)
        self.step = 0

    def advance(self, until: int, watch_last: bool, paused: Callable[[], bool]) -> None:
        """Train up to step `until`, or until `paused` says so. There is no gradient to watch."""
        del watch_last
        while self.step < until:
            indices = self._indices(min(CHUNK, until - self.step))
            y, scale = self.data.splits["train"].y, self.task.memorization_scale
            train_epochs(self.signal, scale, y, self.w, indices[None], self.regime.lr, self.regime.weight_decay)
            self.step += len(indices)
            if paused():
                return

    def _indices(self, count: int) -> np.ndarray:
        """The next `count` examples: the rest of this epoch's permutation and as many new ones as it takes."""
        order = self.order
        parts: list[Tensor] = []
        while count > 0:
            if order.position >= len(order.permutation):
                order.permutation = torch.randperm(order.n, generator=order.generator)
                order.position = 0
            part = order.permutation[order.position : order.position + count]
            parts.append(part)
            order.position += len(part)
            count -= len(part)
        return torch.cat(parts).numpy()

    def row(self, diagnose: bool) -> dict[str, Any]:
        """Loss and accuracy on each split, norms of the two kinds of weights, and on request what theory says of
        them."""
        row: dict[str, Any] = {"lr": self.regime.lr}
        for name, split in self.data.splits.items():
            row |= self._split(name, split)
        d = self.task.signal_dims
        row |= {
            "norm_total": float(np.linalg.norm(self.w)),
            "norm_signal": float(np.linalg.norm(self.w[:d])),
            "norm_memorization": float(np.linalg.norm(self.w[d:])),
        }
        return row | (self._theory(row) if diagnose else {})

    def _split(self, name: str, split: Split) -> dict[str, Any]:
        n = len(split)
        wrong = round(linear_theory.zero_one_risk(split.x, split.y, self.w) * n)
        loss = linear_theory.logistic_risk(split.x, split.y, self.w)
        return {f"{name}_loss": loss, f"{name}_n": n, f"{name}_acc": (n - wrong) / n, f"{name}_correct": n - wrong}

    def _theory(self, row: dict[str, Any]) -> dict[str, Any]:
        train, d = self.data.splits["train"], self.task.signal_dims
        # On the signal alone: held-out rows lack the memorization features, so a bound from whole rows would not be
        # theirs.
        bound = linear_theory.pac_bayes(self.signal, train.y, self.w[:d], self.w0[:d], sigma=POSTERIOR_SIGMA)
        return {
            "generalization_gap": linear_theory.generalization_gap(row["train_loss"], row["id_val_loss"]),
            "objective_l2": linear_theory.l2_objective(train.x, train.y, self.w, self.regime.weight_decay),
            "cos_max_margin": linear_theory.cosine(self.w, self._max_margin),
            "pac_bayes_bound": bound.bound,
            "pac_bayes_kl": bound.kl,
        }

    @cached_property
    def _max_margin(self) -> np.ndarray:
        """The hard-margin separator; NaN where none is found (no memorization features, or nearly none)."""
        train = self.data.splits["train"]
        try:
            return linear_theory.max_margin_direction(train.x, train.y)
        except ValueError:
            return np.full(len(self.w), np.nan)

    def fitted(self, step: int) -> None:
        """Nothing here waits for the fit."""

    def intervened(self, over: bool) -> list[dict[str, Any]]:
        """Nothing intervenes here."""
        del over
        return []

    def input_probe(self) -> dict[str, dict[str, float]]:
        """Empty: the network is itself a linear probe of its input."""
        return {}

    def predictions(self) -> None:
        """Classes have none."""

    def finite(self) -> bool:
        return bool(np.isfinite(self.w).all())

    def weights(self) -> dict[str, Tensor]:
        return {"weight": torch.from_numpy(self.w[None].copy())}

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        self.w[:] = weights["weight"].numpy()[0]
        self.w0 = self.w.copy()

    def facts(self) -> dict[str, Any]:
        trivial = trivial_metrics(self.data)
        return {
            "steps_per_epoch": self.order.steps_per_epoch,
            "parameters": len(self.w),
            "groups": {"head": ["weight"]},
            "splits": {
                name: {"n": len(split), "trivial_acc": trivial[name]["acc"]} for name, split in self.data.splits.items()
            },
            "meta": self.data.meta,
            "loss_dtype": "float64",
            "device": "cpu",
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "w": torch.from_numpy(self.w.copy()),
            "w0": torch.from_numpy(self.w0.copy()),
            "order": self.order.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.w, self.w0 = state["w"].numpy().copy(), state["w0"].numpy().copy()
        self.order.load_state_dict(state["order"])
