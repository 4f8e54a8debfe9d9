"""The published inference of the shortcut study, recomputed from its counts and its table of peaks."""

from dataclasses import dataclass
from itertools import combinations

from grokscope.inference.compare import fisher, mann_whitney
from grokscope.inference.design import attainable, mann_whitney_p, power, smallest_p
from grokscope.results.record import Record
from grokscope.results.seed_tests import Alternative, Power, Result
from grokscope.vocabulary.text import p_equation

STEERING_P = 0.071
"""Published for steering, by a Mann-Whitney test of 5 against 3 seeds; its sidedness is not given."""
CORRECTED_MEAN = 0.7533
"""Published as the corrected mean peak of three standard seeds."""

FAVORABLE = {7: 0.6876, 42: 0.7336, 123: 0.7270, 456: 0.6722, 2024: 0.7056}
STANDARD = {42: 0.7615, 123: 0.8880, 456: 0.7450}
"""Seed -> peak accuracy in the unseen hospital, n = 1000, as published. [share]"""
ARTIFACT = 123
"""The standard seed whose peak lies in epoch 1, on a network that has hardly learned anything."""


def published_inference() -> tuple[Result, Result]:
    """The study's two tests of shares, one-sided as published: .286 and .179; their two-sided values are .464 and .196.

    In neither do the two sides reach .05. The third test, by ranks, is read by `steering_readings`.
    """
    return (
        fisher((4, 5), (1, 3), "greater", question="monotone steering: grokking-favorable 4/5, standard 1/3"),
        fisher((3, 5), (0, 3), "greater", question="separated neurons at K = 64: grokking-favorable 3/5, standard 0/3"),
    )


@dataclass(frozen=True, kw_only=True)
class RankReading(Record):
    """One way in which the published p of steering can have come about."""

    u: int
    """Mann-Whitney's U: of the 15 pairs of seeds, those in which the grokking-favorable one is larger. [pairs]"""
    sidedness: Alternative
    """With which U gives the published p."""
    p: float
    """With this sidedness. [probability]"""
    p_two_sided: float
    """Two-sided, whatever was published. [probability]"""
    smallest_p: float
    """The smallest two-sided p of 5 against 3. [probability]"""
    power: Power | None
    """Two-sided, at .05."""


def steering_readings() -> tuple[RankReading, ...]:
    """U = 13 of 15 one-sided, or U = 14 two-sided: the published .071 does not say which."""
    n = (len(FAVORABLE), len(STANDARD))
    return tuple(
        RankReading(
            u=u,
            sidedness=side,
            p=mann_whitney_p(u, *n, side),
            p_two_sided=mann_whitney_p(u, *n),
            smallest_p=smallest_p("mann-whitney", n),
            power=power("mann-whitney", n),
        )
        for u, side in attainable(STEERING_P, *n)
    )


@dataclass(frozen=True, kw_only=True)
class MeanPeak(Record):
    """Mean peak accuracy in the unseen hospital over some seeds of one arm."""

    arm: str
    """``grokking-favorable`` or ``standard``."""
    seeds: tuple[int, ...]
    """Over which."""
    mean: float
    """[share]"""
    p_two_sided: float | None
    """Of these standard seeds against all grokking-favorable ones, Mann-Whitney, exact; None for the latter.
    [probability]"""


def mean_peaks() -> tuple[MeanPeak, ...]:
    """With the artifact and without it."""
    clean = {seed: peak for seed, peak in STANDARD.items() if seed != ARTIFACT}
    return (_mean("grokking-favorable", FAVORABLE), _mean("standard", STANDARD), _mean("standard", clean))


def _mean(arm: str, peaks: dict[int, float]) -> MeanPeak:
    p = None
    if arm == "standard":
        p = mann_whitney(list(peaks.values()), list(FAVORABLE.values())).p_two_sided
    return MeanPeak(arm=arm, seeds=tuple(peaks), mean=sum(peaks.values()) / len(peaks), p_two_sided=p)


def seeds_of_mean(mean: float = CORRECTED_MEAN, digits: int = 4) -> tuple[tuple[int, ...], ...]:
    """The sets of standard seeds whose mean peak rounds to a published mean: .7533, given as the mean of three seeds,
    is that of the two that are left without the artifact."""
    half = 0.5 * 10**-digits
    subsets = [seeds for size in range(1, len(STANDARD) + 1) for seeds in combinations(STANDARD, size)]
    # a half in the last digit may have been rounded either way
    return tuple(s for s in subsets if abs(sum(STANDARD[seed] for seed in s) / len(s) - mean) <= half * (1 + 1e-9))


@dataclass(frozen=True, kw_only=True)
class Recomputed(Record):
    """A published number beside what its counts give."""

    published: str
    """As it is claimed."""
    seen: str
    """What the counts give, in words."""
    agrees: bool
    """Whether the number is what it is said to be."""


def recomputed(name: str) -> Recomputed:
    """One of `grokscope.inference.claim_outcome.RECOMPUTED`, from nothing but what is published."""
    n = (len(FAVORABLE), len(STANDARD))
    if name == "corrected mean":
        sets = [seeds for seeds in seeds_of_mean() if len(seeds) == len(STANDARD)]
        two = " and ".join(str(seed) for seed in seeds_of_mean()[0])
        seen = f"the mean of two of the three seeds, {two}: the third, an artifact, was left out"
        return Recomputed(published=f"a mean of three seeds of {CORRECTED_MEAN}", seen=seen, agrees=bool(sets))
    if name == "steering p":
        ways = attainable(STEERING_P, *n)
        read = "; ".join(f"U = {u} of 15, {side}: {p_equation(mann_whitney_p(u, *n, side))}" for u, side in ways)
        two_sided = " or ".join(f"{mann_whitney_p(u, *n):.3g}" for u, _ in ways)
        smallest = smallest_p("mann-whitney", n)
        seen = f"{read}; two-sided {two_sided}, at best {smallest:.3g} with 5 v 3 seeds"
        return Recomputed(published=f"Mann-Whitney p = {STEERING_P}, 5 v 3 seeds", seen=seen, agrees=bool(ways))
    monotone, neurons = published_inference()
    result, p = (monotone, 0.286) if name == "monotone p" else (neurons, 0.179)
    return Recomputed(published=f"p = {p}", seen=result.sentence(), agrees=round(result.p, 3) == p)
