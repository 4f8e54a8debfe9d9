"""How often slow noise on a flat curve is called `ungrokked`, and how often a true decay is.

Flat curves, grokked curves that hover around a level, and decays, with first-order autoregressive noise, fitted from an
early evaluation on, judged as any log is. On the log-spaced grid the noise is correlated either from evaluation to
evaluation, or over time (rho between evaluations at the median distance): nobody knows which is true of a run. Writes
the shares called `ungrokked` and called so robustly, from which the table of `grokscope.trajectory.slow_noise` is.

    python benchmarks/slow_noise.py [--curves 200]
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from common import write_result

from grokscope.trajectory import Trajectory, Verdict, verdict
from grokscope.trajectory.peak_bias import ar1

RHO = (0.0, 0.5, 0.8, 0.95)
LENGTHS = (30, 61, 200)
NOISE = (0.01, 0.03)
LAST = 3000
GRIDS = ("even", "log", "log, noise over time")
FALLS = ("straight fall from .75 to .60", "decay from .75 to .60", "sudden fall from .75 to .60")


@dataclass(frozen=True)
class Cell:
    course: str
    grid: str
    rows: int
    sd: float
    rho: float

    def __str__(self) -> str:
        return f"{self.course}, {self.grid} grid, {self.rows} evaluations, noise {self.sd}, rho {self.rho}"


def steps(cell: Cell) -> np.ndarray:
    if cell.grid == "even":
        return np.r_[1, np.arange(1, cell.rows) * LAST / (cell.rows - 1)]
    return np.geomspace(LAST / 1000, LAST, cell.rows)


def course(name: str, x: np.ndarray) -> np.ndarray:
    """What the network does at each share of the time, without noise."""
    since = np.clip((x - 0.1) / 0.9, 0, 1)
    early_rise = np.clip((x - 0.03) / 0.2, 0, 1) ** 2
    return {
        "flat": np.full(len(x), 0.66),
        "grokked, hovering around .80": 0.5 + 0.3 * early_rise,
        "grokked, hovering around .95": 0.5 + 0.45 * early_rise,
        "straight fall from .75 to .60": 0.75 - 0.15 * since,
        "decay from .75 to .60": 0.6 + 0.15 * np.exp(-5 * since),
        "sudden fall from .75 to .60": np.where(x < 0.5, 0.75, 0.6),
        "decay from .70 to .65": 0.65 + 0.05 * np.exp(-5 * since),
    }[name]


def noise(cell: Cell, step: np.ndarray, curves: int) -> np.ndarray:
    """(curves, t) of variance 1."""
    rng = np.random.default_rng([round(1000 * cell.rho), cell.rows, GRIDS.index(cell.grid)])
    if not cell.grid.endswith("over time"):
        return ar1(rng, cell.rho, curves, cell.rows)
    apart = np.diff(step)
    rho = cell.rho ** (apart / np.median(apart))
    out = rng.standard_normal((curves, cell.rows))
    for i in range(1, cell.rows):
        out[:, i] = rho[i - 1] * out[:, i - 1] + np.sqrt(1 - rho[i - 1] ** 2) * out[:, i]
    return out


def measured(cell: Cell, curves: int) -> dict[str, float | None]:
    """Shares of curves called `ungrokked`, and robustly so, and the median estimate of rho among these."""
    step = steps(cell)
    clean = course(cell.course, step / LAST)
    found = [ungrokked(step, np.clip(clean + cell.sd * z, 0, 1)) for z in noise(cell, step, curves)]
    called = [v for v in found if v is not None]
    estimates = [v.evidence["luck"]["rho"] for v in called if v.evidence["luck"]["rho"] is not None]
    return {
        "called": len(called) / curves,
        "robust": sum(v.robust for v in called) / curves,
        "rho": float(np.median(estimates)) if estimates else None,
    }


def ungrokked(step: np.ndarray, held: np.ndarray) -> Verdict | None:
    """The verdict if it is `ungrokked`; whether it is robust is asked of these only."""
    train = np.minimum(1, 0.8 + step / 500)
    log = Trajectory(step=step, train=train, held_out={"ood": held}, threshold=0.95, trivial={"train": 0.5, "ood": 0.5})
    return verdict(log) if verdict(log, neighbors=False).verdict == "ungrokked" else None


def null_cells() -> Iterator[Cell]:
    for grid in GRIDS:
        for rows in LENGTHS:
            for sd in NOISE:
                yield from (Cell("flat", grid, rows, sd, rho) for rho in RHO)
    for level, sd in ((".80", 0.1), (".80", 0.2), (".95", 0.03), (".95", 0.1)):
        yield from (Cell(f"grokked, hovering around {level}", "even", 61, sd, rho) for rho in RHO)


def falling_cells() -> Iterator[Cell]:
    for name in FALLS:
        for rows in LENGTHS:
            yield from (Cell(name, "even", rows, 0.01, rho) for rho in RHO)
    for rows in LENGTHS:
        yield from (Cell("decay from .70 to .65", "even", rows, 0.01, rho) for rho in RHO)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--curves", type=int, default=200)
    curves = parser.parse_args().curves
    counts = [(cell, curves) for cell in null_cells()] + [(cell, max(curves // 5, 1)) for cell in falling_cells()]
    result = {}
    for cell, count in counts:
        found = result[str(cell)] = measured(cell, count)
        print(f"{cell}: called {found['called']:.3f}, robust {found['robust']:.3f}, rho {found['rho']}", flush=True)
    write_result("slow_noise", result)


if __name__ == "__main__":
    main()
