"""The first screen of a page: question, findings, certainty, and what would resolve open questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from grokscope.report.read.judged_run import Reading, unit_of
from grokscope.report.read.material import Material
from grokscope.report.read.matrix import fits
from grokscope.report.read.summary import headline, stands, summarize
from grokscope.report.read.survival import arms, median_words
from grokscope.report.read.tables import expectation_rows, expectation_verdict
from grokscope.results.factorial import Response, design_of
from grokscope.results.hypothesis import HypothesisResult, results_of
from grokscope.results.seed_tests import ENOUGH
from grokscope.vocabulary.text import listed, p_equation, percent, plural
from grokscope.vocabulary.verdicts import those

ANSWERED = 4
"""So many hypotheses are asked and answered before anything else; all are in their section."""
NAMED = 6
"""Up to so many groups have their median time on the first screen; all are in the section on times."""
OVER = ("failed", "unreadable", "no verdict")
"""States of runs without a verdict that will get none by training on."""
WAITING = those(lambda kind: kind.may_change)
"""Verdicts that a longer budget can change."""


@dataclass(frozen=True)
class FirstScreen:
    """Sentences, in the order in which they are read."""

    asked: list[str]
    findings: list[str]
    answered: bool
    """Whether the sentences after the first answer hypotheses."""
    verdict: tuple[str, str] | None
    """Color role and sentence: whether the study's expectations held."""
    sure: list[str]
    decides: list[str]


def first_screen(material: Material) -> FirstScreen:
    results = results_of((material.study or {}).get("hypotheses"))
    rows = expectation_rows(material.expectations or [])
    groups = material.groups()
    return FirstScreen(
        asked=_asked(material, results),
        findings=_findings(material, groups, results),
        answered=bool(results),
        verdict=expectation_verdict(rows) if rows else None,
        sure=_sure(material, groups, results),
        decides=_decides(material, groups, results),
    )


def _asked(material: Material, results: Sequence[HypothesisResult]) -> list[str]:
    """The hypotheses, else the claim; a page without a study says that nothing was."""
    if results:
        return [_sentence(r.asked) for r in results[:ANSWERED]] + _more(results)
    study = material.study or {}
    if study.get("claim"):
        return [str(study["claim"])]
    if material.expectations:
        return [f"Whether {plural(len(material.expectations), 'expectation')} of the study hold."]
    return ["No hypotheses were preregistered; this page is descriptive."]


def _more(results: Sequence[HypothesisResult]) -> list[str]:
    left = len(results) - ANSWERED
    return [f"And {plural(left, 'hypothesis', 'hypotheses')} more, below."] if left > 0 else []


def _findings(
    material: Material, groups: Mapping[str, Sequence[Reading]], results: Sequence[HypothesisResult]
) -> list[str]:
    """The headline; then the answers or the effects of a design with their intervals, or, where nothing was asked so,
    when runs generalized."""
    summary = summarize(material.lead)
    first = headline(summary, int((material.study or {}).get("planned", 0)))
    if results:
        return [first, *(r.answer for r in results[:ANSWERED])]
    return [first, *(_effects(material) or _times(groups))]


def _effects(material: Material) -> list[str]:
    """Of a designed study, the effects on each response whose interval leaves out no effect, and the names of the
    others; nothing while runs are missing."""
    design = design_of((material.study or {}).get("design"))
    responses = design.responses if design is not None else ()
    return [_of_response(r) for r in responses if r.outcome == "told"][:ANSWERED]


def _of_response(response: Response) -> str:
    seen = [e for e in response.effects if e.excludes(response.null)]
    others = [e.name for e in response.effects if not e.excludes(response.null)]
    name = f"{response.response[:1].upper()}{response.response[1:]}"
    front = f"{name}, {response.effect_name}, {plural(response.seeds, 'seed')} in every cell: "
    if not seen:
        return f"{front}no effect is distinguishable from zero."
    least = p_equation(min(e.p_adjusted for e in seen))
    apart = f" Not distinguishable from zero: {listed(others)}." if others else ""
    words = "; ".join(e.in_words(response.null) for e in seen)
    return f"{front}{words}. Corrected for {plural(len(response.effects), 'effect')}, the smallest is {least}.{apart}"


def _times(groups: Mapping[str, Sequence[Reading]]) -> list[str]:
    """Median T_gen with its interval, of several groups where no tiles stand beside theirs; or how many runs reached it
    at all with the exact interval of the share."""
    judged = [arm for arm in arms(groups, "T_gen") if len(arm.times)]
    runs, reached = sum(len(arm.times) for arm in judged), sum(arm.times.events for arm in judged)
    if runs < 2:
        return []
    if not reached:
        pooled = ", groups pooled" if len(judged) > 1 else ""
        return [f"The threshold was reached in 0 of {runs:,} runs{pooled} ({_share(reached, runs)})."]
    if len(judged) > NAMED or (len(judged) > 1 and fits(groups)):
        return []
    unit = f"{unit_of(list(chain.from_iterable(groups.values())))}s"
    mixed = len({arm.split for arm in judged}) > 1
    words = [(f"{a.group} on {a.split}" if mixed else a.group, *median_words(a.estimate)) for a in judged]
    if len(words) == 1:
        return [f"Median T_gen: {words[0][1]} {unit} ({words[0][2]})."]
    intervals = {interval for _, _, interval in words}
    if len(intervals) == 1:
        medians = "; ".join(f"{name}: {middle}" for name, middle, _ in words)  # names end in numbers: decay 1
        return [f"Median T_gen in {unit}, of {medians} ({intervals.pop()})."]
    return [
        f"Median T_gen in {unit}, of {'; '.join(f'{name}: {middle} ({spread})' for name, middle, spread in words)}."
    ]


def _share(count: int, of: int) -> str:
    """Clopper and Pearson's interval (1934, doi:10.1093/biomet/26.4.404)."""
    from scipy.stats import binomtest

    low, high = binomtest(count, of).proportion_ci(0.95, "exact")
    return f"95 % of the share: {percent(low)} to {percent(high)}"


def _sure(
    material: Material, groups: Mapping[str, Sequence[Reading]], results: Sequence[HypothesisResult]
) -> list[str]:
    """Finished and planned runs by group, fragile verdicts; then what weakens it."""
    lines = [str((material.study or {}).get("standing") or stands(groups))]
    exploratory = [r.name for r in results if r.departures]
    if exploratory:
        names = plural(len(exploratory), "hypothesis", "hypotheses")
        lines.append(f"Exploratory: {names} declared or changed after the runs had begun ({listed(exploratory[:3])}).")
    fewest = min((len(members) for members in groups.values()), default=0)
    if 0 < fewest < ENOUGH:
        lines.append(
            f"Groups of fewer than {ENOUGH} runs: single seeds can decide the result, so no difference is "
            f"called established."
        )
    return lines


def _decides(
    material: Material, groups: Mapping[str, Sequence[Reading]], results: Sequence[HypothesisResult]
) -> list[str]:
    """Seeds, steps or finished runs that would settle what is open."""
    lines = list(chain.from_iterable(_seeds(r) for r in results[:ANSWERED]))
    summary = summarize(material.lead)
    unfinished = sum(len(v) for state, v in summary.open.items() if state not in OVER)
    planned = int((material.study or {}).get("planned", 0))
    missing = unfinished + max(planned - summary.total, 0)
    if missing:
        lines.append(f"The {plural(missing, 'run')} that {'is' if missing == 1 else 'are'} not finished.")
    lines += _elsewhere(material, summary.open.get("no verdict", []))
    waiting = [r for name in WAITING for r in summary.outcomes.get(name, [])]
    if waiting:
        lines.append(f"A longer budget: {plural(len(waiting), 'run')} had not generalized when it ended.")
    fragile = [r for r in material.lead if r.final_verdict and r.verdict is not None and not r.verdict.robust]
    tested = [r for r in fragile if r.verdict is not None and r.verdict.neighbors]
    if tested:
        lines.append(f"For {plural(len(tested), 'fragile verdict')}: a longer log or a finer grid of evaluations.")
    fewest = min((len(members) for members in groups.values()), default=0)
    if not results and len(groups) > 1 and fewest < ENOUGH:
        lines.append(f"For differences between groups: {ENOUGH} or more seeds in each.")
    return lines or ["Nothing is undecided at this budget and these thresholds."]


def _elsewhere(material: Material, silent: Sequence[Reading]) -> list[str]:
    """Finished runs that have no verdict on the split that leads them, and the split on which most have one."""
    by_lead: dict[str, list[Reading]] = {}
    for reading in silent:
        by_lead.setdefault(reading.split, []).append(reading)
    return [_without(material, lead, members) for lead, members in by_lead.items()]


def _without(material: Material, lead: str, silent: Sequence[Reading]) -> str:
    names = {r.subject.name for r in silent}
    others = [split for split in material.splits if split != lead]
    judged = {s: sum(r.final_verdict for r in material.readings[s] if r.subject.name in names) for s in others}
    front = f"{plural(len(silent), 'finished run')} without a verdict on {lead}"
    best = max(judged, key=judged.__getitem__, default=None)
    if best is None or not judged[best]:
        return f"{front}: their logs lack what it takes."
    return f"{front}: {judged[best]:,} of them have one on {best}, for a page that leads with it (--split {best})."


def _seeds(result: HypothesisResult) -> list[str]:
    """How many would decide the effect that was seen; nothing for one that was decided."""
    if result.outcome in ("shown", "opposite") or result.test is None:
        return []
    now = " and ".join(f"{arm.finished:,}" for arm in result.arms)
    if result.test.seeds_to_decide is None:
        return [f"{_name(result)}: no number of seeds is known to be enough for the observed effect ({now} now)."]
    return [f"{_name(result)}: {plural(result.test.seeds_to_decide, 'seed')} in each arm ({now} now)."]


def _name(result: HypothesisResult) -> str:
    return f"{result.name[:1].upper()}{result.name[1:]}"


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}"
