"""From a config to a run folder: cadences, rows, checkpoints, resume states, status, interruption.

The same call again continues where the run stopped, or does nothing when it is complete. The driver knows no network:
an engine advances, describes and restores itself.
"""

import math
import os
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from grokscope import configio, registry
from grokscope.config import Budget, RunConfig, Start
from grokscope.files import (
    explain_full_disk,
    read_json,
    require_plain_folder,
    require_writable,
    write_json,
)
from grokscope.fit_rule import fit_step
from grokscope.results.cost import merged
from grokscope.results.predictions import PREDICTIONS, Predictions
from grokscope.seeds import derive
from grokscope.storage import trouble_of
from grokscope.store import lock
from grokscope.store.checkpoints import load_weights, save_state, save_weights
from grokscope.store.ended import ENDED, changed_since
from grokscope.store.folders import as_begun, find_run
from grokscope.store.intervened import never_began, write_interventions
from grokscope.store.metrics import MetricsWriter
from grokscope.store.provenance import provenance
from grokscope.store.run import SCHEMA, Run, sweep
from grokscope.store.same_data import OtherData, digests_of, require_digests, require_version
from grokscope.store.states import state_paths
from grokscope.task_data import TaskData
from grokscope.tasks.digest import rows_in_train, split_digests
from grokscope.tasks.images.contact_sheet import contact_sheet, has_images
from grokscope.train.fork import begin_planned
from grokscope.train.kept_states import KeptStates
from grokscope.train.plan import Plan, make_plan
from grokscope.train.process_state import deterministic, precision, recorded_warnings, stop_on_signals
from grokscope.train.resume import CannotResume, resume

HEARTBEAT_S = 2.0
DIVERGED_AFTER = 3
"""A loss that is not finite in this many evaluations in a row, or a weight that is not finite once, ends the run."""


class Interrupted(Exception):
    """Training was asked to stop. Everything is saved; the same command continues."""

    def __init__(self, run: Run, step: int, total: int):
        super().__init__(f"{run.id} stopped at step {step:,} of {total:,}; run the same command again to continue")
        self.run = run


class Engine(Protocol):
    """What the driver needs of a way to train."""

    step: int

    def advance(self, until: int, watch_last: bool, paused: Callable[[], bool]) -> None: ...
    def row(self, diagnose: bool) -> dict[str, Any]: ...
    def finite(self) -> bool: ...
    def predictions(self) -> Predictions | None: ...
    def weights(self) -> dict[str, Tensor]: ...
    def load_weights(self, weights: dict[str, Tensor]) -> None: ...
    def facts(self) -> dict[str, Any]: ...
    def input_probe(self) -> dict[str, dict[str, float]]: ...
    def fitted(self, step: int) -> None: ...
    def intervened(self, over: bool) -> list[dict[str, Any]]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Progress:
    """Told to whoever watches: where a run is and how fast it goes (steps per second since it was started or
    resumed)."""

    run: Path
    step: int
    total: int
    steps_per_s: float


Watcher = Callable[[Progress], None]


def train(
    config: RunConfig,
    root: str | Path = "runs",
    *,
    passed: tuple[str, ...] = (),
    watcher: Watcher | None = None,
    interrupt_at: int | None = None,
) -> Run:
    """Train `config` in a folder under `root` and return the run; continue it where it was left, do nothing when it is
    complete.

    `interrupt_at` stops there as Ctrl-C would: for schedulers that give a job only so many steps, and for tests.

    Raises:
        ValueError: for a config that cannot be trained, or a run that another process is training.
        CannotResume: (a ValueError) where rows or resume states of the run are missing, so that going on would lose
            something; nothing is changed then.
        NotForked: (a ValueError) for a fork of a study whose parent does not hold the state that it begins with.
        Interrupted: after SIGINT, SIGTERM or SIGHUP, with everything saved.
    """
    run = find_run(root, config)
    require_plain_folder(run.path)
    if complete(run, config):
        tell_of_missing_states(run, config)
        return run
    config = begin_planned(as_begun(run, config), root)
    torch.set_num_threads(config.hardware.threads)
    notes: list[str] = []
    with recorded_warnings(notes), registry.naming_plugins():
        data = config.task.build(config.seed)
        session = Session(run, config, data, passed, watcher, interrupt_at)  # what cannot be trained leaves no folder
    session.notes = notes
    provenance()  # asks git, and a process that is started under the lock holds a copy of it for a moment
    with lock.claimed(run.path):
        if not complete(run, config):
            session.require_same_data()
            session.go()
    return Run(run.path)


def extend(run: Run, budget: Budget, watcher: Watcher | None = None) -> Run:
    """Train a run longer, exactly as if it had been given the larger budget from the start.

    Raises:
        ValueError: when its schedule depends on the length, the budget is not larger than what was trained, or the run
            was imported or has diverged.
    """
    if (run.record.get("lineage") or {}).get("kind") in ("archive", "log"):
        raise ValueError(
            f"{run.id} was imported without an optimizer state and cannot be resumed; branch from its checkpoints"
        )
    config = configio.load_run(run.config)
    require_version(run, config)
    longer = replace(config, budget=budget)
    if longer.identity() != config.identity():
        raise ValueError(
            f"{run.id}: its schedule {config.regime.schedule.name!r} depends on the length, so training on would not "
            "equal training longer; start a new run with the larger budget, or branch from its last checkpoint"
        )
    total, status = budget.in_steps(run.facts["steps_per_epoch"]), run.status
    if status["state"] == "diverged":
        raise ValueError(f"{run.id} diverged at step {status['step']}: it cannot be trained further")
    if total <= status["step"]:
        raise ValueError(f"{run.id} has {status['step']:,} steps already; a budget of {total:,} would not extend it")
    if (taken := find_run(run.path.parent, longer)).path.name != run.path.name:
        raise ValueError(f"{run.path}: {taken.path} contains the same run, and would be trained instead; remove one")
    return train(longer, run.path.parent, passed=tuple(run.record["passed"]), watcher=watcher)


def complete(run: Run, config: RunConfig) -> bool:
    if not (run.path / "config.json").exists():
        return False
    status = run.status
    enough = status["state"] == "done" and status["step"] >= config.budget.in_steps(run.facts["steps_per_epoch"])
    if status["state"] != "diverged" and not enough:
        return False
    return not changed_since(run, status, thorough=True)  # with rows missing there is something left to do


def tell_of_missing_states(run: Run, config: RunConfig) -> None:
    """A complete run keeps no further states: whoever asks for them is told, not left to find out."""
    if not config.checkpoint.states:
        return
    kept = KeptStates(config.checkpoint.states, run.facts["steps_per_epoch"])
    rows = run.rows()
    fitted_at = fit_step(rows, run.facts["kind"])
    start = as_begun(run, config).start
    forked_at = start.step if start is not None and start.exact else 0
    for text in kept.missing(run, run.status["step"] + 1, fitted_at, forked_at or 0):
        warnings.warn(f"{run.id}: {text}; delete the run to train it again", stacklevel=3)


class Session:
    """One process's work on one run."""

    def __init__(
        self,
        run: Run,
        config: RunConfig,
        data: TaskData,
        passed: tuple[str, ...],
        watcher: Watcher | None,
        interrupt_at: int | None,
    ):
        self.run, self.config, self.passed, self.watcher = run, config, passed, watcher
        self.interrupt_at = sys.maxsize if interrupt_at is None else interrupt_at
        self.threshold, self.kind = data.threshold, data.kind
        self.n_train = len(data.splits["train"])
        self.plan, self.engine = self._build(config, data)
        self.kept = KeptStates(config.checkpoint.states, self.plan.steps_per_epoch)
        self.digests, self.rows_in_train = split_digests(data), rows_in_train(data)
        self.metrics_path = run.path / "results" / "metrics.jsonl"
        self.log_path = run.path / "logs" / "train.log"
        self._warn_of_easy_splits()
        self.data: TaskData | None = data
        self.notes: list[str] = []
        """What building data and engine warned of: it belongs to the run."""
        self.bad_rows = 0
        self.at_most: int | None = None
        """The latest step to go on from, where newer states are to be passed over."""
        self.fitted_at: int | None = None
        """`T_fit`, by the rule that verdicts have too, on the rows that the cadences ask for: the closing row of a run
        that lies off them does not count, for a longer run has none there."""
        self.saved_step: int | None = None
        """Step of the newest resume state."""
        self.stop = False

    def _build(self, config: RunConfig, data: TaskData) -> "tuple[Plan, Engine]":
        return make_engine(config, data)

    def require_same_data(self) -> None:
        """Raise OtherData (a ValueError) where the run began with other data: going on would mix the two."""
        if not (self.run.path / "config.json").exists():
            return
        run = Run(self.run.path)  # whoever held the lock may have begun it
        require_digests(run, self.digests)
        then, now = run.facts.get("splits") or {}, self.engine.facts()["splits"]
        other = [name for name, fact in then.items() if not _agree(fact, now.get(name))]
        if other:  # all that runs of before the digests say of their data
            raise OtherData(
                f"{self.run.id}: its data differ from those that it was trained on (other sizes or trivial scores in "
                f"{', '.join(other)}); train it again in another folder"
            )

    def go(self) -> None:
        seed = derive(self.config.seed, "training")
        with (
            deterministic(seed, self.config.hardware.deterministic),
            precision(self.config.hardware.tf32),
            stop_on_signals(self._request_stop),
            ExitStack() as self.closing,
        ):
            try:
                with registry.naming_plugins():
                    self._restore()
                    self._train()
            except (Interrupted, CannotResume, lock.Held):
                raise
            except BaseException as error:
                self._write_failure(error)
                raise

    # -- start ------------------------------------------------------------------------------------------------------

    def _restore(self) -> None:
        """Go back to the newest resume state that will do and forget the rows after it, or begin. Until that is known
        nothing is written."""
        self._start_from_weights()
        resumed = resume(self.run, self._plan_of, self.engine.state_dict(), self._load, self._forked_at(), self.at_most)
        self.notes += resumed.warnings
        sweep(self.run.path)
        self._write_config()
        self._write_contact_sheet()
        if resumed.state:
            self.saved_step = self.engine.step
            self.plan = self._plan_of(self.engine.step)
        elif self.config.start is not None:
            self.engine.load_weights(load_weights(self._start_file))
        self.metrics = self.closing.enter_context(closing(MetricsWriter(self.metrics_path)))
        self.last_row = self.metrics.keep(self.plan.evaluate, self.engine.step if resumed.state else -1)
        self._notice_fit(row for row in self.run.rows() if row["step"] in self.plan.grid)
        passed = self.kept.missing(self.run, self.engine.step, self.fitted_at, self._forked_at())
        for text in (*resumed.warnings, *passed):
            self._warn(text)
        self._log(f"{'resumed at' if resumed.state else 'started at'} step {self.engine.step} of {self.plan.total}")
        before = self.run.status if (self.run.path / "status.json").exists() else {}
        self.seconds_before = float(before.get("seconds") or 0.0)
        self.flops_before = [entry for entry in before.get("flops") or [] if entry["step"] <= self.engine.step]
        self.started, self.first_step = time.time(), self.engine.step
        self.last_beat = self.last_save = time.monotonic()
        self._write_status("running")

    @property
    def _start_file(self) -> Path:
        return self.run.path / "checkpoints" / "start.safetensors"

    def _start_from_weights(self) -> None:
        """What interventions call the initial weights are those that a branch began with, after a restart too."""
        if self.config.regime.interventions and self._start_file.exists():
            self.engine.load_weights(load_weights(self._start_file))

    def _forked_at(self) -> int:
        """The step at which an exact fork left its parent, with the parent's rows before it; 0 for other runs.

        Raises CannotResume where its first state is gone, from which alone it can begin."""
        start = self.config.start
        if start is None or not start.exact:
            return 0
        if not state_paths(self.run.path / "resume"):
            raise CannotResume(
                f"{self.run.path}: an exact fork needs the state of its parent, which is missing; fork again: "
                f"{_how_to_fork(start)}"
            )
        assert start.step is not None
        return start.step

    def _plan_of(self, step: int) -> Plan:
        """The plan of a run that is at `step`: one that is further than asked for is closed where it is."""
        if step <= self.plan.total:
            return self.plan
        return make_plan(replace(self.config, budget=Budget(steps=step)), self.n_train)

    def _load(self, state: dict[str, Any]) -> int:
        bad_rows = state["bad_rows"]
        self.engine.load_state_dict(state)
        self.bad_rows = bad_rows
        return self.engine.step

    def _write_config(self) -> None:
        path = self.run.path / "config.json"
        old = read_json(path) if path.exists() else None
        now = provenance() | {"threads": torch.get_num_threads(), "device": self.engine.facts()["device"]}
        if old and (
            changed := [k for k in ("packages", "threads", "device", "processor") if old["provenance"].get(k) != now[k]]
        ):
            self._warn(f"resumed with other {', '.join(changed)}; bit-identity with an uninterrupted run is not given")
        record = {
            "schema": SCHEMA,
            "config": configio.dump(self.config),
            "passed": list(self.passed),
            **({"plugins": plugins} if (plugins := self.config.plugins()) else {}),
            "facts": {
                "kind": self.kind,
                "threshold": self.threshold,
                **({"stacked": old["facts"]["stacked"]} if old and "stacked" in old["facts"] else {}),
                **self.engine.facts(),
                "input_probe": self._input_probe(old),
                "data": self._data_facts(old),
                "notes": list(dict.fromkeys([*(old["facts"].get("notes", []) if old else []), *self.notes])),
            },
            "provenance": old["provenance"] if old else now,
            "lineage": self.config.start.lineage() if self.config.start else None,
        }
        if record != old:
            write_json(path, record)

    def _input_probe(self, old: dict[str, Any] | None) -> dict[str, dict[str, float]]:
        """What a linear probe reads off the raw input, per held-out split: fitted once, when the run begins."""
        known = old["facts"].get("input_probe") if old else None
        if known is None:
            return self.engine.input_probe()
        return known

    def _data_facts(self, old: dict[str, Any] | None) -> dict[str, Any]:
        """Which data this is. Nobody can tell any more what a run without digests began with, so it stays without."""
        version = self.config.task.data_version
        if old is not None and old["facts"].get("splits") and not digests_of(old):
            return {"version": version}
        shared = {"rows_in_train": self.rows_in_train} if self.rows_in_train else {}
        return {"version": version, "digests": self.digests, **shared}

    def _warn_of_easy_splits(self) -> None:
        """A threshold that a constant reaches makes a verdict impossible: better said before training than after."""
        for name, fact in self.engine.facts()["splits"].items():
            trivial = fact.get("trivial_acc", 0.0)
            if name != "train" and trivial >= self.threshold:
                warnings.warn(
                    f"{name}: the trivial predictor has {trivial:.4g}, so reaching the threshold {self.threshold:g} "
                    f"is uninformative, and this split gets no verdict",
                    stacklevel=3,
                )

    def _write_contact_sheet(self) -> None:
        """What the network sees, for whoever reads the run later and has not the images at hand."""
        path, data = self.run.path / "results" / "contact.png", self.data
        self.data = None
        if data is not None and not path.exists() and has_images(data):
            contact_sheet(data, path, per_cell=4)

    # -- the line of events -------------------------------------------------------------------------------------------

    def _train(self) -> None:
        if self.engine.step > self.last_row:
            self._events()
        while self.engine.step < self.plan.total and self.bad_rows < DIVERGED_AFTER:
            self._housekeeping()
            target = min(self.next_event(), self.interrupt_at)
            self.engine.advance(target, target in self.plan.diagnose, self._paused)
            if self.engine.step == target:
                self._events()
        self._finish("diverged" if self.bad_rows >= DIVERGED_AFTER else "done")

    def next_event(self) -> int:
        """The next step at which something is due."""
        kept = self.kept.after(self.engine.step, self.fitted_at)[:1]
        return min([self.plan.next_event(self.engine.step), *kept])

    def _events(self) -> None:
        """What the cadences ask for at this step."""
        step = self.engine.step
        if step in self.plan.evaluate:
            row = self.engine.row(step in self.plan.diagnose)
            self.metrics.append({"step": step, "epoch": step / self.plan.steps_per_epoch, **row})
            finite = row["train_loss"] == row["train_loss"] and abs(row["train_loss"]) != float("inf")
            self.bad_rows = 0 if finite else self.bad_rows + 1
            if not finite and not self.engine.finite():
                self.bad_rows = DIVERGED_AFTER
            if step in self.plan.grid:
                self._notice_fit([{"step": step, **row}])
        if step in self.plan.checkpoint:
            save_weights(
                self.run.path / "checkpoints" / f"{self.plan.checkpoint_name(step)}.safetensors", self.engine.weights()
            )
        if self.kept.due(step, self.fitted_at):
            self.metrics.sync()
            self.kept.keep(self.run, step, self._state())

    def _notice_fit(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Look for `T_fit` in rows that follow those looked at before."""
        if self.fitted_at is None:
            self.fitted_at = fit_step(list(rows), self.kind)
            if self.fitted_at is not None:
                self.engine.fitted(self.fitted_at)

    def _paused(self) -> bool:
        """Whether the engine should give way after this step: somebody asked, or it is time to look up."""
        return self.stop or time.monotonic() - self.last_beat > HEARTBEAT_S

    def _housekeeping(self) -> None:
        """What is due while the run is not over: give way to whoever asked, say that it lives, save its state."""
        if self.stop or self.interrupt_at <= self.engine.step:
            self._save_state()
            self._write_status("interrupted")
            self._log(f"interrupted at step {self.engine.step}")
            raise Interrupted(self.run, self.engine.step, self.plan.total)
        now = time.monotonic()
        if now - self.last_beat > HEARTBEAT_S:
            self.last_beat = now
            self._write_status("running")
        if now - self.last_save > self.config.hardware.resume_every_s:
            self.last_save = now
            self._save_state()

    def _finish(self, state: str) -> None:
        save_weights(self.run.path / "checkpoints" / "final.safetensors", self.engine.weights())
        self._save_state()
        rows = self.run.rows()
        write_json(self.run.path / "results" / "history.json", rows)
        if (predictions := self.engine.predictions()) is not None:
            predictions.write(self.run.path / PREDICTIONS)
        write_json(
            self.run.path / "results" / "summary.json", {"state": state, "evaluations": len(rows), "final": rows[-1]}
        )
        self._write_status(state)
        self._log(f"{state} at step {self.engine.step}")
        for text in self.kept.never_came(self.engine.step, self.fitted_at):
            self._log(text)
        for entry in never_began(self.run):
            self._log(f"intervention {entry['name']} never began: {entry['why']}")

    # -- writing ------------------------------------------------------------------------------------------------------

    def _state(self) -> dict[str, Any]:
        return {**self.engine.state_dict(), "bad_rows": self.bad_rows}

    def _save_state(self) -> None:
        self.metrics.sync()
        save_state(self.run.path / "resume", self.engine.step, self._state())
        self.saved_step = self.engine.step

    def _write_interventions(self, over: bool) -> None:
        record = self.engine.intervened(over)
        if record:
            write_interventions(self.run, self.fitted_at, self.kind, record)

    def _write_status(self, state: str, error: dict[str, str] | None = None) -> None:
        elapsed = time.time() - self.started
        speed = (self.engine.step - self.first_step) / elapsed if elapsed > 0 else 0.0
        status = {
            "state": state,
            "step": self.engine.step,
            "total_steps": self.plan.total,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "heartbeat": time.time(),
            "started": self.started,
            "steps_per_s": speed,
            "seconds": self._seconds(elapsed),
            "flops": merged(self.flops_before, getattr(self.engine, "flops", [])),
            "saved_step": self.saved_step,
            "error": error,
        }
        if hasattr(self, "metrics"):  # an error before that has no step to speak of
            self._write_interventions(state in ENDED)
        if state in ENDED:
            status["metrics_bytes"] = self.metrics_path.stat().st_size
        write_json(self.run.path / "status.json", status)
        if self.watcher:
            self.watcher(Progress(self.run.path, self.engine.step, self.plan.total, speed))

    def _seconds(self, elapsed: float) -> float | None:
        """What the run has taken so far, of all processes that trained it."""
        return self.seconds_before + elapsed

    def _write_failure(self, error: BaseException) -> None:
        """Say in the folder what went wrong, as far as the disk still allows; the error itself goes on to the
        caller. An impatient second Ctrl-C is no failure, nor is a full disk: the newest resume state is there."""
        tail = "".join(traceback.format_exception(error))[-4000:]
        blameless = isinstance(error, KeyboardInterrupt) or trouble_of(error, self.run.path.parent)
        state = "interrupted" if blameless else "failed"
        self.started = getattr(self, "started", time.time())
        self.first_step = getattr(self, "first_step", self.engine.step)
        self.seconds_before = getattr(self, "seconds_before", 0.0)
        self.flops_before = getattr(self, "flops_before", [])
        try:
            self._write_status(state, {"type": type(error).__name__, "message": str(error), "traceback": tail})
            self._log(f"{state} at step {self.engine.step}: {error}")
        except (OSError, lock.Held):
            pass  # a full disk, or a folder that is gone, cannot hold its own obituary; the caller still gets the error

    def _warn(self, text: str) -> None:
        self._log(f"warning: {text}")
        warnings.warn(text, stacklevel=2)

    def _log(self, line: str) -> None:
        require_writable(self.log_path)
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(self.log_path, "a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
        except OSError as error:
            explain_full_disk(error, self.log_path)
            raise

    def _request_stop(self) -> None:
        self.stop = True


def _how_to_fork(start: Start) -> str:
    if start.planned:
        return "delete its folder and run the study again"
    return f"grokscope branch {start.run} --exact --at {start.step}"


def _agree(one: Mapping[str, float], two: Mapping[str, float] | None) -> bool:
    """Size and trivial scores of a split, up to rounding, which may differ between versions of a library."""
    return two is not None and one.keys() == two.keys() and all(math.isclose(one[k], two[k], rel_tol=1e-6) for k in one)


def make_engine(config: RunConfig, data: TaskData) -> tuple[Plan, Engine]:
    """The plan of a run and the engine that trains it, at step 0; touches no disk."""
    plan = make_plan(config, len(data.splits["train"]))
    return plan, config.engine.build(config, data, plan.total)
