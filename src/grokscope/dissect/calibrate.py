"""Evaluate the dissection on planted shortcuts: detection rates where there is one, false positives where there is
none.

One row for each planting and seed; `summarize` turns rows into rates with Wilson intervals. The two errors that matter:
a verdict on data without a shortcut (level), and a verdict of use on a shortcut that the head ignores.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from grokscope.dissect.battery import POOLED, dissect_features
from grokscope.dissect.direction import dominant_direction
from grokscope.dissect.leace import leace
from grokscope.dissect.parts import balancing_weights, coded, split_parts
from grokscope.dissect.planted import Planted, Planting, plant
from grokscope.dissect.subspaces import lda, mean_diff, principal_angles
from grokscope.results.calibration import Condition
from grokscope.results.dissection import RULES, Dissection
from grokscope.results.record import Record
from grokscope.results.settings import Settings

BASE = Planting()
CONDITIONS: dict[str, Planting] = {
    "none": replace(BASE, separation=0.0),
    "unused": replace(BASE, used=False),
    "concentrated": BASE,
    "smeared": replace(BASE, neurons=BASE.d),
    "correlated, unused": replace(BASE, used=False, correlation=0.5),
    "correlated, none": replace(BASE, separation=0.0, correlation=0.5),
    "two directions": replace(BASE, rank=2),
    "correlated, used": replace(BASE, correlation=0.7),
    "correlated, smeared, used": replace(BASE, correlation=0.7, neurons=BASE.d),
    "one channel": replace(BASE, neurons=1),
    "one channel, correlated": replace(BASE, neurons=1, correlation=0.7),
    "shared direction": replace(BASE, used=False, shared=0.5),
    "two hospitals": replace(BASE, environments=2, groups_per_environment=24),
    "two hospitals, none": replace(BASE, environments=2, groups_per_environment=24, separation=0.0),
    "small hospital": replace(BASE, environments=2, groups_per_environment=24, small_share=0.2),
    "small hospital, none": replace(BASE, environments=2, groups_per_environment=24, small_share=0.2, separation=0.0),
    "unequal scales": replace(BASE, scale_spread=0.5),
    "few groups": replace(BASE, groups_per_environment=6),
    "few groups, none": replace(BASE, separation=0.0, groups_per_environment=6),
    "few groups, two hospitals, none": replace(BASE, separation=0.0, environments=2, groups_per_environment=8),
    "few groups, five hospitals, none": replace(BASE, separation=0.0, environments=5, groups_per_environment=6),
    "wide": replace(BASE, n=1000, d=512),
    "wide, none": replace(BASE, n=1000, d=512, separation=0.0),
}
"""What the report quotes. ``concentrated`` and ``smeared`` differ in nothing but the number of neurons; ``wide`` has
the size of the published study, with as many features as fitted examples."""

POWER: dict[str, Planting] = {f"separation {s:g}": replace(BASE, separation=s) for s in (0.5, 1.0, 1.5, 2.0, 3.0)}

PLANTED = {**CONDITIONS, **POWER}


def nothing_used(what: Planting) -> bool:
    """Whether every finding of use is false here: nothing is planted, or the head reads none of it."""
    return what.separation == 0 or (not what.used and what.shared == 0)


FLAGS = ("decodable", "reliance", "m4_leace", "m4_mean_diff", "m4_lda", "m4_probe_rows", "m5", "m6", "used_cell")


@dataclass(frozen=True, kw_only=True)
class Row(Record):
    """The battery's answers on one planted data set, beside the truth. Flags: None where the battery could not tell."""

    condition: str
    seed: int
    flags: dict[str, bool | None]
    erased: dict[str, str]
    cell: str
    form: str
    half_k: float | None
    angle: dict[str, float]
    """Largest principal angle, in degrees, between the planted shortcut and each fitted subspace's nearest
    directions."""
    cosine: float
    """Of the steering direction with the planted first direction."""
    predicted_cosine: float | None
    """What split-half reliability predicts for it."""
    precision: float
    """Share of the planted number of neurons found among as many top-ranked ones."""
    monotone: bool
    monotone_random: float


def calibrate(
    seeds: Iterable[int],
    conditions: Mapping[str, Planting] | None = None,
    settings: Settings | None = None,
) -> list[Row]:
    """One row for each condition and seed; about half a second of one core each at the default size."""
    settings = settings or Settings(permutations=499, resamples=299, probe_controls=1)
    return [
        score_planting(name, what, seed, settings)
        for name, what in (CONDITIONS if conditions is None else conditions).items()
        for seed in seeds
    ]


def score_planting(name: str, what: Planting, seed: int, settings: Settings) -> Row:
    planted = plant(what, seed)
    settings = replace(settings, seed=seed)
    result = dissect_features(
        {POOLED: planted.features},
        planted.head,
        planted.labels,
        planted.environments,
        planted.groups,
        settings=settings,
    )
    angle, cosine = recovery(planted, settings)
    assert result.m6.top is not None
    top_ranked = result.m6.top.environment[: what.neurons]
    halves = result.m5.reliability
    return Row(
        condition=name,
        seed=seed,
        flags=verdicts(result),
        erased={e.eraser: e.verdict for e in result.m4.erasures},
        cell=result.where.cell,
        form=result.where.form,
        half_k=result.where.half_k,
        angle=angle,
        cosine=cosine,
        predicted_cosine=halves.cosine_with_truth if halves else None,
        precision=len(np.intersect1d(top_ranked, planted.neurons)) / what.neurons,
        monotone=result.m5.curve().monotone,
        monotone_random=result.m5.curve().monotone_random,
    )


def verdicts(result: Dissection) -> dict[str, bool | None]:
    """Every yes-or-no answer of the battery."""
    alpha = result.settings.alpha
    return {
        "decodable": result.where.decodable,
        "reliance": None if result.reliance is None else result.reliance.p <= alpha,
        **{f"m4_{e.eraser}": e.causal for e in result.m4.erasures},
        "m5": result.m5.causal,
        "m6": result.m6.causal,
        "used_cell": None if result.where.cell == "cannot tell" else result.where.cell == "readable and used",
    }


def recovery(planted: Planted, settings: Settings) -> tuple[dict[str, float], float]:
    """Angles and cosine of what is fitted on the fit part with the truth.

    The planted directions are compared with the nearest directions inside each fitted subspace, which has as many
    dimensions as environments minus one whatever was planted.
    """
    n = len(planted.labels)
    g = None if planted.groups is None else coded(planted.groups, "groups", n)
    parts, _ = split_parts(
        coded(planted.environments, "environments", n),
        coded(planted.labels, "labels", n),
        g,
        settings.shares,
        settings.seed,
    )
    h, z = planted.features[parts.fit].astype(np.float64), planted.environments[parts.fit]
    w = None
    if settings.balance == "class":
        w = balancing_weights(z, planted.labels[parts.fit])
    bases = {"mean_diff": mean_diff(h, z, w).left, "lda": lda(h, z, w).left, "leace": leace(h, z, w).removed}
    angle = {name: principal_angles(planted.basis, basis)[0] for name, basis in bases.items()}
    return angle, abs(float(dominant_direction(h, z, w).v @ planted.direction))


@dataclass(frozen=True, kw_only=True)
class Rate(Record):
    """How often a flag was raised in one condition, with a 95 % Wilson interval; `unknown` counts "cannot tell"."""

    condition: str
    flag: str
    raised: int
    n: int
    unknown: int
    rate: float
    low: float
    high: float


def summarize(rows: Sequence[Row]) -> list[Rate]:
    """Rates over all rows of a condition: an answer "cannot tell" counts as not raised."""
    out = []
    for condition in dict.fromkeys(r.condition for r in rows):
        here = [r for r in rows if r.condition == condition]
        for flag in here[0].flags:
            raised = sum(r.flags[flag] is True for r in here)
            low, high = wilson(raised, len(here))
            unknown = sum(r.flags[flag] is None for r in here)
            out.append(
                Rate(
                    condition=condition,
                    flag=flag,
                    raised=raised,
                    n=len(here),
                    unknown=unknown,
                    rate=raised / len(here),
                    low=low,
                    high=high,
                )
            )
    return out


def wilson(k: int, n: int) -> tuple[float, float]:
    """95 % interval of a rate k / n (Wilson 1927)."""
    from scipy.stats import binomtest

    bounds = binomtest(k, n).proportion_ci(method="wilson")
    return float(bounds.low), float(bounds.high)


def overview(rows: Sequence[Row]) -> dict[str, Condition]:
    """Rows as what is shipped, by condition; all must be conditions of `PLANTED`."""
    return {
        name: _condition(name, [r for r in rows if r.condition == name])
        for name in dict.fromkeys(r.condition for r in rows)
    }


def _condition(name: str, rows: Sequence[Row]) -> Condition:
    predicted = [r.predicted_cosine for r in rows if r.predicted_cosine is not None]
    halves = [r.half_k for r in rows if r.half_k is not None]
    return Condition(
        seeds=len(rows),
        rules=RULES,
        nothing_used=nothing_used(PLANTED[name]),
        rates={r.flag: (r.rate, r.low, r.high, r.unknown) for r in summarize(rows)},
        cosine=float(np.mean([r.cosine for r in rows])),
        predicted_cosine=float(np.mean(predicted)) if predicted else None,
        precision=float(np.mean([r.precision for r in rows])),
        angle={k: float(np.mean([r.angle[k] for r in rows])) for k in rows[0].angle},
        half_k=float(np.median(halves)) if halves else None,
        form=_counted([r.form for r in rows]),
        cell=_counted([r.cell for r in rows]),
        erased={k: _counted([r.erased[k] for r in rows]) for k in rows[0].erased},
        monotone=float(np.mean([r.monotone for r in rows])),
        monotone_random=float(np.mean([r.monotone_random for r in rows])),
    )


def _counted(words: Sequence[str]) -> dict[str, int]:
    return {word: list(words).count(word) for word in dict.fromkeys(words)}


def told_apart(concentrated: Sequence[Row], smeared: Sequence[Row]) -> float:
    """Probability that a concentrated shortcut has a smaller half_k than a smeared one (ties count half; no half_k
    counts as infinite): 1 is perfect, 0.5 is blind."""
    a, b = (np.array([np.inf if r.half_k is None else r.half_k for r in rows]) for rows in (concentrated, smeared))
    return float((a[:, None] < b).mean() + 0.5 * (a[:, None] == b).mean())
