"""Stopping rules on many runs and logs; an invalid source does not affect the others."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.foreign.groups import Pattern
from grokscope.foreign.judging import Progress, read_source
from grokscope.foreign.sources import Listing, Source, find_sources
from grokscope.results.stopping import Stopping, StopRule
from grokscope.store.duplicates import Held, same_run
from grokscope.store.ended import ENDED
from grokscope.vocabulary.splits import speaking
from grokscope.vocabulary.text import listed

if TYPE_CHECKING:
    from grokscope.inference.stopping import FullRun
    from grokscope.trajectory import Criteria, Trajectory


def stopping(
    paths: "str | Path | Iterable[str | Path]",
    rules: Sequence[StopRule] | None = None,
    *,
    split: str | None = None,
    group: str | None = None,
    unfinished: bool = False,
    criteria: "Criteria | None" = None,
    progress: Progress | None = None,
    **columns: Any,
) -> Stopping:
    """Replay early-stopping rules on finished runs and logs: how much grokking they miss, what they cost and save.

        result = gs.stopping("runs", [gs.StopRule(kind="patience", on="id_val_loss", patience=10)])
        result.rules[0].share_missed, result.needed

    Args:
        paths: run folders, folders, log files or patterns, as for `grokscope.verdicts_of_logs`.
        rules: the rules to replay; by default, patience of 3 to 100 evaluations on the losses and scores of train and
            held-out splits, and the train score at its fit threshold.
        split: held-out split by which runs are judged; by default their headline split.
        group: regular expression for each path, as for `grokscope.verdicts_of_logs`; by default, runs are grouped by
            their regime, and every log is its own group.
        unfinished: also replay runs that have not ended, as if their last evaluation were the end.
        criteria: thresholds of the verdicts.
        progress: is called with the number of sources read and of all.
        columns: for logs, see `grokscope.trajectory.from_log`.

    Raises:
        ValueError: if nothing could be judged, for a rule whose column no run has, or for an invalid group pattern.
    """
    return replay_sources(
        find_sources([paths] if isinstance(paths, str | Path) else paths),
        rules,
        split=split,
        group=group,
        unfinished=unfinished,
        criteria=criteria,
        progress=progress,
        columns=columns,
    )


def replay_sources(
    listing: Listing,
    rules: Sequence[StopRule] | None,
    *,
    split: str | None,
    group: str | None,
    unfinished: bool,
    criteria: "Criteria | None",
    progress: Progress | None,
    columns: dict[str, Any],
) -> Stopping:
    """`stopping` on sources that were found already. Raises as it does."""
    from grokscope.inference.stopping import default_rules, replayed
    from grokscope.trajectory import Criteria

    pattern = None if group is None else Pattern(group)
    errors, notes = dict(listing.errors), list(listing.left)
    sources = _counted_once(_ended(listing.sources, unfinished, errors, notes), notes)
    read: list[tuple[Source, Trajectory]] = []
    for done, source in enumerate(sources, 1):
        try:
            read.append((source, read_source(source, columns)))
        except ValueError as error:
            errors[source.name] = _named(source, error)
        if progress is not None:
            progress(done, len(sources))
    if not read:
        raise ValueError("\n".join(list(dict.fromkeys(errors.values()))[:5]) or "\n".join(notes) or "no runs, no logs")
    criteria = criteria or Criteria()
    judged_on = split or speaking(list(dict.fromkeys(s for _, t in read for s in t.splits)))
    runs = _judged(read, judged_on, criteria, pattern, errors, notes)
    if not runs:
        raise ValueError("\n".join(list(dict.fromkeys(errors.values()))[:5]))
    if rules is None:
        rules = default_rules(runs, judged_on, criteria.thresholds(runs[0].trajectory)[0])
    return replayed(runs, judged_on, rules, errors=errors, notes=notes)


def _ended(sources: Sequence[Source], unfinished: bool, errors: dict[str, str], notes: list[str]) -> list[Source]:
    """Logs, and runs that have ended: of others nobody knows what a stop would have missed."""
    kept: list[Source] = []
    waiting: list[Source] = []
    for source in sources:
        try:
            ended = source.run is None or source.run.status["state"] in ENDED
        except ValueError as error:
            errors[source.name] = _named(source, error)
            continue
        if not ended:
            waiting.append(source)
        if ended or unfinished:
            kept.append(source)
    if waiting:
        what = "unfinished and excluded"
        if unfinished:
            what = "unfinished: their last evaluation counts as the end"
        notes.append(f"{what}: {listed([s.name for s in waiting])}")
    return kept


def _counted_once(sources: Sequence[Source], notes: list[str]) -> list[Source]:
    """Of several folders of one run only the furthest."""
    held = {i: Held.of(s.run) for i, s in enumerate(sources) if s.run is not None}
    order = list(held)
    twice = {order[i]: order[counts] for i, counts in same_run([held[i] for i in order]).items()}
    notes += [f"{sources[i].path}: excluded: it contains the same run as {sources[j].path}" for i, j in twice.items()]
    return [source for i, source in enumerate(sources) if i not in twice]


def _judged(
    read: "Sequence[tuple[Source, Trajectory]]",
    split: str,
    criteria: "Criteria",
    pattern: Pattern | None,
    errors: dict[str, str],
    notes: list[str],
) -> "list[FullRun]":
    from grokscope.inference.stopping import FullRun
    from grokscope.trajectory.verdict import verdict

    runs, outside = [], []
    for source, trajectory in read:
        try:
            trajectory.curve(trajectory.split(split))  # a run that was never evaluated there says nothing
            judged = verdict(trajectory, split, criteria, neighbors=False)
        except ValueError as error:
            errors[source.name] = _named(source, error)
            continue
        name = _group_of(source, pattern)
        if name is None:
            outside.append(source.name)
        else:
            runs.append(FullRun(source.name, name, trajectory, judged))
    if outside:
        notes.append(f"in no group because the pattern does not match, and excluded: {listed(outside)}")
    return runs


def _group_of(source: Source, pattern: Pattern | None) -> str | None:
    if pattern is not None:
        matched = pattern.match(source.path)
        return None if matched is None else matched[0]
    if source.run is None:
        return source.name
    return source.run.label


def _named(source: Source, error: ValueError) -> str:
    words = str(error)
    if source.name in words:
        return words
    return f"{source.name}: {words}"
