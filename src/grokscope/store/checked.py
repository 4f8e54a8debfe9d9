"""Validation of a run's small files, on which all later code relies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grokscope.config import require


def checked_record(record: Any, path: Path) -> dict[str, Any]:
    """A run's config.json, whose tables are tables. Raises ValueError naming the file and the key that is not."""
    _require_table(record, path, "$")
    for key in ("config", "facts", "provenance", "lineage", "plugins"):
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
            _require_number(value, path, f"$.facts.splits.{name}.{key}")
    for key in ("steps_per_epoch", "parameters", "threshold"):
        require(facts.get(key, 1) is not None, f"{path}: $.facts.{key}: expected a number, got None")
        _require_number(facts.get(key, 1), path, f"$.facts.{key}")
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
        _require_number(status.get(key), path, f"$.{key}")
    _require_table(status.get("error") or {}, path, "$.error")
    return status


def _require_table(value: Any, path: Path, where: str) -> None:
    if not isinstance(value, Mapping):  # a message made for every whole table would be most of the time of `ls`
        raise ValueError(f"{path}: {where}: expected a table of keys, got {str(value)[:40]!r}")


def _require_number(value: Any, path: Path, where: str) -> None:
    if value is not None and not isinstance(value, int | float):
        raise ValueError(f"{path}: {where}: expected a number, got {value!r}")
