"""Import the runs of an archive as grokscope run folders.

Imported runs have no optimizer state: they can be judged, reported, dissected and branched from, not continued. Their
folders carry a hash of their own, so that training the same config never meets them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from math import isfinite
from pathlib import Path
from typing import Any, overload

from grokscope import configio
from grokscope.archive import fields
from grokscope.archive.layout import (
    BESIDE,
    CONFIG,
    FOREIGN,
    HISTORY,
    LOG,
    MEASURED,
    SUMMARY,
    Source,
    digest,
    find_sources,
)
from grokscope.archive.m6_table import keep_rows
from grokscope.archive.own import parse_own
from grokscope.archive.published import Parsed, parse_run, status_of
from grokscope.config import require
from grokscope.files import plain_file, read_json, to_json, write_atomic
from grokscope.registry import nearest
from grokscope.store import lock
from grokscope.store.run import SCHEMA, Run, sweep
from grokscope.vocabulary.splits import HELD_OUT

READER = 1
"""Raise it when the same archive would be read differently: what older versions imported is then imported anew."""
FILES = "archive/files.json"
SHOWN = 6
"""Names of missing checkpoints that one message lists."""
_KEPT = {CONFIG: "archive/config.json", HISTORY: "archive/history.json", SUMMARY: "archive/summary.json"}
"""Copied as they were, beside what was made of them."""


@dataclass(frozen=True)
class Imported(Sequence[Run]):
    """The runs that are there now, in order of their names in the archive, and what was wrong or left."""

    runs: tuple[Run, ...]
    problems: tuple[str, ...]
    """One message for each thing that could not be imported; empty when the archive was complete."""
    left: tuple[str, ...]
    """What the archive holds besides runs: not imported, and no fault."""
    changed: tuple[str, ...]
    """Ids of the runs that were written now; the others were there already."""

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Run]: ...
    def __getitem__(self, index: int | slice) -> Run | Sequence[Run]:
        return self.runs[index]

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def notes(self) -> dict[str, tuple[str, ...]]:
        """Id -> what was assumed, computed or left out in reading the run, as its record keeps it."""
        return {run.id: tuple(run.facts.get("notes", ())) for run in self.runs}


@dataclass(frozen=True)
class _Options:
    """How an archive's histories are to be read."""

    mapping: Mapping[str, str] = field(default_factory=dict)
    scale: float = 1.0
    n: Mapping[str, int] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        return {"mapping": dict(self.mapping), "scale": self.scale, "n": dict(self.n)}


@dataclass
class _Draft:
    """One run on its way in."""

    source: Source
    raw: dict[str, Any] | None = None
    history: list[fields.Row] | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def by_grokscope(self) -> bool:
        return isinstance((self.raw or {}).get("grokscope"), dict)

    def problem(self, words: str) -> None:
        self.problems.append(f"{self.source.shown}/{words}")


def import_archive(
    archive: str | Path,
    root: str | Path = "runs",
    mapping: Mapping[str, str] | None = None,
    *,
    scale: float = 1.0,
    n: Mapping[str, int] | None = None,
) -> Imported:
    """Bring an archive's runs into `root`. Again with the same archive changes nothing; with a fuller copy of it, what
    is new is added.

    Args:
        archive: folder of the published layout (`grokscope.archive.layout`) or of `export_archive`; one run's folder
            will do.
        mapping: column of ours -> field of history.json (``{"ood_test_acc": "acc_center2"}``), before any alias.
        scale: multiplies every accuracy: 0.01 for a history in percent. Never guessed.
        n: examples of held-out splits (``{"ood_test": 85054}``), which the published rows do not hold.

    Whatever is damaged or missing is named in `problems`, once, and the rest is imported. Links, FIFOs and devices are
    named and not opened. Weights are read with
    ``weights_only=True``: a pickle that names code is refused and nothing of it is run.

    Raises:
        ValueError: not an archive, a mapping that fits no history, sizes of a split that does not exist, options for an
            archive that leaves nothing open; or nothing could be imported, for folders in the way that are no imports.
    """
    for split in n or ():
        require(split in HELD_OUT, f"n: no held-out split {split!r}{nearest(split, list(HELD_OUT))}")
    require(isfinite(scale) and scale > 0, f"scale: must be a number above 0 (0.01 for percent), got {scale}")
    archive, options = Path(archive), _Options(mapping or {}, scale, n or {})
    drafts = [_read(source) for source in find_sources(archive)]
    _require_used(options, drafts)
    runs: list[Run] = []
    problems: list[str] = []
    changed: list[str] = []
    refusals: list[str] = []
    for draft in drafts:
        try:
            run, is_new = _import(draft, archive.resolve().name, Path(root), options)
        except ValueError as error:  # one run in the way never costs the others theirs
            refusals.append(str(error))
            run, is_new = None, False
        problems += draft.problems
        if run is not None:
            runs.append(run)
        if run is not None and is_new:
            changed.append(run.id)
    require(bool(runs) or not refusals, "\n".join(refusals))
    return Imported(tuple(runs), (*problems, *refusals), tuple(_left(archive)), tuple(changed))


def _require_used(options: _Options, drafts: Sequence[_Draft]) -> None:
    """Refuse options that this archive leaves no room for: they would be taken for something that they did."""
    foreign = [draft for draft in drafts if not draft.by_grokscope]
    histories = [draft.history for draft in foreign if draft.history is not None]
    if options.mapping and (histories or len(foreign) == len(drafts)):
        fields.check_mapping(options.mapping, histories)
    given = {"map": bool(options.mapping), "scale": options.scale != 1, "n": bool(options.n)}
    moved = [name for name, is_given in given.items() if is_given]
    require(
        not moved or not drafts or bool(foreign),
        f"{', '.join(moved)}: every run of this archive was written by grokscope and records this itself; omit it",
    )


def _left(archive: Path) -> list[str]:
    if not (archive / "runs").is_dir() or (archive / CONFIG).is_file():
        return []
    return sorted(p.name + "/" * p.is_dir() for p in archive.iterdir() if p.name != "runs" and p.name[0] != ".")


# -- reading ----------------------------------------------------------------------------------------------------------


def _read(source: Source) -> _Draft:
    draft = _Draft(source)
    if source.discovered and source.path.is_symlink():
        draft.problems.append(f"{source.shown}: is a symbolic link and is not followed: the run cannot be imported")
        return draft
    for name, words in source.odd.items():
        draft.problem(f"{name}: {words}")
    try:
        raw = read_json(plain_file(source.path, CONFIG))
        if not isinstance(raw, dict):
            raise ValueError("expected a table of keys")
        draft.raw = raw
    except ValueError as error:
        draft.problem(f"{CONFIG}: {_cause(error)}: the run cannot be imported without it")
        return draft
    try:
        draft.history = fields.read_history(plain_file(source.path, HISTORY))
    except ValueError as error:
        draft.problem(f"{HISTORY}: {_cause(error)}: imported without evaluations")
    return draft


def _cause(error: ValueError) -> str:
    """An error's message without the path that it begins with."""
    return str(error).rpartition(".json: ")[2]


def _parse(draft: _Draft, options: _Options) -> Parsed | None:
    assert draft.raw is not None
    try:
        if draft.by_grokscope:
            parsed = parse_own(draft.raw["grokscope"], draft.source.path, draft.history)
        else:
            parsed = parse_run(draft.raw, draft.source.id, draft.history, options.mapping, options.scale, options.n)
    except ValueError as error:
        draft.problem(f"{CONFIG}: {'; '.join(str(error).splitlines())}: the run cannot be imported")
        return None
    for words in parsed.problems:
        draft.problem(words)
    return parsed


# -- writing ----------------------------------------------------------------------------------------------------------


def _import(draft: _Draft, archive: str, root: Path, options: _Options) -> tuple[Run | None, bool]:
    """(the run, whether anything was written). Problems are added to the draft."""
    if draft.raw is None:
        return None, False
    parsed = _parse(draft, options)
    if parsed is None:
        return None, False
    run = Run(root / _folder_name(parsed, draft))
    if (run.path / CONFIG).exists() and (run.record.get("lineage") or {}).get("kind") != "archive":
        raise ValueError(f"{run.path} already exists and is not an import; choose another root")
    files = _digests(draft.source)
    before = _before(run, options)
    # a part of what was imported brings nothing new: an archive that lost files takes none away here
    if before is not None and files.items() <= before["files"].items():
        draft.problems[:] = before["problems"]
        return run, False
    with lock.exclusive(run.path):
        sweep(run.path)
        _write(run, draft, parsed, archive, {**(before or {}).get("files", {}), **files}, options)
    return Run(run.path), True


def _folder_name(parsed: Parsed, draft: _Draft) -> str:
    """Readable front as for any run; the hash is of the archive's run, not of the config."""
    identity = {"run": draft.source.id, "config": digest(draft.source.path / CONFIG)}
    return f"{parsed.front}-{configio.content_hash(identity)[:8]}"


def _digests(source: Source) -> dict[str, str]:
    paths = [source.path / p for p in (CONFIG, HISTORY, SUMMARY, LOG, "results/metrics.jsonl")]
    paths += [*source.checkpoints().values(), *_mechinterp(source), *(source.path / name for name in _records(source))]
    return {str(p.relative_to(source.path)): digest(p) for p in paths if source.has(str(p.relative_to(source.path)))}


def _records(source: Source) -> list[str]:
    """Records that an export of ours takes along beside the published ones."""
    measured = sorted((source.path / MEASURED).glob("*.json"))
    names = (*BESIDE, *(f"{MEASURED}/{path.name}" for path in measured))
    return [name for name in names if source.has(name)]


def _mechinterp(source: Source) -> list[Path]:
    paths = sorted((source.path / "mechinterp").rglob("*"))
    return [p for p in paths if source.has(str(p.relative_to(source.path)))]


def _before(run: Run, options: _Options) -> dict[str, Any] | None:
    """What an earlier import of the same run with the same options left; None where there is none, or it is not
    whole."""
    try:
        kept = read_json(run.path / FILES)
    except ValueError:
        return None
    same = kept.get("reader") == READER and kept.get("options") == options.plain()
    whole = all((run.path / "checkpoints" / f"{name}.safetensors").exists() for name in kept.get("weights", []))
    if same and whole and (run.path / CONFIG).exists():
        return kept
    return None


def _write(run: Run, draft: _Draft, parsed: Parsed, archive: str, files: dict[str, str], options: _Options) -> None:
    source = draft.source
    weights = _convert(run, draft, parsed)
    _report_missing(draft, parsed)
    for name, kept in _KEPT.items():
        _copy(source, name, run.path / kept)
    _copy(source, LOG, run.path / LOG)
    _copy_records(run, draft)
    if not draft.by_grokscope:  # ours is made of the records that were just copied
        keep_rows(source, run.path / FOREIGN, parsed.notes)
    others = [name for name in source.others() if not (draft.by_grokscope and name == f"{MEASURED}/")]
    if others:
        parsed.notes.append(f"left in the archive: {', '.join(others)}")
    before = None
    if draft.raw and draft.by_grokscope:
        before = draft.raw["grokscope"].get("lineage")
    lineage = {
        "kind": "archive",
        "archive": archive,
        "run": source.id,
        "digest": configio.content_hash(files),
        **({"before": before} if before else {}),
    }  # fmt: skip
    # a copy without its history must not wipe the rows that a fuller one brought
    if parsed.rows is not None or not (run.path / "results" / "metrics.jsonl").exists():
        _write_results(run, draft, parsed)
        _write_record(run, parsed, lineage)
    kept = {"reader": READER, "archive": archive, "run": source.id, "options": options.plain()}
    _put_json(run.path / FILES, {**kept, "files": files, "weights": sorted(weights), "problems": draft.problems})


def _copy_records(run: Run, draft: _Draft) -> None:
    """Dissections beside ours; those of other programs one folder down, where ours will never overwrite them. From an
    export of ours also what was measured, and what interventions did. A newer one of ours stays."""
    try:
        earlier = read_json(run.path / FILES)["files"]
    except ValueError:
        earlier = {}
    base = draft.source.path
    further = []
    if draft.by_grokscope:
        further = [base / name for name in _records(draft.source)]
    for path in [*_mechinterp(draft.source), *further]:
        name = path.relative_to(base).as_posix()
        target = run.path / name if draft.by_grokscope else run.path / FOREIGN / path.relative_to(base / "mechinterp")
        if target.exists() and digest(target) not in (earlier.get(name), digest(path)):
            draft.problem(f"{name}: the run already has a newer one, which is kept")
        else:
            _copy(draft.source, name, target)


def _convert(run: Run, draft: _Draft, parsed: Parsed) -> set[str]:
    """Checkpoints as safetensors under their names; returns the names that the run then has. Norms that the history
    lacks are added to its rows."""
    from grokscope.store.checkpoints import load_weights, save_weights
    from grokscope.store.weights import read_weights

    network = _network(draft, parsed)
    done = set()
    for name, path in draft.source.checkpoints().items():
        target = run.path / "checkpoints" / f"{name}.safetensors"
        where = f"checkpoints/{path.name}"
        try:
            weights, notes = read_weights(path)
            network.check(weights)
        except ValueError as error:
            draft.problem(f"{where}: {str(error).removeprefix(f'{path}: ')}: excluded")
            continue
        parsed.notes += [f"{where}: {note}" for note in notes]
        if not target.exists() or not _same(load_weights(target), weights):
            save_weights(target, weights)
        done.add(name)
        network.note(name, weights)
    for name in draft.source.strangers():
        draft.problem(f"checkpoints/{name}: not named like a checkpoint (ep00200.pt, final.pt): excluded")
    network.finish()
    return done | {p.stem for p in (run.path / "checkpoints").glob("*.safetensors")}


def _same(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    return one.keys() == two.keys() and all(one[k].dtype == two[k].dtype and one[k].equal(two[k]) for k in one)


def _network(draft: _Draft, parsed: Parsed) -> Any:
    from grokscope.archive.networks import Alike, ResNet18

    if draft.by_grokscope:
        return Alike(parsed)
    assert draft.raw is not None
    return ResNet18(parsed, int(draft.raw.get("n_classes", 2)))


def _report_missing(draft: _Draft, parsed: Parsed) -> None:
    """One message for each file, and one for all checkpoints, that a run should have by its config and its state."""
    for name in (SUMMARY, LOG) if parsed.cadence else (SUMMARY,):  # a loop of one's own has no log of ours
        if not draft.source.has(name) and name not in draft.source.odd:
            draft.problem(f"{name}: missing")
    count, first = _missing(parsed, set(draft.source.checkpoints()))
    if first:
        more = count - len(first)
        some = ", ".join(first) + (f" and {more:,} more" if more else "")
        draft.problem(f"checkpoints: {count:,} of {_expected(parsed):,} missing: {some}")
    whole = parsed.status is None or parsed.status["state"] == "done"
    if whole and parsed.rows and (last := parsed.rows[-1].get("epoch")) is not None and last < parsed.last_epoch:
        draft.problem(f"{HISTORY}: ends at epoch {last:g} of {parsed.last_epoch:g}")


def _reached(parsed: Parsed) -> int:
    """The last point of its checkpoints' cadence, in the cadence's unit, that a run has come to."""
    per_epoch, status = parsed.facts["steps_per_epoch"], parsed.status
    end = round(parsed.last_epoch * per_epoch) if status is None else status["step"]
    if parsed.cadence and parsed.cadence.unit == "epochs":
        return end // per_epoch
    return end


def _closed(parsed: Parsed) -> list[str]:
    whole = parsed.status is None or parsed.status["state"] in ("done", "diverged")
    if not parsed.cadence or not whole:
        return []
    return ["final"]


def _expected(parsed: Parsed) -> int:
    """How many checkpoints the run must have written, as far as it came; never listed, for a config may ask for any
    number."""
    due = parsed.cadence.at_most(_reached(parsed)) if parsed.cadence else 0
    return due + len(_closed(parsed))


def _missing(parsed: Parsed, present: set[str]) -> tuple[int, list[str]]:
    """(how many of these are not there, the names of the first six)."""
    names = chain(_due_names(parsed), _closed(parsed))
    first = list(islice((name for name in names if name not in present), SHOWN))
    if len(first) < SHOWN:
        return len(first), first
    return _expected(parsed) - sum(_is_due(parsed, name) for name in present), first


def _due_names(parsed: Parsed) -> Iterator[str]:
    if parsed.cadence is not None:
        front = "ep{:05d}" if parsed.cadence.unit == "epochs" else "st{:08d}"
        yield from (front.format(point) for point in parsed.cadence.points(_reached(parsed)))


def _is_due(parsed: Parsed, name: str) -> bool:
    if name in ("final", "start") or parsed.cadence is None:
        return name in _closed(parsed)
    point = int(name[2:])
    unit = "epochs" if name.startswith("ep") else "steps"
    return unit == parsed.cadence.unit and point <= _reached(parsed) and parsed.cadence.due(point)


def _write_results(run: Run, draft: _Draft, parsed: Parsed) -> None:
    rows = parsed.rows or []
    text = "".join(to_json(row) + "\n" for row in rows)
    if rows:
        _put(run.path / "results" / "metrics.jsonl", text.encode())
        _put_json(run.path / HISTORY, rows)
    status = parsed.status or _status(run, parsed)
    summary: dict[str, Any] = {"state": status["state"], "evaluations": len(rows), "final": rows[-1] if rows else None}
    _put_json(run.path / SUMMARY, summary)
    _put_json(run.path / "status.json", status)


def _status(run: Run, parsed: Parsed) -> dict[str, Any]:
    """Done where the history (without one: the weights) reaches the end of the budget; else interrupted where it
    ends."""
    per_epoch = parsed.facts["steps_per_epoch"]
    total = round(parsed.last_epoch * per_epoch)
    kept = [int(p.stem[2:]) * per_epoch for p in (run.path / "checkpoints").glob("ep*.safetensors")]
    last = parsed.rows[-1]["step"] if parsed.rows else max(kept, default=0)
    return status_of("done" if last >= total else "interrupted", last, max(total, last))


def _write_record(run: Run, parsed: Parsed, lineage: dict[str, Any]) -> None:
    notes = [*parsed.facts.get("notes", []), *parsed.notes]
    record = {
        "schema": SCHEMA,
        "config": parsed.config,
        "passed": parsed.passed,
        "facts": {**parsed.facts, "notes": notes},
        "provenance": parsed.provenance,
        "lineage": lineage,
    }
    _put_json(run.path / CONFIG, record)


def _copy(source: Source, name: str, target: Path) -> None:
    if source.has(name):
        _put(target, (source.path / name).read_bytes())


def _put_json(path: Path, data: Any) -> None:
    _put(path, (to_json(data, indent=1) + "\n").encode())


def _put(path: Path, data: bytes) -> None:
    """Write what is not there already: an unchanged file keeps its time, and with it what was derived from it."""
    if not path.exists() or path.read_bytes() != data:
        write_atomic(path, lambda file: file.write(data))
