"""dissect, calibrate: where is the shortcut stored, and what the battery says of planted ones."""

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
    "cell": "whether the environment (hospital) can be read from what the last layer sees, and whether the decision "
    "uses it",
    "form": "whether what is used sits in few neurons, in many, or is spread over all",
    "reliance": "how far the environment moves the decision, as a difference of two logits",
    "reliance_p": "how often environments dealt out at random move it as far",
    "steer_slope": "how far one step along the direction between environments moves the logits",
}
"""What the columns of the summary mean; the columns ``environment_...`` are accuracies of probes for the environment,
classes and environments counted alike."""


@dataclass
class Dissected(Result):
    """Accuracy first, then summaries of the dissected checkpoints, and where the records are."""

    rows: list[dict[str, Any]]
    accuracy: tuple[SplitAccuracy, ...]
    """Of the last checkpoint, by split."""
    inputs: Inputs | None
    folder: Path
    warnings: list[str]
    reason: str
    silent: bool
    """The network is at chance: nothing but its accuracy is said."""

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
    return f"{value:,}" if isinstance(value, int) else str(value)


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
    """Where is the shortcut stored? Probes, erasure, steering and neuron ablation, each with its controls.

    Of a run: `grokscope dissect runs/NAME`. Of a model of your own: `--model my_module:build --weights w.safetensors
    --data table.csv`. Its images become numbers in [0, 1] and nothing more, unless --mean and --std or --prepare say
    how it was trained. Its accuracy is reported first, and where that is at chance nothing else.

    Args:
        run: A run folder with checkpoints.
        checkpoints: final, all (curves over the trajectory), step=<n>, peak_ood_val, peak_id_val, or oracle (chosen on
            ood_test, and stamped so).
        split: Split to dissect; id_val for a run, and for a table its first split that is not unseen.
        sites: Modules whose output is probed; by default the stages that a ResNet or timm network names, else what the
            last layer reads.
        steer_sites: Earlier sites at which to steer through the network as well; costs hundreds of passes each.
        draws: Random controls for each effect.
        seed: Seed of parts and controls.
        model: A function of yours that builds the network, as module:function; the folder you are in is searched.
        weights: Its weights: .safetensors, .pt, .pth or .ckpt, also inside state_dict and with wrappers' prefixes.
        data: A table of images (CSV or Parquet: path, label, environment, split, optional group).
        mean: Subtracted from images in [0, 1], one number or one for each channel.
        std: What they are divided by then.
        prepare: A function of yours, module:function, that turns uint8 images (n, 3, H, W) into what the model reads.
        labels: The table's labels in the order of the model's outputs, as a,b,c. Without it whole numbers are output
            indices, and text is taken in sorted order.
        image_size: Resize images to this many pixels a side.
        head: Name of the model's last linear layer, where it is not the last one it has.
        out: Where to write, for a model of your own.
        figures: Draw the four figures as PNG; if off, write the records alone.
    """
    from grokscope.results.settings import Settings

    require((run is None) != (model is None), "give a run folder, or --model with --weights and --data, and not both")
    measured = _Measured(split, sites, steer_sites, Settings(seed=seed, draws=draws), figures)
    own_model = _OwnModel(mean, std, prepare, labels, image_size, head, weights, data)
    if run is None:
        return _dissect_model(str(model), own_model, measured, out)
    given = own_model.given()
    require(not given, f"{', '.join(given)}: only with --model; a run knows its own inputs")
    return _dissect_run(run, checkpoints, measured)


@dataclass(frozen=True)
class _Measured:
    """What is measured, of a run as of a model."""

    split: str | None
    sites: tuple[str, ...]
    steer_sites: tuple[str, ...]
    settings: "Settings"
    figures: bool


@dataclass(frozen=True)
class _OwnModel:
    """What must be said of a model that no run describes. Fields are named as the options are."""

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
        return tuple(part.strip() for part in self.labels.split(",")) if self.labels else ()


def _dissect_model(model: str, own_model: _OwnModel, measured: _Measured, out: Path) -> Dissected:
    """A model that `model` (module:function) builds, on its table."""
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
    """The checkpoints of a run that the rule names."""
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

    Runs that are not finished are listed, not skipped in silence. What is there already is kept, so that the same
    command goes on where it was stopped; records that older rules left, of other checkpoints too, are redone.

    Args:
        file: A study file, or the name of a shipped study.
        root: Folder that holds the runs.
        checkpoints: final, all (curves over the trajectory), step=<n>, peak_ood_val, peak_id_val, or oracle (chosen on
            ood_test, and stamped so).
        arms: Only these arms.
        seeds: Only these seeds.
        draws: Random controls for each effect.
        again: Dissect what is there already too.
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
"""Between two lines on work that goes on."""


class _Clock:
    """A line on stderr for each piece of work: how many are done, what came out, and about how long the rest takes."""

    def __init__(self, unit: str, total: int):
        self.unit, self.total, self.count, self.start = unit, total, 0, time.monotonic()
        self.last_line = self.start
        print(f"{plural(total, unit)} to dissect", file=sys.stderr, flush=True)

    def watch(self, name: str) -> "Watch":
        """A watcher of the next piece of work, which is called `name`."""
        return lambda piece, share: self.at_work(f"{name} {piece}", share)

    def at_work(self, words: str, share: float) -> None:
        """`share` of the next piece is done. Nothing is printed within some seconds of the last line, nor before there
        is anything to reckon from."""
        now = time.monotonic()
        if now - self.last_line >= EVERY_S and self.count + share > 0:
            self._say(self.count + share, words)

    def within(self, part: int, of: int, words: str) -> None:
        """`part` of the `of` pieces of the next one are done."""
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
    """What an earlier dissection by this rule was asked for, so that doing it again replaces it."""
    request = requests(run).get(rule, Request())
    return {"split": request.split, "sites": request.sites or None, "steer_sites": request.steer_sites}


def _row(stand: Any, step: int | None, summary: dict[str, Any]) -> dict[str, Any]:
    config = stand.entry.config
    identity = {"regime": config.regime.name, "seed": config.seed, "step": step}
    return identity | {key: summary.get(key) for key in ("chosen", *SHOWN)}


def _chosen(result: "Dissection") -> dict[str, str]:
    """By which rule the checkpoint was chosen; an oracle's is its stamp."""
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
    """Score the battery on planted shortcuts of known geometry: recovery, false positives, power.

    Args:
        seeds: Draws of each planted geometry.
        draws: Random controls for each effect.
    """
    from grokscope.dissect.calibrate import calibrate as score
    from grokscope.dissect.calibrate import summarize
    from grokscope.results.settings import Settings

    require(seeds >= 1, f"--seeds must be at least 1, got {seeds}")
    rows = score(range(seeds), settings=Settings(draws=draws, permutations=499, resamples=299, probe_controls=1))
    print(plural(len(rows), "planted data set"), file=sys.stderr)
    return Rows([r.to_dict() for r in summarize(rows)])
