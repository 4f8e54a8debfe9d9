"""Compare the arms of a study: the effect of each setting in which two arms differ."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from grokscope.mechanism.explain import Explanation


@dataclass(frozen=True)
class Member:
    """One finished run of an arm."""

    arm: str
    settings: Mapping[str, Any]
    """Dotted key -> value, of everything that makes the run what it is but its seed."""
    explanation: Explanation
    end: float
    """Mean held-out score at the end."""
    T_gen: float | None = None
    """When held-out arrived; None where it has not by the end."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Two arms that differ in one setting."""

    key: str
    arms: tuple[str, str]
    values: tuple[Any, Any]
    n: tuple[int, int]
    verdicts: tuple[dict[str, int], dict[str, int]]
    ends: tuple[tuple[float, float], tuple[float, float]]
    """Lowest and highest held-out score at the end, in each arm."""

    @property
    def apart(self) -> bool:
        """Whether the two ranges of end values do not touch. Of three runs and three this happens by luck once in
        ten."""
        (low, high), (other_low, other_high) = self.ends
        return high < other_low or other_high < low

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "apart": self.apart}


@dataclass(frozen=True)
class ArmWords:
    """How often each word was said of each claim in one arm."""

    arm: str
    n: int
    verdicts: Mapping[str, int]
    words: Mapping[str, Mapping[str, int]]
    """Claim -> word -> number of runs."""


def words_by_arm(members: Sequence[Member]) -> tuple[ArmWords, ...]:
    """What the checks say in each arm, in the order in which arms first come."""
    return tuple(_words(arm, group) for arm, group in by_arm(members).items())


def by_arm(members: Sequence[Member]) -> dict[str, list[Member]]:
    groups: dict[str, list[Member]] = {}
    for member in members:
        groups.setdefault(member.arm, []).append(member)
    return groups


def _words(arm: str, group: Sequence[Member]) -> ArmWords:
    words: dict[str, Counter[str]] = {}
    for member in group:
        for finding in member.explanation.findings:
            words.setdefault(finding.claim, Counter())[finding.word] += 1
    return ArmWords(arm, len(group), _verdicts(group), {claim: dict(counts) for claim, counts in words.items()})


def contrasts(members: Sequence[Member]) -> tuple[Contrast, ...]:
    """Each pair of arms whose settings differ in exactly one key: what the study itself says of that setting.

    Misleads: with a few seeds in each arm ranges that do not touch are common by luck; the number of runs stands beside
    them.
    """
    groups = by_arm(members)
    pairs = []
    for one, other in combinations(groups, 2):
        keys = _differing(groups[one][0].settings, groups[other][0].settings)
        if len(keys) == 1:
            pairs.append(_contrast(keys[0], (one, groups[one]), (other, groups[other])))
    return tuple(pairs)


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Dotted keys in which two arms differ. Where they have other components, their parameters are no difference of
    their own."""
    differing = [k for k in one.keys() | other.keys() if one.get(k) != other.get(k)]
    return sorted(k for k in differing if not any(k.startswith(f"{whole}.") for whole in differing))


def _contrast(key: str, one: tuple[str, list[Member]], other: tuple[str, list[Member]]) -> Contrast:
    (first, members), (second, others) = one, other
    return Contrast(
        key=key,
        arms=(first, second),
        values=(members[0].settings.get(key), others[0].settings.get(key)),
        n=(len(members), len(others)),
        verdicts=(_verdicts(members), _verdicts(others)),
        ends=(_range(members), _range(others)),
    )


def _verdicts(members: Sequence[Member]) -> dict[str, int]:
    return dict(Counter(m.explanation.verdict for m in members))


def _range(members: Sequence[Member]) -> tuple[float, float]:
    ends = np.array([m.end for m in members])
    return float(ends.min()), float(ends.max())
