"""Score the dissection on planted shortcuts and ship the result: how often each verdict is raised where nothing is,
where the head ignores the shortcut, and where it uses it.

Run: OMP_NUM_THREADS=1 python benchmarks/calibration.py [--seeds 50] [--null-seeds 200] [--workers 16] [--only wide].
Writes src/grokscope/results/calibration.json after each condition, and the tables of docs/explanation/dissection.md in
the end. The same command again goes on: conditions that are shipped with as many plantings and under the rules of today
are left as they are, unless they are named by --only. Conditions in which nothing is used come first, since false
findings are what a level is about; the two of 512 features come last.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context

from calibration_tables import write_tables

from grokscope.dissect.calibrate import BASE, PLANTED, Row, calibrate, nothing_used, overview, told_apart
from grokscope.dissect.planted import Planting
from grokscope.results.calibration import SHIPPED, Calibration, Condition, shipped
from grokscope.results.dissection import RULES
from grokscope.store.provenance import provenance

PAIR = ("concentrated", "smeared")
"""Told apart by their rows, which are not shipped: neither is left out without the other."""
CHUNK = 5
"""Plantings that a worker takes at a time."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50, help="plantings of each condition where something is used")
    parser.add_argument("--null-seeds", type=int, help="where nothing is used; as many as --seeds if not given")
    parser.add_argument("--only", nargs="*", default=[], help="conditions to measure again whatever is shipped of them")
    parser.add_argument("--workers", type=int, default=1, help="processes, of one thread each")
    options = parser.parse_args()
    unknown = [name for name in options.only if name not in PLANTED]
    if unknown or options.workers < 1:
        parser.error(
            f"unknown conditions {unknown}; known: {', '.join(PLANTED)}" if unknown else "--workers: 1 or more"
        )
    counts = {name: _count(name, options.seeds, options.null_seeds) for name in PLANTED}
    wanted = tuple(name for name in PLANTED if name in options.only) or unfinished(counts)
    print(f"{len(wanted)} of {len(PLANTED)} conditions to measure, {sum(counts[n] for n in wanted):,} plantings")
    measure({name: counts[name] for name in sorted(wanted, key=_turn)}, options.workers)
    write_tables()


def _count(name: str, seeds: int, null_seeds: int | None) -> int:
    return null_seeds if null_seeds and nothing_used(PLANTED[name]) else seeds


def _turn(name: str) -> tuple[bool, bool]:
    """Where nothing is used comes first, what costs ten times as much last: a machine may be lent for minutes."""
    return PLANTED[name].d > BASE.d, not nothing_used(PLANTED[name])


def unfinished(counts: dict[str, int]) -> tuple[str, ...]:
    """Conditions that are not shipped with so many plantings under the rules of today."""
    done = {name for name, c in shipped().conditions.items() if c.rules == RULES and c.seeds >= counts.get(name, 0)}
    if not done.issuperset(PAIR):
        done -= set(PAIR)
    return tuple(name for name in PLANTED if name not in done)


def measure(counts: dict[str, int], workers: int) -> None:
    """Measure so many plantings of each condition, and ship each condition as soon as it is whole."""
    rows: dict[str, list[Row]] = {name: [] for name in counts}
    # the cost of a file whose conditions were measured in several goes is that of all of them
    seconds = 0.0 if counts.keys() == PLANTED.keys() else shipped().processor_seconds
    start = time.monotonic()
    planned, planted = sum(counts.values()), 0
    for name, chunk, cost in scored(counts, workers):
        rows[name] += chunk
        seconds, planted = seconds + cost, planted + len(chunk)
        if len(rows[name]) < counts[name]:
            continue
        rows[name].sort(key=lambda row: row.seed)
        here = overview(rows[name])
        ship(here, rows, seconds)
        show(here)
        left = (time.monotonic() - start) / planted * (planned - planted) / 60
        print(f"{planted:,} of {planned:,} plantings, about {left:.0f} minutes left", file=sys.stderr, flush=True)


def scored(counts: dict[str, int], workers: int) -> Iterator[tuple[str, list[Row], float]]:
    """Rows as they come, with the condition and the processor seconds they cost."""
    tasks = [
        (name, PLANTED[name], range(first, min(first + CHUNK, count)))
        for name, count in counts.items()
        for first in range(0, count, CHUNK)
    ]
    if workers == 1:
        yield from (score(*task) for task in tasks)
        return
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of the processes that start now
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from (future.result() for future in as_completed([pool.submit(score, *task) for task in tasks]))


def score(name: str, what: Planting, seeds: range) -> tuple[str, list[Row], float]:
    start = time.process_time()
    rows = calibrate(seeds, {name: what})
    return name, rows, time.process_time() - start


def ship(here: dict[str, Condition], rows: dict[str, list[Row]], seconds: float) -> None:
    """Put measured conditions into the shipped file, in the order of `PLANTED`; those that are planted no more leave
    it."""
    old = shipped()
    conditions = {**old.conditions, **here}
    apart = old.concentrated_told_from_smeared
    if here.keys() & set(PAIR) and all(len(rows.get(name, ())) == conditions[name].seeds for name in PAIR):
        apart = told_apart(*(rows[name] for name in PAIR))
    Calibration(
        schema=Calibration.SCHEMA,
        seeds=max(c.seeds for c in conditions.values() if not c.nothing_used),
        base=asdict(BASE),
        conditions={name: conditions[name] for name in PLANTED if name in conditions},
        concentrated_told_from_smeared=apart,
        processor_seconds=round(seconds),
        packages=provenance()["packages"],
    ).write(SHIPPED)


def show(conditions: dict[str, Condition]) -> None:
    for name, c in conditions.items():
        print(f"{name:20s}", *(f"{flag} {share:.2f}" for flag, (share, *_) in c.rates.items()), sep="  ")
        recovered = f"cosine {c.cosine:.3f} (predicted {c.predicted_cosine or 0:.3f}), precision {c.precision:.2f}"
        print(f"{'':22s}{recovered}, half K {c.half_k}, {c.form}, {c.cell}", flush=True)


if __name__ == "__main__":
    main()
