"""Output shared by `train`, `branch` and `show`: the origin of a run, its interventions and its checkpoints."""

from typing import TYPE_CHECKING

from grokscope.store import Run
from grokscope.store.intervened import intervention_line, interventions_of
from grokscope.vocabulary.text import plural

if TYPE_CHECKING:
    from rich.console import Console


def print_interventions(console: "Console", run: Run) -> None:
    """One line per intervention: when it began and ended, its reference value, or why it never began."""
    record = interventions_of(run)
    for entry in record.get("interventions", []):
        console.print(f"intervention {intervention_line(entry, record.get('T_fit'))}")


def lineage_line(run: Run) -> str:
    """The parent of a branched run, the step, and what was copied; empty for other runs."""
    lineage = run.record.get("lineage") or {}
    if "step" not in lineage or "run" not in lineage:
        return ""
    if lineage.get("exact"):
        return (
            f"exact fork of {lineage['run']} at step {lineage['step']:,}: rows and milestones up to this step belong "
            f"to "
            "that run"
        )
    return f"branched from the weights of {lineage['run']} at step {lineage['step']:,}; steps count from 0"


def checkpoints_line(run: Run) -> str:
    """``2 kept checkpoints and the final weights in runs/NAME/checkpoints``; the final ones have no step."""
    folder = run.path / "checkpoints"
    final = ""
    if (folder / "final.safetensors").is_file():
        final = " and the final weights"
    return f"{plural(len(run.checkpoints()), 'kept checkpoint')}{final} in {folder}"
