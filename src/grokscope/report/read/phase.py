"""Content of the cells of a phase diagram: labels, shades and marks, shared by figure, description and tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import Literal

from grokscope.report.read.glossary import word
from grokscope.results.phase import CellLevel, CellTime, PhaseCell, PhaseDiagram, Scalar
from grokscope.vocabulary.splits import is_reported, oracle_label
from grokscope.vocabulary.text import listed, number, plural, score, short, steps, steps_or_more
from grokscope.vocabulary.verdicts import KINDS

Map = Literal["verdicts", "delay", "T_gen", "best", "end", "value"]
CODES = {kind.name: kind.code for kind in KINDS}
"""Verdicts in cells too narrow for words."""
NO_MAJORITY, NOT_PLANNED, NOT_RUN, NO_VERDICT, NO_NUMBER = "≠", "·", "…", "?", "–"
SIGNS = {
    NO_MAJORITY: "no majority", NOT_PLANNED: "not planned", NOT_RUN: "not run", NO_VERDICT: "none judged",
    NO_NUMBER: "never fitted, or no value",
}  # fmt: skip
"""The same for cells without a verdict or a number."""
LINES = 3
"""So many lines of counts fit beneath the main word of a cell."""
SHORT = {kind.name: kind.short for kind in KINDS if kind.short}
MIXED = "mixed"
PALEST, STRONGEST = 0.06, 0.45
"""Opacity of the least and the largest value: the text of a cell stays legible on both, in light and in dark."""
TINT = 0.24
"""Opacity of a verdict's color."""


@dataclass(frozen=True)
class CellWords:
    """One cell of one map."""

    main: str
    """Verdict, median, or why there is none."""
    code: str
    """The same where there is no room."""
    sub: str = ""
    """Counts, or the range over runs."""
    mark: str = ""
    """How many of the planned runs are judged, where it is too few; failed runs."""
    role: str = ""
    """Color in the palette; none for an empty cell."""
    strength: float = 0.0
    """Opacity of the color."""
    hatched: bool = False
    """Whether the median lies beyond the end of the runs."""
    shares: tuple[tuple[str, float], ...] = ()
    """Role of each verdict's color, and its share of the judged runs."""
    said: str = ""
    """All of it in a sentence, for whoever does not see the figure."""


def maps_of(diagram: PhaseDiagram) -> list[Map]:
    """The maps that a diagram has something for, in the page's order."""
    shown: list[Map] = ["verdicts", diagram.time, "best", "end"]
    return [*shown, "value"] if diagram.value else shown


def map_title(diagram: PhaseDiagram, what: Map, unit: str = "step") -> str:
    """What a map shows; `unit` is that of the runs' times."""
    if what == "best":
        stamp = f", {oracle_label(diagram.split)}" if is_reported(diagram.split) else ""
        return f"Best score on {diagram.split or 'held-out'}{stamp}"
    if what == "end":
        return f"Score at the end on {diagram.split or 'held-out'}"
    if what == "value":
        return diagram.value[:1].upper() + diagram.value[1:]
    times = {"delay": f"Median delay, T_gen − T_fit, in {unit}s", "T_gen": f"Median T_gen, in {unit}s"}
    return times.get(what, "Verdicts")


def words_of(diagram: PhaseDiagram, what: Map, panel: str | None) -> list[CellWords]:
    """The cells of a panel, rows after rows, shaded on one scale over all panels."""
    if what == "verdicts":
        return [_verdict_words(diagram, cell) for cell in diagram.of_panel(panel)]
    if what in ("delay", "T_gen"):
        strength = _scale([t.at_least for cell in diagram.cells if (t := getattr(cell, what)) and not t.censored], log)
        return [_time_words(diagram, cell, getattr(cell, what), what, strength) for cell in diagram.of_panel(panel)]
    levels = [level.median for cell in diagram.cells if (level := getattr(cell, what)) is not None]
    strength = _scale([*levels, *(() if what == "value" else (0.0, 1.0))])
    return [_level_words(diagram, cell, getattr(cell, what), what, strength) for cell in diagram.of_panel(panel)]


def sample_of(diagram: PhaseDiagram, what: Map, panel: str | None) -> str:
    """How many runs a map shows, and what stands beside their medians."""
    cells = [cell for cell in diagram.of_panel(panel) if cell.planned]
    judged = sorted({cell.judged for cell in cells})
    each = f"{judged[0]}" if len(judged) == 1 else f"{min(judged, default=0)} to {max(judged, default=0)}"
    runs = f"{each} judged {'run' if judged == [1] else 'runs'} in each of {plural(len(cells), 'cell')}"
    beside = "shares of the runs" if what == "verdicts" else "median with the range over runs"
    return f"{runs}; {beside}"


def map_rows(diagram: PhaseDiagram, what: Map, panel: str | None) -> list[dict[str, Scalar]]:
    """The numbers of one map, a row for each of its cells: its settings, its runs, and what the map shows of them."""
    numbers = [name for name in ("T_fit", "T_gen", "delay", "best", "end", "value") if name != what]
    rows = [row for row, cell in zip(diagram.rows(), diagram.cells, strict=True) if cell.panel == panel]
    return [{k: v for k, v in row.items() if not k.startswith(tuple(f"{n} " for n in numbers))} for row in rows]


def mark_of(diagram: PhaseDiagram, cell: PhaseCell) -> str:
    """``2 of 3 judged, 1 failed``; nothing for a cell that has what it needs."""
    if not cell.planned:
        return ""
    needed = max(cell.planned, diagram.fewest)
    parts = [f"{cell.judged} of {needed} judged"] if cell.lacks_runs else []
    return ", ".join([*parts, *([f"{cell.failed} failed"] if cell.failed else [])])


def _place(diagram: PhaseDiagram, cell: PhaseCell) -> str:
    panel = "" if diagram.panels is None else f"{diagram.panels.name} {cell.panel}, "
    return f"{panel}{diagram.x.name} {cell.x}, {diagram.y.name} {cell.y}"


def _empty(diagram: PhaseDiagram, cell: PhaseCell, what: str = "") -> CellWords:
    """A cell without a judged run, or without the number that a map shows."""
    if not cell.planned:
        main, code = "not planned", NOT_PLANNED
    elif cell.judged:
        main, code = what, NO_NUMBER
    elif cell.waiting == cell.planned:
        main, code = "not run", NOT_RUN
    else:
        main, code = "no verdict", NO_VERDICT
    mark = f"{cell.planned} planned" if main == "not run" else mark_of(diagram, cell)
    return CellWords(main, code, mark=mark, said=f"{_place(diagram, cell)}: {main}{_more(mark)}")


def _more(*parts: str) -> str:
    return "".join(f" ({part})" for part in parts if part)


# -- verdicts ---------------------------------------------------------------------------------------------------------


def _verdict_words(diagram: PhaseDiagram, cell: PhaseCell) -> CellWords:
    if not cell.judged:
        return _empty(diagram, cell)
    mark = mark_of(diagram, cell)
    main, code, role = _of_verdict(cell.majority)
    counts = [f"{count} {name}" for name, count in cell.verdicts.items()]
    return CellWords(
        main,
        code,
        _counted(cell, cell.majority),
        mark,
        role,
        TINT,
        shares=tuple((word(name).role, cell.share(name)) for name in cell.classes),
        said=f"{_place(diagram, cell)}: {main}, {listed(counts)}{_more(mark)}",
    )


def _of_verdict(majority: str | None) -> tuple[str, str, str]:
    """(main word, code, color role) of the verdict that most runs have."""
    if majority is None:
        return MIXED, NO_MAJORITY, "none"
    return SHORT.get(majority, majority), CODES.get(majority, majority[:2]), word(majority).role


def _counted(cell: PhaseCell, majority: str | None) -> str:
    """``3 of 3``, ``2 of 3; 1 memorized``; with the majority's qualifier where all of it has the same."""
    counts = [f"{count} {SHORT.get(name, name)}" for name, count in cell.classes.items() if name != majority]
    if majority is not None:
        counts = [_of_majority(cell, majority), *counts]
    if len(counts) > LINES:
        counts = [*counts[: LINES - 1], f"{len(counts) - LINES + 1} other verdicts"]
    return "\n".join(counts)


def _of_majority(cell: PhaseCell, majority: str) -> str:
    qualified = [name for name in cell.verdicts if name.partition(" (")[0] == majority]
    qualifier = qualified[0].partition(" (")[2].rstrip(")") if len(qualified) == 1 else ""
    return f"{f'{qualifier}, ' if qualifier else ''}{cell.classes[majority]} of {cell.judged}"


# -- times and levels -------------------------------------------------------------------------------------------------


def _time_words(
    diagram: PhaseDiagram, cell: PhaseCell, time: CellTime | None, what: str, strength: Callable[[float], float]
) -> CellWords:
    if time is None:
        return _empty(diagram, cell, "never fitted")
    mark, main, code = mark_of(diagram, cell), steps_or_more(time.at_least, time.censored), _code(time)
    role, opacity = ("", 0.0) if time.censored else ("group-1", strength(time.at_least))
    spread = range_of(time)
    reached = f"{time.reached} of {time.runs} by the end" if time.high_open else ""
    unfitted = f"{cell.unfitted} never fitted" if what == "delay" and cell.unfitted else ""
    return CellWords(
        main,
        code,
        "\n".join(part for part in (spread, reached, unfitted) if part),
        mark,
        role,
        opacity,
        time.censored,
        said=f"{_place(diagram, cell)}: {main}{_more(spread, reached, unfitted, mark)}",
    )


def _code(time: CellTime) -> str:
    """Its median where there is no room: ``1.23k``, ``>1.23k``."""
    code = short(float(f"{time.at_least:.3g}"))
    return f">{code}" if time.censored else code


def range_of(time: CellTime) -> str:
    """``275 to 400``, ``300 to > 1,475``; empty where all runs are alike."""
    if time.low == time.high and not (time.high_open and time.reached):
        return ""
    return f"{steps(time.low)} to {steps_or_more(time.high, time.high_open)}"


def _level_words(
    diagram: PhaseDiagram, cell: PhaseCell, level: CellLevel | None, what: str, strength: Callable[[float], float]
) -> CellWords:
    if level is None:
        return _empty(diagram, cell, "no value")
    mark = mark_of(diagram, cell)
    shown = number if what == "value" else score
    main, low, high = shown(level.median), shown(level.low), shown(level.high)
    spread = "" if low == high else f"{low} to {high}"
    lacking = f"of {level.runs} of {cell.judged} runs" if level.runs < cell.judged else ""
    return CellWords(
        main,
        f"{level.median:.3g}" if what == "value" else f"{level.median:.2f}",
        "\n".join(part for part in (spread, lacking) if part),
        mark,
        "group-3",
        strength(level.median),
        said=f"{_place(diagram, cell)}: {main}{_more(spread, lacking, mark)}",
    )


def _scale(values: Sequence[float], place: Callable[[float], float] = float) -> Callable[[float], float]:
    """Opacity from the least value to the largest one; on the logarithm only where all of them are positive."""
    where = place if min(values, default=0.0) > 0 else float
    low, high = where(min(values, default=0.0)), where(max(values, default=1.0))

    def strength(value: float) -> float:
        if high == low:
            return PALEST
        return PALEST + (STRONGEST - PALEST) * (where(value) - low) / (high - low)

    return strength
