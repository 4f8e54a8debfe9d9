"""Record of a run's interventions: ``results/interventions.json``, written with its status.

It says when each began and ended, what it referred to, and why one never began. Runs without interventions have none.
"""

from collections.abc import Sequence
from typing import Any

from grokscope.files import plain_file, read_json, write_json
from grokscope.fit_rule import fit_rule
from grokscope.store.run import Run
from grokscope.vocabulary.text import number

FILE = "results/interventions.json"
NOT_SETTINGS = ("name", "from", "until", "began", "ended", "state", "referred_to", "why")
"""Keys of an entry that are no parameters of the intervention."""


def write_interventions(run: Run, fitted_at: int | None, kind: str, record: Sequence[dict[str, Any]]) -> None:
    write_json(run.path / FILE, {"T_fit": fitted_at, "fit_rule": fit_rule(kind), "interventions": list(record)})


def interventions_of(run: Run) -> dict[str, Any]:
    """The record of a run: `T_fit` as training knew it, the rule behind it, and an entry for each intervention; empty
    where the run has none. Raises ValueError for a damaged file."""
    path = plain_file(run.path, FILE)
    if not path.exists():
        return {}
    record = read_json(path)
    if not isinstance(record, dict) or not isinstance(record.get("interventions"), list):
        raise ValueError(f"{path}: is not a record of interventions; delete it, and further training writes it again")
    return record


def never_began(run: Run) -> list[dict[str, Any]]:
    """The entries of the interventions that a run ended without."""
    return [e for e in interventions_of(run).get("interventions", []) if e.get("state") == "never began"]


def intervention_line(entry: dict[str, Any], fitted_at: int | None) -> str:
    """One intervention in a line: what, from when to when, and what it referred to."""
    settings = ", ".join(f"{key} {_shown(value)}" for key, value in entry.items() if key not in NOT_SETTINGS)
    head = f"{entry['name']} ({settings})" if settings else str(entry["name"])
    if entry["state"] == "never began":
        return f"{head}: never began, for {entry['why']}"
    if entry["state"] == "waiting":
        return f"{head}: has not begun, from {entry['from']}"
    fit = ""
    if "T_fit" in str(entry["from"]) and fitted_at is not None:
        fit = f" (T_fit = {fitted_at:,})"
    end = f"to step {entry['ended']:,}" if entry["ended"] is not None else "to the end"
    facts = "".join(f"; {key} {_shown(value)}" for key, value in entry["referred_to"].items())
    return f"{head}: after step {entry['began']:,}{fit} {end}{facts}"


def _shown(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    return "none" if value is None else str(value)
