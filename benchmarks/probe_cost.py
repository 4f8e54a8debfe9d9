"""What the linear probe of each diagnosed row costs, as a share of the CPU time of whole runs of the shipped studies.

For the first run of each study: CPU seconds of a training step, of a diagnosed row, and of the same row without its
probe, one after the other on one thread; then the study's own cadences say how many of each a run has. Target: 5 %.

    python benchmarks/probe_cost.py [--steps 300]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from common import write_result

from grokscope.study import Study, shipped_studies
from grokscope.train.driver import make_engine
from grokscope.train.torch_engine import TorchEngine

STUDIES = ("digits", "modular_addition", "quadratic_mlp", "sparse_parity", "hospitals_small", "hospitals_sizes")


def cpu(action: Callable[[], object], times: int) -> float:
    """Median CPU seconds of an action, after one that does not count."""
    spent = []
    for _ in range(times + 1):
        start = time.process_time()
        action()
        spent.append(time.process_time() - start)
    return statistics.median(spent[1:])


def measure(name: str, steps: int) -> dict[str, float]:
    config = Study.load(shipped_studies()[name]).runs()[0]
    plan, engine = make_engine(config, config.task.build(config.seed))
    assert isinstance(engine, TorchEngine)
    engine.advance(5, False, lambda: False)
    step = cpu(lambda: engine.advance(engine.step + steps, False, lambda: False), 3) / steps
    evaluated, diagnosed = (cpu(lambda d=d: engine.row(d), 5) for d in (False, True))
    classes, engine.probed_classes = engine.probed_classes, 0
    without = cpu(lambda: engine.row(True), 5)
    engine.probed_classes = classes
    rows, looks = len(list(plan.evaluate)), len(list(plan.diagnose))
    whole = plan.total * step + rows * evaluated + looks * (diagnosed - evaluated)
    share = looks * max(diagnosed - without, 0.0) / whole
    print(f"{name}: probe {1e3 * (diagnosed - without):.1f} ms x {looks} of {whole:.1f} s: {share:.1%} (target 5 %)")
    return {"probe_s": diagnosed - without, "looks": looks, "run_s": whole, "share": share}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    torch.set_num_threads(1)
    steps = parser.parse_args().steps
    write_result("probe_cost", {name: measure(name, steps) for name in STUDIES})


if __name__ == "__main__":
    main()
