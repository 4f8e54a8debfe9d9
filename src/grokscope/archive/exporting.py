"""Export runs as an archive in the published layout, with a model card and without machine-specific information."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from grokscope import registry
from grokscope.archive import card, m6_table
from grokscope.archive.details import training_details
from grokscope.archive.layout import (
    BESIDE,
    CONFIG,
    DETAILS,
    FOREIGN,
    HISTORY,
    LOG,
    MEASURED,
    METRICS,
    ROWS,
    SUMMARY,
    condition_of,
)
from grokscope.archive.summary import summary_of
from grokscope.archive.train_log import train_log
from grokscope.config import require
from grokscope.files import plain_file, read_json, to_json, write_atomic, write_json
from grokscope.registry import nearest
from grokscope.store import Run, open_run

WEIGHTS = ("pt", "safetensors")
FORMATS = ("png", "pdf", "svg")
PRIVATE = ("host", "command")
"""Entries of a run's provenance that stay at home: they name the machine and its folders."""
MADE_ANEW = ("status.json", "results/verdict.json", "results/row.json", "results/columns.bin")
"""Of a run's files those that say nothing else than what an export writes into others: the state into config.json,
verdicts into summary.json, the columns into metrics.jsonl."""
NAMED_SINGLY = ("results", "logs", "checkpoints")
"""Folders whose files are named one by one where they are left out."""
MARK = "made with grokscope archive export"


@dataclass(frozen=True)
class Exported:
    """A folder that was written."""

    path: Path
    runs: tuple[str, ...]
    """Ids of the runs in it."""
    files: int
    bytes: int
    problems: tuple[str, ...]
    """What could not be exported, or will make a reader ask."""


def export_archive(
    runs: Iterable[Run | str | Path],
    out: str | Path,
    *,
    weights: Literal["pt", "safetensors"] = "pt",
    formats: Sequence[str] = ("png", "pdf"),
    title: str | None = None,
    license: str | None = None,
    citation: str | None = None,
) -> Exported:
    """Write runs as one archive: layout of `grokscope.archive.layout`, figures, ``m6_summary.csv`` and README.md.

    Of each run: config.json with the published keys and, under ``grokscope``, all of ours; checkpoints; history.json
    with the rows at epochs 1, 50, 100, ... and the last, metrics.jsonl with all of them; summary.json with peaks and
    finals; train.log with the command and a line per evaluation; mechinterp; measured. Full training states, cached
    features, images and mirrors of trackers are left at home, and so are host names and the folders in command lines;
    docs/TRAINING_DETAILS.md names every file that was left out. A path that a task was given (`table.path`) is part of
    its config and goes along.

    Args:
        runs: run folders, failed and unfinished ones included, so that counts agree with what was launched.
        out: a new folder, or one that an earlier export of the same runs (or some of them) wrote.
        weights: ``pt`` as published, plain state dicts; ``safetensors`` needs no trust from whoever loads it.
        formats: of the figure files (png, pdf, svg); empty for none.
        title: of the card.
        license: of the weights, by the Hub's name (``cc-by-4.0``); a problem is reported while it is not chosen.
        citation: BibTeX entry for the card.

    Raises:
        ValueError: no runs, two of one name, an unknown format, or a folder in the way.
    """
    opened = [run if isinstance(run, Run) else open_run(run) for run in runs]
    out = Path(out)
    names = [archive_id(run) for run in opened]
    _check_formats(weights, formats)
    _check(opened, names, out)
    problems: list[str] = []
    for run, name in zip(opened, names, strict=True):
        problems += [f"{name}: {words}" for words in _export_run(run, out / "runs" / name, weights)]
    problems += m6_table.write(opened, names, out / "figures" / "m6_summary.csv")
    problems += _figures(opened, out / "figures", tuple(formats))
    if license is None:
        problems.append("README.md has no license: choose one (license='cc-by-4.0', say) before you publish")
    left_out = {name: left_at_home(run.path) for run, name in zip(opened, names, strict=True)}
    _write_text(out / DETAILS, training_details(opened, names, left_out, version("grokscope")))
    text = card.render(opened, names, weights=weights, title=title, license=license, citation=citation, out=out)
    _write_text(out / "README.md", text)
    files = [p for p in out.rglob("*") if p.is_file() and ".cache" not in p.parts]
    return Exported(out, tuple(names), len(files), sum(p.stat().st_size for p in files), tuple(problems))


def _check_formats(weights: str, figures: Sequence[str]) -> None:
    require(weights in WEIGHTS, f"weights: no format {weights!r}{nearest(weights, list(WEIGHTS))}")
    for name in figures:
        require(name in FORMATS, f"formats: no format {name!r}{nearest(name, list(FORMATS))}")


def archive_id(run: Run) -> str:
    """The run's name in an archive: its folder's, or the one it had in the archive that it was imported from."""
    lineage = run.record.get("lineage") or {}
    if lineage.get("kind") == "archive":
        return str(lineage["run"])
    return run.id


def _check(runs: Sequence[Run], names: list[str], out: Path) -> None:
    require(bool(runs), "no runs to export")
    twice = sorted({name for name in names if names.count(name) > 1})
    require(not twice, f"two runs are called {', '.join(twice)}; export them into archives of their own")
    if not out.exists():
        return
    require(out.is_dir(), f"{out} is a file; choose a folder")
    held = sorted(p.name for p in out.iterdir() if p.name != ".cache")
    readme = out / "README.md"
    ours = readme.is_file() and MARK in readme.read_text(encoding="utf-8", errors="replace")
    require(not held or ours, f"{out} contains other files ({', '.join(held[:4])}); choose a new folder")
    strangers = sorted({p.name for p in (out / "runs").glob("*")} - set(names))
    require(
        not strangers,
        f"{out} contains runs that are not in this export ({', '.join(strangers[:3])}); choose a new folder",
    )


def _export_run(run: Run, folder: Path, weights: str) -> Iterator[str]:
    """Write one run; yields a sentence for everything that is missing or odd."""
    config = run.record["config"]
    status = run.status
    if status["state"] not in ("done", "diverged"):
        yield f"exported as it is: {status['state']} at step {status['step']:,}"
    original = run.path / "archive"
    write_json(
        folder / CONFIG, {**_published_config(run), **_original(original / CONFIG), "grokscope": _record(run, status)}
    )
    rows = run.rows()
    if rows:
        _write_text(folder / METRICS, "".join(to_json(row) + "\n" for row in rows))
    else:
        yield "no evaluations"
    if (original / "history.json").is_file():
        _copy(original / "history.json", folder / HISTORY)
    else:
        chosen, words = history_rows(rows, config)
        write_json(folder / HISTORY, chosen)
        if words:
            yield words
    write_json(folder / SUMMARY, {**_original(original / "summary.json"), **summary_of(run, status)})
    _write_text(folder / LOG, train_log(_own_log(run.path), rows, run.record.get("provenance") or {}))
    for name in (*BESIDE, *(f"{MEASURED}/{path.name}" for path in sorted((run.path / MEASURED).glob("*.json")))):
        yield from _copy_record(run.path, folder, name)
    _copy_mechinterp(run.path, folder)
    yield from _export_weights(run, folder / "checkpoints", weights)


def _own_log(run: Path) -> str:
    """What the run logged itself; nothing where there is no such file, or no plain one."""
    try:
        path = plain_file(run, LOG)
    except ValueError:
        return ""
    if not path.is_file():
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def _copy_record(run: Path, folder: Path, name: str) -> Iterator[str]:
    """A record that goes along where there is one; what lies there and is no plain file is named."""
    try:
        path = plain_file(run, name)
    except ValueError as error:
        yield f"{name}: {str(error).removeprefix(f'{run / name}: ')}: excluded"
        return
    if path.is_file():
        _copy(path, folder / name)


def left_at_home(run: Path) -> list[str]:
    """Files of a run that an export leaves out, folders as a whole; those that are made anew (summary, verdict) and
    hidden ones are none."""
    rows = (METRICS, HISTORY, SUMMARY, LOG, CONFIG, *BESIDE, *MADE_ANEW)
    left: dict[str, None] = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run)
        if path.is_dir() or any(part[0] == "." for part in name.parts):
            continue
        if name.as_posix() in rows or name.parts[0] in (MEASURED, "archive") or _goes_along(name):
            continue
        single = len(name.parts) == 1 or name.parts[0] in NAMED_SINGLY
        left[name.as_posix() if single else _folder_of(name)] = None
    return list(left)


def _goes_along(name: Path) -> bool:
    """Weights, and dissections but for the cached features."""
    if name.parts[0] == "checkpoints":
        return name.suffix == ".safetensors"
    return name.parts[0] == "mechinterp" and name.parts[1] != "features"  # which are large, and made anew in minutes


def _folder_of(name: Path) -> str:
    depth = 2 if name.parts[0] == "mechinterp" else 1
    return f"{Path(*name.parts[:depth]).as_posix()}/"


def _copy_mechinterp(run: Path, folder: Path) -> None:
    """All but the cached features; what came from another archive goes back to its place, unless ours stands there."""
    for path in sorted((run / "mechinterp").rglob("*")):
        name = path.relative_to(run)
        if not path.is_file() or name.parts[1] == "features":
            continue
        home = Path("mechinterp", *name.parts[2:])
        _copy(path, folder / (home if name.as_posix().startswith(FOREIGN) and not (run / home).exists() else name))


def _original(path: Path) -> dict[str, Any]:
    """What the run's own archive said, for a run that was imported."""
    if not path.is_file():
        return {}
    try:
        data = read_json(path)
    except ValueError:
        return {}
    if isinstance(data, dict):
        return {k: v for k, v in data.items() if k != "grokscope"}
    return {}


def _published_config(run: Run) -> dict[str, Any]:
    """The keys that a published config.json has, from ours; null where ours has no such thing."""
    config, facts = run.config, run.facts
    regime, task, meta = config["regime"], config["task"], facts.get("meta") or {}
    n_train = (facts.get("splits") or {}).get("train", {}).get("n")
    shape, evaluate = meta.get("image_shape"), config.get("evaluate") or {}
    grad_filter = regime.get("grad_filter") or {}
    grokfast = grad_filter.get("name") == "grokfast_ema"
    return {
        "seed": config["seed"],
        "n_train": n_train if n_train is not None else task.get("n_train"),
        "batch_size": regime.get("batch_size") or n_train,
        "img_size": shape[-1] if shape else task.get("image_size"),
        "n_classes": len(meta["labels"]) if meta.get("labels") else None,
        "log_every": evaluate.get("every") if evaluate.get("unit") == "epochs" else None,
        "device": facts.get("device"),
        "condition": condition_of(regime["name"]),
        "lr": regime.get("lr"),
        "weight_decay": regime.get("weight_decay"),
        "n_epochs": _epochs(config.get("budget") or {}, facts),
        "init_scale": regime.get("init_scale"),
        "use_grokfast": grokfast,
        **({"grokfast_alpha": grad_filter["alpha"], "grokfast_lamb": grad_filter["lambda"]} if grokfast else {}),
    }


def _epochs(budget: Mapping[str, Any], facts: Mapping[str, Any]) -> int | float | None:
    if budget.get("epochs") or not budget.get("steps"):
        return budget.get("epochs")
    epochs = budget["steps"] / (facts.get("steps_per_epoch") or 1)
    if epochs.is_integer():
        return int(epochs)
    return epochs


def _record(run: Run, status: Mapping[str, Any]) -> dict[str, Any]:
    """All of the run's config.json and how it ended, without what names the machine."""
    record = run.record
    error = status.get("error")
    return {
        "id": run.id,
        "schema": record["schema"],
        "config": _portable(record["config"]),
        "passed": record.get("passed", []),
        "facts": record.get("facts") or {},
        "provenance": {k: v for k, v in (record.get("provenance") or {}).items() if k not in PRIVATE},
        "lineage": record.get("lineage"),
        "status": {
            "state": status["state"], "step": status["step"], "total_steps": status.get("total_steps"),
            "error": {"type": error.get("type"), "message": error.get("message")} if error else None,
        },
    }  # fmt: skip


def _portable(config: dict[str, Any]) -> dict[str, Any]:
    """The config without the task's settings that are no part of a run's identity: folders of this machine."""
    try:
        task = registry.load("task", config["task"]["name"])
    except ValueError:  # recorded by another loop, or a plug-in's that is not here
        return config
    local = [f.name for f in fields(task) if not f.metadata.get("identity", True)]
    return {**config, "task": {k: v for k, v in config["task"].items() if k not in local}}


def history_rows(rows: list[dict[str, Any]], config: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """(rows of history.json, what to say): those at the published epochs and the last, where the run has them all; else
    every row."""
    if not rows:
        return [], None
    by_epoch = {row.get("epoch"): row for row in rows}
    last = rows[-1].get("epoch", -1)
    wanted = [*ROWS.points(int(last)), last]
    if last >= 0 and all(epoch in by_epoch for epoch in wanted):
        return [by_epoch[epoch] for epoch in sorted(set(wanted))], None
    return (
        rows,
        f"not evaluated at the published epochs (1, 50, 100, ...): history.json holds all {len(rows):,} evaluations",
    )


def _export_weights(run: Run, folder: Path, weights: str) -> Iterator[str]:
    kept = sorted((run.path / "checkpoints").glob("*.safetensors"))
    if not kept:
        yield "no checkpoints"
    for path in kept:
        target = folder / f"{path.stem}.{weights}"
        for other in WEIGHTS:
            if other != weights:
                (folder / f"{path.stem}.{other}").unlink(missing_ok=True)
        if target.exists() and target.stat().st_mtime_ns >= path.stat().st_mtime_ns:
            continue
        try:
            _write_weights(path, target)
        except ValueError as error:
            yield f"checkpoints/{path.name}: {str(error).removeprefix(f'{path}: ')}"


def _write_weights(path: Path, target: Path) -> None:
    from grokscope.store.checkpoints import load_weights

    weights = load_weights(path)
    if target.suffix == ".safetensors":
        _copy(path, target)
        return
    import torch

    write_atomic(target, lambda file: torch.save(weights, file))


def _figures(runs: Sequence[Run], folder: Path, formats: tuple[str, ...]) -> Iterator[str]:
    """The report's figures, without its page: that names folders of this machine."""
    if not formats:
        return
    from grokscope.report import build_report

    with tempfile.TemporaryDirectory() as scratch:
        build_report(runs, Path(scratch) / "report.html", formats=formats)
        drawn = sorted((Path(scratch) / "report_figures").glob("*"))
        for path in drawn:
            _copy(path, folder / path.name)
    if not drawn:
        yield "figures: nothing to draw"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write_text(path: Path, text: str) -> None:
    write_atomic(path, lambda file: file.write(text.encode()))
