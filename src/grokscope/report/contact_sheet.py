"""The contact sheet of a study's images: read from the run or study folder, or drawn anew where that is cheap."""

import base64
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grokscope.report.blocks import Block, Picture, Words
from grokscope.report.subjects import Subject
from grokscope.report.words import listed

PLACES = (
    "figures/contact.png",
    "results/contact.png",
    "../figures/contact.png",
    "../contact.png",
    "../results/contact.png",
)
"""Where a sheet is looked for, from the run folder."""
LARGEST = 1_500_000
"""Bytes of a picture that the page carries; a larger one is named instead."""
CHEAP = {"hospitals": {"n_train": 240, "n_eval": 200}}
"""Tasks whose images are drawn by a formula, and how many of them a sheet needs."""
PER_CELL = 4


def contact_blocks(subjects: Sequence[Subject]) -> list[Block]:
    """The first sheet that is found among the runs, else a new one; nothing for tasks whose images must be fetched."""
    for subject in subjects:
        for place in PLACES if subject.path is not None else ():
            path = Path(str(subject.path)) / place
            if path.is_file():
                return _shown(path.read_bytes(), subject, str(path.resolve()))
    drawn = next((s for s in subjects if s.config and (s.config.get("task") or {}).get("name") in CHEAP), None)
    if drawn is None or drawn.config is None:
        return []
    try:
        return _shown(_drawn(drawn.config["task"]), drawn, "")
    except ValueError as error:  # settings of another version, or too few patches for a sheet
        return [Words(f"No contact sheet could be drawn: {error}")]


def _drawn(task: Mapping[str, Any]) -> bytes:
    """A small sheet of the task with these settings, at its first seed."""
    from grokscope import configio
    from grokscope.config import TaskConfig
    from grokscope.tasks.contact import contact_sheet

    data = configio.structure({**task, **CHEAP[task["name"]]}, TaskConfig, "task").build(0)
    with tempfile.TemporaryDirectory() as folder:
        return contact_sheet(data, Path(folder) / "contact.png", PER_CELL).read_bytes()


def _shown(png: bytes, subject: Subject, origin: str) -> list[Block]:
    if not png.startswith(b"\x89PNG"):
        return [Words(f"{origin} is not a PNG file and is not shown.", "warning")]
    if len(png) > LARGEST:
        return [Words(f"The contact sheet is too large to carry in this page: {origin}")]
    note = "The first images of each split, environment (rows) and label (columns)"
    note += f", from {Path(origin).name}." if origin else ", drawn for this page from the task's settings at seed 0."
    return [
        Words("What the network sees", "h3"),
        Picture(f"data:image/png;base64,{base64.b64encode(png).decode()}", _alt(subject), note),
    ]


def _alt(subject: Subject) -> str:
    facts = subject.record.get("facts") or {}
    labels = [str(w) for w in (facts.get("meta") or {}).get("labels") or []]
    splits = list(facts.get("splits") or {})
    by = f", {listed(labels)}" if labels else ""
    return f"Contact sheet: example images by split and environment ({listed(splits)}){by}."
