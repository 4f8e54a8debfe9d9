"""Strict reading and writing of configs: unknown keys, wrong types and invalid values are errors with a location."""

import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import cattrs
from cattrs.errors import AttributeValidationNote, ForbiddenExtraKeysError, IterableValidationError
from cattrs.errors import IterableValidationNote as IndexNote
from cattrs.gen import make_dict_structure_fn

from grokscope import flat_regime, registry
from grokscope.checks import unknown_name
from grokscope.components import (
    Component,
    EngineChoice,
    Filter,
    Intervention,
    Loss,
    Measurement,
    Optimizer,
    Schedule,
    Tracker,
    key_of,
    parameters,
)
from grokscope.config import ModelConfig, Regime, RunConfig, TaskConfig
from grokscope.limits import MAX_CONFIG_BYTES, MAX_DEPTH, brief, check_depth, too_deep, whole_number
from grokscope.overlay import flatten, overlay, resolve, with_items
from grokscope.registry import DEFAULTS, PLACES, nearest

__all__ = [
    "content_hash",
    "dump",
    "flatten",
    "load_run",
    "overlay",
    "read_file",
    "structure",
    "structure_component",
    "with_items",
]

_LONG_KEY = re.compile(rf"""(?<![\w"'-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MAX_DEPTH}}}""")

SCHEMA = 3
"""Version of the run config and of its record. A reader refuses a newer one instead of guessing. Schema 1 hashed every
value, so that its folders have other names; up to schema 2 the parameters of components stood in the regime itself,
which `flat_regime.nested` reads."""

FAULTS = 50
"""Lines of one message: nobody mends more at once."""
INT_MAX = 2**63 - 1
"""What numpy, torch, SQL and Parquet hold; whole numbers beyond are nobody's setting."""
FLOAT_MAX = 10**308
"""The largest power of ten that is a float."""

T = TypeVar("T")


def _strict(kind: type) -> Any:
    def structure(value: Any, _: type) -> Any:
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(_within(value, FLOAT_MAX))
        if kind is int and isinstance(value, float) and value.is_integer():
            return _within(int(value), INT_MAX)  # TOML reads 1e4 as a float
        if type(value) is not kind:
            raise _unexpected(kind.__name__, value)
        if kind is float and not math.isfinite(value):
            raise ValueError(f"expected a finite number, got {value}")
        if kind is int:
            return _within(int(value), INT_MAX)
        return value

    return structure


def _within(value: int, most: int) -> int:
    if abs(value) > most:
        raise ValueError(f"expected a number of at most {len(str(most))} digits, got {brief(value)}")
    return value


def _unexpected(wanted: str, value: Any) -> ValueError:
    return ValueError(f"expected {wanted}, got {type(value).__name__} {brief(value)}")


def _structure_literal(value: Any, t: Any) -> Any:
    known = list(get_args(t))
    if value not in known:
        raise ValueError(f"unknown value {brief(value)}{nearest(brief(value), known)}")
    return value


def _structure_tuple(value: Any, t: Any) -> Any:
    """Item by item; text and tables are iterable too, but never meant."""
    if not isinstance(value, list | tuple):
        raise _unexpected("a list", value)
    kinds = get_args(t)
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(value) != len(kinds):
        raise ValueError(f"expected {len(kinds)} values, got {len(value)}: {brief(list(value))}")
    out, faults = [], []
    for index, (item, kind) in enumerate(zip(value, kinds, strict=True)):
        try:
            out.append(_converter.structure(item, kind))
        except Exception as fault:
            fault.add_note(IndexNote("", index, kind))
            faults.append(fault)
    if faults:
        raise IterableValidationError("", faults, t)  # pyright: ignore[reportCallIssue]
    return tuple(out)


def _structure_dataclass(t: Any) -> Callable[[Any, Any], Any]:
    from_mapping = make_dict_structure_fn(t, _converter)

    def structure(value: Any, _: type) -> Any:
        if not isinstance(value, Mapping):
            raise _unexpected("a table", value)
        return from_mapping(value, t)

    return structure


def _is_optional(t: Any) -> bool:
    return get_origin(t) in (Union, UnionType) and type(None) in get_args(t)


def _structure_optional(value: Any, t: Any) -> Any:
    if value is None or value == "none":
        return None
    inner = [a for a in get_args(t) if a is not type(None)]
    rest: Any = inner[0] if len(inner) == 1 else Union[tuple(inner)]  # noqa: UP007
    return _converter.structure(value, rest)


def _is_choice(t: Any) -> bool:
    return get_origin(t) in (Union, UnionType) and not _is_optional(t)


def _structure_choice(value: Any, t: Any) -> Any:
    """One of several plain types, such as ``float | str``: text where that is one of them, else what fits first."""
    kinds = get_args(t)
    if isinstance(value, str) and str in kinds:
        return value
    faults: list[str] = []
    for kind in kinds:
        if kind is str:
            continue
        try:
            return _converter.structure(value, kind)
        except Exception as error:
            faults += _faults(error, "")
    words = [fault.removeprefix(": ") for fault in faults]
    raise ValueError("; or ".join(dict.fromkeys(words)))


def _structure_table(value: Any, t: Any) -> Any:
    """A table whose keys somebody else reads."""
    if not isinstance(value, Mapping):
        raise _unexpected("a table", value)
    return dict(value)


def _structure_named(kind: registry.Kind) -> Any:
    def structure(value: Any, _: type) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError(f"expected a table with a name, got {brief(value)}")
        if "name" not in value:
            raise ValueError(f"a {kind} needs a name{nearest('', list(registry.entries(kind)))}")
        if not isinstance(value["name"], str):
            raise registry.Unknown(kind, value["name"], list(registry.entries(kind)))
        cls = registry.load(kind, value["name"])
        return _converter.structure({k: v for k, v in value.items() if k != "name"}, cls)

    return structure


def _structure_component(kind: registry.Kind) -> Any:
    def structure(value: Any, _: type) -> Any:
        if isinstance(value, Component):  # given from Python
            return value
        table = {"name": value} if isinstance(value, str) else value
        if not isinstance(table, Mapping):
            raise ValueError(f"expected a name or a table with a name, got {brief(value)}")
        name = table.get("name", DEFAULTS.get(kind))
        if name is None:
            raise ValueError(f"a {kind} needs a name{nearest('', list(registry.entries(kind)))}")
        if not isinstance(name, str):
            raise registry.Unknown(kind, name, list(registry.entries(kind)))
        cls = registry.load(kind, name)
        attributes = {key_of(f): f.name for f in fields(cls)}
        return _converter.structure({attributes.get(k, k): v for k, v in table.items() if k != "name"}, cls)

    return structure


_converter = cattrs.Converter(forbid_extra_keys=True)
for _kind in (int, float, str, bool):
    _converter.register_structure_hook(_kind, _strict(_kind))
_converter.register_structure_hook_factory(is_dataclass, _structure_dataclass)
_converter.register_structure_hook_func(lambda t: get_origin(t) is tuple, _structure_tuple)
_converter.register_structure_hook_func(lambda t: get_origin(t) is Literal, _structure_literal)
_converter.register_structure_hook_func(_is_optional, _structure_optional)
_converter.register_structure_hook_func(_is_choice, _structure_choice)
_converter.register_structure_hook_func(lambda t: get_origin(t) is Mapping, _structure_table)
_converter.register_structure_hook_func(lambda t: t is TaskConfig, _structure_named("task"))
_converter.register_structure_hook_func(lambda t: t is ModelConfig, _structure_named("model"))
_BASES: dict[type, registry.Kind] = {
    Optimizer: "optimizer", Schedule: "schedule", Loss: "loss", Filter: "filter", EngineChoice: "engine",
    Measurement: "measurement", Intervention: "intervention", Tracker: "tracker",
}  # fmt: skip
for _base, _of in _BASES.items():
    _converter.register_structure_hook_func(lambda t, base=_base: t is base, _structure_component(_of))


def structure_component(kind: registry.Kind, value: Any, where: str) -> Any:
    """The component that a name, or a table with its name and parameters, stands for. Raises ValueError as
    `structure`."""
    base = next(base for base, of in _BASES.items() if of == kind)
    return structure(value, base, where)


def structure(raw: Any, cls: type[T], where: str = "$") -> T:
    """Plain data -> a config dataclass.

    Raises:
        ValueError: with one line for each fault, each naming its path (``$.regime.lrr``) and the nearest right name.
    """
    try:
        return _converter.structure(raw, cls)
    except Exception as error:
        faults = list(dict.fromkeys(_faults(error, where)))
        more = []
        if len(faults) > FAULTS:
            more = [f"{where}: and {len(faults) - FAULTS:,} more errors"]
        raise ValueError("\n".join([*faults[:FAULTS], *more])) from None


def _faults(error: BaseException, where: str) -> list[str]:
    if isinstance(error, ForbiddenExtraKeysError):
        return [f"{where}.{key}{_unknown_key(key, error.cl)}" for key in sorted(error.extra_fields)]
    if isinstance(error, BaseExceptionGroup):
        return [line for e in error.exceptions for line in _faults(e, where + _step(e))]
    if isinstance(error, KeyError):  # raised while looking for the key that `where` ends in
        return [f"{where}: missing"]
    if isinstance(error, registry.Unknown):
        return [f"{where}.{error.key}: {error}" if error.key else f"{where}: {error}"]
    if isinstance(error, TypeError) and "missing" in str(error):
        return [f"{where}.{key}: missing" for key in re.findall(r"'(\w+)'", str(error))]
    plugin = registry.culprit(error)
    return [f"{where}: {plugin}: {error}" if plugin else f"{where}: {error}"]


def _unknown_key(key: str, cls: type) -> str:
    """What to say of a key that a table does not have: its right place, or the nearest right name."""
    known = [key_of(f) for f in fields(cls)] if is_dataclass(cls) else []
    if issubclass(cls, Component):
        return f": {cls.kind} {cls.name!r} has no parameter {key!r}{_right_place(key, cls, known)}"
    return unknown_name(key, cls, known)


def _right_place(key: str, cls: type[Component], known: list[str]) -> str:
    """Where a parameter belongs that a component does not have."""
    if key in {f.name for f in fields(Regime)}:
        return f"; it belongs to the regime: regime.{key}"
    if key in flat_regime.MOVED and flat_regime.MOVED[key].parameter in known:
        return f"; it is called {flat_regime.MOVED[key].parameter!r} here"
    owners = [
        name
        for kind in PLACES.values()
        for name, entry in registry.built_in(kind).items()
        if key in parameters(entry.load())
    ]
    if owners:
        return f"; it belongs to {', '.join(owners)}"
    if not known:
        return "; it has none"
    return nearest(key, known)


def _step(error: BaseException) -> str:
    """Where inside its parent an error happened, from the notes that cattrs leaves."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return f".{note.name.removesuffix('_')}"
        if isinstance(note, IndexNote):
            return f"[{note.index}]"
    return ""


def dump(config: Any) -> dict[str, Any]:
    """A config dataclass -> plain data that `structure` reads back to an equal object."""
    out: dict[str, Any] = {}
    if isinstance(config, TaskConfig | ModelConfig | Component):
        out["name"] = config.name
    for key, name in _names(type(config)):
        value = getattr(config, name)
        out[key] = dump(value) if is_dataclass(value) else _listed(value)
    return out


@cache
def _names(cls: type) -> tuple[tuple[str, str], ...]:
    """(key in plain data, attribute) of every field."""
    return tuple((key_of(f), f.name) for f in fields(cls))


def _listed(value: Any) -> Any:
    """Tuples as lists, at every depth: what JSON gives back."""
    if isinstance(value, tuple):
        return [dump(v) if is_dataclass(v) else _listed(v) for v in value]
    return value


def content_hash(raw: Any) -> str:
    """Hex digest of plain data, independent of key order."""
    return blake2b(json.dumps(raw, sort_keys=True, allow_nan=False).encode(), digest_size=16).hexdigest()


def read_file(path: str | Path) -> dict[str, Any]:
    """A TOML or JSON file as plain data. Raises ValueError naming the file and the line."""
    path = Path(path)
    try:
        raw = _parse(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: is a folder, expected a TOML or JSON file") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not text in utf-8, expected a TOML or JSON file") from None
    except RecursionError:
        raise ValueError(f"{path}: {too_deep()}") from None
    except (OSError, ValueError) as error:  # damaged TOML and JSON are ValueErrors, and so are endless numbers
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: expected a table of keys, got a {type(raw).__name__}")
    check_depth(raw, str(path))
    return raw


def _parse(path: Path) -> Any:
    with open(path, "rb") as file:
        data = file.read(MAX_CONFIG_BYTES + 1)
    if len(data) > MAX_CONFIG_BYTES:
        raise ValueError(
            f"more than {MAX_CONFIG_BYTES:,} bytes, more than any study or run needs; set GROKSCOPE_MAX_CONFIG_BYTES "
            f"to read it anyway"
        )
    text = data.decode("utf-8-sig")  # some editors put a byte-order mark in front
    if path.suffix == ".json":
        return json.loads(text, parse_int=whole_number)
    return parse_toml(text)


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML text says. Raises ValueError also for what would take its reader hours or all of its stack."""
    if _LONG_KEY.search(text):  # tomllib's time grows with the square of a key's parts
        raise ValueError(too_deep())
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except RecursionError:
        raise ValueError(too_deep()) from None


def load_run(raw: Mapping[str, Any]) -> RunConfig:
    """A run from plain data (a TOML file's content, or the ``config`` of a run's config.json)."""
    raw = dict(raw)
    schema = raw.pop("schema", SCHEMA)
    if type(schema) is not int:
        raise ValueError(f"$.schema: expected int, got {brief(schema)}")
    if schema > SCHEMA:
        raise ValueError(
            f"$.schema: {brief(schema)} is newer than this version of grokscope supports ({SCHEMA}); upgrade grokscope"
        )
    if schema <= flat_regime.SCHEMA:
        raw = flat_regime.nested(raw)
    if isinstance(raw.get("regime"), Mapping):
        raw["regime"] = resolve(raw["regime"])
    return structure(raw, RunConfig)
