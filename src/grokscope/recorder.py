"""Record a training loop of your own as a run, so that verdicts, reports and queries work on it."""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from grokscope.config import is_whole, require
from grokscope.files import write_json
from grokscope.fit_rule import USUAL_THRESHOLD, Kind
from grokscope.store import lock
from grokscope.store.metrics import MetricsWriter
from grokscope.store.provenance import provenance
from grokscope.store.run import SCHEMA, Run, read_record
from grokscope.vocabulary.splits import NAMES

OWN = "own"
"""Name of the task of recorded runs."""


class Recorder:
    """Writes a run folder from your own loop.

        with Recorder("runs/mine", model, n={"train": 200, "id_val": 1000}, trivial={"id_val": 0.1}) as rec:
            for step in ...:
                rec.log(step, train_acc=..., train_loss=..., id_val_acc=...)
                rec.checkpoint(step)

    Names of columns are the ones grokscope writes: ``{split}_acc`` and ``{split}_loss`` with the splits train, id_val,
    ood_val and ood_test; any other number may stand beside them. With a model the L2 norm of its weights is added to
    every row.

    A folder in which this run was recorded before is continued: rows at or after the first new step are replaced.
    """

    def __init__(
        self,
        folder: str | Path,
        model: Any = None,
        *,
        task: Kind = "classification",
        name: str = "own loop",
        seed: int = 0,
        threshold: float | None = None,
        n: Mapping[str, int] | None = None,
        trivial: Mapping[str, float] | None = None,
        config: Mapping[str, Any] | None = None,
    ):
        """
        Args:
            folder: The run's folder.
            model: A torch module, for weight norms and checkpoints.
            task: Accuracy (classification) or R2 (regression) is judged.
            name: The regime's name in tables.
            seed: Runs with one name and several seeds are grouped.
            threshold: Held-out score from which the task counts as generalized; 0.95, for R2 0.9.
            n: Examples in each split: verdicts need them to tell noise from change.
            trivial: Score of the trivial predictor on each split (for regression, its loss).
            config: Anything of yours that should be kept with the run.

        Raises:
            ValueError: for a split, number or config that cannot be kept, naming it; and where the folder holds another
                run: one that grokscope trained or imported, or one of another name, seed, model or kind of task.
        """
        for key, given in (("n", n), ("trivial", trivial)):
            for split in given or {}:
                require(split in NAMES, f"{key}: unknown split {split!r}; the splits are {', '.join(NAMES)}")
        self.run = Run(Path(folder))
        self.model = model
        require(is_whole(seed), f"seed: expected a whole number, got {seed!r}")
        splits = _splits(task, n or {}, trivial or {})
        kept = {str(key): _plain(f"config[{key!r}]", value) for key, value in (config or {}).items()}
        goal = USUAL_THRESHOLD[task] if threshold is None else _number("threshold", threshold)
        recorded = {"task": {"name": OWN}, "model": {"name": type(model).__name__}, "regime": {"name": name}}
        record = {
            "schema": SCHEMA,
            "config": {**recorded, "seed": int(seed), "own": kept},
            "passed": [],
            "facts": _facts(task, splits, goal),
        }
        self._lock = lock.exclusive(self.run.path)
        with ExitStack() as undo:  # a folder that is refused is not left locked
            undo.enter_context(self._lock)
            _require_same_run(self.run, record)
            undo.pop_all()
        write_json(self.run.path / "config.json", {**record, "provenance": provenance(), "lineage": None})
        self._metrics = MetricsWriter(self.run.path / "results" / "metrics.jsonl")
        self._started = time.time()
        self._step: int | None = None
        self._status("running")

    def log(self, step: int, /, **values: float) -> None:
        """One evaluation. Steps must increase. Raises ValueError for a value that is no number, naming the column."""
        require(is_whole(step) and step >= 0, f"step: expected a whole number >= 0, got {step!r}")
        step = int(step)
        if self._step is None:
            earlier = {r["step"] for r in self.run.rows() if r["step"] < step}
            self._metrics.keep(earlier, step)
        last = -1 if self._step is None else self._step
        require(step > last, f"step {step:,} does not follow {last:,}")
        row = {name: _number(name, value) for name, value in values.items()}
        if self.model is not None:
            row.setdefault("norm_total", _norm(self.model))
        self._step = step
        self._metrics.append({"step": self._step, **row})
        self._status("running")

    def checkpoint(self, step: int) -> Path:
        """Keep the model's weights for ever. Returns the file."""
        from grokscope.store.checkpoints import save_weights

        require(is_whole(step) and step >= 0, f"step: expected a whole number >= 0, got {step!r}")
        if self.model is None:
            raise ValueError("a checkpoint needs the model: Recorder(folder, model)")
        path = self.run.path / "checkpoints" / f"st{int(step):08d}.safetensors"
        save_weights(path, self.model.state_dict())
        return path

    def finish(self, state: str = "done") -> Run:
        """Close the run and return it."""
        rows = self.run.rows()
        write_json(self.run.path / "results" / "history.json", rows)
        self._status(state)
        self._metrics.close()
        self._lock.__exit__(None, None, None)
        return self.run

    def _status(self, state: str) -> None:
        now = {"state": state, "step": self._step or 0, "host": socket.gethostname(), "pid": os.getpid(), "error": None}
        write_json(self.run.path / "status.json", {**now, "heartbeat": time.time(), "started": self._started})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish("done" if kind is None else "failed")


def _splits(kind: Kind, n: Mapping[str, int], trivial: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Split -> what is known of it. Raises ValueError naming what is no number."""
    baseline = "trivial_acc" if kind == "classification" else "trivial_loss"
    splits: dict[str, dict[str, float]] = {split: {"n": _number(f"n[{split!r}]", k)} for split, k in n.items()}
    for split, value in trivial.items():
        splits.setdefault(split, {})[baseline] = _number(f"trivial[{split!r}]", value)
    return splits


def _facts(kind: Kind, splits: Mapping[str, Mapping[str, float]], threshold: float) -> dict[str, Any]:
    """What is known of the task, as a run's record has it."""
    return {
        "kind": kind,
        "steps_per_epoch": 1,
        "splits": splits,
        "meta": {},
        "notes": ["recorded by another loop"],
        "threshold": threshold,
    }


def _require_same_run(run: Run, record: Mapping[str, Any]) -> None:
    """Raise ValueError where the folder holds another run than the one to be recorded: its rows would stand among new
    ones, and its config would be lost."""
    if not (run.path / "config.json").exists():
        return
    before = read_record(run.path)
    config = before["config"]
    if config.get("task", {}).get("name") != OWN or "own" not in config:
        raise ValueError(f"{run.path} holds a run that was not recorded by a loop of your own: give another folder")
    old, new = _arguments(before), _arguments(record)
    differ = [f"{key} {old[key]!r}, not {new[key]!r}" for key in new if old[key] != new[key]]
    if differ:
        raise ValueError(f"{run.path} holds the recording of another run ({', '.join(differ)}): give another folder")


def _arguments(record: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a recording this one, by the names of the recorder's arguments."""
    config, task = record["config"], record["facts"]["kind"]
    return {"name": config["regime"]["name"], "seed": config["seed"], "model": config["model"]["name"], "task": task}


def _number(name: str, value: Any) -> float | int:
    """A Python number from a number, a numpy scalar or a tensor of one element."""
    try:
        plain = value.item() if hasattr(value, "item") else value
        return plain if isinstance(plain, int | float) else float(plain)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}: expected a number, got {value!r}") from error


def _plain(name: str, value: Any) -> Any:
    """What a config may hold as JSON writes it: numpy scalars as numbers, arrays and tuples as lists, paths as text."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(f"{name}[{key!r}]", inner) for key, inner in value.items()}
    if hasattr(value, "tolist"):  # of numpy or torch: numbers and nested lists of them
        value = value.tolist()
        return value if not isinstance(value, list) else _plain(name, value)
    if isinstance(value, list | tuple | set):
        return [_plain(f"{name}[{i}]", inner) for i, inner in enumerate(value)]
    raise ValueError(f"{name}: {type(value).__name__} cannot be kept as JSON; give numbers, text, lists or mappings")


def _norm(model: Any) -> float:
    return sum(float(p.detach().double().square().sum()) for p in model.parameters()) ** 0.5
