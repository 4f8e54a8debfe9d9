"""The ``[[hypothesis]]`` blocks of a study file, read strictly."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from grokscope import configio
from grokscope.config import is_whole, require
from grokscope.limits import brief
from grokscope.registry import nearest
from grokscope.results.hypothesis import Sidedness
from grokscope.study.conditions import check_where, known_verdicts, matches, values_of
from grokscope.study.entries import Entry
from grokscope.study.hypothesis import (
    FAMILY,
    MILESTONES,
    TIME_WORDS,
    VALUE_WORDS,
    Effect,
    Hypothesis,
    Kind,
    Quantity,
    kind_of,
)
from grokscope.study.measured import Measure, read_measured
from grokscope.study.seen import LEVELS
from grokscope.vocabulary.splits import HELD_OUT

QUANTITIES = (*MILESTONES, *LEVELS)
SOURCES = ("quantity", "verdict", "measure", "dissection")
KEYS = (
    "name", *SOURCES, "statistic", "split", "arms", "of", "to", "axis", "log", "where", "direction", "within",
    "effect", "test", "paired", "looks", "family", "note",
)  # fmt: skip
EFFECTS: tuple[Effect, ...] = ("ratio", "difference", "restricted mean")
TESTS: dict[Kind, tuple[str, ...]] = {
    "times": ("ranks", "permutation"),
    "shares": ("unconditional", "boschloo", "fisher"),
    "values": ("permutation", "mann-whitney"),
    "slope": ("permutation",),
}
"""Kind of quantity -> its tests; the first one unless the file names another."""
WITHOUT_MARGIN = ("mann-whitney", "boschloo", "fisher")


def read_hypotheses(raw: Any, entries: Sequence[Entry]) -> tuple[Hypothesis, ...]:
    """The ``[[hypothesis]]`` blocks.

    Raises:
        ValueError: an unknown key, quantity, test or direction (with the nearest), groups that are empty or overlap,
            a family of mixed sidedness.
    """
    where = "$.hypothesis"
    require(raw is None or isinstance(raw, list), f"{where}: write [[hypothesis]] with double brackets, a block each")
    read = tuple(read_hypothesis(block, f"{where}[{i}]", entries) for i, block in enumerate(raw or ()))
    names = [h.name for h in read]
    for i, h in enumerate(read):
        require(names.index(h.name) == i, f"{where}[{i}].name: two hypotheses are called {h.name!r}; name them apart")
    _require_one_plan_of_sides(read, where)
    return read


def _require_one_plan_of_sides(read: Sequence[Hypothesis], where: str) -> None:
    """p-values of one and of two sides are not corrected together."""
    for i, h in enumerate(read):
        kin = next(k for k in read if k.family == h.family)
        require(
            (h.sidedness == "two-sided") == (kin.sidedness == "two-sided"),
            f'{where}[{i}].family: {kin.name!r} and {h.name!r} are corrected together, but only one says "differs"; '
            f"put one of them in another family",
        )


def read_hypothesis(block: Any, where: str, entries: Sequence[Entry], needs_name: bool = True) -> Hypothesis:
    """One block. Raises ValueError as `read_hypotheses`."""
    require(isinstance(block, Mapping), f"{where}: expected a table, got {brief(block)}")
    for key in block:
        require(key in KEYS, f"{where}.{key}: unknown key{nearest(key, list(KEYS))}")
    for key in ("name", "family", "note"):
        ok = isinstance(block.get(key, ""), str)
        require(ok, f"{where}.{key}: expected a text, got {brief(block.get(key))}")
    require(bool(block.get("name")) or not needs_name, f"{where}.name: missing; a hypothesis is known by its name")
    quantity = read_quantity(block, where)
    groups, axis = _groups(block, where, entries)
    kind = kind_of(quantity, axis)
    sidedness, margin = _direction(block, where, kind, _effect(block, where, kind))
    hypothesis = Hypothesis(
        name=block.get("name", ""),
        quantity=quantity,
        groups=groups,
        axis=axis,
        log=_switch(block, "log", where) or False,
        sidedness=sidedness,
        margin=margin,
        effect=_effect(block, where, kind),
        test=_test(block, where, kind, margin),
        paired=_paired(block, where, kind),
        looks=_looks(block, where),
        family=block.get("family", FAMILY),
        note=block.get("note", ""),
    )
    _require_no_log_of_nothing(hypothesis, where, entries)
    return _planned(hypothesis, block, where, entries)


def read_quantity(block: Mapping[str, Any], where: str) -> Quantity:
    """What is compared. Raises ValueError for an unknown one, or several."""
    named = [key for key in SOURCES if key in block]
    require(len(named) == 1, f"{where}: give exactly one of {', '.join(SOURCES)}, got {', '.join(named) or 'none'}")
    if named[0] in ("measure", "dissection"):
        measured = {key: block[key] for key in ("measure", "dissection", "statistic", "split") if key in block}
        return Quantity(measure=Measure(**read_measured(measured, where), split=block.get("split")))
    require("statistic" not in block, f"{where}.statistic: belongs to a measure; omit it")
    split = block.get("split")
    known = split is None or split in HELD_OUT
    require(known, f"{where}.split: unknown held-out split {brief(split)}{nearest(brief(split), list(HELD_OUT))}")
    if named[0] == "verdict":
        return Quantity(verdicts=known_verdicts(block["verdict"], f"{where}.verdict"), split=split)
    name = block["quantity"]
    ok = isinstance(name, str) and name in QUANTITIES
    hint = 'a recorded column is named by measure = "norm_total", statistic = "end"'
    require(ok, f"{where}.quantity: unknown quantity {brief(name)}{nearest(brief(name), list(QUANTITIES))}; {hint}")
    return Quantity(name=name, split=split)


def _groups(
    block: Mapping[str, Any], where: str, entries: Sequence[Entry]
) -> tuple[tuple[Mapping[str, Any], ...], str | None]:
    ways = [key for key in ("arms", "of", "axis") if key in block]
    require(
        len(ways) == 1 and ("of" in block) == ("to" in block),
        f'{where}: specify the comparison in one way: of and to, arms = ["a", "b"], or axis',
    )
    if "axis" in block:
        return (check_where(block.get("where", {}), f"{where}.where", entries),), _axis(block, where, entries)
    require("where" not in block, f"{where}.where: belongs to an axis; put its conditions into of and to")
    require("log" not in block, f"{where}.log: belongs to an axis; omit it")
    if "arms" in block:
        arms = block["arms"]
        pair = isinstance(arms, list) and len(arms) == 2 and all(isinstance(a, str) for a in arms)
        require(pair, f"{where}.arms: expected the names of two arms, got {brief(arms)}")
        return tuple(check_where({"arm": arm}, f"{where}.arms", entries) for arm in arms), None
    return tuple(check_where(block[key], f"{where}.{key}", entries) for key in ("of", "to")), None


def _axis(block: Mapping[str, Any], where: str, entries: Sequence[Entry]) -> str:
    axis = block["axis"]
    require(isinstance(axis, str), f"{where}.axis: expected a dotted key, got {brief(axis)}")
    keys = list(dict.fromkeys(key for e in entries for key in configio.flatten(configio.dump(e.config))))
    require(axis in keys, f"{where}.axis: unknown key {axis!r}{nearest(axis, keys)}")
    levels = {v for e in entries if matches(e, block.get("where", {})) for v in values_of(e, axis)}
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in levels)
    require(numeric, f"{where}.axis: {axis} has non-numeric values; compare two of them with of and to")
    require(len(levels) > 1, f"{where}.axis: all these runs have the same {axis}; a slope needs two values or more")
    return axis


def _require_no_log_of_nothing(h: Hypothesis, where: str, entries: Sequence[Entry]) -> None:
    if h.axis is not None and h.log:
        levels = [v for e in entries if matches(e, h.groups[0]) for v in values_of(e, h.axis)]
        require(min(levels) > 0, f"{where}.log: {h.axis} is {min(levels)} somewhere, which has no logarithm")


def _direction(block: Mapping[str, Any], where: str, kind: Kind, effect: str) -> tuple[Sidedness, float | None]:
    require(
        ("direction" in block) != ("within" in block),
        f'{where}: give either direction ("differs" for both) or within, the margin up to which the arms are equal',
    )
    if "within" in block:
        return "within", _margin(block["within"], f"{where}.within", kind, effect)
    words = TIME_WORDS if kind == "times" else VALUE_WORDS
    word = block["direction"]
    ok = isinstance(word, str) and word in words
    require(ok, f"{where}.direction: expected {', '.join(words)}, got {brief(word)}")
    return words[word], None


def _margin(raw: Any, where: str, kind: Kind, effect: str) -> float:
    ok = (isinstance(raw, float) or is_whole(raw)) and math.isfinite(raw) and raw > 0
    require(ok, f"{where}: expected a number > 0, got {brief(raw)}")
    if kind == "times" and effect == "ratio":
        require(raw > 1, f'{where}: of a ratio, so above 1, such as 1.25; in steps with effect = "difference"')
    if kind == "shares":
        require(raw < 1, f"{where}: a difference of two shares lies below 1, got {brief(raw)}")
    return float(raw)


def _effect(block: Mapping[str, Any], where: str, kind: Kind) -> Effect:
    effect = block.get("effect", "ratio")
    require(effect in EFFECTS, f"{where}.effect: expected {', '.join(EFFECTS)}, got {brief(effect)}")
    require(
        "effect" not in block or kind == "times",
        f"{where}.effect: only times have a choice; other numbers are compared by their difference",
    )
    return effect


def _test(block: Mapping[str, Any], where: str, kind: Kind, margin: float | None) -> str:
    known = TESTS[kind]
    default = "permutation" if block.get("effect") == "restricted mean" else known[0]
    test = block.get("test", default)
    require(test in known, f"{where}.test: expected {' or '.join(known)} here, got {brief(test)}")
    require(
        kind != "times" or (test == "permutation") == (block.get("effect") == "restricted mean"),
        f'{where}.test: the permutation test compares means: write effect = "restricted mean" with it',
    )
    fits = margin is None or test not in WITHOUT_MARGIN
    require(fits, f"{where}.test: {test} has no margin; use {known[0]}, or a direction")
    return test


def _paired(block: Mapping[str, Any], where: str, kind: Kind) -> bool | None:
    paired = _switch(block, "paired", where)
    unfit = kind == "shares" or block.get("test") == "mann-whitney"
    require(not (paired and unfit), f"{where}.paired: this test compares unpaired arms; omit paired")
    return False if unfit else paired


def _switch(block: Mapping[str, Any], key: str, where: str) -> bool | None:
    value = block.get(key)
    require(value is None or isinstance(value, bool), f"{where}.{key}: expected true or false, got {brief(value)}")
    return value


def _looks(block: Mapping[str, Any], where: str) -> tuple[int, ...]:
    looks = block.get("looks", [])
    ok = isinstance(looks, list) and all(is_whole(n) and n > 1 for n in looks) and looks == sorted(set(looks))
    require(ok, f"{where}.looks: expected numbers of seeds in each arm, ascending, for example [5, 10]")
    return tuple(int(n) for n in looks)


def _planned(h: Hypothesis, block: Mapping[str, Any], where: str, entries: Sequence[Entry]) -> Hypothesis:
    """With the runs and seeds that the whole study plans for it, and the hash by which an edit is noticed.

    Raises:
        ValueError: where a run would be in both groups.
    """
    members = [[e for e in entries if matches(e, group)] for group in h.groups]
    for name, group in zip(h.names, members, strict=True):
        _require_seed_is_unit(h, name, group, where)
    ids = tuple(tuple(e.config.run_id() for e in group) for group in members)
    if len(ids) == 2:
        both = set(ids[0]) & set(ids[1])
        require(not both, f"{where}: of and to share {len(both)} runs; a run cannot be compared with itself")
    settings = {
        name: sorted({_setting(e) for e in group}) for name, group in zip(h.names, members, strict=True)
    }  # without seeds: these are compared by themselves
    said = {key: value for key, value in block.items() if key != "note"}
    seeds = {name: _seeds(group) for name, group in zip(h.names, members, strict=True)}
    digest = configio.content_hash({"block": said, "settings": settings})[:16]
    return replace(h, planned=ids, digest=digest, seeds=seeds)


def _require_seed_is_unit(h: Hypothesis, name: str, group: Sequence[Entry], where: str) -> None:
    """Two runs of one seed in an arm would count one thing twice."""
    places = Counter((e.config.seed, values_of(e, h.axis) if h.axis else ()) for e in group)
    seed, count = places.most_common(1)[0]
    require(
        count == 1,
        f"{where}: {name} has {count} runs of seed {seed[0]}, and the seed is what is counted; add conditions until "
        "each seed has one run there",
    )


def _seeds(group: Sequence[Entry]) -> tuple[int, ...]:
    return tuple(sorted({e.config.seed for e in group}))


def _setting(entry: Entry) -> str:
    identity = {k: v for k, v in entry.config.identity().items() if k != "seed"}
    return configio.content_hash({"run": identity, "budget": configio.dump(entry.config.budget)})
