"""study phase: a study as a map in the terminal."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.output import Result, print_table
from grokscope.results.phase import CellTime, ParetoPoint, Phase, PhaseCell, PhaseDiagram
from grokscope.study import Study
from grokscope.vocabulary.text import number, plural, whole

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class Mapped(Result):
    """A study's phase diagram and Pareto set."""

    phase: Phase

    def data(self) -> Any:
        return self.phase.to_dict()

    def show(self, console: "Console") -> None:
        if self.phase.diagram is None:
            console.print(f"no phase diagram: {self.phase.reason}")
        else:
            _show_diagram(console, self.phase.diagram)
        if self.phase.pareto is None:
            console.print("no Pareto set: it requires two regimes with judged runs, one of which generalized")
            return
        console.print("")
        console.print(f"T_gen against the best score on {self.phase.pareto.split}, by regime", style="bold")
        points = sorted(self.phase.pareto.groups, key=lambda p: (p.censored, p.at))
        print_table(console, ["regime", "runs", "T_gen", "best", "Pareto set"], [_point_line(p) for p in points])
        console.print(
            "not reached: dominates no other regime, and is open unless a regime that reached it by then has as good "
            "a score",
            style="dim",
        )


def phase(
    file: Path, /, *, root: Path = Path("runs"), arms: tuple[str, ...] = (), seeds: tuple[int, ...] = ()
) -> Mapped:
    """Show a study as a phase diagram: verdicts, delays and scores over two settings, with its Pareto set.

    The axes are those of the file's [phase] block, or the only two settings that vary.

    Args:
        file: Study file, or the name of a shipped study.
        root: Folder of the runs.
        arms: Only these arms or regimes.
        seeds: Only these seeds.

    Raises:
        ValueError: for a split or a column that the runs do not have.
    """
    return Mapped(Study.load(file).only(arms, seeds).phase(root))


def _show_diagram(console: "Console", diagram: PhaseDiagram) -> None:
    for panel in diagram.panel_labels():
        title = f"verdicts and {_time_name(diagram)} by {diagram.y.title} and {diagram.x.title}"
        if diagram.panels is not None:
            title += f", {diagram.panels.name} {panel}"
        console.print(title, style="bold")
        lines = [_row_line(diagram, y, panel) for y in reversed(diagram.y.labels)]
        print_table(console, [f"{diagram.y.name} \\ {diagram.x.name}", *diagram.x.labels], lines)
        console.print("")
    heads = [axis.name for axis in (diagram.x, diagram.y, diagram.panels) if axis is not None]
    heads += ["planned", "judged", "verdicts", "T_gen", "delay", "best", "end", *filter(None, [diagram.value])]
    print_table(console, heads, [_cell_line(diagram, cell) for cell in diagram.cells if cell.planned])
    for note in diagram.notes:
        console.print(note)


def _time_name(diagram: PhaseDiagram) -> str:
    if diagram.time == "delay":
        return "median delay"
    return "median T_gen"


def _row_line(diagram: PhaseDiagram, y: str, panel: str | None) -> list[str]:
    return [y, *(_short(diagram, diagram.cell(x, y, panel)) for x in diagram.x.labels)]


def _short(diagram: PhaseDiagram, cell: PhaseCell) -> str:
    """``grokked 2/3, > 1,475``: the majority verdict, its count, the time, and missing runs."""
    if not cell.planned:
        return "not planned"
    if not cell.judged:
        return f"none of {cell.planned} judged"
    verdicts = f"mixed of {cell.judged}"
    if cell.majority is not None:
        verdicts = f"{cell.majority} {cell.classes[cell.majority]}/{cell.judged}"
    time = cell.delay if diagram.time == "delay" else cell.T_gen
    words = f"{verdicts}, {_time(time)}"
    if cell.lacks_runs:
        words += f" ({cell.judged} of {max(cell.planned, diagram.fewest)} judged)"
    return words


def _time(time: CellTime | None) -> str:
    if time is None:
        return "never fitted"
    return _at_least(time.at_least, time.censored)


def _at_least(at: float, censored: bool) -> str:
    return f"> {whole(at)}" if censored else whole(at)


def _cell_line(diagram: PhaseDiagram, cell: PhaseCell) -> list[str]:
    places = [place for place in (cell.x, cell.y, cell.panel) if place is not None]
    verdicts = [f"{count} {name}" for name, count in cell.verdicts.items()]
    lost = [plural(count, word, word) for count, word in ((cell.failed, "failed"), (cell.waiting, "waiting"),
            (cell.unjudged, "not classifiable")) if count]  # fmt: skip
    times = ["", ""]
    if cell.judged:
        times = [_time(cell.T_gen), _time(cell.delay)]
    levels = [cell.best, cell.end]
    if diagram.value:
        levels.append(cell.value)
    return [
        *places, str(cell.planned), str(cell.judged), ", ".join([*verdicts, *lost]), *times,
        *("" if level is None else number(level.median) for level in levels),
    ]  # fmt: skip


def _point_line(point: ParetoPoint) -> list[str]:
    standing = {"front": "yes", "open": "open", "dominated": ""}[point.standing]
    return [point.name, str(point.runs), _at_least(point.at, point.censored), number(point.best), standing]
