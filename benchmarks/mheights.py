"""How fast are exact m-heights? 840,000 labels on one core, and the ratio to linear programs (HiGHS) on a sample.

Run: OMP_NUM_THREADS=1 python benchmarks/mheights.py [--per-group 40000] [--lp-codes 2]. Writes
benchmarks/results/mheights.json. The programs are the leanest exact ones, max c_a subject to |c_i| <= 1 on S for each
(a, S); one per (a, b, X, psi), the usual statement, would be more than twenty times as many.
"""

import argparse
import json
import platform
import time
from itertools import combinations
from pathlib import Path

import numba
import numpy as np
import scipy
from scipy.optimize import linprog

from grokscope.codes.dataset import GROUPS
from grokscope.codes.heights import m_heights

RESULTS = Path(__file__).parent / "results" / "mheights.json"


def main() -> None:
    """Measure, print one line per group and the totals, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-group", type=int, default=40_000)
    parser.add_argument("--lp-codes", type=int, default=2, help="codes per sampled group solved by linear programs")
    options = parser.parse_args()
    for group in GROUPS:
        label(group, 8)  # compile and build the tables
    groups = [timed_group(group, options.per_group) for group in GROUPS]
    total = sum(row["seconds"] for row in groups)
    programs = [against_programs(group, options.lp_codes) for group in [(9, 4, 3), (9, 6, 2), (10, 5, 3)]]
    result = {
        "machine": {"processor": processor(), "system": platform.system(), "python": platform.python_version()},
        "versions": {"numpy": np.__version__, "numba": numba.__version__, "scipy": scipy.__version__},
        "labels": options.per_group * len(GROUPS),
        "seconds": round(total, 3),
        "seconds_for_840000": round(total * 40_000 / options.per_group, 3),
        "groups": groups,
        "linear_programs": programs,
    }
    print(f"{result['labels']} labels in {total:.2f} s; 840,000 take {result['seconds_for_840000']:.2f} s")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def label(group: tuple[int, int, int], count: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Seconds, P and heights of `count` fresh codes (drawing them is not timed)."""
    n, k, m = group
    P = np.random.default_rng(0).uniform(-100, 100, (count, k, n - k)).astype(np.float32)
    start = time.perf_counter()
    heights = m_heights(P, m, finite=True)
    return time.perf_counter() - start, P, heights


def timed_group(group: tuple[int, int, int], count: int) -> dict[str, float]:
    """One group's row."""
    seconds, _, _ = label(group, count)
    print(f"{group!s:12} {count / seconds:12,.0f} codes/s")
    return {**dict(zip("nkm", group, strict=True)), "seconds": round(seconds, 4), "per_second": round(count / seconds)}


def against_programs(group: tuple[int, int, int], count: int) -> dict[str, float]:
    """Ratio of seconds per code, and the largest relative difference of the heights."""
    seconds, _, _ = label(group, 4096)
    _, P, heights = label(group, count)
    start = time.perf_counter()
    slow = np.array([program_height(code.astype(np.float64), group[2]) for code in P])
    ratio = (time.perf_counter() - start) / count / (seconds / 4096)
    error = float(np.abs(slow / heights - 1).max())
    print(f"{group!s:12} {ratio:12,.0f} x faster than HiGHS, largest relative difference {error:.1e}")
    return {**dict(zip("nkm", group, strict=True)), "codes": count, "ratio": round(ratio), "difference": error}


def program_height(P: np.ndarray, m: int) -> float:
    """h_m by one linear program per (a, S); a code of continuous random entries is assumed (every program bounded)."""
    k, r = P.shape
    G = np.hstack([np.eye(k), P])
    best = 0.0
    for S in combinations(range(k + r), k + r - m):
        rows = np.vstack([G[:, S].T, -G[:, S].T])
        for a in set(range(k + r)) - set(S):
            answer = linprog(-G[:, a], A_ub=rows, b_ub=np.ones(len(rows)), bounds=(None, None), method="highs")
            best = max(best, -answer.fun)
    return best


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    names = (
        [x.split(":")[1].strip() for x in info.read_text().splitlines() if x.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
