"""What the instruments cost: a recorded run at the published cadence against a bare loop with the same arithmetic.

The published cadence: evaluation and diagnostics at epochs 1, 50, 100, ..., weights every 200 epochs and at the end.
The bare loop does the same forward, loss, backward, clip, decay and update on the same batches and writes nothing. Both
train the same network on the same 1,000 digits, batch 32, in turn; the ratio is taken pair by pair. Target: at most
1.05.

    python benchmarks/instrumented.py [--epochs 200] [--pairs 5]
"""

import argparse
import statistics
import tempfile
import time

import torch
from common import write_result

from grokscope import configio
from grokscope.config import RunConfig
from grokscope.train.driver import train
from grokscope.train.torch_engine import TorchEngine


def config(epochs: int, seed: int) -> RunConfig:
    return configio.load_run(
        {
            "task": {"name": "digits", "n_train": 1000},
            "model": {"name": "mlp"},
            "regime": {"weight_decay": 5e-3, "init_scale": 4.0, "clip_norm": 1.0, "batch_size": 32},
            "budget": {"epochs": epochs},
            "evaluate": {"every": 50, "at": [1], "unit": "epochs"},
            "diagnose": {"every": 50, "at": [1], "unit": "epochs"},
            "checkpoint": {"every": 200, "unit": "epochs"},
            "seed": seed,
        }
    )


def bare(run: RunConfig) -> float:
    """Seconds of the plain loop: torch and nothing else."""
    data = run.task.build(run.seed)
    engine = TorchEngine(run, data, 1)
    model, x, y = engine.model, engine.splits["train"].x, engine.splits["train"].y
    regime = run.regime
    optimizer = torch.optim.AdamW(model.parameters(), lr=regime.lr, weight_decay=regime.weight_decay, fused=True)
    generator = torch.Generator().manual_seed(0)
    start = time.perf_counter()
    for _ in range(run.budget.epochs or 0):
        for index in torch.randperm(len(y), generator=generator).split(regime.batch_size):
            loss = torch.nn.functional.cross_entropy(model(x[index]), y[index])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return time.perf_counter() - start


def recorded(run: RunConfig) -> float:
    """Seconds of the recorded run, everything included: data, folder, rows, checkpoints."""
    with tempfile.TemporaryDirectory() as root:
        start = time.perf_counter()
        train(run, root)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    bare(config(5, 0)), recorded(config(5, 0))  # warm-up
    pairs = [(recorded(config(given.epochs, s)), bare(config(given.epochs, s))) for s in range(given.pairs)]
    ratios = [a / b for a, b in pairs]
    for (a, b), ratio in zip(pairs, ratios, strict=True):
        print(f"recorded {a:7.2f} s   bare {b:7.2f} s   ratio {ratio:.3f}")
    print(f"median ratio {statistics.median(ratios):.3f} (target <= 1.05)")
    write_result(
        "instrumented",
        {"epochs": given.epochs, "pairs": pairs, "ratios": ratios, "median": statistics.median(ratios), "target": 1.05},
    )


if __name__ == "__main__":
    main()
