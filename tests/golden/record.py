"""Golden curves: the first steps of the short recipes, with the machine and versions they were made on.

python tests/golden/record.py     writes them anew, after a change that is meant to move them
"""

import json
import platform
import re
from pathlib import Path
from typing import Any

import torch

from grokscope import configio
from grokscope.store.provenance import provenance
from grokscope.train.driver import make_engine

FILE = Path(__file__).with_name("curves.json")
COLUMNS = ("train_loss", "train_correct", "id_val_loss", "id_val_correct", "norm_total")

RECIPES: dict[str, tuple[dict[str, Any], int]] = {
    "modular addition (E1)": (
        {
            "task": {"name": "modular", "p": 59},
            "model": {"name": "embedding-mlp", "embedding": 64, "hidden": [128]},
            "regime": {"optimizer": {"name": "adamw", "betas": [0.9, 0.98]}, "lr": 1e-2, "weight_decay": 1.0},
        },
        100,
    ),
    "digits": (
        {
            "task": {"name": "digits", "n_train": 200},
            "model": {"name": "mlp", "hidden": [200, 200]},
            "regime": {"optimizer": "adamw", "lr": 1e-3, "loss": "mse", "init_scale": 8.0, "weight_decay": 0.1},
        },
        200,
    ),
    "sparse parity in batches": (
        {
            "task": {"name": "parity", "n": 20, "k": 2, "n_train": 200, "n_val": 100},
            "model": {"name": "mlp", "hidden": [50]},
            "regime": {
                "optimizer": "sgd",
                "lr": 0.1,
                "loss": "hinge",
                "weight_decay": 0.01,
                "batch_size": 32,
                "grad_filter": "grokfast_ema",
                "clip_norm": 1.0,
                "label_noise": 0.05,
            },
        },
        100,
    ),
}


def curve(name: str) -> list[dict[str, float]]:
    """The recipe's rows, twenty of them and the start, at one thread."""
    raw, steps = RECIPES[name]
    config = configio.load_run(raw | {"budget": {"steps": steps}})
    engine = make_engine(config, config.task.build(config.seed))[1]
    rows = []
    for step in range(0, steps + 1, steps // 20):
        engine.advance(step, False, lambda: False)
        row = engine.row(diagnose=False)
        rows.append({"step": step, **{key: row[key] for key in COLUMNS}})
    return rows


def _processor() -> list[str]:
    """Name, family, model and stepping: kernels are chosen by them, and a rented machine's name alone says little."""
    info = Path("/proc/cpuinfo")
    wanted = ("model name", "cpu family", "model", "stepping")
    lines = dict(re.findall(r"^([^\t:]+)\t*: (.*)$", info.read_text(), re.M)) if info.exists() else {}
    return [lines.get(key, platform.processor()) for key in wanted]


def machine() -> dict[str, Any]:
    """What bit-identity depends on."""
    return {
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "system": platform.system(),
        "packages": {p: provenance()["packages"].get(p) for p in ("torch", "numpy", "scikit-learn")},
        "threads": 1,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    curves = {name: curve(name) for name in RECIPES}
    FILE.write_text(json.dumps({"machine": machine(), "curves": curves}, indent=1) + "\n")
