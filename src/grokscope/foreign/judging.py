"""Judge each log individually, so that an invalid log does not affect the others, and form groups by name."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from grokscope.foreign.groups import Comparison, Group, Pattern, by_group
from grokscope.foreign.sources import Source, find_sources
from grokscope.store.duplicates import Held, same_run
from grokscope.store.ended import require_whole

if TYPE_CHECKING:
    from grokscope.trajectory import Criteria, Trajectory, Verdict

Progress = Callable[[int, int], None]
"""Is told how many of how many are done."""


@dataclass(frozen=True)
class JudgedLog:
    """One log (or run): its verdicts by held-out split, or why there are none."""

    name: str
    path: Path
    verdicts: "dict[str, Verdict]" = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """How the log was read, and what was left out of it."""
    error: str | None = None
    group: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class JudgedLogs(Sequence[JudgedLog]):
    """All logs in order, those that could not be read included; with a pattern of groups also what they form."""

    logs: tuple[JudgedLog, ...]
    groups: tuple[Group, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    unmatched: tuple[str, ...] = ()
    """Names of logs that the pattern does not match: judged, but in no group."""
    left: tuple[str, ...] = ()
    """What was left out of folders and of groups, in words."""

    @overload
    def __getitem__(self, index: int) -> JudgedLog: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[JudgedLog]: ...
    def __getitem__(self, index: int | slice) -> JudgedLog | Sequence[JudgedLog]:
        return self.logs[index]

    def __len__(self) -> int:
        return len(self.logs)

    @property
    def errors(self) -> dict[str, str]:
        """Name -> why it could not be judged."""
        return {log.name: log.error for log in self.logs if log.error is not None}

    def require_some(self) -> None:
        """Raises ValueError with what is wrong if not one log could be judged."""
        if any(log.error is None for log in self.logs):
            return
        errors = list(dict.fromkeys(self.errors.values()))
        more = f"\nand {len(errors) - 5} more" if len(errors) > 5 else ""
        raise ValueError("\n".join(errors[:5]) + more if errors else "no logs were given")


def verdicts_of_logs(
    paths: "str | Path | Iterable[str | Path]",
    *,
    group: str | None = None,
    criteria: "Criteria | None" = None,
    progress: Progress | None = None,
    **columns: Any,
) -> JudgedLogs:
    """Classify several logs with the same columns: files, folders of logs, or patterns.

        found = gs.verdicts_of_logs("logs/*.csv", group=r"(?P<setting>.*)_s(?P<seed>\\d+)",
                                    step="epoch", train="train_acc", held_out={"val": "val_acc"})
        found.groups, found.comparisons, found.errors

    Args:
        paths: one or many files, folders or patterns (``logs/**/*.csv``), which may include run folders.
        group: regular expression for each path without its extension: the named group ``seed`` distinguishes the runs
            of one group; the other named groups form the group's name.
        criteria: thresholds; the documented defaults if not given.
        progress: is called with the number of logs done and of all.
        columns: see `grokscope.trajectory.from_log`; the same for all logs.

    A log that cannot be read is kept with its `error`, and the others are classified. If one run has several folders,
    only the one with the most progress counts in its group; `left` lists the others.

    Raises:
        ValueError: for an invalid group pattern, or if no log could be classified.
    """
    pattern = None if group is None else Pattern(group)
    listing = find_sources([paths] if isinstance(paths, str | Path) else paths)
    logs: list[JudgedLog] = [JudgedLog(name, Path(name), error=words) for name, words in listing.errors.items()]
    for done, source in enumerate(listing.sources, 1):
        logs.append(judge_source(source, pattern, criteria, columns))
        if progress is not None:
            progress(done, len(listing.sources))
    twice = {} if pattern is None else _counted_elsewhere(listing.sources)
    together: dict[str, list[dict[str, Verdict]]] = {}
    for log in logs:
        if log.group is not None and log.error is None and log.path not in twice:
            together.setdefault(log.group, []).append(log.verdicts)
    groups, comparisons = by_group(together)
    unmatched = [
        log.name for log in logs if pattern is not None and log.group is None and log.name not in listing.errors
    ]
    judged = JudgedLogs(
        tuple(logs), tuple(groups), tuple(comparisons), tuple(unmatched), (*listing.left, *twice.values())
    )
    judged.require_some()
    return judged


def _counted_elsewhere(sources: Sequence[Source]) -> dict[Path, str]:
    """Folder of a run that is there once more -> which one is counted, in words."""
    runs = [Held.of(source.run) for source in sources if source.run is not None]
    return {
        runs[i].path: f"{runs[i].path}: judged but not counted: it contains the same run as {runs[counts].path}"
        for i, counts in same_run(runs).items()
    }


def judge_source(
    source: Source, pattern: Pattern | None, criteria: "Criteria | None", columns: dict[str, Any]
) -> JudgedLog:
    """One source's verdicts, or its error; never raises for what is wrong with it."""
    from grokscope.trajectory.verdict import verdicts

    group, seed = (pattern and pattern.match(source.path)) or (None, None)
    try:
        with warnings.catch_warnings(record=True) as caught:  # a split that a constant solves: said as a note
            warnings.simplefilter("always")
            trajectory = read_source(source, columns)
            by_split = verdicts(trajectory, criteria)
        notes = (*trajectory.notes, *(str(w.message) for w in caught))
    except ValueError as error:
        return JudgedLog(source.name, source.path, error=_with_name(source, error), group=group, seed=seed)
    return JudgedLog(source.name, source.path, by_split, notes, group=group, seed=seed)


def read_source(source: Source, columns: dict[str, Any]) -> "Trajectory":
    """The trajectory of a run, or of a log with its columns. Raises ValueError as `from_log` does."""
    from grokscope.trajectory import from_log, from_run

    if source.run is not None:
        require_whole(source.run)
        return from_run(source.run)
    return from_log(list(source.files) or source.path, **columns)


def _with_name(source: Source, error: ValueError) -> str:
    words = str(error)
    if source.name in words:
        return words
    return f"{source.name}: {words}"
