"""CPU seconds and peak memory of every question about ten thousand finished runs, each asked by a process of its own.

The folders are what training leaves, weights and resume states apart: eight runs of the digits recipe are trained and
judged, and copied under other seeds, with the verdict and columns that each run's own process kept beside it. The floor
is what any answer has to do: stat the files, read them; of the metrics, parse them or read the kept columns. Numbers
repeat from copy to copy, so the Parquet index is smaller here than that of as many different runs.

    python benchmarks/many_runs.py [--runs 10000] [--keep FOLDER] [--only ls study] [--without report] [--merge]

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
from collections.abc import Callable
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
HYPOTHESIS = """
[[hypothesis]]
name = "more decay generalizes sooner"
quantity = "T_gen"
of = { arm = "init_scale=4 weight_decay=0.5" }
to = { arm = "init_scale=4 weight_decay=0.1" }
direction = "earlier"
"""
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
    tested, copied = str(root.parent / "many_tested.toml"), ["--root", str(root.parent / "copied")]
    by_verdict = "select verdict, count(*), median(T_gen) from runs group by verdict"
    by_step = "select m.step, avg(id_val_correct) from metrics m group by m.step"
    return {
        "ls": ["ls", *folder],
        "ls again": ["ls", *folder],
        "sql over runs": ["sql", by_verdict, *folder],
        "sql over metrics, no index yet": ["sql", by_step, *folder],
        "sql over metrics": ["sql", by_step, *folder],
        "sql over metrics of copied runs": ["sql", by_step, *copied],
        "study status": ["study", "status", study, *folder],
        "study check": ["study", "check", study, *folder],
        "study test of times": ["study", "test", tested, *folder],
        "compare 2 arms of 500 runs": ["compare", *(_arm(root, decay, "[1-5][0-9][0-9]") for decay in ("0.1", "0.5"))],
        "compare 2 arms of 2500 runs": ["compare", *(_arm(root, decay, "*") for decay in ("0.1", "0.5"))],
        "report": ["report", str(root), "--out", str(root.parent / "report.html")],
    }


def _arm(root: Path, decay: str, seeds: str) -> str:
    """One arm's runs of some seeds."""
    return str(root / f"digits_init-scale-4-weight-decay-{decay}_n200_s{seeds}-*")


def copy_bare(root: Path) -> None:
    """The runs as they come from elsewhere, beside them: of what is kept nothing is believed, so it is not copied."""
    for run in root.iterdir():
        if (run / "config.json").exists():
            for name in ("config.json", "status.json", "results/metrics.jsonl"):
                copy = root.parent / "copied" / run.name / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(run / name, copy)


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
        **metrics_floor(root),
        "files": len(files), "bytes": sum(path.stat().st_size for path in files), "small_files": len(small),
        "small_bytes": size, "stat_small_cpu_s": round(looked, 2), "read_small_cpu_s": round(read, 2),
    }  # fmt: skip


def metrics_floor(root: Path) -> dict[str, Any]:
    """Bytes of the metrics, and the CPU seconds of one core for reading them, for parsing them by Python and by DuckDB,
    and for reading the columns that training left beside them."""
    import duckdb

    from grokscope.store import find_runs

    runs = find_runs(root)
    files = [run.path / "results" / "metrics.jsonl" for run in runs]
    names = {name for path in files[:8] for line in path.read_text().splitlines() for name in json.loads(line)}
    columns = ", ".join(f"'{name}': '{'BIGINT' if name == 'step' else 'DOUBLE'}'" for name in sorted(names))
    query = f"select max(columns(*)) from read_json(?, format = 'newline_delimited', columns = {{{columns}}})"
    connection, named = duckdb.connect(config={"threads": 1}), [str(path) for path in files]
    return {
        "metrics_bytes": sum(path.stat().st_size for path in files),
        "read_metrics_cpu_s": _cpu(lambda: [len(path.read_bytes()) for path in files]),
        "parse_by_python_cpu_s": _cpu(lambda: [_parsed(path) for path in files]),
        "parse_by_duckdb_cpu_s": _cpu(lambda: connection.execute(query, [named]).fetchall()),
        "read_columns_cpu_s": _cpu(lambda: [_kept(run) for run in runs]),
    }


def _parsed(path: Path) -> int:
    return len([json.loads(line) for line in path.read_bytes().splitlines()])


def _kept(run: Any) -> int:
    from grokscope.store import kept_columns

    if (table := kept_columns.recall(run.path)) is None:
        raise RuntimeError(f"{run.path} has no kept columns that fit its metrics")
    return len(table)


def _cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return round(time.process_time() - start, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="make the folders here, once, and keep them")
    parser.add_argument("--only", nargs="*", help="ask only what begins with one of these, and write no result")
    parser.add_argument("--without", nargs="*", default=[], help="leave out what begins with one of these")
    parser.add_argument(
        "--merge", action="store_true", help="write what is asked into the stored result, keep the rest"
    )
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--floor", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:  # these in processes of their own: a measured child starts with its parent's peak
        make(options.make, options.runs)
        return
    if options.floor:
        print(json.dumps(floor(options.floor), indent=1))
        return
    with tempfile.TemporaryDirectory() as scratch:
        measure(options.keep or Path(scratch), options.runs, options.only, tuple(options.without), options.merge)


def measure(place: Path, runs: int, only: list[str] | None, without: tuple[str, ...], merge: bool) -> None:
    root = place / "runs"
    if not root.exists():
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, __file__, "--make", str(root), "--runs", str(runs)], check=True)
    (place / "many_tested.toml").write_text((place / "many.toml").read_text() + HYPOTHESIS)
    if not only:
        shutil.rmtree(root / ".index", ignore_errors=True)
    command = [sys.executable, __file__, "--floor", str(root)]
    lowest = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    print(json.dumps(lowest, indent=1), flush=True)
    costs = {}
    for name, words in questions(root).items():
        if (only and not name.startswith(tuple(only))) or (without and name.startswith(without)):
            continue
        copied = "copied" in name
        if copied:
            copy_bare(root)
        before = os.getloadavg()[0]
        costs[name] = cost([sys.executable, "-m", "grokscope.cli", *words], place / "said.txt")
        costs[name]["load"] = round(max(before, os.getloadavg()[0]), 1)
        if copied:
            shutil.rmtree(place / "copied")
        print(f"{name:<34} {costs[name]['cpu_s']:7.2f} s {costs[name]['peak_mb']:7,.0f} MB", flush=True)
    if merge or not only:
        write(root, runs, lowest, costs, merge)


def write(root: Path, runs: int, lowest: dict[str, Any], costs: dict[str, Any], merge: bool) -> None:
    """Write the result. With `merge`, questions that were not asked keep the numbers that are stored; each names the
    load of the machine when it was asked."""
    from common import write_result

    stored = Path(__file__).parent / "results" / "many_runs.json"
    if merge and stored.exists():
        earlier = json.loads(stored.read_text())["result"]
        if earlier["runs"] != runs:
            raise ValueError(f"{stored} is of {earlier['runs']} runs, not of {runs}: measure all questions")
        load = earlier["load"][0]
        costs = {**{name: {"load": round(load, 1), **c} for name, c in earlier["questions"].items()}, **costs}
    names = list(questions(root))
    costs = {name: costs[name] for name in names if name in costs}
    loads = [c["load"] for c in costs.values()]
    write_result("many_runs", {"runs": runs, "floor": lowest, "questions": costs,
                               "not_measured": [name for name in names if name not in costs],
                               "target_s": {name: 60 if name == "report" else 5 for name in names},
                               "load": [max(loads), min(loads)]})  # fmt: skip


if __name__ == "__main__":
    main()
