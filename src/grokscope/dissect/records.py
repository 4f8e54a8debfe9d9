"""Result records: frozen dataclasses that become plain JSON data."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np


class Record:
    """Base of every result. `to_dict` gives plain data; floats that are not finite become null when written."""

    def to_dict(self) -> dict[str, Any]:
        return plain(self)


def plain(value: Any) -> Any:
    """Dataclasses, tuples and numpy values -> dicts, lists and Python numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


@dataclass(frozen=True, kw_only=True)
class Null(Record):
    """What a control gave for one effect, and where the observed value lies in it."""

    control: str
    draws: int
    mean: float
    sd: float
    low: float
    """2.5 % quantile of the draws."""
    high: float
    """97.5 % quantile of the draws."""
    p: float
    """(1 + #) / (1 + N): never 0, and exact when the observed value is exchangeable with the draws."""
    sidedness: str
    smallest_p: float


@dataclass(frozen=True, kw_only=True)
class Effect(Record):
    """One number on one set of examples, with an interval over its independent units and its controls."""

    name: str
    on: str
    value: float
    interval: tuple[float, float] | None
    level: float
    unit: str
    """What was resampled: ``group`` where the data has groups, else ``example``."""
    n: int
    n_units: int
    controls: dict[str, Null]
