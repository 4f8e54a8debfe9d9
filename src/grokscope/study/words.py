"""Text for the runs and splits that an expectation refers to, and for the origin of its numbers."""

import math
from collections.abc import Mapping
from typing import Any

from grokscope.vocabulary.splits import is_reported, oracle_label


def describe_where(where: Mapping[str, Any]) -> str:
    """``weight_decay=0.1 seed=0``, or ``all runs``."""
    return " ".join(f"{k.rpartition('.')[2]}={text(v)}" for k, v in where.items()) or "all runs"


def on(split: str | None) -> str:
    """What an expectation on a named split begins with; nothing where none is named."""
    return f"on {split}: " if split else ""


IN_STEPS = ("T_fit", "T_gen", "T_gen_lasting", "T_gen_stable", "T_grok", "delay", "peak_step", "peak_lasting_step")
"""Quantities of a verdict that are steps; the others are scores and ratios."""


def with_unit(quantity: str, words: str) -> str:
    """``2,600`` -> ``2,600 steps`` where the quantity is one of steps."""
    if quantity in IN_STEPS:
        return f"{words} steps"
    return words


def stamped(name: str, split: str | None, follows_from_a_peak: bool, close: str = "") -> str:
    """A number's name. One that follows from a peak on the split that is only reported is an oracle's, and says so."""
    if split is None or not is_reported(split) or not follows_from_a_peak:
        return name
    return f"{name}, {oracle_label(split)}{close}"


def text(value: Any) -> str:
    if isinstance(value, list):
        return "|".join(text(v) for v in value)
    if value is None:
        return "none"
    if isinstance(value, float):
        return number(value)
    return str(value)


def number(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
