"""repair: put an erasure into a trained network, keep it as a file, and see what it does to the answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.output import Result, print_table
from grokscope.config import require
from grokscope.results.dissection import FOLDER
from grokscope.store import open_run

if TYPE_CHECKING:
    from rich.console import Console

    from grokscope.dissect.repair import Change


@dataclass
class Repaired(Result):
    """Accuracy before and after, by set of examples, and where the edit is kept."""

    changes: "tuple[Change, ...]"
    kind: str
    site: str
    strength: float
    file: Path
    selection: str
    """By which rule the checkpoint was chosen; an oracle's is its stamp."""

    def data(self) -> Any:
        edit = {"kind": self.kind, "site": self.site, "strength": self.strength, "file": str(self.file)}
        return {
            "chosen": self.selection,
            "intervention": edit,
            "changes": [change.to_dict() for change in self.changes],
        }

    def show(self, console: "Console") -> None:
        header = ("examples", "n", "before", "after", "gain", "95 % interval")
        print_table(console, header, [_cells(change) for change in self.changes])
        console.print(f"checkpoint  {self.selection}", markup=False)
        console.print(f"{self.kind} at {self.site!r}, strength {self.strength:g}: {self.file}", markup=False)


def _cells(change: "Change") -> list[str]:
    bounds = "-" if change.interval is None else f"{change.interval[0]:+.3f} to {change.interval[1]:+.3f}"
    return [change.on, f"{change.n:,}", f"{change.before:.3f}", f"{change.after:.3f}", f"{change.gain:+.3f}", bounds]


def repair(
    run: Path,
    /,
    *,
    checkpoint: str = "final",
    intervention: Path | None = None,
    eraser: str | None = None,
    strength: float = 1.0,
    seed: int = 0,
    out: Path | None = None,
) -> Repaired:
    """Erase the environment from what a trained network's last layer reads, and measure what becomes of its answers.

    The erasure is fitted on the fit part of the held-out patients, kept as a file, and measured on their test part and
    in the unseen environments; no weight changes. Whether the network used the environment is what `grokscope dissect`
    tells; an erasure in too few patients takes away more than the environment.

    Args:
        run: A run folder with checkpoints.
        checkpoint: final, step=<n>, peak_ood_val, peak_id_val, or oracle (chosen on ood_test).
        intervention: A stored edit (TOML or JSON) to apply instead of fitting one: an erasure, a step of steering, or
            an ablation of neurons.
        eraser: Which erasure to fit; by default the one that a dissection decides by.
        strength: 1 is the full edit, 0 none; it multiplies that of a stored one.
        seed: Seed of the parts, as in dissect.
        out: Where to keep the edit; by default mechinterp/repair.toml in the run.
    """
    from grokscope.dissect.intervention import save
    from grokscope.dissect.repair import repair_run
    from grokscope.results.settings import Settings

    require(
        intervention is None or eraser is None, "--eraser fits an edit and --intervention names one: give one of them"
    )
    opened = open_run(run)
    edit, changes, selection = repair_run(
        opened, checkpoint, edit=intervention, eraser=eraser, strength=strength, settings=Settings(seed=seed)
    )
    file = out or opened.path / FOLDER / "repair.toml"
    if out is not None or intervention is None:
        file.parent.mkdir(parents=True, exist_ok=True)
        save(edit, file)
    kept = file if intervention is None or out else intervention
    return Repaired(changes, edit.kind, edit.site, edit.strength, kept, selection)
