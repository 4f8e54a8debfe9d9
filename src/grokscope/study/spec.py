"""Strict reading of study files: an unknown key is an error with its location and the closest valid name."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, replace
from itertools import product
from typing import Any

from grokscope import configio
from grokscope.config import RunConfig, is_whole, require
from grokscope.limits import MAX_RUNS, brief
from grokscope.moment import read_moment
from grokscope.registry import nearest
from grokscope.study.entries import Arm, Entry
from grokscope.study.forks import Forks

SCHEMA = 2
"""Version of the study file. A reader refuses a newer one instead of guessing. In schema 1 ``final`` of an expectation
meant the mean of the last evaluations, which is now called ``end``; ``final`` is the last evaluation alone."""

HEAD = (
    "schema",
    "name",
    "title",
    "claim",
    "reference",
    "cost",
    "plugins",
    "seeds",
    "axes",
    "arm",
    "criteria",
    "expect",
    "hypothesis",
    "effective_size",
    "design",
    "phase",
    "execute",
    "claimed",
    "track",
)
RUN_TABLES = tuple(f.name for f in fields(RunConfig) if f.name not in ("seed", "start"))
"""Tables of a study file that belong to every run's config."""
VARIABLE = tuple(name for name in RUN_TABLES if name != "hardware")
"""Tables that an axis or an arm may change. Hardware is study-wide: it is not part of a run's identity, so two arms
that differ by it would be one run."""


def read_arms(raw: Any) -> list[Arm]:
    """The ``[[arm]]`` blocks; a single nameless arm without changes where there are none."""
    if raw is None:
        return [Arm("", {})]
    require(isinstance(raw, list), "$.arm: write [[arm]] with double brackets, one block for each arm")
    arms = [_read_arm(block, f"$.arm[{i}]") for i, block in enumerate(raw)]
    doubled = sorted(name for name, count in Counter(a.name for a in arms).items() if count > 1)
    require(not doubled, f"$.arm: two arms are called {doubled[0]!r}; give each its own name" if doubled else "")
    return arms


def _read_arm(block: Mapping[str, Any], where: str) -> Arm:
    require(isinstance(block, Mapping), f"{where}: expected a table, got {brief(block)}")
    changes = configio.flatten(block)
    name, seeds = changes.pop("name", None), changes.pop("seeds", None)
    of, at = changes.pop("of", None), changes.pop("from", None)
    require(
        (of is None) == (at is None), f'{where}: a fork names its parent and the moment: of = "ARM", from = "T_fit"'
    )
    if of is not None:
        require(isinstance(of, str), f"{where}.of: expected the name of an arm, got {brief(of)}")
        read_moment(at, f"{where}.from")
    require(name is None or isinstance(name, str), f"{where}.name: expected a text, got {brief(name)}")
    for key in changes:
        check_variable(key, where)
    labeled = {k: v for k, v in changes.items() if not k.startswith("budget.")} or changes
    own_seeds = None if seeds is None else read_seeds(seeds, f"{where}.seeds")
    return Arm(name or describe(labeled), changes, own_seeds, of, at)


def read_axes(raw: Any) -> dict[str, list[Any]]:
    """``[axes]``: dotted key -> the values it takes. Nested tables and quoted dotted keys mean the same."""
    require(
        raw is None or isinstance(raw, Mapping), "$.axes: expected a table of dotted keys, each with a list of values"
    )
    axes = configio.flatten(raw or {})
    for key, values in axes.items():
        check_variable(key, "$.axes")
        require(
            isinstance(values, list) and len(values) > 0,
            f"$.axes.{key}: expected a list of values, got {brief(values)}",
        )
        seen: set[Any] = set()
        for value in values:
            require(_hashable(value) not in seen, f"$.axes.{key}: {brief(value)} is listed twice")
            seen.add(_hashable(value))
    return axes


def _hashable(value: Any) -> Any:
    """A value that is equal to another exactly where the two are equal in a file."""
    if isinstance(value, list):
        return tuple(_hashable(v) for v in value)
    if isinstance(value, Mapping):
        return frozenset((k, _hashable(v)) for k, v in value.items())
    return value


def read_seeds(raw: Any, where: str = "$.seeds") -> tuple[int, ...]:
    ok = isinstance(raw, list) and raw and all(is_whole(s) and 0 <= s <= configio.INT_MAX for s in raw)
    require(bool(ok), f"{where}: expected a list of whole numbers >= 0, for example [0, 1, 2], got {brief(raw)}")
    require(len(set(raw)) == len(raw), f"{where}: a seed is listed twice")
    return tuple(int(seed) for seed in raw)


def check_variable(key: str, where: str) -> None:
    """Raises ValueError for a key that an axis, an arm or a factor may not change."""
    head = key.partition(".")[0]
    require(head != "hardware", f"{where}.{key}: hardware is study-wide and changes no run's identity; use [hardware]")
    require(head != "seed", f"{where}.{key}: list the seeds under `seeds`")
    require(head in VARIABLE, f"{where}.{key}: unknown key{nearest(head, [*VARIABLE, 'name', 'seeds'])}")


def describe(changes: Mapping[str, Any]) -> str:
    """A readable name: ``init_scale=8 weight_decay=0.1``; the last part of a key where that is not ambiguous."""
    lasts = [key.rpartition(".")[2] for key in changes]
    often = Counter(lasts)
    short = [last if often[last] == 1 and last != "name" else key for key, last in zip(changes, lasts, strict=True)]
    return " ".join(f"{key}={shown(value)}" for key, value in zip(short, changes.values(), strict=True))


def shown(value: Any) -> str:
    """A setting's value in a name: ``0.001``, ``sgd(momentum=0.9)``, ``128x64``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        if abs(value) < 1e6:
            return f"{value:g}"
        return brief(value)
    if isinstance(value, Mapping):  # a component with its parameters
        rest = " ".join(f"{k}={shown(v)}" for k, v in value.items() if k != "name")
        if rest:
            return f"{value.get('name', '')}({rest})"
        return str(value.get("name", ""))
    if isinstance(value, list | tuple):
        return "x".join(shown(v) for v in value)
    return str(value)


def expand(
    base: Mapping[str, Any], axes: Mapping[str, list[Any]], arms: list[Arm], seeds: tuple[int, ...]
) -> list[Entry]:
    """All runs: every arm x every combination of the axes x every seed, in the order of the file, each once.

    Two combinations that mean the same training become one entry that answers to both names.

    Raises:
        ValueError: naming the combination and the key that does not fit.
    """
    _require_few(axes, arms, seeds)
    entries: dict[str, Entry] = {}
    forks = Forks(arms)
    for arm in arms:
        for values in product(*axes.values()):
            point = dict(zip(axes, values, strict=True))
            first, *others = arm.seeds or forks.seeds(arm) or seeds
            one = _entry(base, forks.with_parents_changes(arm), point, first)
            for plain in (one, *map(one.with_seed, others)):
                seed = plain.config.seed
                entry = plain if arm.at is None else forks.forked(plain, arm, entries, values, seed)
                key = entry.config.identity_hash
                if key in entries:
                    entry = _merge(entries[key], entry)
                entries[key] = entry
                forks.note(arm, values, seed, key)
    return list(entries.values())


def _require_few(axes: Mapping[str, list[Any]], arms: list[Arm], seeds: tuple[int, ...]) -> None:
    """Raises ValueError, before anything is expanded, for more runs than a study may have."""
    combinations = math.prod(len(values) for values in axes.values())
    count = combinations * sum(len(arm.seeds or seeds) for arm in arms)
    if count <= MAX_RUNS:
        return
    parts = [f"{key}: {len(values):,} values" for key, values in axes.items()]
    if len(arms) > 1:
        parts.append(f"arms: {len(arms):,}")
    parts += [f"seeds: {max(len(arm.seeds or seeds) for arm in arms):,}"]
    raise ValueError(
        f"$.axes, $.arm, $.seeds: {count:,} runs ({'; '.join(parts)}), and a study may have {MAX_RUNS:,}; shorten a "
        "list or split the study, or set GROKSCOPE_MAX_RUNS"
    )


def _entry(base: Mapping[str, Any], arm: Arm, point: Mapping[str, Any], seed: int) -> Entry:
    changes = {**arm.changes, **point}
    label = _label(base, arm, point)
    raw = configio.overlay(base, {**changes, "seed": seed, **({"regime.name": label} if label else {})})
    passed = tuple(sorted(configio.flatten(raw)))
    try:
        config = configio.load_run(raw)
        config.identity()  # a name that is not registered is an error now
    except ValueError as error:
        raise ValueError(
            "\n".join(f"{line}{f' (in {label!r})' if changes else ''}" for line in str(error).split("\n"))
        ) from None
    return Entry(config, passed, tuple(n for n in dict.fromkeys((arm.name, config.regime.name)) if n))


def _label(base: Mapping[str, Any], arm: Arm, point: Mapping[str, Any]) -> str:
    """The regime's name: the arm's, the axes'; an unnamed arm's own changes after the axes."""
    if "regime.name" in arm.changes:
        return " ".join(filter(None, (arm.changes["regime.name"], describe(point))))
    parts = (describe(point), arm.name) if "=" in arm.name else (arm.name, describe(point))
    return " ".join(filter(None, parts))


def _merge(first: Entry, second: Entry) -> Entry:
    if first.config.budget != second.config.budget:
        raise ValueError(
            f"{first.label!r} and {second.label!r} are the same training with two budgets ({first.config.budget} and "
            f"{second.config.budget}); give them one"
        )
    states = tuple(dict.fromkeys((*first.config.checkpoint.states, *second.config.checkpoint.states)))
    checkpoint = replace(first.config.checkpoint, states=states)  # what is kept is no part of the identity
    config = replace(first.config, checkpoint=checkpoint)
    return Entry(config, first.passed, tuple(dict.fromkeys((*first.arms, *second.arms))))


def split_head(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Separate what describes the study from what configures its runs."""
    schema = raw.get("schema", 1)
    if not is_whole(schema) or schema > SCHEMA:
        raise ValueError(
            f"$.schema: {brief(schema)} is newer than this version of grokscope supports ({SCHEMA}); upgrade grokscope"
        )
    _refuse_old_final(raw.get("expect"), schema)
    known = [*HEAD, *RUN_TABLES]
    for key in raw:
        require(key != "seed", "$.seed: a study lists its seeds: seeds = [0, 1, 2]")
        require(key in known, f"$.{key}: unknown key{nearest(key, known)}")
    for key in ("name", "title", "claim", "reference", "cost"):
        require(isinstance(raw.get(key, ""), str), f"$.{key}: expected a text, got {brief(raw.get(key))}")
    require("task" in raw, "$.task: missing; a study needs [task], [model] and [budget]")
    return {k: v for k, v in raw.items() if k in HEAD}, {k: v for k, v in raw.items() if k in RUN_TABLES}


def _refuse_old_final(raw: Any, schema: int) -> None:
    """A word that has changed its meaning is never read in the new one unasked."""
    if schema >= 2 or not isinstance(raw, list):
        return
    for i, block in enumerate(raw):
        if isinstance(block, Mapping) and ("final" in block or block.get("ratio") == "final"):
            raise ValueError(
                f"$.expect[{i}].final: in study files of schema 1 this meant the mean of the last evaluations, which "
                "is now called end (over the last 5 % of the steps); write end in its place and schema = 2 at the "
                "top, or schema = 2 alone if the last evaluation is meant"
            )
