"""Convert a published run's config.json and rows to a grokscope run: resolved config, facts, rows with steps."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from grokscope import configio
from grokscope.archive import fields
from grokscope.archive.layout import CHECKPOINTS, CONDITIONS, ROWS
from grokscope.config import Cadence, RunConfig, require_whole
from grokscope.limits import MAX_EXAMPLES
from grokscope.tasks.camelyon17.files import CENTERS, COUNTS
from grokscope.tasks.images.files import image_facts
from grokscope.vocabulary.splits import HELD_OUT, TRAIN

PUBLISHED: dict[str, Any] = {
    "batch_size": 32, "img_size": 96, "n_classes": 2, "log_every": 50, "lr": 1e-3, "n_epochs": 3000, "init_scale": 1.0,
    "use_grokfast": False, "grokfast_alpha": 0.98, "grokfast_lamb": 2.0, "irm_weight": 0.0, "grad_clip": 1.0,
}  # fmt: skip
"""What a config.json that lacks a key is taken to say: the published defaults."""
_KEYS = {*PUBLISHED, "seed", "n_train", "condition", "weight_decay", "device"}
_FROM_ID = re.compile(r"(?:\d{8}-\d{6}_)?(?P<condition>.+)_n(?P<n_train>\d+)_s(?P<seed>\d+)")
"""20260505-080445_grokking_n1000_s42"""
MAX_CLASSES = 100_000
"""Of an image task; ImageNet's largest has 21,841. The network is laid out to compare its weights."""
THRESHOLD, TRIVIAL = 0.90, 0.5


def status_of(state: str, step: int, total: int, error: dict[str, str] | None = None) -> dict[str, Any]:
    """A status without a machine: nobody trains an imported run."""
    return {
        "state": state, "step": step, "total_steps": total, "host": None, "pid": None, "heartbeat": 0.0,
        "started": 0.0, "steps_per_s": 0.0, "error": error,
    }  # fmt: skip


@dataclass
class Parsed:
    """One run, understood but not yet written."""

    config: dict[str, Any]
    """Resolved, as plain data."""
    front: str
    """Of the folder's name: all but the hash."""
    cadence: Cadence | None
    """When checkpoints were due; None where nobody knows."""
    passed: list[str]
    facts: dict[str, Any]
    provenance: dict[str, Any]
    rows: list[dict[str, Any]] | None
    """With steps; None where there is no readable history."""
    last_epoch: float
    """Of the budget: where the run should end."""
    status: dict[str, Any] | None = None
    """As recorded; None where it has to be read off the rows."""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def parse_config(raw: Mapping[str, Any], run_id: str) -> tuple[RunConfig, dict[str, Any], list[str]]:
    """(config, the settings as read, notes). Raises ValueError with the path of each fault."""
    notes = []
    settings = dict(raw)
    if match := _FROM_ID.fullmatch(run_id):
        for key, text in match.groupdict().items():
            if key not in settings:
                settings[key] = text if key == "condition" else int(text)
                notes.append(f"config.json has no {key}: {text} taken from the run's name")
    missing = [key for key in ("seed", "n_train", "condition", "weight_decay") if key not in settings]
    if missing:
        raise ValueError(f"config.json has no {', '.join(missing)}")
    absent = [k for k in PUBLISHED if k not in raw and k not in ("irm_weight", "grad_clip")]
    if not settings.get("use_grokfast"):
        absent = [k for k in absent if not k.startswith("grokfast")]
    if absent:
        notes.append("not in config.json, taken as published: " + ", ".join(f"{k} {PUBLISHED[k]}" for k in absent))
    unknown = [k for k in raw if k not in _KEYS]
    if unknown:
        notes.append(f"config.json: not understood: {', '.join(unknown)}")
    settings = {**PUBLISHED, **settings}
    for key, most in (("n_classes", MAX_CLASSES), ("batch_size", MAX_EXAMPLES), ("n_train", MAX_EXAMPLES)):
        require_whole(f"config.json: {key}", settings[key], 1, most)
    return configio.load_run(_config(settings)), settings, notes


def _config(s: Mapping[str, Any]) -> dict[str, Any]:
    rows = {"at": list(ROWS.at), "every": s["log_every"], "unit": "epochs"}
    return {
        "task": {"name": "camelyon17", "n_train": s["n_train"], "image_size": s["img_size"], "id_val": "leaky"},
        "model": {"name": "timm", "architecture": "resnet18"},
        "regime": {
            "name": CONDITIONS.get(s["condition"], s["condition"]),
            "optimizer": "adamw",
            "lr": s["lr"],
            "weight_decay": s["weight_decay"],
            "init_scale": s["init_scale"],
            "batch_size": s["batch_size"],
            "loss": "cross_entropy",
            "clip_norm": s["grad_clip"],
            "irm_weight": s["irm_weight"],
            **_filter(s),
        },
        "budget": {"epochs": s["n_epochs"]},
        "evaluate": rows,
        "diagnose": rows,
        "checkpoint": {"every": CHECKPOINTS.every, "unit": "epochs"},
        "seed": s["seed"],
        "hardware": {"device": "auto"},  # a branch should train where it is started
    }


def _filter(s: Mapping[str, Any]) -> dict[str, Any]:
    if not s["use_grokfast"]:
        return {}
    grokfast = {"name": "grokfast_ema", "alpha": s["grokfast_alpha"], "lambda": s["grokfast_lamb"]}
    return {"grad_filter": grokfast}


def parse_run(
    raw: Mapping[str, Any], run_id: str, history: list[fields.Row] | None, mapping: Mapping[str, str],
    scale: float, n: Mapping[str, int],
) -> Parsed:  # fmt: skip
    """Understand one published run. Raises ValueError where its config cannot be."""
    config, settings, notes = parse_config(raw, run_id)
    n_train, batch = settings["n_train"], min(settings["batch_size"], settings["n_train"])
    per_epoch = -(-n_train // batch)
    parsed = Parsed(
        config=configio.dump(config),
        front=config.run_id().rpartition("-")[0],
        cadence=config.checkpoint,
        passed=sorted(configio.flatten(_config(settings))),
        facts={},
        provenance={
            "platform": "a machine that the archive does not name",
            "device": settings.get("device", "unknown device"),
            "threads": "unknown",
        },
        rows=None,
        last_epoch=settings["n_epochs"],
        notes=notes,
    )
    sizes: dict[str, int] = {}
    if history is not None:
        try:
            table = _table(history, mapping, scale)
        except ValueError as error:
            parsed.problems.append(f"results/history.json: {error}")
        else:
            sizes = fields.add_counts(table, n, {"train": n_train, **COUNTS, **{"train": n_train}})
            per_epoch = _steps_per_epoch(table, per_epoch)
            parsed.rows = [{"step": round(row["epoch"] * per_epoch), **row} for row in table.rows]
            parsed.notes += table.notes
            parsed.problems += [f"results/history.json: {p}" for p in table.problems]
    parsed.notes += _assumptions(per_epoch, batch, n_train, sizes)
    parsed.facts = _facts(settings, per_epoch, parsed.rows or [], {**sizes, "train": n_train})
    return parsed


def _table(history: list[fields.Row], mapping: Mapping[str, str], scale: float) -> fields.Table:
    table = fields.translate(history, mapping)
    if not any("epoch" in row for row in table.rows):
        names = ", ".join(dict.fromkeys(chain.from_iterable(history)))
        raise ValueError(f"no field is the epoch; name it with mapping={{'epoch': ...}}; the fields are {names}")
    fields.in_order(table)
    fields.scale_accuracies(table, scale)
    return table


def _steps_per_epoch(table: fields.Table, guess: int) -> int:
    """From the history's own step count where it has one that fits; else one step per batch."""
    pairs = [(row["archive_step"], row["epoch"]) for row in table.rows if row.get("archive_step") and row.get("epoch")]
    ratios = {step / epoch for step, epoch in pairs}
    if len(ratios) == 1 and (ratio := ratios.pop()).is_integer() and 1 < ratio != guess:
        table.notes.append(f"{ratio:g} steps per epoch, from the field step")
        return int(ratio)
    return guess


def _assumptions(per_epoch: int, batch: int, n_train: int, sizes: Mapping[str, int]) -> list[str]:
    notes = [
        "the archive's training patches were drawn by its own code; grokscope's subset for the same seed differs",
        f"the trivial predictor is taken to have {TRIVIAL}: Camelyon17 is balanced in every hospital",
    ]
    if n_train % batch:
        notes.append(
            f"steps are epochs x {per_epoch}: batches of {batch} from {n_train}, the last smaller one included"
        )
    if not set(sizes) - {"train"}:
        notes.append("the sizes of the held-out splits are not recorded, so noise bands do not include sampling noise")
    return notes


def _facts(
    s: Mapping[str, Any], per_epoch: int, rows: list[dict[str, Any]], sizes: Mapping[str, int]
) -> dict[str, Any]:
    columns = set(chain.from_iterable(rows))
    splits = [TRAIN, *(x for x in HELD_OUT if {f"{x}_acc", f"{x}_loss"} & columns)]
    size = s["img_size"]
    return {
        "kind": "classification",
        "threshold": THRESHOLD,
        "steps_per_epoch": per_epoch,
        "splits": {x: ({"n": sizes[x]} if x in sizes else {}) | {"trivial_acc": TRIVIAL} for x in splits},
        "meta": image_facts((3, size, size), ["normal", "tumor"], {c: str(c) for c in range(CENTERS)}),
        "loss_dtype": "float32",
        "device": s.get("device", "unknown"),
    }
