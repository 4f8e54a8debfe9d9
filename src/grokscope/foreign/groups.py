"""Groups of logs: a pattern on their names identifies group and seed, and groups are compared by survival."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.config import require
from grokscope.foreign.sources import plain_name
from grokscope.inference.families import holm

if TYPE_CHECKING:
    from grokscope.trajectory import LogRank, Survival, Times, Verdict

SEED = "seed"
COMPARED = 6
"""Up to so many groups every pair is tested; with more, hunting through pairs would only find chance."""


class Pattern:
    """``(?P<setting>.*)_s(?P<seed>\\d+)``: named groups of a name, of which ``seed`` tells runs apart and all others
    together are the group. It must match the end of the path without its file's ending, from the start of a name on.
    """

    def __init__(self, pattern: str):
        """Raises ValueError for what is no regular expression, or one that names no group."""
        try:
            self._whole = re.compile(rf"(?:.*/)?(?:{pattern})", re.DOTALL)
        except re.error as error:
            raise ValueError(f"group: {pattern!r} is not a valid regular expression: {error}") from None
        self.names = [name for name in self._whole.groupindex if name != SEED]
        require(
            bool(self.names),
            f"group: {pattern!r} has no named group; write one as (?P<setting>...), for example "
            f"'(?P<setting>.*)_s(?P<seed>\\d+)'",
        )

    def match(self, path: Path) -> tuple[str, int | None] | None:
        """(group, seed where the name tells one); None where the pattern does not match."""
        matched = self._whole.fullmatch(plain_name(path))
        if matched is None:
            return None
        parts = {name: matched[name] or "" for name in self.names}
        group = next(iter(parts.values())) if len(parts) == 1 else ", ".join(f"{k}={v}" for k, v in parts.items())
        seed = matched.groupdict().get(SEED)
        return group, int(seed) if seed is not None and re.fullmatch(r"\d{1,18}", seed) else None


@dataclass(frozen=True)
class Group:
    """What the logs of one group say about one held-out split."""

    name: str
    split: str
    n: int
    """Logs with a verdict on this split, those that cannot be classed included."""
    verdicts: dict[str, int]
    """Label -> count, the most frequent first."""
    T_gen: "Survival | None"
    """When the threshold was reached, with the interval of the median; not reached is censored, never dropped. Logs in
    which the split was never evaluated have no time; None where no log has one."""

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "T_gen": None if self.T_gen is None else self.T_gen.to_dict()}


@dataclass(frozen=True)
class Comparison:
    """Two groups' T_gen on one split by the log-rank test."""

    split: str
    groups: tuple[str, str]
    test: "LogRank"
    p_holm: float | None
    """Holm's adjusted p over all pairs of this split; None where the test cannot tell."""

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "groups": list(self.groups), "test": self.test.to_dict()}


def by_group(logs_by_group: Mapping[str, Sequence["Mapping[str, Verdict]"]]) -> tuple[list[Group], list[Comparison]]:
    """Groups (name -> each log's split -> verdict) as rows, split by split, and the tests between them.

    Pairs of more than `COMPARED` groups are not tested. Misleads where the logs of a group differ by more than the
    seed: the pattern says what belongs together, and nothing checks it.
    """
    splits = dict.fromkeys(split for logs in logs_by_group.values() for log in logs for split in log)
    rows: list[Group] = []
    tests: list[Comparison] = []
    for split in splits:
        of_split = {name: [log[split] for log in logs if split in log] for name, logs in logs_by_group.items()}
        of_split = {name: verdicts for name, verdicts in of_split.items() if verdicts}
        rows += [_group(name, split, verdicts) for name, verdicts in of_split.items()]
        if 2 <= len(of_split) <= COMPARED:
            tests += _compared(split, of_split)
    return rows, tests


def _group(name: str, split: str, verdicts: Sequence["Verdict"]) -> Group:
    from grokscope.trajectory import survival

    counts = Counter(v.label for v in verdicts)
    times = _times(verdicts)
    return Group(name, split, len(verdicts), dict(counts.most_common()), survival(times) if len(times) else None)


def _times(verdicts: Sequence["Verdict"]) -> "Times":
    from grokscope.trajectory import times_of

    return times_of(v.milestones for v in verdicts if v.milestones.evaluations)


def _compared(split: str, groups: Mapping[str, Sequence["Verdict"]]) -> list[Comparison]:
    from grokscope.trajectory import logrank

    times = {name: _times(verdicts) for name, verdicts in groups.items()}
    tests = {pair: logrank(times[pair[0]], times[pair[1]]) for pair in combinations(groups, 2)}
    p_values = {pair: test.p for pair, test in tests.items() if test.p is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return [Comparison(split, pair, test, adjusted.get(pair)) for pair, test in tests.items()]
