"""What each verdict is: its meaning, how it is written and drawn, and what may be said of a run that has it.

The rule that gives a verdict is in `grokscope.trajectory.verdict`, the sentence with its evidence in
`grokscope.trajectory.reasons`; everything else that depends on which verdict it is asks here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

Name = Literal[
    "diverged",
    "underfit",
    "generalized",
    "grokked",
    "semi-grokked",
    "rising",
    "memorized",
    "ungrokked",
    "unstable",
    "recovered-to-baseline",
]
Outcome = Literal["late", "at once", "failed", "broke", "not judged"]
"""What there is to explain: held-out rose late; at once, with no delay; stayed low or was lost; the training itself
broke down; or the log cannot be judged."""


@dataclass(frozen=True, kw_only=True)
class VerdictKind:
    """A verdict, for whoever shows it or goes by it."""

    name: Name
    meaning: str
    outcome: Outcome
    code: str
    """In cells too narrow for words."""
    color: tuple[str, str]
    """Light and dark."""
    marker: str
    """In figures, as matplotlib calls it: color is never the only sign."""
    train: str
    """Curve of train in its pictogram (27 by 18), as an SVG path."""
    held_out: str
    """The same of held-out."""
    predicate: str = ""
    """What runs did: "2 `still rising`"; the name itself where it is empty."""
    short: str = ""
    """Name in a narrow cell; the name itself where it is empty."""
    is_late_rise: bool = False
    """Whether it is asked by which route held-out rose."""
    is_about_the_end: bool = False
    """Whether it says how a run ends: it is robust only if the log, cut short, says the same."""
    may_change: bool = False
    """Whether a longer budget can change it."""


_FIT = "M1 14 L4 14 C7 14 7 3 10 3 L27 3"
_DOTTED = " M1 10 h2 m2 0 h2 m2 0 h2 m2 0 h2"

KINDS: tuple[VerdictKind, ...] = (
    VerdictKind(
        name="grokked",
        meaning="memorized first; held-out stayed far below the threshold for most of the delay, then reached it and "
        "kept it",
        outcome="late",
        code="G",
        color=("#087a56", "#4fd3a4"),
        marker="D",
        train=_FIT,
        held_out="M1 15 L14 15 C19 15 18 4.5 22 4.5 L27 4.5",
        is_late_rise=True,
    ),
    VerdictKind(
        name="semi-grokked",
        meaning="a delayed, lasting rise that has leveled off below the threshold",
        outcome="late",
        code="SG",
        color=("#54740c", "#b1d156"),
        marker="d",
        train=_FIT,
        held_out="M1 15 L14 15 C19 15 18 9 22 9 L27 9",
        is_late_rise=True,
        is_about_the_end=True,
        may_change=True,
    ),
    VerdictKind(
        name="rising",
        meaning="a delayed rise still in progress at the last evaluation; only a longer run can show whether it groks",
        outcome="late",
        code="R",
        color=("#00707a", "#5fd2dc"),
        marker="P",
        train=_FIT,
        held_out="M1 15 L12 15 L27 8",
        predicate="still rising",
        is_late_rise=True,
        may_change=True,
    ),
    VerdictKind(
        name="generalized",
        meaning="reached the threshold with no real delay after fitting the training data",
        outcome="at once",
        code="E",
        color=("#1b67ba", "#7ab9ff"),
        marker="o",
        train=_FIT,
        held_out="M1 15 L5 15 C8 15 8 4.5 12 4.5 L27 4.5",
    ),
    VerdictKind(
        name="memorized",
        meaning="fits the training data; held-out does not rise above its plateau within the budget (which does not "
        "mean that it never would)",
        outcome="failed",
        code="M",
        color=("#a35200", "#f3a75c"),
        marker="s",
        train=_FIT,
        held_out="M1 15 L8 15 L27 14",
        may_change=True,
    ),
    VerdictKind(
        name="ungrokked",
        meaning="held-out peaked clearly, beyond noise, and then decayed for the rest of the run; early-peak when it "
        "never generalized, after-grokking when it had",
        outcome="failed",
        code="U",
        color=("#b2265c", "#ff8fb5"),
        marker="v",
        train=_FIT,
        held_out="M1 14 L4 14 C7 14 7 6 10 6 C14 6 15 12 27 13",
        is_about_the_end=True,
    ),
    VerdictKind(
        name="underfit",
        meaning="train accuracy never reached the fit threshold within the budget",
        outcome="failed",
        code="F",
        color=("#626975", "#abb2bf"),
        marker="_",
        train="M1 15 L7 15 C14 14 16 10 27 9.5",
        held_out="M1 16 L8 16 C16 15.5 18 13 27 12.5",
        predicate="never fitted the training data",
        is_about_the_end=True,
    ),
    VerdictKind(
        name="unstable",
        meaning="after fitting, the train metric collapsed repeatedly (cyclic) or permanently (lasting); weight decay "
        "that is too strong looks like this",
        outcome="broke",
        code="X",
        color=("#7546b7", "#c5a4f6"),
        marker="X",
        train="M1 14 C4 14 6 3 9 3 L12 3 L13.5 12 L15 3 L19 3 L20.5 13 L22 3 L27 3",
        held_out="M1 15 L10 13 L13.5 15 L17 12 L20.5 15 L27 12",
        predicate="stayed unstable",
        is_about_the_end=True,
    ),
    VerdictKind(
        name="diverged",
        meaning="the loss became non-finite, or exploded, and stayed so",
        outcome="broke",
        code="D",
        color=("#95221e", "#ff9187"),
        marker="x",
        train="M1 14 L4 14 C7 14 8 6 11 7 L15 12 M14 9 L20 15 M20 9 L14 15",
        held_out="M1 15 L9 14 L13 15",
    ),
    VerdictKind(
        name="recovered-to-baseline",
        meaning="held-out improves late but ends no better than the trivial predictor",
        outcome="failed",
        code="B",
        color=("#796307", "#dcc44e"),
        marker="^",
        train="M1 12 C5 12 6 3 10 3 L27 3",
        held_out="M1 14 L8 16 L14 16 C19 16 18 10 23 10 L27 10" + _DOTTED,
        predicate="only recovered to the trivial baseline",
        short="to baseline",
        is_about_the_end=True,
    ),
)
"""From grokked to what never came about: the order in which tables and keys have them."""

BY_NAME: dict[str, VerdictKind] = {kind.name: kind for kind in KINDS}
NAMES: tuple[Name, ...] = get_args(Name)


def those(holds: Callable[[VerdictKind], bool]) -> frozenset[Name]:
    """Names of the verdicts of which something holds."""
    return frozenset(kind.name for kind in KINDS if holds(kind))
