"""The form of a run's small files. Whoever reads them further on may rely on it, whoever wrote them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grokscope.config import require


def checked_record(record: Any, path: Path) -> dict[str, Any]:
    """A run's config.json, whose tables are tables. Raises ValueError naming the file and the key that is not."""
    _require_table(record, path, "$")
    for key in ("config", "facts", "provenance", "lineage"):
        _require_table(record.get(key) or {}, path, f"$.{key}")
    config, facts = record["config"], record.get("facts") or {}
    for key in ("task", "model", "regime"):
        table = config.get(key, {})
        _require_table(table, path, f"$.config.{key}")
        name = table.get("name", "")
        require(isinstance(name, str), f"{path}: $.config.{key}.name: expected text, got {name!r}")
    _require_table(facts.get("splits") or {}, path, "$.facts.splits")
    for name, fact in (facts.get("splits") or {}).items():
        _require_table(fact, path, f"$.facts.splits.{name}")
        for key, value in fact.items():
            right = value is None or isinstance(value, int | float)
            require(right, f"{path}: $.facts.splits.{name}.{key}: expected a number, got {value!r}")
    for key in ("steps_per_epoch", "parameters", "threshold"):
        value = facts.get(key, 1)
        require(isinstance(value, int | float), f"{path}: $.facts.{key}: expected a number, got {value!r}")
    for table, key in ((facts, "notes"), (record, "passed")):
        words = table.get(key) or []
        right = isinstance(words, list) and all(isinstance(word, str) for word in words)
        require(right, f"{path}: {key}: expected a list of texts")
    return record


def checked_status(status: Any, path: Path) -> dict[str, Any]:
    """A run's status.json with a state and a step. Raises ValueError naming the file and the key that is wrong."""
    _require_table(status, path, "$")
    kinds: dict[str, type | tuple[type, ...]] = {"state": str, "step": int}
    for key, kind in kinds.items():
        value = status.get(key)
        right = isinstance(value, kind) and not isinstance(value, bool)
        require(right, f"{path}: $.{key}: expected {'text' if kind is str else 'a whole number'}, got {value!r}")
    for key in ("total_steps", "heartbeat", "started", "saved_step"):
        value = status.get(key)
        right = value is None or isinstance(value, int | float)
        require(right, f"{path}: $.{key}: expected a number, got {value!r}")
    _require_table(status.get("error") or {}, path, "$.error")
    return status


def _require_table(value: Any, path: Path, where: str) -> None:
    require(isinstance(value, Mapping), f"{path}: {where}: expected a table of keys, got {str(value)[:40]!r}")
