"""Dissections of a run that were made with older rules, and the command that updates them. The store only keeps and
reads these records; `grokscope.dissect` creates them."""

import shlex
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from grokscope.files import read_json, write_json
from grokscope.results.dissection import FOLDER, PARTS, RULES, Request, is_ours, rules_of, selection_of
from grokscope.results.reading import reader, reading

REQUESTS = "requests.json"
"""By rule of selection, what was asked for beside it, so that it can be asked for again."""
_DEFAULTS = {"draws": 99, "seed": 0}


def outdated(run: Path) -> dict[str, str]:
    """Rule of selection (``final``, ``all``, ``step=400``) -> the command that redoes the records which older rules
    left in a run's folder; empty where there are none."""
    root = run / FOLDER
    commands: dict[str, str] = {}
    files = chain.from_iterable(root.rglob(f"{name}.json") for name in PARTS)
    for folder in sorted({file.parent for file in files}):
        raw = _raw(folder)
        if raw is None or rules_of(raw) >= RULES:
            continue
        rule = selection_of(raw) if folder == root else "all"
        commands.setdefault(rule, _command(run, rule, raw))
    if "all" in commands:  # redoes the one in the folder itself, which is of the last checkpoint
        commands = {rule: command for rule, command in commands.items() if not rule.startswith("step=")}
    return commands


def requests(run: Path) -> dict[str, Request]:
    """What was asked for, by rule of selection; empty where older versions dissected."""
    path = run / FOLDER / REQUESTS
    try:
        with reading(f"{path}: $"):
            return reader(dict[str, Request])(read_json(path))
    except ValueError:
        return {}


def keep_request(run: Path, rule: str, request: Request) -> None:
    """Keep what was asked for; what the command asks for by itself is kept only in place of something else."""
    asked = requests(run)
    if request != Request() or rule in asked:
        write_json(run / FOLDER / REQUESTS, {key: r.to_dict() for key, r in {**asked, rule: request}.items()})


def _raw(folder: Path) -> Mapping[str, Any] | None:
    """Data of the first readable part that grokscope wrote, in whatever version; None where another program did.

    Not read as a record: older versions lack fields, and nothing of them is used but how to ask for them again.
    """
    for name in PARTS:
        try:
            raw = read_json(folder / f"{name}.json")
        except ValueError:
            continue
        if is_ours(raw, name):
            return raw
    return None


def _command(run: Path, rule: str, raw: Mapping[str, Any]) -> str:
    words = ["grokscope", "dissect", str(run), "--checkpoints", rule]
    request = requests(run).get(rule, Request())
    if rule in requests(run):
        words += ["--split", request.split]
    if request.sites:
        words += ["--sites", *request.sites]
    if request.steer_sites:
        words += ["--steer-sites", *request.steer_sites]
    for key, default in _DEFAULTS.items():
        value = raw["settings"].get(key, default)
        if value != default:
            words += [f"--{key}", str(value)]
    return shlex.join(words)
