"""Ten networks that were really trained, five with the shortcut and five without, dissected through the command line:
how often is the conclusion right?

A network trained where the label follows the hospital (correlation 0.9) should be found to use the hospital; one
trained where it does not (correlation 0) should not be said to use it beyond what is negligible.

Run: OMP_NUM_THREADS=1 python benchmarks/dissect_trained.py [--folder runs-dissect-trained] [--seeds 5]. Trained
networks are kept in the folder, so that a second run only dissects. Writes benchmarks/results/dissect_trained.json.
"""

import argparse
import contextlib
import io
import json
import time
from pathlib import Path
from typing import Any

from common import write_result

from grokscope.cli import run as cli

CONFIG = """
[task]
name = "hospitals"
n_train = 800
n_eval = 1200
image_size = 32
patients = 60
slides = 60
correlation = {correlation}

[model]
name = "small-resnet"
width = 8

[regime]
recipe = "standard"

[budget]
steps = 400

[evaluate]
every = 200

[checkpoint]
every = 400
"""
KINDS = {"shortcut": 0.9, "balanced": 0.0}
RIGHT = {
    "shortcut": ("readable and used",),
    "balanced": ("readable but unused", "readable and used, negligibly", "neither", "cannot tell"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs-dissect-trained"))
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    start = time.process_time()
    rows = [one(options.folder, kind, seed) for kind in KINDS for seed in range(1, options.seeds + 1)]
    for row in rows:
        print(*(f"{k} {v}" for k, v in row.items()), sep="  ")
    right = {kind: sum(r["right"] for r in rows if r["kind"] == kind) for kind in KINDS}
    print(f"right: {right} of {options.seeds} each")
    result = {
        "right": right,
        "of_each": options.seeds,
        "rows": rows,
        "config": CONFIG,
        "processor_seconds": round(time.process_time() - start),
    }
    write_result("dissect_trained", result)


def one(folder: Path, kind: str, seed: int) -> dict[str, Any]:
    """Train (or find) one network and dissect it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / f"{kind}.toml"
    config.write_text(CONFIG.format(correlation=KINDS[kind]))
    root = folder / kind
    trained = json.loads(command(["train", str(config), "--seed", str(seed), "--root", str(root), "--json"]))
    run = Path(trained["path"])
    found = json.loads(command(["dissect", str(run), "--no-figures", "--json"]))
    row = found["checkpoints"][-1]
    where = json.loads((run / "mechinterp" / "m4.json").read_text())["where"]
    probe = json.loads((run / "mechinterp" / "m1.json").read_text())
    accuracy = {s["name"]: round(s["accuracy"], 3) for s in probe["scenes"]}
    return {
        "kind": kind,
        "seed": seed,
        "cell": row["cell"],
        "right": row["cell"] in RIGHT[kind],
        "accuracy": accuracy,
        "reason": where["reason"],
    }


def command(words: list[str]) -> str:
    """What the command line prints; its progress goes to standard error."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = cli(words)
    if code != 0:
        raise SystemExit(f"grokscope {' '.join(words)} ended with {code}")
    return out.getvalue()


if __name__ == "__main__":
    main()
