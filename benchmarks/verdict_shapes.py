"""Constructed trajectories whose verdict is planted: the class is drawn first and its parameters follow, in shares of
the run's time, so that no reading of the curve says what is right.

Each shape is drawn with noise between evaluations (white or autoregressive, smaller near 0 and 1 as an accuracy's is),
with or without a known number of examples, on a regular, log-spaced or irregular grid of 10 to 2,000 rows, as a
classification or a regression log. A case is *clear* where its class lies far from every boundary and the grid shows it
(`_resolved`); the others are *ambiguous* and count only where a verdict is robust and wrong.

    python benchmarks/verdict_shapes.py [--per-class 300] [--first 1000]   # writes results/verdict_shapes.json

What is committed is of seeds on which no rule was tuned (those below 1000 were looked at meanwhile).
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from common import write_result
from scipy.signal import lfilter

from grokscope.trajectory import Criteria, Trajectory, verdict

ROWS = (10, 2000)
SIGMAS = (0.0, 0.005, 0.01, 0.02, 0.03)
RHOS = (0.0, 0.0, 0.5, 0.8)
CADENCES = ("regular", "log", "irregular")


@dataclass(frozen=True)
class Setting:
    """How a shape is logged; scores are relative to chance (0) and a perfect score (1)."""

    u: np.ndarray
    """(t,) share of the run's time at each evaluation, in (0, 1]."""
    chance: float
    way: float
    """From chance to the threshold."""
    threshold: float
    fit: float
    sigma: float
    rho: float
    cadence: str
    kind: str


@dataclass(frozen=True)
class Shape:
    """Clean curves over `Setting.u` and what is planted in them."""

    train: np.ndarray
    held: np.ndarray
    truth: str | None
    clear: bool
    stages: tuple[tuple[float, float], ...] = ()
    """Spans of time, in shares, of which the grid must show at least three evaluations for a case to be clear."""
    loss: np.ndarray | None = None


@dataclass(frozen=True)
class Case:
    family: str
    truth: str | None
    clear: bool
    trajectory: Trajectory
    setting: Setting


def sigmoid(u: np.ndarray, low: float, high: float, middle: float, width: float) -> np.ndarray:
    return low + (high - low) / (1 + np.exp(-np.clip((u - middle) / width, -60, 60)))


def fitting(s: Setting, at: float, level: float = 1.0) -> np.ndarray:
    """Train score that rises in a straight line to `level` at share `at`, through the fit threshold just before."""
    return s.chance + (level - s.chance) * np.minimum(1, s.u / at)


def _level(s: Setting, rng: np.random.Generator, low: float, high: float) -> float:
    """A held-out level at a share of the way to the threshold."""
    return s.chance + s.way * rng.uniform(low, high)


def _top(s: Setting, rng: np.random.Generator) -> float:
    """A level well above the threshold."""
    return s.threshold + (1 - s.threshold) * rng.uniform(0.6, 1.0)


def grokked(s: Setting, rng: np.random.Generator) -> Shape:
    fit, gen = _fit(rng), rng.uniform(0.2, 0.6)
    width = gen * rng.uniform(0.01, 0.05)
    held = sigmoid(s.u, _level(s, rng, 0, 0.4), _top(s, rng), gen, width)
    stages = ((fit, gen / 2.5), (fit, gen - 6 * width), (gen + 6 * width, 1.0))
    return Shape(fitting(s, fit), held, "grokked", True, stages)


def generalized(s: Setting, rng: np.random.Generator) -> Shape:
    fit = rng.uniform(0.1, 0.4)
    gen = fit * rng.uniform(0.9, 1.3)
    held = s.chance + (_top(s, rng) - s.chance) * np.minimum(1, s.u / gen)
    return Shape(fitting(s, fit), held, "generalized", True, ((0.0, 0.9 * fit), (1.4 * fit, 1.0)))


def memorized(s: Setting, rng: np.random.Generator) -> Shape:
    fit, level = _fit(rng), _level(s, rng, 0.02, 0.75)
    held = np.minimum(1, s.u / fit) * (level - s.chance) + s.chance + 0.03 * s.way * s.u
    return Shape(fitting(s, fit), held, "memorized", True, ((fit, 1.0),))


def semi_grokked(s: Setting, rng: np.random.Generator) -> Shape:
    fit, done = _fit(rng), rng.uniform(0.2, 0.5)
    low = _level(s, rng, 0, 0.25)
    high = low + s.way * rng.uniform(0.45, 0.6)
    middle = done * rng.uniform(0.6, 0.8)
    held = sigmoid(s.u, low, high, middle, (done - middle) / 7)
    return Shape(
        fitting(s, fit), held, "semi-grokked", True, ((2.5 * fit, 2 * middle - done), (done, 0.75), (0.8, 1.0))
    )


def rising(s: Setting, rng: np.random.Generator) -> Shape:
    fit, begun = _fit(rng), rng.uniform(0.15, 0.6)
    low = _level(s, rng, 0, 0.25)
    height = s.way * rng.uniform(0.45, 0.65)
    bend = rng.uniform(0.8, 2.0)
    held = low + height * np.clip((s.u - begun) / (1 - begun), 0, 1) ** bend
    return Shape(fitting(s, fit), held, "rising", True, ((2.5 * fit, begun), (begun, 0.7), (0.75, 1.0)))


def early_peak(s: Setting, rng: np.random.Generator) -> Shape:
    fit, at = _fit(rng), rng.uniform(0.05, 0.2)
    top = _level(s, rng, 0.5, 0.85)
    final = top - s.way * rng.uniform(0.25, 0.4)
    tau = rng.uniform(0.03, 0.15)
    decay = final + (top - final) * np.exp(-np.clip(s.u - at, 0, None) / tau)
    held = np.where(s.u < at, s.chance + (top - s.chance) * s.u / at, decay)
    stages = ((at - 0.4 * at, at + 0.4 * tau), (at + 2.5 * tau, 0.8))
    return Shape(fitting(s, fit), held, "ungrokked (early-peak)", True, stages)


def after_grokking(s: Setting, rng: np.random.Generator) -> Shape:
    fit, gen, lost = _fit(rng), rng.uniform(0.2, 0.35), rng.uniform(0.5, 0.65)
    held = np.where(
        s.u < 0.42,
        sigmoid(s.u, _level(s, rng, 0, 0.3), _top(s, rng), gen, 0.008),
        sigmoid(s.u, _top(s, rng), _level(s, rng, 0.1, 0.6), lost, 0.01),
    )
    stages = ((fit, gen - 0.05), (gen + 0.05, lost - 0.06), (lost + 0.06, 0.8))
    return Shape(fitting(s, fit), held, "ungrokked (after-grokking)", True, stages)


def cyclic(s: Setting, rng: np.random.Generator) -> Shape:
    fit, count, share = _fit(rng), int(rng.integers(6, 10)), rng.uniform(0.15, 0.4)
    phase = (s.u - fit) * count % 1
    down = (s.u > fit) & (phase > 1 - share)
    train = np.where(down, s.chance + (s.fit - s.chance) * rng.uniform(0, 0.5), fitting(s, fit))
    held = np.where(down, s.chance, _level(s, rng, 0.05, 0.6))
    cycles = [(fit + k / count, fit + (k + 1 - share) / count, fit + (k + 1) / count) for k in range(count - 1)]
    stages = tuple(span for up, turn, over in cycles for span in ((up, turn), (turn, over)))
    return Shape(train, held, "unstable (cyclic)", True, stages)


def lasting(s: Setting, rng: np.random.Generator) -> Shape:
    fit, at = _fit(rng), rng.uniform(0.15, 0.6)
    low = s.chance + (s.fit - s.chance) * rng.uniform(0, 0.5)
    train = np.where(s.u < at, fitting(s, fit), low)
    held = np.where(s.u < at, _level(s, rng, 0.05, 0.7), min(low, s.chance + 0.1 * s.way))
    return Shape(train, held, "unstable (lasting)", True, ((fit, at), (at, 0.8)))


def underfit(s: Setting, rng: np.random.Generator) -> Shape:
    reach = s.chance + (s.fit - s.chance) * rng.uniform(0.1, 0.85)
    held = s.chance + (reach - s.chance) * rng.uniform(0, 0.9) * np.minimum(1, s.u / 0.2)
    return Shape(fitting(s, rng.uniform(0.1, 0.6), reach), held, "underfit", True, ((0.0, 1.0),))


def recovered(s: Setting, rng: np.random.Generator) -> Shape:
    """From far below the trivial predictor's score up to it, with a train score that fits or ends there, too."""
    fit, at = _fit(rng), rng.uniform(0.25, 0.5)
    depth = 0.8 * s.chance if s.kind == "classification" else rng.uniform(0.6, 3.0)
    shown = depth > 0.5 * s.way  # at many classes there is no room below chance
    held = sigmoid(s.u, s.chance - depth, s.chance + s.way * rng.uniform(-0.02, 0.03), at, 0.01)
    below = s.chance - depth * (1 - 1.05 * np.minimum(1, s.u / fit))
    train = fitting(s, fit) if rng.random() < 0.5 else below
    truth = "recovered-to-baseline" if shown else "recovered-to-baseline or memorized or underfit"
    return Shape(train, held, truth, shown, ((2.5 * fit, at - 0.06), (at + 0.06, 0.75)))


def diverged(s: Setting, rng: np.random.Generator) -> Shape:
    at = rng.uniform(0.2, 0.9)
    shape = grokked(s, rng)
    loss = np.where(s.u < at, np.exp(-5 * s.u), rng.choice([np.inf, 1e30, 1e8]))
    loss[-1] = loss[-1] if loss[-1] > 1e6 else np.inf
    return replace(shape, truth="diverged", loss=loss, stages=())


def same_column(s: Setting, rng: np.random.Generator) -> Shape:
    train = 0.013 + 0.97 * np.minimum(1, s.u / 0.3)
    return Shape(train, train, None, True, ((0.0, 0.3),))


def left_censored(s: Setting, rng: np.random.Generator) -> Shape:
    return Shape(np.full(len(s.u), 1.0), np.full(len(s.u), _top(s, rng)), None, True)


def short_delay(s: Setting, rng: np.random.Generator) -> Shape:
    """A delay ratio near the criterion of two."""
    fit = rng.uniform(0.1, 0.25)
    ratio = rng.choice([rng.uniform(1.4, 1.8), rng.uniform(2.3, 3.0)])
    held = np.where(s.u < fit * ratio, _level(s, rng, 0, 0.3), _top(s, rng))
    return Shape(fitting(s, fit), held, "grokked" if ratio > 2 else "generalized", False)


def small_drop(s: Setting, rng: np.random.Generator) -> Shape:
    """A flat curve, or one with a drop of the size of the noise: mostly not to be told apart."""
    shape, top = memorized(s, rng), _level(s, rng, 0.3, 0.7)
    held = top + rng.uniform(0, 2) * s.sigma * np.exp(-s.u / 0.2)
    return replace(shape, held=held, truth="memorized or ungrokked", clear=False)


def small_rise(s: Setting, rng: np.random.Generator) -> Shape:
    """A late rise of less than a fifth of the way: still a plateau."""
    shape = semi_grokked(s, rng)
    low = float(shape.held.min())
    squeezed = low + (shape.held - low) * rng.uniform(0.05, 0.25)
    return replace(shape, held=squeezed, truth="memorized", clear=False)


def just_levelled(s: Setting, rng: np.random.Generator) -> Shape:
    shape = rising(s, rng)
    stop = rng.uniform(0.75, 0.98)
    held = np.interp(np.minimum(s.u, stop), s.u, shape.held)
    return replace(shape, held=held, truth="semi-grokked or rising", clear=False)


def late_collapse(s: Setting, rng: np.random.Generator) -> Shape:
    shape = memorized(s, rng)
    at = rng.uniform(0.85, 0.99)
    return replace(shape, train=np.where(s.u < at, shape.train, s.chance), truth="unstable or memorized", clear=False)


def near_fit(s: Setting, rng: np.random.Generator) -> Shape:
    shape = memorized(s, rng)
    reach = s.fit + (1 - s.fit) * rng.uniform(-1.5, 0.5)
    return replace(shape, train=fitting(s, 0.05, reach), truth="underfit or memorized", clear=False)


FAMILIES: dict[str, Callable[[Setting, np.random.Generator], Shape]] = {
    f.__name__: f
    for f in (
        grokked, generalized, memorized, semi_grokked, rising, early_peak, after_grokking, cyclic, lasting, underfit,
        recovered, diverged, same_column, left_censored,
        short_delay, small_drop, small_rise, just_levelled, late_collapse, near_fit,
    )
}  # fmt: skip


def _fit(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(0.005), np.log(0.05))))


def setting(rng: np.random.Generator) -> Setting:
    rows = int(np.exp(rng.uniform(np.log(ROWS[0]), np.log(ROWS[1]))))
    cadence = str(rng.choice(CADENCES))
    if cadence == "regular":
        u = np.arange(1, rows + 1) / rows
    elif cadence == "log":
        u = np.geomspace(10 ** rng.uniform(-4, -2.5), 1, rows)
    else:
        u = np.append(np.sort(rng.uniform(0.001, 0.999, rows - 1)), 1.0)
    kind = str(rng.choice(["classification", "regression"]))
    chance = float(rng.choice([0.5, 0.1, 1 / 59])) if kind == "classification" else 0.0
    threshold, fit = (0.95, 0.99) if kind == "classification" else (0.9, 0.9)
    way = threshold - chance
    return Setting(u, chance, way, threshold, fit, float(rng.choice(SIGMAS)), float(rng.choice(RHOS)), cadence, kind)


def case(family: str, seed: int) -> Case:
    """One drawn case; the same for the same family and seed."""
    rng = np.random.default_rng([seed, *family.encode()])
    s, shape = _drawn(family, rng)
    scale = 10 ** rng.uniform(2.5, 5)
    n = None if s.kind == "regression" else [None, 500, 2000, 10000][int(rng.integers(4))]
    held = _logged(shape.held, s, rng, n)
    train = shape.train
    if family != "same_column":  # a fitted train score does not jitter
        train = np.where(train >= s.fit, train, _jitter(train, s, rng))
    known = s.chance not in (0.1, 1 / 59) or family == "recovered" or rng.random() < 0.7
    t = Trajectory(
        step=np.maximum.accumulate(s.u * scale),
        train=np.clip(train, None, 1) if s.kind == "regression" else np.clip(train, 0, 1),
        held_out={"val": train if family == "same_column" else held},
        kind=s.kind,  # pyright: ignore[reportArgumentType]
        n={} if n is None else {"val": n},
        train_loss=shape.loss,
        trivial={"train": s.chance, "val": s.chance} if known else {},
        threshold=s.threshold,
    )
    truth, clear = _truth(shape, s)
    return Case(family, truth, bool(clear and _resolved(shape, s)), t, s)


def _drawn(family: str, rng: np.random.Generator) -> tuple[Setting, Shape]:
    """A setting and a shape whose stages the grid shows by two evaluations or more: what was hardly logged is in no
    log."""
    while True:
        s = setting(rng)
        shape = FAMILIES[family](s, rng)
        if _shown(shape, s) >= 2:
            return s, shape


def _shown(shape: Shape, s: Setting) -> int:
    """The fewest evaluations in any stage."""
    return min((int(((s.u > a) & (s.u <= b)).sum()) for a, b in shape.stages), default=len(s.u))


def _truth(shape: Shape, s: Setting) -> tuple[str | None, bool]:
    """Where both milestones lie before the first evaluation, nothing is to be known of a delay."""
    if shape.truth in ("grokked", "generalized") and shape.train[0] >= s.fit and shape.held[0] >= s.threshold:
        return None, shape.clear
    return shape.truth, shape.clear


def _resolved(shape: Shape, s: Setting) -> bool:
    """Whether the grid shows each stage of the shape, and the noise, by what is left of it in a mean, is small against
    the way."""
    slow = np.sqrt((1 + s.rho) / (1 - s.rho))
    return _shown(shape, s) >= 3 and s.sigma * slow <= 0.06 * s.way


def _jitter(clean: np.ndarray, s: Setting, rng: np.random.Generator) -> np.ndarray:
    """Autoregressive noise, in an accuracy smaller near 0 and 1."""
    white = rng.normal(size=len(clean) + 100)
    noise = lfilter([np.sqrt(1 - s.rho**2)], [1, -s.rho], white)[100:]
    size = 2 * np.sqrt(np.clip(clean * (1 - clean), 0, 0.25)) if s.kind == "classification" else 1.0
    return clean + s.sigma * size * noise * (np.clip(1 - clean, 0, 1) ** 0.5 if s.kind == "regression" else 1.0)


def _logged(clean: np.ndarray, s: Setting, rng: np.random.Generator, n: int | None) -> np.ndarray:
    noisy = _jitter(clean, s, rng)
    if s.kind == "regression":
        return np.minimum(noisy, 1)
    noisy = np.clip(noisy, 0, 1)
    return noisy if n is None else np.round(noisy * n) / n


def right(found: str | None, truth: str | None) -> bool:
    """Whether a label is the planted one; ambiguous truths name two verdicts, ``a or b``."""
    if truth is None or found is None:
        return found is truth
    return any(found == name or found.split(" ")[0] == name for name in truth.split(" or "))


def _word_right(found: str | None, truth: str | None) -> bool:
    """Whether the verdict is right, its qualifier aside: robustness is about the word."""
    return right(found, None if truth is None else " or ".join(name.split(" (")[0] for name in truth.split(" or ")))


def judge(one: Case, criteria: Criteria | None = None) -> tuple[str | None, bool]:
    """(label, robust) of the verdict on a case."""
    v = verdict(one.trajectory, criteria=criteria)
    return (None if v.verdict is None else v.label), v.robust


def cases(per_class: int, first: int = 0, families: Any = tuple(FAMILIES)) -> Iterator[Case]:
    for family in families:
        for seed in range(first, first + per_class):
            yield case(family, seed)


def measure(per_class: int, first: int = 0, families: Any = tuple(FAMILIES)) -> dict[str, dict[str, float]]:
    """Family -> how many clear cases there are, how many of them are right and robust, and how many of all are robust
    and wrong."""
    out: dict[str, dict[str, float]] = {}
    for one in cases(per_class, first, families):
        row = out.setdefault(one.family, dict.fromkeys(("cases", "clear", "right", "robust", "robust_and_wrong"), 0))
        found, robust = judge(one)
        good = right(found, one.truth)
        row["cases"] += 1
        row["clear"] += one.clear
        row["right"] += one.clear and good
        row["robust"] += one.clear and (robust or one.truth is None)
        row["robust_and_wrong"] += robust and not _word_right(found, one.truth)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--per-class", type=int, default=300)
    parser.add_argument("--first", type=int, default=1000, help="first seed")
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for family in FAMILIES:
        found |= measure(options.per_class, options.first, families=(family,))
        print(f"{family:16s} {found[family]}", flush=True)
    wrong, total = (sum(row[key] for row in found.values()) for key in ("robust_and_wrong", "cases"))
    seeds = [options.first, options.first + options.per_class - 1]
    write_result("verdict_shapes", {"seeds": seeds, "robust_and_wrong": wrong / total, "families": found})
    print(f"robust and wrong: {wrong} of {total}")


if __name__ == "__main__":
    main()
