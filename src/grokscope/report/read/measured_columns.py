"""Bands of the measured columns in a report. `grokscope.vocabulary.columns` defines their meaning."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from grokscope.components import name_in
from grokscope.report.read.bands import Band, group_band
from grokscope.report.read.judged_run import Reading
from grokscope.vocabulary.columns import Described

LINES = 8
"""At most this many groups get a line here; the others are in the tables and the data."""


def left_out(order: Sequence[str]) -> str:
    """That not all groups have a line, where they are too many."""
    return f" Of {len(order):,} groups each panel draws the first {LINES} with data." if len(order) > LINES else ""


def group_bands(described: Described, groups: dict[str, list[Reading]]) -> dict[str, Band]:
    """Group -> median and band of one column; groups that lack it are left out, and beyond LINES groups the later
    ones."""
    out: dict[str, Band] = {}
    for name, members in groups.items():
        if (band := _band(members, described)) is not None:
            out[name] = band
        if len(out) == LINES:
            break
    return out


def _band(members: list[Reading], described: Described) -> Band | None:
    """Median and band of the column; where it is a mean over parts, the band reaches over all parts of all runs."""
    members = [r for r in members if _means_something(r, described)]
    bands = [_over(members, column, described.scale) for column in (described.column, *(described.around or ()))]
    band, *edges = bands
    if band is None or len(edges) != 2 or edges[0] is None or edges[1] is None:
        return band
    return replace(band, low=edges[0].low, high=edges[1].high, kind="range")


def _over(members: list[Reading], column: str, scale: str) -> Band | None:
    return group_band([c for r in members if (c := _curve(r, column, scale)) is not None])


def _means_something(reading: Reading, described: Described) -> bool:
    """Whether the run was trained with a loss under which the column says anything; yes, where the loss is unknown."""
    regime = (reading.subject.config or {}).get("regime") or {}
    name = name_in(regime.get("loss"))
    return not described.losses or name is None or name in described.losses


def _curve(reading: Reading, column: str, scale: str) -> tuple[np.ndarray, np.ndarray] | None:
    metrics = reading.subject.metrics
    values = metrics.get(column)
    if values is None:
        return None
    if scale == "log":
        values = np.where(values > 0, values, np.nan)
    return metrics["step"], values
