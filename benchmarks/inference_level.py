"""How often do the tests of hypotheses reject where nothing differs, and how often does the interval hold the truth?

Run: OMP_NUM_THREADS=1 python benchmarks/inference_level.py [--draws 300]. Writes results/inference_level.json here.
Each row: arms of n runs, paired or not, in one situation. Null: the share with p <= .05, one- and two-sided. Truth: the
share of intervals that hold the planted ratio (times), difference (values, shares) or slope, beside the smallest level
that they claimed. Times are log-normal (spread .4); pairs share half of the variance of their logarithm.
"""

import argparse
from collections.abc import Callable
from itertools import product
from math import inf

import numpy as np
from common import write_result

from grokscope.inference.decide import Inverted, ShiftTest
from grokscope.inference.flips import flips
from grokscope.inference.grouped_time import hazard_ratios
from grokscope.inference.ranks import TimedArms
from grokscope.inference.shares import TwoShares
from grokscope.inference.swaps import slope, slopes, swaps
from grokscope.trajectory.logrank import on_one_grid
from grokscope.trajectory.times import Times

LEVEL = 0.05
SIZES = (3, 5, 7, 10)
MEDIAN, SPREAD = 1_200.0, 0.4
RATIO, SHIFT, SHARES, SLOPE = 0.6, 1.0, (0.8, 0.4), 0.5

FINE, COARSE = np.arange(0, 10_001, 10.0), np.arange(0, 10_001, 400.0)
SITUATIONS: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "fine grid": (FINE, FINE),
    "coarse grid, many ties": (COARSE, COARSE),
    "half are censored": (np.arange(0, 1_201, 50.0), np.arange(0, 1_201, 50.0)),
    "mixed grids": (np.arange(0, 10_001, 50.0), COARSE),
    "unequal budgets": (np.arange(0, 1_501, 50.0), np.arange(0, 10_001, 50.0)),
}
"""Name -> the evaluation steps of each arm."""

Draw = Callable[[np.random.Generator, bool], "tuple[Inverted, float] | None"]
"""A sample without (False) or with a planted effect, and that effect; None where nothing can be told."""


def main() -> None:
    """Simulate, print a line per row, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=300)
    draws = parser.parse_args().draws
    rows = [one_row(name, n, draw, draws) for n in SIZES for name, draw in designs(n).items()]
    hazards = [hazard_row(n, draws) for n in (3, 5)]
    write_result("inference_level", {"level": LEVEL, "draws": draws, "rows": rows, "hazard_ratios": hazards})


def designs(n: int) -> dict[str, Draw]:
    """Everything that is simulated with n runs in an arm."""
    out: dict[str, Draw] = {}
    for name, grids in SITUATIONS.items():
        for paired in (False, True):
            out[f"times, {'paired' if paired else 'unpaired'}, {name}"] = times(n, grids, paired)
    out["values, paired"] = lambda rng, planted: paired_values(rng, n, planted)
    out["values, unpaired, rounded"] = lambda rng, planted: values(rng, n, planted)
    out["shares"] = lambda rng, planted: shares(rng, n, planted)
    out["slope within seeds"] = lambda rng, planted: slope_within(rng, n, planted)
    return out


def one_row(name: str, n: int, draw: Draw, draws: int) -> dict[str, float | str]:
    """Rejections and coverage of one design."""
    rng = np.random.default_rng([n, *name.encode()])
    counts = {"one-sided": 0, "two-sided": 0}
    told = covered = bounded = 0
    claimed = 1.0
    for _ in range(draws):
        sample = draw(rng, False)
        if sample is not None:
            ps = sample[0].p()
            counts["one-sided"] += ps["less"] <= LEVEL
            counts["two-sided"] += ps["two-sided"] <= LEVEL
        sample = draw(rng, True)
        interval, level = (None, 1.0) if sample is None else sample[0].interval(LEVEL)
        if sample is not None and interval is not None:
            told, claimed = told + 1, min(claimed, level)
            covered += interval[0] <= sample[1] <= interval[1]
            bounded += interval[1] < inf and interval[0] > -inf
    row: dict[str, float | str] = {
        "design": name, "n": n, **{side: count / draws for side, count in counts.items()}, "claimed": claimed,
        "coverage": covered / told if told else 1.0, "told": told / draws, "bounded": bounded / draws,
    }  # fmt: skip
    print(row, flush=True)
    return row


def times(n: int, grids: tuple[np.ndarray, np.ndarray], paired: bool) -> Draw:
    """Two arms on their evaluation steps."""

    def draw(rng: np.random.Generator, planted: bool) -> tuple[Inverted, float] | None:
        ratio = RATIO if planted else 1.0
        shared = rng.standard_normal(n) * np.sqrt(0.5) if paired else np.zeros(n)
        own = np.sqrt(0.5) if paired else 1.0
        logs = [SPREAD * (shared + own * rng.standard_normal(n)) for _ in grids]
        a, b = (seen_on(MEDIAN * r * np.exp(x), g) for r, x, g in zip((ratio, 1.0), logs, grids, strict=True))
        same = on_one_grid(a, b)
        if isinstance(same, str):
            return None
        ends = float(grids[0][-1]), float(grids[1][-1])
        return TimedArms(a=same[0], b=same[1], a_end=ends[0], b_end=ends[1], paired=paired), ratio

    return draw


def seen_on(moments: np.ndarray, grid: np.ndarray) -> Times:
    """What runs that reach it at `moments` (n,) show when they are evaluated at the steps of `grid`."""
    row = np.searchsorted(grid, moments, "left")
    reached = row < len(grid)
    row = np.minimum(row, len(grid) - 1)
    before = np.where(reached & (row > 0), grid[row - 1], -inf)
    return Times(before=before, at=grid[row], observed=reached, grids=(grid,) * len(moments))


def paired_values(rng: np.random.Generator, n: int, planted: bool) -> tuple[Inverted, float]:
    """Differences of heavy tails."""
    shift = SHIFT if planted else 0.0
    d = rng.standard_t(3, n) + shift
    return ShiftTest(flips(d), float(d.mean()), (n,), "sign patterns"), shift


def values(rng: np.random.Generator, n: int, planted: bool) -> tuple[Inverted, float]:
    """Rounded to halves, so that many are tied."""
    shift = SHIFT if planted else 0.0
    a, b = (np.round(2 * rng.standard_normal(n)) / 2 for _ in range(2))
    a = a + shift
    return ShiftTest(swaps(a, b), float(a.mean() - b.mean()), (n, n), "arrangements"), shift


def shares(rng: np.random.Generator, n: int, planted: bool) -> tuple[Inverted, float]:
    """Verdicts of two arms."""
    pa, pb = SHARES if planted else (SHARES[1], SHARES[1])
    return TwoShares((int(rng.binomial(n, pa)), n), (int(rng.binomial(n, pb)), n)), pa - pb


def slope_within(rng: np.random.Generator, n: int, planted: bool) -> tuple[Inverted, float]:
    """n seeds, each with all three values of an axis, and a level of its own."""
    x, seeds = np.tile([0.0, 1.0, 2.0], n), np.repeat(np.arange(n), 3)
    beta = SLOPE if planted else 0.0
    y = beta * x + 3 * rng.standard_normal(n)[seeds] + rng.standard_normal(3 * n)
    return ShiftTest(slopes(x, y, seeds), slope(x, y, seeds), (3 * n,), "permutations"), beta


def hazard_row(n: int, draws: int) -> dict[str, float | list[float]]:
    """A full factorial of three factors with n seeds, hazard ratios e, e ** -.5 and 1, evaluated every 50 steps up to
    600: how often the grouped-time model estimates them, and how often its intervals hold each."""
    rng = np.random.default_rng(n)
    x = np.repeat(np.array(list(product((-0.5, 0.5), repeat=3))), n, axis=0)
    log_ratios, grid = np.array([1.0, -0.5, 0.0]), np.arange(0, 601, 50.0)
    held, told = np.zeros(3), 0
    for _ in range(draws):
        moments = rng.exponential(300 / np.exp(x @ log_ratios))
        ratios = hazard_ratios(seen_on(moments, grid), x)
        if ratios is not None:
            told += 1
            held += (ratios[:, 1] <= np.exp(log_ratios)) & (np.exp(log_ratios) <= ratios[:, 2])
    row: dict[str, float | list[float]] = {"n": n, "told": told / draws, "coverage": (held / max(told, 1)).tolist()}
    print(row, flush=True)
    return row


def bounds_kept(row: dict[str, float | str], draws: int) -> bool:
    """Whether a row keeps to its level by two Monte Carlo errors, and to the claimed coverage less .02 by as much."""
    error = 2 * np.sqrt(LEVEL * (1 - LEVEL) / draws)
    claimed = float(row["claimed"])
    slack = 0.02 + 2 * np.sqrt(max(claimed * (1 - claimed), 1e-9) / draws)
    level_kept = max(float(row["one-sided"]), float(row["two-sided"])) <= LEVEL + error
    return bool(level_kept and float(row["coverage"]) >= claimed - slack)


if __name__ == "__main__":
    main()
