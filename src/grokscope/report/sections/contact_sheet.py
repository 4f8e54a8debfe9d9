"""The contact sheet of a study's images, from a run folder or generated where that is cheap."""

import base64
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grokscope.report.read.subjects import Subject
from grokscope.report.sections.blocks import Block, Picture, Words
from grokscope.vocabulary.text import listed, percent

PLACES = (
    "results/contact.png",
    "figures/contact.png",
    "../figures/contact.png",
    "../contact.png",
    "../results/contact.png",
)
"""Where a sheet is looked for, from the run folder: where training writes it, then where somebody may have put one."""
LARGEST = 1_500_000
"""Bytes of a picture that the page carries; a larger one is named instead."""
CHEAP = {"hospitals": {"n_train": 240, "n_eval": 200}}
"""Tasks whose images are drawn by a formula, and how many of them a sheet needs."""
PER_CELL = 4
MANY = 40
"""Prevalences that are named one by one."""


def contact_blocks(subjects: Sequence[Subject]) -> list[Block]:
    """The first sheet that is found among the runs, else a new one where images are drawn by a formula, else how to
    make one; and how the labels are shared out, where that is known. Nothing for runs that are not on images."""
    looked = [s for s in subjects if _is_on_images(s)]
    return [*_sheet(subjects, looked), *_prevalence(looked)]


def _is_on_images(subject: Subject) -> bool:
    shape = ((subject.record.get("facts") or {}).get("meta") or {}).get("image_shape") or ()
    return _task(subject).get("name") in CHEAP or len(shape) == 3


def _task(subject: Subject) -> Mapping[str, Any]:
    return (subject.config or {}).get("task") or {}


def _sheet(subjects: Sequence[Subject], looked: Sequence[Subject]) -> list[Block]:
    for subject in subjects:
        for place in PLACES if subject.path is not None else ():
            path = Path(str(subject.path)) / place
            if path.is_file():
                return _shown(path.read_bytes(), subject, str(path.resolve()))
    drawn = next((s for s in looked if _task(s).get("name") in CHEAP), None)
    try:
        if drawn is not None:
            return _shown(_drawn(_task(drawn)), drawn, "")
    except ValueError as error:  # settings of another version, or too few patches for a sheet
        return [Words(f"No contact sheet could be drawn: {error}")]
    return [_how_to(looked[0])] if looked else []


def _how_to(subject: Subject) -> Words:
    """The command for somebody who has the images."""
    task = _task(subject)
    place = task.get("path") or task.get("root")
    named = shlex.quote(str(place)) if place else "FOLDER-OR-TABLE-OF-IMAGES"
    return Words(
        f"There is no contact sheet in the run folders. If the images are available, create one with: grokscope data "
        f"sheet {named} contact.png; put it into the results folder of a run to show it here."
    )


def _prevalence(subjects: Sequence[Subject]) -> list[Block]:
    """Share of the last label (with two, the positive one) by environment, or by group, as the facts name them."""
    for subject in subjects:
        meta = (subject.record.get("facts") or {}).get("meta") or {}
        prevalence = meta.get("prevalence")
        if not isinstance(prevalence, Mapping) or not prevalence:
            continue
        kind = "environment" if set(prevalence) <= set(meta.get("environments") or prevalence) else "group"
        names = meta.get(f"{kind}s") or {}
        label = str((meta.get("labels") or ["the last label"])[-1])
        shares = [f"{names.get(key, key)}: {_percent(share)}" for key, share in list(prevalence.items())[:MANY]]
        more = f", and {len(prevalence) - MANY} more" if len(prevalence) > MANY else ""
        return [Words(f"Share of {label} by {kind}, as defined by the task: {', '.join(shares)}{more}.")]
    return []


def _percent(share: Any) -> str:
    return percent(share, 1) if isinstance(share, int | float) else str(share)


def _drawn(task: Mapping[str, Any]) -> bytes:
    """A small sheet of the task with these settings, at its first seed."""
    from grokscope import configio
    from grokscope.config import TaskConfig
    from grokscope.tasks.images.contact_sheet import contact_sheet

    data = configio.structure({**task, **CHEAP[task["name"]]}, TaskConfig, "task").build(0)
    with tempfile.TemporaryDirectory() as folder:
        return contact_sheet(data, Path(folder) / "contact.png", PER_CELL).read_bytes()


def _shown(png: bytes, subject: Subject, origin: str) -> list[Block]:
    if not png.startswith(b"\x89PNG"):
        return [Words(f"{origin} is not a PNG file and is not shown.", "warning")]
    if len(png) > LARGEST:
        return [Words(f"The contact sheet is too large for this page: {origin}")]
    note = "The first images of each split, environment (rows) and label (columns)"
    note += f", from {Path(origin).name}." if origin else ", generated from the task's settings with seed 0."
    return [
        Words("Input images", "h3"),
        Picture(f"data:image/png;base64,{base64.b64encode(png).decode()}", _alt(subject), note),
    ]


def _alt(subject: Subject) -> str:
    facts = subject.record.get("facts") or {}
    labels = [str(w) for w in (facts.get("meta") or {}).get("labels") or []]
    splits = list(facts.get("splits") or {})
    by = f", {listed(labels)}" if labels else ""
    return f"Contact sheet: example images by split and environment ({listed(splits)}){by}."
