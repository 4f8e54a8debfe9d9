"""verdict: on runs, and on logs that grokscope did not make; or what a rule of selection reports of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.output import Result, print_table
from grokscope.commands.output import number as text
from grokscope.config import require
from grokscope.store import Run, find_runs, open_run
from grokscope.store.judged import Splits
from grokscope.verdicts import run_verdicts, select, verdict_line

if TYPE_CHECKING:
    from rich.console import Console

    from grokscope.trajectory import Criteria, Selection


@dataclass
class Judged(Result):
    """Verdicts by source and held-out split."""

    sources: dict[str, Splits]

    def data(self) -> Any:
        return self.sources

    @property
    def exit_code(self) -> int:
        """2 where nothing at all could be judged."""
        judged = [v["verdict"] for splits in self.sources.values() for v in splits.values()]
        return 2 if judged and not any(judged) else 0

    def show(self, console: "Console") -> None:
        header = ["source", "split", "verdict", "robust", "T_fit", "T_gen", "delay ratio", "peak", "peak by", "final"]
        rows = [[source, *_cells(v)] for source, splits in self.sources.items() for v in splits.values()]
        print_table(console, header, rows)
        for splits in self.sources.values():
            for v in splits.values():
                if len(rows) <= 3 or v["verdict"] is None:
                    console.print(verdict_line(v))
                    _show_neighbours(v, console)


def _cells(v: Mapping[str, Any]) -> list[str]:
    m = v["milestones"]
    label = f"{v['verdict']} ({v['qualifier']})" if v["qualifier"] else v["verdict"] or "cannot be judged"
    steps = [milestone_text(m[k]) for k in ("T_fit", "T_gen", "delay_ratio")]
    levels = [_or_empty(m["peak"]), m["peak_rule"], _or_empty(m["final"])]
    return [v["split"], label, "yes" if v["robust"] else "no", *steps, *levels]


def _show_neighbours(v: Mapping[str, Any], console: "Console") -> None:
    other = {k: name for k, name in v["neighbours"].items() if name != v["verdict"]}
    if other:
        console.print("  with " + ", ".join(f"{k}: {name}" for k, name in other.items()))


@dataclass
class Selected(Result):
    """What rules of selection choose on each source, and what it scores there."""

    chosen: "list[tuple[str, float | None, Selection]]"
    """(source, epoch where it is known, selection)."""

    def data(self) -> Any:
        out: dict[str, dict[str, Any]] = {}
        for source, epoch, s in self.chosen:
            out.setdefault(source, {})[s.rule] = {**s.to_dict(), "epoch": epoch}
        return out

    def show(self, console: "Console") -> None:
        splits = list(dict.fromkeys(split for _, _, s in self.chosen for split in s.values))
        header = ["source", "rule", "step", "epoch", *splits, "optimism", "corrected"]
        print_table(console, header, [_selected_cells(*row, splits) for row in self.chosen])
        for source, _, s in self.chosen if len(self.chosen) <= 3 else ():
            console.print(f"{source}: {s.label}: {_luck(s)}")
        if any(s.oracle for _, _, s in self.chosen):
            console.print(
                "oracle: chosen on a split that is only to be reported; no procedure could have stopped there"
            )


def _selected_cells(source: str, epoch: float | None, s: "Selection", splits: Sequence[str]) -> list[str]:
    values = [_or_empty(s.values.get(split)) for split in splits]
    luck = [_or_empty(s.bias and s.bias.optimism), _or_empty(s.bias and s.bias.corrected)]
    return [source, s.label, text(s.step), _or_empty(epoch), *values, *luck]


def _or_empty(value: float | None) -> str:
    return "" if value is None or value != value else text(value)


def _luck(s: "Selection") -> str:
    """How much of a chosen maximum is chance, as a sentence."""
    if s.chosen_on is None:
        return "chosen without looking at a score" if s.averaged == 1 else f"mean of the last {s.averaged} evaluations"
    if s.bias is None:
        return "too few evaluations to tell how much of the maximum is luck"
    if s.bias.optimism is None or s.bias.corrected is None or s.bias.p is None:
        return f"how much of the maximum is luck cannot be told: {s.bias.cannot_tell}"
    return (
        f"the best of {s.bias.evaluations} evaluations lies {text(s.bias.optimism)} too high by luck (corrected "
        f"{text(s.bias.corrected)}); a curve without a peak shows as clear a one with p = {text(s.bias.p)}"
    )


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
    rule: tuple[str, ...] = (),
    overrides: Mapping[str, Any] | None = None,
) -> "Judged | Selected":
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
        rule: In place of the verdict: what is scored where this rule of selection stops (final, mean_last=5,
            peak_ood_val, peak_id_val, step=400, or oracle: the best on ood_test, stamped so); several for a table.

    Raises:
        ValueError: for a path that is neither, a missing column (the nearest is named), a cell that is not a number, a
            rule that is unknown or looks at a split that a source lacks.
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
    if rule:
        require(not overrides, "--rule looks at no thresholds; leave the criteria out")
        _check_rules(rule)
        return Selected([found for path in paths for found in _select(path, columns, rule)])
    criteria = _criteria(overrides or {})
    return Judged({name: found for path in paths for name, found in _judge(path, columns, criteria)})


def _judge(path: Path, columns: dict[str, Any], criteria: "Criteria | None") -> list[tuple[str, Splits]]:
    if path.is_dir():
        return [(run.id, _of_run(run, criteria)) for run in runs_at(path)]
    _require_log(path, columns)
    from grokscope.verdicts import verdict as judge

    return [(str(path), {split: v.to_dict() for split, v in judge(path, criteria=criteria, **columns).items()})]


def _require_log(path: Path, columns: dict[str, Any]) -> None:
    """Raises ValueError for what is no file, or one whose columns are not named."""
    require(path.exists(), f"{path}: no such file or folder")
    if columns["step"] is None:
        from grokscope.trajectory.logs.guess import unnamed

        raise ValueError(unnamed(path, command=True))


def _check_rules(rules: Sequence[str]) -> None:
    """Raises ValueError for an unknown rule: before any run is read, whose name would be no part of the mistake."""
    from grokscope.trajectory.selection import parse_rule

    for rule in rules:
        parse_rule(rule)


def _select(
    path: Path, columns: dict[str, Any], rules: Sequence[str]
) -> "Iterator[tuple[str, float | None, Selection]]":
    if not path.is_dir():
        _require_log(path, columns)
        yield from ((str(path), None, select(path, rule, **columns)) for rule in rules)
        return
    for run in runs_at(path):
        try:
            found = [select(run, rule) for rule in rules]
        except ValueError as error:
            raise ValueError(f"{run.id}: {str(error).removeprefix(f'{run.id}: ')}") from None
        metrics = run.metrics()
        yield from ((run.id, _epoch(metrics, s.step), s) for s in found)


def _epoch(metrics: Mapping[str, Any], step: float) -> float | None:
    """The epoch that was logged with an evaluation."""
    epochs = metrics.get("epoch")
    found = [] if epochs is None else epochs[metrics["step"] == step].tolist()
    return found[0] if found and found[0] == found[0] else None


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
