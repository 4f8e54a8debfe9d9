"""Read back a run that grokscope exported: nothing is guessed, and every evaluation is bit-identical."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grokscope import configio
from grokscope.archive.fields import Row
from grokscope.archive.layout import METRICS
from grokscope.archive.published import Parsed, status_of
from grokscope.config import Budget, Cadence
from grokscope.files import plain_file
from grokscope.store.metrics import read_rows
from grokscope.store.run import SCHEMA

OWN = "own"
"""Task of runs that another training loop recorded (`grokscope.recorder`): their config is what their author kept."""
ENDED = ("done", "diverged", "failed", "interrupted")


def parse_own(record: Mapping[str, Any], folder: Path, history: list[Row] | None) -> Parsed:
    """From the entry ``grokscope`` of its config.json and its metrics.

    Raises:
        ValueError: a newer schema, a config that cannot be read here (a plug-in's task, say), facts that are none.
    """
    schema = record.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        raise ValueError(f"exported by a newer grokscope (schema {schema} > {SCHEMA}); upgrade to import it")
    config, cadence, budget = _config(record.get("config"), schema)
    facts = record.get("facts")
    if not isinstance(facts, dict) or not isinstance(facts.get("splits"), dict) or "steps_per_epoch" not in facts:
        raise ValueError("grokscope.facts: missing or damaged")
    status = _table(record.get("status"))
    total = _whole(status.get("step"), 0)
    if budget:
        total = budget.in_steps(facts["steps_per_epoch"])
    parsed = Parsed(
        config=config,
        front=_front(str(record.get("id", "")), config),
        cadence=cadence,
        passed=[str(k) for k in record.get("passed") or ()],
        facts=dict(facts),
        provenance=dict(record.get("provenance") or {}),
        rows=None,
        last_epoch=total / facts["steps_per_epoch"],
    )
    _read_rows(parsed, folder, history)
    _read_status(parsed, status, total)
    return parsed


def _config(raw: Any, schema: int) -> tuple[dict[str, Any], Cadence | None, Budget | None]:
    """(resolved config, checkpoint cadence, budget); the latter two only of runs that grokscope trained itself."""
    if not isinstance(raw, dict):
        raise ValueError("grokscope.config: missing or damaged")
    task, regime = raw.get("task"), raw.get("regime")
    if isinstance(task, dict) and (task.get("name") == OWN or isinstance(raw.get("own"), dict)):
        named = isinstance(task.get("name"), str) and isinstance(regime, dict) and isinstance(regime.get("name"), str)
        if not named or not isinstance(raw.get("seed"), int | None):
            raise ValueError("grokscope.config: no regime.name or no seed")
        return raw, None, None
    config = configio.load_run({**raw, "schema": schema})
    return configio.dump(config), config.checkpoint, config.budget


def _front(run_id: str, config: Mapping[str, Any]) -> str:
    """A run's id without its hash, where that can be a folder's name."""
    front = run_id.rpartition("-")[0] if re.fullmatch(r".*-[0-9a-f]{8}", run_id) else run_id
    if re.fullmatch(r"\w[\w.-]*", front):
        return front
    return f"{config['task']['name']}_s{config['seed']}"


def _read_rows(parsed: Parsed, folder: Path, history: list[Row] | None) -> None:
    path = folder / METRICS
    if path.is_file():
        try:
            parsed.rows = read_rows(plain_file(folder, METRICS))
        except ValueError as error:
            parsed.problems.append(f"{METRICS}: {str(error).removeprefix(f'{path}, ')}")
    else:
        parsed.problems.append(f"{METRICS}: missing: only the rows of history.json were imported")
    if parsed.rows is None and history and all(isinstance(row.get("step"), int) for row in history):
        parsed.rows = history


def _read_status(parsed: Parsed, status: Mapping[str, Any], total: int) -> None:
    """As it was when exported; a run that was still training is interrupted here."""
    last = parsed.rows[-1]["step"] if parsed.rows else 0
    state = status.get("state") if status.get("state") in ENDED else "interrupted"
    error = _table(status.get("error")) or None
    step = _whole(status.get("step"), last)
    parsed.status = status_of(str(state), step, max(total, step), error)


def _table(raw: Any) -> dict[str, Any]:
    """What stands in a foreign file as a table; empty where something else does."""
    return raw if isinstance(raw, dict) else {}


def _whole(raw: Any, default: int) -> int:
    return raw if isinstance(raw, int) else default
