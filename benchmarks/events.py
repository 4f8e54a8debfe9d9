"""Loss spikes found where there are none, and where they were planted.

Null: logs of 1,000 evaluations whose log train loss is noise of several kinds, full-batch AdamW on modular addition
evaluated at every step, and short logs of 61 evaluations. Planted: a rise by a factor over two evaluations.

    python benchmarks/events.py [--seeds 50]
"""

import argparse
from collections.abc import Callable

import numpy as np
from common import write_result

from grokscope.trajectory import Trajectory, loss_spikes
from grokscope.trajectory.peak_bias import ar1

ROWS = 1_000
Make = Callable[[np.random.Generator, int], np.ndarray]


def fitted(loss: np.ndarray) -> Trajectory:
    """A log that was fitted from the start, so that all of it is judged."""
    step = np.arange(len(loss))
    flat = np.full(len(loss), 0.1)
    return Trajectory(step=step, train=flat + 0.9, held_out={"val": flat}, threshold=0.95, train_loss=loss)


def noise(sd: float, rho: float, level: float = 2.0) -> Make:
    return lambda rng, rows: level * np.exp(sd * ar1(rng, rho, 1, rows)[0])


def heavy(rng: np.random.Generator, rows: int) -> np.ndarray:
    return 2 * np.exp(0.1 * rng.standard_t(3, rows) / 3**0.5)


def descent(rng: np.random.Generator, rows: int) -> np.ndarray:
    return 2 * np.exp(-np.arange(rows) / 100 + 0.05 * rng.standard_normal(rows))


def onset_of_jitter(rng: np.random.Generator, rows: int) -> np.ndarray:
    sd = np.where(np.arange(rows) < rows // 2, 0.01, 0.5)
    return 0.01 * np.exp(sd * rng.standard_normal(rows))


NULL: dict[str, Make] = {
    **{f"noise {sd}, rho {rho}": noise(sd, rho) for sd in (0.02, 0.3) for rho in (0.0, 0.5, 0.8, 0.95)},
    "jitter by a factor of 2 to 3 (sd .5), rho .5": noise(0.5, 0.5, 0.01),
    "quiet, then jitter for good": onset_of_jitter,
    "heavy tails (t, 3 degrees)": heavy,
    "smooth descent with noise": descent,
    "rounding at 1e-7": noise(1.0, 0.0, 1e-7),
}


def per_thousand(make: Make, seeds: int, rows: int) -> float:
    found = [len(loss_spikes(fitted(make(np.random.default_rng(seed), rows)))) for seed in range(seeds)]
    return 1000 * sum(found) / (seeds * rows)


def power(factor: float, sd: float, seeds: int) -> float:
    """Share of planted spikes found, on a slow descent of 300 evaluations."""
    hits = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        loss = 2 * np.exp(-0.002 * np.arange(300) + sd * rng.standard_normal(300))
        at = int(rng.integers(20, 290))
        loss[at : at + 2] *= factor
        hits += any(at <= s.at < at + 2 for s in loss_spikes(fitted(loss)))
    return hits / seeds


def full_batch_adam(steps: int, decay: float, seed: int = 0) -> np.ndarray:
    """Train loss at every step of a small network on a + b mod 59, half of the pairs; no spike is near it with
    decay."""
    import torch

    torch.manual_seed(seed)
    a, b = (x.flatten() for x in torch.meshgrid(torch.arange(59), torch.arange(59), indexing="ij"))
    rows = torch.randperm(59 * 59)[: 59 * 59 // 2]
    a, b, y = a[rows], b[rows], ((a + b) % 59)[rows]
    table = torch.nn.Parameter(torch.randn(2, 59, 64))
    net = torch.nn.Sequential(torch.nn.Linear(128, 128), torch.nn.ReLU(), torch.nn.Linear(128, 59))
    optimizer = torch.optim.AdamW([table, *net.parameters()], lr=1e-2, betas=(0.9, 0.98), weight_decay=decay)
    out = np.empty(steps)
    for step in range(steps):
        loss = torch.nn.functional.cross_entropy(net(torch.cat([table[0][a], table[1][b]], dim=1)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        out[step] = loss.item()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    seeds = parser.parse_args().seeds
    null = {name: per_thousand(make, seeds, ROWS) for name, make in NULL.items()}
    short = {name: per_thousand(make, 10 * seeds, 61) for name, make in NULL.items()}
    adam = {}
    for decay in (1.0, 2.0):
        loss = full_batch_adam(ROWS, decay)[50:]
        adam[f"full-batch AdamW, decay {decay:g}, each step from 50 on"] = 1000 * len(loss_spikes(fitted(loss))) / 950
    planted = {f"{f:g}x, noise {sd}": power(f, sd, 2 * seeds) for f in (1.3, 1.5, 2.0) for sd in (0.01, 0.02, 0.05)}
    result = {"spikes per 1,000 rows": {**null, **adam}, "the same, logs of 61 rows": short, "found": planted}
    for title, numbers in result.items():
        print(title)
        for name, value in numbers.items():
            print(f"  {name:55s} {value:.3g}")
    write_result("events", result)


if __name__ == "__main__":
    main()
