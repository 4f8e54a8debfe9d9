"""Measure a run's stored checkpoints: the run's engine is rebuilt, loaded with each checkpoint's weights, and evaluated
as in a diagnosed row. The run itself is not changed."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grokscope import configio
from grokscope.components import Measurement
from grokscope.config import RunConfig, require
from grokscope.files import to_json
from grokscope.measuring.retraining import retraining
from grokscope.registry import naming_plugins
from grokscope.results.cost import seconds_per_step
from grokscope.results.measured import RULES, Measured, MeasuredCheckpoint
from grokscope.store import Run, open_run
from grokscope.store.checkpoints import load_weights
from grokscope.store.measured import measured_file
from grokscope.store.same_data import require_digests, require_version
from grokscope.tasks.digest import split_digests
from grokscope.train.driver import make_engine
from grokscope.train.measurements.needs import silences
from grokscope.train.torch_engine import TorchEngine
from grokscope.trajectory.selection import kept

NO_STEP = "a checkpoint contains no optimizer step; list the measurement under measure in a run instead"
Chosen = str | Mapping[str, Any] | Measurement
"""A measurement as a config names it: by name, as a table with its name and parameters, or itself."""


@dataclass(frozen=True)
class Progress:
    """One checkpoint is done."""

    step: int
    done: int
    total: int
    """Checkpoints that were not measured before."""
    seconds: float
    """What this one took."""


Watch = Callable[[Progress], None]
Tell = Callable[[int, int, float | None], None]
"""Networks to be trained anew, their steps in all, and seconds at the run's own speed (None where it is unknown)."""


@dataclass(frozen=True)
class MeasuredRun:
    """What a run's checkpoints say, those that had been measured before included."""

    run: Run
    results: tuple[Measured, ...]
    """One for each measurement, with the checkpoints that were asked for."""
    computed: int
    """Checkpoints measured now."""
    left: int
    """Checkpoints that were asked for and have not been measured: only where no more were wanted than a probe."""
    seconds: float | None
    """Of one checkpoint, mean over those measured now; None where none was."""
    problems: tuple[str, ...]
    """One message for each checkpoint that cannot be measured."""

    @property
    def rows(self) -> list[dict[str, float]]:
        """A row for each checkpoint: step and columns."""
        rows: dict[int, dict[str, float]] = {}
        for result in self.results:
            for checkpoint in result.checkpoints:
                rows.setdefault(checkpoint.step, {"step": checkpoint.step}).update(checkpoint.values)
        return [rows[step] for step in sorted(rows)]


def measure(
    run: str | Path | Run,
    measurements: Sequence[Chosen] | Chosen,
    *,
    at: Sequence[int] = (),
    every_checkpoint: bool = False,
    probe: bool = False,
    watch: Watch | None = None,
    tell: Tell | None = None,
) -> MeasuredRun:
    """Measure a run's checkpoints and save the results in its folder, ``measured/NAME.json``: the last checkpoint,
    those `at` some steps, or all. Existing results are not measured again, unless parameters, rules or weights have
    changed. After an interruption, the same call resumes.

    Args:
        run: a run's folder, or an imported run if its data can be loaded.
        measurements: names, or tables with parameters (``{"name": "hessian", "rows": 64}``).
        probe: measure only one checkpoint, to estimate the time.
        watch: called after each checkpoint.
        tell: called before anything begins, if new networks will be trained.

    Raises:
        ValueError: for an unknown measurement or step, a run without checkpoints, a network that grokscope cannot
            build, missing data, or if no checkpoint could be read.
    """
    opened = run if isinstance(run, Run) else open_run(run)
    chosen = _chosen(measurements)
    require(not (at and every_checkpoint), "at: give either steps or every_checkpoint, not both")
    steps = _steps(opened, at, every_checkpoint)
    work = _Work(opened, chosen, steps)
    pending = work.pending()
    wanted = pending[:1] if probe else pending
    if tell is not None and (networks := _trainings(opened, chosen, wanted)):
        tell(*networks)
    threads = torch.get_num_threads()
    try:
        spent = work.go(wanted, watch) if wanted else []
    finally:
        torch.set_num_threads(threads)
    require(bool(work.done() or not steps), "\n".join(work.problems))
    return MeasuredRun(
        opened,
        tuple(work.result(m, list(steps)) for m in chosen),
        len(spent),
        len(pending) - len(wanted),
        sum(spent) / len(spent) if spent else None,
        tuple(work.problems),
    )


def _trainings(run: Run, chosen: Sequence[Measurement], steps: Sequence[int]) -> tuple[int, int, float | None] | None:
    """How many networks are trained anew, for how many steps in all, and how long that takes at the run's own speed."""
    n = ((run.facts.get("splits") or {}).get("train") or {}).get("n") or 0
    networks = sum(m.trainings(n) for m in chosen)
    if not networks or not steps:
        return None
    speed = run.status.get("steps_per_s")
    each = seconds_per_step(run.config, run.status) or (1 / speed if speed else None)
    total = networks * sum(steps)
    return networks * len(steps), total, None if each is None else each * total


def _chosen(measurements: Sequence[Chosen] | Chosen) -> list[Measurement]:
    one = isinstance(measurements, str | Mapping | Measurement)
    values = [measurements] if one else list(measurements)
    require(bool(values), "measure: name at least one measurement; grokscope list measurement shows them")
    chosen = [
        m if isinstance(m, Measurement) else configio.structure_component("measurement", m, f"$.measure[{i}]")
        for i, m in enumerate(values)
    ]
    names = [m.name for m in chosen]
    require(len(set(names)) == len(names), f"measure: each measurement once, got {', '.join(names)}")
    return chosen


def _steps(run: Run, at: Sequence[int], every_checkpoint: bool) -> dict[int, Path]:
    """Step -> weights of what is to be measured."""
    known = kept(run)
    if every_checkpoint:
        return dict(sorted(known.items()))
    if not at:
        last = max(known)
        return {last: known[last]}
    for step in at:
        near = sorted(known, key=lambda s: abs(s - step))[:4]
        require(step in known, f"at: {run.id} has no checkpoint at step {step:,}; nearest: {', '.join(map(str, near))}")
    return {step: known[step] for step in sorted(set(at))}


class _Work:
    """One call: what was measured before, the engine, and what is measured now."""

    def __init__(self, run: Run, chosen: Sequence[Measurement], steps: Mapping[int, Path]):
        self.run, self.chosen, self.steps = run, chosen, steps
        self.problems: list[str] = []
        self.reasons: dict[str, dict[str, str]] = {}
        """Measurement -> what of it says nothing -> why; of those that were asked now."""
        self.digests = {step: digest for step, path in steps.items() if (digest := self._digest(path)) is not None}

    def _digest(self, path: Path) -> str | None:
        try:
            return blake2b(path.read_bytes(), digest_size=8).hexdigest()
        except OSError as error:
            self.problems.append(f"{path}: cannot be read ({error.strerror})")
            return None

    def before(self, measurement: Measurement) -> Measured:
        """What lies there of a measurement with these parameters, by the present rules, of the present weights."""
        empty = Measured(measurement=measurement.name, parameters=_parameters(measurement), reasons={}, checkpoints=())
        path = measured_file(self.run.path, measurement.name)
        if not path.exists():
            return empty
        try:
            there = Measured.read(path)
        except ValueError as error:
            warnings.warn(f"{error}; measured again", stacklevel=4)
            return empty
        if (there.rules, there.parameters) != (RULES, empty.parameters):
            return empty
        same = [c for c in there.checkpoints if self.digests.get(c.step, c.digest) == c.digest]
        return replace(there, checkpoints=tuple(same))

    def _missing(self, measurement: Measurement) -> set[int]:
        return self.digests.keys() - {c.step for c in self.before(measurement).checkpoints}

    def pending(self) -> list[int]:
        """Steps at which some measurement is missing."""
        missing: set[int] = set()
        for measurement in self.chosen:
            missing |= self._missing(measurement)
        return sorted(missing)

    def done(self) -> bool:
        """Whether there is anything to show of what was asked for."""
        return any(self.result(m, list(self.steps)).checkpoints for m in self.chosen)

    def result(self, measurement: Measurement, steps: Sequence[int]) -> Measured:
        there = self.before(measurement)
        return replace(there, checkpoints=tuple(c for c in there.checkpoints if c.step in steps))

    def go(self, pending: Sequence[int], watch: Watch | None) -> list[float]:
        """Measure, write after each checkpoint, and return the seconds that each took."""
        spent: list[float] = []
        with naming_plugins():
            bench = _Bench(self.run, self.chosen)
            self.reasons = bench.reasons(self.chosen)
            for step in pending:
                began = time.perf_counter()
                try:
                    bench.put(self.steps[step], step)
                except ValueError as error:
                    self.problems.append(str(error))
                    continue
                for measurement in self.chosen:
                    if step in self._missing(measurement):
                        self._measure(bench, measurement, step)
                spent.append(time.perf_counter() - began)
                if watch:
                    watch(Progress(step, len(spent), len(pending), spent[-1]))
        return spent

    def _measure(self, bench: "_Bench", measurement: Measurement, step: int) -> None:
        began = time.perf_counter()
        values = {name: float(value) for name, value in bench.engine.measured([measurement]).items()}
        checkpoint = MeasuredCheckpoint(
            step=step, digest=self.digests[step], values=values, seconds=time.perf_counter() - began
        )
        there = self.before(measurement)  # read again: another process may have measured meanwhile
        rows = sorted([*(c for c in there.checkpoints if c.step != step), checkpoint], key=lambda c: c.step)
        replace(there, reasons=self.reasons[measurement.name], checkpoints=tuple(rows)).write(
            measured_file(self.run.path, measurement.name)
        )


def _parameters(measurement: Measurement) -> str:
    dumped = configio.dump(measurement)
    default = configio.dump(type(measurement)())
    return to_json({key: value for key, value in dumped.items() if default.get(key) != value})


class _Bench:
    """The run's engine, built again with its data, which takes the weights of one checkpoint after another."""

    def __init__(self, run: Run, chosen: Sequence[Measurement]):
        self.run = run
        config = _config(run, chosen)
        torch.set_num_threads(config.hardware.threads)
        data = config.task.build(config.seed)
        require_digests(run, split_digests(data))
        with warnings.catch_warnings():
            # what says nothing is in the record, not a note of a run that is long over
            warnings.filterwarnings("ignore", message=r"\$\.measure: .* is missing from the rows")
            engine = make_engine(config, data)[1]
        if not isinstance(engine, TorchEngine):
            raise ValueError(f"{run.id}: engine {config.engine.name!r} has no network to measure")
        if engine.interventions.overrides("evaluated"):
            raise ValueError(
                f"{run.id}: an intervention changes the evaluated outputs, which checkpoints do not contain; list the "
                f"measurement under measure in a run"
            )
        self.engine = engine
        engine.retrain = retraining(config, data)
        self.initial = self._initial()

    def _initial(self) -> dict[str, Tensor] | None:
        """The weights before the first step: those that the run was branched from, a checkpoint at step 0, or what the
        seed gives. Of an import nobody knows them without such a checkpoint."""
        start = self.run.path / "checkpoints" / "start.safetensors"
        if self.engine.initial is None:
            return None
        if start.exists():
            return self._on_device(load_weights(start))
        first = self.run.checkpoints().get(0)
        if first is not None:
            return self._on_device(load_weights(first))
        if (self.run.record.get("lineage") or {}).get("kind") in ("archive", "log"):
            return None
        then = (self.run.record.get("provenance") or {}).get("packages", {}).get("torch")
        now = torch.__version__.partition("+")[0]
        if then is not None and then.partition("+")[0] != now:
            warnings.warn(
                f"{self.run.id}: trained with torch {then}; torch {now} may draw different initial weights, and there "
                f"is no checkpoint at step 0",
                stacklevel=5,
            )
        return self.engine.initial

    def _on_device(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.to(self.engine.device) for name, tensor in weights.items()}

    def put(self, path: Path, step: int) -> None:
        """Take the weights of a checkpoint. Raises ValueError where they are damaged or another network's."""
        weights = load_weights(path)
        try:
            self.engine.load_weights(weights)
        except ValueError as error:
            raise ValueError(f"{path}: {str(error).removeprefix('$.model: ')}") from None
        self.engine.initial = self.initial
        self.engine.step = step

    def reasons(self, chosen: Sequence[Measurement]) -> dict[str, dict[str, str]]:
        """Measurement -> what of it says nothing of any checkpoint -> why."""
        self.engine.initial = self.initial
        view = self.engine.view({}, {})
        out = {}
        for measurement in chosen:
            silent = dict(silences(measurement, view))
            if "update" in measurement.needs:
                silent[f"{measurement.name} (of the update)"] = NO_STEP
            out[measurement.name] = silent
        return out


def _config(run: Run, chosen: Sequence[Measurement]) -> RunConfig:
    """The run's config with these measurements. Raises ValueError where grokscope cannot build what it names."""
    config = configio.load_run(run.config)
    require_version(run, config)
    return replace(config, measure=tuple(chosen), hardware=replace(config.hardware, compile=False))
