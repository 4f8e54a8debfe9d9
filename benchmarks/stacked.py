"""Run-steps of a stack against those of the plain loop, on the network of E1 (modular addition modulo 59), one thread.

Both ways take turns in blocks, and the best block of each counts. Time is that of the process on the CPU, so that other
work on the machine counts as little as it can. Targets: 2.5 times as many run-steps with K = 16 and batches of 32, with
one process as with two at once.

Cost: some minutes. Misleads about whole runs: rows, checkpoints and verdicts take the same time either way, which is
why whole runs are compared too.

python benchmarks/stacked.py [--seconds 20]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from common import write_result

from grokscope import configio
from grokscope.config import RunConfig
from grokscope.train.driver import make_engine, train
from grokscope.train.stacked.driver import train_stack
from grokscope.train.stacked.engine import Stack
from grokscope.train.stacked.member import Member
from grokscope.train.torch_engine import TorchEngine

SIZES = (1, 4, 16, 64)
ROUNDS = 8
E1: dict[str, Any] = {
    "task": {"name": "modular", "p": 59},
    "model": {"name": "embedding-mlp", "embedding": 64, "hidden": [128]},
    "regime": {"recipe": "modular"},
    "budget": {"steps": 1_000_000},
}


def config_of(seed: int, **changes: Any) -> RunConfig:
    keys = {k.replace("__", "."): v for k, v in changes.items()}
    return configio.load_run(configio.overlay(E1, {"seed": seed, **keys}))


def plain(config: RunConfig) -> Callable[[], None]:
    """One step of one run."""
    _, engine = make_engine(config, config.task.build(config.seed))
    return lambda: engine.advance(engine.step + 1, False, lambda: False)


def stacked(configs: list[RunConfig]) -> Callable[[], None]:
    """One step of all runs."""
    members: list[TorchEngine] = [Member(c, c.task.build(c.seed), c.budget.in_steps(1)) for c in configs]
    stack = Stack(members)
    return lambda: stack.advance(stack.step + 1, (), lambda: False)


def block(step: Callable[[], None], seconds: float) -> float:
    """CPU seconds of a step."""
    count, start = 0, time.process_time()
    while count < 3 or time.process_time() - start < seconds:
        step()
        count += 1
    return (time.process_time() - start) / count


def compared(configs: list[RunConfig], seconds: float) -> dict[str, Any]:
    """A stack of these runs against the first of them alone."""
    one, many = plain(configs[0]), stacked(configs)
    for step in (one, many):
        step()
    each = seconds / (2 * ROUNDS)
    times = [(block(one, each), block(many, each)) for _ in range(ROUNDS)]
    alone, together = (min(column) for column in zip(*times, strict=True))
    k = len(configs)
    return {"K": k, "plain_step_s": alone, "stacked_step_s": together, "ratio": k * alone / together}


def whole_runs(k: int, steps: int) -> dict[str, Any]:
    """CPU seconds of whole runs at the usual cadences, folders and all, but no verdicts."""
    configs = [config_of(s, regime__batch_size=32, budget__steps=steps) for s in range(k)]
    with tempfile.TemporaryDirectory() as root:
        start = time.process_time()
        train_stack(configs, f"{root}/stacked")
        together = time.process_time() - start
        start = time.process_time()
        for config in configs[: k // 4]:
            train(config, f"{root}/plain")
        alone = (time.process_time() - start) / (k // 4)
    return {"K": k, "steps": steps, "plain_run_s": alone, "stacked_s": together, "ratio": k * alone / together}


def two_at_once(seconds: float) -> dict[str, Any]:
    """The same comparison in two processes side by side: caches and memory are shared then."""
    command = [sys.executable, os.path.abspath(__file__), "--only", "16", "--seconds", str(seconds)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    rows = [json.loads(process.communicate()[0].strip().splitlines()[-1]) for process in both]
    return {"ratios": [row["ratio"] for row in rows], "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20.0, help="CPU seconds for each comparison")
    parser.add_argument("--only", type=int, help="compare one size alone, and print it as JSON")
    given = parser.parse_args()
    torch.set_num_threads(1)
    small = [config_of(s, regime__batch_size=32) for s in range(max(SIZES))]
    if given.only:
        print(json.dumps(compared(small[: given.only], given.seconds)))
        return
    rates = [config_of(s, regime__batch_size=32, regime__lr=1e-2 * 0.95**s) for s in range(16)]
    filtered = [config_of(s, regime__batch_size=32, regime__grad_filter="grokfast_ema") for s in range(16)]
    result = {
        "batches of 32": [compared(small[:k], given.seconds) for k in SIZES],
        "full batch": [compared([config_of(s) for s in range(k)], given.seconds) for k in SIZES[1:3]],
        "batches of 32, 16 learning rates": compared(rates, given.seconds),
        "batches of 32, Grokfast-EMA": compared(filtered, given.seconds),
        "whole runs, batches of 32": whole_runs(16, 1000),
        "two processes at once, batches of 32": two_at_once(given.seconds),
        "target": {"K": 16, "batch": 32, "ratio": 2.5},
    }
    print(json.dumps(result, indent=1))
    write_result("stacked", result)


if __name__ == "__main__":
    main()
