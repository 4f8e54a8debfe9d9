"""Declarations of a study made before it was run, stored next to its runs; and later changes.

``study run`` writes, for each hypothesis, a hash of its block and of the settings of its runs, the seeds planned for
each arm, the date, and how many of these runs had begun by then. A test is ``declared`` where all that was there before
the first of its runs began and is as it was; anything else makes it exploratory, and says why.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from grokscope.configio import content_hash
from grokscope.results.hypothesis import Declaration, Declarations
from grokscope.study.hypothesis import Hypothesis
from grokscope.study.run_state import NOT_BEGUN, StudyRun
from grokscope.vocabulary.text import plural

FOLDER = "hypotheses"
"""Below the root of the runs."""


def declarations_path(root: str | Path, study: str) -> Path:
    """The file of a study's declarations; the hash keeps names apart that differ in signs only."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", study)[:80]
    name = plain if plain == study else f"{plain}-{content_hash(study)[:8]}"
    return Path(root) / FOLDER / f"{name}.json"


def declare(study: str, hypotheses: Sequence[Hypothesis], runs: Sequence[StudyRun], root: str | Path) -> None:
    """Add to the file what is not declared there yet; nothing in it is ever changed.

    Raises:
        ValueError: naming the file, where it is damaged or of a newer version.
    """
    if not hypotheses:
        return
    path = declarations_path(root, study)
    known = Declarations.read(path).declared if path.exists() else ()
    begun = {s.entry.config.run_id() for s in runs if s.state not in NOT_BEGUN}
    new = [d for h in hypotheses if (d := _declaration(h, known, begun, root)) is not None]
    if new:
        Declarations(study=study, declared=(*known, *new)).write(path)


def _declaration(
    h: Hypothesis, known: Iterable[Declaration], begun: Iterable[str], root: str | Path
) -> Declaration | None:
    """None where the same stands there already."""
    earlier = [d for d in known if d.hypothesis == h.name]
    if any(d.digest == h.digest and dict(d.seeds) == dict(h.seeds) for d in earlier):
        return None
    runs = [run for group in h.planned for run in group]
    # whoever trains a part of the study sees the folders of the rest, and those of an earlier form of this hypothesis
    known_runs = {*runs, *(run for d in earlier for run in d.runs)}
    there = {run for run in known_runs if (Path(root) / run / "config.json").exists()}
    return Declaration(
        hypothesis=h.name,
        digest=h.digest,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        seeds=dict(h.seeds),
        runs=tuple(runs),
        begun=len(there | (set(runs) & set(begun))),
    )


def declared_before(h: Hypothesis, study: str, root: str | Path) -> tuple[str, list[str], Declaration | None]:
    """(date, why it is exploratory, what counts): the last declaration of these words and settings that was made
    before any run began."""
    path = declarations_path(root, study)
    try:
        known = Declarations.read(path).declared if path.exists() else ()
    except ValueError as error:
        return "", [f"what was declared cannot be read: {error}"], None
    earlier = [d for d in known if d.hypothesis == h.name]
    same = [d for d in earlier if d.digest == h.digest]
    if not earlier:
        return "", ["it was not declared: no `grokscope study run` with it stands beside the runs"], None
    if not same:
        return "", [f"it, or the settings of its runs, were changed after it was declared on {earlier[-1].date}"], None
    in_time = [d for d in same if d.begun == 0]
    if not in_time:
        first = same[0]
        return first.date, [f"it was declared on {first.date}, when {plural(first.begun, 'run')} had begun"], None
    return in_time[-1].date, [], in_time[-1]


def departures(h: Hypothesis, groups: Sequence[Sequence[StudyRun]], declaration: Declaration) -> list[str]:
    """What is not as it was declared: seeds added or left out, and runs trained on beyond their budget."""
    out = []
    for name, group in zip(h.names, groups, strict=True):
        planned, present = set(declaration.seeds[name]), {s.entry.config.seed for s in group}
        if missing := planned - present:
            out.append(f"{plural(len(missing), 'seed')} declared for {name} left out")
        if (added := present - planned) and len(present) not in h.looks:
            out.append(f"{plural(len(added), 'seed')} of {name} added after it was declared")
        if h.looks and len(present) not in h.looks:
            looks = " or ".join(map(str, h.looks))
            out.append(f"tested at {plural(len(present), 'seed')} of {name}, declared for {looks}")
    longer = sum(s.step > s.total for group in groups for s in group)
    if longer:
        out.append(f"{plural(longer, 'run')} trained beyond the declared budget")
    return out
