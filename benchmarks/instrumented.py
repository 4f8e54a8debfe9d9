"""What the instruments cost: a recorded run at the published cadence against a bare loop with the same arithmetic.

The published cadence: evaluation and diagnostics at epochs 1, 50, 100, ..., weights every 200 epochs and at the end.
The bare loop builds the same data, does the same forward, loss, backward, clip, decay and update on the same batches,
and writes nothing. Both train the same network on the same 1,000 images, batch 32, in turn; the ratio is taken pair by
pair. Target: at most 1.05 for a perceptron on digits, 1.10 for a residual network on patches from hospitals.

    python benchmarks/instrumented.py [--network mlp|small-resnet] [--epochs 200] [--pairs 5]
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

CASES = {
    "mlp": ({"name": "digits", "n_train": 1000}, "instrumented", 1.05),
    "small-resnet": ({"name": "hospitals", "n_train": 1000, "image_size": 32}, "instrumented_images", 1.10),
}
"""Task, name of the result, target."""


def config(network: str, epochs: int, seed: int) -> RunConfig:
    return configio.load_run(
        {
            "task": CASES[network][0],
            "model": {"name": network},
            "regime": {"weight_decay": 5e-3, "init_scale": 4.0, "clip_norm": 1.0, "batch_size": 32},
            "budget": {"epochs": epochs},
            "evaluate": {"every": 50, "at": [1], "unit": "epochs"},
            "diagnose": {"every": 50, "at": [1], "unit": "epochs"},
            "checkpoint": {"every": 200, "unit": "epochs"},
            "seed": seed,
        }
    )


def clocks() -> tuple[float, float]:
    """Wall clock and the process's own CPU time: the second stays true when the machine is busy."""
    return time.perf_counter(), time.process_time()


def bare(run: RunConfig) -> tuple[float, float]:
    """Seconds (wall, CPU) of the plain loop, data included: torch and nothing else."""
    start = clocks()
    data = run.task.build(run.seed)
    building = since(start)
    engine = TorchEngine(run, data, 1)
    model, network, train = engine.model, engine.network, engine.splits["train"]
    x, y, regime = train.x, train.y, run.regime
    optimizer = torch.optim.AdamW(model.parameters(), lr=regime.lr, weight_decay=regime.weight_decay, fused=True)
    generator = torch.Generator().manual_seed(0)
    start = clocks()
    for _ in range(run.budget.epochs or 0):
        for index in torch.randperm(len(y), generator=generator).split(regime.batch_size):
            loss = torch.nn.functional.cross_entropy(network(x[index]), y[index])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    wall, cpu = since(start)
    return wall + building[0], cpu + building[1]


def since(start: tuple[float, float]) -> tuple[float, float]:
    wall, cpu = clocks()
    return wall - start[0], cpu - start[1]


def recorded(run: RunConfig) -> tuple[float, float]:
    """Seconds (wall, CPU) of the recorded run, everything included: data, folder, rows, checkpoints."""
    with tempfile.TemporaryDirectory() as root:
        start = clocks()
        train(run, root)
        return since(start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", choices=list(CASES), default="mlp")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    _, name, target = CASES[given.network]
    bare(config(given.network, 5, 0)), recorded(config(given.network, 5, 0))  # warm-up
    runs = [config(given.network, given.epochs, s) for s in range(given.pairs)]
    pairs = [(recorded(run), bare(run)) for run in runs]
    ratios = {clock: [a[i] / b[i] for a, b in pairs] for i, clock in enumerate(("wall", "cpu"))}
    for (a, b), wall, cpu in zip(pairs, *ratios.values(), strict=True):
        print(f"recorded {a[0]:6.2f} s   bare {b[0]:6.2f} s   ratio {wall:.3f} by wall, {cpu:.3f} by CPU time")
    medians = {clock: statistics.median(found) for clock, found in ratios.items()}
    print(f"median ratio {medians['wall']:.3f} by wall, {medians['cpu']:.3f} by CPU time (target <= {target})")
    write_result(name, {"epochs": given.epochs, "pairs": pairs, "medians": medians, "target": target})


if __name__ == "__main__":
    main()
