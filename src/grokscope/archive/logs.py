"""Import external logs as runs, so that `ls`, `sql`, `compare` and `report` work on them.

A run made of a log holds its evaluations and how they were read, and nothing that the log does not say: no model, no
machine, no budget. Its folder is found again by the log's place, and a log that was moved by its content, so that
importing again adds nothing twice.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope import configio
from grokscope.archive.layout import digest
from grokscope.archive.own import OWN
from grokscope.archive.published import status_of
from grokscope.checks import require_share_of_labels
from grokscope.config import require
from grokscope.files import to_json, write_atomic, write_json
from grokscope.foreign.groups import Pattern
from grokscope.foreign.judging import Progress, read_source
from grokscope.foreign.sources import Source, find_sources
from grokscope.store import lock
from grokscope.store.run import METRICS, SCHEMA, Run, find_runs, sweep

if TYPE_CHECKING:
    from grokscope.trajectory import Trajectory

READER = 1
"""Raise it when the same log would be read differently: what older versions imported is then imported anew."""
KIND = "log"
"""Of the lineage of such runs."""


@dataclass(frozen=True)
class ImportedLogs:
    """The runs that are there now, and what was wrong or left out."""

    runs: tuple[Run, ...]
    problems: tuple[str, ...]
    """One message for each log that could not be kept, or should not be counted as it is."""
    changed: tuple[str, ...]
    """Ids of the runs that were written now; the others were there already."""
    unmatched: tuple[str, ...] = ()
    """Logs that the pattern of groups does not match: kept, each as a group of its own."""
    left: tuple[str, ...] = ()
    """What was left out of folders, in words."""


@dataclass
class _Draft:
    """One log on its way in."""

    source: Source
    group: str
    seed: int | None
    digest: str
    place: str
    """Hash of where the log lies: tells a log that has grown from another one, and gives no path away."""


@dataclass
class _Known:
    """Runs of logs that are in the folder already."""

    by_place: dict[str, Run] = field(default_factory=dict)
    by_digest: dict[str, Run] = field(default_factory=dict)

    def add(self, run: Run) -> None:
        lineage = run.record["lineage"]
        self.by_place[lineage["place"]] = run
        self.by_digest[lineage["digest"]] = run


def import_logs(
    paths: "str | Path | Iterable[str | Path]",
    into: str | Path = "runs",
    *,
    group: str | None = None,
    task: str = OWN,
    label_noise: float | None = None,
    progress: Progress | None = None,
    **columns: Any,
) -> ImportedLogs:
    """Import logs as runs in `into`. Repeating this with the same logs and options changes nothing; a log that has
    grown, or is read with other options, updates its run.

    Args:
        paths: files, folders of logs, or patterns, as for `grokscope.verdicts_of_logs`.
        group: regular expression on each path without its ending: the named group ``seed`` is the run's seed, the other
            named groups its regime. Without it every log is a group of its own, named after its file.
        task: name of the task that the runs are listed under.
        label_noise: share of the training labels that were replaced by random ones, of all these logs: 1 if all are
            random. Unknown if not given.
        progress: is called with the number of logs done and of all.
        columns: see `grokscope.trajectory.from_log`; the same for all logs.

    Raises:
        ValueError: for an invalid group pattern, without logs, or if no log could be read.
    """
    require(
        re.fullmatch(r"\w[\w.-]*", task) is not None, f"task: {task!r} is not a valid name; use letters, digits, . _ -"
    )
    pattern = None if group is None else Pattern(group)
    require_share_of_labels(label_noise)
    regime = {} if label_noise is None else {"label_noise": float(label_noise)}
    sources = find_sources([paths] if isinstance(paths, str | Path) else paths)
    logs = [source for source in sources.sources if source.run is None]
    already = [f"{s.path}: is a run already" for s in sources.sources if s.run is not None]
    keeper = _Keeper(Path(into), pattern, task, regime, columns, [*sources.errors.values(), *already])
    for done, source in enumerate(logs, 1):
        keeper.take(source)
        if progress is not None:
            progress(done, len(logs))
    require(bool(keeper.runs), "\n".join(list(dict.fromkeys(keeper.problems))[:5]) or "no logs were given")
    return keeper.result(sources.left)


class _Keeper:
    """Keeps one log after another, and remembers what it has seen: a fault of one never costs the others theirs."""

    def __init__(
        self,
        into: Path,
        pattern: Pattern | None,
        task: str,
        regime: dict[str, Any],
        columns: dict[str, Any],
        problems: list[str],
    ):
        self.into, self.pattern, self.task, self.columns, self.problems = into, pattern, task, columns, problems
        self.regime = regime
        """What is known of how all of the logs were trained."""
        self.known = _known(into)
        self.runs: dict[str, Run] = {}
        self.changed: list[str] = []
        self.unmatched: list[str] = []
        self.seeds: dict[tuple[str, int | None], str] = {}
        """(group, seed) -> the log that had it first."""

    def take(self, source: Source) -> None:
        try:
            draft = _Draft(source, *self._group_of(source), digest=digest(source.path), place=_place(source.path))
            self.problems += _same_seed(self.seeds, draft)
            run, is_new = _keep(draft, self.into, self.known, self.task, self.regime, self.columns, set(self.runs))
        except (ValueError, OSError) as error:
            self.problems.append(str(error) if source.name in str(error) else f"{source.name}: {error}")
            return
        self.runs[run.id] = run
        if is_new:
            self.changed.append(run.id)

    def _group_of(self, source: Source) -> tuple[str, int | None]:
        """(group, seed) of a log; one that the pattern does not match is a group of its own."""
        matched = None if self.pattern is None else self.pattern.match(source.path)
        if self.pattern is not None and matched is None:
            self.unmatched.append(source.name)
        return matched or (source.path.name, None)

    def result(self, left: Sequence[str]) -> ImportedLogs:
        runs = tuple(self.runs.values())
        return ImportedLogs(runs, tuple(self.problems), tuple(self.changed), tuple(self.unmatched), tuple(left))


def _known(into: Path) -> _Known:
    known = _Known()
    for run in find_runs(into):
        try:
            if (run.record.get("lineage") or {}).get("kind") == KIND:
                known.add(run)
        except (ValueError, KeyError, TypeError):  # a damaged run is none of ours to find again
            continue
    return known


def _place(path: Path) -> str:
    return hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _same_seed(named: dict[tuple[str, int | None], str], draft: _Draft) -> list[str]:
    """Two logs of one group and seed are either one training twice or two that share their seed: for people to say."""
    key = (draft.group, draft.seed)
    if draft.seed is None or key not in named:
        named[key] = draft.source.name
        return []
    return [f"{draft.source.name}: is of group {draft.group}, seed {draft.seed}, as {named[key]} is: both are counted"]


def _keep(
    draft: _Draft,
    into: Path,
    known: _Known,
    task: str,
    regime: dict[str, Any],
    columns: dict[str, Any],
    now: set[str],
) -> tuple[Run, bool]:
    """(the run, whether anything was written). Raises ValueError for a log that cannot be read or is a copy of another
    that is imported along with it."""
    twin = known.by_digest.get(draft.digest)
    if twin is not None and twin.id in now and twin.record["lineage"]["place"] != draft.place:
        raise ValueError(
            f"{draft.source.name}: has the very content of {twin.record['lineage']['file']}, imported as {twin.id}: "
            "counted once"
        )
    run = known.by_place.get(draft.place) or twin or Run(into / _folder(draft))
    lineage = _lineage(draft, columns, task, regime)
    if run.path.exists() and _is_there(run, lineage):
        return run, False
    trajectory = read_source(draft.source, columns)
    require(
        np.issubdtype(trajectory.step.dtype, np.integer),
        f"{draft.source.name}: a run counts whole steps, and this log has fractional ones; name a column of whole ones",
    )
    with lock.exclusive(run.path):
        sweep(run.path)
        _write(run, draft, trajectory, lineage, task, regime, columns)
    run = Run(run.path)
    known.add(run)
    return run, True


def _folder(draft: _Draft) -> str:
    front = re.sub(r"[^\w.=+-]+", "-", draft.group).strip("-.")[:60] or "log"
    seed = "" if draft.seed is None else f"_s{draft.seed}"
    return f"{front}{seed}-{configio.content_hash({'place': draft.place})[:8]}"


def _lineage(draft: _Draft, columns: dict[str, Any], task: str, regime: dict[str, Any]) -> dict[str, Any]:
    options = {k: v for k, v in columns.items() if v is not None}
    read = {"reader": READER, "options": options, "group": draft.group, "seed": draft.seed, "task": task}
    if regime:
        read["regime"] = regime
    return {
        "kind": KIND,
        "file": draft.source.path.name,
        "digest": draft.digest,
        "place": draft.place,
        "reading": configio.content_hash(read)[:16],
    }


def _is_there(run: Run, lineage: dict[str, Any]) -> bool:
    """Whether the run was made of the same content in the same way; where the log lies now does not matter."""
    try:
        before = run.record.get("lineage") or {}
    except ValueError:
        return False
    require(before.get("kind") == KIND, f"{run.path} already exists and is not an imported log; choose another folder")
    same = all(before.get(key) == lineage[key] for key in ("digest", "reading"))
    return same and (run.path / METRICS).is_file() and (run.path / "status.json").is_file()


# -- writing ----------------------------------------------------------------------------------------------------------


def _write(
    run: Run,
    draft: _Draft,
    trajectory: "Trajectory",
    lineage: dict[str, Any],
    task: str,
    regime: dict[str, Any],
    columns: dict[str, Any],
) -> None:
    rows = rows_of(trajectory, columns)
    text = "".join(to_json(row) + "\n" for row in rows).encode()
    write_atomic(run.path / METRICS, lambda file: file.write(text))
    write_json(run.path / "results" / "history.json", rows)
    last = rows[-1]["step"]
    write_json(run.path / "status.json", status_of("done", last, last))
    config = {
        "task": {"name": task},
        "model": {"name": "unknown"},
        "regime": {"name": draft.group, **regime},
        "seed": draft.seed,
        "own": {"columns": {k: v for k, v in columns.items() if v is not None}},
    }
    record = {"schema": SCHEMA, "config": config, "passed": [], "facts": _facts(draft, trajectory, columns)}
    write_json(run.path / "config.json", {**record, "provenance": {}, "lineage": lineage})


def rows_of(t: "Trajectory", columns: dict[str, Any]) -> list[dict[str, Any]]:
    """A trajectory as rows of metrics, from which `from_run` gives the same trajectory: a loss that is not finite is
    null, and ``<split>_loss_logged`` tells it from one that was not logged."""
    table: dict[str, np.ndarray] = {}
    from_loss = _splits_from_loss(t, columns)
    for split, score in {"train": t.train, **t.held_out}.items():
        if split in t.counted:
            examples = float(t.n[split] or 0)
            table[f"{split}_correct"] = np.round(score * examples)
            table[f"{split}_n"] = np.where(np.isnan(score), np.nan, examples)
        if split not in from_loss:
            table[f"{split}_{'acc' if t.kind == 'classification' else 'r2'}"] = score
    losses = {"train": t.train_loss, **t.held_out_loss}
    for split, loss in losses.items():
        if loss is not None:
            table[f"{split}_loss"] = loss
            if np.isnan(loss).any() or f"{split}_n" in table:
                table[f"{split}_loss_logged"] = np.where(np.isnan(loss), np.nan, 1.0)
    norms = {"total": t.norm, **t.norm_groups}
    table |= {f"norm_{name}": values for name, values in norms.items() if values is not None}
    return [
        {"step": int(step), **{name: float(v[i]) for name, v in table.items() if not np.isnan(v[i])}}
        for i, step in enumerate(t.step.tolist())
    ]


def _splits_from_loss(t: "Trajectory", columns: dict[str, Any]) -> set[str]:
    """Splits whose R2 follows from their loss, so that the loss and the trivial predictor's are kept instead."""
    if t.kind != "regression":
        return set()
    held = columns.get("held_out") or {}
    scored = {"train"} if columns.get("train") else set()
    scored |= set(held) if isinstance(held, dict) else {"held_out"}
    return {"train", *t.held_out} - scored


def _facts(draft: _Draft, t: "Trajectory", columns: dict[str, Any]) -> dict[str, Any]:
    trivial_loss = columns.get("trivial_loss")
    from_loss = _splits_from_loss(t, columns)
    splits: dict[str, dict[str, Any]] = {}
    for split in ("train", *t.held_out):
        facts = splits.setdefault(split, {})
        if t.n.get(split) is not None:
            facts["n"] = t.n[split]
        if t.kind == "classification" and split in t.trivial:
            facts["trivial_acc"] = t.trivial[split]
        if split in from_loss:
            facts["trivial_loss"] = trivial_loss[split] if isinstance(trivial_loss, dict) else trivial_loss
    notes = [f"read from the log {draft.source.path.name}; whether training went on after it is not known", *t.notes]
    return {
        "kind": t.kind,
        "threshold": t.threshold,
        "steps_per_epoch": 1,
        "splits": splits,
        "meta": {},
        "notes": notes,
    }
