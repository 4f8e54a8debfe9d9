"""Runs that take a fraction of a second, for tests that need a real one."""

from typing import Any

from grokscope import configio
from grokscope.config import RunConfig

TINY: dict[str, Any] = {
    "task": {"name": "modular", "p": 7},
    "model": {"name": "embedding-mlp", "embedding": 4, "hidden": [8]},
    "regime": {"lr": 1e-2, "weight_decay": 0.1, "batch_size": 8},
    "budget": {"steps": 60},
    "evaluate": {"every": 7, "at": [0]},
    "diagnose": {"every": 20},
    "checkpoint": {"every": 15},
    "hardware": {"resume_every_s": 0.0},
}

TINY_TOML = """
[task]
name = "modular"
p = 7
[model]
name = "embedding-mlp"
embedding = 4
hidden = [8]
[regime]
lr = 1e-2
weight_decay = 0.1
batch_size = 8
"""
"""Its task, model and regime in a study file."""


def tiny(changes: dict[str, Any] | None = None, /, **dotted: Any) -> RunConfig:
    """The tiny run with dotted changes; in keywords a dot is written as two underscores (``regime__lr=1e-3``)."""
    keys = {k.replace("__", "."): v for k, v in dotted.items()}
    return configio.load_run(configio.overlay(TINY, (changes or {}) | keys))


SMALL_TASKS: dict[str, dict[str, Any]] = {
    "modular": {"p": 7},
    "digits": {"n_train": 30},
    "parity": {"n": 8, "k": 2, "n_train": 40, "n_val": 20},
    "competing-features": {"n_train": 24, "n_test": 16},
    "ridge": {"m": 12, "n_train": 6, "n_val": 20},
    "mheight": {"train_per_group": 6, "val_per_group": 4, "pool_per_group": 20, "groups": [[9, 4, 2], [9, 5, 2]]},
    "hospitals": {"n_train": 24, "n_eval": 16, "image_size": 16, "patients": 2, "slides": 2},
}
"""Each task that needs no files, small enough to train on in a moment."""


def small_task(name: str) -> dict[str, Any]:
    return {"name": name, **SMALL_TASKS[name]}


COMPILED: dict[str, Any] = {
    "task": {"name": "competing-features", **SMALL_TASKS["competing-features"]},
    "model": {"name": "linear"},
    "regime": {"optimizer": "sgd", "loss": "logistic", "batch_size": 1, "weight_decay": 0.01},
    "engine": "compiled",
}
"""Changes that make the tiny run one of the compiled engine."""


STANDARD = ("logits", "probe", "spectra", "fourier")
"""Measurements that every run takes which they apply to."""


INTERVENING: dict[str, dict[str, Any]] = {
    "hold_norm": {"rho": 0.9},
    "temperature": {"temperature": 1.5},
    "subtract_initial": {},
    "decay_head": {"weight_decay": 0.5},
    "freeze": {"of": ["head", "embedding.weight"]},
    "project_gradient": {},
    "reinitialize": {"of": "weights"},
    "train_subset": {"share": 0.5},
    "radial_penalty": {"strength": 1.0},
    "switch": {
        "to": {
            "optimizer": {"name": "sgd", "momentum": 0.9},
            "grad_filter": "grokfast_ema",
            "loss": "mse",
            "batch_size": 5,
            "schedule": {"name": "warmup", "warmup_steps": 40},
        }
    },
}
"""Each built-in intervention with parameters under which it does something."""


TAKEN_AFTERWARDS = "ignore:.*prequential is missing from the rows. it trains new networks:UserWarning"
"""A filter of warnings: a run that is asked for a measurement of finished runs says so, and trains without it."""


def fitting(kind: str, name: str) -> dict[str, Any]:
    """Changes that make the tiny run use the registered thing `name` of this kind."""
    parity = {"task": small_task("parity"), "model": {"name": "mlp", "hidden": [8]}}
    codes = {
        "task": small_task("mheight"),
        "model": {"name": "code-resnet", "channels": 2, "blocks": 1, "hidden": 4},
        "regime.loss": "squared_error",
    }
    match kind, name:
        case "task", "digits" | "parity" | "competing-features":
            return {"task": small_task(name), "model": {"name": "mlp", "hidden": [8]}}
        case "task", "ridge":
            return {"task": small_task(name), "model": {"name": "linear"}, "regime.loss": "squared_error"}
        case ("task", "mheight") | ("model", "code-resnet") | ("loss", "squared_error"):
            return codes
        case ("task", "hospitals") | ("model", "small-resnet"):
            return {"task": small_task("hospitals"), "model": {"name": "small-resnet", "width": 4}}
        case "model", "timm":
            return {"task": small_task("hospitals"), "model": {"name": name, "architecture": "test_resnet"}}
        case "model", "linear":
            return {**parity, "model": {"name": "linear", "signal_dims": 2, "signal_init": 1.0}}
        case "model", "mlp":
            return {**parity, "model": {"name": "mlp", "hidden": [8, 8], "norm": "batch"}}
        case "model", "transformer":
            return {"model": {"name": name, "width": 8, "heads": 2, "mlp_width": 8, "norm": "layer"}}
        case "model", "quadratic-mlp":
            return {"model": {"name": name, "width": 8}}
        case "model", _:
            return {"model": {"name": name}} if name != "embedding-mlp" else {}
        case "loss", "hinge" | "logistic":
            return {**parity, "regime.loss": name}
        case "loss", _:
            return {"regime.loss": name}
        case "filter", "grokfast_ma":
            return {"regime.grad_filter": {"name": name, "window": 9}}
        case "filter", _:
            return {"regime.grad_filter": name}
        case "engine", "compiled":
            return COMPILED
        case "optimizer", "sgd":
            return {"regime.optimizer": name, "regime.optimizer.momentum": 0.9}
        case "optimizer", _:
            return {"regime.optimizer": name}
        case ("schedule", "constant") | ("task", "modular") | ("engine", "torch"):
            return {}
        case "schedule", _:
            return {"regime.schedule": name, "regime.schedule.warmup_steps": 10}
        case "measurement", "irm":
            return {"task": small_task("hospitals"), "model": {"name": "small-resnet", "width": 4}}
        case "measurement", "mechanisms":  # scale-invariant weights, and no running averages
            return {
                **parity,
                "model": {"name": "mlp", "hidden": [8], "norm": "layer", "bias": False},
                "measure": [name],
            }
        case "measurement", "rotation":
            return {**fitting("task", "hospitals"), "measure": [name]}
        case "measurement", _ if name in STANDARD:
            return {}
        case "measurement", _:
            return {"measure": [name]}
        case "intervention", _:
            return {"regime.interventions": [{"name": name, "from": 5, "until": 50, **INTERVENING[name]}]}
    raise KeyError((kind, name))


def same_folder_content(one: Any, two: Any) -> None:
    """Assert that two run folders hold the same metrics, checkpoints and resume states, bit for bit."""
    import torch

    names = [sorted(p.name for p in (f / "checkpoints").iterdir()) for f in (one, two)]
    assert names[0] == names[1]
    for name in names[0]:
        assert (one / "checkpoints" / name).read_bytes() == (two / "checkpoints" / name).read_bytes(), name
    for name in ("metrics.jsonl", "history.json", "summary.json", "interventions.json"):
        assert (one / "results" / name).exists() == (two / "results" / name).exists(), name
        if not (one / "results" / name).exists():
            continue
        assert (one / "results" / name).read_bytes() == (two / "results" / name).read_bytes(), name
    states = [torch.load(sorted((f / "resume").glob("*.pt"))[-1], weights_only=True) for f in (one, two)]
    assert_same(*states)


def assert_same(one: Any, two: Any, where: str = "state") -> None:
    """Nested equality, tensors bit for bit."""
    import torch

    assert type(one) is type(two), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), where
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for key in one:
            assert_same(one[key], two[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), where
        for i, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    else:
        assert one == two, where
