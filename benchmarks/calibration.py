"""Score the dissection on planted shortcuts and ship the result: how often each verdict is raised where nothing is,
where the head ignores the shortcut, and where it uses it.

Run: OMP_NUM_THREADS=1 python benchmarks/calibration.py [--seeds 50] [--null-seeds 200] [--only wide]. Writes
src/grokscope/results/calibration.json. Conditions in which nothing is used come first, since false findings are what
a level is about.
"""

import argparse
import time
from dataclasses import asdict, replace

from grokscope.dissect.calibrate import BASE, PLANTED, Row, calibrate, nothing_used, overview, told_apart
from grokscope.results.calibration import SHIPPED, Calibration, Condition, shipped
from grokscope.store.provenance import provenance


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--null-seeds", type=int, help="draws where nothing is used; as many as --seeds if not given")
    parser.add_argument("--only", nargs="*", default=[], help="conditions to run again; the others stay as shipped")
    options = parser.parse_args()
    start = time.process_time()
    rows: list[Row] = []
    chosen = {n: w for n, w in PLANTED.items() if n in options.only or not options.only}
    for name, what in sorted(chosen.items(), key=lambda pair: not nothing_used(pair[1])):
        draws = options.null_seeds if options.null_seeds and nothing_used(what) else options.seeds
        here = calibrate(range(draws), {name: what})
        rows += here
        show(overview(here))
        if options.only:
            old = shipped()
            replace(old, conditions={**old.conditions, **overview(here)}).write(SHIPPED)
    if options.only:
        return
    by = {c: [r for r in rows if r.condition == c] for c in ("concentrated", "smeared")}
    result = Calibration(
        schema=Calibration.SCHEMA,
        seeds=options.seeds,
        base=asdict(BASE),
        conditions=overview(rows),
        concentrated_told_from_smeared=told_apart(by["concentrated"], by["smeared"]),
        processor_seconds=round(time.process_time() - start),
        packages=provenance()["packages"],
    )
    result.write(SHIPPED)
    print(f"told apart {result.concentrated_told_from_smeared:.3f}; {result.processor_seconds} s; wrote {SHIPPED}")


def show(conditions: dict[str, Condition]) -> None:
    for name, c in conditions.items():
        print(f"{name:20s}", *(f"{flag} {share:.2f}" for flag, (share, *_) in c.rates.items()), sep="  ")
        recovered = f"cosine {c.cosine:.3f} (predicted {c.predicted_cosine or 0:.3f}), precision {c.precision:.2f}"
        print(f"{'':22s}{recovered}, half K {c.half_k}, {c.form}, {c.cell}", flush=True)


if __name__ == "__main__":
    main()
