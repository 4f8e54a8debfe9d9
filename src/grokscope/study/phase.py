"""The two settings of a study that span a phase diagram: specified in the study file, or the only two that vary.

[phase]
x = "regime.lr"
y = "regime.weight_decay"
panels = "model.norm"        # a third setting, a map for each of its values
where = { "regime.loss" = "mse" }
split = "id_val"             # the held-out split; by default the one that speaks for a run
time = "T_gen"               # in place of the delay
value = "norm_total"         # a further number: a column's end, or { measure = ..., statistic = ... }
fewest = 3                   # judged runs without which a cell is marked; by default as many as planned
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from typing import Any, Literal

from grokscope.config import is_whole, require
from grokscope.limits import brief
from grokscope.registry import nearest
from grokscope.results.phase import PhaseAxis, Spacing
from grokscope.study.conditions import check_where, matches
from grokscope.study.measured import END, Measure, read_measured
from grokscope.study.spec import Entry, shown
from grokscope.vocabulary.splits import HELD_OUT
from grokscope.vocabulary.text import listed, plural

KEYS = ("x", "y", "panels", "where", "split", "time", "value", "fewest")
TIMES = ("delay", "T_gen")
ASIDE = ("seed", "regime.name")
"""Settings that tell runs of one cell apart."""
ASIDE_TABLES = ("budget", "evaluate", "diagnose", "checkpoint", "measure", "hardware", "engine", "start")
"""How long a run lasts and what is looked at: no place on a map."""
EVEN = 1.01
"""Steps of a linear axis differ by no more than this factor."""
NEARLY_EVEN = 2.0
"""Steps of a logarithmic axis differ by no more in their logarithms: 0.1, 0.3, 1, 2, 6 is one."""
APART, WIDE = 3.0, 10.0
"""From these factors on between the least and the largest, two values or more count as log-spaced."""


@dataclass(frozen=True, kw_only=True)
class PhaseSpec:
    """What a phase diagram is made of."""

    x: str
    y: str
    panels: str | None = None
    where: Mapping[str, Any]
    split: str | None = None
    time: Literal["delay", "T_gen"] = "delay"
    value: Measure | None = None
    fewest: int = 0
    """0: as many as planned."""
    automatic: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.x, self.y, self.panels)))

    @property
    def value_name(self) -> str:
        """What the study file's number is called; empty where it names none."""
        if self.value is None:
            return ""
        return self.value.called

    def place(self, entry: Entry) -> tuple[str, ...]:
        """Labels of a run's column, row and panel."""
        return tuple(label_of(entry, key) for key in self.keys)


def read_phase(raw: Any, entries: Sequence[Entry]) -> PhaseSpec | None:
    """The ``[phase]`` block.

    Raises:
        ValueError: an unknown key, a setting that no run has or that does not vary, and settings that vary within a
            cell, whose runs would be counted together as if they were seeds.
    """
    if raw is None:
        return None
    where = "$.phase"
    require(isinstance(raw, Mapping), f"{where}: expected a table such as [phase], got {brief(raw)}")
    for key in raw:
        require(key in KEYS, f"{where}.{key}: unknown key{nearest(key, list(KEYS))}")
    conditions = check_where(raw.get("where", {}), f"{where}.where", entries)
    chosen = [e for e in entries if matches(e, conditions)]
    for name in ("x", "y"):
        require(name in raw, f"{where}.{name}: missing; a phase diagram has two axes, x and y")
    axes = {name: _key(raw[name], f"{where}.{name}", chosen) for name in ("x", "y", "panels") if name in raw}
    require(len(set(axes.values())) == len(axes), f"{where}: x, y and panels must be different settings")
    spec = PhaseSpec(
        x=axes["x"],
        y=axes["y"],
        panels=axes.get("panels"),
        where=conditions,
        split=_one_of(raw, "split", HELD_OUT, where),
        time=_one_of(raw, "time", TIMES, where) or "delay",
        value=_value(raw.get("value"), f"{where}.value"),
        fewest=_fewest(raw.get("fewest", 0), f"{where}.fewest"),
    )
    _require_one_setting_per_cell(spec, chosen, where)
    return spec


def found_phase(entries: Sequence[Entry]) -> tuple[PhaseSpec | None, str]:
    """(diagram, why there is none) of a study without a block: where exactly two settings vary, in more cells than a
    line has."""
    varying = varying_keys(entries)
    if len(varying) != 2:
        count = plural(len(varying), "setting varies", "settings vary")
        shown = [*varying[:4], "..."] if len(varying) > 4 else varying
        named = f" ({', '.join(shown)})" if shown else ""
        return None, f"{count}{named}; where two do, they span one, and a [phase] block names them where more do"
    x, y = varying
    spec = PhaseSpec(x=x, y=y, where={}, automatic=True)
    cells = {spec.place(e) for e in entries}
    longest = max(len({place[i] for place in cells}) for i in range(2))
    if len(cells) <= longest:  # both change together: a line, of which a map would show the diagonal
        return None, f"{x} and {y} vary together, in {len(cells)} pairs, so they span no map"
    return spec, ""


def varying_keys(entries: Sequence[Entry]) -> list[str]:
    """Settings with two values or more, in the order of a config; parameters of a component that itself varies do not
    count, nor does what only says how long a run lasts and what is looked at."""
    keys = dict.fromkeys(key for e in entries for key in e.settings)
    varying: list[str] = []
    for key in keys:
        if key in ASIDE or key.partition(".")[0] in ASIDE_TABLES:
            continue
        inside = any(key.startswith(f"{parent}.") for parent in varying)
        if not inside and _varies(entries, key):
            varying.append(key)
    return varying


def _varies(entries: Sequence[Entry], key: str) -> bool:
    first = entries[0].settings.get(key)
    if all(e.settings.get(key) == first for e in entries):  # of ten thousand runs most settings are alike
        return False
    return len({label_of(e, key) for e in entries}) > 1


def label_of(entry: Entry, key: str) -> str:
    """A setting's value in words, numbers exact: two values never share a cell. ``none`` where the run has no such
    setting."""
    value = entry.settings.get(key)
    if value is None:
        return "none"
    if isinstance(value, float) and float(f"{value:g}") != value:
        return repr(value)
    return shown(value)


def axis_of(key: str, entries: Sequence[Entry], others: Sequence[str]) -> PhaseAxis:
    """The axis of a setting: numbers in their order, other values as in the file; its name short where none of
    `others` ends alike."""
    values: dict[str, Any] = {label_of(e, key): e.settings.get(key) for e in entries}
    short = key.rpartition(".")[2]
    ambiguous = short == "name" or any(o != key and o.rpartition(".")[2] == short for o in others)
    name = key if ambiguous else short
    if not all(_is_number(v) for v in values.values()):
        labels = tuple(values)
        return PhaseAxis(key=key, name=name, labels=labels, numbers=None, spacing="categories")
    ordered = sorted(values, key=lambda label: values[label])
    numbers = tuple(float(values[label]) for label in ordered)
    return PhaseAxis(key=key, name=name, labels=tuple(ordered), numbers=numbers, spacing=spacing_of(numbers))


def spacing_of(numbers: Sequence[float]) -> Spacing:
    """How ascending numbers lie. Two of them are log-spaced where they lie a factor of three apart."""
    if len(numbers) < 2:
        return "linear"
    if len(numbers) == 2:
        if numbers[0] > 0 and numbers[1] / numbers[0] >= APART:
            return "log"
        return "linear"
    if _even([b - a for a, b in pairwise(numbers)], EVEN):
        return "linear"
    positive = [v for v in numbers if v != 0]  # zero stands before them, as no decay does before the least decay
    wide = positive[0] > 0 and positive[-1] / positive[0] >= WIDE
    if wide and _even([log(b / a) for a, b in pairwise(positive)], NEARLY_EVEN):
        return "log"
    return "uneven"


def _even(gaps: Sequence[float], factor: float) -> bool:
    return bool(gaps) and max(gaps) <= factor * min(gaps)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _key(raw: Any, where: str, entries: Sequence[Entry]) -> str:
    require(isinstance(raw, str), f"{where}: expected a dotted key such as regime.lr, got {brief(raw)}")
    keys = list(dict.fromkeys(key for e in entries for key in e.settings if key not in ASIDE))
    require(raw in keys, f"{where}: unknown key {raw!r}{nearest(raw, keys)}")
    varies = varying_keys(entries)
    hint = f"; what varies: {', '.join(varies)}" if varies else ""
    require(_varies(entries, raw), f"{where}: {raw} has one value in all these runs{hint}")
    return raw


def _one_of(raw: Mapping[str, Any], key: str, known: Sequence[str], where: str) -> Any:
    value = raw.get(key)
    require(
        value is None or value in known,
        f"{where}.{key}: expected {listed(known)}, got {brief(value)}{nearest(str(value), list(known))}",
    )
    return value


def _value(raw: Any, where: str) -> Measure | None:
    if raw is None:
        return None
    block = {"measure": raw, "statistic": END} if isinstance(raw, str) else raw
    ok = isinstance(block, Mapping) and "measure" in block
    require(ok, f'{where}: expected a column, "norm_total", or {{ measure = "norm_total", statistic = "end" }}')
    for key in block:
        known = ["measure", "statistic", "split"]
        require(key in known, f"{where}.{key}: unknown key{nearest(key, known)}")
    return Measure(**read_measured(block, where), split=block.get("split"))


def _fewest(raw: Any, where: str) -> int:
    require(is_whole(raw) and raw >= 0, f"{where}: expected a whole number of runs, got {brief(raw)}")
    return raw


def _require_one_setting_per_cell(spec: PhaseSpec, entries: Sequence[Entry], where: str) -> None:
    """Runs of a cell may differ by their seed alone: what else varies within one is a panel, or left out."""
    cells: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        cells.setdefault(spec.place(entry), []).append(entry)
    for place, members in cells.items():
        pooled = varying_keys(members)
        words = " ".join(f"{key}={label}" for key, label in zip(spec.keys, place, strict=True))
        remedy = _remedy(spec, pooled)
        require(not pooled, f"{where}: runs of the cell {words} differ by {listed(pooled)} too; {remedy}")


def _remedy(spec: PhaseSpec, pooled: Sequence[str]) -> str:
    one = pooled[0] if pooled else ""
    if spec.panels is None:
        return f'make it panels = "{one}", or choose by where'
    return f'choose by where = {{ "{one}" = ... }}'
