"""Registry of the components that a config can name: name -> class, summary, source.

Tasks and models are rows of a table; a target is written ``"package.module:attribute"`` and imported only when it is
asked for. Components (`grokscope.components`) register themselves in the modules of `_MODULES`, which import no torch:
a new one is one class in one file. Listing names never imports torch.

Other packages add entries through entry-point groups, ``grokscope.optimizers`` and so on for each kind, whose objects
are the classes; code of one's own does it in process with `register`.
"""

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from traceback import walk_tb
from typing import Any, Literal, TypeVar, cast

from grokscope.checks import names_checked
from grokscope.checks import nearest as nearest
from grokscope.limits import brief

Kind = Literal[
    "task", "model", "optimizer", "loss", "filter", "schedule", "engine", "measurement", "intervention", "eraser",
    "tracker",
]  # fmt: skip
T = TypeVar("T")

PLACES: dict[str, Kind] = {
    "regime.optimizer": "optimizer",
    "regime.schedule": "schedule",
    "regime.loss": "loss",
    "regime.grad_filter": "filter",
    "engine": "engine",
}
"""Dotted key of a run's config -> the kind of component that stands there, as a bare name or as a table with a name and
parameters."""
DEFAULTS: dict[Kind, str] = {
    "optimizer": "adamw",
    "schedule": "constant",
    "loss": "cross_entropy",
    "filter": "none",
    "engine": "torch",
}
"""The component of each kind where none is named."""
LISTS: dict[str, Kind] = {"regime.interventions": "intervention"}
"""Dotted key -> the kind of components that stand there in a list, each as a name or as a table. An item is changed
under its number: ``regime.interventions.0.rho``."""
ENVIRONMENT = "GROKSCOPE_PLUGINS"
"""Environment variable: modules to import for what they register, separated by commas."""


class Unknown(ValueError):
    """A name under which nothing is registered; `key` is the key inside its table that holds names of this kind, empty
    where a bare name may stand for the table."""

    def __init__(self, kind: Kind, name: object, known: list[str]):
        guess = nearest(str(name), known)
        remedy = f"; if your own module registers it, list the module under plugins in the file, or in {ENVIRONMENT}"
        super().__init__(f"unknown {kind} {name!r}{guess}{'' if 'did you mean' in guess else remedy}")
        self.key = "name" if kind in ("task", "model") else ""


class PluginError(ValueError):
    """Something went wrong in a plug-in, which the message names."""


@dataclass(frozen=True)
class Entry:
    """One registered thing; `load` imports and returns its class."""

    kind: Kind
    name: str
    target: str
    summary: str
    source: str
    built_in: bool = True
    registered: type | None = None
    """The class, where it was imported to register itself."""

    def load(self) -> Any:
        """Raises PluginError where a plug-in cannot be imported, or is not what it is registered as."""
        if self.registered is not None:
            return self.registered
        point = EntryPoint(self.name, self.target, f"grokscope.{self.kind}s")
        if self.built_in:
            return point.load()
        return _load_plugin(self, point)

    def __str__(self) -> str:
        return f"{'' if self.built_in else 'plug-in '}{self.kind} {self.name!r} ({self.target})"


def _table(kind: Kind, *rows: tuple[str, str, str, str]) -> dict[str, Entry]:
    return {name: Entry(kind, name, f"grokscope.{target}", summary, source) for name, target, summary, source in rows}


_BUILT_IN: dict[Kind, dict[str, Entry]] = {
    "task": _table(
        "task",
        ("modular", "tasks.modular:Modular", "arithmetic modulo p, or composition in S5, from part of the "
            "table", "arXiv:2201.02177"),
        ("digits", "tasks.digits:Digits", "scikit-learn's 1,797 real handwritten digits", "doi:10.24432/C50P49"),
        ("parity", "tasks.parity:Parity", "parity of k hidden bits among n", "arXiv:2303.11873"),
        ("competing-features", "tasks.competing:CompetingFeatures", "a linear rule against one memorization feature "
            "per example", "arXiv:2201.02177"),
        ("ridge", "tasks.ridge:RidgeTask", "a linear teacher with more weights than examples "
            "(regression)", "arXiv:2601.19791"),
        ("mheight", "tasks.mheight:MHeight", "log2 m-height of a linear code from its matrix "
            "(regression)", "arXiv:2602.20366"),
        ("hospitals", "tasks.hospitals:Hospitals", "synthetic tissue whose label is correlated with the hospital's "
            "stain in training", "arXiv:2012.07421"),
        ("camelyon17", "tasks.camelyon17:Camelyon17", "tumor in real tissue of five hospitals, from a WILDS "
            "folder", "arXiv:2012.07421"),
        ("table", "tasks.table:Table", "your own images, listed with label, environment and split", "arXiv:2012.07421"),
    ),
    "model": _table(
        "model",
        ("linear", "models.config:Linear", "one linear layer", "-"),
        ("mlp", "models.config:MLP", "fully connected network on real features", "arXiv:2210.01117"),
        ("embedding-mlp", "models.config:EmbeddingMLP", "embeds the tokens, concatenates, one hidden layer or more", "arXiv:2205.10343"),
        ("quadratic-mlp", "models.config:QuadraticMLP", "one-hot tokens, squared activation", "arXiv:2301.02679"),
        ("small-resnet", "models.vision:SmallResNet", "small residual network with a chosen norm", "arXiv:1512.03385"),
        ("timm", "models.vision:Timm", "any timm classifier from scratch, ResNet-18 by default", "arXiv:2110.00476"),
        ("code-resnet", "models.vision:CodeResNet", "residual network with LayerNorm for matrices of codes", "arXiv:1512.03385"),
        ("transformer", "models.config:Transformer", "small transformer, read at its last position", "arXiv:2301.05217"),
    ),
}  # fmt: skip
_BUILT_IN |= {kind: {} for kind in (*DEFAULTS, "measurement", "intervention", "eraser", "tracker")}

_MODULES: dict[Kind, str] = {
    "optimizer": "grokscope.train.optimizers",
    "schedule": "grokscope.train.schedules",
    "loss": "grokscope.train.losses",
    "filter": "grokscope.train.filters",
    "engine": "grokscope.train.engines",
    "measurement": "grokscope.train.measurements",
    "intervention": "grokscope.train.interventions.components",
    "eraser": "grokscope.dissect.erasure_methods",
    "tracker": "grokscope.track.trackers",
}
"""Where the built-in components of each kind stand; importing the module registers them."""
_IN_PROCESS: dict[tuple[str, str], Entry] = {}
"""What other people's code registered in this process, by kind and name."""
_SECTIONS: dict[str, Callable[..., Any]] = {}
"""Sections of the report that were registered in this process, by the name of their function."""
_LOADED: dict[tuple[str, str], Entry] = {}
"""The plug-ins whose code may be running: those registered here, and those loaded from entry points."""


# -- registering ------------------------------------------------------------------------------------------------------


def register(thing: T) -> T:
    """Register a task, model or component under its `name`, or a report section under the name of its function, for
    this process; use it as a decorator.

        @grokscope.register
        @dataclass(frozen=True, kw_only=True)
        class Lion(grokscope.Optimizer):
            name = "lion"
            ...

    Worker processes import its module if it is listed under ``plugins`` in the study file. Registering a class of the
    same module and name again replaces it.

    Raises:
        ValueError: for a class of an unknown kind, that is not a frozen dataclass, that lacks a method, or whose name
            is already taken.
    """
    if inspect.isfunction(thing):
        _register_section(thing)
    elif inspect.isclass(thing):
        _register_class(thing)
    else:
        raise ValueError(f"{thing!r}: neither a class nor a function that makes a section of the report")
    return thing


def _register_section(make: Callable[..., Any]) -> None:
    """Raises ValueError where another module has a section of that name."""
    name, target = make.__name__, f"{make.__module__}:{make.__qualname__}"
    known = _SECTIONS.get(name)
    if known is not None and f"{known.__module__}:{known.__qualname__}" != target:
        raise ValueError(f"{target}: section {name!r} is registered by {known.__module__} already")
    _SECTIONS[name] = make


def sections() -> dict[str, Callable[..., Any]]:
    """The report's sections that were registered in this process, by name."""
    _import_from_environment()
    return dict(_SECTIONS)


def _register_class(cls: Any) -> None:
    kind, target = _kind_of(cls), f"{cls.__module__}:{cls.__qualname__}"
    _require_usable(cls, target)
    names_checked(cls)
    summary, source = getattr(cls, "summary", "") or _first_sentence(cls), getattr(cls, "source", "-")
    entry = Entry(kind, cls.name, target, summary, source, cls.__module__.startswith("grokscope."), cls)
    if entry.built_in:
        _BUILT_IN[kind][entry.name] = entry
        return
    key = (kind, entry.name)
    if entry.name in built_in(kind):
        raise ValueError(f"{target}: {kind} {entry.name!r} is built in; choose another name")
    if key in _IN_PROCESS and _IN_PROCESS[key].target != target:
        raise ValueError(f"{target}: {kind} {entry.name!r} is registered by {_IN_PROCESS[key].target} already")
    _IN_PROCESS[key] = _LOADED[key] = entry


def _kind_of(cls: type) -> Kind:
    kind = getattr(cls, "kind", None)
    if kind not in _BUILT_IN:
        bases = (
            "TaskConfig, ModelConfig, Optimizer, Loss, Filter, Schedule, EngineChoice, Measurement, Intervention, "
            "ErasureMethod"
        )
        raise ValueError(
            f"{cls.__module__}:{cls.__qualname__}: to be registered, a class must extend {bases} or Tracker"
        )
    return cast(Kind, kind)


def _require_usable(cls: type, target: str) -> None:
    if not isinstance(getattr(cls, "name", None), str):
        raise ValueError(f'{target}: has no name; write name: ClassVar[str] = "..." in the class')
    frozen = is_dataclass(cls) and cls.__dataclass_params__.frozen  # pyright: ignore[reportAttributeAccessIssue]
    if not frozen or "__dataclass_fields__" not in vars(cls):
        raise ValueError(
            f"{target}: is not a frozen dataclass; put @dataclass(frozen=True, kw_only=True) below @register"
        )
    if inspect.isabstract(cls):
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        raise ValueError(f"{target}: does not define {', '.join(missing)}")
    require_declared = getattr(cls, "require_declared", None)  # of measurements
    if require_declared is not None:
        try:
            require_declared()
        except ValueError as error:
            raise ValueError(f"{target}: {error}") from None


def _first_sentence(cls: type) -> str:
    words = " ".join((inspect.getdoc(cls) or "").partition("\n\n")[0].split())
    return words.partition(". ")[0].removesuffix(".")


# -- looking up -------------------------------------------------------------------------------------------------------


def built_in(kind: Kind) -> dict[str, Entry]:
    """What grokscope itself has of a kind, by name."""
    if kind in _MODULES:
        _import_built_in(kind)
    return _BUILT_IN[kind]


@cache
def _import_built_in(kind: Kind) -> None:
    """Once: a look at ten thousand runs asks for their components fifty thousand times."""
    import_module(_MODULES[kind])


@cache
def _entry_points(kind: Kind) -> dict[str, Entry]:
    plural = "losses" if kind == "loss" else f"{kind}s"
    points = entry_points(group=f"grokscope.{plural}")
    return {p.name: Entry(kind, p.name, p.value, f"plug-in from {p.module}", "-", False) for p in points}


def _plugins(kind: Kind) -> dict[str, Entry]:
    """What other code offers of a kind: through entry points, and in this process, which comes first."""
    _import_from_environment()
    here = {name: entry for (k, name), entry in _IN_PROCESS.items() if k == kind}
    return {**_entry_points(kind), **here}


def entries(kind: Kind) -> dict[str, Entry]:
    """All entries of one kind by name, built-in ones last; a plug-in may not take a built-in's name."""
    return {**_plugins(kind), **built_in(kind)}


def find(kind: Kind, name: str) -> Entry:
    """The entry called `name`. Raises Unknown (a ValueError) naming the nearest registered name."""
    entry = built_in(kind).get(name) or _plugins(kind).get(name)  # built-in first: plug-ins cost a look at the disk
    if entry is None:
        raise Unknown(kind, name, list(entries(kind)))
    return entry


def load(kind: Kind, name: str) -> Any:
    """The class behind a name, imported now."""
    return find(kind, name).load()


def default(kind: Kind) -> Any:
    """The component of a kind that stands where none is named."""
    return load(kind, DEFAULTS[kind])()


# -- plug-ins ---------------------------------------------------------------------------------------------------------


def _load_plugin(entry: Entry, point: EntryPoint) -> Any:
    try:
        cls = point.load()
    except Exception as error:
        raise PluginError(f"{entry}: {type(error).__name__}: {error}") from error
    try:
        right = _kind_of(cls) == entry.kind and cls.name == entry.name
        _require_usable(cls, entry.target)
    except ValueError as error:
        raise PluginError(f"{entry}: {error}") from None
    if not right:
        raise PluginError(
            f"{entry}: its class is the {cls.kind} {cls.name!r}; kind and name must be those of the entry point"
        )
    _LOADED[entry.kind, entry.name] = entry
    return cls


def import_plugins(modules: Iterable[str], folder: Path | None = None) -> None:
    """Import modules for what they register. They are looked for where Python looks, and last in `folder`, that of the
    file that names them.

    Raises:
        PluginError: naming the module that cannot be imported.
    """
    modules = list(modules)
    if modules and folder is not None and str(folder.resolve()) not in sys.path:
        sys.path.append(str(folder.resolve()))
    for module in modules:
        try:
            import_module(module)
        except Exception as error:
            raise PluginError(f"plug-in module {module!r}: {type(error).__name__}: {error}") from error


@cache
def _import_from_environment() -> None:
    import_plugins(name.strip() for name in os.environ.get(ENVIRONMENT, "").split(",") if name.strip())


def modules_here() -> list[str]:
    """The modules that registered something in this process, for a worker process to import."""
    modules = dict.fromkeys(entry.target.partition(":")[0] for entry in _IN_PROCESS.values())
    modules |= dict.fromkeys(make.__module__ for make in _SECTIONS.values())
    return [module for module in modules if module != "__main__"]


def read_plugins(raw: Any) -> list[str]:
    """The value of ``plugins`` in a file. Raises ValueError for anything but a list of modules' names."""
    right = isinstance(raw, list) and all(isinstance(m, str) and m.replace(".", "_").isidentifier() for m in raw)
    if not right:
        raise ValueError(f'$.plugins: expected a list of modules to import, such as ["my_lab"], got {brief(raw)}')
    return raw


@contextmanager
def naming_plugins() -> Iterator[None]:
    """Inside, an error that was raised in a plug-in's code becomes a PluginError that names it."""
    try:
        yield
    except PluginError:
        raise
    except Exception as error:
        entry = culprit(error)
        if entry is None:
            raise
        what = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise PluginError(f"{entry}: {what}{error}") from error


def culprit(error: BaseException) -> Entry | None:
    """The plug-in in whose code an error arose, the innermost of several; None where it arose in none."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        module = str(frame.f_globals.get("__name__", ""))
        entry = _at_home(module, frame.f_code.co_qualname)
        if entry is not None:
            return entry
    return None


def _at_home(module: str, function: str) -> Entry | None:
    """The plug-in to which a function belongs: the class itself, or else the first of its module or package."""
    package = module.partition(".")[0]
    neighbors = []
    for entry in _LOADED.values():
        home, _, qualname = entry.target.partition(":")
        if home == module and function.startswith(f"{qualname}."):
            return entry
        if package != "grokscope" and home.partition(".")[0] == package:
            neighbors.append(entry)
    return neighbors[0] if neighbors else None
