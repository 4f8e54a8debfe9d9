"""Record your own training loop as a run, so that verdicts, reports and queries work on it."""

import os
import socket
import time
import traceback
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from grokscope import configio
from grokscope.checks import require_share_of_labels
from grokscope.config import is_whole, require
from grokscope.files import write_json
from grokscope.fit_rule import USUAL_THRESHOLD, Kind
from grokscope.recording import (
    config_of,
    continued,
    facts_of,
    known_splits,
    machine_of,
    number,
    require_of_splits,
    require_own_folder,
    require_same_run,
    require_share,
)
from grokscope.store import lock
from grokscope.store.metrics import MetricsWriter
from grokscope.store.provenance import provenance
from grokscope.store.run import SCHEMA, Run, sweep
from grokscope.vocabulary.splits import NAMES

if TYPE_CHECKING:
    from grokscope.track.chosen import Tracks
    from grokscope.train.observed import Arrays, Forward, ObservedModel
    from grokscope.train.own_optimizer import OptimizerSettings

WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "AveragedModel": "module",
}
"""Torch's wrappers of a network -> the attribute that holds it."""
AVERAGED = (
    "the network that was given holds averages of the weights that are trained (AveragedModel): norms, scores and "
    "checkpoints are those of the averages"
)

ENDS = ("done", "diverged", "interrupted", "failed")
"""How a recording may end."""

_OPEN: "weakref.WeakValueDictionary[Path, Recorder]" = weakref.WeakValueDictionary()
"""Folder -> the recorder of this process that records into it."""


class Recorder:
    """Write a run folder from your own training loop.

        with Recorder("runs/mine", model, n={"train": 200, "id_val": 1000}, trivial={"id_val": 0.1}) as rec:
            for step in ...:
                rec.log(step, train_acc=..., train_loss=..., id_val_acc=...)
                rec.checkpoint(step)

    Column names are those of grokscope: ``{split}_acc`` and ``{split}_loss`` with the splits train, id_val, ood_val and
    ood_test. Any other number can be logged as well. If a model is given, the L2 norm of its weights is added to every
    row; if an optimizer is given, the learning rate.

    If the splits are given too, the recorder evaluates the network itself and records everything that a grokscope run
    records (norms by group, ranks, probes, logits), so that all mechanism checks work:

        splits = {"train": (x, y), "id_val": (x_val, y_val)}
        with Recorder("runs/mine", model, optimizer=optimizer, splits=splits, loss="cross_entropy") as rec:
            for step in ...:
                rec.evaluate(step)

    An existing folder of this run is continued: rows at or after the first new step are replaced. A recorder that this
    process left open in the folder (a notebook's cell that is run again, a training that raised) is closed as
    interrupted, and refuses further rows.
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
        optimizer: Any = None,
        splits: "Mapping[str, Arrays] | None" = None,
        loss: str | None = None,
        forward: "Forward | None" = None,
        measure: Sequence[Any] = (),
        diagnose_every: int = 10,
        steps_per_epoch: int = 1,
        label_noise: float | None = None,
        track: "Tracks" = (),
    ):
        """
        Args:
            folder: The run's folder.
            model: A torch module, for weight norms and checkpoints.
            task: Accuracy (classification) or R2 (regression) is judged.
            name: The regime's name in tables.
            seed: Runs with one name and several seeds are grouped.
            threshold: Held-out score from which the task counts as generalized; 0.95, for R2 0.9.
            n: Examples in each split: verdicts need them to tell noise from change. Known where `splits` are given.
            trivial: Score of the trivial predictor on each split (for regression, its loss). Known where `splits` are
                given: that of the majority class, of each environment where there are some.
            config: Anything of yours that should be kept with the run.
            optimizer: The torch optimizer, for its kind, learning rate and weight decay. What has no exact counterpart
                in a regime stays unknown, with a note.
            splits: For `evaluate`: split -> (inputs (n, ...), labels (n,)), tensors or arrays, and where there are
                environments (inputs, labels, environments (n,)), whole numbers from 0. They are kept on the model's
                device, and not copied if they are there already: do not change them in place.
            loss: Name of the loss that is trained with (``grokscope list loss``), for `evaluate` and the checks.
            forward: For `evaluate`: (model, inputs) -> logits (n, k), where the model is not simply called.
            measure: Measurements (``grokscope list measurement``) of diagnosed evaluations, beside the usual ones.
            diagnose_every: Of so many evaluations one, from the first on, is diagnosed: ranks, probes, logits.
            steps_per_epoch: Optimizer steps in an epoch.
            label_noise: Share of the training labels that you replaced by random ones: 0.2, or 1.0 if all are random,
                for which there is nothing to generalize to; 0 if none was. Unknown if not given.
            track: Trackers that the recording is mirrored to as it grows (``"tensorboard"``).

        Raises:
            ValueError: for a split, number or config that cannot be kept, naming it; and where the folder holds another
                run: one that grokscope trained or imported, or one of another name, seed, model, kind of task, loss or
                data.
        """
        require(task in USUAL_THRESHOLD, f"task: expected one of {', '.join(USUAL_THRESHOLD)}, got {task!r}")
        require(isinstance(name, str) and bool(name), f"name: expected a text, got {name!r}")
        require(not isinstance(measure, str), f"measure: expected a list of names; write [{measure!r}]")
        require(isinstance(measure, Iterable), f"measure: expected a list of measurements, got {measure!r}")
        require(config is None or isinstance(config, Mapping), f"config: expected a mapping, got {config!r}")
        require_of_splits("n", n, splits)
        require_of_splits("trivial", trivial, splits)
        require_own_folder(folder)
        require(model is not None or (optimizer is None and splits is None), "optimizer and splits need the model")
        require(is_whole(seed), f"seed: expected a whole number, got {seed!r}")
        require_share_of_labels(label_noise)
        for key, count in (("diagnose_every", diagnose_every), ("steps_per_epoch", steps_per_epoch)):
            require(is_whole(count) and count > 0, f"{key}: expected a whole number above 0, got {count!r}")
        is_module = hasattr(model, "named_parameters") and not isinstance(model, type)
        require(model is None or is_module, f"model: expected a torch module, got {model!r}")
        self.run = Run(Path(folder))
        averaged = _is_averaged(model)
        self.model = model = _unwrapped(model)
        _require_whole_weights(model)
        self._optimizer = optimizer
        self._settings = _settings(optimizer, model)
        self._diagnose_every, self._evaluations = int(diagnose_every), 0
        goal = USUAL_THRESHOLD[task] if threshold is None else number("threshold", threshold)
        require(goal <= 1, f"threshold: no score is above 1, got {goal}")
        self._observed = None if splits is None else _observe(model, splits, task, loss, goal, forward, measure)
        known = known_splits(task, n or {}, trivial or {})
        facts = facts_of(task, known, goal, int(steps_per_epoch), self._settings, self._observed)
        record = {
            "schema": SCHEMA,
            "config": config_of(model, name, int(seed), config or {}, loss, self._settings, label_noise),
            "passed": [],
            "facts": facts,
        }
        if averaged:
            record["config"]["model"]["averaged"] = True
            facts["notes"].append(AVERAGED)
        from grokscope.track.chosen import read_trackers
        from grokscope.track.mirrors import Mirrors

        self._mirrors = Mirrors(read_trackers(track))
        machine = provenance() | machine_of(model)  # before the lock, of which a process that is started has a copy
        self._record = self._taken_over(record) | {"provenance": machine, "lineage": None}
        write_json(self.run.path / "config.json", self._record)
        self._metrics = MetricsWriter(self.run.path / "results" / "metrics.jsonl")
        self._started = time.time()
        self._step: int | None = None
        self._last_before = max((row["step"] for row in self.run.rows()), default=0)
        self._closed: str | None = None
        self._pid = os.getpid()
        _OPEN[self.run.path.resolve()] = self
        self._status("running")

    def _taken_over(self, record: dict[str, Any]) -> dict[str, Any]:
        """Lock the folder; the record of the run that goes on there, or of the new one. Raises ValueError where the
        folder holds another run."""
        require_same_run(self.run, record)  # before anything is closed: a recorder of another run is left open
        _close_earlier(self.run.path)
        self._lock = lock.exclusive(self.run.path)
        with ExitStack() as undo:  # a folder that is refused is not left locked
            undo.enter_context(self._lock)
            require_same_run(self.run, record)  # another process may have begun one meanwhile
            sweep(self.run.path)
            whole = continued(self.run, record)
            undo.pop_all()
        return whole

    def evaluate(self, step: int, /, diagnose: bool | None = None, **values: float) -> dict[str, float]:
        """Evaluate the network on all splits, in eval mode and over all rows, log the row, and return it.

        Training is not affected: weights, gradients, modes, running averages and generators are restored.

        Args:
            diagnose: Whether to add ranks, probes, logits and the other measurements; None: according to
                `diagnose_every`.
            values: Your own additional numbers.

        Raises:
            ValueError: without `splits`, and for a value with the name of a measured column.
        """
        if self._observed is None:
            raise ValueError("evaluate needs the data: Recorder(folder, model, splits=..., loss=...)")
        self._require_next(step)
        due = self._evaluations % self._diagnose_every == 0
        row = self._observed.row(
            int(step), due if diagnose is None else diagnose, self._rate(), self._settings.adaptive
        )
        twice = sorted(row.keys() & values.keys())
        require(not twice, f"{', '.join(twice)}: already measured; choose another name")
        self.log(step, **row, **values)
        self._evaluations += 1
        return row | values

    def _rate(self) -> float | None:
        if self._optimizer is None:
            return None
        from grokscope.train.own_optimizer import rate

        return rate(self._optimizer)

    def log(self, step: int, /, **values: float) -> None:
        """Log one evaluation. Steps must increase. Raises ValueError with the column for a value that is not a
        number, and after `finish`."""
        self._require_next(step)
        step = int(step)
        row = {name: number(name, value) for name, value in values.items()}
        for column, value in row.items():
            require_share(column, value)
        if not row.keys() >= {"norm_total", "lr"}:
            row = self.seen_now() | row
        if self._step is None:
            earlier = {r["step"] for r in self.run.rows() if r["step"] < step}
            self._metrics.keep(earlier, step)
        self._know_splits_of(row)
        self._metrics.append({"step": step, **row})
        self._step = step
        self._status("running")
        self._mirrors.follow(self.run.path)  # from the first row on: those that it replaces are gone by now

    def seen_now(self) -> dict[str, float]:
        """What a row holds of the network and the optimizer as they are at this moment: the norm of all weights and the
        learning rate. For whoever logs a row later than its scores were taken: `log(step, **seen, ...)`."""
        seen = {} if self.model is None else {"norm_total": _norm(self.model)}
        if (lr := self._rate()) is not None:
            seen["lr"] = lr
        return seen

    def note(self, text: str) -> None:
        """Keep a sentence with the run, for whoever reads it: `show` and the report print it. Once, however often."""
        self._require_open()
        require(isinstance(text, str), f"note: expected a text, got {text!r}")
        notes = self._record["facts"]["notes"]
        if text not in notes:
            notes.append(text)
            write_json(self.run.path / "config.json", self._record)

    def _require_next(self, step: int) -> None:
        """Before anything is computed for a step: the recorder is open, and the step is the first or follows."""
        self._require_open()
        require(is_whole(step) and step >= 0, f"step: expected a whole number >= 0, got {step!r}")
        require(self._step is None or step > self._step, f"step {step:,} does not follow {self._step or 0:,}")

    def _require_open(self) -> None:
        require(self._closed is None, f"{self.run.path}: this recorder {self._closed}; create a new one to go on")

    def _know_splits_of(self, row: Mapping[str, Any]) -> None:
        """Splits whose size nobody gave are known from the first row that scores them: what reads runs asks the
        record for the splits there are."""
        splits = self._record["facts"]["splits"]
        scored = [name for name in NAMES if name not in splits and not row.keys().isdisjoint(_scores_of(name))]
        if scored:
            splits |= {name: {} for name in scored}
            write_json(self.run.path / "config.json", self._record)

    def checkpoint(self, step: int) -> Path:
        """Save the model's weights permanently. Returns the file."""
        from grokscope.store.checkpoints import save_weights

        self._require_open()
        require(is_whole(step) and step >= 0, f"step: expected a whole number >= 0, got {step!r}")
        if self.model is None:
            raise ValueError("a checkpoint needs the model: Recorder(folder, model)")
        path = self.run.path / "checkpoints" / f"st{int(step):08d}.safetensors"
        save_weights(path, self.model.state_dict())
        return path

    def finish(self, state: str = "done", error: BaseException | None = None) -> Run:
        """Close the run and return it; a run that is closed stays as it is. `state`: done, diverged, interrupted or
        failed."""
        require(state in ENDS, f"state: expected one of {', '.join(ENDS)}, got {state!r}")
        if self._closed is not None:
            return self.run
        rows = self.run.rows()
        write_json(self.run.path / "results" / "history.json", rows)
        self._status(state, error)
        self._close("is finished")
        self._mirrors.end()
        return self.run

    def _close(self, why: str) -> None:
        self._closed = why
        self._metrics.close()
        self._lock.__exit__(None, None, None)

    def _status(self, state: str, error: BaseException | None = None) -> None:
        step = self._last_before if self._step is None else self._step
        now = {"state": state, "step": step, "host": socket.gethostname(), "pid": os.getpid(), "error": _told(error)}
        write_json(self.run.path / "status.json", {**now, "heartbeat": time.time(), "started": self._started})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state = "done" if kind is None else "failed"
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            state = "interrupted"
        self.finish(state, error)


def _told(error: BaseException | None) -> dict[str, str] | None:
    """An error as a run's status has it."""
    if error is None:
        return None
    tail = "".join(traceback.format_exception(error))[-4000:]
    return {"type": type(error).__name__, "message": str(error), "traceback": tail}


def _close_earlier(folder: Path) -> None:
    """Close the recorder that this process left open in the folder. One inherited by fork is the parent's."""
    earlier = _OPEN.pop(folder.resolve(), None)
    if earlier is None or earlier._pid != os.getpid() or earlier._closed is not None:
        return
    earlier.finish("interrupted")
    earlier._closed = "was followed by another recorder of the same folder"


def _unwrapped(model: Any) -> Any:
    """The network inside of what torch puts around it to compile or distribute it: its name and those of its weights
    are the same with and without."""
    while _is_wrapped(model):
        model = getattr(model, WRAPPERS[type(model).__name__])
    return model


def _is_wrapped(model: Any) -> bool:
    return type(model).__name__ in WRAPPERS and type(model).__module__.startswith("torch.")


def _is_averaged(model: Any) -> bool:
    """Whether torch's AveragedModel (an exponential or a plain mean of weights) is what was given, or lies inside."""
    while _is_wrapped(model):
        if type(model).__name__ == "AveragedModel":
            return True
        model = getattr(model, WRAPPERS[type(model).__name__])
    return False


def _require_whole_weights(model: Any) -> None:
    """Raise ValueError where this process holds only its part of the weights: their norm and scores would be those of
    the part, and asking for the whole would wait for processes that do not know of it."""
    if is_spread(model):
        raise ValueError(
            "model: its weights are spread over processes (FSDP, tensor parallelism, ZeRO-3), of which each holds a "
            "part; record scores without the model (callbacks: columns=)"
        )


def is_spread(model: Any) -> bool:
    """Whether this process holds only a part of the weights."""
    weights = [] if model is None else model.parameters()
    return any(type(w).__name__ in SHARDS or hasattr(w, "ds_id") for w in weights)


SHARDS = ("DTensor", "FlatParameter")
"""Types of weights of which a process holds a part."""


def _scores_of(split: str) -> tuple[str, ...]:
    return tuple(f"{split}_{measure}" for measure in ("acc", "loss", "r2"))


def _settings(optimizer: Any, model: Any) -> "OptimizerSettings":
    from grokscope.train.own_optimizer import UNKNOWN, settings_of

    if optimizer is None:
        return UNKNOWN
    return settings_of(optimizer, model)


def _observe(
    model: Any,
    splits: "Mapping[str, Arrays]",
    task: Kind,
    loss: str | None,
    threshold: float,
    forward: "Callable[..., Any] | None",
    measure: Sequence[Any],
) -> "ObservedModel":
    from grokscope.train.observed import ObservedModel

    if loss is None:
        raise ValueError("loss: name the one you train with, such as cross_entropy; grokscope list loss shows them")
    chosen = [configio.structure_component("measurement", m, f"measure[{i}]") for i, m in enumerate(measure)]
    return ObservedModel(model, splits, kind=task, loss=loss, threshold=threshold, call=forward, measurements=chosen)


def _norm(model: Any) -> float:
    return sum(float(p.detach().double().square().sum()) for p in model.parameters()) ** 0.5
