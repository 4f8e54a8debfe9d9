"""Checks of user-supplied values: each raises ValueError with a message that names the value."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from functools import wraps
from numbers import Integral, Real
from typing import Any, TypeVar

from grokscope.limits import brief

T = TypeVar("T")


def require(ok: bool, message: str) -> None:
    """Raise ValueError(message) unless ok: for values a user chose."""
    if not ok:
        raise ValueError(message)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, numpy's included; true and false are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def require_whole(key: str, value: Any, least: int, most: int) -> None:
    """Raise ValueError naming `key` unless `value` is a whole number (no bool, no float) in [least, most]."""
    require(is_whole(value), f"{key} must be a whole number, got {brief(value)}")
    require(value >= least, f"{key} must be at least {least}, got {brief(value)}")
    require(value <= most, f"{key} must be at most {most:,}, got {brief(value)}")


def require_share_of_labels(value: Any) -> None:
    """Raise ValueError unless `value` is None or a share: that of training labels which were replaced."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    require(
        value is None or (is_number and 0 <= float(value) <= 1),
        "label_noise: expected a share from 0 to 1 of the training labels that were replaced by random ones (1 if all "
        f"are random), got {brief(value)}",
    )


_COMPARED, _SHOWN = 2000, 100
"""Names that a word is compared with, and names (and characters of the word) that a message is about: a table of 30,000
columns is no list of choices."""


def nearest(word: str, known: list[str]) -> str:
    """The end of an error message: the nearest right name, or all of them."""
    lower = {name.lower(): name for name in known[:_COMPARED]}
    close = get_close_matches(str(word)[:_SHOWN].lower(), list(lower), n=1, cutoff=0.6)
    if close:
        return f"; did you mean {lower[close[0]]!r}?"
    more = f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else ""
    return f"; known: {', '.join(sorted(known)[:_SHOWN])}{more}"


def unknown_name(key: str, cls: type, known: Sequence[str]) -> str:
    """What to say of a name that a dataclass does not have: what took its place, or the nearest right name."""
    old: Mapping[str, str] = getattr(cls, "superseded", {})
    if key in old:
        return f" {old[key]}"
    return f": unknown key{nearest(key, list(known))}"


def names_checked(cls: type[T]) -> type[T]:
    """Decorator of dataclasses that users construct: a keyword that names no field is a ValueError with the right name,
    as it is in a file. Python's own error is a TypeError that knows neither."""
    known = [field.name for field in fields(cls) if field.init]  # pyright: ignore[reportArgumentType] - a dataclass
    construct = cls.__init__

    @wraps(construct)
    def checked(self: T, *values: Any, **named: Any) -> None:
        for key in named:
            if key not in known:
                raise ValueError(f"{cls.__name__}.{key}{unknown_name(key, cls, known)}")
        construct(self, *values, **named)

    cls.__init__ = checked
    return cls
