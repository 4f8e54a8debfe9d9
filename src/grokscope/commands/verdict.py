"""verdict: on runs, and on logs that grokscope did not make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.output import Result, print_table
from grokscope.commands.output import number as text
from grokscope.config import require
from grokscope.store import Run, find_runs, open_run
from grokscope.store.judged import Splits
from grokscope.verdicts import run_verdicts, verdict_line

if TYPE_CHECKING:
    from rich.console import Console

    from grokscope.trajectory import Criteria


@dataclass
class Judged(Result):
    """Verdicts by source and held-out split."""

    sources: dict[str, Splits]

    def data(self) -> Any:
        return self.sources

    def show(self, console: "Console") -> None:
        header = ["source", "split", "verdict", "robust", "T_fit", "T_gen", "delay ratio", "peak", "final"]
        rows = [[source, *_cells(v)] for source, splits in self.sources.items() for v in splits.values()]
        print_table(console, header, rows)
        if len(rows) <= 3:
            for splits in self.sources.values():
                for v in splits.values():
                    console.print(verdict_line(v))
                    _show_neighbours(v, console)


def _cells(v: Mapping[str, Any]) -> list[str]:
    m = v["milestones"]
    label = f"{v['verdict']} ({v['qualifier']})" if v["qualifier"] else v["verdict"]
    steps = [milestone_text(m[k]) for k in ("T_fit", "T_gen", "delay_ratio")]
    return [v["split"], label, "yes" if v["robust"] else "no", *steps, text(m["peak"]), text(m["final"])]


def _show_neighbours(v: Mapping[str, Any], console: "Console") -> None:
    other = {k: name for k, name in v["neighbours"].items() if name != v["verdict"]}
    if other:
        console.print("  with " + ", ".join(f"{k}: {name}" for k, name in other.items()))


def milestone_text(m: Mapping[str, Any] | None) -> str:
    """``2,200``; ``> 10,000`` where it was not reached; empty where it does not exist."""
    if m is None:
        return ""
    value = m["at"] if "at" in m else m["value"]
    return f"{'> ' if m['censored'] else ''}{'inf' if value is None else text(value)}"


def verdict(
    paths: Sequence[Path],
    /,
    *,
    step: str | None = None,
    train: str | None = None,
    held_out: tuple[str, ...] = (),
    train_loss: str | None = None,
    held_out_loss: tuple[str, ...] = (),
    norm: tuple[str, ...] = (),
    kind: str = "classification",
    n: tuple[str, ...] = (),
    threshold: float | None = None,
    trivial: tuple[str, ...] = (),
    trivial_loss: tuple[str, ...] = (),
    scale: float = 1.0,
    overrides: Mapping[str, Any] | None = None,
) -> Judged:
    """Say of runs, or of anybody's training log, whether they grokked, ungrokked or only memorized, and why.

    A log is a CSV, TSV, JSONL or JSON file with a row for each evaluation; name its columns:
    ``grokscope verdict log.csv --step epoch --train train_acc --held-out test=val_acc``. Thresholds are set by
    ``--criteria.fit 0.98`` and so on.

    Args:
        paths: Run folders, folders that hold runs, or log files.
        step: Column of the step or epoch.
        train: Column of the train accuracy.
        held_out: Column of the held-out accuracy, or split=column for each split.
        train_loss: Column of the train loss: needed to see divergence.
        held_out_loss: Column of the held-out loss, or split=column.
        norm: Column of the total weight norm, or group=column.
        kind: classification or regression.
        n: Examples in a held-out split, or split=number: for the noise band.
        threshold: Held-out score that counts as generalized.
        trivial: Accuracy of the trivial predictor, or split=number.
        trivial_loss: Regression: loss of the trivial predictor, or split=number.
        scale: Multiplies the accuracies: 0.01 for a log in percent.

    Raises:
        ValueError: for a path that is neither, a missing column (the nearest is named), a cell that is not a number.
    """
    require(bool(paths), "verdict needs a run folder, a folder that holds runs, or a log file")
    columns = {
        "step": step,
        "train": train,
        "held_out": _pairs(held_out, str),
        "train_loss": train_loss,
        "held_out_loss": _pairs(held_out_loss, str),
        "norm": _pairs(norm, str),
        "kind": kind,
        "n": _pairs(n, int),
        "threshold": threshold,
        "trivial": _pairs(trivial, float),
        "trivial_loss": _pairs(trivial_loss, float),
        "scale": scale,
    }
    criteria = _criteria(overrides or {})
    return Judged({name: found for path in paths for name, found in _judge(path, columns, criteria)})


def _judge(path: Path, columns: dict[str, Any], criteria: "Criteria | None") -> list[tuple[str, Splits]]:
    if path.is_dir():
        return [(run.id, _of_run(run, criteria)) for run in runs_at(path)]
    require(path.exists(), f"{path}: no such file or folder")
    if columns["step"] is None:
        from grokscope.trajectory.table import read_table

        names = ", ".join(read_table(path).columns)
        raise ValueError(f"{path}: name its columns with --step, --train and --held-out; it has {names}")
    from grokscope.verdicts import verdict as judge

    return [(str(path), {split: v.to_dict() for split, v in judge(path, criteria=criteria, **columns).items()})]


def _of_run(run: Run, criteria: "Criteria | None") -> Splits:
    found = run_verdicts(run, criteria)
    require(bool(found), f"{run.path}: no evaluations yet")
    return found


def _pairs(words: Sequence[str], kind: type) -> Any:
    """``["a"]`` -> a; ``["x=a", "y=b"]`` -> {x: a, y: b}; nothing -> None."""
    if not words:
        return None
    if len(words) == 1 and "=" not in words[0]:
        return kind(words[0])
    require(all("=" in w for w in words), f"write several as name=value, got {' '.join(words)}")
    return {name: kind(value) for name, _, value in (w.partition("=") for w in words)}


def _criteria(overrides: Mapping[str, Any]) -> "Criteria | None":
    if not overrides:
        return None
    from grokscope import configio
    from grokscope.trajectory import Criteria

    return configio.structure({k.removeprefix("criteria."): v for k, v in overrides.items()}, Criteria, "criteria")


def runs_at(path: Path) -> list[Run]:
    """The run in a folder, or all runs that it holds. Raises ValueError where there are none."""
    runs = find_runs(path)
    if not runs:
        open_run(path)  # says what is wrong
    return runs
