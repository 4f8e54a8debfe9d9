"""How often does the log-rank test reject two groups of equal runs that were evaluated on grids of 50 and of 500 steps?

Run: OMP_NUM_THREADS=1 python benchmarks/mixed_grids.py [--pairs 200]. Writes benchmarks/results/mixed_grids.json.
Each row: pairs of groups of n runs whose T_gen is log-normal with median 1,250; its spread; the share of pairs with
p <= .05 as grokscope tests them (on the evaluations that all runs had) and on `at` as it stands; and the same for one
grid of 50 with budgets of 1,000 and 10,000 steps, of which the shorter cuts off most runs.
"""

import argparse

import numpy as np
from common import write_result

from grokscope.trajectory import Times, logrank

LEVEL = 0.05


def main() -> None:
    """Simulate, print a line per row, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=200)
    pairs = parser.parse_args().pairs
    rows = [one_row(n, spread, pairs) for n in (5, 10, 20) for spread in (0.15, 0.25, 0.5)]
    write_result("mixed_grids", {"level": LEVEL, "pairs": pairs, "rows": rows})


def one_row(n: int, spread: float, pairs: int) -> dict[str, float]:
    """Rejections among so many pairs of groups of n runs."""
    rng = np.random.default_rng([n, round(100 * spread)])
    counts = {"common_grid": 0, "uncorrected": 0, "unequal_budgets": 0}
    fine, coarse, short = np.arange(0, 10_001, 50), np.arange(0, 10_001, 500), np.arange(0, 1_001, 50)
    for _ in range(pairs):
        moments = 1_250 * np.exp(spread * rng.standard_normal((2, n)))
        a, b = seen_on(moments[0], fine), seen_on(moments[1], coarse)
        counts["common_grid"] += rejects(logrank(a, b).p)
        counts["uncorrected"] += rejects(logrank((a.at, a.observed), (b.at, b.observed)).p)
        counts["unequal_budgets"] += rejects(logrank(seen_on(moments[0], short), seen_on(moments[1], fine)).p)
    row = {"n": n, "spread": spread, **{name: count / pairs for name, count in counts.items()}}
    print(row, flush=True)
    return row


def seen_on(moments: np.ndarray, grid: np.ndarray) -> Times:
    """What runs that reach it at `moments` (n,) show when they are evaluated at the steps of `grid`."""
    row = np.searchsorted(grid, moments, "left")
    reached = row < len(grid)
    row = np.minimum(row, len(grid) - 1)
    before = np.where(reached & (row > 0), grid[row - 1], -np.inf)
    return Times(before=before, at=grid[row].astype(float), observed=reached, grids=(grid,) * len(moments))


def rejects(p: float | None) -> bool:
    return p is not None and p <= LEVEL


if __name__ == "__main__":
    main()
