"""Read a run folder: its config, progress and metrics."""

import time
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from grokscope import configio, flat_regime, identity
from grokscope.files import plain_file, read_json, remove_leftovers
from grokscope.store import claims, kept_columns, lock
from grokscope.store.checked import checked_record, checked_status
from grokscope.store.measured import with_measured
from grokscope.store.metrics import METRICS, columns, read_rows

SCHEMA = configio.SCHEMA


@dataclass(frozen=True)
class Run:
    """A read-only view of one run folder. `status` and `metrics` are read again at each call."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))  # a folder named in text is one as well

    @property
    def id(self) -> str:
        return self.path.name

    @cached_property
    def record(self) -> dict[str, Any]:
        """All of config.json: ``config``, ``passed``, ``facts``, ``provenance``, ``lineage``; one of an older schema as
        the present one would have written it."""
        return read_record(self.path)

    @property
    def config(self) -> dict[str, Any]:
        return self.record["config"]

    @property
    def facts(self) -> dict[str, Any]:
        return self.record.get("facts") or {}

    @property
    def label(self) -> str:
        """The regime's name."""
        try:
            return self.config["regime"]["name"]
        except KeyError:
            raise ValueError(f"{self.path / 'config.json'}: $.config.regime.name is missing") from None

    @property
    def seed(self) -> int:
        seed = self.config.get("seed")
        if not isinstance(seed, int):
            raise ValueError(f"{self.path / 'config.json'}: $.config.seed: expected a whole number, got {seed!r}")
        return seed

    @property
    def status(self) -> dict[str, Any]:
        """status.json, with state ``interrupted`` if it says running but no process holds the run."""
        path = plain_file(self.path, "status.json")
        if not path.exists():
            return {"state": "planned", "step": 0}
        status = checked_status(read_json(path), path)
        if status.get("state") == "running" and not self._alive(status):
            status["state"] = "interrupted"
        return status

    def _alive(self, status: dict[str, Any]) -> bool:
        alive = lock.at_work(self.path)
        if alive is not None:
            return alive
        import socket

        # without a claim: a recorder, or an older version; on another machine a fresh heartbeat is believed
        elsewhere = status.get("host") != socket.gethostname()
        return elsewhere and time.time() - (status.get("heartbeat") or 0) < claims.EXPIRES_S

    def rows(self) -> list[dict[str, Any]]:
        return read_rows(plain_file(self.path, METRICS))

    def metrics(self) -> dict[str, np.ndarray]:
        """Columns of the trajectory: `step` int64 (t,), the others float64 (t,), NaN where a row lacks the value. Later
        measurements of checkpoints are included, at the steps that were evaluated."""
        table = kept_columns.recall(self.path)
        if table is None:
            table = columns(self.rows())
        return with_measured(self.path, table)

    def checkpoints(self) -> dict[int, Path]:
        """Step -> weights file of every stored checkpoint, in order of step. Entries that are not regular files are
        excluded with a warning."""
        files = {}
        for path in (self.path / "checkpoints").glob("*.safetensors"):
            if path.stem.startswith(("st", "ep")) and path.stem[2:].isdecimal():
                try:
                    plain_file(self.path, f"checkpoints/{path.name}")
                except ValueError as error:
                    warnings.warn(f"{error}; excluded", stacklevel=2)
                    continue
                scale = 1
                if path.stem.startswith("ep"):
                    scale = self.facts.get("steps_per_epoch", 1)
                files[int(path.stem[2:]) * scale] = path
        return dict(sorted(files.items()))


def sweep(folder: Path) -> None:
    """Delete what writers that were killed left half-written. Only for whoever holds the run."""
    for inside in (".", "checkpoints", "results", "resume", "states"):
        remove_leftovers(folder / inside)


def read_record(folder: Path) -> dict[str, Any]:
    """A run's config.json in the present schema: the one place where it is read.

    Raises:
        ValueError: absent, damaged, or of a newer schema.
    """
    record = read_json(plain_file(folder, "config.json"))
    if not isinstance(record, dict) or not isinstance(record.get("config"), dict):
        raise ValueError(f"{folder / 'config.json'}: not the config of a grokscope run")
    schema = record.get("schema", 0)
    if not isinstance(schema, int) or schema > SCHEMA:
        raise ValueError(f"{folder}: written by a newer grokscope (schema {schema} > {SCHEMA}); upgrade to read it")
    checked_record(record, folder / "config.json")
    config = flat_regime.nested(record["config"]) if schema <= flat_regime.SCHEMA else record["config"]
    return {**record, "schema": SCHEMA, "config": identity.completed(config)}


def open_run(path: str | Path) -> Run:
    """The run in a folder. Raises ValueError if there is none, with a description of the folder."""
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: no such folder")
    if not _is_run(path):
        inside = find_runs(path) if path.is_dir() else []
        hint = ""
        if inside:
            hint = f"; it contains {len(inside):,} runs, for example {inside[0].path}"
        raise ValueError(f"{path} is not a run (it has no config.json){hint}")
    run = Run(path)
    run.record  # noqa: B018 - a damaged or newer config is an error now, not later
    return run


def find_runs(root: str | Path) -> list[Run]:
    """All runs directly in `root` (or `root` itself), sorted by name, including damaged ones; none if `root` is
    missing.

    A run may be a link to a folder elsewhere; links inside a run are not followed.
    """
    root = Path(root)
    if _is_run(root):
        return [Run(root)]
    if not root.is_dir():
        return []
    return sorted((Run(path) for path in root.iterdir() if _is_run(path)), key=lambda run: run.id)


def _is_run(path: Path) -> bool:
    """Whether there is a config.json, whatever it is; true also where nobody may look, which then is said."""
    try:
        (path / "config.json").lstat()
    except PermissionError:
        return path.is_dir()
    except OSError:
        return False
    return True
