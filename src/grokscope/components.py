"""Base classes of components: named, with their own parameters; torch is imported only when they are built.

Each kind is an abstract frozen dataclass. A concrete one adds its parameters as fields, with the reason for each
default; its `name` is what a config calls it. `grokscope.registry.register` makes it known. Importing this module
imports no torch, and so does importing a component: listing names and reading configs stay cheap.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, get_args

from grokscope.registry import nearest
from grokscope.vocabulary.column_table import Column

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from grokscope.config import Regime, RunConfig
    from grokscope.task_data import TaskData
    from grokscope.train.evaluate import View
    from grokscope.train.interventions.base import Acting, Training

Targets = Literal["classes", "binary", "real"]
"""What a loss compares with: any number of classes, two of them behind one output, or real numbers."""
Need = Literal["initial", "update", "training_loss"]
"""What a measurement needs of a run beside its present weights: those before the first step, and the change of the last
one, which are kept on request only; that training minimizes `view.loss` of the model's own outputs, which it does not
while an intervention changes these outputs."""


@dataclass(frozen=True, kw_only=True)
class Component(ABC):
    """The common part of all kinds. The docstring of a concrete one holds its formula, source, cost and when it
    misleads."""

    kind: ClassVar[str]
    name: ClassVar[str]
    summary: ClassVar[str] = ""
    """One line for ``grokscope list``; the first sentence of the docstring where it is empty."""
    source: ClassVar[str] = "-"
    """``arXiv:...`` or ``doi:...``."""


@dataclass(frozen=True, kw_only=True)
class Optimizer(Component):
    """How a gradient becomes an update. Learning rate, weight decay with its groups and target, and clipping belong to
    the regime; all other parameters belong to the optimizer."""

    kind: ClassVar[str] = "optimizer"
    adaptive: ClassVar[bool] = True
    """Whether a step's size does not shrink with the gradient; it decides what the effective learning rate is."""

    def check(self, regime: "Regime") -> None:
        """Raise ValueError for a regime that this optimizer does not support."""

    def decays(self, regime: "Regime") -> bool:
        """Whether the built optimizer applies weight decay itself. If not, decay is decoupled and applied just before
        the
        update: ``w -= lr * decay * (w - target)``."""
        del regime
        return False

    @abstractmethod
    def build(self, model: "nn.Module", regime: "Regime") -> "Sequence[torch.optim.Optimizer]":
        """The torch optimizers, usually one, that together update every parameter of the model. Their learning rate is
        set at each step."""


class GradientFilter(Protocol):
    """Called once in each step, between backward and clip, with the parameters: edits their ``.grad`` in place. Its
    state is tensors and numbers in nested tables and lists, so that a resumed run continues bit for bit. One that runs
    the same operations in every step after its first may say so by an attribute ``capturable = True``; it then becomes
    part of a step that is captured on a GPU."""

    def __call__(self, parameters: "list[nn.Parameter]") -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Filter(Component):
    """A transformation of the gradient before clipping and the update."""

    kind: ClassVar[str] = "filter"

    @abstractmethod
    def build(self) -> GradientFilter:
        """A new filter without state from earlier steps."""


class LossFunction(Protocol):
    """Mean loss over examples; `grokscope.train.loss_functions` has the built-in ones and a base for others."""

    targets: ClassVar[Targets]

    @property
    def dtype(self) -> "torch.dtype": ...
    def outputs(self) -> int: ...
    def encode(self, y: "Tensor") -> "Tensor": ...
    def __call__(self, logits: "Tensor", target: "Tensor") -> "Tensor": ...
    def predict(self, logits: "Tensor") -> "Tensor": ...


@dataclass(frozen=True, kw_only=True)
class Loss(Component):
    """The function that is minimized on the training examples."""

    kind: ClassVar[str] = "loss"
    targets: ClassVar[Targets]

    @abstractmethod
    def build(self, dtype: "torch.dtype", classes: int) -> LossFunction:
        """The loss for this number of classes. Logits are cast to `dtype` first, which is also the dtype of the
        result."""


@dataclass(frozen=True, kw_only=True)
class Schedule(Component):
    """The learning rate as a pure function of the step."""

    kind: ClassVar[str] = "schedule"
    depends_on_length: ClassVar[bool] = False
    """Whether a longer budget changes earlier steps: such a run cannot be extended."""

    @abstractmethod
    def build(self, lr: float, total_steps: int) -> Callable[[int], float]:
        """Step 1, 2, ... -> its learning rate."""


@dataclass(frozen=True, kw_only=True)
class EngineChoice(Component):
    """The loop that trains the network; `grokscope.train.driver.Engine` defines its interface."""

    kind: ClassVar[str] = "engine"

    @abstractmethod
    def build(self, config: "RunConfig", data: "TaskData", total_steps: int) -> Any:
        """The engine at step 0. Raises ValueError for a config that it cannot train."""


@dataclass(frozen=True, kw_only=True)
class Measurement(Component):
    """Numbers that are measured on a network at every diagnosed row of a run."""

    kind: ClassVar[str] = "measurement"
    standard: ClassVar[bool] = False
    """Whether every run takes it, unasked. Only built-in ones are."""
    columns: ClassVar[tuple[Column, ...]] = ()
    """What its columns are: title, unit, axis and meaning, for the page and for ``grokscope list column``. One that is
    not described is drawn under "Other columns". When they are written need not be said."""
    needs: ClassVar[frozenset[Need]]
    """Must be said, were it ``frozenset()``: nobody else can know whether a number still means what it says in another
    run. Where ``training_loss`` is needed and not given, the measurement is not taken, and the run says why."""

    def reasons(self, view: "View") -> Mapping[str, str]:
        """Name of a measurement -> why it does not apply to this network; empty if it does. Known before training:
        logits, features, update and step are not available. Whether the training loss may be taken is asked before."""
        del view
        return {}

    @classmethod
    def require_declared(cls) -> None:
        """Raise ValueError for a class that leaves open what it needs, which nobody else can say; called when it is
        registered."""
        # One that takes the loss itself would be wrong, and look right, where an intervention changes what training
        # minimizes. A default would let an author forget to say so.
        known = list(get_args(Need))
        needs = getattr(cls, "needs", None)
        if not isinstance(needs, frozenset):
            raise ValueError(
                "does not say what it needs; write in the class needs = frozenset(), or in it which of "
                f"{', '.join(known)}"
            )
        for need in needs:
            if need not in known:
                raise ValueError(f"needs the unknown {need!r}{nearest(str(need), known)}; known: {', '.join(known)}")

    def trainings(self, n: int) -> int:
        """How many new networks it trains for n training examples, shown to the user before it begins."""
        del n
        return 0

    @abstractmethod
    def __call__(self, view: "View") -> "Mapping[str, Tensor | float]":
        """Column -> a number, or a tensor that holds one, on any device; nothing where it does not apply. The network
        is in eval mode; generators and gradients are put back afterward, weights must be left alone."""


@dataclass(frozen=True, kw_only=True)
class Intervention(Component):
    """A change to training while it runs: it is active in every step after `from_` up to and including `until`.

    It can change the settings of the regime (`settings`) and, through the hooks of the object that `build` returns, the
    batch, the logits of the loss, the gradient between filter and clipping, and the weights after the update.
    """

    kind: ClassVar[str] = "intervention"

    from_: int | str = 0
    """The last step without it: a step, ``"20 epochs"``, ``"T_fit"`` or ``"T_fit + 50"``; ``from`` in files."""
    until: int | str | None = None
    """The last step with it, written alike; none means the end of the run."""

    def check(self, regime: "Regime") -> None:
        """Raise ValueError for an incompatible regime."""

    def settings(self, regime: "Regime") -> "Regime":
        """The settings while it is active, given those without it."""
        return regime

    def build(self, training: "Training") -> "Acting":
        """The active object, before its first step. Raises ValueError if it does not fit the network or the data."""
        from grokscope.train.interventions.base import Acting

        del training
        return Acting()


@dataclass(frozen=True, kw_only=True)
class MirroredRun:
    """What a tracker is told of a run."""

    folder: Path
    name: str
    """The folder's name, with the hash at its end."""
    group: str
    """Label of its regime: runs that differ in nothing but the seed share it."""
    config: Mapping[str, Any]
    """As in the run's config.json, nested."""
    key: str
    """Letters and digits, drawn at random when this run was first mirrored to this place, and kept with it."""
    resumed: bool
    """Whether to go on where an earlier process ended. Otherwise nothing of an earlier one must be left: what it wrote
    under this key is deleted."""


class Mirror(Protocol):
    """One run in a tracker, open for writing. Any error ends the mirror of that run, and nothing else."""

    where: str
    """Where to look at it: a folder, a file, an address. A complete mirror is written anew where that was a path and is
    gone."""

    def rows(self, rows: "Sequence[tuple[int, Mapping[str, float]]]") -> None:
        """Write evaluations, (step, column -> number) each, in ascending order of steps; afterward they are safe."""
        ...

    def close(self, summary: Mapping[str, Any]) -> None:
        """End it. `summary` says what the run came to: its state, verdicts and milestones, by dotted names; it is empty
        while the run is not over."""
        ...


@dataclass(frozen=True, kw_only=True)
class Tracker(Component):
    """A program that shows runs, to which a run folder is mirrored. Trackers run in a process of their own, so they may
    be slow, fail, hang or die."""

    kind: ClassVar[str] = "tracker"
    package: ClassVar[str] = ""
    """The Python package that it needs: looked for before anything trains, and imported in `open`, never sooner."""
    extra: ClassVar[str] = ""
    """What to write behind ``pip install`` where the package is missing."""

    def continues(self) -> bool:
        """Whether a mirror that a process has left is gone on with. Otherwise the next one that has something to add
        writes all rows anew, which leaves no doubt about what is there, and which a tracker that nobody can delete from
        cannot offer."""
        return False

    @abstractmethod
    def open(self, run: MirroredRun) -> Mirror:
        """Begin to mirror a run. Several may be open at once."""


def name_in(value: Any) -> Any:
    """The name of a component as configs write it: a bare name, or a table of its parameters with its name."""
    if isinstance(value, Mapping):
        return value.get("name")
    return value


def key_of(field: "Field[Any]") -> str:
    """A field as files call it. ``lambda`` is a word of Python's, so that field is called ``lambda_``."""
    return field.name.removesuffix("_")


@cache
def parameters(cls: type) -> tuple[str, ...]:
    """The keys of a component's own parameters, in order."""
    return tuple(key_of(f) for f in fields(cls))
