"""`grokscope.explain`: the checks on a run, a trajectory, or an external log."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.mechanism.case import case_of_run, case_of_trajectory
from grokscope.mechanism.delay_law import DelayLaw, law_of
from grokscope.mechanism.explain import Explanation, explain_by
from grokscope.mechanism.setup import Setup
from grokscope.store import Run, open_run
from grokscope.store.ended import require_whole

if TYPE_CHECKING:
    from grokscope.trajectory import Criteria


def explain(
    source: Any,
    *,
    split: str | None = None,
    setup: Setup | None = None,
    criteria: "Criteria | None" = None,
    law: DelayLaw | None = None,
    **columns: Any,
) -> Explanation:
    """Why did it (not) grok? Which mechanisms explain one held-out split of a run, and which are ruled out.

        setup = gs.Setup(optimizer="adamw", lr=1e-3, weight_decay=1.0, steps_per_unit=32)
        gs.explain("my_log.csv", setup=setup, step="epoch", train="train_acc", held_out={"ood_test": "acc"},
                   norm="weight_norm")

    Args:
        source: folder of a run, a `Run`, a `Trajectory`; or a log (path, several paths, table, rows) with `columns`.
        split: the held-out split; by default ood_val, then ood_test, then id_val, then the first one.
        setup: how a log was trained; for a run this is recorded.
        criteria: thresholds of the verdict that is explained.
        law: the delay law calibrated on other runs (`grokscope.mechanism.law_of`); it predicts how long a run that has
            not generalized would need.
        columns: for a log, see `grokscope.trajectory.from_log`; `measured` names further columns.

    Misleads: checks read one trajectory. A possible explanation is not an established cause; each finding names the arm
        that would test it.

    Raises:
        ValueError: a log without columns or with wrong ones, a run without evaluations, an unknown split, a setup for a
            run.
    """
    from grokscope.trajectory import Trajectory, from_log

    if isinstance(source, Trajectory):
        return explain_by(case_of_trajectory(source, setup or Setup(), split, criteria), law)
    if columns or not _is_run(source):
        return explain_by(case_of_trajectory(from_log(source, **columns), setup or Setup(), split, criteria), law)
    if setup is not None:
        raise ValueError("setup applies to logs; the settings of a run are recorded")
    run = source if isinstance(source, Run) else open_run(source)
    require_whole(run)
    return explain_by(case_of_run(run, split, criteria), law)


def delay_law(*runs: "Run | str | Path", split: str | None = None, criteria: "Criteria | None" = None) -> DelayLaw:
    """The delay law calibrated on runs of one family, for the argument `law` of `explain`. Runs with the same regime
    name form one cell; with several cells, the law also estimates its error.

        law = gs.delay_law("runs/decay-1_s0", "runs/decay-2_s0")
        gs.explain("runs/decay-0.1_s0", law=law)

    Misleads for another task, network, loss or optimizer.

    Raises:
        ValueError: if none of the runs grokked under decoupled decay with a recorded, falling norm.
    """
    cells = []
    for source in runs:
        run = source if isinstance(source, Run) else open_run(source)
        require_whole(run)
        name = str((run.config.get("regime") or {}).get("name", run.id))
        cells.append((name, case_of_run(run, split, criteria)))
    return law_of(cells)


def _is_run(source: Any) -> bool:
    return isinstance(source, Run) or (isinstance(source, str | Path) and Path(source).is_dir())
