"""A run's train.log for an archive: the command, the run's own messages, and one line per evaluation."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from grokscope.vocabulary.splits import in_order

_SCORE = re.compile(r"(?P<split>\w+?)_(?P<what>loss|acc|r2)")
BESIDE = ("lr", "norm_total")
"""Columns that stand behind the scores, where they were logged."""


def train_log(recorded: str, rows: Sequence[Mapping[str, Any]], provenance: Mapping[str, Any]) -> str:
    """The text of the log. `recorded` is what the run logged itself; where that has a line for each evaluation already,
    it stays as it is."""
    if rows and len(recorded.splitlines()) >= len(rows):
        return recorded
    head = [f"command: {command_of(provenance)}"]
    return "\n".join([*head, *recorded.splitlines(), *(evaluation_line(row) for row in rows)]) + "\n"


def command_of(provenance: Mapping[str, Any]) -> str:
    """How the run was started, without the folders of the machine it ran on."""
    words = provenance.get("command")
    if not isinstance(words, list) or not words:
        return "not recorded"
    return shlex.join([_without_folders(str(word)) for word in words])


def _without_folders(word: str) -> str:
    """``/home/me/runs`` -> ``runs``, ``--root=/home/me/runs`` -> ``--root=runs``."""
    option, equals, value = word.rpartition("=")
    name = PurePath(value.replace("\\", "/")).name if re.search(r"[/\\]", value) else value
    return f"{option}{equals}{name}"


def evaluation_line(row: Mapping[str, Any]) -> str:
    """``step 200, epoch 2: train loss 0.12 acc 0.985; id_val loss 1.9 acc 0.44; lr 0.001; norm_total 41.2``."""
    front = f"step {row.get('step')}"
    if row.get("epoch") is not None:
        front += f", epoch {_number(row['epoch'])}"
    scores: dict[str, list[str]] = {}
    for column, value in row.items():
        if match := _SCORE.fullmatch(column):
            scores.setdefault(match["split"], []).append(f"{match['what']} {_number(value)}")
    parts = [f"{split} {' '.join(scores[split])}" for split in in_order(set(scores))]
    parts += [f"{column} {_number(row[column])}" for column in BESIDE if row.get(column) is not None]
    return f"{front}: {'; '.join(parts)}"


def _number(value: Any) -> str:
    if not isinstance(value, int | float):
        return "not finite"
    return f"{value:.6g}"
