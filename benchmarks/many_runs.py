"""CPU seconds and peak memory of every question about ten thousand finished runs, each asked by a process of its own.

The folders are what training leaves, weights and resume states apart: eight runs of the digits recipe are trained and
judged, and copied under other seeds, with the verdict that each run's own process kept beside it. The floor is what any
answer has to do: stat the files, read them.

    python benchmarks/many_runs.py [--runs 10000] [--keep FOLDER] [--only ls study] [--without report]

Seconds are user and system time of the process and its threads, start-up of Python included: on a shared machine the
wall clock measures the others. Memory is the largest resident size.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ARMS = ((4, 0.1), (4, 0.5), (4, 0), (1, 0.1))
"""Initial scale and weight decay."""
STUDY = """
name = "many"
title = "Ten thousand runs of one recipe"
seeds = [{seeds}]

[task]
name = "digits"
n_train = 200

[model]
name = "mlp"
hidden = [64, 64]

[regime]
optimizer = "adamw"
lr = 3e-3
loss = "mse"
batch_size = 0

[budget]
steps = 4_000

[evaluate]
at = [0]
per_decade = 16
every = 80
"""
ARM = "\n[[arm]]\nregime.init_scale = {0}\nregime.weight_decay = {1}\n"
EXPECT = '\n[[expect]]\nwhere = {{ arm = "init_scale={0} weight_decay={1}" }}\nT_fit = [0, 4_000]\nshare = 0.5\n'
COPIED = ("results/metrics.jsonl", "results/summary.json", "results/history.json", "logs/train.log", ".lock",
          ".claim-000001.json")  # fmt: skip
"""What is the same in every copy; the config differs by the seed, status and verdict are written anew."""


def study_text(seeds: range) -> str:
    text = STUDY.format(seeds=", ".join(map(str, seeds)))
    return text + "".join(ARM.format(*arm) for arm in ARMS) + "".join(EXPECT.format(*arm) for arm in ARMS)


def make(root: Path, count: int) -> None:
    """`count` finished and judged runs, of four arms."""
    from grokscope.study import Study
    from grokscope.verdicts import run_verdicts

    seeds = range(count // len(ARMS))
    (root.parent / "many.toml").write_text(study_text(seeds))
    trained = root.parent / "trained"
    Study.load(root.parent / "many.toml").only(seeds=[0, 1]).run(workers=1, root=trained)
    originals: dict[str, list[Any]] = {}
    for s in Study.load(root.parent / "many.toml").only(seeds=[0, 1]).status(trained):
        originals.setdefault(s.entry.label, []).append((s.run, run_verdicts(s.run)))
    for entry in Study.load(root.parent / "many.toml").entries:
        run, verdicts = originals[entry.label][entry.config.seed % 2]
        _copy(run, verdicts, root / entry.config.run_id(), entry.config.seed)


def _copy(run: Any, verdicts: Any, folder: Path, seed: int) -> None:
    from grokscope.store import Run, kept_verdicts
    from grokscope.store.query import remember

    for name in COPIED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run.path / name, folder / name)
    record = json.loads((run.path / "config.json").read_text())
    record["config"]["seed"] = seed
    (folder / "config.json").write_text(json.dumps(record, indent=1) + "\n")
    shutil.copyfile(run.path / "status.json", folder / "status.json")
    kept_verdicts.keep(Run(folder), kept_verdicts.stamp(Run(folder)) or {}, verdicts)
    remember(Run(folder))  # as the process that trains does


def cost(command: list[str], output: Path) -> dict[str, float]:
    """CPU seconds and peak memory of one command, whose output goes into a file."""
    with open(output, "wb") as file:
        process = subprocess.Popen(command, stdout=file, env={**os.environ, "OMP_NUM_THREADS": "1"})
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return {"cpu_s": round(usage.ru_utime + usage.ru_stime, 2), "peak_mb": round(usage.ru_maxrss / 1024)}


def questions(root: Path) -> dict[str, list[str]]:
    """What is asked, in order: the first `ls` meets no index."""
    study, folder = str(root.parent / "many.toml"), ["--root", str(root)]
    by_verdict = "select verdict, count(*), median(T_gen) from runs group by verdict"
    by_step = "select m.step, avg(id_val_correct) from metrics m group by m.step"
    return {
        "ls": ["ls", *folder],
        "ls again": ["ls", *folder],
        "sql over runs": ["sql", by_verdict, *folder],
        "sql over metrics, no index yet": ["sql", by_step, *folder],
        "sql over metrics": ["sql", by_step, *folder],
        "study status": ["study", "status", study, *folder],
        "study check": ["study", "check", study, *folder],
        "compare 2 arms of 500 runs": ["compare", *(_arm(root, decay) for decay in ("0.1", "0.5"))],
        "report": ["report", str(root), "--out", str(root.parent / "report.html")],
    }


def _arm(root: Path, decay: str) -> str:
    """Five hundred seeds of one arm."""
    return str(root / f"digits_init-scale-4-weight-decay-{decay}_n200_s[1-5][0-9][0-9]-*")


def floor(root: Path) -> dict[str, Any]:
    """Files and bytes of all runs, and the CPU seconds of looking at the three small files of each and reading them."""
    files = [path for path in root.rglob("*") if path.is_file() and ".index" not in path.parts]
    small = [path for path in files if path.name in ("config.json", "status.json", "verdict.json")]
    start = time.process_time()
    size = sum(os.stat(path).st_size for path in small)
    looked = time.process_time() - start
    start = time.process_time()
    for path in small:
        path.read_bytes()
    read = time.process_time() - start
    return {
        "files": len(files), "bytes": sum(path.stat().st_size for path in files), "small_files": len(small),
        "small_bytes": size, "stat_small_cpu_s": round(looked, 2), "read_small_cpu_s": round(read, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="make the folders here, once, and keep them")
    parser.add_argument("--only", nargs="*", help="ask only what begins with one of these, and write no result")
    parser.add_argument("--without", nargs="*", default=[], help="leave out what begins with one of these")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:  # in a process of its own: a measured child starts with its parent's peak
        make(options.make, options.runs)
        return
    with tempfile.TemporaryDirectory() as scratch:
        measure(options.keep or Path(scratch), options.runs, options.only, tuple(options.without))


def measure(place: Path, runs: int, only: list[str] | None, without: tuple[str, ...] = ()) -> None:
    root = place / "runs"
    if not root.exists():
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, __file__, "--make", str(root), "--runs", str(runs)], check=True)
    if not only:
        shutil.rmtree(root / ".index", ignore_errors=True)
    lowest = floor(root)
    print(json.dumps(lowest, indent=1), flush=True)
    costs = {}
    for name, words in questions(root).items():
        if (only and not name.startswith(tuple(only))) or name.startswith(without):
            continue
        costs[name] = cost([sys.executable, "-m", "grokscope.cli", *words], place / "said.txt")
        print(f"{name:<34} {costs[name]['cpu_s']:7.2f} s {costs[name]['peak_mb']:7,.0f} MB", flush=True)
    if not only:
        from common import write_result

        left_out = [name for name in questions(root) if name not in costs]
        targets = {name: 60 if name == "report" else 5 for name in questions(root)}
        write_result("many_runs", {"runs": runs, "floor": lowest, "questions": costs, "not_measured": left_out,
                                   "target_s": targets, "load": os.getloadavg()})  # fmt: skip


if __name__ == "__main__":
    main()
