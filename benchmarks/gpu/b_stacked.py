"""Part b: 1,024 seeds of modular addition (E1) stacked on one card, to their verdicts; against one seed at a time on
the same card, and on the CPU. Verdicts and times to generalize are compared as rates and quantiles over seeds.

What must be done at least, for a step of 1,024 members: 256 * 10^9 operations (products of 1,740 examples with 24,000
weights, forward and backward) and, with every activation written and read once each way, some 16 * 10^9 bytes; for
1,000 steps about 5 s at 50 * 10^12 operations per second of float32, or 5 s at 3 * 10^12 bytes per second: the floor is
about 10 s. Everything above it is rows, folders and verdicts, which several processes share.

Cost: about a minute on one H100; measured from the start each time. Misleads on the CPU's side where other work shares
the machine: rates of verdicts do not depend on it, seconds do.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from harness import Report, end_quietly, finish, left, options

from grokscope import configio
from grokscope.config import RunConfig
from grokscope.store.run import Run
from grokscope.verdicts import run_verdicts

E1: dict[str, Any] = {
    "task": {"name": "modular", "operation": "add", "p": 59, "train_fraction": 0.5},
    "model": {"name": "embedding-mlp", "embedding": 64, "hidden": [128]},
    "regime": {"recipe": "modular"},
    "budget": {"steps": 1000},
    "evaluate": {"at": [0], "every": 10},
    "diagnose": {"at": [1]},
    "checkpoint": {"at": [0]},
}
TINY = {"task.p": 11, "model.embedding": 8, "model.hidden": [16], "budget.steps": 60}


def config_of(seed: int, device: str, tiny: bool) -> RunConfig:
    raw = configio.overlay(E1, {"seed": seed, "hardware.device": device, "hardware.resume_every_s": 1e9})
    return configio.load_run(configio.overlay(raw, TINY) if tiny else raw)


def judged(run: Run) -> dict[str, Any]:
    """What a run says of its held-out split; thresholds are not moved, which is ten times faster."""
    verdict = next(iter(run_verdicts(run, neighbors=False).values())).to_dict()
    times = {name: _reached(verdict["milestones"][name]) for name in ("T_fit", "T_gen")}
    return {"verdict": verdict["verdict"], **times}


def _reached(milestone: dict[str, Any]) -> float | None:
    return None if milestone["censored"] else milestone["at"]


# -- one process -----------------------------------------------------------------------------------------------------


def stack(given: argparse.Namespace) -> None:
    """Train and judge `count` seeds from `first` on, as one stack, and write what came of it."""
    from grokscope.train.stacked.driver import train_stack

    begin, clock = time.perf_counter(), time.time()
    configs = [config_of(seed, given.device, given.tiny) for seed in range(given.first, given.first + given.count)]
    ended = train_stack(configs, given.work / "stacked")
    trained = time.perf_counter() - begin
    runs = [judged(e.run) for e in ended if e.state == "done"]
    out = {"first": given.first, "count": given.count, "train_s": trained, "all_s": time.perf_counter() - begin}
    out |= {"states": Counter(e.state for e in ended), "steps": max(e.step for e in ended)}
    out |= {"errors": sorted({str(e.error) for e in ended if e.error})[:3], **_phases(ended, clock, trained)}
    (given.out / f"b_part_{given.mode}_{given.first}.json").write_text(json.dumps({**out, "runs": runs}))


def _phases(ended: list[Any], clock: float, trained: float) -> dict[str, float]:
    """Seconds of building all members, of beginning their folders, and of all that follows."""
    started = [s for e in ended if (s := e.run.status.get("started"))] if ended else []
    if not started:
        return {}
    built, begun = min(started) - clock, max(started) - clock
    return {"build_s": built, "begin_s": begun - built, "steps_rows_and_closing_s": trained - begun}


def singly(given: argparse.Namespace) -> None:
    """Train and judge seeds one after the other until the time is up."""
    from dataclasses import replace

    from grokscope.train.driver import train

    warm = config_of(0, given.device, True)  # what is loaded and compiled once is no run's own
    judged(train(warm, given.work / f"{given.mode}-warm-{given.first}"))
    runs: list[dict[str, Any]] = []
    path = given.out / f"b_part_{given.mode}_{given.first}.json"
    for seed in range(given.first, given.first + given.count):
        if left(given) < 3:
            break
        config = config_of(seed, given.device, given.tiny)
        config = replace(config, hardware=replace(config.hardware, step=given.step))
        begin = time.perf_counter()
        run = train(config, given.work / given.mode)
        runs.append(
            {"seed": seed, **judged(run), "seconds": time.perf_counter() - begin, "step": run.facts.get("step")}
        )
        path.write_text(json.dumps({"runs": runs}))


# -- all of them -----------------------------------------------------------------------------------------------------


def start(given: argparse.Namespace, mode: str, first: int, count: int, seconds: float, **more: str) -> Any:
    words = [sys.executable, __file__, "--mode", mode, "--first", str(first), "--count", str(count)]
    words += [
        "--out",
        str(given.out),
        "--work",
        str(given.work),
        "--seconds",
        str(given.seconds - left(given) + seconds),
    ]
    words += [w for k, v in {"device": given.device, **more}.items() for w in (f"--{k}", v)]
    return subprocess.Popen([*words, "--tiny"] if given.tiny else words)


def end_all(processes: list[Any], seconds: float) -> None:
    until = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(max(until - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.terminate()
    for process in processes:
        try:
            process.wait(12)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def parts(folder: Path, mode: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"b_part_{mode}_*.json"))]


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Rates of verdicts, and how the times to generalize lie, over seeds."""
    times = sorted(run["T_gen"] for run in runs if run["T_gen"] is not None)
    out: dict[str, Any] = {"runs": len(runs), "verdicts": Counter(run["verdict"] for run in runs)}
    if len(times) >= 2:
        cuts = statistics.quantiles(times, n=10)
        out |= {"T_gen": {"n": len(times), "median": statistics.median(times), "deciles": cuts, "all": times}}
    return out


def main() -> None:
    given = options(mode="all", first=0, count=0, seeds=1024, workers=8, cpu_workers=4, step="auto")
    if given.mode in ("stacked", "alone", "eager", "cpu"):
        return stack(given) if given.mode == "stacked" else singly(given)
    end_quietly()
    if given.tiny:
        given.seeds, given.workers, given.cpu_workers = 4, 1, 1
    for old in given.out.glob("b_part_*.json"):
        old.unlink()
    for mode in ("stacked", "alone", "eager", "cpu"):  # runs that are there would take no time, and look fast
        shutil.rmtree(given.work / mode, ignore_errors=True)
    report = Report("b_stacked", given)
    each = given.seeds // given.workers
    begin = time.perf_counter()
    stacks = [start(given, "stacked", i * each, each, left(given)) for i in range(given.workers)]
    end_all(stacks, left(given) - (5 if given.tiny else 20))
    wall = time.perf_counter() - begin
    found = parts(given.out, "stacked")
    report.put(stacked_s=wall, exit_codes=[p.returncode for p in stacks], processes=[_timing(p) for p in found])
    stacked = [run for part in found for run in part["runs"]]
    report.put(stacked=summary(stacked), target_s=60)

    budget = left(given) - 3
    several = given.cpu_workers
    most = 3 if given.tiny else 100
    others = [start(given, "cpu", 100_000 + 100 * i, most, budget, device="cpu") for i in range(several)]
    others += [start(given, "alone", 0, 3, budget, step="auto"), start(given, "eager", 0, 2, budget, step="eager")]
    end_all(others, budget)
    for mode in ("alone", "eager", "cpu"):
        runs = [run for part in parts(given.out, mode) for run in part["runs"]]
        seconds = [run["seconds"] for run in runs]
        report.put(**{mode: {**summary(runs), "seconds": seconds, "step": runs[0]["step"] if runs else None}})
        if seconds and stacked:
            report.put(**{f"stacked_against_{mode}": statistics.median(seconds) * len(stacked) / wall})
    finish(report)


def _timing(part: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in part.items() if k != "runs"}


if __name__ == "__main__":
    main()
