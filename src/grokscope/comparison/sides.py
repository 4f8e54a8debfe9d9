"""The two sides of a comparison: a run, a folder or pattern of runs, a study or one of its arms, or logs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.comparison.member import Member, in_steps, member_of_log, member_of_run, member_of_study
from grokscope.config import require
from grokscope.foreign.groups import Pattern
from grokscope.foreign.judging import read_source
from grokscope.foreign.sources import Listing, Source, find_sources
from grokscope.progress import watched, without_collector
from grokscope.registry import nearest
from grokscope.report.read.subjects import Subject, gather
from grokscope.results.comparison import Kind
from grokscope.store.duplicates import Held, same_run
from grokscope.store.run import METRICS, Run
from grokscope.store.same_data import version_of
from grokscope.study import Study, find_study
from grokscope.vocabulary.text import first_of, listed, plural
from grokscope.vocabulary.time_units import STEPS, time_unit_of

if TYPE_CHECKING:
    from grokscope.trajectory import Criteria, Trajectory

ARM = "::"
"""Between a place and the name of one arm in it: ``studies/digits.toml::decay 0.1``."""
NAMED = 12
"""Arms that a message spells out."""


@dataclass(frozen=True)
class Options:
    """How sides are read, the same for both."""

    root: Path = Path("runs")
    group: str | None = None
    """Pattern that tells the seeds and groups of logs by their names, as `grokscope.verdicts_of_logs` has it."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Of logs, see `grokscope.trajectory.from_log`."""
    steps_per_unit: float | None = None
    """Optimizer steps in one unit of a log's step column."""


@dataclass(frozen=True)
class Side:
    """Runs of one side, each with the name of its arm."""

    name: str
    source: str
    kind: Kind
    members: tuple[Member, ...]
    unit: str = "steps"
    notes: tuple[str, ...] = ()
    criteria: "Criteria | None" = None
    """Of its study file."""

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(m.arm for m in self.members))

    def of(self, arm: str) -> tuple[Member, ...]:
        return tuple(m for m in self.members if m.arm == arm)


@without_collector()
def two_sides(a: Any, b: Any, options: Options, names: Sequence[str] | None = None) -> tuple[Side, Side]:
    """Both sides, which share no run; without `b` the two arms of `a`.

    Raises:
        ValueError: a place that is nothing, an unknown arm, other than two arms, names that are alike, or one run on
            both sides.
    """
    require(names is None or len(names) == 2, f"names: expected two, got {len(names or ())}")
    sides = _arms_of(read_side(a, options)) if b is None else (read_side(a, options), read_side(b, options))
    refuse_shared(*sides)
    if names is None:
        names = _distinct(*sides)
    require(names[0] != names[1], f"names: both sides are called {names[0]!r}; give each its own name")
    return replace(sides[0], name=names[0]), replace(sides[1], name=names[1])


def read_side(what: Any, options: Options) -> Side:
    """A side from what names it: a path or pattern, with ``::ARM`` for one arm of it; a `Run`, a `Trajectory`, a
    `Study`; or a list of these."""
    from grokscope.trajectory import Trajectory

    if isinstance(what, Trajectory):
        return Side("log", "a trajectory", "logs", (member_of_log("log", what, "log", None),))
    if isinstance(what, Run):
        return _of_runs([what], str(what.path), "")
    if isinstance(what, Study):
        return _of_study(what, what.name, "", options)
    if isinstance(what, str | Path):
        return _of_place(str(what), options)
    require(isinstance(what, Sequence) and len(what) > 0, f"a side is a path, a run, a log or a list of them: {what!r}")
    return _joined([read_side(item, options) for item in what])


def _of_place(text: str, options: Options) -> Side:
    place, _, arm = text.partition(ARM)
    if not Path(place).exists() and (place.endswith(".toml") or _shipped(place)):
        return _of_study(Study.load(place), text, arm, options)
    if place.endswith(".toml"):
        return _of_study(Study.load(place), text, arm, options)
    listing = find_sources([place])
    require(not listing.errors, "\n".join(listing.errors.values()))
    runs = [source.run for source in listing.sources if source.run is not None]
    logs = [source for source in listing.sources if source.run is None]
    require(not runs or not logs, f"{place}: contains both runs and logs; give only one kind")
    if runs:
        return _of_runs(runs, text, arm)
    return _of_logs(logs, listing, text, arm, options)


def _shipped(name: str) -> bool:
    try:
        find_study(name)
    except ValueError:
        return False
    return True


def _of_study(study: Study, source: str, arm: str, options: Options) -> Side:
    chosen = study.only(arms=[arm]) if arm else study
    members = tuple(member_of_study(s) for s in chosen.status(options.root))
    if all(m.run is None for m in members):
        raise ValueError(
            f"{source}: none of its {plural(len(members), 'run')} has begun in {options.root}; train them with: "
            f"grokscope study run {source.partition(ARM)[0]} --root {options.root}, or name another --root"
        )
    return Side(arm or _only_arm(members) or study.name, source, "study", members, criteria=study.criteria)


def _only_arm(members: Sequence[Member]) -> str:
    """The arm that all of them are of; empty where there are several."""
    arms = {m.arm for m in members}
    return arms.pop() if len(arms) == 1 else ""


def _of_runs(runs: Sequence[Run], source: str, arm: str) -> Side:
    """Runs by their configurations: a label that stands for several is split into them."""
    members, notes = _without_copies([member_of_run(run) for run in watched(runs, "looked at runs:")])
    named = _named_apart(members)
    if arm:
        arms = list(dict.fromkeys(m.arm for m in named))
        require(arm in arms, f"{source}: no arm {arm!r}{nearest(arm, arms)}; there are {first_of(arms, NAMED)}")
        named = [m for m in named if m.arm == arm]
    return Side(arm or _name(named, source), source, "runs", tuple(named), notes=notes)


def _name(members: Sequence[Member], source: str) -> str:
    """Of one run its arm and seed, of one arm its name, else that of the place."""
    arm = _only_arm(members)
    if not arm:
        return Path(source).name or source
    if len(members) > 1:
        return arm
    seed = members[0].seed
    if seed is None:
        return members[0].id
    return f"{arm}, seed {seed}"


def _named_apart(members: Sequence[Member]) -> list[Member]:
    """Members with the names of their arms, in the order of these and of their seeds. A run whose config cannot be read
    counts for the only arm there is, else for one of its own."""
    readable = [m for m in members if m.state != "unreadable"]
    kinds = [_kind_of(m) for m in readable]
    one_of_each: dict[str, Member] = {}
    for m, kind in zip(readable, kinds, strict=True):
        one_of_each.setdefault(kind, m)
    arms = {str(s.path): s.group for s in gather([_subject(m) for m in one_of_each.values()], by_name=True)}
    order = {arm: i for i, arm in enumerate(dict.fromkeys(arms.values()))}
    named = [replace(m, arm=arms[str(one_of_each[kind].path)]) for m, kind in zip(readable, kinds, strict=True)]
    named.sort(key=lambda m: (order[m.arm], m.seed is None, m.seed or 0, m.id))
    lost = _only_arm(named) or "unreadable"
    return [*named, *(replace(m, arm=lost) for m in members if m.state == "unreadable")]


def _kind_of(m: Member) -> str:
    """Text that is the same for runs which differ in nothing but their seed: thousands of configurations are few."""
    config = {key: value for key, value in (m.config or {}).items() if key != "seed"}
    return json.dumps([m.arm, config, version_of(m.record)], default=str)


def _subject(m: Member) -> Subject:
    return Subject(m.id, m.arm, m.seed, None, m.config, record=m.record, path=str(m.path))


def _without_copies(members: Sequence[Member]) -> tuple[list[Member], tuple[str, ...]]:
    """Of several folders of one run the furthest. Only runs that agree in seed, regime and network are looked at
    closely, which is what one run's folders do."""
    alike: dict[str, list[int]] = {}
    for i, m in enumerate(members):
        config = m.config or {}
        regime = {k: v for k, v in (config.get("regime") or {}).items() if k != "name"}
        key = json.dumps([m.seed, config.get("model"), regime], sort_keys=True, default=str)
        alike.setdefault(key, []).append(i)
    close = sorted(chain.from_iterable(group for group in alike.values() if len(group) > 1))
    twice = same_run([Held.of(run) for i in close if (run := members[i].run) is not None])
    left = {close[i]: close[counts] for i, counts in twice.items()}
    notes = tuple(
        f"{members[i].path}: excluded, because it contains the same run as {members[j].path}" for i, j in left.items()
    )
    return [m for i, m in enumerate(members) if i not in left], notes


def _of_logs(logs: Sequence[Source], listing: Listing, source: str, arm: str, options: Options) -> Side:
    pattern = None if options.group is None else Pattern(options.group)
    require(not arm or pattern is not None, f"{source}: logs have no arms without a group pattern (group)")
    members, unmatched = [], []
    for log in logs:
        group, seed = (pattern and pattern.match(log.path)) or (None, None)
        if pattern is not None and group is None:
            unmatched.append(log.name)
        elif not arm or group == arm:
            trajectory = read_log(log, options)
            members.append(member_of_log(log.name, trajectory, group or Path(source).name, seed, log.path))
    notes = list(listing.left)
    if unmatched:
        notes.append(f"in no group: {listed(unmatched)}")
    require(bool(members), f"{source}: no log matches {arm or options.group!r}")
    name = arm or _only_arm(members) or Path(source).name
    return Side(name, source, "logs", tuple(members), _unit(options), tuple(notes))


def read_log(log: Source, options: Options) -> "Trajectory":
    """The log's curve, in optimizer steps where it is known how many one unit is."""
    trajectory = read_source(log, dict(options.columns))
    if options.steps_per_unit is None:
        return trajectory
    return in_steps(trajectory, options.steps_per_unit)


def _unit(options: Options) -> str:
    if options.steps_per_unit is not None:
        return STEPS
    return time_unit_of(options.columns.get("step"))


def _joined(sides: Sequence[Side]) -> Side:
    """Several things as one side."""
    kinds = {"logs" if side.kind == "logs" else "runs" for side in sides}
    require(len(kinds) == 1, "a side contains either runs or logs, not both")
    name = sides[0].name if len({side.name for side in sides}) == 1 else f"{sides[0].name} and {len(sides) - 1} more"
    members = list(chain.from_iterable(side.members for side in sides))
    if sides[0].kind == "logs":
        members = [replace(m, id=f"{m.id} ({i})", arm=name) for i, m in enumerate(members, 1)]
    else:
        members = _named_apart(members)
    notes = tuple(chain.from_iterable(side.notes for side in sides))
    return replace(sides[0], name=name, source=listed([side.source for side in sides]), members=tuple(members),
                   notes=notes)  # fmt: skip


def _arms_of(side: Side) -> tuple[Side, Side]:
    """The two arms that one place holds."""
    arms = side.arms
    if len(arms) != 2:
        raise ValueError(
            f"{side.source}: {plural(len(arms), 'arm')} ({first_of(arms, NAMED)}), but two sides are needed; give two "
            f"of them, such as '{side.source}{ARM}{arms[0]}', or two places"
        )
    first, second = (replace(side, name=arm, source=f"{side.source}{ARM}{arm}", members=side.of(arm)) for arm in arms)
    return first, second


def _distinct(a: Side, b: Side) -> tuple[str, str]:
    """Names that tell the sides apart: their own, else what was named, else first and second."""
    if a.name != b.name:
        return a.name, b.name
    if a.source != b.source:
        return a.source, b.source
    return f"first {a.name}", f"second {b.name}"


def refuse_shared(a: Side, b: Side) -> None:
    """Raises ValueError where a run, or a copy of it, is on both sides: a difference to itself says nothing."""
    places = {m.path.resolve(): m for m in a.members if m.path is not None}
    shared = [m for m in b.members if m.path is not None and m.path.resolve() in places]
    if shared:
        both = "on both sides is"
        if len(a.members) == len(b.members) == 1:
            both = "both sides are"
        raise ValueError(f"{both} {first_of([str(m.path) for m in shared], 1)}: give two sides that share no run")
    alike: dict[tuple[int | None, int], list[Member]] = {}
    for m in a.members:
        alike.setdefault((m.seed, _size(m)), []).append(m)
    for m in b.members:
        size = _size(m)
        if not size:  # without rows there is nothing to copy
            continue
        for other in alike.get((m.seed, size), ()):
            if _copies(m, other):
                raise ValueError(f"{m.path} is a copy of {other.path}: comparing a run with itself is uninformative")


def _file(m: Member) -> Path | None:
    """Where its rows lie."""
    if m.run is not None:
        return m.run.path / METRICS
    return m.path if m.given is not None else None


def _size(m: Member) -> int:
    """Of its rows in bytes, 0 where there are none."""
    file = _file(m)
    if file is None:
        return 0
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _copies(one: Member, two: Member) -> bool:
    """The same rows, of the same configuration and seed. Runs trained again elsewhere have other rows; settings without
    any effect leave the same rows in two runs."""
    first, second = _file(one), _file(two)
    if first is None or second is None or first.read_bytes() != second.read_bytes():
        return False
    if one.run is None or two.run is None:
        return one.run is two.run
    return bool(same_run([Held.of(one.run), Held.of(two.run)]))
