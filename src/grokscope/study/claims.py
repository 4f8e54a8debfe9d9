"""Every claim of every study file, with its outcome from the saved results.

    results = gather(shipped_studies().values(), [Path("studies/results")])

Nothing is trained, and nothing but text is read: study files, files of claims that no study tests, and saved results. A
file that cannot be used is one message, and costs no other file its claims.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from grokscope.inference.claim_outcome import OUTCOMES, bearing, outcome_of_claim
from grokscope.results.claims import ClaimEvidence, ClaimFigure, ClaimResult, Claims
from grokscope.results.effective_size import SizeComparison
from grokscope.results.hypothesis import HypothesisResult
from grokscope.results.saved import MANIFEST, SavedStudy
from grokscope.study.answers import seen_words
from grokscope.study.check import CheckRow
from grokscope.study.claim_curves import Block, figure_of
from grokscope.study.claimed import Claimed, ClaimList, read_claim_list
from grokscope.study.conditions import matches
from grokscope.study.effective_size import SizeQuestion
from grokscope.study.expect import ComparedExpectation, RatioExpectation
from grokscope.study.hypothesis import Hypothesis
from grokscope.study.measured import MeasuredRatio
from grokscope.study.run_state import StudyRun
from grokscope.study.saved.outcome import outcome_of
from grokscope.study.saved.read import SavedResult, read_saved
from grokscope.study.saved.write import first_difference
from grokscope.study.study import Study
from grokscope.vocabulary.text import listed, plural

Note = Callable[[str], None]


@dataclass(frozen=True)
class Gathered:
    """All claims, and the figures of those that have one by id."""

    claims: Claims
    figures: Mapping[str, ClaimFigure]


@dataclass(frozen=True)
class _Judged:
    """What the saved result of one study says, by the names of its blocks."""

    rows: Mapping[str, CheckRow]
    answers: Mapping[str, HypothesisResult]
    sizes: Mapping[str, SizeComparison]
    runs: Sequence[StudyRun]
    standing: str
    origin: str


def gather(
    studies: Iterable[Path], claim_lists: Iterable[Path], results: Sequence[Path], note: Note = lambda _: None
) -> Gathered:
    """Read the claims of these files and judge them by the saved results.

    Args:
        studies: study files; those without ``[[claimed]]`` have nothing to say.
        claim_lists: files of claims that no study tests.
        results: folders of saved studies; the first that has a study counts.
        note: hears of progress.
    """
    claims: list[ClaimResult] = []
    figures: dict[str, ClaimFigure] = {}
    problems: list[str] = []
    for path in studies:
        try:
            study = Study.load(path)
        except ValueError as error:
            problems.append(str(error))
            continue
        if study.claimed:
            note(study.name)
            claims += _of_study(study, results, figures, problems)
    for path in claim_lists:
        try:
            claims += [_untested(claim, "") for claim in read_claim_list(path).claimed]
        except ValueError as error:
            problems.append(str(error))
    return Gathered(_counted(_once(claims, problems), problems), figures)


def _once(claims: Sequence[ClaimResult], problems: list[str]) -> list[ClaimResult]:
    """Each id once: a second claim of the same name is a problem, and stays out."""
    kept: dict[str, ClaimResult] = {}
    for claim in claims:
        if claim.id in kept:
            problems.append(f"two claims are called {claim.id!r}, one of {kept[claim.id].study or 'a list'} and one "
                f"of {claim.study or 'a list'}: the second is excluded")  # fmt: skip
        else:
            kept[claim.id] = claim
    return sorted(kept.values(), key=lambda c: c.source)


def _counted(claims: Sequence[ClaimResult], problems: Sequence[str]) -> Claims:
    often = Counter(claim.outcome for claim in claims)
    counts = {outcome: often[outcome] for outcome in OUTCOMES}
    return Claims(grokscope=version("grokscope"), counts=counts, claims=tuple(claims), problems=tuple(problems))


def _of_study(
    study: Study, results: Sequence[Path], figures: dict[str, ClaimFigure], problems: list[str]
) -> list[ClaimResult]:
    folder = next((root / study.name for root in results if (root / study.name / MANIFEST).exists()), None)
    if folder is None:
        return [_untested(claim, study.name) for claim in study.claimed]
    try:
        saved = read_saved(folder)
        with saved.unpacked(study) as root:
            judged = _judge(study, saved, root, problems)
            for claim in study.claimed:
                conditions = chain.from_iterable(_groups(study, name) for name, _ in claim.tested_by[:1])
                if (figure := figure_of(_block(study, claim), list(conditions), judged.runs)) is not None:
                    figures[claim.id] = figure
    except ValueError as error:
        problem = str(error) if str(error).startswith(str(folder)) else f"{folder}: {error}"
        problems.append(problem)
        return [_unusable(claim, study.name, problem) for claim in study.claimed]
    return [_tested(claim, study, judged) for claim in study.claimed]


def _judge(study: Study, saved: SavedResult, root: Path, problems: list[str]) -> _Judged:
    """The saved rows, judged now. Where that says otherwise than when it was saved, it counts, and is a problem."""
    if gone := saved.gone(study):
        runs = plural(len(gone), "run")
        problems.append(f"{saved.folder}: {runs} of it are no longer part of this study file, and are excluded")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of neighbors and of luck: the study's own report says them
        rows, standing, tested = answered = study.answered(root)
        sizes = study.effective_sizes(root)
        different = None
        if not gone:
            different = first_difference(saved.outcome, outcome_of(study, root, answered))
    if different is not None:
        problems.append(f"{saved.folder}: its rows disagree with its outcome.json ({different}); the rows "
            f"count")  # fmt: skip
    return _Judged(
        rows={row.name: row for row in rows if row.name},
        answers={result.name: result for result in tested.results},
        sizes={comparison.name: comparison for comparison in sizes.comparisons},
        runs=study.status(root),
        standing=standing,
        origin=_origin(saved.manifest),
    )


def _origin(manifest: SavedStudy) -> str:
    """``Intel Xeon, 16 CPUs; torch 2.11.0, Python 3.12.3; commit 2b49780b, with changes; 2026-11-26``."""
    machines = [_machine(machine) for machine in manifest.machines]
    dates = sorted({run.ended for run in manifest.runs if run.ended})
    when = " to ".join(dict.fromkeys(dates[:1] + dates[-1:]))
    if when:
        return "; ".join([*dict.fromkeys(machines), when])
    return "; ".join(dict.fromkeys(machines))


def _machine(machine: Mapping[str, Any]) -> str:
    git = machine.get("git") or {}
    changes = ", with changes" if git.get("dirty") else ""
    packages = machine.get("packages") or {}
    parts = [
        f"{machine.get('processor', '')}, {machine.get('cpus', '?')} CPUs, on {machine.get('device', 'cpu')}",
        f"torch {packages.get('torch', '?')}, Python {machine.get('python', '?')}",
        f"commit {str(git.get('commit', 'unknown'))[:8]}{changes}",
    ]
    return "; ".join(parts)


# -- one claim --------------------------------------------------------------------------------------------------------


def _tested(claim: Claimed, study: Study, judged: _Judged) -> ClaimResult:
    evidence = [_evidence(study, name, supports, judged) for name, supports in claim.tested_by]
    evidence += _recomputed(claim)
    outcome, at_scale = outcome_of_claim(
        [e.bearing for e in evidence], saved=True, toy=bool(claim.toy), contradicted=bool(claim.contradicted)
    )
    return _result(claim, study.name, evidence, (outcome, at_scale), judged.standing, judged.origin)


def _untested(claim: Claimed, study: str) -> ClaimResult:
    """A claim without a saved result: only what is recomputed from published counts can be said of it."""
    evidence = _recomputed(claim)
    decided = outcome_of_claim(
        [e.bearing for e in evidence], saved=bool(evidence), toy=False, contradicted=bool(claim.contradicted)
    )
    return _result(claim, study, evidence, decided)


def _unusable(claim: Claimed, study: str, problem: str) -> ClaimResult:
    result = _result(claim, study, [], ("inconclusive", ""))
    return ClaimResult(**{**_fields(result), "why": f"its saved result cannot be used: {problem}"})


def _fields(result: ClaimResult) -> dict[str, Any]:
    return {name: getattr(result, name) for name in result.__dataclass_fields__}


def _result(
    claim: Claimed,
    study: str,
    evidence: Sequence[ClaimEvidence],
    decided: tuple[Any, str],
    standing: str = "",
    origin: str = "",
) -> ClaimResult:
    outcome, at_scale = decided
    return ClaimResult(
        id=claim.id,
        quote=claim.quote,
        claim=claim.claim,
        source=claim.source,
        place=claim.place,
        study=study,
        outcome=outcome,
        at_scale=at_scale,
        why=_why(claim, study, outcome),
        note=claim.note,
        evidence=tuple(evidence),
        standing=standing,
        origin=origin,
        command=_command(claim, study),
    )


def _why(claim: Claimed, study: str, outcome: str) -> str:
    if claim.contradicted:
        return claim.contradicted
    if outcome == "not run here":
        return claim.not_run or f"no result of the study {study} is kept"
    return claim.toy


def _command(claim: Claimed, study: str) -> str:
    if claim.recomputed:
        return "grokscope archive inference"
    if not study:
        return ""
    return f"grokscope claims --run {study}"


def _recomputed(claim: Claimed) -> list[ClaimEvidence]:
    if not claim.recomputed:
        return []
    from grokscope.inference.published import recomputed

    known = recomputed(claim.recomputed)
    word = "held" if known.agrees else "refuted"
    return [
        ClaimEvidence(
            name=claim.recomputed, asked=known.published, seen=known.seen, word=word, bearing=bearing(word, True),
            finished=0, planned=0, share=None, note="recomputed from the published counts",
        )
    ]  # fmt: skip


# -- what tests it ----------------------------------------------------------------------------------------------------


def _evidence(study: Study, name: str, supports: bool, judged: _Judged) -> ClaimEvidence:
    groups = _groups(study, name)
    runs = [s for s in judged.runs if any(matches(s.entry, where) for where in groups)]
    hypothesis = next((h for h in study.hypotheses if h.name == name), None)
    if hypothesis is not None:
        answer = judged.answers[name]
        exploratory = ", exploratory" if answer.standing == "exploratory" else ""
        asked, seen, word = answer.asked, seen_words(answer) + exploratory, answer.outcome
        share, note = None, hypothesis.note
    elif name in judged.sizes:
        sizes = judged.sizes[name]
        asked = f"{sizes.other} performs like {sizes.plain} with a larger training set"
        seen, word = "; ".join(answer.says for answer in sizes.answers), sizes.word
        share, note = None, ""
    else:
        row = judged.rows[name]
        asked, seen, word = f"{row.where}: {row.expected}", row.seen, row.word
        share, note = _interval(row), row.note
    return ClaimEvidence(
        name=name,
        asked=asked,
        seen=seen,
        word=word,
        bearing=bearing(word, supports),
        finished=sum(s.finished for s in runs),
        planned=len(runs),
        share=share,
        note=note,
    )


def _interval(row: CheckRow) -> tuple[float, float] | None:
    """Of the share of runs that show it."""
    if row.met is None or not row.of:
        return None
    from scipy.stats import binomtest

    interval = binomtest(row.met, row.of).proportion_ci(0.95, method="exact")
    return float(interval.low), float(interval.high)


def _groups(study: Study, name: str) -> list[Mapping[str, Any]]:
    """The conditions of the runs that a block speaks of."""
    return [where for block in _blocks(study) if block.name == name for where in _conditions(block)]


def _block(study: Study, claim: Claimed) -> "Block | None":
    """The first block that tests a claim."""
    names = [name for name, _ in claim.tested_by[:1]]
    return next((block for block in _blocks(study) if block.name in names), None)


def _blocks(study: Study) -> Iterator[Block]:
    yield from study.expectations
    yield from study.hypotheses
    yield from study.sizes


def _conditions(block: Block) -> Sequence[Mapping[str, Any]]:
    match block:
        case Hypothesis() | SizeQuestion():
            return block.groups
        case ComparedExpectation():
            return block.hypothesis.groups
        case RatioExpectation() | MeasuredRatio():
            return [block.of, block.to]
        case _:
            return [block.where]


def sources(claims: Claims) -> list[str]:
    """Every source, once, in order."""
    return list(dict.fromkeys(claim.source for claim in claims.claims))


def in_words(claims: Claims) -> str:
    """``47 claims: 12 verified, 5 verified in part, ...``."""
    parts = [f"{n} {outcome}" for outcome, n in claims.counts.items() if n]
    if not parts:
        return "no claims"
    return f"{plural(len(claims.claims), 'claim')}: {listed(parts)}"


__all__ = ["ClaimList", "Gathered", "gather", "in_words", "sources"]
