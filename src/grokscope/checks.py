"""Checks of user-supplied values: each raises ValueError with a message that names the value."""

from numbers import Integral
from typing import Any

from grokscope.limits import brief


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
