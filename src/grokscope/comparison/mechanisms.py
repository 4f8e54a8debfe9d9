"""Results of the mechanism checks for the runs of both sides."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from grokscope.comparison.judging import SideJudge
from grokscope.comparison.member import Member
from grokscope.comparison.sides import Side
from grokscope.progress import watched
from grokscope.results.comparison import WordRow
from grokscope.results.mechanisms import Explanation

ASKED = 60
"""Up to so many runs the checks are asked without being told to: each reads all evaluations of a run."""


def mechanisms(a: Side, b: Side, split: str, judge: SideJudge, wanted: bool | None) -> tuple[tuple[WordRow, ...], str]:
    """(a row for each check, why there is none). `wanted`: True for any number of runs, None for a few."""
    runs = len(a.members) + len(b.members)
    if wanted is False:
        return (), "not asked"
    if wanted is None and runs > ASKED:
        return (), f"not run for more than {ASKED} runs unless --mechanisms is given"
    problems: list[str] = []
    first, second = (_explained(side.members, split, judge, problems) for side in (a, b))
    if not first or not second:
        return (), "; ".join(["no run of one side has a verdict to explain", *problems])
    counted = [_words(side) for side in (first, second)]
    names = dict.fromkeys((*counted[0], *counted[1]))
    return tuple(WordRow(name=n, a=counted[0].get(n, {}), b=counted[1].get(n, {})) for n in names), "; ".join(problems)


def _explained(members: Sequence[Member], split: str, judge: SideJudge, problems: list[str]) -> list[Explanation]:
    """Of every run with a verdict on the split; one that cannot be explained does not cost the others theirs."""
    out = []
    for m in watched(judge.counted(members, split), "explained"):
        try:
            out.append(_explain(m, split, judge))
        except ValueError as error:
            problems.append(str(error))
    return out


def _explain(m: Member, split: str, judge: SideJudge) -> Explanation:
    from grokscope.mechanism import Setup, case_of_run, case_of_trajectory, explain

    if m.run is not None:
        return explain(case_of_run(m.run, split, judge.criteria))
    return explain(case_of_trajectory(m.trajectory, Setup(), split, judge.criteria))


def _words(explanations: Sequence[Explanation]) -> dict[str, dict[str, int]]:
    """Check -> word -> runs; a claim about what a run does not have does not apply to it."""
    out: dict[str, list[str]] = {}
    for finding in chain.from_iterable(explanation.findings for explanation in explanations):
        word = finding.word if finding.applies else "does not apply"
        out.setdefault(finding.check, []).append(word)
    return {check: dict(Counter(words).most_common()) for check, words in out.items()}
