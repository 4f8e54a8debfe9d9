"""Matrix of groups by seed: one tile per run with its outcome, and the median time to generalize per group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grokscope.figures.canvas import plain
from grokscope.report.read.judged_run import STATE_WORDS, Reading, unit_of
from grokscope.report.read.survival import arms, median_words

PANELS = 12
"""Up to this many groups have a row of tiles, and a large panel of learning curves."""
TILES = 24
"""Up to this many runs in a group are shown as tiles."""


@dataclass(frozen=True)
class Tile:
    """One run; `kind` is ``final``, ``so-far`` or ``none``."""

    anchor: str
    kind: str
    outcome: str
    title: str


@dataclass(frozen=True)
class MatrixRow:
    """One group: its tiles, the median T_gen with its interval, and how many of its runs reached it."""

    name: str
    tiles: list[Tile]
    median: str
    interval: str
    reached: str


@dataclass(frozen=True)
class Matrix:
    """Rows, and what stands over and under their times."""

    rows: list[MatrixRow]
    unit: str
    note: str
    """What all intervals say, where they say the same; then no row repeats it."""


def fits(groups: Mapping[str, Sequence[Reading]]) -> bool:
    """Whether so many groups and runs can be seen at once."""
    return len(groups) <= PANELS and max(map(len, groups.values()), default=0) <= TILES


def matrix_of(groups: Mapping[str, Sequence[Reading]], anchors: Mapping[str, str]) -> Matrix | None:
    """None where there are too many runs to see, or none."""
    if not groups or not fits(groups):
        return None
    judged = arms(groups, "T_gen")
    mixed = len({arm.split for arm in judged}) > 1
    words = [median_words(arm.estimate) for arm in judged]
    intervals = {interval for _, interval in words if interval}
    alike = len(intervals) == 1
    shared = intervals.pop() if alike and len(words) > 1 else ""  # of one group the sentence above says it
    rows = [
        MatrixRow(
            plain(arm.group),
            [_tile(reading, anchors[reading.subject.name]) for reading in groups[arm.group]],
            median,
            "" if alike else interval,
            f"{arm.times.events:,} of {len(arm.times):,} reached it{f' on {arm.split}' if mixed else ''}",
        )
        for arm, (median, interval) in zip(judged, words, strict=True)
    ]
    return Matrix(rows, f"{unit_of([r for members in groups.values() for r in members])}s", shared)


def _tile(reading: Reading, anchor: str) -> Tile:
    kind = "none"
    if reading.final_verdict:
        kind = "final"
    elif reading.provisional:
        kind = "so-far"
    state = STATE_WORDS.get(reading.subject.state, reading.subject.state)
    more = f", {state}" if reading.provisional else ""
    title = f"{reading.subject.group}, {reading.subject.label}: {reading.outcome}{more}"
    return Tile(anchor, kind, reading.outcome, title)
