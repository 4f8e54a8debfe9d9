"""Record of a verdict on one held-out split, with its evidence."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from grokscope.files import finite
from grokscope.results.milestones import MilestonesRecord
from grokscope.results.record import Record
from grokscope.vocabulary.verdicts import NAMES, Name

Qualifier = Literal["early-peak", "after-grokking", "cyclic", "lasting"]
Route = Literal["representation", "readout", "cannot tell"]
VERDICTS = NAMES
QUALIFIED = ("ungrokked (early-peak)", "ungrokked (after-grokking)", "unstable (cyclic)", "unstable (lasting)")
"""Labels of verdicts that have a qualifier."""
ROUTES: tuple[Route, ...] = get_args(Route)
NOT_JUDGED = "cannot be judged"


def label_of(verdict: Name | None, qualifier: Qualifier | None) -> str:
    """``ungrokked (early-peak)``."""
    if verdict is None:
        return NOT_JUDGED
    if qualifier:
        return f"{verdict} ({qualifier})"
    return verdict


@dataclass(frozen=True, kw_only=True)
class Formation(Record):
    """By which route a network came to generalize late. Scores are accuracies on the held-out split."""

    route: Route
    """``representation``: one formed late; ``readout``: it was there, and the readout stopped spoiling it."""
    reason: str
    """The numbers that decided, in a sentence."""
    probe_at_fit: float | None = None
    """Of the linear probe at the first diagnosis after the fit. [share]"""
    probe_at_fit_low: float | None = None
    """The same with the worst of the probe's strengths, ... [share]"""
    probe_at_fit_high: float | None = None
    """... and with the best one, chosen on this very split. [share]"""
    probe_at_end: float | None = None
    """At the last diagnosis. [share]"""
    network_at_fit: float | None = None
    """Of the network, at the diagnosis that stands for the fit. [share]"""
    network_at_end: float | None = None
    """Of the network, at the last diagnosis. [share]"""
    share: float | None = None
    """Rise of the probe over rise of the network. [share]"""
    step: int | float | None = None
    """The diagnosis that stands for the fit. [steps]"""
    raw_input: float | None = None
    """What the same probe reads off the raw input, if it was recorded. [share]"""


@dataclass(frozen=True, kw_only=True)
class VerdictRecord(Record):
    """One held-out split's class, and what it rests on."""

    split: str
    """The held-out split."""
    verdict: Name | None
    """None where the log cannot be judged; `reason` says why."""
    qualifier: Qualifier | None
    """Of `ungrokked` and `unstable`."""
    reason: str
    """One sentence with the numbers that decided."""
    evidence: dict[str, Any]
    """The numbers that decided, by the names of `grokscope.trajectory.evidence`; empty where train or the split was
    never evaluated."""
    robust: bool
    """No neighbor says otherwise, and nothing in `fragile` speaks against it; False where it was not asked."""
    fragile: tuple[str, ...]
    """What else makes it fragile, in words."""
    neighbors: dict[str, Name]
    """What it would be with one threshold moved, the grid read otherwise, or the log cut short; empty where it was not
    asked."""
    notes: tuple[str, ...]
    """How the log was read, and what was left out of it."""
    milestones: MilestonesRecord
    """What was read off the curve before any class was named."""
    criteria: dict[str, Any]
    """Every threshold, by the names of `grokscope.trajectory.Criteria`."""
    formation: Formation | None
    """Of a late rise: whether a representation formed or a readout recovered; None for other verdicts, and where no
    probe was recorded."""

    @property
    def label(self) -> str:
        """``ungrokked (early-peak)``."""
        return label_of(self.verdict, self.qualifier)

    @property
    def tested(self) -> bool:
        """Whether it was asked what moving the thresholds does: only then is `robust` an answer."""
        return bool(self.neighbors)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which has no word for numbers that are not finite: they become None."""
        return finite(super().to_dict())
