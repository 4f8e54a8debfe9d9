"""What measurements cost: each alone, and those of `mechanisms` together as a share of a run at its shipped cadences.

For the first arm and seed of a shipped study: processor time of a training step, of a row and of a diagnosed row, and
of each measurement, at a network that has been trained for some steps. The share is (number of diagnosed rows) * (cost
of a measurement) over the processor time of the whole run without it. Target: `mechanisms` at most 10 %.

    python benchmarks/measurements.py [--case modular_addition digits hospitals_small]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import write_result

from grokscope import registry
from grokscope.study import Study, shipped_studies
from grokscope.train.driver import make_engine
from grokscope.train.torch_engine import TorchEngine

CASES = {"modular_addition": 300, "digits": 1000, "hospitals_small": 60}
"""Study -> steps before anything is timed."""
TIMED = {"modular_addition": 200, "digits": 500, "hospitals_small": 40}
"""Study -> steps that are timed."""
REPEATS = 5
"""Calls that are timed; of measurements with Hessians or Jacobians one."""
CHEAP = (
    "mechanisms", "update_direction", "rotation", "distance", "margins", "layers", "head_alignment", "simplicity",
    "gap", "description_length", "pac_bayes",
)  # fmt: skip
COSTLY = ("hessian", "kernel", "jacobian_rank", "projected_shrinking")
TARGET = 0.10


def seconds(work: Callable[[], Any]) -> float:
    """Processor time of one call, median of some."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return statistics.median(times)


def measured(study: str) -> dict[str, Any]:
    """Costs in seconds of processor time, and shares of the run."""
    config = Study.load(shipped_studies()[study]).runs()[0]
    data = config.task.build(config.seed)
    plan, engine = make_engine(config, data)
    assert isinstance(engine, TorchEngine)
    chosen = {name: registry.load("measurement", name)() for name in (*CHEAP, *COSTLY)}
    engine._keep_for(list(chosen.values()))
    engine.advance(CASES[study], False, lambda: False)
    began = time.process_time()
    engine.advance(engine.step + TIMED[study], False, lambda: False)
    step = (time.process_time() - began) / TIMED[study]
    row, diagnosed = seconds(lambda: engine.row(False)), seconds(lambda: engine.row(True))
    steps, rows, diagnoses = plan.total, plan.evaluate.about(), plan.diagnose.about()
    run = steps * step + (rows - diagnoses) * row + diagnoses * diagnosed
    costs = {name: cost(engine, measurement) for name, measurement in chosen.items()}
    return {
        "parameters": sum(p.numel() for p in engine.parameters),
        "steps": steps,
        "rows": rows,
        "diagnosed_rows": diagnoses,
        "step_s": step,
        "row_s": row,
        "diagnosed_row_s": diagnosed,
        "run_s": run,
        "measurement_s": costs,
        "share_of_run": {name: diagnoses * value / run for name, value in costs.items()},
    }


def cost(engine: TorchEngine, measurement: Any) -> float:
    """Of one measurement, with views of its own: what a view keeps for others is not free. Forward passes that a row
    makes anyway are not counted."""
    times = []
    for _ in range(REPEATS if measurement.name in CHEAP else 1):
        engine.advance(engine.step + 1, True, lambda: False)
        engine.model.eval()
        logits, features = engine._forward_all(True)
        began = time.process_time()
        with torch.random.fork_rng(devices=[]):
            measurement(engine.view(logits, features))
        times.append(time.process_time() - began)
        engine.model.train()
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", nargs="*", default=list(CASES), choices=list(CASES))
    torch.set_num_threads(1)
    old = Path(__file__).parent / "results" / "measurements.json"
    result = json.loads(old.read_text())["result"] if old.exists() else {}
    for study in parser.parse_args().case:
        result[study] = found = measured(study)
        print(f"{study}: {found['steps']:,} steps, {found['diagnosed_rows']} diagnosed rows, {found['run_s']:.1f} s")
        for name, value in found["measurement_s"].items():
            print(f"  {name:<20} {1000 * value:8.1f} ms  {found['share_of_run'][name]:7.1%} of the run")
        verdict = "target met" if found["share_of_run"]["mechanisms"] <= TARGET else "target missed"
        print(f"  mechanisms, all that need no Hessian and no Jacobian: {verdict}")
    write_result("measurements", result)


if __name__ == "__main__":
    main()
