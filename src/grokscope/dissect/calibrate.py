"""Score the battery on planted shortcuts: does it find what is there, and does it stay silent where nothing is?

One row for each planting and seed; `summarize` turns rows into rates with Wilson intervals. The two errors that matter:
a verdict on data without a shortcut (level), and a verdict of use on a shortcut that the head ignores.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from grokscope.dissect.battery import POOLED, Dissection, dissect_features
from grokscope.dissect.leace import leace
from grokscope.dissect.parts import coded, split_parts
from grokscope.dissect.planted import Planted, Planting, plant
from grokscope.dissect.records import Record
from grokscope.dissect.sample import Settings
from grokscope.dissect.steering import dominant_direction
from grokscope.dissect.subspaces import lda, mean_diff, principal_angles

BASE = Planting()
CONDITIONS: dict[str, Planting] = {
    "none": replace(BASE, separation=0.0),
    "unused": replace(BASE, used=False),
    "concentrated": BASE,
    "smeared": replace(BASE, neurons=BASE.d),
    "correlated, unused": replace(BASE, used=False, correlation=0.5),
    "correlated, none": replace(BASE, separation=0.0, correlation=0.5),
    "two directions": replace(BASE, rank=2),
    "unequal scales": replace(BASE, scale_spread=0.5),
    "few groups": replace(BASE, groups_per_environment=6),
    "few groups, none": replace(BASE, separation=0.0, groups_per_environment=6),
}
"""What the report quotes. ``concentrated`` and ``smeared`` differ in nothing but the number of neurons."""

POWER: dict[str, Planting] = {f"separation {s:g}": replace(BASE, separation=s) for s in (0.5, 1.0, 1.5, 2.0, 3.0)}

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
    found = result.m6.top["environment"][: what.neurons]
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
        precision=len(np.intersect1d(found, planted.neurons)) / what.neurons,
        monotone=result.m5.curve().monotone,
        monotone_random=result.m5.curve().monotone_random,
    )


def verdicts(result: Dissection) -> dict[str, bool | None]:
    """Every yes-or-no answer of the battery."""
    alpha = result.settings.alpha
    return {
        "decodable": result.where.decodable,
        "reliance": result.reliance.p <= alpha,
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
    bases = {"mean_diff": mean_diff(h, z).left, "lda": lda(h, z).left, "leace": leace(h, z).removed}
    angle = {name: principal_angles(planted.basis, basis)[0] for name, basis in bases.items()}
    return angle, abs(float(dominant_direction(h, z).v @ planted.direction))


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

    found = binomtest(k, n).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def told_apart(concentrated: Sequence[Row], smeared: Sequence[Row]) -> float:
    """Probability that a concentrated shortcut has a smaller half_k than a smeared one (ties count half; no half_k
    counts as infinite): 1 is perfect, 0.5 is blind."""
    a, b = (np.array([np.inf if r.half_k is None else r.half_k for r in rows]) for rows in (concentrated, smeared))
    return float((a[:, None] < b).mean() + 0.5 * (a[:, None] == b).mean())
