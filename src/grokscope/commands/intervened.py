"""What `train`, `branch` and `show` say alike of a run: where it began, interventions, which weights it kept."""

from typing import TYPE_CHECKING

from grokscope.store import Run
from grokscope.store.intervened import intervention_line, interventions_of
from grokscope.vocabulary.text import plural

if TYPE_CHECKING:
    from rich.console import Console


def print_interventions(console: "Console", run: Run) -> None:
    """A line for each: when it began and ended, what it referred to, or why it never began."""
    record = interventions_of(run)
    for entry in record.get("interventions", []):
        console.print(f"intervention {intervention_line(entry, record.get('T_fit'))}")


def lineage_line(run: Run) -> str:
    """Which run a branched one left, where, and with what; empty for others."""
    lineage = run.record.get("lineage") or {}
    if "step" not in lineage or "run" not in lineage:
        return ""
    if lineage.get("exact"):
        return (
            f"forked exactly from {lineage['run']} at step {lineage['step']:,}: up to there its rows, and milestones "
            "within them, are that run's"
        )
    return f"branched from {lineage['run']} at step {lineage['step']:,}, by its weights alone: steps count from 0"


def checkpoints_line(run: Run) -> str:
    """``2 kept checkpoints and the final weights in runs/NAME/checkpoints``; the final ones have no step."""
    folder = run.path / "checkpoints"
    final = " and the final weights" if (folder / "final.safetensors").is_file() else ""
    return f"{plural(len(run.checkpoints()), 'kept checkpoint')}{final} in {folder}"
