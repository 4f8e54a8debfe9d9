"""train, extend, branch: one run at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope import configio
from grokscope.commands.intervened import checkpoints_line, lineage_line, print_interventions
from grokscope.commands.output import Result
from grokscope.config import Budget, RunConfig, require
from grokscope.execute.protocol import Board, Job, Outcome, Silent
from grokscope.registry import import_plugins, read_plugins
from grokscope.results.record import plain
from grokscope.store import Run, open_run
from grokscope.store.folders import find_run
from grokscope.store.intervened import interventions_of
from grokscope.store.kept_verdicts import Splits
from grokscope.store.query import remember
from grokscope.track.chosen import Tracks, chosen_trackers, named_trackers, read_trackers
from grokscope.track.mirrors import Mirrors
from grokscope.verdicts import run_verdicts, verdict_line
from grokscope.vocabulary.text import plural

if TYPE_CHECKING:
    from rich.console import Console

    from grokscope.components import Tracker
    from grokscope.train.driver import Watcher


@dataclass
class Trained(Result):
    """A run after training, including one that was already complete."""

    run: Run
    steps: int
    """Steps trained by this command; 0 if the run was already complete."""
    verdicts: Splits
    mirrors: dict[str, str] = field(default_factory=dict)
    """Tracker -> where to look at the run there."""

    def data(self) -> Any:
        status = self.run.status
        return {
            "run": self.run.id, "path": str(self.run.path), "state": status["state"], "step": status["step"],
            "trained_steps": self.steps, "verdicts": plain(self.verdicts), "notes": self.run.facts.get("notes", []),
            "interventions": interventions_of(self.run).get("interventions", []), "mirrors": self.mirrors,
        }  # fmt: skip

    def show(self, console: "Console") -> None:
        status = self.run.status
        did = "nothing left to train"
        if self.steps:
            did = f"{plural(self.steps, 'step')} trained"
        console.print(f"{status['state']} at step {status['step']:,} ({did})")
        if origin := lineage_line(self.run):
            console.print(origin)
        for verdict in self.verdicts.values():
            console.print(verdict_line(verdict))
        print_interventions(console, self.run)
        console.print(f"run folder   {self.run.path}")
        console.print(f"metrics      {self.run.path / 'results' / 'metrics.jsonl'}")
        console.print(f"checkpoints  {checkpoints_line(self.run)}")
        for tracker, where in self.mirrors.items():
            console.print(f"{tracker:<12} {where}")
        console.print(f"next         grokscope report {self.run.path}")


def train(
    file: Path,
    /,
    *,
    root: Path = Path("runs"),
    track: tuple[str, ...] = (),
    overrides: Mapping[str, Any] | None = None,
    board: Board | None = None,
) -> Trained:
    """Train one run from a TOML file, resume it if it was interrupted, or do nothing if it is complete.

    Any key of the file can be overridden: ``grokscope train run.toml --regime.lr 3e-4 --seed 1``. A file with arms,
    axes or several seeds is a study: use ``grokscope study run``.

    Args:
        file: TOML file with the tables task, model, regime and budget.
        root: Folder of the runs.
        track: Also mirror the run to trackers: tensorboard, wandb, trackio, or wandb:project=NAME. By default those in
            the file; none leaves them out.

    Raises:
        ValueError: for a config that cannot be trained, or a run that another process is training.
        grokscope.train.driver.Interrupted: after Ctrl-C, SIGTERM or SIGHUP, with everything saved.
    """
    config, passed, in_file = _read(file, overrides or {})
    trackers = chosen_trackers(track, in_file, file)
    return train_run(config, root, passed=passed, board=board, track=trackers)


def read_run(file: Path, overrides: Mapping[str, Any]) -> tuple[RunConfig, tuple[str, ...]]:
    """(config, dotted keys that were set explicitly). Raises ValueError with the file and location of each error."""
    config, passed, _ = _read(file, overrides)
    return config, passed


def _read(file: Path, overrides: Mapping[str, Any]) -> "tuple[RunConfig, tuple[str, ...], tuple[Tracker, ...]]":
    """As `read_run`, and the trackers that the file names, which are no part of the run."""
    raw = configio.read_file(file)
    study = [key for key in ("axes", "arm", "seeds", "expect") if key in raw]
    require(not study, f"{file}: has {', '.join(study)}, so it is a study; use: grokscope study run {file}")
    modules, track = raw.pop("plugins", []), raw.pop("track", None)
    raw = configio.overlay(raw, overrides)
    try:
        import_plugins(read_plugins(modules), file.parent)
        trackers = named_trackers(track, "$.track")
        config = configio.load_run(raw)
        config.run_id()
    except ValueError as error:
        raise ValueError("\n".join(f"{file}: {line}" for line in str(error).split("\n"))) from None
    raw.pop("schema", None)
    return config, tuple(sorted(configio.flatten(raw))), trackers


def train_run(
    config: RunConfig,
    root: str | Path = "runs",
    *,
    passed: tuple[str, ...] = (),
    board: Board | None = None,
    track: Tracks = (),
) -> Trained:
    """Train a config in this process. `track` names the trackers that the run is mirrored to (``"tensorboard"``). See
    `grokscope.train.driver.train`, whose errors it raises."""
    from grokscope.train.driver import train as drive

    trackers = read_trackers(track)
    run = find_run(root, config)
    before = run.status.get("step", 0) if (run.path / "status.json").exists() else 0
    with Mirrors(trackers) as mirrors:
        with_board(
            config,
            run.path,
            board,
            lambda watcher: drive(config, root, passed=passed, watcher=mirrors.watching(watcher)),
        )
        run = Run(run.path)
        verdicts = run_verdicts(run)
        mirrors.follow(run.path)  # also one that was complete
    remember(run)
    return Trained(run, run.status["step"] - before, verdicts, mirrors.places())


def with_board(config: RunConfig, folder: Path, board: Board | None, go: Callable[["Watcher"], Any]) -> None:
    """Show the progress of one run on a board, which opens with the first update."""
    board = board or Silent()
    begun = False

    def watch(progress: Any) -> None:
        nonlocal begun
        job = Job(config, folder.parent, total=progress.total, step=progress.step, folder=folder)
        if not begun:
            begun = True
            board.begin([job], 1)
        board.progress(job, progress.step, progress.total, progress.steps_per_s)

    try:
        go(watch)
    finally:
        if begun:
            _end(board, config, folder)
            board.close()


def _end(board: Board, config: RunConfig, folder: Path) -> None:
    status = Run(folder).status
    state = "interrupted"
    if status["state"] in ("done", "diverged", "failed"):
        state = status["state"]
    job = Job(config, folder.parent, total=status.get("total_steps", 0), folder=folder)  # 0: its folder is gone
    message = (status.get("error") or {}).get("message", "")
    board.ended(Outcome(job, state, status["step"], message))


def extend(
    run: Path,
    /,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    track: tuple[str, ...] = (),
    board: Board | None = None,
) -> Trained:
    """Train a finished run longer, exactly as if it had been given the larger budget from the start.

    Args:
        run: Folder of the run.
        steps: New total length in optimizer steps.
        epochs: New total length in epochs.
        track: Trackers to mirror the run to, as for train.

    Raises:
        ValueError: if its schedule depends on the length (branch instead), or the new budget is not larger than the
            steps already trained.
        grokscope.train.driver.Interrupted: after Ctrl-C, SIGTERM or SIGHUP, with everything saved.
    """
    from grokscope.train.driver import extend as drive

    trained = open_run(run)
    budget, before = Budget(steps=steps, epochs=epochs), trained.status["step"]
    config = configio.load_run(trained.config)
    with Mirrors(read_trackers(track, "--track")) as mirrors:
        with_board(
            config, trained.path, board, lambda watcher: drive(trained, budget, watcher=mirrors.watching(watcher))
        )
        trained = open_run(run)
        verdicts = run_verdicts(trained)
    return Trained(trained, trained.status["step"] - before, verdicts, mirrors.places())


def branch(
    run: Path,
    /,
    *,
    step: int | None = None,
    exact: bool = False,
    at: str | None = None,
    root: Path | None = None,
    track: tuple[str, ...] = (),
    overrides: Mapping[str, Any] | None = None,
    board: Board | None = None,
) -> Trained:
    """Continue from a checkpoint with changed settings, as a new run that records its parent.

    By default, only the weights are copied: optimizer state, batch order and step count start fresh, and the budget
    counts from there. Any key can be overridden: ``grokscope branch RUN --step 3000 --regime.weight_decay 0
    --budget.steps 2000``. With ``--exact --at T_fit``, the full state that the run kept at that moment is copied and
    steps continue counting. Without a changed setting, such a branch is bit-identical to its parent.

    Args:
        run: Folder of the run to start from.
        step: Step of the checkpoint; by default the final one.
        exact: Also copy optimizer, filter, batch order and step count; the budget then counts from the run's start.
        at: With --exact: the moment of the full state, such as T_fit or 800; by default the newest.
        root: Folder for the new run; by default that of the parent.
        track: Trackers to mirror the new run to, as for train.

    Raises:
        ValueError: if there is no checkpoint or full state at that step (the available ones are listed), or a change is
            not possible.
        grokscope.train.driver.Interrupted: after Ctrl-C, SIGTERM or SIGHUP, with everything saved.
    """
    from grokscope.train.branch import branch as from_weights
    from grokscope.train.fork import fork

    require(
        exact or at is None,
        "--at selects a full state, which requires --exact; add --exact, or use --step for a checkpoint",
    )
    require(step is None or at is None, "--step and --at both select the starting point; give only one of them")
    trackers = read_trackers(track, "--track")
    source = open_run(run)
    root = root or source.path.parent
    if exact:
        config = fork(source, overrides or {}, at=step if at is None else at, root=root)
    else:
        config = from_weights(source, overrides or {}, step=step, root=root)
    passed: set[str] = {*source.record["passed"], *(overrides or {})}
    return train_run(config, root, passed=tuple(sorted(passed)), board=board, track=trackers)
