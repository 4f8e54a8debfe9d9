"""Run folders with known, realistic curves: what the report is drawn from in tests, without training anything."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

N_TRAIN, N_HELD = 200, 1597

GROKKED = {
    "train": [(0, 0.11), (300, 0.4), (1000, 0.93), (1400, 1.0), (20000, 1.0)],
    "held": [
        (0, 0.1),
        (600, 0.16),
        (2000, 0.2),
        (5000, 0.42),
        (8000, 0.72),
        (10300, 0.902),
        (14000, 0.94),
        (20000, 0.947),
    ],
    "norm": [(0, 118.0), (1000, 112.0), (5000, 64.0), (10000, 33.0), (20000, 22.0)],
}
MEMORIZED = {
    "train": [(0, 0.11), (300, 0.4), (1100, 0.95), (1600, 1.0), (20000, 1.0)],
    "held": [(0, 0.1), (600, 0.15), (20000, 0.163)],
    "norm": [(0, 118.0), (20000, 119.5)],
}
GENERALIZED = {
    "train": [(0, 0.1), (20, 0.6), (100, 1.0), (20000, 1.0)],
    "held": [(0, 0.1), (20, 0.5), (120, 0.912), (400, 0.93), (20000, 0.935)],
    "norm": [(0, 15.0), (1000, 16.5), (20000, 14.0)],
}
UNGROKKED = {
    "train": [(0, 0.5), (100, 0.8), (600, 1.0), (20000, 1.0)],
    "held": [(0, 0.5), (350, 0.733), (900, 0.7), (5000, 0.672), (20000, 0.664)],
    "norm": [(0, 356.0), (350, 908.0), (20000, 1470.0)],
}
SHARP = {
    "train": [(0, 0.02), (20, 0.6), (40, 1.0), (3000, 1.0)],
    "held": [(0, 0.017), (300, 0.05), (400, 0.3), (488, 0.955), (600, 0.999), (3000, 1.0)],
    "norm": [(0, 86.0), (100, 90.0), (500, 41.0), (3000, 30.0)],
}


def grid(last: int, per_decade: int = 20) -> np.ndarray:
    """Log-spaced evaluation steps with 0 and the last one, as `Cadence(at=(0,), per_decade=20)` makes them."""
    decades = np.arange(0, per_decade * np.log10(last) + 1e-9)
    return np.unique(np.r_[0, np.round(10 ** (decades / per_decade)), last].astype(int))


def through(points: list[tuple[float, float]], steps: np.ndarray, stretch: float) -> np.ndarray:
    """The curve through (step, value) points, straight against log(1 + step), with time stretched by a factor."""
    at, value = np.array(points, float).T
    return np.interp(np.log1p(steps / stretch), np.log1p(at), value)


def counted(values: np.ndarray, n: int, rng: np.random.Generator, noise: float) -> np.ndarray:
    """Integer counts of right answers near `values`; exact where the curve says 1."""
    noisy = np.where(values >= 1.0, 1.0, np.clip(values + rng.normal(0, noise, len(values)), 0, 1))
    return np.round(noisy * n).astype(int)


def rows(
    shape: Mapping[str, Any], seed: int, last: int, diagnostics: bool = True, fourier: bool = False
) -> list[dict[str, Any]]:
    """Rows of metrics.jsonl for one seed of a shape."""
    rng = np.random.default_rng([seed, 7])
    steps, stretch = grid(last), float(np.exp(rng.normal(0, 0.09)))
    train = counted(through(shape["train"], steps, stretch), N_TRAIN, rng, 0.004)
    held = counted(through(shape["held"], steps, stretch), N_HELD, rng, 0.004)
    norm = through(shape["norm"], steps, stretch) * float(np.exp(rng.normal(0, 0.01)))
    out = []
    for i, step in enumerate(steps):
        row: dict[str, Any] = {"step": int(step), "epoch": int(step), "lr": 1e-3}
        for split, hits, n in (("train", train, N_TRAIN), ("id_val", held, N_HELD)):
            accuracy = hits[i] / n
            row |= {
                f"{split}_loss": 2.4 * (1.0005 - accuracy) ** 1.5,
                f"{split}_acc": accuracy,
                f"{split}_correct": int(hits[i]),
                f"{split}_n": n,
            }
        row |= {
            "norm_total": norm[i],
            "norm_weights": norm[i] * 0.96,
            "norm_head": norm[i] * 0.27,
            "norm_biases": 0.02 * norm[i],
        }
        if diagnostics and i % 4 == 0:
            row |= diagnosed(norm[i], train[i] / N_TRAIN, held[i] / N_HELD, rng)
            if fourier:
                row |= {
                    "fourier_embedding_gini": 0.2 + 0.6 * held[i] / N_HELD,
                    "fourier_excluded_loss": 0.01 + 6 * held[i] / N_HELD,
                }
        out.append(row)
    return out


def diagnosed(norm: float, train: float, held: float, rng: np.random.Generator) -> dict[str, float]:
    wobble = float(np.exp(rng.normal(0, 0.05)))
    return {
        "grad_norm_total": 3.0 * (1.002 - train) * wobble + 1e-3 * norm,
        "rank_effective": (110 - 70 * held) * wobble,
        "softmax_collapse": max(0.0, train - held) * 0.6,
        "margin_mean": 4 * train * wobble,
        "logit_max": 6 * train * wobble,
    }


def config(regime: str, seed: int, last: int, **changes: Any) -> dict[str, Any]:
    """A resolved run config; `changes` replace fields of the regime."""
    return {
        "task": {"name": "digits", "n_train": N_TRAIN},
        "model": {"name": "mlp", "widths": [200, 200], "activation": "relu"},
        "regime": {"name": regime, "lr": 1e-3, "weight_decay": 0.1, "init_scale": 8.0, "loss": "mse", **changes},
        "budget": {"steps": last, "epochs": None},
        "seed": seed,
        "hardware": {"device": "cpu", "threads": 1},
    }  # fmt: skip


def write_run(
    root: Path,
    regime: str,
    seed: int,
    shape: Mapping[str, Any] | None,
    *,
    last: int = 20000,
    state: str = "done",
    until: int | None = None,
    error: str | None = None,
    edit: Callable[[list[dict[str, Any]]], None] | None = None,
    threshold: float = 0.9,
    trivial: float = 0.105,
    fourier: bool = False,
    task: str = "digits",
    **changes: Any,
) -> Path:
    """One run folder in the store's format. `until` cuts its rows, `edit` changes them, no shape means no rows."""
    folder = (
        root / f"{task}_{''.join(c if c.isalnum() or c in '-.' else '-' for c in regime)}_n{N_TRAIN}_s{seed}-{seed:08x}"
    )
    (folder / "results").mkdir(parents=True)
    raw = config(regime, seed, last, **changes)
    raw["task"]["name"] = task
    record = {
        "schema": 1,
        "config": raw,
        "passed": ["task.n_train", "regime.init_scale", *(f"regime.{key}" for key in changes)],
        "facts": {
            "kind": "classification", "threshold": threshold, "steps_per_epoch": 1, "parameters": 55_210,
            "splits": {
                "train": {"n": N_TRAIN, "trivial_acc": trivial},
                "id_val": {"n": N_HELD, "trivial_acc": trivial - 0.005},
            },
        },
        "provenance": {
            "python": "3.11.9", "platform": "Linux-x86_64", "processor": "a processor", "cpus": 2, "host": "bench",
            "command": ["grokscope", "train", "digits.toml"], "packages": {"grokscope": "0.1.0", "torch": "2.14.1"},
            "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
        },
        "lineage": None,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(record))
    made = (
        []
        if shape is None
        else [r for r in rows(shape, seed, last, fourier=fourier) if until is None or r["step"] <= until]
    )
    if edit is not None:
        edit(made)
    (folder / "results" / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in made))
    step = made[-1]["step"] if made else 0
    status = {
        "state": state, "step": step, "total_steps": last, "host": "elsewhere", "pid": 1,
        "heartbeat": 4e9 if state == "running" else 1_750_000_020.0 + 60 * seed,  # a running run's is always fresh
        "steps_per_s": 900.0, "started": 1_750_000_000.0 + 60 * seed,
        "error": None if error is None else {"type": "RuntimeError", "message": error},
    }  # fmt: skip
    (folder / "status.json").write_text(json.dumps(status))
    return folder


def diverge(made: list[dict[str, Any]]) -> None:
    """Losses become non-finite for the last third of the rows."""
    for row in made[len(made) * 2 // 3 :]:
        row |= {
            "train_loss": None,
            "id_val_loss": None,
            "train_acc": 0.1,
            "id_val_acc": 0.1,
            "train_correct": 20,
            "id_val_correct": 160,
            "norm_total": None,
        }


def write_study(root: Path) -> list[Path]:
    """Three groups of three seeds with different outcomes, and one run each that failed, diverged, still runs and
    groks sharply."""
    made = []
    for seed in range(3):
        made.append(write_run(root, "wd 0.1", seed, GROKKED, weight_decay=0.1))
        made.append(write_run(root, "wd 0", seed, MEMORIZED, weight_decay=0.0))
        made.append(write_run(root, "init 1", seed, GENERALIZED, init_scale=1.0))
    made.append(write_run(root, "wd 0.1", 3, GROKKED, weight_decay=0.1, state="running", until=3000))
    made.append(
        write_run(root, "wd 0", 3, None, weight_decay=0.0, state="failed", error="CUDA out of memory: tried <2 GiB>")
    )
    made.append(write_run(root, "lr 1", 0, UNGROKKED, lr=1.0, state="diverged", edit=diverge))
    return made
