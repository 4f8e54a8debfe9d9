"""Find the folder of a run by the identity of its config rather than by name, including folders of older versions and
renamed ones."""

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from grokscope import configio, identity
from grokscope.config import RunConfig
from grokscope.store.run import Run, read_record
from grokscope.store.run_index import Known, RunIndex, stamps_of
from grokscope.store.same_data import version_of

_STANDARD = re.compile(r".*_n(\d+)_s(\d+)-[0-9a-f]{8}")
"""A folder named by grokscope, of any version; size and seed are part of every run's identity."""
_Key = tuple[str, str]
_known: dict[Path, tuple[tuple[int, int], str | None]] = {}
"""config.json -> (its size and time, the hash of its identity): each is read once, and again when it has changed."""


class Folders:
    """The run folders in a root. The names are listed once, and of those that could be a wanted run each config is
    looked at once, however many runs are asked for."""

    def __init__(self, root: str | Path, index: RunIndex | None = None):
        """`index` knows what the files of many runs say; whoever gives it saves it."""
        self.root = Path(root)
        self.index = index
        self._names: dict[_Key | None, list[str]] | None = None
        self._held: dict[_Key | None, dict[str, list[Path]]] = {}
        """Size and seed -> hash of an identity -> the folders that hold it."""
        self._recalled: dict[Path, Known | None] = {}

    def find(self, config: RunConfig) -> Run:
        """The run of this config: in the folder of its own name where that has begun, else in the one that holds it
        under another name, else where it will be. Of several under other names the one that is furthest counts, and a
        warning names all.

        Raises:
            ValueError: where the folder of its name holds another run, or one that cannot be read.
        """
        return self._find(self.root / config.run_id(), config.identity_hash, _key_of(config))

    def parent(self, config: RunConfig) -> Run:
        """The run that a fork of a study is planned from, found as any other: it has the data and the seed of the fork.

        Raises:
            ValueError: as `find`.
        """
        start = config.start
        assert start is not None
        return self._find(self.root / start.run, start.of, _key_of(config))

    def _find(self, expected: Path, wanted: str, key: _Key) -> Run:
        if _present(expected):
            self._require_own(expected, wanted)
            return Run(expected)
        # a renamed folder does not tell its size and seed: those lie under None
        same = [*self._holding(key).get(wanted, ()), *self._holding(None).get(wanted, ())]
        if len(same) > 1:
            same.sort(key=lambda folder: (-_step(folder), folder.name))
            others = ", ".join(folder.name for folder in same[1:])
            warnings.warn(
                f"{same[0]} contains the same run as {others}, and has the most progress: it is used", stacklevel=2
            )
        return Run(same[0] if same else expected)

    def known(self, run: Run) -> Known | None:
        """What the index says of a run; None without an index, and where the run has to be read."""
        if self.index is None:
            return None
        if run.path not in self._recalled:
            self._recalled[run.path] = self.index.recall(run, stamps_of(run))
        return self._recalled[run.path]

    def _require_own(self, expected: Path, wanted: str) -> None:
        known = self.known(Run(expected))
        identity_there = _identity_at(expected) if known is None else known.identity
        if identity_there is None:
            read_record(expected)  # says what is wrong with a damaged one; an import may lie there
        elif identity_there != wanted:
            raise ValueError(
                f"{expected}: its run does not match its name: it was renamed, or its config.json was edited; move it "
                f"elsewhere"
            )

    def _holding(self, key: _Key | None) -> dict[str, list[Path]]:
        """Hash of an identity -> the folders of this size and seed (None: of names given by hand) that hold it."""
        if self._names is None:
            self._names = _by_key(self.root)
        if key not in self._held:
            held: dict[str, list[Path]] = {}
            for name in sorted(self._names.get(key, ())):
                if (identity_there := _identity_at(self.root / name)) is not None:
                    held.setdefault(identity_there, []).append(self.root / name)
            self._held[key] = held
        return self._held[key]


def find_run(root: str | Path, config: RunConfig) -> Run:
    """The run of a config under a root; see `Folders.find`. For many runs of one root use `Folders`."""
    return Folders(root).find(config)


def _key_of(config: RunConfig) -> _Key:
    return str(config.task.train_size()), str(config.seed)


def as_begun(run: Run, config: RunConfig) -> RunConfig:
    """`config` with the label that the run began with, and what it took over: continuing it renames nothing."""
    try:
        record = run.record if (run.path / "config.json").exists() else None
    except ValueError:
        record = None
    if record is None:
        return config
    label, start = record["config"]["regime"]["name"], record["config"].get("start")
    if config.start is not None and isinstance(start, Mapping):
        begun = {key: start[key] for key in ("run", "step", "digest") if key in start}
        config = replace(config, start=replace(config.start, **begun))
    return replace(config, regime=replace(config.regime, name=label))


def _by_key(root: Path) -> dict[_Key | None, list[str]]:
    """(training examples, seed) -> names of folders; under None those that were named by hand."""
    ids: dict[_Key | None, list[str]] = {}
    try:
        names = os.listdir(root)
    except (FileNotFoundError, NotADirectoryError):
        return ids
    for name in names:
        if not name.startswith("."):
            match = _STANDARD.fullmatch(name)
            ids.setdefault((match[1], match[2]) if match else None, []).append(name)
    return ids


def identity_hash(record: Mapping[str, Any]) -> str | None:
    """The hash of the identity that a run's config.json tells; None where it could not be trained on here: an import,
    another loop's, a plug-in's that is not installed."""
    try:
        if _imported(record):
            return None
        return configio.content_hash(_identity(record))
    except (ValueError, KeyError, TypeError, AttributeError, ImportError):
        return None


def _present(folder: Path) -> bool:
    """Whether a run has begun there. Raises ValueError where nobody may look."""
    try:
        return (folder / "config.json").exists()
    except OSError as error:
        raise ValueError(f"{folder}: cannot be read ({error.strerror})") from None


def _identity_at(folder: Path) -> str | None:
    """The hash of the identity of the run in a folder; None where there is none that could be trained on: no run, an
    import, a damaged or newer one, a plug-in's that is not installed."""
    path = folder / "config.json"
    try:
        stat = path.stat()
    except OSError:
        return None
    stamp = (stat.st_size, stat.st_mtime_ns)
    if path not in _known or _known[path][0] != stamp:
        _known[path] = (stamp, _read_identity(folder))
    return _known[path][1]


def _read_identity(folder: Path) -> str | None:
    try:
        return identity_hash(read_record(folder))
    except ValueError:
        return None


def _identity(record: Mapping[str, Any]) -> dict[str, Any]:
    return identity.identity_of(record["config"], version_of(record))


def _imported(record: Mapping[str, Any]) -> bool:
    return (record.get("lineage") or {}).get("kind") == "archive"


def _step(folder: Path) -> int:
    try:
        return int(Run(folder).status.get("step", 0))
    except (ValueError, TypeError):
        return -1
