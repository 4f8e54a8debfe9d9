"""Expectations of a study, and whether its runs met them, which is how published claims are tested.

A block names runs and what should be seen in them:

    [[expect]]
    name = "decay 0.1 groks late"             # needed only where a claim names it (`grokscope.study.claimed`)
    where = { "regime.weight_decay" = 0.1 }   # dotted key, or arm, regime, seed
    verdict = "grokked"                       # or a list of names
    formation = "representation"              # by which route: readout, cannot tell
    T_gen = [9000, 13500]                     # closed ranges of milestones and levels
    share = 0.8                               # of the runs that must show all of it; 1 unless said otherwise

or two groups and the ratio of their medians:

    [[expect]]
    ratio = "T_gen"
    of = { "regime.weight_decay" = 0.1 }
    to = { "regime.weight_decay" = 0.5 }
    between = [3, 6]

or two groups of which one is earlier, later, larger or smaller than the other, or equal to it within a margin, by an
exact test over seeds (the words are those of `grokscope.study.hypothesis`):

    [[expect]]
    quantity = "T_gen"
    of = { "regime.weight_decay" = 0.5 }
    to = { "regime.weight_decay" = 0.1 }
    direction = "earlier"                     # or within = 1.25, a ratio of the medians

or a number that the runs recorded, of each run or of one group against another (`grokscope.study.measured`).

A claim that does not replicate is stated as what is really seen, with a `note` that says so. ``published = "claim"``
marks an expectation that states a published claim, ``published = "opposite"`` one that holds because the claim does
not: what heads the check then says "Published claim refuted".
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope import configio
from grokscope.config import is_whole, require
from grokscope.inference.claims import PUBLISHED
from grokscope.limits import brief
from grokscope.registry import nearest
from grokscope.results.verdict import VerdictRecord
from grokscope.study.conditions import check_where, known_names, known_verdicts, names_in
from grokscope.study.entries import Entry
from grokscope.study.hypothesis import Hypothesis
from grokscope.study.measured import MeasuredExpectation, MeasuredRatio, read_measured
from grokscope.study.read_hypothesis import KEYS as COMPARED
from grokscope.study.read_hypothesis import read_hypothesis
from grokscope.study.seen import LEVELS, PEAKS, STEPS, Seen, route, seen
from grokscope.study.words import describe_where, number, on, stamped, with_unit
from grokscope.vocabulary.splits import HELD_OUT
from grokscope.vocabulary.text import percent

if TYPE_CHECKING:
    from grokscope.trajectory import Survival

QUANTITIES = (*STEPS, *LEVELS)


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One ``[[expect]]`` block."""

    where: Mapping[str, Any]
    verdict: tuple[str, ...] = ()
    formation: tuple[str, ...] = ()
    """Routes of a late rise, any of them: ``representation``, ``readout``, ``cannot tell``."""
    ranges: Mapping[str, tuple[float, float]]
    censored: tuple[str, ...] = ()
    """Milestones that must not be reached within the budget."""
    split: str | None = None
    share: float = 1.0
    note: str = ""
    name: str = ""
    published: str = ""
    """``claim`` where it states a published claim, ``opposite`` where it states what was seen in its place."""

    def expected(self) -> str:
        parts = [" or ".join(self.verdict)] if self.verdict else []
        if self.formation:
            parts.append(f"route: {' or '.join(self.formation)}")
        for name, (low, high) in self.ranges.items():
            parts.append(f"{self._called(name)} in {with_unit(name, f'[{number(low)}, {number(high)}]')}")
        parts += [f"{name} not reached" for name in self.censored]
        share = f" in {percent(self.share)} of the runs" if self.share < 1 else ""
        if not parts:
            return ""
        return on(self.split) + "; ".join(parts) + share

    def _called(self, name: str) -> str:
        return stamped(name, self.split, name in PEAKS, ",")

    def met(self, verdict: VerdictRecord) -> bool:
        """Whether one run shows all of it."""
        return (
            (not self.verdict or verdict.verdict in self.verdict or verdict.label in self.verdict)
            and (not self.formation or route(verdict) in self.formation)
            and all(seen(verdict, name).within(*bounds) for name, bounds in self.ranges.items())
            and all(seen(verdict, name).censored for name in self.censored)
        )

    def quantities(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.ranges, *self.censored)))


@dataclass(frozen=True, kw_only=True)
class RatioExpectation:
    """An ``[[expect]]`` block with `ratio`: the median of one group over the median of another."""

    ratio: str
    of: Mapping[str, Any]
    to: Mapping[str, Any]
    between: tuple[float, float]
    split: str | None = None
    note: str = ""
    name: str = ""
    published: str = ""

    def expected(self) -> str:
        low, high = (number(bound) for bound in self.between)
        name = stamped(self.ratio, self.split, self.ratio in PEAKS, ",")
        return f"{on(self.split)}{name} / {self.ratio} of ({describe_where(self.to)}) in [{low}, {high}]"

    def seen(self, above: Sequence[Seen], below: Sequence[Seen]) -> Seen:
        """The ratio of the medians; NaN where the lower group's median was not reached."""
        top, bottom = group_median(above), group_median(below)
        if bottom.censored or not bottom.value > 0:
            return Seen(math.nan)
        return Seen(top.value / bottom.value, top.censored)


@dataclass(frozen=True, kw_only=True)
class ComparedExpectation:
    """An ``[[expect]]`` block with `direction` or `within`: one group earlier, larger ... than another, or equal to it,
    by the exact test of a hypothesis of the same words. It is met where its p is at most .05, and not met where that of
    the opposite is; between the two these runs cannot tell."""

    hypothesis: Hypothesis
    note: str = ""
    name: str = ""
    published: str = ""

    @property
    def split(self) -> str | None:
        return self.hypothesis.quantity.split

    def expected(self) -> str:
        return self.hypothesis.asked()


def group_median(values: Sequence[Seen]) -> Seen:
    """Median of right-censored values, as the report has it: itself censored where it was not reached. NaN where a run
    has no such number."""
    k = _estimate(values)
    if k is None:
        return Seen(math.nan)
    if k.median is None:
        return Seen(k.bound, censored=True)
    return Seen(k.median)


def median_text(values: Sequence[Seen]) -> str:
    """``480 [440, 610]``: the median with its 95 % interval."""
    k = _estimate(values)
    if k is None:
        return "none"
    return k.median_text()


def _estimate(values: Sequence[Seen]) -> "Survival | None":
    from grokscope.trajectory import Times, survival

    if not all(math.isfinite(s.value) for s in values):
        return None
    at = np.array([s.value for s in values], dtype=np.float64)
    before = np.array([s.value if s.before is None else s.before for s in values], dtype=np.float64)
    return survival(Times(before=before, at=at, observed=np.array([not s.censored for s in values], dtype=bool)))


AnyExpectation = Expectation | RatioExpectation | ComparedExpectation | MeasuredExpectation | MeasuredRatio


def read_expectations(raw: Any, entries: Sequence[Entry]) -> tuple[AnyExpectation, ...]:
    """The ``[[expect]]`` blocks.

    Raises:
        ValueError: an unknown key or verdict (with the nearest), a reversed range, a `where` that no run fits.
    """
    require(raw is None or isinstance(raw, list), "$.expect: write [[expect]] with double brackets, a block for each")
    expectations = tuple(_read(block, f"$.expect[{i}]", entries) for i, block in enumerate(raw or ()))
    names = [e.name for e in expectations if e.name]
    for i, e in enumerate(expectations):
        require(not e.name or names.count(e.name) == 1, f"$.expect[{i}].name: two expectations are called {e.name!r}")
    return expectations


def _read(block: Mapping[str, Any], where: str, entries: Sequence[Entry]) -> AnyExpectation:
    require(isinstance(block, Mapping), f"{where}: expected a table, got {brief(block)}")
    if "direction" in block or "within" in block:
        return _read_compared(block, where, entries)
    kind = _kind(block)
    known = [f.name for f in fields(kind) if f.name != "ranges"] + (list(QUANTITIES) if kind is Expectation else [])
    for key in block:
        require(key in known, f"{where}.{key}: unknown key{nearest(key, known)}")
    for key in ("split", "note", "name"):
        require(isinstance(block.get(key, ""), str), f"{where}.{key}: expected a text, got {brief(block.get(key))}")
    split = block.get("split", HELD_OUT[0])
    require(split in HELD_OUT, f"{where}.split: unknown held-out split {split!r}{nearest(split, list(HELD_OUT))}")
    _check_published(block, where)
    common = {key: block[key] for key in ("split", "note", "name", "published") if key in block}
    if kind is RatioExpectation:
        return _read_ratio(block, where, entries, common)
    if kind is MeasuredExpectation or kind is MeasuredRatio:
        return _read_measure(block, where, entries, common)
    ranges = {name: _bounds(block[name], f"{where}.{name}") for name in QUANTITIES if name in block}
    expectation = Expectation(
        where=check_where(block.get("where", {}), f"{where}.where", entries),
        verdict=known_verdicts(block.get("verdict", []), f"{where}.verdict"),
        formation=_routes(block.get("formation", []), f"{where}.formation"),
        ranges=ranges,
        censored=_censored(block.get("censored", []), f"{where}.censored"),
        share=_share(block.get("share", 1.0), f"{where}.share"),
        **common,
    )
    require(bool(expectation.expected()), f"{where}: has no expected result; give verdict or a range")
    return expectation


def _check_published(block: Mapping[str, Any], where: str) -> None:
    published = block.get("published", PUBLISHED[0])
    require(published in PUBLISHED, f"{where}.published: expected {' or '.join(PUBLISHED)}, got {published!r}")


def _read_compared(block: Mapping[str, Any], where: str, entries: Sequence[Entry]) -> ComparedExpectation:
    """Without a family and looks: an expectation is tested by itself, and once."""
    known = [key for key in (*COMPARED, "published") if key not in ("family", "looks")]
    for key in block:
        require(key in known, f"{where}.{key}: unknown key{nearest(key, known)}")
    _check_published(block, where)
    asked = {key: value for key, value in block.items() if key != "published"}
    hypothesis = read_hypothesis(asked, where, entries, needs_name=False)
    return ComparedExpectation(
        hypothesis=hypothesis,
        note=hypothesis.note,
        name=block.get("name", ""),
        published=block.get("published", ""),
    )


def _kind(block: Mapping[str, Any]) -> type[AnyExpectation]:
    if "measure" in block or "dissection" in block:
        if {"of", "to"} & block.keys():
            return MeasuredRatio
        return MeasuredExpectation
    if "ratio" in block:
        return RatioExpectation
    return Expectation


def _read_measure(block: Mapping[str, Any], where: str, entries: Sequence[Entry], common: Any) -> AnyExpectation:
    require("between" in block, f"{where}.between: missing; a measured number needs an expected range")
    common = {**common, "between": _bounds(block["between"], f"{where}.between")}
    if not {"of", "to"} & block.keys():
        common["share"] = _share(block.get("share", 1.0), f"{where}.share")
        common["where"] = check_where(block.get("where", {}), f"{where}.where", entries)
        return MeasuredExpectation(**read_measured(block, where), **common)
    for key in ("of", "to"):
        require(key in block, f"{where}.{key}: missing; a ratio of measures needs both groups, of and to")
        common[key] = check_where(block[key], f"{where}.{key}", entries)
    return MeasuredRatio(**read_measured(block, where), **common)


def _read_ratio(block: Mapping[str, Any], where: str, entries: Sequence[Entry], common: Any) -> RatioExpectation:
    for key in ("of", "to", "between"):
        require(key in block, f"{where}.{key}: missing; a ratio needs of, to and between")
    name = block["ratio"]
    known = isinstance(name, str) and name in QUANTITIES
    require(known, f"{where}.ratio: unknown quantity {brief(name)}{nearest(brief(name), list(QUANTITIES))}")
    of, to = (check_where(block[key], f"{where}.{key}", entries) for key in ("of", "to"))
    return RatioExpectation(ratio=name, of=of, to=to, between=_bounds(block["between"], f"{where}.between"), **common)


def _routes(raw: Any, where: str) -> tuple[str, ...]:
    from grokscope.results.verdict import ROUTES

    return known_names(raw, where, "route", list(ROUTES))


def _censored(raw: Any, where: str) -> tuple[str, ...]:
    names = {True: ["T_gen"], False: []}[raw] if isinstance(raw, bool) else names_in(raw, where)
    for name in names:
        require(name in STEPS, f"{where}: unknown milestone {name!r}{nearest(name, list(STEPS))}")
    return tuple(names)


def _bounds(raw: Any, where: str) -> tuple[float, float]:
    numbers = isinstance(raw, list) and len(raw) == 2 and all(_is_number(v) for v in raw)
    require(bool(numbers) and raw[0] <= raw[1], f"{where}: expected a range [lowest, highest], got {brief(raw)}")
    return float(raw[0]), float(raw[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (is_whole(value) and abs(value) <= configio.FLOAT_MAX)


def _share(raw: Any, where: str) -> float:
    ok = isinstance(raw, int | float) and not isinstance(raw, bool) and 0 < raw <= 1
    require(ok, f"{where}: expected a share in (0, 1], got {brief(raw)}")
    return float(raw)
