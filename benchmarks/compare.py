"""CPU seconds and peak memory of comparing two arms of 500 finished and judged runs, by a process of its own.

The folders hold planted curves of a hundred evaluations: two arms whose times differ by a third, each run judged once,
as the process that trains does. With a page every curve is read as well.

    python benchmarks/compare.py [--runs 500] [--keep FOLDER]
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import write_result
from many_runs import cost

from grokscope.store import open_run
from grokscope.verdicts import run_verdicts

LAST, EVERY = 10_000, 100


def write(folder: Path, arm: str, seed: int, T_gen: float, weight_decay: float) -> None:
    """A run that fits at once and generalizes at `T_gen`."""
    (folder / "results").mkdir(parents=True)
    config = {
        "task": {"name": "modular", "p": 59}, "model": {"name": "embedding-mlp"},
        "regime": {"name": arm, "weight_decay": weight_decay}, "budget": {"steps": LAST, "epochs": None}, "seed": seed,
    }  # fmt: skip
    splits = {split: {"n": 1000, "trivial_acc": 0.02} for split in ("train", "id_val")}
    data = {"version": 1, "digests": {"train": f"{seed:032x}", "id_val": "b" * 32}}
    facts = {"kind": "classification", "threshold": 0.95, "steps_per_epoch": 1, "splits": splits, "data": data}
    (folder / "config.json").write_text(json.dumps({"schema": 3, "config": config, "facts": facts, "passed": []}))
    rng = np.random.default_rng(seed)
    lines = []
    for step in range(0, LAST + 1, EVERY):
        held = 0.98 + 0.01 * rng.random() if step >= T_gen else 0.05 + 0.02 * rng.random()
        row = {"step": step, "epoch": float(step), "lr": 0.01, "train_acc": min(1.0, 0.1 + step / 300)}
        row |= {"train_loss": 1.0, "id_val_acc": round(held, 3), "id_val_loss": 1.0, "norm_total": 60.0 - step / 400}
        lines.append(json.dumps(row))
    (folder / "results" / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    status = {"state": "done", "step": LAST, "total_steps": LAST, "error": None}
    (folder / "status.json").write_text(json.dumps(status))
    run_verdicts(open_run(folder), neighbors=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = given.keep or Path(scratch)
        for arm, middle, decay in (("decay-1", 3000, 1.0), ("decay-2", 2000, 2.0)):
            times = np.random.default_rng(int(decay)).lognormal(np.log(middle), 0.3, given.runs)
            for seed, T_gen in enumerate(times):
                folder = root / "runs" / f"modular_{arm}_n1000_s{seed}-{seed:08x}"
                if not folder.exists():
                    write(folder, arm, seed, T_gen, decay)
        command = [sys.executable, "-m", "grokscope.cli", "compare", str(root / "runs")]
        result = {
            "runs a side": given.runs,
            "evaluations each": LAST // EVERY + 1,
            "terminal": cost(command, root / "out.txt"),
            "json": cost([*command, "--json"], root / "out.json"),
            "page": cost([*command, "--html", str(root / "page.html")], root / "out.txt"),
            "page_mb": round((root / "page.html").stat().st_size / 1e6, 2),
        }
        print(json.dumps(result, indent=1))
        write_result("compare", result)


if __name__ == "__main__":
    main()
