"""Which dissections of a run were made by older rules, and the command that redoes them. The store only keeps and reads
these records; dissecting is the business of `grokscope.dissect`."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grokscope.files import read_json

RULES = 3
"""Version of how a dissection measures and concludes. Raise it when either changes: what older versions wrote is then
shown as outdated. Records of before there were versions count as 1."""
FOLDER = "mechinterp"
REQUESTS = "requests.json"
"""By rule of selection, what was asked for beside it (split, sites, steer_sites), so that it can be asked for again."""
_PARTS = ("m1", "m4", "m5", "m6")
_DEFAULTS = {"draws": 99, "seed": 0}


def rules_of(record: Mapping[str, Any]) -> int:
    rules = record.get("rules", 1)
    return rules if isinstance(rules, int) else 1


def outdated(run: Path) -> dict[str, str]:
    """Rule of selection (``final``, ``all``, ``step=400``) -> the command that redoes the records which older rules
    left in a run's folder; empty where there are none."""
    root, found = run / FOLDER, {}
    for folder in sorted({p.parent for name in _PARTS for p in root.rglob(f"{name}.json")}):
        record = _record(folder)
        if record is None or rules_of(record) >= RULES:
            continue
        rule = str(record.get("selection", "final")) if folder == root else "all"
        found.setdefault(rule, _command(run, rule, record))
    if "all" in found:  # redoes the one in the folder itself, which is of the last checkpoint
        found = {rule: command for rule, command in found.items() if not rule.startswith("step=") or rule == "all"}
    return found


def requests(run: Path) -> dict[str, dict[str, Any]]:
    """What was asked for, by rule of selection; empty where older versions dissected."""
    try:
        found = read_json(run / FOLDER / REQUESTS)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _record(folder: Path) -> dict[str, Any] | None:
    """The first readable part that grokscope wrote; None where another program did."""
    for name in _PARTS:
        try:
            raw = read_json(folder / f"{name}.json")
        except ValueError:
            continue
        if isinstance(raw, dict) and isinstance(raw.get(name), dict) and isinstance(raw.get("settings"), dict):
            return raw
    return None


def _command(run: Path, rule: str, record: Mapping[str, Any]) -> str:
    words = ["grokscope", "dissect", str(run), "--checkpoints", rule]
    asked = requests(run).get(rule, {})
    if asked.get("split"):
        words += ["--split", str(asked["split"])]
    for key in ("sites", "steer_sites"):
        if asked.get(key):
            words += [f"--{key.replace('_', '-')}", *map(str, asked[key])]
    for key, default in _DEFAULTS.items():
        value = record["settings"].get(key, default)
        words += [f"--{key}", str(value)] if value != default else []
    return shlex.join(words)
