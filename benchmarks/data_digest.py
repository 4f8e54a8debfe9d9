"""What the digest of a run's data costs, beside drawing the data: printed as a share.

Run: OMP_NUM_THREADS=1 python benchmarks/data_digest.py
"""

import time

from grokscope import registry
from grokscope.tasks.digest import split_digests

TASKS = {
    "modular": {"p": 113},
    "digits": {},
    "hospitals": {"n_train": 1000, "n_eval": 500},
}


def main() -> None:
    for name, settings in TASKS.items():
        task = registry.load("task", name)(**settings)
        start = time.perf_counter()
        data = task.build(0)
        drawn = time.perf_counter()
        split_digests(data)
        end = time.perf_counter()
        size = sum(s.x.nbytes for s in data.splits.values())
        print(
            f"{name}: {size / 1e6:.1f} MB, drawn in {drawn - start:.3f} s, digest in {end - drawn:.4f} s "
            f"({(end - drawn) / (drawn - start):.2%} of drawing)"
        )


if __name__ == "__main__":
    main()
