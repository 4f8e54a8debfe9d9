"""The result in one sentence, with counts that add up to the launched runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from itertools import chain

from grokscope.inference.claims import standing
from grokscope.report.read.glossary import VERDICTS
from grokscope.report.read.judged_run import FINAL_STATES, STATE_WORDS, Reading
from grokscope.vocabulary.text import listed, plural
from grokscope.vocabulary.verdicts import KINDS


@dataclass(frozen=True)
class Summary:
    """Every launched run is in exactly one of `outcomes` (verdicts of finished runs) and `open` (state -> runs without
    a final verdict); `states` counts all of them by state."""

    total: int
    outcomes: dict[str, list[Reading]]
    open: dict[str, list[Reading]]
    states: dict[str, int]

    @property
    def judged(self) -> int:
        return sum(map(len, self.outcomes.values()))


def summarize(readings: Sequence[Reading]) -> Summary:
    order = [*VERDICTS, *(r.outcome for r in readings)]
    outcomes: dict[str, list[Reading]] = {}
    waiting: dict[str, list[Reading]] = {}
    for reading in readings:
        bucket = outcomes if reading.final_verdict else waiting
        bucket.setdefault(reading.outcome if reading.final_verdict else reading.open_state, []).append(reading)
    states = Counter(r.subject.state for r in readings)
    known = [*STATE_WORDS, *states]
    return Summary(
        len(readings),
        {k: outcomes[k] for k in dict.fromkeys(order) if k in outcomes},
        {k: waiting[k] for k in dict.fromkeys([*known, *waiting]) if k in waiting},
        {k: states[k] for k in dict.fromkeys(known) if k in states},
    )


def counts(readings: Sequence[Reading]) -> list[tuple[str, int]]:
    """Outcomes and how often, verdicts in the glossary's order first; unfinished runs are counted by their state."""
    tally = Counter(r.outcome if r.final_verdict else STATE_WORDS.get(r.open_state, r.open_state) for r in readings)
    return [(name, tally[name]) for name in dict.fromkeys([*VERDICTS, *tally]) if name in tally]


def headline(summary: Summary, planned: int = 0) -> str:
    """One sentence: what share grokked, what the others did, and what is still missing; of the `planned` runs where
    more were planned than have begun."""
    if summary.total == 0:
        return "There are no runs to report on."
    total = max(planned, summary.total)
    missing = total - summary.total
    waiting = [f"{len(r):,} {_open_words(state, len(r))}" for state, r in summary.open.items()]
    waiting += [f"{missing:,} {_open_words('planned', missing)}"] if missing else []
    if not summary.outcomes and total == 1:
        return _single_open(summary)
    if not summary.outcomes:
        return f"None of {plural(total, 'run')} has a verdict yet: {listed(waiting)}."
    if total == 1:
        return _single(next(iter(summary.outcomes.values()))[0])
    body = _judged({name: len(members) for name, members in summary.outcomes.items()}, total)
    sentence = f"{body[0].upper()}{body[1:]}"
    return f"{sentence}; {listed(waiting)}." if waiting else f"{sentence}."


def stands(groups: Mapping[str, Sequence[Reading]]) -> str:
    """The runs that a page without a study rests on: finished ones by group, and how many verdicts are fragile."""
    finished = {
        name: (sum(r.subject.state in FINAL_STATES for r in members), len(members)) for name, members in groups.items()
    }
    judged = [r.verdict for r in chain.from_iterable(groups.values()) if r.final_verdict and r.verdict is not None]
    tested = [v for v in judged if v.verdict is not None and v.neighbors]
    return standing(finished, len(tested), sum(not v.robust for v in tested), noun="run")


VERB = {kind.name: kind.predicate for kind in KINDS if kind.predicate}


def _judged(counts: dict[str, int], total: int) -> str:
    (first, count), *others = counts.items()
    rest = [f"{n:,} {VERB.get(name, name)}" for name, n in others]
    if first == "grokked":
        share = "all" if count == total else f"{count:,} of"
        return listed([f"{share} {plural(total, 'run')} grokked", *rest])
    if count == total:
        return f"none of {plural(total, 'run')} grokked: all {VERB.get(first, first)}"
    return f"none of {plural(total, 'run')} grokked: {listed([f'{count:,} {VERB.get(first, first)}', *rest])}"


def _single(reading: Reading) -> str:
    verb = VERB.get(reading.outcome, reading.outcome)
    verb = f"was {verb}" if reading.outcome == "rising" else verb
    if reading.verdict is None:
        return f"The run {verb}."
    return f"The run {verb}: {reading.verdict.reason}."


def _single_open(summary: Summary) -> str:
    state, (reading,) = next(iter(summary.open.items()))
    so_far = f": so far {reading.outcome}" if reading.provisional else ""
    return f"The run {_open_words(state, 1)}{so_far}."


def reconciliation(summary: Summary) -> str:
    """``12 runs launched = 9 finished + 1 diverged + 1 failed + 1 still running``."""
    parts = " + ".join(f"{n:,} {STATE_WORDS.get(s, s)}" for s, n in summary.states.items())
    return f"{plural(summary.total, 'run')} launched = {parts}" if summary.total else "no runs"


OPEN = {
    "running": ("is still running", "are still running"),
    "planned": ("is not started", "are not started"),
    "interrupted": ("was interrupted", "were interrupted"),
    "unreadable": ("could not be read", "could not be read"),
    "no verdict": ("has no verdict", "have no verdict"),
}
"""State of runs without a final verdict -> what is said of one, and of several."""


def _open_words(state: str, count: int) -> str:
    one, several = OPEN.get(state, (state, state))
    return one if count == 1 else several


def when(readings: Sequence[Reading]) -> str | None:
    """Days (UTC) on which the runs were trained, from their status files; None for logs that do not say. An imported
    run's 0 means that nobody knows."""
    known = [t for r in readings if isinstance(t := (r.subject.status or {}).get("started"), int | float)]
    stamps = [float(t) for t in known if t > 0]
    if not stamps:
        return None
    first, last = (datetime.fromtimestamp(t, UTC) for t in (min(stamps), max(stamps)))
    text = f"{first.day} {first:%B %Y}"
    return text if first.date() == last.date() else f"{text} to {last.day} {last:%B %Y}"


def versions(readings: Sequence[Reading]) -> list[str]:
    """``torch 2.14.1`` ...: every version of the main packages that any run records; several are all named."""
    recorded: dict[str, set[str]] = {}
    for reading in readings:
        for name, version in ((reading.subject.record.get("provenance") or {}).get("packages") or {}).items():
            if name in ("grokscope", "torch"):
                recorded.setdefault(name, set()).add(str(version))
    return [f"{name} {' and '.join(sorted(versions))}" for name, versions in sorted(recorded.items())]


@cache
def this_version() -> str:
    """Of grokscope, as it is installed."""
    try:
        return installed("grokscope")
    except PackageNotFoundError:
        return "(not installed)"
