"""The identity of a run as plain data: names, the data's version, and the values that differ from the defaults.

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
from grokscope.components import Component, key_of
from grokscope.config import RunConfig
from grokscope.flat_regime import FLAT
from grokscope.registry import PLACES

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
    if classes is None:
        classes = _classes_of(config)
    known = _TABLES | dict(classes)
    out: dict[str, Any] = {}
    for f in _counted():
        if f.name != "budget" or _depends_on_length(config):
            out |= _entry(f, config.get(f.name), known)
    if data_version > 1:
        out["task"]["data_version"] = data_version
    return out


def with_seed(known: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The identity of the run with this seed that is otherwise the one whose identity is known."""
    return {**{key: value for key, value in known.items() if key != "seed"}, **_entry(_SEED, seed, {})}


def _entry(f: "Field[Any]", value: Any, known: Classes) -> dict[str, Any]:
    """What one key of a config adds to the identity; nothing for a default."""
    if f.name in NAMED:
        return {f.name: {"name": value["name"], **_deviations(value, known[f.name])}}
    if f.name == "regime":
        return {f.name: _regime_entry(value, known[f.name])}
    if f.name in PLACES:
        named = _component_entry(PLACES[f.name], f.name, value)
        is_default = named == {f.name: registry.DEFAULTS[PLACES[f.name]]}
        return {} if is_default else named
    if f.name == "start":
        value = _as_planned(value)
    if f.name == "measure":
        named = [_component_entry("measurement", "", m)[""] for m in value or ()]
        return {f.name: named} if named else {}
    defaults, _ = _judged_by(RunConfig)
    if f.name in defaults and _counted_part(f.name, defaults[f.name], known) == _counted_part(f.name, value, known):
        return {}
    if isinstance(value, Mapping):
        return {f.name: _deviations(value, known[f.name])}
    return {f.name: canonical(value)}


def _as_planned(start: Any) -> Any:
    """Where a run took over from. Of a fork that a study plans, the parent and the moment say so from the beginning;
    the step and the state that were found there follow from them, and are known only later."""
    if not isinstance(start, Mapping) or not start.get("of"):
        return start
    return {key: value for key, value in start.items() if key not in ("step", "digest")}


def _counted_part(key: str, value: Any, known: Classes) -> Any:
    """A value of a config in canonical form, without what in a table changes no number."""
    if key not in known or not isinstance(value, Mapping):
        return canonical(value)
    apart = _judged_by(known[key])[1]
    return {k: canonical(v) for k, v in value.items() if k not in apart}


def _regime_entry(regime: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """What a regime adds: always the names of its components, and whatever differs from a default."""
    apart = (*COMPONENTS, "interventions")
    out = _deviations({key: value for key, value in regime.items() if key not in apart}, cls)
    for key in COMPONENTS:
        out |= _component_entry(PLACES[f"regime.{key}"], key, regime[key])
    acting = [_component_entry("intervention", "", i)[""] for i in regime.get("interventions") or ()]
    if acting:
        return {**out, "interventions": acting}
    return out


def _component_entry(kind: registry.Kind, key: str, value: Any) -> dict[str, Any]:
    """A component by its name, and beside it, under the keys they always had, those of its parameters that differ from
    their defaults. Parameters that came later stand in a table with the name."""
    table = _table(value)
    changed = _deviations(table, registry.load(kind, table["name"]))
    flat = {FLAT[key, name]: v for name, v in changed.items() if (key, name) in FLAT}
    later = {name: v for name, v in changed.items() if (key, name) not in FLAT}
    return {key: {"name": table["name"], **later} if later else table["name"], **flat}


def _table(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        return {"name": value}
    return value


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a record with every field that was added since it was written, at its default: that is what the
    older version did. Tables of what is not installed here, and of other people's loops, stay as they are."""
    if "budget" not in config:  # recorded by another loop (`grokscope.recorder`), whose keys are its own
        return dict(config)
    added = {name: deepcopy(value) for name, value in _plain_defaults(RunConfig).items() if name not in config}
    known = _TABLES | _installed(config)
    filled = {key: _filled(value, known[key]) if key in known and isinstance(value, Mapping) else value
              for key, value in config.items()}  # fmt: skip
    return _with_components(filled | added)


def _with_components(config: dict[str, Any]) -> dict[str, Any]:
    """Every component of a config as a table with its name and all parameters."""
    regime = config.get("regime")
    if isinstance(regime, Mapping):
        parts = {key: _filled_component(PLACES[f"regime.{key}"], regime[key]) for key in COMPONENTS if key in regime}
        if isinstance(regime.get("interventions"), list):
            parts["interventions"] = [_filled_component("intervention", i) for i in regime["interventions"]]
        config["regime"] = {**regime, **parts}
    if "engine" in config:
        config["engine"] = _filled_component("engine", config["engine"])
    if isinstance(config.get("measure"), list):
        config["measure"] = [_filled_component("measurement", m) for m in config["measure"]]
    return config


def _filled_component(kind: registry.Kind, value: Any) -> Any:
    table = _table(value)
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        return value  # whoever reads it further on says what is wrong with it
    try:
        return _filled(table, registry.load(kind, table["name"]))
    except ValueError:  # a plug-in's that is not installed here
        return dict(table)


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
    if installed is None:
        return {**canonical(task), "name": task.get("name")}
    return {**_deviations(task, installed), "name": task.get("name")}


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
        return canonical(float(value))
    if isinstance(value, Mapping):
        return {str(k): canonical(v) for k, v in value.items()}
    return value


def plain(value: Any) -> Any:
    """A default as `configio.dump` writes it."""
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    table = {key_of(f): plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Component):
        return {"name": value.name, **table}
    return table


def frozen_defaults(cls: type) -> dict[str, Any]:
    """Field -> its default in canonical form, of all fields that are part of a run's identity and have one."""
    return {key_of(f): _frozen(_default(f)) for f in fields(cls) if _counts(f) and _has_default(f)}


def short_form(component: Component) -> Any:
    """A component as plain data, as short as it can be written: its name, or a table with what differs from the
    defaults."""
    return _frozen(component)


def _frozen(value: Any) -> Any:
    """A default as the identity has it: a component with nothing but defaults is its name."""
    if isinstance(value, Component):
        changed = _deviations(plain(value), type(value))
        if not changed:
            return value.name
        return {"name": value.name, **changed}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _frozen(getattr(value, f.name)) for f in fields(value)}
    return canonical(plain(value))


def _deviations(table: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """The keys of a table that differ from the defaults of its dataclass; those that it does not know always do."""
    defaults, apart = _judged_by(cls)
    judged = {key: canonical(value) for key, value in table.items() if key not in apart}
    return {key: value for key, value in judged.items() if key not in defaults or defaults[key] != value}


@cache
def _judged_by(cls: type) -> tuple[dict[str, Any], frozenset[str]]:
    """(defaults, keys that are no part of the identity) of a table; its name stands apart."""
    return frozen_defaults(cls), frozenset({"name", *(key_of(f) for f in fields(cls) if not _counts(f))})


def _filled(table: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """A table with the defaults of what it lacks, in the order of its dataclass."""
    defaults = _plain_defaults(cls)
    if not defaults.keys() - table.keys():
        return dict(table)
    named = {key: table[key] for key in ("name",) if key in table}
    return {**named, **defaults, **table}


@cache
def _plain_defaults(cls: type) -> dict[str, Any]:
    return {key_of(f): plain(_default(f)) for f in fields(cls) if _has_default(f)}


@cache
def _registered(kind: Literal["task", "model"], name: str) -> type:
    return registry.load(kind, name)


def _depends_on_length(config: Mapping[str, Any]) -> bool:
    return registry.load("schedule", _table(config["regime"]["schedule"])["name"]).depends_on_length


def _counts(f: "Field[Any]") -> bool:
    return f.metadata.get("identity", True)


@cache
def _counted() -> "tuple[Field[Any], ...]":
    return tuple(f for f in fields(RunConfig) if _counts(f))


def _has_default(f: "Field[Any]") -> bool:
    return f.default is not MISSING or f.default_factory is not MISSING


def _default(f: "Field[Any]") -> Any:
    if f.default_factory is not MISSING:
        return f.default_factory()
    return f.default


def _table_of(hint: Any) -> type | None:
    tables = (t for t in (hint, *get_args(hint)) if is_dataclass(t) and isinstance(t, type))
    return next((t for t in tables if not issubclass(t, Component)), None)


_TABLES: dict[str, type] = {n: t for n, hint in get_type_hints(RunConfig).items() if (t := _table_of(hint)) is not None}
"""Tables of a run's config; task, model and components are abstract here, and known by their names."""
_SEED = next(f for f in fields(RunConfig) if f.name == "seed")
