"""Run folders of a study whose held-out accuracy rises at a known step, written without training."""

import json
from typing import Any

import numpy as np

from grokscope import configio
from grokscope.store.run import SCHEMA

EVERY = 20


def plant(made, root, T_gen, unfinished=()):
    """Every run of `made` in `root`; T_gen: (decay, seed) -> step. Those in `unfinished` stop after 50 rows."""
    for entry in made.entries:
        key = entry.config.regime.weight_decay, entry.config.seed
        rng, total = np.random.default_rng(entry.config.seed), entry.config.budget.steps
        rows = [_row(int(step), T_gen[key], rng) for step in np.arange(0, total + 1, EVERY)]
        folder = root / entry.config.run_id()
        (folder / "results").mkdir(parents=True)
        facts: dict[str, Any] = {"kind": "classification", "threshold": 0.9, "steps_per_epoch": 1}
        facts["splits"] = {s: {"n": 1000, "trivial_acc": 0.1} for s in ("train", "id_val")}
        state, rows = ("interrupted", rows[:50]) if key in unfinished else ("done", rows)
        provenance = {"python": "3.11", "host": "secret", "command": ["x"], "packages": {"torch": "2"}, "threads": 1}
        record = {"schema": SCHEMA, "config": configio.dump(entry.config), "facts": facts, "provenance": provenance}
        text = "".join(json.dumps(r) + "\n" for r in rows)
        status = {"state": state, "step": rows[-1]["step"], "total_steps": total, "host": "secret", "heartbeat": 1e9,
                  "metrics_bytes": len(text)}  # fmt: skip
        (folder / "config.json").write_text(json.dumps(record))
        (folder / "status.json").write_text(json.dumps(status))
        (folder / "results" / "metrics.jsonl").write_text(text)
    return root


def _row(step, T_gen, rng):
    train, held = (1000 if step >= 50 else 200), (990 if step >= T_gen else 150) + int(rng.integers(-9, 10))
    return {
        "step": step, "lr": 0.01, "train_acc": train / 1000, "id_val_acc": held / 1000, "train_loss": 1 / (step + 3),
        "id_val_loss": 1 / 3, "train_correct": train, "train_n": 1000, "id_val_correct": held, "id_val_n": 1000,
        "norm_total": 30 / (1 + step / 1e3), "logit_max": 2.5,
    }  # fmt: skip
