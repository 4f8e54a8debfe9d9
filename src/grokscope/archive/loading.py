"""The network of an archived run, built as it was trained and filled with the weights of one of its checkpoints."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope import configio
from grokscope.archive.layout import CONFIG, Source
from grokscope.config import RunConfig
from grokscope.files import plain_file, read_json
from grokscope.registry import nearest
from grokscope.task_data import Split, TaskData

if TYPE_CHECKING:
    from torch import nn


def load_model(folder: str | Path, checkpoint: str = "final") -> "nn.Module":
    """The network of one run with the weights of one checkpoint, in evaluation mode.

    Of images only what the run recorded of them is needed; other tasks are drawn again from the seed, which can take
    seconds, or read again from their files.

    Args:
        folder: a run of an exported archive (``runs/NAME``), or any run folder.
        checkpoint: ``final``, or a checkpoint's name without its ending (``ep00200``, ``st00001000``).

    Raises:
        ValueError: no run of grokscope, a checkpoint that it does not have (those it has are named), files of weights
            that are damaged, hold code, or are another network's.
    """
    from grokscope.store.weights import fill

    folder = Path(folder)
    record = _record(folder)
    files = Source(folder, folder.name).checkpoints()
    if checkpoint not in files:
        raise ValueError(f"{folder}: no checkpoint {checkpoint!r}{nearest(checkpoint, list(files))}")
    config = configio.load_run({"schema": record.get("schema", configio.SCHEMA), **record["config"]})
    facts = record.get("facts") or {}
    model = config.model.build(like(config, facts), outputs(config, facts))
    fill(model, files[checkpoint])
    return model.eval()


def _record(folder: Path) -> dict[str, Any]:
    """A run's own record: what an archive keeps under ``grokscope``, or all of a run folder's config.json."""
    raw = read_json(plain_file(folder, CONFIG))
    record = raw.get("grokscope", raw) if isinstance(raw, dict) else None
    if not isinstance(record, dict) or not isinstance(record.get("config"), dict):
        raise ValueError(f"{folder / CONFIG}: not the config of a grokscope run; bring it in with: archive import")
    return record


def outputs(config: RunConfig, facts: Mapping[str, Any]) -> int:
    """Width of the network's output."""
    from grokscope.train.losses import make_loss

    data = like(config, facts)
    return make_loss(config.regime.loss, config.regime.loss_dtype, data.kind, data.classes).outputs()


def tells_shape(facts: Mapping[str, Any]) -> bool:
    """Whether a run recorded the shape and the classes of its images."""
    meta = facts.get("meta") or {}
    return bool(meta.get("image_shape") and meta.get("labels")) and facts.get("kind") == "classification"


def like(config: RunConfig, facts: Mapping[str, Any]) -> TaskData:
    """Data of the shape that the run was trained on: blank images where it recorded their shape and labels, else the
    task's own."""
    if not tells_shape(facts):
        return config.task.build(config.seed)
    meta = facts["meta"]
    shape, labels = meta["image_shape"], meta["labels"]
    blank = Split(np.zeros((len(labels), *shape), np.uint8), np.arange(len(labels), dtype=np.int64))
    threshold = float(facts.get("threshold") or 1.0)
    return TaskData("classification", {"train": blank}, len(labels), threshold, meta=dict(meta))
