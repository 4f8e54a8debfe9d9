"""A small archive in the published layout, with field names as an author might have chosen them."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

EPOCHS = [1, *range(50, 3001, 50)]
RUN = "20260505-080445_grokking_n1000_s42"
STANDARD = "20260505-100720_standard_n1000_s42"


def config(condition: str = "grokking", seed: int = 42) -> dict[str, Any]:
    base = {
        "seed": seed, "n_train": 1000, "batch_size": 32, "img_size": 96, "n_classes": 2, "log_every": 50,
        "device": "cuda", "condition": condition, "lr": 1e-3, "n_epochs": 3000,
    }  # fmt: skip
    if condition == "standard":
        return base | {"weight_decay": 1e-4, "init_scale": 1.0, "use_grokfast": False}
    return base | {
        "weight_decay": 5e-3, "init_scale": 4.0, "use_grokfast": True, "grokfast_alpha": 0.98, "grokfast_lamb": 2.0,
    }  # fmt: skip


def history(peak: float = 0.7336, at: int = 350, final: float = 0.6639) -> list[dict[str, Any]]:
    """61 rows: memorized within 50 epochs, a peak in the unseen hospital, then decay; the norm grows throughout."""
    rows = []
    for epoch in EPOCHS:
        rise, fall = min(epoch / at, 1.0), np.exp(-max(epoch - at, 0) / 500)
        ood = 0.5 + rise * (final - 0.5 + (peak - final) * fall)
        train = 620 if epoch == 1 else 1000
        rows.append(
            {
                "epoch": epoch,
                "train_loss": 0.7 if epoch == 1 else 1e-3 / epoch,
                "train_acc": train / 1000,
                "id_acc": round((0.84 - 0.01 * epoch / 3000) * 33560) / 33560,
                "ood_acc": round(ood * 85054) / 85054,
                "weight_norm": 356 + 1114 * (epoch / 3000) ** 0.6,
                "irm_penalty": 40.0 / epoch + 10,
                "effective_rank": 110 - 74 * epoch / 3000,
                "mean_conf": 0.5 + 0.5 * rise,
            }
        )
    return rows


def tiny_weights(seed: int) -> dict[str, Tensor]:
    """What `tiny_network` says is the network."""
    g = torch.Generator().manual_seed(seed)
    return {
        "conv1.weight": torch.randn(2, 3, 3, 3, generator=g),
        "bn1.weight": torch.ones(2),
        "bn1.num_batches_tracked": torch.tensor(seed),
        "fc.weight": torch.randn(2, 2, generator=g),
        "fc.bias": torch.zeros(2),
    }


def tiny_network(classes: int) -> tuple[dict[str, tuple[int, ...]], dict[str, list[str]], int]:
    """In place of `grokscope.archive.resnet.resnet18`, whose checkpoints hold 44 MB each."""
    shapes = {name: tuple(t.shape) for name, t in tiny_weights(0).items()}
    groups = {"head": ["fc.weight", "fc.bias"], "scale_invariant": ["conv1.weight"], "normalization": ["bn1.weight"]}
    assert classes == 2
    return shapes, groups, 62


CHECKPOINTS = [*(f"ep{e:05d}" for e in range(200, 3001, 200)), "final"]


def write_run(
    folder: Path, condition: str = "grokking", seed: int = 42, rows: Any = None, names: list[str] | None = None
) -> Path:
    """One run's folder, complete unless told otherwise."""
    for part in ("checkpoints", "results", "logs", "mechinterp"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    rows = history() if rows is None else rows
    (folder / "config.json").write_text(json.dumps(config(condition, seed), indent=2))
    (folder / "results" / "history.json").write_text(json.dumps(rows))
    (folder / "results" / "summary.json").write_text(json.dumps({"best_ood": 0.7336, "best_epoch": 350}))
    (folder / "logs" / "train.log").write_text("python train.py\nep 1 ...\n")
    (folder / "mechinterp" / "m6.json").write_text(json.dumps({"K": [0, 4], "hospital": [0.0, 0.1]}))
    (folder / "mechinterp" / "m6.png").write_bytes(b"\x89PNG")
    for i, name in enumerate(CHECKPOINTS if names is None else names):
        torch.save(tiny_weights(i), folder / "checkpoints" / f"{name}.pt")
    return folder


def write_archive(folder: Path) -> Path:
    """Two runs and what lies beside them."""
    write_run(folder / "runs" / RUN)
    write_run(folder / "runs" / STANDARD, "standard", rows=history(0.7615, 1, 0.6482))
    (folder / "figures").mkdir()
    (folder / "README.md").write_text("# an archive\n")
    return folder


class Evil:
    """Unpickling it makes a file."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.target}'",)
