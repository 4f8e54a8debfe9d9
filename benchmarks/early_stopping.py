"""Rules of early stopping on the recorded runs of shipped studies: what they miss, what they cost, what they spend.

    grokscope study run accelerators; grokscope study run digits     # or any runs
    python benchmarks/early_stopping.py RUNS [MORE ...]

Runs are pooled by task. Of each task: every rule of the default grid over all its runs, the patience that would have
missed nothing, and the settings in which a patience of 100 evaluations missed some. Trains nothing.
"""

import argparse
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

from common import write_result

from grokscope.foreign.stopping import stopping
from grokscope.results.stopping import RuleResult, Stopping
from grokscope.store import find_runs


def by_task(folders: list[Path]) -> dict[str, list[Path]]:
    """Task -> its run folders."""
    found: dict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        for run in find_runs(folder):
            found[run.config["task"]["name"]].append(run.path)
    return dict(sorted(found.items()))


def rounded(value: Any) -> Any:
    """Three decimals are more than the runs say."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


def row(r: RuleResult) -> dict[str, Any]:
    after = None if r.regret_after is None else {k: v for k, v in r.regret_after.to_dict().items() if k != "best"}
    return rounded(
        {
            "rule": r.name, "runs": r.runs, "stopped": r.stopped, "grokked": r.grokked, "missed": r.missed,
            "share_missed": r.share_missed, "interval": r.interval, "spent": r.spent,
            "regret": None if r.regret is None else r.regret.to_dict(), "regret_after": after,
        }
    )  # fmt: skip


def summary(result: Stopping) -> dict[str, Any]:
    needed = [rounded(n.to_dict()) for n in result.needed if not n.group]
    missed = {
        r.name: {s.group: s.run for s in r.stops if s.missed}
        for r in result.of()
        if r.rule.kind == "patience" and r.rule.patience == 100 and r.missed
    }
    return {
        "split": result.split, "runs": result.runs, "settings": len(result.groups) or 1,
        "rules": [row(r) for r in result.of()], "needed": needed, "missed_by_patience_100": missed,
        "left_out": len(result.notes), "errors": len(result.errors),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders that hold runs")
    args = parser.parse_args()
    warnings.simplefilter("error")
    tasks = {}
    for task, paths in by_task(args.runs).items():
        tasks[task] = summary(stopping(paths, unfinished=True))
        print(task, tasks[task]["runs"], "runs")
        for line in tasks[task]["rules"]:
            print(f"  {line['rule']:45} missed {line['missed']} of {line['grokked']}, spent {line['spent']}")
    write_result("early_stopping", tasks)


if __name__ == "__main__":
    main()
