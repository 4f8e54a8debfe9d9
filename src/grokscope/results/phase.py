"""A study as a phase diagram: runs in cells of two settings, each cell's verdicts, times and levels; and its Pareto
set."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isinf
from typing import Any, ClassVar, Literal

from grokscope.files import finite
from grokscope.results.record import Record, Stored

Spacing = Literal["linear", "log", "uneven", "categories"]
"""How an axis' values lie; its cells are drawn evenly in any case."""
Standing = Literal["front", "open", "dominated"]
"""In the Pareto set; not reached, and by no other surely beaten; beaten."""
Scalar = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class PhaseAxis(Record):
    """A setting that varies over the cells."""

    key: str
    """Dotted, as in a study file."""
    name: str
    """Its last part where that is not ambiguous."""
    labels: tuple[str, ...]
    """Its values in words, numbers in their order."""
    numbers: tuple[float, ...] | None
    """The same as numbers; None where one of them is no number. [as the setting]"""
    spacing: Spacing
    """Of the values: even steps, nearly even factors (zero, which has no logarithm, aside), neither, or no numbers."""

    @property
    def title(self) -> str:
        """The name, and what the even cells hide."""
        if self.spacing == "log":
            zero = ""
            if self.numbers is not None and 0.0 in self.numbers:
                zero = ", after 0"
            return f"{self.name} (log-spaced{zero})"
        if self.spacing == "uneven":
            return f"{self.name} (unevenly spaced)"
        return self.name


@dataclass(frozen=True, kw_only=True)
class CellTime(Record):
    """One milestone over the judged runs of a cell, those that did not reach it counted up to where they ended."""

    runs: int
    """Runs at risk: for a delay, those that fitted. [runs]"""
    reached: int
    """Of these, runs that reached it. [runs]"""
    median: float | None
    """Kaplan-Meier (Turnbull's estimate on mixed grids); None where it was not reached. [steps]"""
    at_least: float
    """What the median is at least: where it was not reached, the time of the censoring. [steps]"""
    low: float
    """The earliest run: reached then, or not by then. [steps]"""
    high: float
    """The latest run. [steps]"""
    high_open: bool
    """Whether a run did not reach it, so that the latest is later than `high`."""

    @property
    def censored(self) -> bool:
        """Whether the median was not reached."""
        return self.median is None


@dataclass(frozen=True, kw_only=True)
class CellLevel(Record):
    """One level over the judged runs of a cell that have it."""

    runs: int
    """Runs that have it. [runs]"""
    median: float
    """Over these runs. [as the level]"""
    low: float
    """The least of them. [as the level]"""
    high: float
    """The largest of them. [as the level]"""


@dataclass(frozen=True, kw_only=True)
class PhaseCell(Record):
    """All runs with one pair of settings. Its runs reconcile: planned = judged + unjudged + failed + waiting."""

    x: str
    """Label of its column."""
    y: str
    """Label of its row."""
    panel: str | None
    """Label of its panel; None without panels."""
    planned: int
    """Runs of the study with these settings; 0: the study has no such cell. [runs]"""
    judged: int
    """Finished runs with a verdict. [runs]"""
    unjudged: int
    """Finished runs whose log cannot be judged. [runs]"""
    failed: int
    """Runs that failed or are damaged: they say nothing until somebody mends them. [runs]"""
    waiting: int
    """Runs that have not begun or are not finished. [runs]"""
    budgets: tuple[int, ...]
    """Steps that its runs are trained for; several where they differ. [steps]"""
    verdicts: dict[str, int]
    """Verdict -> judged runs, qualifiers such as cyclic included, the most frequent first. [runs]"""
    T_fit: CellTime | None
    """None without a judged run."""
    T_gen: CellTime | None
    """None without a judged run."""
    delay: CellTime | None
    """T_gen - T_fit; None where no judged run ever fitted, so that no delay began."""
    best: CellLevel | None
    """Highest held-out score of each run: of many evaluations, so partly luck. [score]"""
    end: CellLevel | None
    """Mean over the last 5 % of the steps of each run. [score]"""
    value: CellLevel | None
    """The number that the study file names; None without one."""
    lacks_runs: bool
    """Whether fewer runs are judged than planned, or than the study file asks for."""

    @property
    def unfitted(self) -> int:
        """Judged runs that never fitted, which have no delay."""
        return self.judged - (self.delay.runs if self.delay is not None else 0)

    @property
    def majority(self) -> str | None:
        """The verdict of more than half of the judged runs, qualifiers aside; None where there is none."""
        counts = self.classes
        first = max(counts, key=lambda name: counts[name], default=None)
        if first is None or 2 * counts[first] <= self.judged:
            return None
        return first

    @property
    def mixed(self) -> bool:
        """Whether the judged runs have more than one verdict, qualifiers aside."""
        return len(self.classes) > 1

    @property
    def classes(self) -> dict[str, int]:
        """Verdict without its qualifier -> judged runs."""
        counts: dict[str, int] = {}
        for name, count in self.verdicts.items():
            short = name.partition(" (")[0]
            counts[short] = counts.get(short, 0) + count
        return counts

    def share(self, verdict: str) -> float:
        """Share of the judged runs with this verdict, with or without its qualifier. [share]"""
        count = self.verdicts.get(verdict, 0) or self.classes.get(verdict, 0)
        if not self.judged:
            return float("nan")
        return count / self.judged


@dataclass(frozen=True, kw_only=True)
class PhaseDiagram(Record):
    """Cells of two settings, and of a third as panels."""

    x: PhaseAxis
    """Columns."""
    y: PhaseAxis
    """Rows."""
    panels: PhaseAxis | None
    """A map for each of its values."""
    split: str
    """The held-out split that was judged; several names where the runs differ."""
    time: Literal["delay", "T_gen"]
    """Which of the two times is drawn."""
    value: str
    """The further number of each run, in words; empty without one."""
    fewest: int
    """Judged runs that a cell needs by the study file; 0: as many as planned. [runs]"""
    automatic: bool
    """Whether the axes were found, as the only two settings that vary, and not named."""
    cells: tuple[PhaseCell, ...]
    """Panels, then rows, then columns; every combination, planned or not."""
    notes: tuple[str, ...]
    """What a reader should know."""

    def cell(self, x: str, y: str, panel: str | None = None) -> PhaseCell:
        """The cell of these labels. Raises KeyError where there is none."""
        for cell in self.cells:
            if (cell.x, cell.y, cell.panel) == (x, y, panel):
                return cell
        raise KeyError((x, y, panel))

    def panel_labels(self) -> tuple[str | None, ...]:
        if self.panels is None:
            return (None,)
        return self.panels.labels

    def of_panel(self, panel: str | None) -> tuple[PhaseCell, ...]:
        return tuple(cell for cell in self.cells if cell.panel == panel)

    def rows(self) -> list[dict[str, Scalar]]:
        """The diagram as a table, a row for each cell in their order; a verdict's column holds its share of the judged
        runs."""
        names = sorted({name for cell in self.cells for name in cell.verdicts})
        return [_cell_row(self, cell, names) for cell in self.cells]


@dataclass(frozen=True, kw_only=True)
class ParetoPoint(Record):
    """T_gen against the best held-out score, of a run or of a group of runs."""

    name: str
    """Id of the run, or the group's name."""
    group: str
    """Regime of the run; the group's name again for a group."""
    runs: int
    """1, or the judged runs of the group. [runs]"""
    at: float
    """T_gen, or the group's median; where it was not reached, what it is at least. [steps]"""
    censored: bool
    """Whether it was not reached."""
    best: float
    """Highest held-out score; of a group the median. [score]"""
    standing: Standing
    """Whether it is in the Pareto set of the points of its kind."""


@dataclass(frozen=True, kw_only=True)
class Pareto(Record):
    """Soonest against best: which groups, and which runs, no other beats in both."""

    split: str
    """The held-out split of both numbers."""
    groups: tuple[ParetoPoint, ...]
    """A point for each regime with a judged run."""
    runs: tuple[ParetoPoint, ...]
    """A point for each judged run."""

    def front(self, kind: Literal["groups", "runs"] = "groups") -> tuple[ParetoPoint, ...]:
        """The Pareto set, the soonest first."""
        points = self.groups if kind == "groups" else self.runs
        return tuple(sorted((p for p in points if p.standing == "front"), key=lambda p: (p.at, -p.best, p.name)))

    def rows(self) -> list[dict[str, Scalar]]:
        """Groups, then runs, a row for each."""
        parts = (("group", self.groups), ("run", self.runs))
        return [{"kind": kind, **point.to_dict()} for kind, points in parts for point in points]


@dataclass(frozen=True, kw_only=True)
class Phase(Stored):
    """What a study shows as a map: its phase diagram where it has one, and its Pareto set."""

    SCHEMA: ClassVar[int] = 1

    schema: int
    """Version of the file's layout."""
    study: str
    """Name of the study."""
    diagram: PhaseDiagram | None
    """None where no two settings span one; `reason` says why."""
    reason: str
    """Why there is no diagram; empty where there is one."""
    pareto: Pareto | None
    """None with fewer than two groups of judged runs, or where none of them generalized."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which has no word for numbers that are not finite: they become None."""
        return finite(super().to_dict())

    def cell_rows(self) -> list[dict[str, Scalar]]:
        """The diagram as a table; empty without one."""
        if self.diagram is None:
            return []
        return self.diagram.rows()

    def pareto_rows(self) -> list[dict[str, Scalar]]:
        """The Pareto set's points as a table; empty without one."""
        if self.pareto is None:
            return []
        return self.pareto.rows()


def _cell_row(diagram: PhaseDiagram, cell: PhaseCell, verdicts: list[str]) -> dict[str, Scalar]:
    row: dict[str, Scalar] = {diagram.x.key: cell.x, diagram.y.key: cell.y}
    if diagram.panels is not None:
        row[diagram.panels.key] = cell.panel
    row |= {name: getattr(cell, name) for name in ("planned", "judged", "unjudged", "failed", "waiting", "lacks_runs")}
    row |= {"majority": cell.majority, "mixed": cell.mixed}
    row |= {f"share {name}": cell.share(name) if cell.judged else None for name in verdicts}
    for name in ("T_fit", "T_gen", "delay"):
        row |= dict(_prefixed(name, getattr(cell, name), ("runs", "reached", "median", "at_least", "low", "high")))
    for name in ("best", "end", *(("value",) if diagram.value else ())):
        row |= dict(_prefixed(name, getattr(cell, name), ("runs", "median", "low", "high")))
    return row


def _prefixed(name: str, record: Record | None, parts: tuple[str, ...]) -> Iterator[tuple[str, Scalar]]:
    for part in parts:
        value = None if record is None else getattr(record, part)
        infinite = isinstance(value, float) and isinf(value)
        yield f"{name} {part}", None if infinite else value
