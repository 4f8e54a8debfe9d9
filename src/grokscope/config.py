"""Configuration of a run: frozen, keyword-only dataclasses, with a reason for each default.

Importing this module imports neither torch nor numpy. Reading and writing live in `grokscope.configio`.
"""

import math
import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from grokscope import registry
from grokscope.checks import is_whole as is_whole
from grokscope.checks import names_checked
from grokscope.checks import require as require
from grokscope.checks import require_whole as require_whole
from grokscope.components import (
    Component,
    EngineChoice,
    Filter,
    Intervention,
    Loss,
    Measurement,
    Optimizer,
    Schedule,
)
from grokscope.flat_regime import SUPERSEDED
from grokscope.limits import MAX_STEPS, brief
from grokscope.moment import read_moment

if TYPE_CHECKING:
    from torch import nn

    from grokscope.task_data import TaskData

APART = {"identity": False}
"""Metadata of a field that changes no number of a run, and so is no part of its identity."""
DType = Literal["float16", "bfloat16", "float32", "float64"]

MAX_PER_DECADE = 10**9
"""More points in a factor of ten than any run has steps; beyond, rounding would decide which step is one."""
NAME_BYTES = 255
"""Of a folder's name, on every usual file system; the hash at the end of a run's tells apart what was cut."""
MAX_THREADS = 1024
"""More CPU threads than machines have; each is really started."""


@dataclass(frozen=True, kw_only=True)
class TaskConfig(ABC):
    """Base class of tasks. Subclasses are registered; their fields are the keys of ``[task]``."""

    kind: ClassVar[str] = "task"
    name: ClassVar[str]
    data_version: ClassVar[int] = 1
    """Raise it when the same config draws other data: such runs are then other runs, and never pooled with older
    ones."""

    @abstractmethod
    def train_size(self) -> int:
        """Number of training examples, known without building the data."""

    @abstractmethod
    def build(self, seed: int) -> "TaskData":
        """The data, drawn with generators derived from `seed` (`grokscope.seeds`)."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig(ABC):
    """Base class of models. Subclasses are registered; their fields are the keys of ``[model]``."""

    kind: ClassVar[str] = "model"
    name: ClassVar[str]

    @abstractmethod
    def build(self, data: "TaskData", outputs: int) -> "nn.Module":
        """A freshly initialized network for this data; uses torch's global generator, which the caller seeds."""


def _chosen(kind: registry.Kind, value: Any, key: str) -> Any:
    """A component from what a user wrote: its name, a table with its name and parameters, or the component itself.

    Raises ValueError naming `key` for another kind of component, an unknown name or a wrong parameter.
    """
    if isinstance(value, Component):
        require(value.kind == kind, f"{key}: expected a component of kind {kind}, got the {value.kind} {value.name!r}")
        return value
    from grokscope import configio

    return configio.structure_component(kind, value, f"$.{key}")


@names_checked
@dataclass(frozen=True, kw_only=True)
class Regime:
    """How to train. Every field is independent: changing one changes nothing else.

    Optimizer, schedule, loss and gradient filter are components with parameters of their own; each may be given as its
    name, ``"sgd"``, as a table, ``{"name": "sgd", "momentum": 0.9}``, or as the component, ``SGD(momentum=0.9)``.

    Order of one step: forward, loss, backward, gradient filter, clip, weight decay and update, interventions on the
    weights.
    """

    superseded: ClassVar[dict[str, str]] = SUPERSEDED

    name: str = field(default="custom", metadata=APART)
    """A label for tables and folder names; it is not part of the run's identity."""
    optimizer: Optimizer = field(default_factory=partial(registry.default, "optimizer"))
    lr: float = 1e-3
    schedule: Schedule = field(default_factory=partial(registry.default, "schedule"))
    weight_decay: float = 0.0
    decay_groups: Literal["all", "matrices", "head", "no_norm"] = "all"
    """Which parameters decay: all; tensors of two or more dimensions; the last layer; all but normalization and
    biases."""
    decay_target: Literal["zero", "init"] = "zero"
    """Decay toward zero, or toward the initial weights."""
    init_scale: float = 1.0
    """Multiplies every tensor of two or more dimensions whose name contains ``weight``, once, after construction."""
    loss: Loss = field(default_factory=partial(registry.default, "loss"))
    loss_dtype: DType = "float32"
    """Logits are cast to this before the loss: softmax collapse depends on it (2501.04697)."""
    grad_filter: Filter = field(default_factory=partial(registry.default, "filter"))
    clip_norm: float | None = None
    """Clip the filtered gradient to this total norm."""
    batch_size: int = 0
    """Examples in a step; 0 means the full training set."""
    label_noise: float = 0.0
    """Share of training labels replaced, once, by another class."""
    augment_flip: bool = False
    """Randomly flip and rotate each training image in every batch."""
    augment_crop: int = 0
    """Shift each training image by up to this many pixels, its edge continued by reflection."""
    augment_stain: float = 0.0
    """Stain jitter: multiply each training image's hematoxylin and eosin by up to 1 +- this; 0.2 is a common choice
    (Tellez et al. 2018). The standard remedy for a shortcut in the stain."""
    irm_weight: float = 0.0
    """Weight of the IRMv1 penalty in the loss; at 0 the penalty is only recorded, as published."""
    irm_estimator: Literal["naive", "split_half"] = "naive"
    irm_anneal_steps: int = 0
    """Steps over which the penalty's weight rises linearly from 0."""
    autocast: Literal["none", "bfloat16"] = "none"
    """Run the network in mixed precision; the loss keeps `loss_dtype`."""
    interventions: tuple[Intervention, ...] = ()
    """Changes of the training while it goes on, each with a beginning and an end, applied in the order of the list."""

    def __post_init__(self) -> None:
        for key in ("optimizer", "schedule", "loss", "grad_filter"):
            place = f"regime.{key}"
            object.__setattr__(self, key, _chosen(registry.PLACES[place], getattr(self, key), place))
        for key in ("lr", "init_scale"):
            require(getattr(self, key) > 0, f"{key} must be positive, got {getattr(self, key)}")
        for key in ("weight_decay", "irm_weight", "batch_size", "irm_anneal_steps", "augment_crop"):
            require(getattr(self, key) >= 0, f"{key} must not be negative, got {getattr(self, key)}")
        require(0 <= self.augment_stain < 1, f"augment_stain must lie in [0, 1), got {self.augment_stain}")
        require(0 <= self.label_noise <= 1, f"label_noise is a share in [0, 1], got {self.label_noise}")
        require(
            self.clip_norm is None or self.clip_norm > 0, f"clip_norm must be positive or none, got {self.clip_norm}"
        )
        self.optimizer.check(self)
        self._check_interventions()

    def _check_interventions(self) -> None:
        """Each as a component, with a beginning before its end, and settings that can be."""
        given = self.interventions
        require(isinstance(given, list | tuple), f"interventions: expected a list of tables, got {brief(given)}")
        chosen = [_chosen("intervention", each, f"regime.interventions[{i}]") for i, each in enumerate(given)]
        object.__setattr__(self, "interventions", tuple(chosen))
        if not chosen:
            return
        plain = replace(self, interventions=())
        for i, intervention in enumerate(chosen):
            where = f"interventions[{i}]"
            _require_order(intervention, where)
            try:
                intervention.check(plain)
                intervention.settings(plain)
            except ValueError as error:
                raise ValueError(f"{where}: {intervention.name!r}: {error}") from None


def _require_order(intervention: Intervention, where: str) -> None:
    """Raises ValueError for an end that certainly does not come after the beginning."""
    begin = read_moment(intervention.from_, f"{where}.from")
    if intervention.until is None:
        return
    end = read_moment(intervention.until, f"{where}.until")
    require(
        not end.not_after(begin),
        f"{where}: until ({intervention.until}) must be later than from ({intervention.from_}), otherwise it is never "
        f"active",
    )


@names_checked
@dataclass(frozen=True, kw_only=True)
class Cadence:
    """The steps at which something happens: those given by any of its rules, and always the last step of a run.

    The grid does not depend on the length of the run, so a longer run includes the same points. It is never listed
    completely: computing whether a point belongs to it, and which comes next, takes the same time at any length.
    """

    every: int | None = None
    """Every multiple of this."""
    per_decade: int | None = None
    """Log-spaced: about this many points in each factor of ten (1, 2, 3, 5, ... once they are whole numbers)."""
    at: tuple[int, ...] = ()
    """An explicit list; 0 is the untrained network."""
    unit: Literal["steps", "epochs"] = "steps"

    def __post_init__(self) -> None:
        for key, most in (("every", MAX_STEPS), ("per_decade", MAX_PER_DECADE)):
            value = getattr(self, key)
            if value is not None:
                require_whole(key, value, 1, most)
        require(all(is_whole(a) and a >= 0 for a in self.at), f"at must hold steps >= 0, got {brief(list(self.at))}")
        require(max(self.at, default=0) <= MAX_STEPS, f"at must hold steps <= {MAX_STEPS:,}, got {brief(self.at)}")

    @cached_property
    def _listed(self) -> list[int]:
        return sorted(set(self.at))

    def due(self, point: int) -> bool:
        """Whether the cadence includes this point, in its unit."""
        if self.every and point > 0 and point % self.every == 0:
            return True
        before = bisect_right(self._listed, point)
        if before and self._listed[before - 1] == point:
            return True
        return bool(self.per_decade) and self._next_of_decade(point - 1) == point

    def after(self, point: int) -> int | None:
        """The first point greater than `point`; None if there is none."""
        following: list[int] = []
        if self.every:
            following.append(max(point, 0) // self.every * self.every + self.every)
        if self.per_decade:
            following.append(self._next_of_decade(point))
        following += self._listed[bisect_right(self._listed, point) :][:1]
        return min(following, default=None)

    def _next_of_decade(self, point: int) -> int:
        """The first of round(10^(k / per_decade)), k = 0, 1, ..., greater than `point`."""
        assert self.per_decade is not None
        if point < 1:
            return 1
        k = max(math.ceil(self.per_decade * math.log10(point + 0.5)) - 2, 0)  # a little early: log10 is rounded
        while (following := round(10 ** (k / self.per_decade))) <= point:
            k += 1
        return following

    def points(self, last: int) -> Iterator[int]:
        """Iterate over the points <= last in order, in this cadence's unit; there may be very many."""
        point = self.after(-1)
        while point is not None and point <= last:
            yield point
            point = self.after(point)

    def at_most(self, last: int) -> int:
        """An upper bound on the number of points <= last, in constant time; exact unless two rules share a point."""
        count = bisect_right(self._listed, last)
        if self.every:
            count += last // self.every
        if self.per_decade and last >= 1:
            count += min(last, math.floor(self.per_decade * math.log10(last + 0.5)) + 1)
        return max(0, min(count, last + 1))

    def steps(self, last_step: int, steps_per_epoch: int) -> Iterator[int]:
        """The points <= last_step as optimizer steps, in order, without the added last one."""
        scale = steps_per_epoch if self.unit == "epochs" else 1
        return (p * scale for p in self.points(last_step // scale))


@names_checked
@dataclass(frozen=True, kw_only=True)
class Checkpoints(Cadence):
    """When to keep the weights for ever, and when the full state beside them."""

    states: tuple[int | str, ...] = field(default=(), metadata=APART)
    """Moments whose full state is kept, with optimizer, filter and batch order, for exact forks: ``["T_fit", 800]``.
    Each costs as much disk as a resume state. They change no number, so they are no part of a run's identity."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for moment in self.states:
            read_moment(moment, "checkpoint.states")


@names_checked
@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long to train: exactly one of the two. Not part of a run's identity, so a larger budget extends a run."""

    steps: int | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        require((self.steps is None) != (self.epochs is None), "give exactly one of steps and epochs")
        key = "epochs" if self.steps is None else "steps"
        require_whole(f"a budget's {key}", getattr(self, key), 1, MAX_STEPS)

    def in_steps(self, steps_per_epoch: int) -> int:
        """Raises ValueError if the epochs amount to more steps than a run can have."""
        total = self.steps if self.steps is not None else (self.epochs or 0) * steps_per_epoch
        require(
            total <= MAX_STEPS,
            f"$.budget.epochs: {self.epochs} epochs of {steps_per_epoch} steps are more than {MAX_STEPS:,} steps; "
            "lower it",
        )
        return total


@names_checked
@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Where to train. Recorded with the run, not part of its identity; borderline outcomes depend on it."""

    device: str = "cpu"
    """``cpu``, ``cuda``, ``cuda:1`` and so on, or ``auto`` (a GPU where there is one). Where the GPU is missing, the
    run goes on on the CPU and says so. Not Apple's ``mps``: it lacks the float64 that norms and spectra need."""
    threads: int = 1
    """CPU threads of torch. Small networks are fastest on one, and several runs side by side use the cores better."""
    resume_every_s: float = 20.0
    """Seconds between full resume states."""
    compile: bool = False
    """Compile the network with torch; where that fails, the run goes on without and says so."""
    step: Literal["auto", "eager", "graph"] = "auto"
    """How a GPU makes a step: launched operation by operation, replayed from a captured graph, or whichever a short
    trial finds faster with the same numbers. Where a graph cannot be had, the run goes on without and says so."""
    tf32: bool = False
    """Multiply in TF32 on a GPU that has it, with ten bits of mantissa: faster, and to about three digits."""
    deterministic: bool = True
    """Use kernels that add in a fixed order, where a GPU has them: without, a run repeats only approximately."""

    def __post_init__(self) -> None:
        known = re.fullmatch(r"cpu|auto|cuda(:\d+)?", self.device)
        require(bool(known), f"device must be cpu, cuda, cuda:<n> or auto, got {self.device!r}")
        require_whole("threads", self.threads, 1, MAX_THREADS)
        require(self.resume_every_s >= 0, f"resume_every_s must not be negative, got {self.resume_every_s}")


@names_checked
@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a branched run took its weights from, or its whole state. Written by `branch` and by a study's arms, not by
    hand: weights lie in the run's own folder as ``checkpoints/start.safetensors``, a state as its first resume state.

    An arm of a study that forks from another one is planned before there is a state: it is known by its parent's
    identity and the moment, and `step` and `digest` are filled in when it begins.
    """

    run: str = field(metadata=APART)
    """Folder of the run that was left; it may be renamed, so it is not part of the identity."""
    step: int | None
    """None until a planned fork begins; of such a one it is no part of the identity."""
    digest: str
    """Of the weights file, or of the full state, so that a branch from others is another run. As `step`, empty until a
    planned fork begins."""
    exact: bool = False
    """Whether everything was taken over, not the weights alone: optimizer, filter, generators, batch order, step count
    and the rows up to there. Without any change the run is then what its parent would have been."""
    of: str = ""
    """Of a planned fork: the hash of its parent's identity."""
    at: int | str | None = None
    """Of a planned fork: the moment whose full state it begins with, such as ``T_fit`` or 800."""

    def __post_init__(self) -> None:
        if self.planned:
            require(self.exact and self.at is not None, "of: a planned fork is exact, and names a moment in `at`")
            read_moment(self.at, "at")
        else:
            require(self.step is not None, "step must be a step")

    @property
    def planned(self) -> bool:
        """Whether a study planned it, from a parent that it knows by its identity."""
        return bool(self.of)

    @property
    def begun(self) -> bool:
        """Whether it is known at which step it left its parent."""
        return self.step is not None

    def lineage(self) -> dict[str, Any]:
        """As plain data, for a run's record."""
        known = {"run": self.run, "step": self.step, "digest": self.digest, "exact": self.exact}
        return known | ({"of": self.of, "at": self.at} if self.planned else {})


@names_checked
@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Complete configuration of one run: task, model, regime, budget, cadences, and seed."""

    task: TaskConfig
    model: ModelConfig
    regime: Regime = field(default_factory=Regime)
    budget: Budget
    evaluate: Cadence = Cadence(at=(0,), per_decade=20)
    """When to write a row of metrics."""
    diagnose: Cadence = Cadence(per_decade=5)
    """When a row also contains the costly diagnostics (spectra, gradients, collapse)."""
    measure: tuple[Measurement, ...] = ()
    """Measurements beside the built-in ones, each by its name or as a table: numbers in every diagnosed row."""
    checkpoint: Checkpoints = Checkpoints(per_decade=2)
    """When to keep the weights permanently, and at which moments the full state."""
    seed: int = 0
    engine: EngineChoice = field(default_factory=partial(registry.default, "engine"))
    """The loop that trains: the general one, or ``compiled``, the as-published single-example SGD of the
    competing-features toy."""
    start: Start | None = None
    hardware: Hardware = field(default=Hardware(), metadata=APART)

    def __post_init__(self) -> None:
        object.__setattr__(self, "engine", _chosen("engine", self.engine, "engine"))
        if not isinstance(self.checkpoint, Checkpoints):  # a plain cadence, given from Python
            cadence = {f.name: getattr(self.checkpoint, f.name) for f in fields(Cadence)}
            object.__setattr__(self, "checkpoint", Checkpoints(**cadence))
        measure = tuple(_chosen("measurement", m, f"measure[{i}]") for i, m in enumerate(self.measure))
        object.__setattr__(self, "measure", measure)

    def pieces(self) -> "list[TaskConfig | ModelConfig | Component]":
        """All registered components in it."""
        regime = self.regime
        parts = (regime.optimizer, regime.schedule, regime.loss, regime.grad_filter, self.engine)
        return [self.task, self.model, *parts, *regime.interventions, *self.measure]

    def plugins(self) -> dict[str, str]:
        """``optimizer lion`` -> ``my_lab:Lion``, for components from plug-ins."""
        classes = {f"{piece.kind} {piece.name}": type(piece) for piece in self.pieces()}
        return {
            what: f"{cls.__module__}:{cls.__qualname__}"
            for what, cls in classes.items()
            if not cls.__module__.startswith("grokscope.")
        }

    def identity(self) -> dict[str, Any]:
        """The identity of the run as plain data: names, the data's version, and every value that changes its numbers
        and differs from its default (`grokscope.identity.identity_of`). Not to be changed by the caller."""
        return self._identity

    @cached_property
    def _identity(self) -> dict[str, Any]:
        from grokscope import configio, identity

        classes = {"task": type(self.task), "model": type(self.model)}
        return identity.identity_of(configio.dump(self), self.task.data_version, classes)

    @cached_property
    def identity_hash(self) -> str:
        """Hex digest of `identity`: what the run's folder is named and found by."""
        from grokscope import configio

        return configio.content_hash(self.identity())

    def with_seed(self, seed: int) -> "RunConfig":
        """The same run with another seed. Tables and identity are shared, because a study has thousands of these."""
        from grokscope import identity

        other = replace(self, seed=seed)
        other.__dict__["_identity"] = identity.with_seed(self.identity(), seed)
        return other

    def run_id(self) -> str:
        """Folder name: readable front, and the first 8 hex digits of the hash of `identity`."""
        label = "".join(c if c.isalnum() or c in "-." else "-" for c in self.regime.name)
        rest = f"_n{self.task.train_size()}_s{self.seed}-{self.identity_hash[:8]}"
        front = f"{self.task.name}_{label}".encode()[: NAME_BYTES - len(rest)].decode(errors="ignore")
        return f"{front}{rest}"
