"""Score the dissection on planted shortcuts and ship the result: how often each verdict is raised where nothing is,
where the head ignores the shortcut, and where it uses it.

Run: OMP_NUM_THREADS=1 python benchmarks/calibration.py [--seeds 50] [--only wide]. Writes
src/grokscope/dissect/calibration.json.
"""

import argparse
import time
from dataclasses import asdict

from grokscope.dissect.calibrate import BASE, CONDITIONS, POWER, SHIPPED, Row, calibrate, overview, shipped, told_apart
from grokscope.store.files import write_json
from grokscope.store.provenance import provenance


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--only", nargs="*", default=[], help="conditions to run again; the others stay as shipped")
    options = parser.parse_args()
    start = time.process_time()
    rows: list[Row] = []
    chosen = {n: w for n, w in {**CONDITIONS, **POWER}.items() if n in options.only or not options.only}
    for name, what in chosen.items():
        rows += calibrate(range(options.seeds), {name: what})
        show(overview(rows[-options.seeds :]))
    if options.only:
        old = shipped()
        write_json(SHIPPED, {**old, "conditions": {**old["conditions"], **overview(rows)}})
        return
    by = {c: [r for r in rows if r.condition == c] for c in ("concentrated", "smeared")}
    result = {
        "seeds": options.seeds,
        "base": asdict(BASE),
        "conditions": overview(rows),
        "concentrated_told_from_smeared": told_apart(by["concentrated"], by["smeared"]),
        "processor_seconds": round(time.process_time() - start),
        "packages": provenance()["packages"],
    }
    write_json(SHIPPED, result)
    print(
        f"told apart {result['concentrated_told_from_smeared']:.3f}; {result['processor_seconds']} s; wrote {SHIPPED}"
    )


def show(found: dict) -> None:
    for name, c in found.items():
        print(f"{name:20s}", *(f"{flag} {r[0]:.2f}" for flag, r in c["rates"].items()), sep="  ")
        recovered = (
            f"cosine {c['cosine']:.3f} (predicted {c['predicted_cosine'] or 0:.3f}), precision {c['precision']:.2f}"
        )
        print(f"{'':22s}{recovered}, half K {c['half_k']}, {c['form']}, {c['cell']}", flush=True)


if __name__ == "__main__":
    main()
