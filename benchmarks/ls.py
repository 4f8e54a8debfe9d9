"""CPU seconds (user and system, of all threads) of `ls`, `study status` and SQL over ten thousand run folders, cold and
again. On an idle machine with warm file caches, the wall clock shows about as much.

    python benchmarks/ls.py [--runs 10000] [--keep FOLDER]

The folders are small copies of one real run: 61 evaluations, a config, a status, no checkpoints.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sized
from pathlib import Path

from common import write_result

ROWS = 61


def make(root: Path, count: int) -> None:
    """`count` finished runs of the digits recipe with seeds 0, 1, ..., half of them grokked."""
    from grokscope import configio
    from grokscope.store.provenance import provenance

    base = {
        "task": {"name": "digits"},
        "model": {"name": "mlp"},
        "regime": {"name": "bench", "loss": "mse", "init_scale": 8},
        "budget": {"steps": 3000},
    }
    made = provenance() | {"threads": 1, "device": "cpu"}
    splits = {"train": {"n": 200, "trivial_acc": 0.1}, "id_val": {"n": 1597, "trivial_acc": 0.1}}
    facts = {"kind": "classification", "threshold": 0.9, "steps_per_epoch": 1, "parameters": 55210, "splits": splits}
    for seed in range(count):
        config = configio.load_run({**base, "seed": seed})
        folder = root / config.run_id()
        (folder / "results").mkdir(parents=True)
        record = {"schema": 1, "config": configio.dump(config), "passed": [], "facts": facts, "provenance": made}
        status = {"state": "done", "step": 3000, "total_steps": 3000, "host": "bench", "pid": 1, "heartbeat": 0.0}
        (folder / "config.json").write_text(json.dumps({**record, "lineage": None}, indent=1))
        lines = "".join(json.dumps(_row(i, late=seed % 2 == 0)) + "\n" for i in range(ROWS))
        (folder / "status.json").write_text(json.dumps(status | {"metrics_bytes": len(lines)}))
        (folder / "results" / "metrics.jsonl").write_text(lines)


def _row(i: int, late: bool) -> dict[str, float]:
    train = min(20 + 30 * i, 200)
    held = 1500 if late and i > 40 else 160
    more = {f"norm_{g}": 100.0 + i for g in ("total", "weights", "head", "biases")}
    counts = {"train_correct": train, "train_n": 200, "id_val_correct": held, "id_val_n": 1597}
    losses = {"train_loss": 1.0 / (1 + i), "id_val_loss": 2.0 / (1 + i)}
    return {"step": 50 * i, "epoch": 50.0 * i, "lr": 1e-3, **counts, **losses, **more}


def timed(name: str, call: Callable[[], Sized]) -> float:
    start = time.process_time()
    result = call()
    seconds = time.process_time() - start
    print(f"{name:<34} {seconds:7.2f} s   {len(result):,} rows", flush=True)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="make the folders here, once, and keep them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.keep or Path(scratch)
        if not any(root.glob("*/config.json")):
            timed("making the folders", lambda: make(root, options.runs) or range(options.runs))
        write_result("ls", {"runs": options.runs, "evaluations each": ROWS, "cpu_seconds": measure(root, options.runs)})


def measure(root: Path, count: int) -> dict[str, float]:
    """CPU seconds of each question."""
    from grokscope.commands.look import ls, sql
    from grokscope.study import Study

    by_verdict = "select verdict, count(*), median(T_gen) from runs group by verdict"
    by_step = "select m.step, avg(id_val_correct) from metrics m group by m.step"
    raw = {"task": {"name": "digits"}, "model": {"name": "mlp"}, "budget": {"steps": 3000}, "seeds": list(range(count))}
    study = Study.from_dict(raw | {"regime": {"name": "bench", "loss": "mse", "init_scale": 8}})
    questions: dict[str, Callable[[], Sized]] = {
        "ls, nothing judged yet": lambda: ls(root).rows,
        "ls": lambda: ls(root).rows,
        "sql over runs": lambda: sql(by_verdict, root=root).rows,
        "sql over metrics, no index yet": lambda: sql(by_step, root=root).rows,
        "sql over metrics": lambda: sql(by_step, root=root).rows,
        "study status": lambda: study.status(root),
    }
    return {name: round(timed(name, question), 2) for name, question in questions.items()}


if __name__ == "__main__":
    main()
