"""dissect, calibrate: locate a shortcut, and evaluate the methods on planted shortcuts."""

import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.commands.output import Result, Rows, print_table
from grokscope.config import require
from grokscope.results.dissection import SAMPLE, Request
from grokscope.results.sample import Inputs
from grokscope.results.scores import SplitAccuracy
from grokscope.store import open_run
from grokscope.store.dissected import outdated, requests
from grokscope.terminal import one_line
from grokscope.vocabulary.text import number, plural

if TYPE_CHECKING:
    from rich.console import Console

    from grokscope.dissect.progress import Watch
    from grokscope.results.dissection import Dissection
    from grokscope.results.settings import Settings

SHOWN = ("cell", "form", "reliance", "reliance_p", "steer_slope")

COLUMNS = {
    "cell": "whether the environment (hospital) can be read from the input of the last layer, and whether the decision "
    "uses it",
    "form": "whether the used information is stored in few neurons, in many, or smeared over all",
    "reliance": "effect of the environment on the decision, as a difference of two logits",
    "reliance_p": "share of random assignments of environments with an effect at least as large",
    "steer_slope": "change of the logits per step along the direction between environments",
}
"""Meaning of the summary columns; the columns ``environment_...`` are balanced accuracies of probes for the
environment."""


@dataclass
class Dissected(Result):
    """Accuracy, summaries of the dissected checkpoints, and the location of the records."""

    rows: list[dict[str, Any]]
    accuracy: tuple[SplitAccuracy, ...]
    """Of the last checkpoint, by split."""
    inputs: Inputs | None
    folder: Path
    warnings: list[str]
    reason: str
    silent: bool
    """The network is at chance: only its accuracy is reported."""

    def data(self) -> Any:
        return {
            "accuracy": [a.to_dict() for a in self.accuracy],
            "inputs": self.inputs.to_dict() if self.inputs else None,
            "folder": str(self.folder),
            "checkpoints": self.rows,
            "warnings": self.warnings,
            "reason": self.reason,
        }

    def show(self, console: "Console") -> None:
        if self.inputs:
            mapping = ", ".join(f"{label} -> {index}" for label, index in self.inputs.labels.items())
            console.print(f"images  {self.inputs.images}", markup=False)
            console.print(f"labels  {mapping} ({self.inputs.labels_by})", markup=False)
        columns = ("split", "n", "accuracy", "95 % interval", "most frequent class", "balanced", "chance", "")
        print_table(console, columns, [_accuracy_cells(a) for a in self.accuracy])
        if not self.silent:
            self._table(console)
        console.print(self.reason, markup=False)
        for warning in self.warnings:
            console.print(f"note: {warning}", markup=False)
        console.print(f"records and figures  {self.folder}", markup=False)

    def _table(self, console: "Console") -> None:
        keys = [k for k in ("step", "chosen", *SHOWN) if k in self.rows[0]]
        probes = [k for k in self.rows[0] if k.startswith("probe_environment_")]
        header = [*keys, *(p.removeprefix("probe_") for p in probes)]
        print_table(console, header, [[_cell(row.get(k)) for k in (*keys, *probes)] for row in self.rows])
        for name, meaning in COLUMNS.items():
            if name in header:
                console.print(f"{name}: {meaning}", markup=False, style="dim")


def _accuracy_cells(a: SplitAccuracy) -> list[str]:
    return [
        a.name,
        f"{a.n:,}",
        f"{a.accuracy:.3f}",
        f"{a.interval[0]:.3f} to {a.interval[1]:.3f}" if a.interval else "-",
        f"{a.trivial:.3f}",
        f"{a.balanced:.3f}",
        f"{a.chance:.3f}",
        a.verdict,
    ]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def dissect(
    run: Path | None = None,
    /,
    *,
    checkpoints: str = "final",
    split: str | None = None,
    sites: tuple[str, ...] = (),
    steer_sites: tuple[str, ...] = (),
    draws: int = 99,
    seed: int = 0,
    model: str | None = None,
    weights: Path | None = None,
    data: Path | None = None,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    prepare: str | None = None,
    labels: str | None = None,
    image_size: int | None = None,
    head: str | None = None,
    out: Path = Path("dissection"),
    figures: bool = True,
) -> Dissected:
    """Locate a shortcut with probes, erasure, steering and neuron ablation, each with its controls.

    For a run: `grokscope dissect runs/NAME`. For your own model: `--model my_module:build --weights w.safetensors
    --data table.csv`. Its images become numbers in [0, 1] without further normalization, unless --mean and --std or
    --prepare are given. The accuracy is reported first; if it is at chance, nothing else is reported.

    Args:
        run: A run folder with checkpoints.
        checkpoints: final, all (curves over the trajectory), step=<n>, peak_ood_val, peak_id_val, or oracle (chosen on
            ood_test, and stamped so).
        split: Split to dissect; by default id_val for a run, and for a table its first split with known environments.
        sites: Modules whose output is probed; by default the stages declared by a ResNet or timm network, otherwise the
            input of the last layer.
        steer_sites: Earlier sites at which to steer through the network as well; costs hundreds of passes each.
        draws: Number of random controls per effect.
        seed: Seed of parts and controls.
        model: Function that builds the network, as module:function; the current folder is searched.
        weights: Its weights: .safetensors, .pt, .pth or .ckpt; nested state_dict and wrapper prefixes are handled.
        data: A table of images (CSV or Parquet: path, label, environment, split, optional group).
        mean: Subtracted from images in [0, 1]; one number, or one per channel.
        std: Divisor after that; one number, or one per channel.
        prepare: Function, module:function, that turns uint8 images (n, 3, H, W) into the model's input.
        labels: The table's labels in the order of the model's outputs, as a,b,c. By default, whole numbers are output
            indices, and text labels are sorted.
        image_size: Resize images to this many pixels per side.
        head: Name of the classification layer, if it is not the last linear layer.
        out: Output folder for your own model.
        figures: Draw the four figures as PNG; if off, write only the records.
    """
    from grokscope.results.settings import Settings

    require((run is None) != (model is None), "give either a run folder, or --model with --weights and --data")
    measured = _Measured(split, sites, steer_sites, Settings(seed=seed, draws=draws), figures)
    own_model = _OwnModel(mean, std, prepare, labels, image_size, head, weights, data)
    if run is None:
        return _dissect_model(str(model), own_model, measured, out)
    given = own_model.given()
    require(not given, f"{', '.join(given)}: only with --model; the inputs of a run are recorded")
    return _dissect_run(run, checkpoints, measured)


@dataclass(frozen=True)
class _Measured:
    """Options shared by runs and external models."""

    split: str | None
    sites: tuple[str, ...]
    steer_sites: tuple[str, ...]
    settings: "Settings"
    figures: bool


@dataclass(frozen=True)
class _OwnModel:
    """Options for an external model. Fields have the names of the options."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    prepare: str | None
    labels: str | None
    image_size: int | None
    head: str | None
    weights: Path | None
    data: Path | None

    def given(self) -> list[str]:
        """The options that were given."""
        names = [f.name for f in fields(self) if getattr(self, f.name) not in (None, ())]
        return [f"--{name.replace('_', '-')}" for name in names]

    @property
    def order(self) -> tuple[str, ...]:
        """Labels in the order of the outputs."""
        if not self.labels:
            return ()
        return tuple(part.strip() for part in self.labels.split(","))


def _dissect_model(model: str, own_model: _OwnModel, measured: _Measured, out: Path) -> Dissected:
    """Dissect the model that `model` (module:function) builds, on its table."""
    weights, data = own_model.weights, own_model.data
    if weights is None or data is None:
        raise ValueError("--model needs --weights and --data")
    from grokscope.dissect.foreign import Feeding, build, dissect_table
    from grokscope.dissect.saving import save_dissection
    from grokscope.store.weights import fill

    feeding = Feeding(mean=own_model.mean, std=own_model.std, prepare=own_model.prepare)
    network = build(model)
    for note in fill(network, weights):
        print(f"note: {weights}: {note}", file=sys.stderr)
    result = dissect_table(
        network,
        data,
        split=measured.split,
        feeding=feeding,
        order=own_model.order,
        image_size=own_model.image_size,
        sites=measured.sites,
        steer_sites=measured.steer_sites,
        head=own_model.head,
        settings=measured.settings,
        watch=_Clock("checkpoint", 1).at_work,
    )
    return _shown([(None, result)], save_dissection(result, out, measured.figures))


def _dissect_run(folder: Path, checkpoints: str, measured: _Measured) -> Dissected:
    """Dissect the checkpoints of a run that the rule selects."""
    from grokscope.dissect.runs import chosen_checkpoints, dissect_run

    run, results = open_run(folder), []
    total = len(chosen_checkpoints(run, checkpoints))
    clock = _Clock("checkpoint", total)
    for step, result in dissect_run(
        run,
        checkpoints,
        split=measured.split or SAMPLE,
        sites=measured.sites or None,
        steer_sites=measured.steer_sites,
        settings=measured.settings,
        figures=measured.figures,
        watch=lambda piece, share: clock.at_work(piece, share * total - clock.count),
    ):
        clock.done(f"step {step:,}: {result.where.cell}")
        results.append((step, result))
    return _shown(results, run.path / "mechinterp")


def study_dissect(
    file: Path,
    /,
    *,
    root: Path = Path("runs"),
    checkpoints: str = "final",
    arms: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    draws: int = 99,
    again: bool = False,
) -> Rows:
    """Dissect every finished run of a study; its report then shows where the shortcut is stored.

    Unfinished runs are listed. Existing results are kept, so the same command resumes where it stopped. Records of
    older rules are updated, including those of other checkpoints.

    Args:
        file: A study file, or the name of a shipped study.
        root: Folder of the runs.
        checkpoints: final, all (curves over the trajectory), step=<n>, peak_ood_val, peak_id_val, or oracle (chosen on
            ood_test, and stamped so).
        arms: Only these arms.
        seeds: Only these seeds.
        draws: Number of random controls per effect.
        again: Also dissect checkpoints that already have results.
    """
    from grokscope.dissect.runs import chosen_checkpoints, dissect_run, summary
    from grokscope.results.settings import Settings
    from grokscope.study.study import Study, find_study

    stands = Study.load(find_study(file)).only(arms, seeds).status(root)
    finished = [s for s in stands if s.finished]
    require(bool(finished), f"no run of {file} is finished in {root}; train them with: grokscope study run {file}")
    rows = [_row(s, None, {"cell": "run not finished"}) for s in stands if not s.finished]
    clock = _Clock("run", len(finished))
    for stand in finished:
        for rule in dict.fromkeys([checkpoints, *outdated(stand.run.path)]):
            try:
                inner = len(chosen_checkpoints(stand.run, rule))
                asked = _asked(stand.run.path, rule)
                asked |= {"settings": Settings(draws=draws), "keep": not again, "watch": clock.watch(stand.run.id)}
                dissections = dissect_run(stand.run, rule, **asked)
                for nth, (step, result) in enumerate(dissections, 1):
                    rows.append(_row(stand, step, _chosen(result) | summary(result)))
                    if inner > 1:
                        clock.within(nth, inner, f"{stand.run.id} step {step:,}: {result.where.cell}")
            except ValueError as error:
                rows.append(_row(stand, None, {"cell": f"cannot tell: {error}"}))
        clock.done(f"{stand.run.id}: {rows[-1]['cell']}")
    return Rows(rows)


EVERY_S = 3.0
"""Between two progress messages."""


class _Clock:
    """Progress on stderr: how many pieces are done, the last result, and the estimated remaining time."""

    def __init__(self, unit: str, total: int):
        self.unit, self.total, self.count, self.start = unit, total, 0, time.monotonic()
        self.last_line = self.start
        print(f"{plural(total, unit)} to dissect", file=sys.stderr, flush=True)

    def watch(self, name: str) -> "Watch":
        """A watcher for the next piece of work, called `name`."""
        return lambda piece, share: self.at_work(f"{name} {piece}", share)

    def at_work(self, words: str, share: float) -> None:
        """Report that `share` of the next piece is done. Nothing is printed within a few seconds of the last line, or
        before the remaining time can be estimated."""
        now = time.monotonic()
        if now - self.last_line >= EVERY_S and self.count + share > 0:
            self._say(self.count + share, words)

    def within(self, part: int, of: int, words: str) -> None:
        """Report that `part` of `of` checkpoints of the next piece are done."""
        self._say(self.count + part / of, f"{words} ({part} of {of} checkpoints of this {self.unit})")

    def done(self, words: str) -> None:
        self.count += 1
        self._say(self.count, words)

    def _say(self, progress: float, words: str) -> None:
        from grokscope.execute.forecast import duration

        self.last_line = time.monotonic()
        seconds = (time.monotonic() - self.start) / progress * (self.total - progress)
        left = f", about {duration(seconds)} left" if progress < self.total else ""
        print(one_line(f"{words} | {self.count} of {plural(self.total, self.unit)} done{left}"), file=sys.stderr,
              flush=True)  # fmt: skip


def _asked(run: Path, rule: str) -> dict[str, Any]:
    """The options of an earlier dissection by this rule, so that repeating it replaces it."""
    request = requests(run).get(rule, Request())
    return {"split": request.split, "sites": request.sites or None, "steer_sites": request.steer_sites}


def _row(stand: Any, step: int | None, summary: dict[str, Any]) -> dict[str, Any]:
    config = stand.entry.config
    identity = {"regime": config.regime.name, "seed": config.seed, "step": step}
    return identity | {key: summary.get(key) for key in ("chosen", *SHOWN)}


def _chosen(result: "Dissection") -> dict[str, str]:
    """The rule by which the checkpoint was chosen, which labels an oracle."""
    from grokscope.trajectory.selection import rule_label

    return {"chosen": rule_label(result.selection)}


def _shown(results: "list[tuple[int | None, Dissection]]", folder: Path) -> Dissected:
    from grokscope.dissect.runs import summary

    rows = [({} if step is None else {"step": step} | _chosen(result)) | summary(result) for step, result in results]
    last = results[-1][1]
    return Dissected(
        rows,
        last.accuracy,
        last.inputs,
        folder,
        list(last.warnings),
        last.where.reason,
        all(result.reliance is None and not result.m1.probes for _, result in results),
    )


def calibrate(*, seeds: int = 10, draws: int = 99) -> Rows:
    """Evaluate the dissection on planted shortcuts of known geometry: recovery, false positives, power.

    Args:
        seeds: Number of data sets per planted geometry.
        draws: Number of random controls per effect.
    """
    from grokscope.dissect.calibrate import calibrate as score
    from grokscope.dissect.calibrate import summarize
    from grokscope.results.settings import Settings

    require(seeds >= 1, f"--seeds must be at least 1, got {seeds}")
    rows = score(range(seeds), settings=Settings(draws=draws, permutations=499, resamples=299, probe_controls=1))
    print(plural(len(rows), "planted data set"), file=sys.stderr)
    return Rows([r.to_dict() for r in summarize(rows)])
