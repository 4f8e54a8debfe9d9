"""``m6_summary.csv``: targeted neuron ablation of all runs, one row per number of neurons."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import product
from math import isfinite
from pathlib import Path
from typing import Any

from grokscope.archive.layout import Source, condition_of, digest
from grokscope.files import plain_file, write_atomic
from grokscope.results.dissection import FOLDER, NeuronsFile
from grokscope.results.neurons import Ablations, Arms
from grokscope.store import Run
from grokscope.trajectory.selection import rule_label

TABLE = "m6_summary.csv"
ARMS = Arms.names()
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
        for file in sorted((run.path / FOLDER).rglob("*.json")):
            if "m6" not in file.stem.lower() or (content := digest(file)) in seen:
                continue
            seen.add(content)
            where = file.relative_to(run.path).as_posix()
            try:
                measured = _rows(file)
            except ValueError as error:
                reason = str(error).removeprefix(f"{file}: ")
                yield f"{name}/{where}: {reason}: copied, but not in m6_summary.csv"
                continue
            if not measured:
                yield f"{name}/{where}: it could not tell: copied, but not in m6_summary.csv"
            front = {
                "run_id": name, "condition": condition_of(run.label), "seed": run.seed,
                "n_train": (run.facts.get("splits") or {}).get("train", {}).get("n"), "file": where,
            }  # fmt: skip
            rows += [{**front, **row} for row in measured]
    if rows:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(
            text, [*HEAD, *(f"{arm}_{effect}" for arm, effect in product(ARMS, EFFECTS))], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(path, lambda out: out.write(text.getvalue().encode()))


def keep_rows(source: Source, folder: Path, notes: list[str]) -> None:
    """Of a received archive's ``figures/m6_summary.csv``: the rows that name this run, into `folder`; and a note of how
    many of how many they are, over which runs.

    The published table has 88 rows. Its card lists eight numbers of neurons (0 to 256), its article eleven runs, and 8
    x 11 = 88; its 240 checkpoints are of 15 runs. Which runs those eleven are, only the table itself can say.
    """
    try:
        path = plain_file(source.path.parents[1], f"figures/{TABLE}")
        head, *rows = [row for row in csv.reader(path.read_text(encoding="utf-8").splitlines()) if row]
    except (ValueError, OSError, IndexError):  # no archive above the run, no table, or none that can be read
        return
    run_rows = [row for row in rows if source.id in row]
    if not run_rows:
        notes.append(f"figures/{TABLE}: none of its {len(rows):,} rows names this run")
        return
    column = run_rows[0].index(source.id)
    runs = {row[column] for row in rows if len(row) > column}
    notes.append(
        f"figures/{TABLE}: {len(run_rows):,} of its {len(rows):,} rows are this run's; "
        f"it has rows of {len(runs):,} runs"
    )
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([head, *run_rows])
    write_atomic(folder / TABLE, lambda out: out.write(text.getvalue().encode()))


def _rows(file: Path) -> list[dict[str, Any]]:
    """A row for each scene, ablation and K.

    Raises:
        ValueError: for a file that another program wrote, or that is damaged, of older rules or of a newer version.
    """
    record = NeuronsFile.read(file)
    chosen = rule_label(record.selection)
    rows: list[dict[str, Any]] = []
    for done in record.m6.ablations:
        front = {"selection": chosen, "on": done.on, "ablation": done.ablation}
        rows += [{**front, "k": k, **_values(done, i)} for i, k in enumerate(record.m6.ks)]
    return rows


def _values(done: Ablations, i: int) -> dict[str, float | None]:
    """Column -> value at the i-th K; an empty cell where it is not finite."""
    values: dict[str, float | None] = {}
    for arm, effect in product(ARMS, EFFECTS):
        value = done.arms[arm].curves[effect][i]
        values[f"{arm}_{effect}"] = value if isfinite(value) else None
    return values
