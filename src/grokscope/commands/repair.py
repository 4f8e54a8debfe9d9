"""repair: apply an erasure to a trained network, save it as a file, and measure its effect on accuracy."""

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
    """Accuracy before and after, by set of examples, and the location of the saved edit."""

    changes: "tuple[Change, ...]"
    kind: str
    site: str
    strength: float
    file: Path
    selection: str
    """The rule by which the checkpoint was chosen, which labels an oracle."""

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
    bounds = "-"
    if change.interval is not None:
        bounds = f"{change.interval[0]:+.3f} to {change.interval[1]:+.3f}"
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
    """Erase the environment from the input of a trained network's last layer, and measure the effect on accuracy.

    The erasure is fitted on the fit part of the held-out patients, saved as a file, and measured on their test part and
    in the unseen environments. No weight changes. Whether the network uses the environment is determined by `grokscope
    dissect`. With too few patients, an erasure removes more than the environment.

    Args:
        run: A run folder with checkpoints.
        checkpoint: final, step=<n>, peak_ood_val, peak_id_val, or oracle (chosen on ood_test).
        intervention: A saved edit (TOML or JSON) to apply instead of fitting one: an erasure, a steering step, or an
            ablation of neurons.
        eraser: The erasure to fit; by default the one on which a dissection bases its conclusion.
        strength: 1 is the full edit, 0 none; it multiplies the strength of a saved edit.
        seed: Seed of the parts, as in dissect.
        out: File for the edit; by default mechinterp/repair.toml in the run.
    """
    from grokscope.dissect.intervention import save
    from grokscope.dissect.repair import repair_run
    from grokscope.results.settings import Settings

    require(
        intervention is None or eraser is None,
        "--eraser fits an edit and --intervention loads one; give only one of them",
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
