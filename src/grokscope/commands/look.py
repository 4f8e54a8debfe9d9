"""ls, show, sql, list: inspect runs and components."""

import warnings
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from grokscope import configio, regimes, registry
from grokscope.commands.intervened import checkpoints_line, lineage_line, print_interventions
from grokscope.commands.output import Result, Rows, moment_text, print_table, states
from grokscope.config import require
from grokscope.results.milestones import MilestonesRecord
from grokscope.results.record import plain
from grokscope.store import Run, find_runs, open_run
from grokscope.store.dissected import outdated
from grokscope.store.ended import changed_since
from grokscope.store.intervened import interventions_of
from grokscope.store.kept_verdicts import Splits
from grokscope.store.measured import measured_summary
from grokscope.store.metrics import Damaged
from grokscope.verdicts import run_verdicts, verdict_line
from grokscope.vocabulary.columns import table
from grokscope.vocabulary.splits import SPLITS
from grokscope.vocabulary.text import number, plural

if TYPE_CHECKING:
    from rich.console import Console

TIMES = ("T_fit", "T_gen", "T_gen_stable", "T_grok")


@dataclass
class Listing(Result):
    """One row for each run."""

    rows: list[dict[str, Any]]
    root: Path
    filters: tuple[str, ...] = ()
    """The filters, as text."""

    def data(self) -> Any:
        return self.rows

    def show(self, console: "Console") -> None:
        if not self.rows:
            console.print(self._nothing(), markup=False)
            return
        header = ["state", "step", "verdict", "T_fit [steps]", "T_gen [steps]", "end [score]", "run"]
        print_table(console, header, (self._cells(row) for row in self.rows))
        counts: dict[str, int] = {}
        for row in self.rows:
            counts[row["state"]] = counts.get(row["state"], 0) + 1
        console.print(f"{plural(len(self.rows), 'run')}: {states(counts)}")
        for line in self._differences():
            console.print(line)
        for row in self.rows:
            if row["state"] in ("damaged", "unreadable"):
                console.print(f"{row['state']}: {row['error']}")

    def _differences(self) -> list[str]:
        """``varies: regime.weight_decay: 0, 0.1``: one line per setting in which these runs differ, except the seed and
        the names of regimes, which are redundant."""
        from grokscope.commands.choosing import SHOWN, varying

        settings = [key for key in dict.fromkeys(chain.from_iterable(self.rows)) if "." in key and key != "regime.name"]
        lines = []
        for key, values in varying(self.rows, settings).items():
            more = f" and {len(values) - SHOWN:,} more" if len(values) > SHOWN else ""
            lines.append(f"varies: {key}: {', '.join(map(_shown, values[:SHOWN]))}{more}")
        return lines

    def _nothing(self) -> str:
        """Why the list is empty, and which folder to use instead."""
        if self.filters:
            return f"no runs in {self.root} with {' and '.join(self.filters)}"
        if not self.root.is_dir():
            return f"no runs in {self.root}: nothing has been trained yet"
        deeper = sorted({run.path.parent for inner in sorted(self.root.iterdir()) for run in find_runs(inner)})
        if deeper:
            return f"no runs directly in {self.root}; name the folder with the runs: {', '.join(map(str, deeper[:3]))}"
        return (
            f"no runs in {self.root}: a run is a folder with config.json, created by train, study run or archive import"
        )

    def _cells(self, row: dict[str, Any]) -> list[str]:
        verdict = row["verdict"] or ""
        if verdict and row["state"] not in ("done", "diverged"):
            verdict += " so far"
        end = "" if row["end"] is None else number(row["end"])
        times = [_time(row[key], row[f"{key}_censored"]) for key in ("T_fit", "T_gen")]
        return [row["state"], f"{row['step']:,}", verdict, *times, end, row["id"]]


def _time(value: float | None, censored: bool | None) -> str:
    if value is None:
        return ""
    if censored:
        return f"> {number(value)}"
    return number(value)


def ls(
    folder: Path | None = None,
    /,
    *,
    root: Path | None = None,
    state: str | None = None,
    task: str | None = None,
    where: tuple[str, ...] = (),
    sort: str | None = None,
) -> Listing:
    """List the runs in a folder with state, verdict, milestones, and the settings in which they differ.

    ``grokscope ls runs --where verdict=grokked regime.weight_decay=0.1 --sort=-T_gen``

    Args:
        folder: Folder of the runs; by default runs.
        root: The same, under the name used by the other verbs.
        state: Only runs in this state: done, running, interrupted, failed, diverged, planned, damaged (invalid or
            changed metrics), unreadable (invalid config or status).
        task: Only runs of this task.
        where: Only runs with these values: verdict=grokked, arm=NAME, seed=3, or any key of a config (key=value).
        sort: Column or config key to sort by, in ascending order; --sort=-T_gen sorts in descending order.

    Raises:
        ValueError: for a key that no run has, with the closest name.
    """
    from grokscope.commands.choosing import chosen, in_order
    from grokscope.store.query import STATES, run_rows

    require(state is None or state in STATES, f"unknown state {state!r}{registry.nearest(str(state), list(STATES))}")
    require(folder is None or root is None, f"name one folder, not both {folder} and --root {root}")
    place = Path(folder or root or "runs")
    rows = run_rows(_folder(place), judge=_judge_quickly)
    keep = [r for r in rows if (state is None or r["state"] == state) and (task is None or r["task"] == task)]
    keep = chosen(keep, where)
    keep = keep if sort is None else in_order(keep, sort)
    asked = {"state": state, "task": task}
    words = [f"{name} {value}" for name, value in asked.items() if value is not None]
    return Listing(keep, place, (*words, *where))


def _judge(run: Run, state: str, neighbors: bool = True) -> Splits:
    try:
        return run_verdicts(run, state=state, neighbors=neighbors)
    except Damaged:
        raise
    except ValueError:
        return {}


def _judge_quickly(run: Run, state: str) -> Splits:
    """For tables of many runs: without the sensitivity to the thresholds."""
    return _judge(run, state, neighbors=False)


@dataclass
class Shown(Result):
    """Everything about one run."""

    run: Run
    status: dict[str, Any]
    verdicts: Splits
    problems: tuple[str, ...] = ()
    """Problems with its files; the rest is shown nevertheless."""

    def data(self) -> Any:
        return {
            "run": self.run.id,
            "path": str(self.run.path),
            "status": self.status,
            **self.run.record,
            "verdicts": plain(self.verdicts),
            "interventions": interventions_of(self.run).get("interventions", []),
            "outdated_dissections": outdated(self.run.path),
            "measured": measured_summary(self.run.path),
            "problems": list(self.problems),
        }

    def show(self, console: "Console") -> None:
        self._show_state(console)
        for verdict in self.verdicts.values():
            console.print(verdict_line(verdict))
            console.print(f"  {_times(verdict.milestones)}")
        print_interventions(console, self.run)
        self._show_facts(console)
        self._show_settings(console)
        if provenance := self.run.record.get("provenance"):  # not recorded for an imported log
            _show_origin(console, provenance)
        for command in outdated(self.run.path).values():
            console.print(f"outdated dissection (older rules); to update it: {command}")
        for measured in measured_summary(self.run.path):
            _show_measured(console, measured)
        console.print(checkpoints_line(self.run))

    def _show_state(self, console: "Console") -> None:
        """Its name, how far it is, where it began, and what went wrong."""
        console.print(f"{self.run.id}")
        console.print(_progress_line(self.status))
        if origin := lineage_line(self.run):
            console.print(origin)
        if self.status.get("error"):
            console.print(f"error: {self.status['error'].get('message')}")
        for problem in self.problems:
            console.print(f"problem: {problem}")

    def _show_facts(self, console: "Console") -> None:
        """What is known of its data and network."""
        facts = self.run.facts
        for note in facts.get("notes", []):
            console.print(f"note: {note}")
        for split, info in facts.get("splits", {}).items():
            trivial = ", ".join(f"{k.replace('_', ' ')} {number(v)}" for k, v in info.items() if k != "n")
            n = f"{info['n']:,}" if "n" in info else "an unknown number of"
            console.print(f"split {split}: {n} examples, {trivial}")
        if "parameters" in facts:
            console.print(
                f"{plural(facts['parameters'], 'parameter')}, {plural(facts['steps_per_epoch'], 'step')} per epoch"
            )

    def _show_settings(self, console: "Console") -> None:
        flat, passed = configio.flatten(self.run.config), set(self.run.record.get("passed", ()))
        trained_here = "budget" in self.run.config  # of another loop nobody knows what was chosen and what was usual
        rows = [
            [key, _shown(value), "default" if trained_here and key not in passed else ""] for key, value in flat.items()
        ]
        print_table(console, ["key", "value", ""], rows)
        for what, target in (self.run.record.get("plugins") or {}).items():
            console.print(f"plug-in {what}: {target}")


def _show_measured(console: "Console", measured: dict[str, Any]) -> None:
    columns = ", ".join(measured["columns"]) or "nothing"
    where = f"{plural(measured['checkpoints'], 'checkpoint')} up to step {measured['last_step'] or 0:,}"
    console.print(f"measured afterward: {measured['measurement']} at {where}: {columns}")
    for what, why in measured["reasons"].items():
        console.print(f"  not available: {what}: {why}")


def _progress_line(status: dict[str, Any]) -> str:
    """How far a run is; another loop does not say how long it will be."""
    here = f"{status['state']} at step {status['step']:,}"
    if status.get("total_steps"):
        return f"{here} of {status['total_steps']:,}"
    return here


def _times(milestones: MilestonesRecord) -> str:
    """``T_fit 400, T_gen > 2,000, ... [steps]``; T_grok only if there is a train loss."""
    moments = {name: getattr(milestones, name) for name in TIMES}
    known = [f"{name} {moment_text(moment)}" for name, moment in moments.items() if moment is not None]
    return f"{', '.join(known)} [steps]"


def _show_origin(console: "Console", origin: dict[str, Any]) -> None:
    versions = ", ".join(f"{k} {v}" for k, v in origin.get("packages", {}).items())
    console.print(
        f"trained on {origin.get('platform')}, {origin.get('device')}, {origin.get('threads')} thread(s), {versions}"
    )


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def show(run: Path, /) -> Shown:
    """Show everything about one run: state, verdicts, splits, config with explicit and default values, provenance.

    Args:
        run: Folder of the run.
    """
    opened = open_run(run)
    problems: list[str] = []
    try:
        status = opened.status
    except ValueError as error:
        status, problems = {"state": "unreadable", "step": 0}, [str(error)]
    try:
        if changed := changed_since(opened, status):
            problems.append(changed)
        splits = _judge(opened, status["state"])
    except ValueError as error:
        splits = {}
        problems.append(str(error))
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    return Shown(opened, status, splits, tuple(problems))


def sql(query: str, /, *, root: Path = Path("runs")) -> Rows:
    """Query all runs with SQL.

    The views are `runs`, `metrics` (one row per evaluation) and `measured` (one row per checkpoint that was measured
    after its run).

    ``grokscope sql "select regime, count(*), median(T_gen) from runs group by regime"``. Column names of the config
    contain dots and need double quotes: "regime.lr". Join the views on the id of the run: ``select r.verdict, m.step,
    m.train_acc from runs r join metrics m on m.run = r.id``.

    Args:
        query: One SQL statement in DuckDB's dialect.
        root: Folder of the runs.

    Raises:
        ValueError: for a statement that DuckDB rejects, with its reason.
    """
    from grokscope.store.query import sql as ask

    rows = ask(query, _folder(root), judge=_judge_quickly)
    return Rows(rows, empty="no rows")


def _folder(root: Path) -> Path:
    """The folder of the runs. If the default folder is missing, nothing has been trained yet; any other missing folder
    is an error."""
    require(not root.exists() or root.is_dir(), f"{root}: is a file, not a folder of runs")
    require(root.is_dir() or root == Path("runs"), f"{root}: no such folder")
    return root


def list_(kind: str | None = None, /) -> Rows:
    """List the components that a config can use, and the shipped studies.

    Components are tasks, models, optimizers, losses, etc. The columns of metrics and the splits are listed on request.

    Args:
        kind: task, model, optimizer, loss, filter, schedule, engine, measurement, intervention, eraser, tracker,
            recipe or study (by default all of these); or column or split.
    """
    from grokscope.study import shipped_studies

    kinds = [*get_args(registry.Kind), "recipe", "study", "column", "split"]
    singular = kind
    if kind is not None and kind not in kinds:
        singular = {"studies": "study", "losses": "loss"}.get(kind, kind.removesuffix("s"))
    require(singular is None or singular in kinds, f"unknown kind {kind!r}{registry.nearest(str(kind), kinds)}")
    if singular == "column":
        return Rows([{"name": c.pattern, "meaning": c.meaning, "unit": c.unit, "written": c.writer} for c in table()])
    if singular == "split":
        return Rows([{"name": s.name, "holds": s.meaning, "unseen": s.unseen, "selects": s.selects} for s in SPLITS])
    rows: list[dict[str, str]] = []
    for k in get_args(registry.Kind):
        named = registry.entries(k).values()
        rows += [{"kind": k, "name": e.name, "what": e.summary, "source": e.source} for e in named]
    rows += [{"kind": "recipe", "name": n, "what": w, "source": s} for n, (w, s) in regimes.ABOUT.items()]
    rows += [{"kind": "study", **_study_row(path)} for path in shipped_studies().values()]
    return Rows([row for row in rows if singular in (None, row["kind"])])


def _study_row(path: Path) -> dict[str, Any]:
    head = configio.read_file(path)
    return {"name": path.stem, "what": head.get("title", ""), "source": head.get("reference", "-")}
