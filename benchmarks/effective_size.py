"""How often the sizes between which an effective sample size is said to lie hold the true one; and what other intervals
for the size that was read off would have done.

Plain curves of known shape over four sizes, 3 to 8 seeds, an arm that does what the plain one does at a known size:
between two sizes, at one of them, beyond the largest, at its own (nothing to find). Noise of seeds is normal, skewed
or two-valued; seeds are shared between sizes and arms, or not. Beside it a percentile bootstrap over
seeds of the size read off, and how often the curve is said to fall.

    python benchmarks/effective_size.py [--draws 200] [--curves "power law" "sudden rise at 220"]
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from common import write_result
from scipy.optimize import isotonic_regression

from grokscope.inference.effective_size import Plain, falls, read_off

SIZES = np.array([100, 200, 400, 800])
OWN = 100
"""Size at which the other arm is trained."""
CURVES: dict[str, Callable[[Any], Any]] = {
    "power law": lambda n: 0.95 - 0.9 * n**-0.25,
    "sudden rise at 220": lambda n: 0.9 / (1 + np.exp(-3 * np.log(n / 220))),
    "nearly flat": lambda n: 0.7 + 0.02 * np.log(n / 100),
}
TRUTHS = (100, 200, 283, 1200)
SEEDS = (3, 5, 8)
SEED_SD, NOISE_SD = 0.01, 0.02
RESAMPLES, BOOTSTRAPPED = 100, 60
"""Of the bootstrap, for so many of the draws, where noise is normal and seeds are shared."""


@dataclass(frozen=True)
class Cell:
    curve: str
    truth: int
    seeds: int
    noise: str
    paired: bool


def noise(kind: str, rng: np.random.Generator, shape: Any) -> np.ndarray:
    """Of mean 0 and standard deviation 1."""
    if kind == "normal":
        return rng.normal(size=shape)
    if kind == "skewed":
        return rng.exponential(size=shape) - 1
    return np.where(rng.random(shape) < 0.3, 1.5275, -0.6547)


def draw(cell: Cell, rng: np.random.Generator) -> tuple[Plain, np.ndarray]:
    curve, own = CURVES[cell.curve], SEED_SD * rng.normal(size=cell.seeds)
    plain = curve(SIZES)[:, None] + own + NOISE_SD * noise(cell.noise, rng, (len(SIZES), cell.seeds))
    shift = own if cell.paired else SEED_SD * rng.normal(size=cell.seeds)
    return Plain(SIZES, plain), curve(cell.truth) + shift + NOISE_SD * noise(cell.noise, rng, cell.seeds)


def bootstrap_holds(plain: Plain, other: np.ndarray, truth: int, rng: np.random.Generator) -> bool:
    """Whether the percentile interval of the size read off holds the truth; beyond the sizes it is open."""
    count, logs = len(other), np.log(plain.sizes)
    sizes = []
    for _ in range(RESAMPLES):
        pick = rng.integers(0, count, count)
        fit = isotonic_regression(plain.values[:, pick].mean(axis=1)).x
        value = other[pick].mean()
        if value < fit[0] or value > fit[-1]:
            sizes.append(-np.inf if value < fit[0] else np.inf)
        else:
            sizes.append(float(np.interp(value, fit + 1e-12 * np.arange(len(fit)), logs)))
    low, high = np.quantile(sizes, [0.025, 0.975], method="nearest")
    return bool(low <= np.log(truth) <= high)


def measured(cell: Cell, draws: int) -> dict[str, Any]:
    rng = np.random.default_rng([*map(ord, str(cell))])
    counts: Counter[str] = Counter()
    levels, spread = [], []
    for i in range(draws):
        plain, other = draw(cell, rng)
        found = read_off(plain, other, paired=cell.paired)
        low, high = found.low or 0, found.high or np.inf
        levels.append(found.level)
        counts["holds"] += low < cell.truth < high
        counts["called larger"] += low >= OWN
        counts["called smaller"] += high <= OWN
        counts["said to fall"] += bool(falls(plain))
        if i < BOOTSTRAPPED and cell.paired and cell.noise == "normal":
            counts["bootstrap holds"] += bootstrap_holds(plain, other, cell.truth, rng)
        spread.append(np.log2(min(high, 2 * SIZES[-1]) / max(low, SIZES[0] / 2)))
    of = {"bootstrap holds": min(draws, BOOTSTRAPPED)}
    shares = {name: round(count / of.get(name, draws), 4) for name, count in counts.items()}
    return {**vars(cell), "level": round(levels[0], 4), "doublings": round(float(np.mean(spread)), 2), **shares}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--curves", nargs="+", choices=list(CURVES), default=list(CURVES))
    args = parser.parse_args()
    rows = []
    ways = (("normal", True), ("skewed", True), ("two values", True), ("normal", False))
    for curve, truth, seeds, (kind, paired) in product(args.curves, TRUTHS, SEEDS, ways):
        rows.append(measured(Cell(curve, truth, seeds, kind, paired), args.draws))
        print(rows[-1], flush=True)
    worst = min(rows, key=lambda row: row["holds"] - row["level"])
    write_result("effective_size", {"draws": args.draws, "curves": args.curves, "worst": worst, "rows": rows})


if __name__ == "__main__":
    main()
