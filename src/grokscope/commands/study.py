"""study plan, run, status, extend, check, test, report: many runs as one."""

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from grokscope.commands.hypotheses import show_answers, show_design, show_details
from grokscope.commands.jobs import JobsNow, SentRuns, jobs_now, planned_jobs, send
from grokscope.commands.output import Result, print_table, states
from grokscope.config import require
from grokscope.execute.engines import check_engine
from grokscope.execute.forecast import duration
from grokscope.execute.processes import default_workers
from grokscope.execute.protocol import Board, Outcome
from grokscope.execute.stacks import Stacking, Way, require_engine_for
from grokscope.progress import watched
from grokscope.results.hypothesis import Hypotheses
from grokscope.study import Study, find_study
from grokscope.study.check import CheckRow, answer_of
from grokscope.study.plan import PlannedRun, StudyPlan
from grokscope.study.run_state import BAD, NOT_BEGUN, StudyRun
from grokscope.verdicts import run_verdicts
from grokscope.vocabulary.splits import speaking
from grokscope.vocabulary.text import listed, plural, size

if TYPE_CHECKING:
    from rich.console import Console

    from grokscope.trajectory.criteria import Criteria


FEW = 3
"""Maximum number of regimes of a stack that are listed by name."""


def _choice(arms: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """Arms and seeds as command-line options."""
    words = []
    if arms:
        words += ["--arms", *arms]
    if seeds:
        words += ["--seeds", *map(str, seeds)]
    return words


@dataclass
class Commands(Result):
    """Shell lines for a launcher, printed without anything else so that they can be piped."""

    lines: list[str]

    def data(self) -> Any:
        return {"commands": self.lines}

    def show(self, console: "Console") -> None:
        if not self.lines:
            print("no run is left to train, so there are no commands", file=sys.stderr)
        for line in self.lines:
            console.print(line)


@dataclass
class Planned(Result):
    """The runs that a study will train."""

    study: Study
    plan: StudyPlan
    jobs: dict[str, Any] | None = None
    """Resources of cluster jobs, if the study or the command specifies them."""

    def data(self) -> Any:
        return {"study": self.study.name, **self.plan.to_dict(), "jobs": self.jobs}

    def show(self, console: "Console") -> None:
        rows = [_plan_line(r) for r in self.plan.runs]
        print_table(console, ["state", "regime", "seed", "steps", "decay budget", "time", "run"], rows)
        console.print("decay budget: lr x decay x steps; if it is far below 1, decay has no time to act", style="dim")
        console.print(f"{plural(len(rows), 'run')}: {states(self.plan.states)}")
        if self.plan.bytes is not None:
            console.print(f"disk space when all runs are done: about {size(self.plan.bytes)}")
        for stack in self.plan.stacks:
            console.print(_stack_line(stack))
        if self.plan.forks:
            console.print(_forks_line(self.plan))
        if not self.plan.todo:
            console.print("nothing left to train")
        elif self.plan.seconds is not None:
            workers = plural(self.plan.workers, "worker")
            console.print(
                f"time: about {duration(self.plan.seconds)} with {workers}, estimated by a short probe on this machine"
            )
        if self.jobs is not None:
            self._show_jobs(console, self.jobs)
        for r in self.plan.runs:
            if r.study_run.message and r.study_run.state != "waiting":
                console.print(f"{r.study_run.state}: {r.study_run.run.id}: {r.study_run.message}")

    def _show_jobs(self, console: "Console", jobs: dict[str, Any]) -> None:
        request = jobs.get("request", {})
        for line in (jobs["words"], *([request["words"]] if request else []), *request.get("notes", ())):
            console.print(line)
        if self.plan.stacks and jobs["engine"] != "here":
            console.print(
                "each worker of a job stacks its own share of the remaining runs; with auto, it probes on its own "
                "machine"
            )


def _stack_line(stack: dict[str, Any]) -> str:
    """The runs that are trained together, with the measured speedup; or why they are not."""
    names = stack["regimes"]
    regimes = listed(names) if len(names) <= FEW else plural(len(names), "regime")
    if stack["runs"] == 1:
        return f"not stacked: {plural(stack['count'], 'run')} of {regimes}: {stack['reason']}"
    faster = ""
    if stack["speedup"] is not None:
        faster = f", {stack['speedup']:.1f} times as many steps per second as one by one"
    return f"{plural(stack['count'], 'stack')} of {stack['runs']:,} runs of {regimes}{faster}"


def _forks_line(plan: StudyPlan) -> str:
    """Steps saved by exact forks, as far as their starting steps are known."""
    open_ = sum(r.study_run.forked_at is None for r in plan.forks)
    later = ""
    if open_:
        later = f"; not known yet for {plural(open_, 'fork')} whose parent has not reached the moment"
    return f"{plural(len(plan.forks), 'exact fork')}: {plan.steps_saved:,} steps saved{later}"


def _plan_line(r: PlannedRun) -> list[str]:
    entry, steps = r.study_run.entry, f"{r.study_run.step:,} of {r.study_run.total:,}"
    time = "" if r.seconds is None or r.study_run.finished else duration(r.seconds)
    budget = "" if r.decay_budget is None else f"{r.decay_budget:.2g}"
    return [r.study_run.state, entry.label, str(entry.config.seed), steps, budget, time, r.study_run.run.id]


def plan(
    file: Path,
    /,
    *,
    root: Path = Path("runs"),
    workers: int | None = None,
    arms: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    probe: bool = True,
    engine: Way = "one",
    stack: int | None = None,
    on: str = "here",
    commands: Literal["none", "workers", "runs"] = "none",
) -> Planned | Commands:
    """List the runs of a study with the disk space and time they will take, before anything trains.

    Args:
        file: Study file, or the name of a shipped study.
        root: Folder of the runs.
        workers: Number of runs trained at a time; by default one per usable CPU.
        arms: Only these arms or regimes.
        seeds: Only these seeds.
        probe: Train each kind of run in memory for up to a second to estimate the time; if off, train nothing and omit
            the time estimate.
        engine: As for ``study run``; shows which runs would be stacked.
        stack: Maximum number of runs per stack.
        on: As for ``study run``; shows the resources of the jobs and the time with the planned number of workers; with
            ``slurm``, also the request within its limits.
        commands: Print shell lines for any launcher (GNU parallel, disBatch, job arrays) instead: one per worker, or
            one per unfinished run.
    """
    study = Study.load(file).only(arms, seeds)
    check_engine(on)
    if commands == "none":
        todo = [s.job() for s in study.status(root) if not s.finished]
        jobs = planned_jobs(study, todo, on, workers)  # before the probe, so that invalid requests are refused at once
        count = workers if jobs is None else jobs.get("workers", workers)
        return Planned(study, study.plan(root, workers=count, probe=probe, engine=engine, stack=stack), jobs)
    require(workers is None or workers >= 1, f"--workers must be at least 1 with --commands, got {workers}")
    require(
        commands == "workers" or engine == "one", "--commands runs: each line trains one run, so --engine must be one"
    )
    require_engine_for(stack, engine)
    todo = [s for s in study.status(root) if not s.finished]
    line = ["grokscope", "worker", str(find_study(file).resolve()), "--root", str(root.resolve())]
    if commands == "workers":
        count = min(workers or default_workers(len(todo)), len(todo))
        together = []
        if engine != "one":
            together += ["--engine", engine]
        if stack:
            together += ["--stack", str(stack)]
        return Commands([shlex.join([*line, *_choice(arms, seeds), *together])] * count)
    # a fork's own worker waits for its parent, which another one may be training
    waiting = {True: [], False: ["--wait"]}
    return Commands([shlex.join([*line, "--runs", s.entry.config.run_id(), *waiting[s.ready]]) for s in todo])


@dataclass
class Ran(Result):
    """How the runs of a study ended; `before` counts those that were already finished."""

    study: Study
    root: Path
    outcomes: list[Outcome]
    before: int

    @property
    def counts(self) -> dict[str, int]:
        ended = Counter(o.state for o in self.outcomes)
        if not self.before:
            return ended
        return {"already done": self.before, **ended}

    @property
    def exit_code(self) -> int:
        return int(any(o.state == "failed" for o in self.outcomes))

    def data(self) -> Any:
        outcomes = [
            {"run": o.job.run.name, "regime": o.job.config.regime.name, "seed": o.job.config.seed, "state": o.state,
             "step": o.step, "total_steps": o.job.total, "message": o.message}
            for o in self.outcomes
        ]  # fmt: skip
        return {"study": self.study.name, "counts": self.counts, "outcomes": outcomes}

    def show(self, console: "Console") -> None:
        console.print(f"{plural(len(self.study.entries), 'run')}: {states(self.counts)}")
        for o in self.outcomes:
            if o.state == "failed":
                console.print(f"failed: {o.job.run}: {o.message}")
            if o.state == "elsewhere":
                console.print(f"skipped, being trained by another process: {o.job.run}")
            if o.state == "waiting" and o.message:
                console.print(f"not begun: {o.job.run}: {o.message}")
        if any(o.state == "failed" for o in self.outcomes):
            console.print(self.how_to_retry())

    def how_to_retry(self) -> str:
        """How to retry failed runs."""
        return "the same command tries the failed runs again, from their last saved state"


def _tracked(study: Study, track: Sequence[str]) -> Study:
    """Mirrored to the trackers of the command line where it names some, else to those of the file."""
    if not track:
        return study
    return study.tracked(tuple(track))


def run(
    file: Path,
    /,
    *,
    root: Path = Path("runs"),
    workers: int | None = None,
    engine: Way = "one",
    stack: int | None = None,
    on: str = "here",
    address: str | None = None,
    track: tuple[str, ...] = (),
    arms: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    board: Board | None = None,
) -> Ran | SentRuns:
    """Train every unfinished run of a study. The same command resumes, or does nothing if all runs are done.

    A failed run does not stop the others and sets the exit code to 1. Ctrl-C saves all current runs. With ``--on
    slurm`` or ``--on background``, the runs are submitted as jobs, and the command exits.

    Args:
        file: Study file, or the name of a shipped study.
        root: Folder of the runs.
        workers: Number of processes, each training one run on one CPU thread; by default one per usable CPU; 0 trains
            in this process.
        engine: ``one`` trains every run alone, ``stacked`` trains runs of one architecture together, ``auto`` does so
            if a short probe shows that it is faster. In jobs and on Ray, each worker does this with the runs it takes.
        stack: Maximum number of runs per stack; by default 16 on a CPU and 1,024 on a GPU.
        on: Where to train: ``here``, in processes of this command; ``background``, in jobs on this machine that
            continue after the command; ``slurm``; ``ray``. ``[execute]`` in the study file sets the resources of jobs.
        address: Address of Ray, with ``--on ray``; by default RAY_ADDRESS, or a new Ray on this machine.
        track: Also mirror every run to trackers: tensorboard, wandb, trackio, or wandb:project=NAME. By default those
            in the file; none leaves them out.
        arms: Only these arms or regimes.
        seeds: Only these seeds.

    Raises:
        grokscope.study.Stopped: after Ctrl-C, SIGTERM or SIGHUP, with everything saved.
        grokscope.study.NotSaved: (a Stopped) if the disk is full, read-only or gone; no run is marked as failed.
    """
    study = _tracked(Study.load(file).only(arms, seeds), track)
    check_engine(on)
    require(on in ("here", "ray") or address is None, f"--address applies to --on ray, but --on is {on}")
    require(on != "here" or address is None, "--address needs --on ray")
    require_engine_for(stack, engine)
    stacking = Stacking(engine, stack)
    if on in ("slurm", "background"):
        return send(study, root, on, workers, stacking)
    finished = sum(s.finished for s in study.status(root))
    executor = study.on_ray(workers, root, address, stacking) if on == "ray" else None
    outcomes = study.run(workers, root, board=board, executor=executor, engine=engine, stack=stack)
    return Ran(study, root, outcomes, finished)


def extend(
    file: Path,
    /,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    root: Path = Path("runs"),
    workers: int | None = None,
    engine: Way = "one",
    stack: int | None = None,
    track: tuple[str, ...] = (),
    arms: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    board: Board | None = None,
) -> Ran:
    """Train all runs of a study to a larger budget, exactly as if they had been given it from the start.

    Runs whose schedule depends on the length are refused before anything trains.

    Args:
        file: Study file, or the name of a shipped study.
        steps: New total length in optimizer steps.
        epochs: New total length in epochs.
        root: Folder of the runs.
        workers: Number of runs trained at a time.
        engine: As for ``study run``.
        stack: As for ``study run``.
        track: As for ``study run``.
        arms: Only these arms or regimes.
        seeds: Only these seeds.

    Raises:
        grokscope.study.Stopped: after Ctrl-C, SIGTERM or SIGHUP, with everything saved.
        grokscope.study.NotSaved: (a Stopped) if the disk is full, read-only or gone; no run is marked as failed.
    """
    from grokscope.config import Budget

    study = _tracked(Study.load(file).only(arms, seeds), track).with_budget(Budget(steps=steps, epochs=epochs))
    finished = sum(s.finished for s in study.status(root))
    return Ran(study, root, study.run(workers, root, board=board, engine=engine, stack=stack), finished)


@dataclass(frozen=True)
class Spoken:
    """The verdict on the headline split of a run."""

    verdict: str | None
    """None if the run cannot be judged; `reason` explains why."""
    reason: str


@dataclass
class Status(Result):
    """The state of every run of a study, and its verdict so far."""

    study: Study
    runs: list[StudyRun]
    verdicts: dict[str, Spoken]
    """Run id -> the verdict on its headline split; runs without an evaluation are absent."""
    problems: dict[str, str]
    """Run id -> why it could not be judged."""
    queue: JobsNow

    def data(self) -> Any:
        runs = [self._row(s) for s in self.runs]
        return {"study": self.study.name, "states": self._states(), "runs": runs, "queue": self.queue.data()}

    def _states(self) -> dict[str, int]:
        return dict(Counter(s.state for s in self.runs))

    def _row(self, s: StudyRun) -> dict[str, Any]:
        spoken = self.verdicts.get(s.run.id)
        return {
            "run": s.run.id, "regime": s.entry.label, "seed": s.entry.config.seed, "state": s.state, "step": s.step,
            "total_steps": s.total, "verdict": spoken.verdict if spoken else None,
            "error": s.message or self.problems.get(s.run.id) or _not_judged(spoken),
            "job": self.queue.runs.get(s.run.id),
        }  # fmt: skip

    def show(self, console: "Console") -> None:
        rows = [self._row(s) for s in self.runs]
        regimes: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            regimes.setdefault(row["regime"], []).append(row)
        lines = [_regime_line(name, members) for name, members in regimes.items()]
        print_table(console, ["regime", "runs", "states", "steps", "verdicts"], lines)
        console.print(f"{plural(len(rows), 'run')}: {states(self._states())}")
        self.queue.show(console)
        for row in rows:
            if row["error"]:
                console.print(f"{row['state']}: {row['run']}: {row['error']}")


def _not_judged(spoken: Spoken | None) -> str | None:
    """Why the headline split of a run has no verdict, although it was evaluated."""
    if spoken is not None and spoken.verdict is None:
        return spoken.reason
    return None


def _spoken(s: StudyRun, criteria: "Criteria | None") -> Spoken | None:
    """The verdict, from the index if possible; None before the first evaluation.

    Raises:
        ValueError: if the run cannot be judged.
    """
    if s.known is not None and s.known.judged and criteria is None:
        row = s.known.row
        if row["split"] is None:
            return None
        return Spoken(row["verdict"], row["reason"])
    verdicts = run_verdicts(s.run, criteria, neighbors=False)
    if not verdicts:
        return None
    one = verdicts[speaking(verdicts)]
    return Spoken(one.verdict, one.reason)


def _regime_line(name: str, rows: list[dict[str, Any]]) -> list[str]:
    done, total = (sum(r[key] for r in rows) for key in ("step", "total_steps"))
    verdicts = Counter(_so_far(r) for r in rows if r["verdict"])
    where = states(Counter(r["state"] for r in rows))
    return [name, str(len(rows)), where, f"{done:,} of {total:,}", states(verdicts) if verdicts else ""]


def _so_far(row: dict[str, Any]) -> str:
    if row["state"] in ("done", "diverged"):
        return row["verdict"]
    return f"{row['verdict']} so far"


def status(
    file: Path, /, *, root: Path = Path("runs"), arms: tuple[str, ...] = (), seeds: tuple[int, ...] = ()
) -> Status:
    """Show the state of every run of a study by regime, with verdicts so far, and its waiting and running jobs.

    Args:
        file: Study file, or the name of a shipped study.
        root: Folder of the runs.
        arms: Only these arms or regimes.
        seeds: Only these seeds.
    """
    study = Study.load(file).only(arms, seeds)
    runs = study.status(root)
    verdicts, problems = {}, {}
    for s in watched(runs, "judged"):
        if s.state in (*NOT_BEGUN, *BAD):
            continue
        try:
            spoken = _spoken(s, study.criteria)
        except ValueError as error:
            problems[s.run.id] = str(error)
            continue
        if spoken is not None:
            verdicts[s.run.id] = spoken
    return Status(study, runs, verdicts, problems, jobs_now(study, root, runs))


@dataclass
class Checked(Result):
    """Expectations of a study against its results."""

    study: Study
    rows: list[CheckRow]
    standing: str
    """How much of the study is finished."""
    hypotheses: Hypotheses

    @property
    def exit_code(self) -> int:
        """1 unless every expectation was met: an unfinished study confirms nothing. A hypothesis that was tested but
        not shown is a result, not a failure; one that lacks runs because they failed is a failure."""
        waits = self.hypotheses.unfinished or bool(self.hypotheses.lacking)
        return int(waits or not all(row.held for row in self.rows))

    def data(self) -> Any:
        return {
            "study": self.study.name,
            "held": self.exit_code == 0,
            "answer": answer_of(self.rows) if self.rows else "",
            "standing": self.standing,
            "rows": [row.to_dict() for row in self.rows],
            "hypotheses": [h.to_dict() for h in self.hypotheses.results],
            "design": None if self.hypotheses.design is None else self.hypotheses.design.to_dict(),
        }

    def show(self, console: "Console") -> None:
        show_answers(console, self.hypotheses)
        if self.hypotheses.design is not None:
            show_design(console, self.hypotheses.design)
        if self.rows:
            self._show_expectations(console)
        console.print(self.standing)
        if self.hypotheses.lacking:
            console.print(self.hypotheses.lacking)

    def _show_expectations(self, console: "Console") -> None:
        lines = [[r.word, r.where, r.expected, r.seen] for r in self.rows]
        print_table(console, ["outcome", "where", "expected", "seen"], lines)
        for row in self.rows:
            if row.note:
                console.print(f"{row.where}: {row.note}")
        for problem in dict.fromkeys(chain.from_iterable(row.problems for row in self.rows)):
            console.print(problem)
        console.print(answer_of(self.rows))


def check(
    file: Path, /, *, root: Path = Path("runs"), arms: tuple[str, ...] = (), seeds: tuple[int, ...] = ()
) -> Checked:
    """Compare the results of a study with its expectations, and test its hypotheses.

    The exit code is 1 unless every expectation was met and no hypothesis lacks unfinished or failed runs.

    Args:
        file: Study file, or the name of a shipped study.
        root: Folder of the runs.
        arms: Only these arms or regimes.
        seeds: Only these seeds.

    Raises:
        ValueError: if the study has no expectations.
    """
    study = Study.load(file).only(arms, seeds)
    if not (study.expectations or study.hypotheses or study.design):
        raise ValueError(f"{file} has no [[expect]], no [[hypothesis]] and no [design], so there is nothing to check")
    return Checked(study, *study.answered(root))


@dataclass
class Tested(Result):
    """The hypotheses of a study, each with its result and evidence."""

    study: Study
    hypotheses: Hypotheses

    @property
    def exit_code(self) -> int:
        """1 while a hypothesis waits for runs, or if runs failed; a hypothesis that is not shown is a result."""
        return int(self.hypotheses.unfinished or bool(self.hypotheses.lacking))

    def data(self) -> Any:
        return self.hypotheses.to_dict()

    def show(self, console: "Console") -> None:
        show_answers(console, self.hypotheses)
        for h in self.hypotheses.results:
            console.print("")
            show_details(console, h)
        known = self.hypotheses
        if known.design is not None:
            console.print("")
            show_design(console, known.design)
        console.print("")
        console.print(f"{plural(known.planned, 'run')}: {known.finished:,} finished, {known.failed:,} failed, "
                      f"{known.waiting:,} waiting")  # fmt: skip
        if known.lacking:
            console.print(known.lacking)


def put_to_test(
    file: Path, /, *, root: Path = Path("runs"), arms: tuple[str, ...] = (), seeds: tuple[int, ...] = ()
) -> Tested:
    """Test the hypotheses of a study over its seeds, and the effects of its design.

    Reports effects with intervals, exact p-values, the number of seeds needed, and whether each hypothesis was declared
    before the runs began. The exit code is 1 while runs are missing, or if runs failed.

    Args:
        file: Study file, or the name of a shipped study.
        root: Folder of the runs.
        arms: Only these arms or regimes.
        seeds: Only these seeds.

    Raises:
        ValueError: if the study has no hypothesis.
    """
    study = Study.load(file).only(arms, seeds)
    if not (study.hypotheses or study.design):
        raise ValueError(f"{file} has no [[hypothesis]] block and no [design], so there is nothing to test")
    return Tested(study, study.test(root))


def report(
    file: Path,
    /,
    *,
    out: Path | None = None,
    root: Path = Path("runs"),
    arms: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    formats: tuple[str, ...] = ("png", "pdf"),
) -> Result:
    """Write one HTML page on all runs of a study that have begun, with the check of its expectations.

    Args:
        file: Study file, or the name of a shipped study.
        out: The page to write, by default ``report_NAME.html``; figures go into a folder next to it.
        root: Folder of the runs.
        formats: Formats of the figure files: png, pdf, svg. Each figure comes with its caption and its numbers.
        arms: Only these arms or regimes.
        seeds: Only these seeds.
    """
    from grokscope.commands.report import Written, formats_option

    study = Study.load(file).only(arms, seeds)
    page = study.page if out is None else out
    words = ["grokscope", "study", "report", str(file), "--root", str(root), "--out", str(page)]
    remake = shlex.join([*words, *_choice(arms, seeds), *formats_option(formats)])
    return Written(study.report(page, root, remake, formats))
