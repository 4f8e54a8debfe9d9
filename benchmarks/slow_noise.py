"""How often slow noise on a flat curve is called `ungrokked`, and how often a true decay is.

Flat curves and decays with first-order autoregressive noise, fitted from an early evaluation on, judged as any log is.
Writes the shares called `ungrokked` and called so robustly, and prints the table of `grokscope.trajectory.slow_noise`.

    python benchmarks/slow_noise.py [--curves 200]
"""

import argparse
from collections.abc import Iterator

import numpy as np
from common import write_result

from grokscope.trajectory import Trajectory, verdict
from grokscope.trajectory.peak_bias import ar1

RHO = (0.0, 0.5, 0.8, 0.95)
LENGTHS = (30, 61, 200)
NOISE = (0.01, 0.03)


def course(name: str, rows: int) -> np.ndarray:
    """What the network does at each evaluation, without noise."""
    x = np.linspace(0, 1, rows)
    since = np.clip((x - 0.1) / 0.9, 0, 1)
    return {
        "flat": np.full(rows, 0.66),
        "straight fall from .75 to .60": 0.75 - 0.15 * since,
        "decay from .75 to .60": 0.6 + 0.15 * np.exp(-5 * since),
        "sudden fall from .75 to .60": np.where(x < 0.5, 0.75, 0.6),
        "decay from .70 to .65": 0.65 + 0.05 * np.exp(-5 * since),
    }[name]


def judged(name: str, rows: int, rho: float, sd: float, curves: int) -> dict[str, float]:
    """Shares of curves called `ungrokked`, and robustly so, and the median estimate of rho among these."""
    step = np.r_[1, np.arange(50, 50 * rows, 50)][:rows]
    noise = ar1(np.random.default_rng(round(1000 * rho) + rows), rho, curves, rows)
    called = robust = 0
    estimates = []
    for held in np.clip(course(name, rows) + sd * noise, 0, 1):
        train = np.minimum(1, 0.8 + step / 500)
        found = verdict(
            Trajectory(
                step=step, train=train, held_out={"ood": held}, threshold=0.95, trivial={"train": 0.5, "ood": 0.5}
            )
        )
        called += found.verdict == "ungrokked"
        robust += found.verdict == "ungrokked" and found.robust
        if found.verdict == "ungrokked":
            estimates.append(found.evidence["luck"]["rho"])
    return {
        "called": called / curves,
        "robust": robust / curves,
        "rho": float(np.median(estimates)) if estimates else float("nan"),
    }


def cells() -> Iterator[tuple[str, int, float, float]]:
    for rows in LENGTHS:
        for sd in NOISE:
            yield from (("flat", rows, rho, sd) for rho in RHO)
    for name in ("straight fall from .75 to .60", "decay from .75 to .60", "sudden fall from .75 to .60"):
        for rows in LENGTHS:
            yield from ((name, rows, rho, 0.01) for rho in RHO)
    for rows in LENGTHS:
        yield from (("decay from .70 to .65", rows, rho, 0.01) for rho in RHO)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--curves", type=int, default=200)
    curves = parser.parse_args().curves
    result = {}
    for name, rows, rho, sd in cells():
        found = judged(name, rows, rho, sd, curves if name == "flat" else max(curves // 5, 1))
        result[f"{name}, {rows} evaluations, noise {sd}, rho {rho}"] = found
        print(f"{name:30s} {rows:4d} {sd:5.2f} {rho:4.2f}  called {found['called']:.3f}  robust {found['robust']:.3f}"
              f"  rho {found['rho']:.2f}", flush=True)  # fmt: skip
    write_result("slow_noise", result)


if __name__ == "__main__":
    main()
