"""Base of all records: conversion to plain JSON data, strict reading, and storage in a file."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from grokscope.files import read_json, write_json
from grokscope.results.reading import reader, reading

T = TypeVar("T")


class Record:
    """Base of every result, a frozen dataclass. Floats that are not finite are written as null and read as NaN."""

    def to_dict(self) -> dict[str, Any]:
        return plain(self)

    @classmethod
    def from_dict(cls, raw: Any, where: str = "$") -> Self:
        """The record that `to_dict` made plain.

        Raises:
            ValueError: naming the first field, below `where`, that is unknown, missing or of another type.
        """
        with reading(where):
            return reader(cls)(raw)


class Keyed(Record, Generic[T]):
    """Values of one kind under fixed names: a dataclass whose fields are the names. Where the name is known write it as
    an attribute, which the type checker sees; ``[name]`` is for loops over `names`."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(f.name for f in fields(cls))  # pyright: ignore[reportArgumentType] - its classes are dataclasses

    def __getitem__(self, name: str) -> T:
        if name not in self.names():
            raise KeyError(name)
        return getattr(self, name)

    def items(self) -> Iterator[tuple[str, T]]:
        return ((name, self[name]) for name in self.names())


class Stored(Record):
    """A record that is a whole file. Its dataclass has a field ``schema``, which says how the file is laid out."""

    SCHEMA: ClassVar[int] = 1
    """Version that this grokscope writes. Raise it when a field is renamed, added or removed."""

    def write(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        write_json(Path(path), self.to_dict())

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The record that lies in a file.

        Raises:
            ValueError: naming the file where it is absent or no JSON, and the field that is unknown, missing, of
                another type, or of a newer version.
        """
        return cls.parse(read_json(Path(path)), path)

    @classmethod
    def parse(cls, raw: Any, path: str | Path) -> Self:
        """The record that the data of the file `path` is. Raises as `read`."""
        schema = raw.get("schema") if isinstance(raw, Mapping) else None
        if isinstance(schema, int) and schema > cls.SCHEMA:
            raise ValueError(
                f"{path}: $.schema: {schema} is newer than this version of grokscope supports ({cls.SCHEMA}); upgrade "
                f"grokscope"
            )
        return cls.from_dict(raw, f"{path}: $")


def plain(value: Any) -> Any:
    """Dataclasses, tuples and numpy values -> dicts, lists and Python numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    tolist = getattr(value, "tolist", None)  # numpy's arrays and numbers, without importing numpy
    if tolist is not None:
        return tolist()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value
