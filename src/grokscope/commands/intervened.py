"""Where a run began and how it was intervened in, as `train`, `branch` and `show` print them."""

from typing import TYPE_CHECKING

from grokscope.store import Run
from grokscope.store.intervened import intervention_line, interventions_of

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
