"""demo: two kinds of grokking, in a minute or two."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.output import Result, states
from grokscope.commands.study import Checked, Ran
from grokscope.execute.protocol import Board
from grokscope.study import Study
from grokscope.vocabulary.text import plural

if TYPE_CHECKING:
    from rich.console import Console

STUDY = "two_routes"


@dataclass
class Demo(Result):
    """The runs of the demo, its check and its report."""

    ran: Ran
    checked: Checked
    report: Path

    @property
    def exit_code(self) -> int:
        return self.ran.exit_code

    def data(self) -> Any:
        return {"run": self.ran.data(), "check": self.checked.data(), "report": str(self.report)}

    def show(self, console: "Console") -> None:
        console.print(f"{plural(len(self.ran.study.entries), 'run')}: {states(self.ran.counts)}")
        self.checked.show(console)
        console.print(str(self.report.resolve()))


def demo(
    *,
    root: Path = Path("runs"),
    out: Path = Path("report.html"),
    workers: int | None = None,
    seeds: tuple[int, ...] = (),
    board: Board | None = None,
) -> Demo:
    """Train fifteen small networks, most of which grok in one of two ways, and write a report.

    The networks learn modular addition and real handwritten digits. The results are compared with the expectations of
    the study. This takes about a minute and a half on two cores. Running it again only rewrites the report, whose path
    is printed.

    Args:
        root: Folder of the runs.
        out: The page to write.
        workers: Number of runs trained at a time; by default one per usable CPU.
        seeds: Only these seeds (0, 1, 2).
    """
    study = Study.load(STUDY).only(seeds=seeds)
    finished = sum(s.finished for s in study.status(root))
    outcomes = study.run(workers, root, board=board)
    remake = f"grokscope demo --root {root} --out {out}"
    return Demo(
        Ran(study, root, outcomes, finished),
        Checked(study, *study.answered(root)),
        study.report(out, root, remake),
    )
