"""How often `peak_bias` calls a maximum real: on flat curves, where it never is, and on curves with a peak.

python benchmarks/peak_bias.py [--curves 200]
"""

import argparse

import numpy as np
from common import write_result

from grokscope.trajectory import peak_bias
from grokscope.trajectory.peak_bias import ar1

SIGMA = 0.015
RHO = (0.0, 0.5, 0.8, 0.95)
LENGTHS = (30, 61, 300)


def course(name: str, rows: int) -> np.ndarray:
    x = np.linspace(0, 1, rows)
    return {
        "flat": np.full(rows, 0.7),
        "early peak, slow decay": 0.66 + 0.08 * np.exp(-5 * x) * (1 - np.exp(-50 * x)),
        "straight fall from .75 to .60": 0.75 - 0.15 * x,
        "hump": 0.66 + 0.06 * np.exp(-(((x - 0.3) / 0.05) ** 2)),
    }[name]


def shares(name: str, rows: int, rho: float, curves: int) -> dict[str, float]:
    noise = SIGMA * ar1(np.random.default_rng(rows + round(100 * rho)), rho, curves, rows)
    found = [peak_bias(course(name, rows) + z, draws=199, seed=i) for i, z in enumerate(noise)]
    told = [b for b in found if b is not None and b.p is not None]
    return {
        "p <= .05": sum(b.p <= 0.05 for b in told if b.p is not None) / curves,
        "p <= .01": sum(b.p <= 0.01 for b in told if b.p is not None) / curves,
        "cannot tell": 1 - len(told) / curves,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--curves", type=int, default=200)
    curves = parser.parse_args().curves
    result = {}
    for name in ("flat", "straight fall from .75 to .60", "early peak, slow decay", "hump"):
        for rows in LENGTHS:
            for rho in RHO:
                found = shares(name, rows, rho, curves if name == "flat" else max(curves // 4, 1))
                result[f"{name}, {rows} evaluations, rho {rho}"] = found
                print(f"{name:32s} {rows:4d} {rho:4.2f} ", *(f"{k} {v:.3f}" for k, v in found.items()), flush=True)
    write_result("peak_bias", result)


if __name__ == "__main__":
    main()
