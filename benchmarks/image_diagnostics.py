"""What looking at an image network costs at the published cadence: one row of metrics against fifty epochs of steps.

The published cadence is a row every 50 epochs of 1,000 patches, batch 32. Timed one after the other, in one process and
on one thread: training steps in the regime that costs least (`standard`: no filter), a row that only evaluates the four
splits, and a row with every diagnostic (penalties, margins, spectra, norms, effective rates; and the step before it,
watched). A row is taken `--rows` times and its median kept; so are the steps. Target: all of it at most 10 % on top of
training.

    python benchmarks/image_diagnostics.py [--rows 5]

`instrumented.py --network small-resnet` measures the same on whole runs, folder and checkpoints included.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from common import write_result

from grokscope import configio
from grokscope.train.driver import make_engine
from grokscope.train.torch_engine import TorchEngine

EPOCHS = 50
STEPS = 32
"""Steps of an epoch of 1,000 examples: what is timed is one epoch."""

CASES = {
    "small-resnet, 32 x 32": ({"name": "small-resnet"}, 32, 500),
    "resnet18, 96 x 96": ({"name": "timm", "architecture": "resnet18"}, 96, 2000),
}
"""Network, patch size, and patches in each held-out split (the defaults of hospitals and of camelyon17)."""


def engine(model: dict[str, str], size: int, n_eval: int) -> TorchEngine:
    run = configio.load_run(
        {
            "task": {"name": "hospitals", "n_train": 1000, "n_eval": n_eval, "image_size": size},
            "model": model,
            "regime": {"recipe": "standard"},
            "budget": {"epochs": 3000},
        }
    )
    made = make_engine(run, run.task.build(0))[1]
    assert isinstance(made, TorchEngine)
    return made


def seconds(action: Callable[[], object], times: int) -> float:
    """Median seconds of an action, after one that does not count."""
    found = []
    for _ in range(times + 1):
        start = time.perf_counter()
        action()
        found.append(time.perf_counter() - start)
    return statistics.median(found[1:])


def measure(case: str, rows: int) -> dict[str, float]:
    made = engine(*CASES[case])

    def epoch(watched: bool) -> None:
        made.advance(made.step + STEPS, watched, lambda: False)

    training = seconds(lambda: epoch(False), rows)
    watching = seconds(lambda: epoch(True), rows) - training
    evaluated = seconds(lambda: made.row(diagnose=False), rows)
    diagnosed = seconds(lambda: made.row(diagnose=True), rows) + max(watching, 0.0)
    base = EPOCHS * training
    print(
        f"{case}: {training:.3f} s an epoch; a row {evaluated:.3f} s evaluated, {diagnosed:.3f} s diagnosed\n"
        f"  of {EPOCHS} epochs: evaluation {evaluated / base:.1%}, diagnostics on top of it "
        f"{(diagnosed - evaluated) / base:.1%}, all together {diagnosed / base:.1%} (target <= 10 %)"
    )
    return {"epoch_s": training, "evaluated_s": evaluated, "diagnosed_s": diagnosed, "share": diagnosed / base}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {case: measure(case, given.rows) for case in CASES}
    write_result("image_diagnostics", {"epochs_between_rows": EPOCHS, "cases": found, "target": 0.10})


if __name__ == "__main__":
    main()
