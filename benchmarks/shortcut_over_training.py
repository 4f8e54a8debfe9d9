"""Is the shortcut erased, concentrated or outvoted? Every kept checkpoint of every finished run of a study, dissected.

Three things can happen to a shortcut whose harm fades while a network trains on. It is *erased*: a probe reads the
environment no longer. It is *concentrated*: as many of the decisions hang on it, in fewer neurons. Or it is *outvoted*:
it can be read as before, and the right answer moves the decision more beside it. So each checkpoint is asked what can
be read (balanced accuracy of a probe at the head's input), what is used (how far the environment moves the decision,
how much of this an erasure takes, and how far a step of steering goes, each as a share of what the class does), in how
many neurons it sits, and how well the network does in seen and unseen environments. The unit is the seed.

Misleads about accuracy: it is that of single checkpoints, which on unseen environments differ by more than .1 between
neighbors. How well an arm does in the end is a question for `grokscope compare`, which takes the last 5 % of the steps.

Run: OMP_NUM_THREADS=1 python benchmarks/shortcut_over_training.py --root ROOT [--study hospitals_decay] [--workers 2]
[--arms ...] [--seeds ...] [--all-sites] [--report-only]. A run of ten checkpoints of `hospitals_decay` took 55 s of a
crowded core with all sites. Dissections stay in the runs' folders, and those that are there under the
rules of today are not done again. Writes benchmarks/results/shortcut_over_training.json.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from common import write_result

from grokscope.dissect.answer import POOLED
from grokscope.dissect.runs import chosen_checkpoints, dissect_run
from grokscope.files import finite
from grokscope.inference.compare import sign_flip
from grokscope.results.dissection import FOLDER, RULES, Dissection
from grokscope.store import Run
from grokscope.study.study import Study, find_study

MEASURES = {
    "readable": "balanced accuracy of a probe for the environment at the head's input",
    "task_read": "the same for the class",
    "reliance": "how far the environment moves the decision, as a share of what the class does",
    "erasure": "how much of that the erasure takes away, as a share of what the class does",
    "slope": "how far a step along the direction between environments moves the logits, as a share of the class's part",
    "half_share": "share of the neurons that must go to halve the reliance",
    "id_val": "accuracy, new patients of the environments trained on",
    "ood_val": "accuracy, first unseen environment",
    "ood_test": "accuracy, second unseen environment",
}
CHANCE_MARGIN = 0.10
"""A probe whose interval over seeds ends below chance plus this reads nothing to speak of: `Settings.tolerance`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="folder that holds the runs")
    parser.add_argument(
        "--study", type=Path, default=Path("hospitals_decay"), help="study file, or a shipped one's name"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--arms", nargs="*", default=[])
    parser.add_argument("--seeds", nargs="*", type=int, default=[])
    parser.add_argument(
        "--all-sites", action="store_true", help="probe every stage too, for the maps layer by checkpoint"
    )
    parser.add_argument("--report-only", action="store_true", help="dissect nothing, and tabulate what is there")
    options = parser.parse_args()
    stands = Study.load(find_study(options.study)).only(tuple(options.arms), tuple(options.seeds)).status(options.root)
    finished = [stand for stand in stands if stand.finished]
    print(f"{len(finished)} of {len(stands)} runs are finished", file=sys.stderr)
    seconds = (
        {}
        if options.report_only
        else dissect_all([stand.run.path for stand in finished], options.workers, options.all_sites)
    )
    points = [point for s in finished for point in read_run(s.run, s.entry.config.regime.name, s.entry.config.seed)]
    table, changes = tabulate(points), changes_by_arm(points)
    reference = finished[0].entry.config.regime.name
    beside = against_reference(points, reference)
    print(as_text(table, changes))
    print(beside_as_text(beside, reference))
    facts = {
        "study": str(options.study),
        "rules": RULES,
        "measures": MEASURES,
        "runs": {s.run.id: seconds.get(str(s.run.path)) for s in finished},
        "table": table,
        "changes": changes,
        "reference": reference,
        "against_reference": beside,
    }
    write_result("shortcut_over_training", finite(facts))  # NaN is no JSON


def dissect_all(runs: Sequence[Path], workers: int, all_sites: bool) -> dict[str, float]:
    """Processor seconds of each run that was dissected now."""
    wanted = [path for path in runs if not is_dissected(Run(path))]
    print(f"{len(wanted)} of {len(runs)} runs to dissect", file=sys.stderr)
    seconds = {}
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that start now
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(dissect_one, path, all_sites) for path in wanted]):
            path, cost = done.result()
            seconds[str(path)] = cost
            print(f"{len(seconds)} of {len(wanted)}: {path.name}, {cost:.0f} s", file=sys.stderr, flush=True)
    return seconds


def dissect_one(path: Path, all_sites: bool) -> tuple[Path, float]:
    import torch

    torch.set_num_threads(1)
    start = time.process_time()
    for _ in dissect_run(Run(path), "all", sites=None if all_sites else (POOLED,), figures=False):
        pass
    return path, time.process_time() - start


def is_dissected(run: Run) -> bool:
    """Whether each kept checkpoint has a dissection under the rules of today."""
    try:
        return all(at_step(run, step).rules == RULES for step in chosen_checkpoints(run, "all"))
    except (OSError, ValueError):
        return False


def at_step(run: Run, step: int) -> Dissection:
    return Dissection.read(run.path / FOLDER / f"step{step:08d}")


@dataclass(frozen=True)
class Point:
    """One checkpoint of one run."""

    arm: str
    seed: int
    step: int
    chance: float
    values: Mapping[str, float]


def read_run(run: Run, arm: str, seed: int) -> Iterator[Point]:
    if not is_dissected(run):
        print(f"{run.id}: not dissected", file=sys.stderr)
        return
    for step in chosen_checkpoints(run, "all"):
        yield read_point(at_step(run, step), arm, seed, step)


def read_point(d: Dissection, arm: str, seed: int, step: int) -> Point:
    """NaN where the dissection says nothing: at chance no decision can be taken apart."""
    probes = {probe.target: probe.test for probe in d.m1.probes if probe.site == POOLED}
    environment, task = probes.get("environment"), probes.get("task")
    accuracy = {a.name: a.accuracy for a in d.accuracy}
    gap = d.reliance.class_gap if d.reliance and d.reliance.class_gap > 0 else float("nan")
    unknown = float("nan")
    values = {
        "readable": environment.balanced if environment else unknown,
        "task_read": task.balanced if task else unknown,
        "reliance": d.reliance.env_gap / gap if d.reliance else unknown,
        "erasure": unknown if d.where.size is None else d.where.size,
        "slope": unknown if d.m5.slope_size is None else d.m5.slope_size / gap,
        "half_share": unknown if d.where.half_share is None else d.where.half_share,
        **{split: accuracy.get(split, unknown) for split in ("id_val", "ood_val", "ood_test")},
    }
    return Point(arm, seed, step, environment.chance if environment else unknown, values)


def mean_interval(values: Sequence[float]) -> tuple[float, float, float, int]:
    """Mean over seeds, its 95 % t interval and the number of seeds; seeds without a value are left out and counted."""
    from scipy import stats

    known = np.array([v for v in values if np.isfinite(v)])
    if len(known) == 0:
        return float("nan"), float("nan"), float("nan"), 0
    mean = float(known.mean())
    if len(known) == 1:
        return mean, float("nan"), float("nan"), 1
    half = float(stats.t.ppf(0.975, len(known) - 1) * stats.sem(known))
    return mean, mean - half, mean + half, len(known)


def tabulate(points: Sequence[Point]) -> dict[str, dict[int, dict[str, tuple[float, float, float, int]]]]:
    """Arm -> step -> measure -> (mean, low, high, seeds)."""
    table: dict[str, dict[int, dict[str, tuple[float, float, float, int]]]] = {}
    for arm in dict.fromkeys(p.arm for p in points):
        here = [p for p in points if p.arm == arm]
        table[arm] = {
            step: {m: mean_interval([p.values[m] for p in here if p.step == step]) for m in MEASURES}
            for step in sorted({p.step for p in here})
        }
    return table


def changes_by_arm(points: Sequence[Point]) -> dict[str, dict[str, object]]:
    """From the first kept checkpoint to the last, seed by seed, with what follows in a word."""
    return {arm: change([p for p in points if p.arm == arm]) for arm in dict.fromkeys(p.arm for p in points)}


def change(points: Sequence[Point]) -> dict[str, object]:
    first, last = first_and_last(points)
    begin = {p.seed: p for p in points if p.step == first}
    end = {p.seed: p for p in points if p.step == last}
    seeds = sorted(begin.keys() & end.keys()) if first < last else []
    pairs = {m: [(end[s].values[m], begin[s].values[m]) for s in seeds] for m in MEASURES}
    differences = {m: change_of for m, both in pairs.items() if (change_of := difference(both))}
    read = mean_interval([end[s].values["readable"] - end[s].chance for s in sorted(end)])
    return {"from": first, "to": last, "differences": differences, "fate": fate(differences, read)}


def first_and_last(points: Sequence[Point]) -> tuple[int, int]:
    """The last step that most seeds have a checkpoint of, and of the earlier ones the first that most have: some runs
    keep all of them, some but a few. Twice the same where no seed has an earlier one."""
    seeds = {step: len({p.seed for p in points if p.step == step}) for step in {p.step for p in points}}
    last = max(step for step, count in seeds.items() if count == max(seeds.values()))
    earlier = {step: count for step, count in seeds.items() if step < last}
    first = min((step for step, count in earlier.items() if count == max(earlier.values())), default=last)
    return first, last


def against_reference(points: Sequence[Point], reference: str) -> dict[str, dict[str, dict[str, object]]]:
    """Arm -> measure -> the difference from the reference arm at the last common checkpoint, seed by seed."""
    ends = {arm: _ends([p for p in points if p.arm == arm]) for arm in dict.fromkeys(p.arm for p in points)}
    base = ends.get(reference, {})
    return {arm: _beside(end, base) for arm, end in ends.items() if arm != reference}


def _beside(end: Mapping[int, Point], base: Mapping[int, Point]) -> dict[str, dict[str, object]]:
    seeds = sorted(end.keys() & base.keys())
    pairs = {m: [(end[s].values[m], base[s].values[m]) for s in seeds] for m in MEASURES}
    return {m: beside for m, both in pairs.items() if (beside := difference(both))}


def _ends(points: Sequence[Point]) -> dict[int, Point]:
    last = first_and_last(points)[1]
    return {p.seed: p for p in points if p.step == last}


def difference(pairs: Sequence[tuple[float, float]]) -> dict[str, object]:
    """Of pairs (one, other), a seed each: mean, interval and p of their sign-flip test; empty without any."""
    known = [one - other for one, other in pairs if np.isfinite(one) and np.isfinite(other)]
    if not known:
        return {}
    result = sign_flip(known)
    return {
        "mean": result.effect, "interval": result.interval, "p_two_sided": result.p_two_sided,
        "smallest_p": result.smallest_p, "seeds": len(known), "each": known,
    }  # fmt: skip


def fate(differences: Mapping[str, Mapping[str, object]], above_chance: tuple[float, float, float, int]) -> str:
    """``erased`` where a probe reads the environment no better than chance plus a margin, the interval over seeds and
    all; ``outvoted`` where it still reads it, and the reliance has fallen; ``concentrated`` where the neurons that
    carry it have become fewer and the reliance has not fallen."""
    if above_chance[3] < 2 or not np.isfinite(above_chance[2]):
        return "cannot tell: fewer than two seeds"
    if above_chance[2] < CHANCE_MARGIN:
        return "erased"
    if not above_chance[1] > 0:
        return "cannot tell: whether it can still be read"
    reliance, neurons = _direction(differences.get("reliance")), _direction(differences.get("half_share"))
    if reliance == "falls":
        return "outvoted" + (", and concentrated in fewer neurons" if neurons == "falls" else "")
    if neurons == "falls":
        return "concentrated"
    if reliance == "grows":
        return "readable, and used more than before"
    return "readable; no change of its use is shown"


def _direction(difference: Mapping[str, object] | None) -> str:
    """Whether the interval over seeds lies on one side of 0."""
    if difference is None or difference["interval"] is None:
        return "unknown"
    low, high = difference["interval"]  # pyright: ignore[reportGeneralTypeIssues]
    if high < 0:
        return "falls"
    return "grows" if low > 0 else "unknown"


def as_text(
    table: Mapping[str, Mapping[int, Mapping[str, tuple[float, float, float, int]]]],
    changes: Mapping[str, Mapping[str, object]],
) -> str:
    """One table for each arm, ready for a page: mean over seeds, and the 95 % interval below 10 seeds is a wide one."""
    blocks = []
    for arm, steps in table.items():
        lines = [f"{arm}: {changes[arm]['fate']}", "", f"| step | {' | '.join(MEASURES)} |"]
        lines.append("|---" * (len(MEASURES) + 1) + "|")
        lines += [f"| {step:,} | {' | '.join(_cell(cells[m]) for m in MEASURES)} |" for step, cells in steps.items()]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def beside_as_text(beside: Mapping[str, Mapping[str, Mapping[str, object]]], reference: str) -> str:
    """Differences at the last checkpoint: mean, range over seeds, number of seeds."""
    lines = [f"at the last checkpoint, less {reference} of the same seed (mean; lowest and highest seed; seeds)"]
    for arm, differences in beside.items():
        cells = []
        for measure, d in differences.items():
            each = np.asarray(d["each"], dtype=np.float64)
            cells.append(f"{measure} {each.mean():+.2f} ({each.min():+.2f} to {each.max():+.2f}; {len(each)})")
        lines.append(f"  {arm}: {', '.join(cells) or 'no seed in common'}")
    return "\n".join(lines)


def _cell(value: tuple[float, float, float, int]) -> str:
    mean, low, high, seeds = value
    if seeds == 0:
        return "-"
    return f"{mean:.2f}" if not np.isfinite(low) else f"{mean:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
