"""Two workers against one on the same runs, start of the workers included, in turn. Target: at least 1.8 times as fast.

python benchmarks/two_workers.py [--steps 6000] [--pairs 3]
"""

import argparse
import statistics
import tempfile
import time

from common import write_result

from grokscope.study import Study


def study(steps: int) -> Study:
    return Study.from_dict(
        {
            "name": "two_workers",
            "seeds": [0, 1, 2, 3, 4, 5],
            "task": {"name": "digits"},
            "model": {"name": "mlp"},
            "regime": {"recipe": "large-init"},
            "budget": {"steps": steps},
        }
    )


def seconds(workers: int, steps: int) -> float:
    with tempfile.TemporaryDirectory() as root:
        start = time.perf_counter()
        study(steps).run(workers=workers, root=root)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    pairs = [(seconds(1, given.steps), seconds(2, given.steps)) for _ in range(given.pairs)]
    ratios = [one / two for one, two in pairs]
    for (one, two), ratio in zip(pairs, ratios, strict=True):
        print(f"one worker {one:6.1f} s   two workers {two:6.1f} s   ratio {ratio:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f} (target >= 1.8)")
    result = {"steps": given.steps, "pairs": pairs, "ratios": ratios, "median": statistics.median(ratios)}
    write_result("two_workers", {**result, "target": 1.8})


if __name__ == "__main__":
    main()
