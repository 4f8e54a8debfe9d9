"""Damaged study and run files: a message or a sound reading, never a trace, a hang, or a file."""

import json
from pathlib import Path
from typing import Any

import pytest
from mutations import attempt, data_mutants, files_below, in_child, mutants

from grokscope import configio
from grokscope.study import Study, shipped_studies

SEED, BYTES, TREES = 20261126, 300, 500

STUDY: dict[str, Any] = {
    "name": "fuzzed",
    "seeds": [0, 1],
    "task": {"name": "modular", "p": 7, "train_fraction": 0.5},
    "model": {"name": "mlp", "hidden": [8, 8]},
    "regime": {
        "name": "x",
        "lr": 0.01,
        "optimizer": {"name": "adamw", "betas": [0.9, 0.98]},
        "schedule": {"name": "warmup", "warmup_steps": 3},
    },
    "budget": {"steps": 60},
    "evaluate": {"every": 7, "at": [0]},
    "diagnose": {"per_decade": 2},
    "checkpoint": {"every": 15, "unit": "epochs"},
    "hardware": {"threads": 1},
    "axes": {"regime.weight_decay": [0.0, 0.1], "model.hidden": [[4], [8]]},
    "arm": [{"name": "a"}, {"name": "b", "regime": {"lr": 0.1}, "seeds": [3]}],
    "criteria": {"fit": 0.99},
    "expect": [{"where": {"regime.weight_decay": 0.1}, "verdict": "grokked"}],
}


def _read(path: Path, root: Path) -> None:
    study = Study.load(path)
    study.plan(root, probe=False).to_dict()
    for config in study.runs()[:3]:
        assert configio.load_run(configio.dump(config)) == config


def fuzz_text(folder: str, name: str) -> dict[str, int]:
    """Every damaged copy of one shipped study file, read and planned."""
    source, seen = shipped_studies()[name].read_bytes(), {"ok": 0, "refused": 0}
    for number, data in enumerate(mutants(source, SEED, BYTES)):
        file = Path(folder) / "study.toml"
        file.write_bytes(data)
        seen[attempt(lambda file=file: _read(file, Path(folder) / "runs"), f"{name}, mutant {number}")] += 1
    return seen


def fuzz_trees(folder: str) -> dict[str, int]:
    """Every damaged copy of one study's plain data, read from JSON and planned."""
    seen = {"ok": 0, "refused": 0}
    for number, data in enumerate(data_mutants(STUDY, SEED, TREES)):
        file = Path(folder) / "study.json"
        file.write_text(_as_json(data), encoding="utf-8", errors="surrogatepass")
        seen[attempt(lambda file=file: _read(file, Path(folder) / "runs"), f"tree {number}: {data!r:.3000}")] += 1
    return seen


def fuzz_runs(folder: str) -> dict[str, int]:
    """Every damaged copy of one run's config, loaded; what loads has an id and a plan."""
    from grokscope.train.plan import make_plan

    run = {k: v for k, v in STUDY.items() if k in ("task", "model", "regime", "budget", "evaluate", "checkpoint")}
    seen = {"ok": 0, "refused": 0}
    for number, data in enumerate(data_mutants(run, SEED + 1, TREES)):

        def load(data: Any = data) -> None:
            config = configio.load_run(data)
            config.run_id()
            make_plan(config, config.task.train_size())

        if isinstance(data, dict):
            seen[attempt(load, f"run {number}: {data!r:.3000}")] += 1
    return seen


def _as_json(data: Any) -> str:
    """JSON with whole numbers of any length, which Python's own writer would refuse to print."""
    import sys

    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(data)
    finally:
        sys.set_int_max_str_digits(4300)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["digits", "trees", "runs"])
def test_damaged_files_are_refused_or_read(tmp_path, what):
    folder = tmp_path / "in"
    folder.mkdir()
    if what in ("trees", "runs"):
        seen = in_child("test_fuzz_configs", f"fuzz_{what}", str(folder), memory=1 << 30, cwd=tmp_path)
    else:
        seen = in_child("test_fuzz_configs", "fuzz_text", str(folder), what, memory=1 << 30, cwd=tmp_path)
    assert seen["refused"] > 50
    assert seen["ok"] > 5
    assert set(files_below(tmp_path)) <= {"in/study.toml", "in/study.json"}
