"""The verdict of a run, computed on demand and cached until its metrics change; and selection rules on runs and
external logs."""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope import configio
from grokscope.files import to_json
from grokscope.results.verdict import VerdictRecord
from grokscope.store import kept_verdicts
from grokscope.store.ended import require_whole
from grokscope.store.run import Run, open_run
from grokscope.vocabulary.splits import is_reported, oracle_label

if TYPE_CHECKING:
    from grokscope.trajectory import Criteria, Selection, Trajectory, Verdict


def run_verdicts(
    run: Run,
    criteria: "Criteria | None" = None,
    *,
    state: str | None = None,
    metrics: list[int] | None = None,
    neighbors: bool = True,
    trajectory: "Trajectory | None" = None,
) -> kept_verdicts.Splits:
    """Held-out split -> its verdict (`grokscope.trajectory.Verdict.record`); empty before the first row.

    Kept in ``results/verdict.json``, so that asking again costs one small file. `state` spares reading the
    status, `metrics` (size, mtime and ctime of the file) looking at it, `trajectory` reading it.
    Without `neighbors` the thresholds are not moved, which is ten times faster: `robust` is then unknown, and False.

    Raises:
        ValueError: damaged metrics, or a task whose trivial predictor already reaches the threshold.
    """
    now = kept_verdicts.stamp(run, state, metrics)
    if now is None:
        return {}
    key = _key(criteria)
    quick = f"{key}-quick"
    judged = kept_verdicts.recall(run, now, *((key,) if neighbors else (key, quick)))
    if judged is None:
        judged = _judge(run, criteria, neighbors, trajectory)
        kept_verdicts.keep(run, now, judged, key if neighbors else quick)
    return judged


@cache
def _key(criteria: "Criteria | None") -> str:
    """Names the criteria by what differs from the defaults, so that the default ones need not be imported."""
    if criteria is None:
        return kept_verdicts.DEFAULT
    default = type(criteria)().to_dict()
    moved = {k: v for k, v in criteria.to_dict().items() if v != default[k]}
    if not moved:
        return kept_verdicts.DEFAULT
    return configio.content_hash(moved)[:16]


def _judge(
    run: Run, criteria: "Criteria | None", neighbors: bool, trajectory: "Trajectory | None"
) -> kept_verdicts.Splits:
    from grokscope.trajectory.series import from_run
    from grokscope.trajectory.verdict import verdicts

    if trajectory is None:
        if not run.rows():
            return {}
        trajectory = from_run(run)
    judged = verdicts(trajectory, criteria, neighbors=neighbors)
    # through plain data, so that the first answer looks like the kept one
    return {split: VerdictRecord.from_dict(json.loads(to_json(v.to_dict()))) for split, v in judged.items()}


def verdict_line(verdict: VerdictRecord) -> str:
    """``id_val: grokked, not robust: reached 0.9 at ...``: one split's verdict for people."""
    if verdict.verdict is None:
        return f"{verdict.split}: cannot be judged: {verdict.reason}"
    shows_peak = "peaked" in verdict.reason or "highest value" in verdict.reason
    stamp = ""
    if is_reported(verdict.split) and shows_peak:
        stamp = f"; this peak is an {oracle_label(verdict.split)}"
    doubt = "" if verdict.robust else ", not robust"
    route = verdict.formation
    formed = "" if route is None else f"; {route.route}: {route.reason}"
    return f"{verdict.split}: {verdict.label}{doubt}: {verdict.reason}{stamp}{formed}"


def verdict(
    source: Any, *, split: str | None = None, criteria: "Criteria | None" = None, **columns: Any
) -> "dict[str, Verdict]":
    """Classify a run, a trajectory or an external training log: held-out split -> `grokscope.trajectory.Verdict`.

        gs.verdict("my_log.csv", step="epoch", train="train_acc", held_out={"test": "val_acc"})

    For many logs at once, and for groups of them, see `grokscope.verdicts_of_logs`.

    Args:
        source: folder of a run, a `Run`, a `Trajectory`; or a log (path, several paths to be joined, table, rows) with
            `columns`.
        split: only this held-out split.
        criteria: thresholds; the documented defaults if not given.
        columns: for a log, see `grokscope.trajectory.from_log`.

    Raises:
        ValueError: for a log with missing or wrong columns, a run without evaluations or with missing rows, or an
            unknown split.
    """
    from grokscope.trajectory import verdict as judge

    trajectory = _trajectory(source, columns)
    splits = [split] if split else trajectory.splits
    return {s: judge(trajectory, s, criteria) for s in splits}


def select(source: Any, rule: str = "final", **columns: Any) -> "Selection":
    """The scores of a run, a trajectory or an external training log at the evaluation chosen by a selection rule.

        gs.select("runs/NAME", "peak_ood_val").values["ood_test"]

    Args:
        source: folder of a run, a `Run`, a `Trajectory`; or a log (path, table, rows) with `columns`.
        rule: final, mean_last (mean_last=3), peak_ood_val, peak_id_val, step=400, or oracle, which chooses on
            `ood_test` and is labeled as such; see `grokscope.trajectory.selection`.
        columns: for a log, see `grokscope.trajectory.from_log`.

    Raises:
        ValueError: for a log with missing or wrong columns, a run without evaluations or with missing rows, an unknown
            rule, or a source without the split or step of the rule.
    """
    from grokscope.trajectory import select as choose

    return choose(_trajectory(source, columns), rule)


def _trajectory(source: Any, columns: dict[str, Any]) -> "Trajectory":
    from grokscope.trajectory import Trajectory, from_log, from_run

    if isinstance(source, Trajectory):
        return source
    run_like = isinstance(source, Run) or (isinstance(source, str | Path) and not Path(source).is_file())
    if columns or not run_like:
        return from_log(source, **columns)
    run = source if isinstance(source, Run) else open_run(source)
    require_whole(run)
    return from_run(run)
