"""The interventions of a run, as `train`, `branch` and `show` print them."""

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
