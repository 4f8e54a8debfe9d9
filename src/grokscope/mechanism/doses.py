"""Dose response: the effect of the amount of a setting on the time to generalize."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from grokscope.mechanism.arms import Member

FEWEST = 4
"""Runs below which a line has no interval worth the name."""


@dataclass(frozen=True, kw_only=True)
class Dose:
    """ln T_gen against one setting, over arms that are alike otherwise."""

    key: str
    values: tuple[float, ...]
    """The amounts that occur."""
    n: int
    censored: int
    """Runs that have not generalized; they are in no line, which is then too flat."""
    slope: float
    """Of ln T_gen for one unit of the setting."""
    interval: tuple[float, float]
    """95 %, by ordinary least squares."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def doses(members: Sequence[Member]) -> tuple[Dose, ...]:
    """A line for each setting with numbers for values in which arms differ, and in nothing else but their budget.

    Misleads: T_gen is read off the evaluation grid, runs are taken as independent, and a straight line in the logarithm
    is what theories of the norm state, not what any setting must follow.
    """
    lines = []
    for key in _numeric_keys(members):
        groups: dict[tuple[tuple[str, Any], ...], list[Member]] = {}
        for member in members:
            if _is_number(member.settings.get(key)):
                groups.setdefault(_rest(member, key), []).append(member)
        lines += [dose for group in groups.values() if (dose := _line(key, group)) is not None]
    return tuple(lines)


def _numeric_keys(members: Sequence[Member]) -> list[str]:
    keys = {key for member in members for key, value in member.settings.items() if _is_number(value)}
    return sorted(key for key in keys if len({repr(member.settings.get(key)) for member in members}) > 1)


def _rest(member: Member, key: str) -> tuple[tuple[str, Any], ...]:
    """All other settings, as something that can be compared; how long a run is does not move when it generalizes."""
    kept = {k: repr(v) for k, v in member.settings.items() if k != key and not k.startswith("budget.")}
    return tuple(sorted(kept.items()))


def _line(key: str, group: Sequence[Member]) -> Dose | None:
    arrived = [m for m in group if m.T_gen is not None and m.T_gen > 0]
    amounts = np.array([float(m.settings[key]) for m in arrived])
    if len(arrived) < FEWEST or len(np.unique(amounts)) < 2:
        return None
    times = np.array([m.T_gen for m in arrived], dtype=np.float64)
    fit: Any = stats.linregress(amounts, np.log(times))
    half = float(stats.t.ppf(0.975, len(arrived) - 2) * fit.stderr)
    slope = float(fit.slope)
    return Dose(
        key=key,
        values=tuple(float(v) for v in np.unique(amounts)),
        n=len(arrived),
        censored=len(group) - len(arrived),
        slope=slope,
        interval=(slope - half, slope + half),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
