"""study size: the effective training-set size of an arm, compared with another arm."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.output import Result, print_table
from grokscope.config import require
from grokscope.results.effective_size import EffectiveSize, EffectiveSizes, SizeCell, SizeComparison
from grokscope.study import Study
from grokscope.vocabulary.text import number, whole

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class Sizes(Result):
    """The results of every ``[[effective_size]]`` block."""

    sizes: EffectiveSizes

    @property
    def exit_code(self) -> int:
        """1 while runs are missing."""
        return int(any(c.unfinished for c in self.sizes.comparisons))

    def data(self) -> Any:
        return self.sizes.to_dict()

    def show(self, console: "Console") -> None:
        for i, comparison in enumerate(self.sizes.comparisons):
            if i:
                console.print("")
            _show(console, comparison)


def _show(console: "Console", c: SizeComparison) -> None:
    for answer in c.answers:
        console.print(answer.says)
    cells = [(c.plain, cell) for cell in c.plain_cells] + [(c.other, cell) for cell in c.other_cells]
    if cells:
        console.print("")
        print_table(console, ["arm", "n_train", "seeds", "mean", "fit", "values"], [_cell(*cell) for cell in cells])
    known = [a for a in c.answers if a.method]
    if known:
        console.print("")
        heads = ["n_train", "effective size", "ratio", "interval", "level", "paired"]
        print_table(console, heads, [_answer(a) for a in known])
        for method in dict.fromkeys(a.method for a in known):
            console.print(method)
    for note in c.notes:
        console.print(note)


def _cell(arm: str, cell: SizeCell) -> list[str]:
    fit = "" if cell.fit is None else number(cell.fit)
    values = " ".join(map(number, cell.values))
    return [arm, f"{cell.n:,}", str(len(cell.seeds)), number(cell.mean), fit, values]


def _answer(a: EffectiveSize) -> list[str]:
    size = {"": "", "<": "smaller than all", ">": "larger than all"}[a.sign]
    times = ""
    if a.size is not None:
        size, times = whole(round(a.size)), f"{a.size / a.n:.2g}"
    return [f"{a.n:,}", size, times, a.between, f"{100 * a.level:.4g} %", "by seed" if a.paired else "no"]


def study_size(
    file: Path, /, *, root: Path = Path("runs"), arms: tuple[str, ...] = (), seeds: tuple[int, ...] = ()
) -> Sizes:
    """Estimate the effective training-set size of one arm compared with another, from [[effective_size]] blocks.

    The estimate is read off a monotone fit over the sizes that were run. Its interval consists of sizes that were run,
    from a test over seeds at each. The exit code is 1 while runs are missing.

    Args:
        file: Study file, or the name of a shipped study.
        root: Folder of the runs.
        arms: Only these arms or regimes.
        seeds: Only these seeds.

    Raises:
        ValueError: if the study has no such block, or the selected part lacks an arm.
    """
    study = Study.load(file).only(arms, seeds)
    require(bool(study.sizes), f"{file} has no [[effective_size]] block, so there is nothing to estimate")
    sizes = study.effective_sizes(root)
    require(bool(sizes.comparisons), "no block has runs of both arms and two sizes of the plain arm")
    return Sizes(sizes)
