"""Tables of dissections: effects with controls, the four cells, and the calibration on planted shortcuts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import isfinite

import numpy as np

from grokscope.figures.checkpoint_view import POOLED, finite, hardest
from grokscope.figures.parts.steering import monotone_words
from grokscope.report.read.dissections import ALWAYS, Dissected, Dissections, calibration_of
from grokscope.report.read.material import Material
from grokscope.report.sections.blocks import Block, Group, Row, Table, Value, Words
from grokscope.results.answer import CELLS
from grokscope.results.calibration import RateOf
from grokscope.results.dissection import RULES
from grokscope.results.scores import Effect, Interval, Null
from grokscope.results.steering import M5
from grokscope.vocabulary.text import NONE, digits, listed, p_value, percent, plural

FLAGS = {
    "decodable": "M1 readable",
    "m4_leace": "M4 (leace) used",
    "m5": "M5",
    "m6": "M6",
    "used_cell": "readable and used",
}
"""Answers whose rates are shown, and the heads of their columns."""


def summary_table(material: Material, groups: Mapping[str, Dissections]) -> list[Block]:
    head = ("Run", "M1: environment read", "M4: read after erasing", "Environment gap lost", "Right answers lost, "
                                                                                             "unseen",
            "M5: slope", "M5: curve", "M5: split-half reliability", "M6: gap lost beyond random",
            "In short")  # fmt: skip
    rows = []
    for group, dissections in groups.items():
        runs = [
            Row(d.reading.subject.label, _row(d), material.anchors.get(d.reading.subject.name))
            for d in dissections.main
        ]
        rows.append(Group(group, [*runs, _medians(dissections.main)] if len(runs) > 1 else runs))
    return [
        Words("Effects, intervals, controls", "h3"),
        Words("Below each number is its reference: chance, or the 95 % range of its controls, and the empirical p, (1 "
            "+ #) / (1 + draws). For erasures, the control with the largest p is shown."),
        Table("Effects with their controls", head, rows),
    ]  # fmt: skip


def _row(d: Dissected) -> list[Value]:
    return [
        _probe_value(d),
        _erasure_value(d),
        _effect(d.gap_effect),
        _effect(d.damage),
        _slope_value(d.m5),
        _curve_value(d),
        _halves_value(d.m5),
        _neurons_value(d),
        Value(d.cell, "" if d.shared.where.form == "cannot tell" else d.shared.where.form, number=False),
    ]


def _probe_value(d: Dissected) -> Value:
    score = d.score(POOLED, "environment")
    if score is None:
        return Value(NONE, "no probe")
    against = f"{_between(score.interval)}; chance {digits(score.chance)}, p {p_value(score.p)}"
    return Value(digits(score.balanced), against)


def _erasure_value(d: Dissected) -> Value:
    erasure = d.erasure
    if erasure is None:
        return Value(NONE, "no eraser")
    against = f"{erasure.eraser}: {erasure.verdict}; chance {digits(erasure.refitted.chance)}"
    return Value(digits(erasure.refitted.balanced), against)


def _effect(effect: Effect | None) -> Value:
    if effect is None:
        return Value(NONE)
    return Value(digits(effect.value), f"{_between(effect.interval)}; {_against(hardest(effect))}")


def _slope_value(m5: M5 | None) -> Value:
    if m5 is None or m5.slope_controls is None:
        return Value(NONE, "no control")
    nulls = [null for _, null in m5.slope_controls.items()]
    return Value(digits(m5.slope_size), _against(max(nulls, key=lambda null: null.p if isfinite(null.p) else 0.0)))


def _curve_value(d: Dissected) -> Value:
    curve = d.main_curve
    return Value(monotone_words(curve), f"on {curve.on}", number=False) if curve else Value(NONE, number=False)


def _halves_value(m5: M5 | None) -> Value:
    halves = m5.reliability if m5 else None
    if halves is None:
        return Value(NONE)
    return Value(digits(halves.mean), f"cosine with truth {digits(halves.cosine_with_truth)}")


def _neurons_value(d: Dissected) -> Value:
    value, null = d.beyond_random or (None, None)
    return Value(digits(value), _against(null))


def _between(interval: Interval | None) -> str:
    return f"[{digits(interval[0])}, {digits(interval[1])}]" if interval else "no interval"


def _against(null: Null | None) -> str:
    return f"{null.control} {digits(null.low)} to {digits(null.high)}, p {p_value(null.p)}" if null else "no control"


def _medians(runs: Sequence[Dissected]) -> Row:
    curves = [curve for d in runs if (curve := d.main_curve) is not None]
    shares = finite(curve.monotone_random for curve in curves)
    null = f"random directions: {percent(float(np.mean(shares)))}" if shares else ""
    monotone = f"monotone in {sum(curve.monotone for curve in curves)} of {len(curves):,}"
    scores = [s for d in runs if (s := d.score(POOLED, "environment")) is not None]
    halves = [d.m5.reliability for d in runs if d.m5 and d.m5.reliability]
    return Row(
        "median and range",
        [
            _over(score.balanced for score in scores),
            _over(erasure.refitted.balanced for d in runs if (erasure := d.erasure)),
            _over(effect.value for d in runs if (effect := d.gap_effect)),
            _over(effect.value for d in runs if (effect := d.damage)),
            _over(d.m5.slope_size for d in runs if d.m5),
            Value(monotone, null, number=False),
            _over(one.mean for one in halves),
            _over(beyond[0] for d in runs if (beyond := d.beyond_random)),
            Value(plural(len(runs), "run"), number=False),
        ],
    )


def _over(values: Iterable[float | None]) -> Value:
    known = finite(values)
    if not known:
        return Value(NONE)
    return Value(digits(float(np.median(known))), f"{digits(min(known))} to {digits(max(known))}")


def _counted(cells: Sequence[str], runs: Sequence[Dissected]) -> list[Value]:
    """How many of the runs are in each cell."""
    seen = Counter(d.cell for d in runs)
    return [Value(f"{seen[cell]} of {len(runs):,}") for cell in cells]


def cells_table(groups: Mapping[str, Dissections]) -> list[Block]:
    every = list(chain.from_iterable(dissections.main for dissections in groups.values()))
    seen = {d.cell for d in every}
    names = [cell for cell in CELLS if cell in ALWAYS or cell in seen]
    rows = [Row(group, _counted(names, dissections.main)) for group, dissections in groups.items()]
    blocks: list[Block] = [Words("Readable or not, used or not", "h3")]
    if any("negligibly" in cell for cell in names):
        size = every[0].shared.settings.negligible
        blocks.append(
            Words(
                f"Used, negligibly: the effect is real, but less than {percent(size)} of the effect of the correct "
                "class."
            )
        )
    reasons = dict.fromkeys(d.shared.where.reason for d in every if d.cell == "cannot tell" and d.shared.where.reason)
    return [
        *blocks,
        Table("Cells", ["Group", *names], [Group("", rows)], compact=True),
        *(Words(f"Cannot tell: {reason}.") for reason in list(reasons)[:3]),
    ]


def calibration_table(material: Material) -> list[Block]:
    conditions = calibration_of(material.lead).conditions
    rows = [Row(f"{name} ({c.seeds})", [_rate(c.rates.get(flag)) for flag in FLAGS]) for name, c in conditions.items()]
    idle = listed([f"“{name}”" for name, c in conditions.items() if c.nothing_used])
    old = listed([f"“{name}”" for name, c in conditions.items() if c.rules < RULES])
    outdated = [Words(f"Measured with older rules and not updated yet: {old}.")] if old else []
    return [
        Words('Performance of the methods on planted shortcuts', "h3"),
        *outdated,
        Words(f'Share of planted data sets (their number is next to the name) with each positive result, with a 95 % '
            f'interval. If nothing is used ({idle}), every positive result of M4, M5, M6 and of “readable and used” '
            f'is false; otherwise it is correct.'),
        Table("Calibration on planted shortcuts", ["Planted", *FLAGS.values()], [Group("", rows)]),
    ]  # fmt: skip


def _rate(rate: RateOf | None) -> Value:
    if rate is None:
        return Value(NONE)
    share, low, high, unknown = rate
    uncounted = f"; {unknown} cannot tell" if unknown else ""
    return Value(f"{percent(share)}", f"{percent(low)} to {percent(high)}{uncounted}", shade=share)
