"""Moments of a run as written in configs: a step, an epoch, the fit, or an offset from it.

``400``, ``"20 epochs"``, ``"T_fit"``, ``"T_fit + 50"``, ``"T_fit + 2 epochs"``. Nothing here imports torch.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

from grokscope.checks import is_whole
from grokscope.limits import MAX_STEPS, brief

_FORM = re.compile(r"(?P<fit>T_fit)?\s*(?P<plus>\+)?\s*(?P<count>\d[\d_]*)?\s*(?P<unit>steps?|epochs?)?")
FORMS = '400, "20 epochs", "T_fit", "T_fit + 50" or "T_fit + 2 epochs"'


@dataclass(frozen=True)
class Moment:
    """So many steps or epochs after the start of a run, or after `T_fit`."""

    after_fit: bool
    count: int
    unit: Literal["steps", "epochs"] = "steps"

    def step(self, steps_per_epoch: int, fitted_at: int | None) -> int | None:
        """As a step of the run; None while it waits for a fit that has not come (`fitted_at` None)."""
        if self.after_fit and fitted_at is None:
            return None
        scale = steps_per_epoch if self.unit == "epochs" else 1
        return (fitted_at or 0) * self.after_fit + self.count * scale

    def not_after(self, other: "Moment") -> bool:
        """Whether it certainly comes no later than another: both count in one unit from one origin."""
        comparable = self.after_fit == other.after_fit and (self.unit == other.unit or 0 in (self.count, other.count))
        return comparable and self.count <= other.count


def read_moment(value: Any, where: str) -> Moment:
    """What a config wrote, as a moment. Raises ValueError naming `where` and the forms that there are."""
    if is_whole(value) and 0 <= value <= MAX_STEPS:
        return Moment(False, int(value))
    match = _FORM.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not _is_complete(match):
        raise ValueError(f"{where} must be a moment such as {FORMS}, got {brief(value)}")
    count = int((match["count"] or "0").replace("_", ""))
    if count > MAX_STEPS:
        raise ValueError(f"{where} must lie within {MAX_STEPS:,} steps, got {brief(value)}")
    return Moment(match["fit"] is not None, count, "epochs" if (match["unit"] or "").startswith("epoch") else "steps")


def _is_complete(match: "re.Match[str]") -> bool:
    """A count where one is announced, and a plus exactly between the fit and a count."""
    fit, plus, count, unit = match["fit"], match["plus"], match["count"], match["unit"]
    if fit is None:
        return plus is None and count is not None
    return (plus is None) == (count is None) and (unit is None or count is not None)
