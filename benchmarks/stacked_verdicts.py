"""Verdicts of runs that were trained in a stack against the same runs trained alone, on the CPU.

Far from a boundary every run must get the same verdict. Near one, rounding decides single runs, so distributions over
seeds are compared there: how many generalize within the budget (Fisher's exact test) and when (Mann-Whitney; runs that
do not are tied as the last).

Cost: about two minutes of one core. Misleads: 24 seeds find a difference in rates of about 40 points, no smaller one.

python benchmarks/stacked_verdicts.py [--seeds 24] [--scale 1.0]
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from common import write_result
from scipy.stats import fisher_exact, mannwhitneyu

from grokscope import configio
from grokscope.config import RunConfig
from grokscope.store import Run
from grokscope.train.driver import train
from grokscope.train.stacked.driver import train_stack
from grokscope.verdicts import run_verdicts

ARMS: dict[str, dict[str, Any]] = {
    "far: no decay": {"regime.weight_decay": 0.0, "budget.steps": 1500},
    "far: eight tenths of the pairs": {"task.train_fraction": 0.8},
    "near: half of the pairs": {"task.train_fraction": 0.5},
    "near: six tenths of the pairs": {"task.train_fraction": 0.6},
}
FAR = 8
"""Seeds of an arm far from a boundary."""
RECIPE: dict[str, Any] = {
    "task": {"name": "modular", "p": 29},
    "model": {"name": "embedding-mlp", "embedding": 32, "hidden": [64]},
    "regime": {"recipe": "modular", "weight_decay": 1.0, "batch_size": 64},
    "budget": {"steps": 3000},
    "evaluate": {"every": 20},
    "diagnose": {"at": [1]},
    "checkpoint": {"at": [0]},
}


def configs_of(arm: str, seeds: int, scale: float) -> list[RunConfig]:
    config = configio.overlay(RECIPE, ARMS[arm])
    steps = max(int(config["budget"]["steps"] * scale), 60)
    return [configio.load_run(configio.overlay(config, {"seed": s, "budget.steps": steps})) for s in range(seeds)]


def judged(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Verdict and T_gen of each run; None where it did not generalize."""
    rows = []
    for run in runs:
        verdict = next(iter(run_verdicts(run).values())).to_dict()
        milestone = verdict["milestones"]["T_gen"]
        rows.append({"verdict": verdict["verdict"], "T_gen": None if milestone["censored"] else milestone["at"]})
    return rows


def compared(configs: Sequence[RunConfig]) -> dict[str, Any]:
    """The same runs both ways."""
    with tempfile.TemporaryDirectory() as root:
        stacked = judged([ended.run for ended in train_stack(configs, f"{root}/stacked")])
        alone = judged([train(config, f"{root}/alone") for config in configs])
    both = {"stacked": stacked, "alone": alone}
    counts = {way: [sum(row["T_gen"] is not None for row in rows), len(rows)] for way, rows in both.items()}
    table = [[reached, total - reached] for reached, total in counts.values()]
    times = [[float("inf") if row["T_gen"] is None else row["T_gen"] for row in rows] for rows in both.values()]
    return {
        "seeds": len(configs),
        "verdicts": {way: dict(Counter(row["verdict"] for row in rows)) for way, rows in both.items()},
        "equal verdicts": sum(a["verdict"] == b["verdict"] for a, b in zip(stacked, alone, strict=True)),
        "generalized, of": counts,
        "p, rates": float(fisher_exact(table)[1]),
        "p, times": float(mannwhitneyu(*times).pvalue),
        "T_gen": {way: [row["T_gen"] for row in rows] for way, rows in both.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=24, help="of each arm near a boundary")
    parser.add_argument("--scale", type=float, default=1.0, help="of the budget")
    given = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"recipe": RECIPE, "arms": {}}
    for arm in ARMS:
        seeds = min(FAR, given.seeds) if arm.startswith("far") else given.seeds
        result["arms"][arm] = compared(configs_of(arm, seeds, given.scale))
        print(arm, json.dumps({k: v for k, v in result["arms"][arm].items() if k != "T_gen"}), flush=True)
    write_result("stacked_verdicts", result)


if __name__ == "__main__":
    main()
