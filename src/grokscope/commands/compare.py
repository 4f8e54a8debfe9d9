"""compare: two runs, arms, studies or logs side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.logs import NO_LOG, LogOptions, as_options, criteria_of
from grokscope.commands.output import Result, print_table
from grokscope.config import require
from grokscope.results.comparison import Comparison, NumberRow, SplitComparison, WordRow
from grokscope.vocabulary.text import listed, number, plural

if TYPE_CHECKING:
    from rich.console import Console

MOST_RUNS = 12
"""Maximum number of runs that are listed individually."""
MOST_ARMS = 3
"""Maximum number of pairs of arms with printed tables; larger comparisons are only on the page and in JSON."""


@dataclass
class Shown(Result):
    """The comparison, and the path of its page."""

    comparison: Comparison
    page: Path | None = None

    def data(self) -> Any:
        page = {} if self.page is None else {"page": str(self.page)}
        return {**self.comparison.to_dict(), **page}

    def show(self, console: "Console") -> None:
        c = self.comparison
        for letter, side in zip("AB", c.sides, strict=True):
            console.print(f"{letter}: {side.name} ({side.source})", style="bold")
        for sentence in c.says:
            console.print(sentence)
        _show_settings(console, c)
        _show_tests(console, c)
        for s in _few_arms(console, c):
            _show_split(console, c, s)
        _show_rows(console, "dissection", c.dissection, c)
        _show_words(console, "dissection", c.dissection_words, c)
        _say(console, c.dissection_note)
        _show_words(console, "mechanism", c.mechanisms, c)
        _say(console, f"mechanisms: {c.mechanisms_note}" if c.mechanisms_note else "")
        _show_curves(console, c)
        _show_runs(console, c)
        if self.page is not None:
            console.print(str(self.page.resolve()))


def compare(
    places: Sequence[str],
    /,
    *,
    html: Path | None = None,
    split: str | None = None,
    names: tuple[str, ...] = (),
    root: Path = Path("runs"),
    group: str | None = None,
    mechanisms: bool = False,
    steps_per_unit: float | None = None,
    log: LogOptions = NO_LOG,
    overrides: Mapping[str, Any] | None = None,
) -> Shown:
    """Compare two runs, two arms of a study, two studies, or external logs, in any combination.

    ``grokscope compare runs/A runs/B``; ``grokscope compare 'runs/a_*' 'runs/b_*'``; ``grokscope compare
    STUDY.toml::'decay 0.1' STUDY.toml::'decay 0.5'``. A study or folder with exactly two arms can be given alone. For
    logs, name the columns as for `verdict`. Every difference is the first side minus the second. ``--criteria.fit
    0.98`` and similar options set thresholds.

    Args:
        places: One or two of: a run folder, a folder of runs or logs, a quoted pattern, a study file or the name of a
            shipped study, a log. Append ::ARM to select one arm.
        html: Also write one self-contained page to this file.
        split: The held-out split shown first.
        names: Names of the two sides.
        root: Folder that holds the runs of studies.
        group: Regular expression for the names of logs: the named group seed distinguishes the runs of one arm; the
            other named groups identify the arm.
        mechanisms: Run the mechanism checks for any number of runs; by default they are run for up to 60.
        steps_per_unit: Optimizer steps per unit of a log's step column (steps per epoch for a log in epochs).
        log: Columns and format of external logs.

    Raises:
        ValueError: if there are not two sides, an argument is neither a run nor a study nor a log, one run is on both
            sides, the sides share no held-out split, a column is missing (with the closest name), or an arm is unknown.
    """
    from grokscope.comparison import Options, compare_sides, two_sides

    require(len(places) > 0, "compare needs two sides, or one study or folder with two arms")
    if len(places) > 2:
        raise ValueError(
            f"compare takes two sides, but {len(places):,} were given: quote a pattern for one side ('runs/a_*'), or "
            f"put "
            "all arms on one page with grokscope report"
        )
    options = Options(root, group, log.arguments(), steps_per_unit)
    first, second = (*places, None)[:2]
    try:
        sides = two_sides(first, second, options, names or None)
        wanted = True if mechanisms else None
        criteria = criteria_of(overrides or {})
        compared = compare_sides(*sides, split=split, criteria=criteria, mechanisms=wanted, curves=html is not None)
    except ValueError as error:
        raise ValueError(as_options(str(error))) from None
    if html is None:
        return Shown(compared.record)
    from grokscope.comparison.page import write_page

    return Shown(compared.record, write_page(compared, html))


# -- what is printed --------------------------------------------------------------------------------------------------


def _say(console: "Console", words: str) -> None:
    if words:
        console.print(words)


def _show_settings(console: "Console", c: Comparison) -> None:
    from grokscope.comparison.words import setting_words

    console.print("")
    if c.settings:
        rows = [[s.key, setting_words(s.a), setting_words(s.b)] for s in c.settings]
        print_table(console, ["config", "A", "B"], rows)
    elif not c.settings_note:
        console.print("config: no difference")
    _say(console, f"config: {c.settings_note}" if c.settings_note else "")
    if c.data:
        print_table(console, ["data", "examples", ""], [[f"data.{d.split}", d.word, d.says] for d in c.data])


def _show_tests(console: "Console", c: Comparison) -> None:
    from grokscope.comparison.sentences import test_cells

    console.print("")
    if c.tests_note:
        console.print(f"tests: {c.tests_note}")
        return
    rows = [[t.name, *test_cells(t)] for t in c.tests]
    print_table(console, ["test (exploratory)", "effect, A against B", "p", "seeds needed"], rows)
    tested = [t for t in c.tests if t.test is not None]
    notes: dict[str, list[str]] = {}
    for t in tested:
        for note in t.notes:
            notes.setdefault(note, []).append(t.name)
    for note, of in notes.items():
        of_some = f", {listed(of)}" if len(of) < len(tested) else ""
        console.print(f"note{of_some}: {note}")


def _few_arms(console: "Console", c: Comparison) -> Sequence[SplitComparison]:
    pairs = dict.fromkeys(s.arms for s in c.splits)
    if len(pairs) > MOST_ARMS:
        console.print(f"{plural(len(pairs), 'pair')} of arms: their tables are on the page (--html) and in --json")
        return ()
    return c.splits


def _show_split(console: "Console", c: Comparison, s: SplitComparison) -> None:
    from grokscope.comparison.sentences import difference_words, range_words, side_words
    from grokscope.comparison.words import tally

    console.print("")
    arm = f"{s.arms[0]}, " if len({t.arms for t in c.splits}) > 1 else ""
    rows = [["verdict", tally(s.verdicts.a), "", tally(s.verdicts.b), "", "", ""]]
    for row in (*s.milestones, *s.phases, *s.levels):
        if row.a.n or row.b.n:
            difference = difference_words(row) or row.note
            ranges = [side_words(row.a), range_words(row.a), side_words(row.b), range_words(row.b)]
            rows.append([_called(row), *ranges, difference])
    header = [f"{arm}{s.split}", "A", "A from to", "B", "B from to", "A minus B"]
    print_table(console, header, [row[:6] for row in rows])


def _called(row: NumberRow) -> str:
    stamp = f", {row.note}" if row.note.startswith("oracle") else ""
    return f"{row.name}{stamp} [{row.unit}]"


def _show_rows(console: "Console", what: str, rows: Sequence[NumberRow], c: Comparison) -> None:
    """Show numbers that differ, and one line for those that agree."""
    from grokscope.comparison.sentences import agrees, difference_words, side_words

    other = [row for row in rows if not agrees(row)]
    if other:
        console.print("")
        body = [[_called(row), side_words(row.a), side_words(row.b), difference_words(row)] for row in other]
        print_table(console, [what, "A", "B", "A minus B"], body)
    _say_alike(console, what, [row.name for row in rows if agrees(row)], "number")


def _show_words(console: "Console", what: str, rows: Sequence[WordRow], c: Comparison) -> None:
    from grokscope.comparison.words import tally

    other = [row for row in rows if row.differs]
    if other:
        console.print("")
        print_table(console, [what, "A", "B"], [[row.name, tally(row.a), tally(row.b)] for row in other])
    _say_alike(
        console, what, [row.name for row in rows if not row.differs], "check" if what == "mechanism" else "conclusion"
    )


def _say_alike(console: "Console", what: str, names: Sequence[str], noun: str) -> None:
    if names:
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        console.print(f"{what}: no difference in {plural(len(names), noun)} ({listed(names[:6])}{more})")


def _show_curves(console: "Console", c: Comparison) -> None:
    """Show where the curves differ most."""
    from grokscope.comparison.sentences import furthest

    if c.curves:
        console.print("")
        print_table(console, ["curve, A minus B", "at the end", "largest difference", "at", "pairs"],
                    [furthest(curve, c) for curve in c.curves])  # fmt: skip
    _say(console, f"curves: {c.curves_note}" if c.curves_note else "")


def _show_runs(console: "Console", c: Comparison) -> None:
    """Show every run if there are few, otherwise only those without a result."""
    every = [(letter, run) for letter, side in zip("AB", c.sides, strict=True) for run in side.runs]
    few = len(every) <= MOST_RUNS
    rows = [
        [letter, "" if r.seed is None else str(r.seed), r.state, number(r.step), r.verdict or "", r.run, r.reason]
        for letter, r in every
        if few or r.state != "done"
    ]
    if rows:
        console.print("")
        print_table(console, ["side", "seed", "state", "step", "verdict", "run", "reason"], rows)
