"""Strict reading and writing of configs: unknown keys, wrong types and impossible values are errors that say where."""

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

from grokscope import regimes, registry
from grokscope.config import ModelConfig, RunConfig, TaskConfig
from grokscope.limits import MAX_CONFIG_BYTES, MAX_DEPTH, brief, check_depth, too_deep, whole_number
from grokscope.registry import nearest

_LONG_KEY = re.compile(rf"""(?<![\w"'-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MAX_DEPTH}}}""")

SCHEMA = 2
"""Version of the run config and of its record. A reader refuses a newer one instead of guessing. Schema 1 had the same
keys and hashed every value, so that its folders have other names; it is read by `identity.completed`."""

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
        return _within(int(value), INT_MAX) if kind is int else value

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
    inner = next(a for a in get_args(t) if a is not type(None))
    return None if value is None or value == "none" else _converter.structure(value, inner)


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


_converter = cattrs.Converter(forbid_extra_keys=True)
for _kind in (int, float, str, bool):
    _converter.register_structure_hook(_kind, _strict(_kind))
_converter.register_structure_hook_factory(is_dataclass, _structure_dataclass)
_converter.register_structure_hook_func(lambda t: get_origin(t) is tuple, _structure_tuple)
_converter.register_structure_hook_func(lambda t: get_origin(t) is Literal, _structure_literal)
_converter.register_structure_hook_func(_is_optional, _structure_optional)
_converter.register_structure_hook_func(lambda t: t is TaskConfig, _structure_named("task"))
_converter.register_structure_hook_func(lambda t: t is ModelConfig, _structure_named("model"))


def structure(raw: Mapping[str, Any], cls: type[T], where: str = "$") -> T:
    """Plain data -> a config dataclass.

    Raises:
        ValueError: with one line for each fault, each naming its path (``$.regime.lrr``) and the nearest right name.
    """
    try:
        return _converter.structure(raw, cls)
    except Exception as error:
        faults = list(dict.fromkeys(_faults(error, where)))
        more = [f"{where}: and {len(faults) - FAULTS:,} more faults"] if len(faults) > FAULTS else []
        raise ValueError("\n".join([*faults[:FAULTS], *more])) from None


def _faults(error: BaseException, where: str) -> list[str]:
    if isinstance(error, ForbiddenExtraKeysError):
        known = [f.name for f in fields(error.cl)] if is_dataclass(error.cl) else []
        old: Mapping[str, str] = getattr(error.cl, "superseded", {})
        return [
            f"{where}.{key} {old[key]}" if key in old else f"{where}.{key}: unknown key{nearest(key, known)}"
            for key in sorted(error.extra_fields)
        ]
    if isinstance(error, BaseExceptionGroup):
        return [line for e in error.exceptions for line in _faults(e, where + _step(e))]
    if isinstance(error, KeyError):  # raised while looking for the key that `where` ends in
        return [f"{where}: missing"]
    if isinstance(error, registry.Unknown):
        return [f"{where}.{error.key}: {error}"]
    if isinstance(error, TypeError) and "missing" in str(error):
        return [f"{where}.{key}: missing" for key in re.findall(r"'(\w+)'", str(error))]
    return [f"{where}: {error}"]


def _step(error: BaseException) -> str:
    """Where inside its parent an error happened, from the notes that cattrs leaves."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return f".{note.name}"
        if isinstance(note, IndexNote):
            return f"[{note.index}]"
    return ""


def dump(config: Any) -> dict[str, Any]:
    """A config dataclass -> plain data that `structure` reads back to an equal object."""
    out: dict[str, Any] = {}
    if isinstance(config, TaskConfig | ModelConfig):
        out["name"] = config.name
    for name in _names(type(config)):
        value = getattr(config, name)
        out[name] = dump(value) if is_dataclass(value) else _listed(value)
    return out


@cache
def _names(cls: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls))


def _listed(value: Any) -> Any:
    """Tuples as lists, at every depth: what JSON gives back."""
    return [_listed(v) for v in value] if isinstance(value, tuple) else value


def flatten(raw: Mapping[str, Any], front: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys, the inverse of `overlay`: ``{"regime": {"lr": 1}}`` -> ``{"regime.lr": 1}``."""
    out: dict[str, Any] = {}
    for key, value in raw.items():
        out |= flatten(value, f"{front}{key}.") if isinstance(value, Mapping) else {f"{front}{key}": value}
    return out


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
            f"more than {MAX_CONFIG_BYTES:,} bytes, which no study or run needs; set GROKSCOPE_MAX_CONFIG_BYTES to "
            "read it all the same"
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
            f"$.schema: {brief(schema)} is newer than this grokscope understands ({SCHEMA}); upgrade grokscope"
        )
    if isinstance(raw.get("regime"), Mapping):
        raw["regime"] = regimes.resolve(raw["regime"])
    return structure(raw, RunConfig)


def overlay(raw: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`raw` with dotted keys replaced: ``overlay(raw, {"regime.lr": 3e-4})``; nested tables merge key by key.

    Naming another ``task.name`` or ``model.name`` drops that table's other keys, which belong to the old one. The order
    of the changes means nothing, unless two name the same key: then the later one counts.
    """
    return _merge(raw, _nested(changes))


def _nested(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as nested tables: all changes to a table have to be seen at once."""
    out: dict[str, Any] = {}
    for key, value in sorted(changes.items(), key=lambda item: not item[0].endswith(".name")):  # a new name first
        head, _, rest = key.partition(".")
        below = {rest: value} if rest else value
        if isinstance(below, Mapping):
            inner = out.get(head)
            out[head] = _merge(inner if isinstance(inner, Mapping) else {}, _nested(below))
        else:
            out[head] = below
    return out


def _merge(raw: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    out = {k: (_merge(v, {}) if isinstance(v, Mapping) else v) for k, v in raw.items()}
    for head, value in changes.items():
        if isinstance(value, Mapping):
            inner = out.get(head)
            out[head] = _merge(inner if isinstance(inner, Mapping) and not _replaces(head, inner, value) else {}, value)
        else:
            out[head] = value
    return out


def _replaces(head: str, table: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    """Whether a change makes the old table meaningless: another task or model, or the budget in another unit."""
    if head in ("task", "model"):
        return changes.get("name", table.get("name")) != table.get("name")
    return head == "budget" and bool(changes)
