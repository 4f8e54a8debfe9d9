"""Numbers and conclusions of the final checkpoints' dissections, side by side."""

from collections import Counter
from collections.abc import Sequence
from math import isnan
from pathlib import Path

from grokscope.comparison.member import Member
from grokscope.comparison.numbers import of_two_values
from grokscope.comparison.sides import Side
from grokscope.results.answer import Where
from grokscope.results.comparison import NumberRow, WordRow
from grokscope.results.dissection import FOLDER, ProbesFile
from grokscope.study import dissected
from grokscope.vocabulary.text import plural

UNITS = {
    "steer.monotone": "0 or 1", "steer.monotone_random": "share", "steer.trend": "correlation",
    "steer.gain": "share", "steer.slope": "share per step", "neurons.separated": "0 or 1", "neurons.excess": "share",
    "probe.env": "balanced accuracy", "probe.task": "balanced accuracy", "erase.refitted": "balanced accuracy",
}  # fmt: skip
"""Of the numbers in `grokscope.study.dissected.QUANTITIES`, by head."""

Known = tuple[tuple[NumberRow, ...], tuple[WordRow, ...], str]


def dissections(a: Side, b: Side) -> Known:
    """(numbers, conclusions, what is not dissected). Nothing at all where no run of either side is dissected and none
    could be: what is a log has no weights."""
    problems: list[str] = []
    first, second = (_dissected(side.members, problems) for side in (a, b))
    if not first and not second:
        return (), (), ""
    notes = [note for side, done in ((a, first), (b, second)) if (note := _lacking(side, done))]
    if not first or not second:
        return (), (), "; ".join([*notes, *problems])
    values = [_values(done, problems) for done in (first, second)]
    names = [name for name in values[0] if name in values[1]]
    rows = [of_two_values(name, _unit(name), values[0][name], values[1][name]) for name in names]
    others = len(values[0].keys() ^ values[1].keys())
    notes += [f"{plural(others, 'number')} available for only one side omitted"] if others else []
    return tuple(rows), _conclusions(first, second, problems), "; ".join([*notes, *problems])


def _dissected(members: Sequence[Member], problems: list[str]) -> list[Path]:
    """Folders of the runs whose final checkpoint is dissected by today's rules."""
    out = []
    for m in members:
        if m.run is None or not (m.run.path / FOLDER).is_dir():
            continue
        try:
            if dissected.undone(m.run.path) is None:
                out.append(m.run.path)
        except ValueError as error:
            problems.append(str(error))
    return out


def _lacking(side: Side, done: Sequence[Path]) -> str:
    """Which of its runs are not dissected, and what does it."""
    left = [m.run.path for m in side.members if m.run is not None and m.finished and m.run.path not in done]
    if not left:
        if done:
            return ""
        return f"{side.name}: nothing to dissect"
    return (
        f"{side.name}: {len(left):,} of {plural(len(side.members), 'run')} not dissected (grokscope dissect {left[0]})"
    )


def _values(folders: Sequence[Path], problems: list[str]) -> dict[str, list[float]]:
    """Name -> the number of each run that has it."""
    out: dict[str, list[float]] = {}
    for folder in folders:
        try:
            numbers = {
                name: dissected.value(folder, dissected.parse(name, folder.name))
                for name in dissected.available(folder)
            }
        except ValueError as error:
            problems.append(str(error))
            continue
        for name, value in numbers.items():
            if not isnan(value):
                out.setdefault(name, []).append(value)
    return out


def _unit(name: str) -> str:
    head = ".".join(name.partition("@")[0].split(".")[:2])
    return UNITS.get(head, "")


def _conclusions(a: Sequence[Path], b: Sequence[Path], problems: list[str]) -> tuple[WordRow, ...]:
    first, second = ([w for f in folders if (w := _where(f, problems)) is not None] for folders in (a, b))
    rows = [
        WordRow(name=name, a=_counted([of(w) for w in first]), b=_counted([of(w) for w in second]))
        for name, of in (("answer", lambda w: w.cell), ("form", lambda w: w.form), ("eraser", lambda w: w.eraser))
    ]
    return tuple(rows)


def _where(folder: Path, problems: list[str]) -> Where | None:
    try:
        return ProbesFile.read(folder / FOLDER / "m1.json").where
    except ValueError as error:
        problems.append(str(error))
        return None


def _counted(words: Sequence[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())
