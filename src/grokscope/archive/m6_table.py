"""``m6_summary.csv``: targeted neuron ablation of all runs, a row for every number of neurons."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from grokscope.archive.layout import condition_of, digest
from grokscope.store import Run
from grokscope.store.files import read_json, write_atomic
from grokscope.trajectory.selection import rule_label

ARMS = ("environment", "task", "random", "random_variance")
EFFECTS = ("accuracy_drop", "env_gap_drop")
HEAD = ("run_id", "condition", "seed", "n_train", "file", "selection", "on", "ablation", "k")


def write(runs: Sequence[Run], names: Sequence[str], path: Path) -> Iterator[str]:
    """Write the table where any run has an M6 dissection of ours; yields a sentence for each M6 file that is none.

    Columns: run_id, condition, seed, n_train; file and selection (the rule that chose the checkpoint; a choice on the
    test hospital says ``oracle (chosen on ood_test)``); on, ablation, k; then, for each arm of neurons and each effect,
    the value.
    """
    rows: list[dict[str, Any]] = []
    for run, name in zip(runs, names, strict=True):
        seen: set[str] = set()  # the last checkpoint of a dissected trajectory lies there twice
        for file in sorted((run.path / "mechinterp").rglob("*.json")):
            if "m6" not in file.stem.lower() or (own := digest(file)) in seen:
                continue
            seen.add(own)
            where = file.relative_to(run.path).as_posix()
            found = list(_rows(file))
            if not found:
                yield f"{name}/{where}: not written by grokscope: copied, but not in m6_summary.csv"
            front = {
                "run_id": name, "condition": condition_of(run.label), "seed": run.seed,
                "n_train": (run.facts.get("splits") or {}).get("train", {}).get("n"), "file": where,
            }  # fmt: skip
            rows += [{**front, **row} for row in found]
    if rows:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, [*HEAD, *(f"{a}_{e}" for a in ARMS for e in EFFECTS)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(path, lambda out: out.write(text.getvalue().encode()))


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    try:
        data = read_json(file)
        m6 = data["m6"]
        for done in m6["ablations"]:
            for i, k in enumerate(m6["ks"]):
                values = {
                    f"{arm}_{effect}": done["arms"][arm]["curves"][effect][i]
                    for arm in ARMS
                    for effect in EFFECTS
                    if effect in done["arms"].get(arm, {}).get("curves", {})
                }
                chosen = rule_label(str(data["selection"]))
                yield {"selection": chosen, "on": done["on"], "ablation": done["ablation"], "k": k, **values}
    except (ValueError, KeyError, TypeError, IndexError):
        return
