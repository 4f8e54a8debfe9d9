"""Checks of user-supplied values: each raises ValueError with a message that names the value."""

from numbers import Integral, Real
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


def require_share_of_labels(value: Any) -> None:
    """Raise ValueError unless `value` is None or a share: that of training labels which were replaced."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    require(
        value is None or (is_number and 0 <= value <= 1),
        "label_noise: expected a share from 0 to 1 of the training labels that were replaced by random ones (1 if all "
        f"are random), got {brief(value)}",
    )
