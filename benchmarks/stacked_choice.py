"""Whether `--engine auto` ever chooses a stack that is slower: the probe's answer for many kinds of run, and a longer
measurement of the same runs both ways. Target: nothing that is chosen is below .95 times a run alone.

Kinds on both sides of the boundary: batches of 8 to all 1,740 examples of E1's network, optimizers and filters that a
stack calls member by member, one learning rate for each member, and few members.

Cost: some two minutes of one core. Misleads about whole runs: rows and folders take the same time either way.

python benchmarks/stacked_choice.py [--seconds 6]
"""

import argparse
from typing import Any

import torch
from common import write_result
from stacked import compared, config_of

from grokscope.config import RunConfig
from grokscope.execute.stacks import WORTH
from grokscope.train.stacked.probe import speedup

TARGET = 0.95


def kinds() -> dict[str, list[RunConfig]]:
    """Name -> the runs of one stack."""

    def runs(k: int = 16, **changes: Any) -> list[RunConfig]:
        return [config_of(seed, **changes) for seed in range(k)]

    found = {f"batches of {size}": runs(regime__batch_size=size) for size in (8, 32, 128, 256, 512)}
    found["full batch"] = runs()
    found["batches of 32, 2 runs"] = runs(2, regime__batch_size=32)
    found["batches of 256, 2 runs"] = runs(2, regime__batch_size=256)
    for size in (32, 256):
        found[f"batches of {size}, Muon"] = runs(regime__batch_size=size, regime__optimizer="muon")
        rates = [config_of(s, regime__batch_size=size, regime__lr=1e-2 * 0.95**s) for s in range(16)]
        found[f"batches of {size}, 16 learning rates"] = rates
    held = [{"name": "hold_norm", "rho": 0.9, "from": 1}]
    found["batches of 128, norms held"] = runs(regime__batch_size=128, regime__interventions=held)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=6.0, help="CPU seconds of each longer measurement")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, configs in kinds().items():
        probed, measured = speedup(configs), compared(configs, given.seconds)["ratio"]
        rows.append({"kind": name, "K": len(configs), "probed": probed, "measured": measured,
                     "stacked": probed >= WORTH})  # fmt: skip
        print(f"{name:34} probed {probed:.2f}, measured {measured:.2f}{', stacked' * (probed >= WORTH)}", flush=True)
    worst = min(row["measured"] for row in rows if row["stacked"])
    print(f"the slowest that is chosen: {worst:.2f} (target {TARGET})")
    write_result("stacked_choice", {"kinds": rows, "worst chosen": worst, "target": TARGET})


if __name__ == "__main__":
    main()
