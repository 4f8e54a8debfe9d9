"""A study: one file that defines runs, expectations and cost; and the operations on it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope import configio
from grokscope.checks import names_checked, require_whole
from grokscope.components import Tracker
from grokscope.config import Budget, RunConfig, require
from grokscope.execute.engines import check_engine
from grokscope.execute.protocol import Board, Executor, Outcome, Silent, longest_first
from grokscope.execute.settings import Execute, read_execute
from grokscope.execute.stacks import ALONE, Stacking, Way, require_engine_for
from grokscope.files import require_may_write
from grokscope.progress import watched, without_collector
from grokscope.registry import import_plugins, nearest, read_plugins
from grokscope.store.folders import Folders
from grokscope.store.run_index import WORTH, RunIndex
from grokscope.study import spec
from grokscope.study.check import CheckRow, check, standing_of
from grokscope.study.claimed import Claimed, bearers, read_claimed
from grokscope.study.declared import declare
from grokscope.study.design import Design, read_design
from grokscope.study.effective_size import SizeQuestion, read_effective_sizes, size_comparison
from grokscope.study.expect import AnyExpectation, read_expectations
from grokscope.study.hypothesis import Hypothesis
from grokscope.study.judge import Judge
from grokscope.study.phase import PhaseSpec, found_phase, read_phase
from grokscope.study.plan import StudyPlan, make_study_plan
from grokscope.study.read_hypothesis import read_hypotheses
from grokscope.study.run_state import NOT_BEGUN, StudyRun, read_study_run
from grokscope.track.chosen import Tracks, named_trackers, read_trackers, require_usable

if TYPE_CHECKING:
    from grokscope.execute.submit import Sent
    from grokscope.report.read.subjects import Labeled
    from grokscope.results.effective_size import EffectiveSizes
    from grokscope.results.hypothesis import Hypotheses
    from grokscope.results.phase import Phase
    from grokscope.trajectory.criteria import Criteria


class Stopped(Exception):
    """A study was asked to stop. Everything is saved; running it again goes on."""

    def __init__(self, outcomes: Sequence[Outcome]):
        self.outcomes = outcomes
        left = sum(o.state in ("interrupted", "waiting") for o in outcomes)
        super().__init__(
            f"stopped with {left:,} of {len(outcomes):,} runs unfinished; run the same command again to resume"
        )


class NotSaved(Stopped):
    """A study stopped because nothing can be saved in its folder of runs: the disk is full, read-only or gone. No run
    is marked as failed for it; each stands where it was saved last."""

    def __init__(self, outcomes: Sequence[Outcome]):
        super().__init__(outcomes)
        trouble = next(o.message for o in outcomes if o.trouble)
        self.args = (f"{trouble}\n{self}",)


def stopped(outcomes: Sequence[Outcome]) -> Stopped:
    """What to raise where runs were interrupted or not begun."""
    if any(o.trouble for o in outcomes):
        return NotSaved(outcomes)
    return Stopped(outcomes)


@names_checked
@dataclass(frozen=True)
class Study:
    """The content of a study file. `only` selects a part of it; the file is never changed."""

    name: str
    entries: tuple[spec.Entry, ...]
    title: str = ""
    claim: str = ""
    reference: str = ""
    cost: str = ""
    expectations: tuple[AnyExpectation, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    design: Design | None = None
    phase_block: PhaseSpec | None = None
    sizes: tuple[SizeQuestion, ...] = ()
    criteria: "Criteria | None" = None
    execute: Execute = field(default_factory=Execute)
    """What jobs on a cluster are given."""
    claimed: tuple[Claimed, ...] = ()
    """What others claim, and which expectations and hypotheses put it to the test."""
    track: tuple[Tracker, ...] = ()
    """What its runs are mirrored to while they train."""

    @classmethod
    def load(cls, path: str | Path) -> "Study":
        """Read a study file, or a shipped study by its name (``digits``).

        Raises:
            ValueError: with the file, the location of each error (``$.regime.lrr``) and the closest valid name.
        """
        path = find_study(path)
        raw = configio.read_file(path)
        try:
            return cls.from_dict(raw, path.stem, path.parent)
        except ValueError as error:
            raise ValueError("\n".join(f"{path}: {line}" for line in str(error).split("\n"))) from None

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], name: str = "study", folder: Path | None = None) -> "Study":
        """A study from plain data, as in a file. The modules listed under ``plugins`` are imported, in this process and
        in every worker; `folder` is an additional folder for them."""
        head, base = spec.split_head(raw)
        import_plugins(read_plugins(head.get("plugins", [])), folder)
        arms, axes = spec.read_arms(head.get("arm")), spec.read_axes(head.get("axes"))
        design = read_design(head.get("design"))
        if design is not None:
            require("arm" not in head and not axes, "$.design: cannot be combined with [axes] and [[arm]]")
            arms = design.arms()
        seeds = spec.read_seeds(head.get("seeds", [0]))
        track = named_trackers(head.get("track"), "$.track")
        entries = tuple(entry.tracked(track) for entry in spec.expand(base, axes, arms, seeds))
        texts = {key: head.get(key, "") for key in ("title", "claim", "reference", "cost")}
        expectations = read_expectations(head.get("expect"), entries)
        hypotheses = read_hypotheses(head.get("hypothesis"), entries)
        sizes = read_effective_sizes(head.get("effective_size"), entries)
        return cls(
            head.get("name", name),
            entries,
            **texts,
            expectations=expectations,
            hypotheses=hypotheses,
            design=design,
            phase_block=read_phase(head.get("phase"), entries),
            sizes=sizes,
            criteria=_criteria(head.get("criteria")),
            execute=read_execute(head.get("execute")),
            claimed=read_claimed(head.get("claimed"), bearers(expectations, hypotheses, sizes)),
            track=track,
        )

    # -- what it holds -------------------------------------------------------------------------------------------------

    def runs(self) -> list[RunConfig]:
        """Every run once, in the order of the file."""
        return [entry.config for entry in self.entries]

    def only(self, arms: Sequence[str] = (), seeds: Sequence[int] = ()) -> "Study":
        """The part of the study with these arms (an arm's name, or the name of a regime as `plan` prints it) and seeds;
        by default the whole study.

        Raises:
            ValueError: for a name or seed that no run has, and for a selection without runs.
        """
        if not arms and not seeds:
            return self
        names = list(dict.fromkeys(chain.from_iterable(e.arms for e in self.entries)))
        for arm in arms:
            require(arm in names, f"no arm {arm!r}{nearest(arm, names)}")
        known = sorted({e.config.seed for e in self.entries})
        for seed in seeds:
            require(seed in known, f"no seed {seed}; this study has {_few(known)}")
        kept = [
            e for e in self.entries if (not arms or set(e.arms) & set(arms)) and (not seeds or e.config.seed in seeds)
        ]
        require(bool(kept), "no run has both one of these arms and one of these seeds")
        return replace(self, entries=tuple(kept))

    def tracked(self, to: Tracks) -> "Study":
        """The same study with its runs mirrored to these trackers while they train, in place of those of the file:
        ``study.tracked("tensorboard").run()``. One that is named without parameters keeps those of the file.

        Raises:
            ValueError: an unknown tracker, a wrong parameter, or a package that is not installed.
        """
        track = read_trackers(to, "track", self.track)
        return replace(self, track=track, entries=tuple(entry.tracked(track) for entry in self.entries))

    def status(self, root: str | Path = "runs") -> list[StudyRun]:
        """The state of every run; imports no torch."""
        if len(self.entries) < WORTH:  # so few are read as fast as an index
            folders = Folders(root)
            return [read_study_run(entry, folders) for entry in watched(self.entries, "looked at runs:")]
        with without_collector():
            index = RunIndex(root)
            folders = Folders(root, index)
            runs = [read_study_run(entry, folders) for entry in watched(self.entries, "looked at runs:")]
            index.save()
        return runs

    # -- what can be done ----------------------------------------------------------------------------------------------

    def plan(
        self,
        root: str | Path = "runs",
        *,
        workers: int | None = None,
        probe: bool = True,
        engine: Way = "one",
        stack: int | None = None,
    ) -> StudyPlan:
        """The remaining runs, with the time (estimated by a short probe) and disk space they need. With an `engine`
        other than ``one``, also the stacks and their speedup. Trains nothing."""
        require_engine_for(stack, engine)
        return make_study_plan(self.status(root), workers, probe, engine, stack)

    def run(
        self,
        workers: int | None = None,
        root: str | Path = "runs",
        *,
        board: Board | None = None,
        executor: Executor | None = None,
        engine: Way = "one",
        stack: int | None = None,
    ) -> list[Outcome]:
        """Train all unfinished runs, and return how each of them ended. The hypotheses of the study are declared first,
        in a file next to the runs.

        A run that fails does not stop the others; one that another process is training is skipped. `workers` is the
        number of processes with one CPU thread each (default: one per usable CPU); 0 trains in this process.

        `engine` says whether runs of one architecture are trained together (`grokscope.execute.stacks`), up to `stack`
        of them at once.

        Raises:
            ValueError: before anything trains, if ``engine="stacked"`` and a run cannot be stacked.
            Stopped: after Ctrl-C, SIGTERM or SIGHUP, with everything saved.
        """
        require_engine_for(stack, engine)
        _require_workers(workers)
        runs = self.declared(root)
        return _carry_out(
            runs, lambda: self.status(root), board, executor or partial(_executor, workers, engine, stack)
        )

    def on_ray(
        self,
        workers: int | None = None,
        root: str | Path = "runs",
        address: str | None = None,
        stacking: Stacking = ALONE,
    ) -> Executor:
        """The executor for training on Ray: ``study.run(executor=study.on_ray())``. `address` is passed to
        ``ray.init``; by default RAY_ADDRESS, or a new Ray on this machine. `stacking`: whether each worker trains
        several runs together."""
        from grokscope.execute.ray_tasks import Ray

        return Ray(self.name, Path(root), self.execute, workers, address, stacking)

    def send(
        self, engine: str, workers: int | None = None, root: str | Path = "runs", stacking: Stacking = ALONE
    ) -> "Sent | None":
        """Send whatever is not finished to jobs of an engine, ``slurm`` or ``background``, that go on when this process
        has ended; None where nothing is left. The study's hypotheses are declared first, beside the runs. Runs that are
        marked failed are tried again. `stacking` says whether each worker trains several runs together.

        Raises:
            ValueError: before anything is sent, for a setting of ``[execute]`` above a limit of the cluster, and for a
                run that cannot be stacked; where the engine is not there, or refuses.
        """
        check_engine(engine)
        require(engine in ("slurm", "background"), f"{engine!r} sends no jobs; use slurm or background")
        jobs = longest_first([s.job() for s in self.declared(root) if not s.finished])
        if not jobs:
            return None
        if engine == "slurm":
            from grokscope.execute.submit import send_to_slurm

            return send_to_slurm(self.name, Path(root), jobs, self.execute, workers, stacking)
        from grokscope.execute.background import send_to_background

        return send_to_background(self.name, Path(root), jobs, self.execute, workers, stacking)

    def extend(
        self,
        *,
        steps: int | None = None,
        epochs: int | None = None,
        workers: int | None = None,
        root: str | Path = "runs",
        board: Board | None = None,
        engine: Way = "one",
        stack: int | None = None,
    ) -> list[Outcome]:
        """Train every run of the study to a larger budget, exactly as if it had been given it from the start.

        Raises:
            ValueError: before anything trains, for runs whose schedule depends on the length.
            Stopped: as `run`.
        """
        require_engine_for(stack, engine)
        _require_workers(workers)
        longer = self.with_budget(Budget(steps=steps, epochs=epochs))
        runs = longer.declared(root)
        return _carry_out(runs, lambda: longer.status(root), board, partial(_executor, workers, engine, stack))

    def declared(self, root: str | Path = "runs") -> list[StudyRun]:
        """The state of every run, after recording the study's hypotheses next to the runs; call this before training.

        Raises:
            ValueError: if the file of declarations is damaged or from a newer version; if `root` is not writable; if
                the package of a tracker is not installed.
        """
        require_may_write(Path(root))
        require_usable(self.track, "$.track")
        runs = self.status(root)
        declare(self.name, self.hypotheses, runs, root)
        return runs

    def with_budget(self, budget: Budget) -> "Study":
        """The same runs with another budget. Raises ValueError if that would change their identity."""
        entries = []
        for entry in self.entries:
            config = replace(entry.config, budget=budget)
            if config.identity() != entry.config.identity():
                schedule = entry.config.regime.schedule.name
                raise ValueError(
                    f"{entry.label!r} cannot be extended: its schedule {schedule!r} depends on the length, so it "
                    f"cannot be extended exactly; change [budget] in the study file to train it again"
                )
            entries.append(replace(entry, config=config))
        return replace(self, entries=tuple(entries))

    def check(self, root: str | Path = "runs") -> list[CheckRow]:
        """Compare results with expectations, one row per ``[[expect]]`` block."""
        return check(self.expectations, self.status(root), self.criteria)

    def test(self, root: str | Path = "runs") -> "Hypotheses":
        """Test every ``[[hypothesis]]`` whose runs are finished: effects with intervals, exact p-values corrected
        within families, and the number of seeds needed.

        Raises:
            ValueError: a split, column, site or K that the runs do not have.
        """
        from grokscope.study.testing import answers_to

        return answers_to(self.name, self.hypotheses, self.status(root), self.criteria, root, self.design)

    def phase(self, root: str | Path = "runs") -> "Phase":
        """The study as a phase diagram, where its file names two axes or exactly two settings vary, and its Pareto set
        of T_gen against the best held-out score.

        Raises:
            ValueError: a split or a column that the runs do not have.
        """
        from grokscope.study.phase_cells import phase_of

        spec, reason = (self.phase_block, "") if self.phase_block is not None else found_phase(self.entries)
        return phase_of(self.name, spec, reason, self.status(root), Judge(self.criteria, neighbors=False))

    def answered(self, root: str | Path = "runs") -> "tuple[list[CheckRow], str, Hypotheses]":
        """`check`, `standing` and `test` at once: every run is looked at, read and judged once for the three.

        Raises:
            ValueError: as `check` and `test`.
        """
        from grokscope.study.testing import answers_to

        runs, judge = self.status(root), Judge(self.criteria)
        rows = check(self.expectations, runs, self.criteria, judge)
        standing = standing_of(runs, self.criteria, judge)
        tested = answers_to(self.name, self.hypotheses, runs, self.criteria, root, self.design, judge)
        return rows, standing, tested

    def effective_sizes(self, root: str | Path = "runs") -> "EffectiveSizes":
        """Every ``[[effective_size]]`` block: at which size of its training set the plain arm does what the other does
        at its own, between which sizes that surely lies, and whether that is a larger one.

        Raises:
            ValueError: a split that the runs do not have.
        """
        from grokscope.results.effective_size import EffectiveSizes

        if not self.sizes:
            return EffectiveSizes(study=self.name, comparisons=())
        judge = Judge(self.criteria, neighbors=False)
        runs = judge.all_sound(self.status(root))
        compared = [size_comparison(question, runs, judge) for question in self.sizes]
        return EffectiveSizes(study=self.name, comparisons=tuple(c for c in compared if c is not None))

    def standing(self, root: str | Path = "runs") -> str:
        """How many of the planned runs are finished, by arm, and how many of their verdicts are fragile."""
        return standing_of(self.status(root), self.criteria)

    @property
    def page(self) -> Path:
        """Where its report goes unless told otherwise: each study has a page of its own."""
        return Path(f"report_{re.sub(r'[^A-Za-z0-9._-]+', '-', self.name)}.html")

    def report(
        self,
        out: str | Path | None = None,
        root: str | Path = "runs",
        remake: str | None = None,
        formats: Sequence[str] = ("png", "pdf"),
    ) -> Path:
        """Write one HTML page on all runs of the study that have begun, with the check of its expectations and the
        test of its hypotheses and its effective sizes, which lie beside it as ``<out's stem>_hypotheses.json`` and
        ``<out's stem>_effective_sizes.json`` too, as its phase diagram and Pareto set do as
        ``<out's stem>_phase.json``. `out` is `page` by default; `formats` are those of the figure files (png, pdf,
        svg).

        Raises:
            ValueError: when none has begun, and for an unknown format.
        """
        from grokscope.report import build_report

        begun = [s for s in self.status(root) if s.state not in NOT_BEGUN]
        runs = [_labeled(s) for s in begun]
        require(bool(runs), f"no run of {self.name!r} has begun in {root}; train them first: grokscope study run")
        rows, standing, tested = self.answered(root)
        phase = self.phase(root)  # after these, whose verdicts with neighbors are kept and serve here too
        sizes = self.effective_sizes(root)
        page = build_report(
            runs,
            self.page if out is None else out,
            title=self.title or self.name,
            study={
                **{key: getattr(self, key) for key in ("name", "title", "claim", "reference", "cost")},
                "expect": [e.expected() for e in self.expectations],
                "standing": standing,
                "planned": len(self.entries),
                "hypotheses": [result.to_dict() for result in tested.results],
                "design": None if tested.design is None else tested.design.to_dict(),
                "phase": phase.to_dict(),
                "effective_sizes": sizes.to_dict(),
            },
            expectations=[row.for_report() for row in rows],
            criteria=self.criteria,
            remake=remake,
            formats=formats,
        )
        if tested.results or tested.design is not None:
            tested.write(page.with_name(f"{page.stem}_hypotheses.json"))
        if phase.diagram is not None or phase.pareto is not None:
            phase.write(page.with_name(f"{page.stem}_phase.json"))
        if sizes.comparisons:
            sizes.write(page.with_name(f"{page.stem}_effective_sizes.json"))
        return page


def _labeled(s: StudyRun) -> "Labeled":
    """A run under the study's label, for one of another study keeps that one's; of a run whose config cannot be read,
    what the study says of it."""
    from grokscope.report.read.subjects import Labeled

    return Labeled(s.run, s.entry.label, s.entry.config.seed, partial(configio.dump, s.entry.config))


def _carry_out(
    runs: Sequence[StudyRun],
    again: Callable[[], Sequence[StudyRun]],
    board: Board | None,
    executor: Executor | Callable[[int], Executor],
) -> list[Outcome]:
    """Train what is left with this executor, or with the one that is made for so many jobs. What waits for its parent
    follows once that is trained; `again` tells where the runs then stand."""
    outcomes: dict[Path, Outcome] = {}
    board = board or Silent()
    try:
        while jobs := longest_first([s.job() for s in runs if s.ready and s.run.path not in outcomes]):
            chosen = executor(len(jobs)) if callable(executor) else executor
            outcomes |= {o.job.run: o for o in chosen.execute(jobs, board)}
            if any(o.state in ("interrupted", "waiting") for o in outcomes.values()):
                break
            if all(s.ready or s.finished for s in runs):
                break  # no fork is left that could have become ready
            runs = again()
    finally:
        board.close()
    never_ready = [s for s in runs if not (s.ready or s.finished or s.run.path in outcomes)]
    ended = [*outcomes.values(), *map(_not_begun, never_ready)]
    if any(o.state in ("interrupted", "waiting") for o in outcomes.values()):
        raise stopped(ended)
    return ended


def _not_begun(s: StudyRun) -> Outcome:
    """How a fork ended whose parent did not come to the state that it begins with."""
    return Outcome(s.job(), "waiting" if s.state == "waiting" else "failed", 0, s.message)


def _require_workers(workers: Any) -> None:
    """Also where nothing is left to train: the same command is wrong tomorrow too."""
    if workers is not None:
        require_whole("workers", workers, 0, 1_000_000)


def _executor(workers: int | None, engine: Way, stack: int | None, jobs: int) -> Executor:
    from grokscope.execute.inline import Inline
    from grokscope.execute.processes import Processes, default_workers

    workers = default_workers(jobs) if workers is None else workers
    if workers:
        return Processes(workers, engine, stack)
    return Inline(engine, stack)


def _few(seeds: Sequence[int], most: int = 20) -> str:
    more = f" and {len(seeds) - most:,} more" if len(seeds) > most else ""
    return ", ".join(map(str, seeds[:most])) + more


def _criteria(raw: Any) -> "Criteria | None":
    if raw is None:
        return None
    from grokscope.trajectory.criteria import Criteria

    return configio.structure(raw, Criteria, "$.criteria")


PACKAGE = Path(__file__).resolve().parent.parent


def shipped_folder() -> Path | None:
    """The folder of the studies that come with grokscope, with their saved results and lists of claims."""
    installed, checkout = PACKAGE / "studies", PACKAGE.parent.parent / "studies"
    return next((folder for folder in (installed, checkout) if folder.is_dir()), None)


def is_checkout() -> bool:
    """Whether the shipped studies lie in a checkout of the repository, where their results may be replaced."""
    return not (PACKAGE / "studies").is_dir()


def shipped_studies() -> dict[str, Path]:
    """Name -> file of every study that comes with grokscope."""
    folder = shipped_folder()
    if folder is None:
        return {}
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_study(path: str | Path) -> Path:
    """The file at `path`, or the shipped study of that name. Raises ValueError naming the shipped ones."""
    path = Path(path)
    if path.is_file():
        return path
    shipped = shipped_studies()
    if path.parent == Path() and path.stem in shipped and path.suffix in ("", ".toml"):
        return shipped[path.stem]
    require(not path.is_dir(), f"{path}: is a folder; give a study file (the folder of runs is --root)")
    raise ValueError(f"{path}: no such file, and no shipped study of that name{nearest(path.stem, list(shipped))}")
