"""Strict reading of records from plain JSON data: for each type, a function that builds its value or reports errors
with a location.

Configs are read by `grokscope.configio`, which fills in defaults and takes ``1e4`` for a whole number, as people write
them. Records are written by programs: every field must be there, none may be unknown, and null is how JSON writes a
number that is not finite.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from math import nan
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from grokscope.limits import brief
from grokscope.registry import nearest

Reader = Callable[[Any], Any]
"""Plain data -> value; raises `Mismatch`."""


class Mismatch(ValueError):
    """What does not fit, and the steps that lead to it, innermost first."""

    def __init__(self, message: str):
        super().__init__(message)
        self.steps: list[str] = []


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turns a mismatch into a ValueError that begins with its place below `where`."""
    try:
        yield
    except Mismatch as mismatch:
        raise ValueError(f"{where}{''.join(reversed(mismatch.steps))}: {mismatch}") from None


@cache
def reader(kind: Any) -> Reader:
    """The function that reads values of a type: dataclasses (generic ones too), dict, tuple, list, Literal, unions,
    str, int, float and bool; Any is plain data as it stands, such as a value of a config."""
    origin = get_origin(kind)
    if is_dataclass(origin or kind):
        return _record_reader(kind)
    if origin in (Union, UnionType):
        return _union_reader(get_args(kind))
    if origin is dict:
        return _dict_reader(reader(get_args(kind)[1]))
    if origin in (tuple, list):
        return _sequence_reader(origin, get_args(kind))
    if origin is Literal:
        return _literal_reader(get_args(kind))
    return _SCALARS[kind]


def _expected(wanted: str, value: Any) -> Mismatch:
    return Mismatch(f"expected {wanted}, got {type(value).__name__} {brief(value)}")


def _read_float(value: Any) -> float:
    if value is None:
        return nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _expected("a number", value)
    return float(value)


def _exactly(kind: type, words: str) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise _expected(words, value)
        return value

    return read


_SCALARS: dict[Any, Reader] = {
    float: _read_float,
    int: _exactly(int, "a whole number"),
    str: _exactly(str, "a text"),
    bool: _exactly(bool, "true or false"),
    Any: lambda value: value,
}


def _record_reader(kind: Any) -> Reader:
    cls: Any = get_origin(kind) or kind
    # a generic record names its values' type by a type variable, which stands for what was written in brackets
    stands_for = dict(zip(getattr(cls, "__parameters__", ()), get_args(kind), strict=True))
    hints = get_type_hints(cls)
    readers = {f.name: reader(stands_for.get(hints[f.name], hints[f.name])) for f in fields(cls)}

    def read(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _expected("a table", value)
        if value.keys() != readers.keys():
            _require_fields(value, readers)
        values, name = {}, ""
        try:
            for name, read_field in readers.items():
                values[name] = read_field(value[name])
        except Mismatch as mismatch:
            mismatch.steps.append(f".{name}")
            raise
        try:
            return cls(**values)
        except ValueError as error:  # a record may refuse values of the right type
            raise Mismatch(str(error)) from None

    return read


def _require_fields(value: Mapping[Any, Any], readers: Mapping[str, Reader]) -> None:
    for key in value:
        if key not in readers:
            raise Mismatch(f"unknown field {key!r}{nearest(str(key), list(readers))}")
    for name in readers:
        if name not in value:
            raise Mismatch(f"the field {name!r} is missing")


def _dict_reader(read_value: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _expected("a table", value)
        if read_value is _SCALARS[Any]:
            return {str(key): v for key, v in value.items()}
        values, key = {}, None
        try:
            for key, v in value.items():
                values[str(key)] = read_value(v)
        except Mismatch as mismatch:
            mismatch.steps.append(f".{key}")
            raise
        return values

    return read


def _sequence_reader(origin: type, kinds: tuple[Any, ...]) -> Reader:
    endless = origin is list or kinds[-1] is Ellipsis
    readers = [reader(kind) for kind in kinds if kind is not Ellipsis]

    def read(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise _expected("a list", value)
        if not endless and len(value) != len(readers):
            raise Mismatch(f"expected {len(readers)} values, got {len(value)}")
        each = readers * len(value) if endless else readers
        values: list[Any] = []
        try:
            for one, v in zip(each, value, strict=True):
                values.append(one(v))
        except Mismatch as mismatch:
            mismatch.steps.append(f"[{len(values)}]")
            raise
        return origin(values)

    return read


def _literal_reader(known: tuple[Any, ...]) -> Reader:
    def read(value: Any) -> Any:
        if value not in known:
            raise Mismatch(f"unknown value {brief(value)}{nearest(brief(value), list(known))}")
        return value

    return read


def _union_reader(kinds: tuple[Any, ...]) -> Reader:
    """The first member that fits; the mismatch of the last one where none does. Records are told apart by their
    fields, so that no two members fit the same data."""
    optional = NoneType in kinds
    readers = [reader(kind) for kind in kinds if kind is not NoneType]

    def read(value: Any) -> Any:
        if value is None and optional:
            return None
        for one in readers[:-1]:
            try:
                return one(value)
            except Mismatch:
                continue
        return readers[-1](value)

    return read
