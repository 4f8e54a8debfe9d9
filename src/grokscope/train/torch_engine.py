"""The training loop.

One step is: forward, loss, backward, gradient filter, clip, decay and update, and then what interventions do to the
weights. `advance` repeats it; nothing in it talks to a disk, a clock or a person, and no number leaves the device.
"""

import copy
import os
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from grokscope import configio, registry
from grokscope.components import Measurement
from grokscope.config import Hardware, Regime, RunConfig
from grokscope.measure import irm
from grokscope.measure.groups import depends_on_batch, group_norms, parameter_groups
from grokscope.results.predictions import Predictions
from grokscope.seeds import derive
from grokscope.task_data import Split, TaskData
from grokscope.tasks.trivial import trivial_metrics
from grokscope.train.augment import Augmentation
from grokscope.train.decay import Decay, Optimizers, same_update
from grokscope.train.diagnosis import effective_rates, network_facts, take_all
from grokscope.train.evaluate import (
    Retraining,
    Row,
    StepWatch,
    TensorSplit,
    View,
    feature_rows,
    forward,
    forward_with_features,
    has_hidden_layer,
    input_probe,
    split_metrics,
    to_row,
)
from grokscope.train.flops import count
from grokscope.train.graphed import GraphedSteps
from grokscope.train.inputs import Network
from grokscope.train.interventions.base import Training
from grokscope.train.interventions.schedule import Interventions
from grokscope.train.losses import make_loss
from grokscope.train.measurements.needs import silences
from grokscope.train.order import BatchOrder
from grokscope.train.resume import FORK
from grokscope.train.step_choice import StepChoice, choose_step

SHOWN_PREDICTIONS = 2000
"""Points of a figure of predicted against true."""


def pick_device(name: str) -> torch.device:
    """``auto`` is a GPU where there is one. A GPU that was asked for and is absent gives the CPU and a warning, so that
    a file written for a cluster runs on a laptop."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once, at the first product on a GPU
    gpus = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= gpus:
        what = "no GPU that torch can use" if gpus == 0 else f"{gpus} GPU(s)"
        warnings.warn(f"$.hardware.device: {name!r} requested, but this machine has {what}: training on the CPU",
                      stacklevel=3)  # fmt: skip
        return torch.device("cpu")
    return device


@torch.no_grad()
def scale_weights(model: nn.Module, scale: float) -> None:
    """Multiply every tensor of more than one dimension whose name contains ``weight``: the published init scale."""
    for name, p in model.named_parameters():
        if "weight" in name and p.dim() > 1:
            p.mul_(scale)


def noisy_labels(y: np.ndarray, share: float, classes: int, seed: int) -> np.ndarray:
    """Replace a share of labels (n,), rounded to whole examples, each by another class drawn uniformly."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(y))[: round(share * len(y))]
    out = y.copy()
    out[chosen] = (y[chosen] + rng.integers(1, classes, len(chosen))) % classes
    return out


AUGMENTING = ("augment_flip", "augment_crop", "augment_stain")


def _require_one_batch_size(regime: Regime) -> None:
    """Raises ValueError where the batch size is switched beside a subset of examples, which has an order of its own."""
    switched = any(i.settings(regime).batch_size != regime.batch_size for i in regime.interventions)
    if switched and any(i.name == "train_subset" for i in regime.interventions):
        raise ValueError(
            "$.regime.interventions: batch_size cannot be switched together with train_subset, which draws its own "
            "batches; set the batch size in the regime"
        )


class TorchEngine:
    """Trains one network. Its whole state is in `state_dict`: loading it continues bit for bit on the same machine."""

    def __init__(self, config: RunConfig, data: TaskData, total_steps: int):
        self.step, self.total_steps = 0, total_steps
        self.regime = config.regime
        self.device = pick_device(config.hardware.device)
        self._put_on_device(config, data)
        self._refuse_batches_of_one(len(data.splits["train"]), self.regime)
        self._try_out(config)
        self._require_environments(self.regime)
        self._build_update(config)
        self._prepare_measurements(config)
        self.base_regime, self.base_loss = self.regime, self.loss
        """As configured: `regime` and `loss` are those in force, which interventions may switch."""
        self.retrain: Retraining | None = None
        """Given to the measurements of a run that is over."""
        self.flops: list[dict[str, int]] = []
        """Operations of a step, each entry from its step on; nothing of what is compiled or replayed."""
        self._count_at = 1
        self.graph: GraphedSteps | None = None
        """Steps replayed from a captured graph, where that was chosen."""
        self.chosen_step: StepChoice | None = None
        # Last: they look at everything above, and may draw initial weights again.
        self.interventions = self._build_interventions(config, data)
        if self.interventions:  # else nothing is to be built again, and the data need not stay in memory twice
            self._built_from = (config, data)
        self._warn_of_silence(config.measure)

    def _put_on_device(self, config: RunConfig, data: TaskData) -> None:
        """Loss, network and data, and what follows from the data alone."""
        self.classes, self.kind, self.meta = data.classes, data.kind, data.meta
        self.loss = make_loss(config.regime.loss, config.regime.loss_dtype, data.kind, data.classes)
        self.model = self._build_model(config, data, derive(config.seed, "init"))
        self.network = Network(self.model, data.meta)
        self.splits, self.clean = self._load_data(config, data)
        self.trivial = trivial_metrics(data)
        self.environments = torch.tensor(list(self.splits["train"].environments), device=self.device)

    def _build_update(self, config: RunConfig) -> None:
        """Everything between the data and a changed weight: batches, augmentation, filter, optimizer, decay."""
        regime = self.regime
        self.order = BatchOrder(len(self.splits["train"].y), regime.batch_size, derive(config.seed, "order"))
        self.steps_per_epoch = self.order.steps_per_epoch
        """Of the regime as configured: what cadences count in, whatever is switched."""
        self._augmented_as = partial(self._augmentation, config)
        self.augment = self._augmented_as(regime)
        possible = (regime, *(i.settings(regime) for i in regime.interventions))
        self.may_augment = any(self._augmented_as(r).changes for r in possible)
        self.rate = regime.schedule.build(regime.lr, self.total_steps)
        self.filter = _build_filter(regime)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.groups = self.find_groups()
        self.optimizer = Optimizers(regime.optimizer.build(self.model, regime))
        self.adaptive = regime.optimizer.adaptive
        self.decay = Decay(self.model, regime)

    def _prepare_measurements(self, config: RunConfig) -> None:
        """The measurements of every diagnosed row, and what must be kept from the start for some of them."""
        self.watch = StepWatch(self.model, self.groups)
        built_in = [entry.load() for entry in registry.built_in("measurement").values()]
        self.measurements: list[Measurement] = [*(m() for m in built_in if m.standard), *config.measure]
        self._keep_for(self.measurements)
        self.initial_learned = config.start is not None
        probed = has_hidden_layer(self.model) and self.loss.targets != "real"
        self.probed_classes = self.classes if probed else 0

    def _augmentation(self, config: RunConfig, regime: Regime, before: Augmentation | None = None) -> Augmentation:
        seed = derive(config.seed, "augment")
        return Augmentation(regime, self.splits["train"].x, config.task.name, seed, before)

    def find_groups(self) -> dict[str, list[str]]:
        """The parameter groups, found on some training examples."""
        return parameter_groups(self.model, self.network.prepare(self.splits["train"].x[:8]))

    def _build_interventions(self, config: RunConfig, data: TaskData) -> Interventions:
        """Those of the config, at the present weights, before any of them begins."""
        chosen = config.regime.interventions
        for i, intervention in enumerate(chosen):
            self._require_possible(intervention.settings(config.regime), f"$.regime.interventions[{i}]")
        _require_one_batch_size(config.regime)

        def fresh_weights(seed: int) -> dict[str, Tensor]:
            return {n: p.detach() for n, p in self._build_model(config, data, seed).named_parameters()}

        training = Training(
            model=self.model,
            network=self.network,
            groups=self.groups,
            splits=self.splits,
            batch_size=config.regime.batch_size,
            fixed_inputs=not self.may_augment and not depends_on_batch(self.model),
            seed=config.seed,
            fresh_weights=fresh_weights,
            forget_moments=lambda parameters: self.optimizer.forget(parameters),
        )
        return Interventions(chosen, training, self.steps_per_epoch)

    def _require_environments(self, regime: Regime) -> None:
        if regime.irm_weight and self.splits["train"].env is None:
            raise ValueError("$.regime.irm_weight: the penalty needs environments, this task has none")

    def _require_possible(self, regime: Regime, where: str) -> None:
        """Raises ValueError for settings that this training cannot be switched to."""
        try:
            self._require_environments(regime)
            self._refuse_batches_of_one(self.order.n, regime)
            loss = make_loss(regime.loss, regime.loss_dtype, self.kind, self.classes)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if loss.outputs() != self.base_loss.outputs():
            raise ValueError(
                f"{where}: loss {regime.loss.name!r} reads {loss.outputs()} outputs, and this network has "
                f"{self.base_loss.outputs()}"
            )

    def _keep_for(self, measurements: Iterable[Measurement]) -> None:
        """Keep what only some measurements read: the weights before the first step, the last update."""
        needs = frozenset().union(*(m.needs for m in measurements))
        self.initial: dict[str, Tensor] | None = None
        if "initial" in needs:
            self.initial = {n: t.detach().clone() for n, t in self.model.state_dict().items()}
        self.watch.keep_update = "update" in needs

    def _warn_of_silence(self, measurements: Iterable[Measurement]) -> None:
        """A measurement that was asked for and says nothing here leaves a note on why its columns are missing."""
        view = self.view({}, {})
        for measurement in measurements:
            for name, why in silences(measurement, view).items():
                warnings.warn(f"$.measure: {name} is missing from the rows: {why}", stacklevel=4)

    def _refuse_batches_of_one(self, n: int, regime: Regime) -> None:
        """Raises ValueError where some batch holds one example, and batch normalization has nothing to take a variance
        of: torch would say so in the middle of the first epoch."""
        size = regime.batch_size or n
        if min(n, size) != 1 and n % size != 1:
            return
        trial = copy.deepcopy(self.model).train()
        try:
            with torch.no_grad(), torch.random.fork_rng():
                trial(self.network.prepare(self.splits["train"].x[:1]))
        except ValueError as error:
            raise ValueError(
                f"$.regime.batch_size: {n} training examples in batches of {size} leave a batch with a single "
                f"example, which batch normalization cannot use ({error}); change batch_size or the size of the "
                f"training set by one, or the norm"
            ) from None

    def _try_out(self, config: RunConfig) -> None:
        """Mixed precision and compilation, where they were asked for and work here; warns where they do not. Warns also
        of environments that are too small to say anything of."""
        sample = self.splits["train"].x[:8]
        texts: list[str | None] = []
        if config.regime.autocast != "none":
            texts.append(self.network.mix(sample))
        if config.hardware.compile:
            texts.append(self.network.compile(sample))
        if self.loss.targets != "real":  # penalties are for classes
            for name, split in self.splits.items():
                texts += _too_few_for_a_penalty(name, split.environments)
        for text in filter(None, texts):
            warnings.warn(text, stacklevel=3)

    def _build_model(self, config: RunConfig, data: TaskData, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = config.model.build(data, self.loss.outputs())
        scale_weights(model, config.regime.init_scale)
        if data.splits["train"].x.ndim == 4:
            model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return model.to(self.device).train()

    def _load_data(self, config: RunConfig, data: TaskData) -> tuple[dict[str, TensorSplit], Tensor | None]:
        """Every split on the device, decoded once; and the clean training labels where noise was added."""

        splits = {name: self._load_split(split) for name, split in data.splits.items()}
        share = config.regime.label_noise
        if share == 0:
            return splits, None
        if data.kind != "classification":
            raise ValueError("$.regime.label_noise: needs class labels, this task has real targets")
        train, clean = data.splits["train"], splits["train"].y
        noisy = noisy_labels(train.y, share, data.classes, derive(config.seed, "label-noise"))
        splits["train"] = self._load_split(replace(train, y=noisy))
        return splits, clean

    def _load_split(self, split: Split) -> TensorSplit:
        def move(array: np.ndarray | None) -> Tensor | None:
            if array is None:
                return None
            return torch.as_tensor(array).to(self.device)

        x, y = torch.as_tensor(split.x).to(self.device), torch.as_tensor(split.y).to(self.device)
        return TensorSplit(x, y, self.loss.encode(y), move(split.env), move(split.group))

    # -- training ---------------------------------------------------------------------------------------------------

    def choose_step(self, hardware: Hardware) -> None:
        """Try on a GPU whether steps are better replayed from a graph, and make them so from now on."""
        self.chosen_step = choose_step(self, hardware)

    def advance(self, until: int, watch_last: bool, paused: Callable[[], bool]) -> None:
        """Train up to step `until`, or until `paused` says so after a step; watch the last step when asked."""
        while self.step < until:
            watched = watch_last and self.step == until - 1
            if self._count_at <= self.step and self._can_count and not watched:
                self._counted_step()
            elif self.graph is None or watched:
                self.eager_step(self.watch if watched else None)
            else:
                self.graph.one_step()
            if paused():
                return

    @property
    def _can_count(self) -> bool:
        """Whether a step is launched operation by operation, so that what it computes can be seen."""
        return self.graph is None and not self.network.compiled

    def _counted_step(self) -> None:
        """One step, bit for bit as it would be, whose arithmetic is counted: the second one, which has an optimizer
        with a memory, and then at every doubling, since a filter may begin late; and the first under other settings."""
        at = self.step + 1
        counted = count(lambda: self.eager_step(None))
        entry = {"step": at, "products": counted.products, "elementwise": counted.elementwise}
        if not self.flops or any(self.flops[-1][key] != entry[key] for key in ("products", "elementwise")):
            self.flops.append(entry)
        self._count_at = 2 * self.step

    def eager_step(self, watch: StepWatch | None = None) -> None:
        """One step, launched operation by operation."""
        if self.interventions and self.interventions.before_step(self.step):
            self.switch(self.interventions.settings(self.base_regime))
            self._count_at = self.step + 1
        x, target, env = self.splits["train"].take(self.interventions.batch(self.order.next()))
        self.gradient(self.augment(x), target, env)
        if watch:
            watch.before_filter()
        self.step += 1
        self.update(self.rate(self.step), watch)

    def gradient(self, x: Tensor, target: Tensor, env: Tensor | None) -> None:
        """Leave the gradient of a batch's loss in ``.grad``."""
        logits = self.interventions.logits(self.network(x))
        loss = self.loss(logits, target)
        if self.regime.irm_weight and env is not None:
            penalty = irm.penalty(self.loss, logits, target, env, self.environments, self.regime.irm_estimator)
            loss = loss + self.irm_weight() * penalty
        loss.backward()

    def update(self, lr: float, watch: StepWatch | None = None) -> None:
        """What is made of the gradient: filter, clip, decay and update at this learning rate."""
        self.filter(self.parameters)
        self.interventions.gradient()
        if watch:
            watch.before_update()
        if self.regime.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.regime.clip_norm)
        self.decay.apply(lr)
        self.optimizer.step(lr)
        self.interventions.after_step()
        if watch:
            watch.after_update()

    def switch(self, regime: Regime) -> None:
        """Go on under other settings. What they do not touch is kept, moments of the same optimizer too."""
        before, self.regime = self.regime, regime
        if (regime.loss, regime.loss_dtype) != (before.loss, before.loss_dtype):
            self.loss = make_loss(regime.loss, regime.loss_dtype, self.kind, self.classes)
            self.splits = {n: replace(s, target=self.loss.encode(s.y)) for n, s in self.splits.items()}
        if regime.grad_filter != before.grad_filter:
            self.filter = _build_filter(regime)
        if not same_update(regime, before):
            kept = self.optimizer if regime.optimizer == before.optimizer else None
            self.optimizer = Optimizers(regime.optimizer.build(self.model, regime), kept)
            self.decay = Decay(self.model, regime)
        if any(getattr(regime, key) != getattr(before, key) for key in AUGMENTING):
            self.augment = self._augmented_as(regime, self.augment)
        self.order.resize(regime.batch_size)
        self.rate = regime.schedule.build(regime.lr, self.total_steps)
        self.adaptive = regime.optimizer.adaptive

    def fitted(self, step: int) -> None:
        """Told by the driver: `step` is `T_fit`. What waits for it can begin with the next step."""
        self.interventions.fitted_at = step

    def intervened(self, over: bool) -> list[dict[str, Any]]:
        """What the interventions did so far, as plain data; `over` where the run ends here."""
        return self.interventions.record(self.step, over)

    def irm_weight(self) -> float:
        """Rises linearly over the annealing steps, counted from the step about to be made."""
        return self.regime.irm_weight * min(1.0, (self.step + 1) / max(self.regime.irm_anneal_steps, 1))

    # -- looking ----------------------------------------------------------------------------------------------------

    def row(self, diagnose: bool) -> Row:
        """The evaluation of the present weights. Leaves weights, buffers and generators untouched."""
        return to_row(self.row_values(diagnose), self.trivial)

    def row_values(self, diagnose: bool) -> dict[str, Any]:
        """What a row is made of, still on the device."""
        self.model.eval()
        logits, features = self._forward_all(diagnose)
        logits = self.interventions.evaluated(logits, self.step)
        values: dict[str, Any] = {"lr": self.rate(max(self.step, 1))}
        for name, split in self.splits.items():
            values |= split_metrics(logits[name], split, self.loss, name)
        if self.clean is not None:
            right = self.loss.predict(logits["train"]) == self.clean
            values |= {"train_clean_correct": right.sum(), "train_clean_n": len(right)}
        values |= self.interventions.columns(logits["train"], self.splits["train"], self.loss, self.step)
        weights = {n: p.detach() for n, p in self.model.named_parameters()}
        values |= group_norms(weights, self.groups, "norm")
        if diagnose:
            values |= effective_rates(weights, self.groups, self.rate(max(self.step, 1)), self.adaptive)
            values |= self._measured(self.measurements, logits, features, values)
            if self.step:
                values |= self.watch.values
        self.model.train()
        return values

    def measured(self, measurements: Iterable[Measurement]) -> Row:
        """What these measurements say of the present weights, as numbers."""
        self.model.eval()
        logits, features = self._forward_all(True)
        values = self._measured(measurements, logits, features, ())
        self.model.train()
        return to_row(values, {})

    def _measured(
        self,
        measurements: Iterable[Measurement],
        logits: dict[str, Tensor],
        features: dict[str, Tensor],
        taken: Iterable[str],
    ) -> dict[str, Any]:
        """What the measurements say of the present weights. Generators and gradients are as before, afterward."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            out = take_all(measurements, self.view(logits, features), taken)
        for p in self.parameters:
            p.grad = None
        self.watch.forget()
        return out

    def view(self, logits: dict[str, Tensor], features: dict[str, Tensor]) -> View:
        """What measurements see of the present weights, whose outputs are given."""
        return View(
            self.model,
            self.splits,
            logits,
            features,
            self.loss,
            self.meta,
            self.probed_classes,
            self.step,
            groups=self.groups,
            prepare=self.network.prepare,
            regime=self.regime,
            lr=self.rate(max(self.step, 1)),
            initial=self.initial,
            initial_learned=self.initial_learned,
            update=self.watch.update,
            classes=self.classes if self.loss.targets != "real" else 0,
            retrain=self.retrain,
            outputs_changed=self.interventions.overrides("logits") or self.interventions.overrides("evaluated"),
        )

    def _forward_all(self, with_features: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Logits (n, k) of every split, and on request what the head reads in some rows, from the same forward; for a
        compiled network from a second one, which a hook can see."""
        logits, features = {}, {}
        for name, split in self.splits.items():
            if with_features:
                rows = feature_rows(name, len(split.y))
                logits[name], features[name] = forward_with_features(self.model, self.network.eager, split.x, rows)
            if not with_features or self.network.compiled:
                logits[name] = forward(self.network, split.x)
        return logits, features

    def input_probe(self) -> dict[str, dict[str, float]]:
        """What the probe of each row reads off the raw input, per held-out split: accuracy, and its range over the
        probe's strengths. Empty in regression. The baseline of every `{split}_probe_acc`."""
        if self.loss.targets == "real":
            return {}
        return input_probe(self.splits, self.classes)

    def predictions(self) -> Predictions | None:
        """Of a regression, predicted against true on a held-out split, at most `SHOWN_PREDICTIONS` examples evenly
        spread; None for classes."""
        if self.loss.targets != "real":
            return None
        name = next((n for n in self.splits if n != "train"), "train")
        split = self.splits[name]
        rows = torch.linspace(0, len(split.y) - 1, min(SHOWN_PREDICTIONS, len(split.y)), device=split.x.device).long()
        self.model.eval()
        predicted = self._shown_logits(name, rows)[:, 0]
        self.model.train()
        return Predictions(
            split=name,
            true=tuple(split.y[rows].tolist()),
            predicted=tuple(predicted.tolist()),
            group=None if split.group is None else tuple(split.group[rows].tolist()),
        )

    def _shown_logits(self, name: str, rows: Tensor) -> Tensor:
        """Logits (m, k) of some rows of a split, as an evaluation takes them."""
        split = self.splits[name]
        if not self.interventions:
            return forward(self.network, split.x[rows])
        return self.interventions.evaluated({name: forward(self.network, split.x)}, self.step)[name][rows]

    def finite(self) -> bool:
        """Whether all weights are finite: once one is not, it stays so."""
        return bool(torch.stack([p.detach().isfinite().all() for p in self.parameters]).all())

    # -- state ------------------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, Tensor]:
        return self.model.state_dict()

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Start from these weights; decay toward ``init`` then means toward them. Raises ValueError when they are
        another network's."""
        expected = self.model.state_dict()
        wrong = {
            "lack": expected.keys() - weights.keys(),
            "have besides": weights.keys() - expected.keys(),
            "have in another shape": {
                k for k in expected.keys() & weights.keys() if expected[k].shape != weights[k].shape
            },
        }
        if said := [f"{what} {len(names):,} tensors ({min(names)} ...)" for what, names in wrong.items() if names]:
            raise ValueError(f"$.model: the weights to start from do not fit this network: they {', '.join(said)}")
        self.model.load_state_dict(weights)
        if self.graph is not None:
            self.graph.forget()
        if self.initial is not None:
            self.initial = {n: t.detach().clone() for n, t in self.model.state_dict().items()}
        if self.decay.targets:
            self.decay.load_state_dict({"targets": [p.detach().clone() for p in self.decay.parameters]})
        if self.interventions:
            self.interventions = self._build_interventions(*self._built_from)

    def facts(self) -> dict[str, Any]:
        """What a reader of the run must know of it."""
        return {
            "steps_per_epoch": self.steps_per_epoch,
            **network_facts(self.model, self.groups, self.splits, self.trivial),
            "meta": self.meta,
            "loss_dtype": str(self.base_loss.dtype).removeprefix("torch."),
            "device": str(self.device),
            **({"step": self.chosen_step.facts()} if self.chosen_step else {}),
        }

    def own_random(self) -> AbstractContextManager[None]:
        """Surrounds what others call on this engine's behalf and may draw random numbers: torch's generator is this
        run's already."""
        return nullcontext()

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "filter": self.filter.state_dict(),
            "decay": self.decay.state_dict(),
            "order": self.order.state_dict(),
            "rng": torch.get_rng_state(),
        } | self._further_state()

    def _further_state(self) -> dict[str, Any]:
        """What not every run has: interventions, and further generators."""
        more: dict[str, Any] = {}
        if self.initial_learned and self.initial is not None:  # otherwise the seed tells
            more["initial"] = self.initial
        if self.interventions:
            more["interventions"] = self.interventions.state_dict()
        if self.may_augment:
            more["augment"] = self.augment.state_dict()
        if self.device.type == "cuda":
            more["cuda_rng"] = torch.cuda.get_rng_state(self.device)
        return more

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.graph is not None:
            self.graph.forget()
        self.step = state["step"]
        if self.interventions and "interventions" in state:  # a parent may have had none
            self.interventions.load_state_dict(_to_device(state["interventions"], self.device))
        fork = state.get(FORK)  # the state of a parent, saved under its own settings
        base = self.interventions.settings(self.base_regime)
        self.switch(configio.structure(fork["regime"], Regime) if fork else base)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.filter.load_state_dict(_to_device(state["filter"], self.device))
        self.decay.load_state_dict(_to_device(state["decay"], self.device))
        self.order.load_state_dict(state["order"])
        if "initial" in state and self.initial is not None:
            self.initial = _to_device(state["initial"], self.device)
        if self.may_augment and (fork is None or "augment" in state):  # a parent may have had none
            self.augment.load_state_dict(state["augment"])
        self.switch(base)
        torch.set_rng_state(state["rng"])
        if self.device.type == "cuda" and "cuda_rng" in state:  # absent where the run came from a CPU
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)


def _build_filter(regime: Regime) -> Any:
    return _resumable(regime.grad_filter.build(), f"$.regime.grad_filter: {regime.grad_filter.name!r}")


def _resumable(built: Any, where: str) -> Any:
    """What a component built, which has to tell its state: a run that is killed continues from it."""
    missing = [name for name in ("state_dict", "load_state_dict") if not callable(getattr(built, name, None))]
    if missing:
        raise ValueError(f"{where}: what its build returns has no {' and no '.join(missing)}, so it cannot be resumed")
    return built


def _too_few_for_a_penalty(split: str, environments: dict[int, Tensor]) -> list[str]:
    return [
        f"{split} has {len(rows):,} examples of environment {e}: too few for an invariance penalty, which is omitted"
        for e, rows in environments.items()
        if len(rows) < irm.SMALLEST
    ]


def _to_device(state: Any, device: torch.device) -> Any:
    """A nested state with its tensors on the device: states are read to the CPU, buffers live beside the weights."""
    if isinstance(state, Tensor):
        return state.to(device)
    if isinstance(state, dict):
        return {key: _to_device(value, device) for key, value in state.items()}
    if isinstance(state, list):
        return [_to_device(value, device) for value in state]
    return state
