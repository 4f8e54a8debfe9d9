"""What makes a run this run, as plain data: names, the data's version, and the values that differ from the defaults.

A value at its default is left out, so that a field with a default, or a new component, changes the identity of no run
that exists. It follows that a default may never change: `tests/golden/defaults.json` freezes them all.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from numbers import Integral, Real
from typing import Any, Literal, get_args, get_type_hints

from grokscope import registry
from grokscope.config import RunConfig

COMPONENTS = ("optimizer", "schedule", "loss", "grad_filter")
"""Keys of the regime that name a component: always part of the identity, whether default or not."""
NAMED: tuple[Literal["task", "model"], ...] = ("task", "model")

Classes = Mapping[str, type]
"""Table of a run's config -> the dataclass that its keys are fields of."""


def identity_of(config: Mapping[str, Any], data_version: int, classes: Classes | None = None) -> dict[str, Any]:
    """The identity of a resolved config (`configio.dump`), which is what its run's folder is named and found by.

    Left out are the label, the hardware and where files lie, which change no number; and the budget, unless the
    schedule depends on the length. Numbers that are equal are written alike (1 and 1.0).

    Raises:
        ValueError: where task, model or schedule are not registered here.
    """
    known = _TABLES | dict(classes if classes is not None else _classes_of(config))
    out: dict[str, Any] = {}
    for f in _counted():
        if f.name != "budget" or _depends_on_length(config):
            out |= _entry(f, config.get(f.name), known)
    if data_version > 1:
        out["task"]["data_version"] = data_version
    return out


def _entry(f: "Field[Any]", value: Any, known: Classes) -> dict[str, Any]:
    """What one key of a config adds to the identity; nothing for a default."""
    if f.name in NAMED:
        return {f.name: {"name": value["name"], **_deviations(value, known[f.name])}}
    if f.name == "regime":
        return {f.name: {key: value[key] for key in COMPONENTS} | _deviations(value, known[f.name])}
    defaults, _ = _judged_by(RunConfig)
    if f.name in defaults and defaults[f.name] == canonical(value):
        return {}
    return {f.name: _deviations(value, known[f.name]) if isinstance(value, Mapping) else canonical(value)}


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a record with every field that was added since it was written, at its default: that is what the
    older version did. Tables of what is not installed here, and of other people's loops, stay as they are."""
    if "budget" not in config:  # recorded by another loop (`grokscope.recorder`), whose keys are its own
        return dict(config)
    added = {name: deepcopy(value) for name, value in _plain_defaults(RunConfig).items() if name not in config}
    known = _TABLES | _installed(config)
    filled = {key: _filled(value, known[key]) if key in known and isinstance(value, Mapping) else value
              for key, value in config.items()}  # fmt: skip
    return filled | added


def _installed(config: Mapping[str, Any]) -> dict[str, type]:
    """The dataclasses of task and model, as far as they are registered here and can be imported."""
    classes: dict[str, type] = {}
    for kind in NAMED:
        try:
            classes[kind] = _registered(kind, config[kind]["name"])
        except (ValueError, ImportError, AttributeError, KeyError, TypeError):
            continue
    return classes


def _classes_of(config: Mapping[str, Any]) -> Classes:
    return {kind: _registered(kind, config[kind]["name"]) for kind in NAMED}


def task_settings(task: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a task that its data follows from: all but where files lie, defaults left out."""
    installed = _installed({"task": task}).get("task")
    settings = canonical(task) if installed is None else _deviations(task, installed)
    return {**settings, "name": task.get("name")}


_ALIKE = frozenset({bool, int, str, type(None)})
"""Types whose values have one form only."""


def canonical(value: Any) -> Any:
    """Plain data in which equal values look alike: whole floats and integers of any kind as int, tuples as lists."""
    if type(value) in _ALIKE:  # nearly all values of a config; to ask for abstract classes takes ten times as long
        return value
    if isinstance(value, list | tuple):
        return [canonical(v) for v in value]
    if isinstance(value, dict):
        return {str(k): canonical(v) for k, v in value.items()}
    if type(value) is float:
        return int(value) if value.is_integer() else value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return int(number) if number.is_integer() else number
    if isinstance(value, Mapping):
        return {str(k): canonical(v) for k, v in value.items()}
    return value


def plain(value: Any) -> Any:
    """A default as `configio.dump` writes it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value


def frozen_defaults(cls: type) -> dict[str, Any]:
    """Field -> its default in canonical form, of all fields that are part of a run's identity and have one."""
    return {f.name: canonical(plain(_default(f))) for f in fields(cls) if _counts(f) and _has_default(f)}


def _deviations(table: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """The keys of a table that differ from the defaults of its dataclass; those that it does not know always do."""
    defaults, apart = _judged_by(cls)
    own = {key: canonical(value) for key, value in table.items() if key not in apart}
    return {key: value for key, value in own.items() if key not in defaults or defaults[key] != value}


@cache
def _judged_by(cls: type) -> tuple[dict[str, Any], frozenset[str]]:
    """(defaults, keys that are no part of the identity) of a table; its name stands apart."""
    return frozen_defaults(cls), frozenset({"name", *(f.name for f in fields(cls) if not _counts(f))})


def _filled(table: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """A table with the defaults of what it lacks, in the order of its dataclass."""
    defaults = _plain_defaults(cls)
    named = {"name": table["name"]} if "name" in table else {}
    return {**named, **defaults, **table} if defaults.keys() - table.keys() else dict(table)


@cache
def _plain_defaults(cls: type) -> dict[str, Any]:
    return {f.name: plain(_default(f)) for f in fields(cls) if _has_default(f)}


@cache
def _registered(kind: Literal["task", "model"], name: str) -> type:
    return registry.load(kind, name)


def _depends_on_length(config: Mapping[str, Any]) -> bool:
    return registry.load("schedule", config["regime"]["schedule"]).depends_on_length


def _counts(f: "Field[Any]") -> bool:
    return f.metadata.get("identity", True)


@cache
def _counted() -> "tuple[Field[Any], ...]":
    return tuple(f for f in fields(RunConfig) if _counts(f))


def _has_default(f: "Field[Any]") -> bool:
    return f.default is not MISSING or f.default_factory is not MISSING


def _default(f: "Field[Any]") -> Any:
    return f.default_factory() if f.default_factory is not MISSING else f.default


def _table_of(hint: Any) -> type | None:
    return next((t for t in (hint, *get_args(hint)) if is_dataclass(t) and isinstance(t, type)), None)


_TABLES: dict[str, type] = {n: t for n, hint in get_type_hints(RunConfig).items() if (t := _table_of(hint)) is not None}
"""Tables of a run's config; task and model are abstract here, and known by their names."""
