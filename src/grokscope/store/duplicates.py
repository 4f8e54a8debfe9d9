"""Duplicate runs: two folders of one identity are one seed; counting both would narrow every interval."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from grokscope import configio
from grokscope.store.ended import changed_since
from grokscope.store.folders import identity_hash
from grokscope.store.run import Run


class Held(NamedTuple):
    """A run as far as it matters here."""

    path: Path
    record: Mapping[str, Any]
    step: int
    """How far it is; -1 for one that cannot be judged."""

    @classmethod
    def of(cls, run: Run) -> "Held":
        """Reads the run's files; never raises for what is wrong with them."""
        try:
            record, status = run.record, run.status
            return cls(run.path, record, -1 if changed_since(run, status) else status["step"])
        except ValueError:
            return cls(run.path, {}, -1)


def same_run(runs: Sequence[Held]) -> dict[int, int]:
    """Index of a run that is left out -> index of the one that counts for it: of several folders of one identity the
    furthest, of equally far ones that of the run's own name, then the first by name.

    Imports, other people's loops and what could not be trained here have no identity; they are never left out.
    """
    alike: dict[str, list[int]] = {}
    for index, run in enumerate(runs):
        if (identity := identity_hash(run.record)) is not None:
            alike.setdefault(identity, []).append(index)
    out: dict[int, int] = {}
    for members in alike.values():
        first, *rest = sorted(members, key=lambda i: _rank(runs[i])) if len(members) > 1 else members
        out |= dict.fromkeys(rest, first)
    return out


def _rank(run: Held) -> tuple[int, bool, str]:
    return -run.step, not _has_own_name(run), str(run.path)


def _has_own_name(run: Held) -> bool:
    try:
        return configio.load_run(dict(run.record["config"])).run_id() == run.path.name
    except ValueError:
        return False
