"""The IRM penalty by split, with the loss and the logit scale."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.figures.keys import Entry
from grokscope.report.draw.stacked_axes import Line, Part, alike
from grokscope.report.read.bands import column_band, values_band
from grokscope.report.read.judged_run import Reading
from grokscope.report.read.material import Material
from grokscope.report.sections.blocks import FOLDED, Block, Group, Plots, Row, Table, Value, Words, wide
from grokscope.report.sections.norms_and_ranks import ends, has, median_value, stack_panel
from grokscope.vocabulary.splits import NAMES, SPEAKING, TRAIN
from grokscope.vocabulary.text import digits, plural

Groups = Mapping[str, Sequence[Reading]]
_LOOKS = (("held-1", ()), ("held-2", (5, 2)), ("held-4", (2.5, 1.5)), ("held-3", (6, 2, 1.2, 2)))
"""Color and dash of the held-out splits, in the order in which they speak for a run; further ones begin anew."""
SPLITS = {name: ("train", ()) if name == TRAIN else _LOOKS[SPEAKING.index(name) % len(_LOOKS)] for name in NAMES}
NOTHING = (
    "On memorized data, the penalty is uninformative: it is a gradient of the loss, so it is near 0 where the loss is "
    "near 0, whatever the network has learned, and it grows with the square of the logit scale. A small penalty on "
    "train is no evidence of invariance. Read it on held-out environments, together with the loss and the logit scale."
)
UNBIASED = (
    "The figure shows the U-statistic, which is unbiased and can be negative; on the log axis, negative values are "
    "drawn at the lower edge. The table adds the naive penalty, the square of the estimated gradient, whose bias is "
    "the variance of the gradient divided by the number of examples; and the split-half estimator, the mean gradient "
    "of one half of the rows times that of the other half, which is unbiased but noisier."
)
NAIVE = (
    "If runs recorded no U-statistic, the naive penalty is drawn, the square of the estimated gradient. Its bias is "
    "the variance of the gradient divided by the number of examples, so it is above 0 even if the true value is 0."
)
U, PLAIN = "IRM penalty, U-statistic", "IRM penalty, naive"


def irm_columns(groups: Groups) -> set[str]:
    """The columns that `irm_blocks` shows: the penalties of the known splits and of their environments."""
    every = {c for m in groups.values() for r in m for c in r.subject.metrics}
    return {c for c in every if re.fullmatch(rf"({'|'.join(SPLITS)})(_env\d+)?_irm", c)}


def irm_blocks(material: Material, groups: Groups) -> list[Block]:
    panels, tables, titles = [], [], set()
    logged = {name: _parts(members) for name, members in groups.items()}
    logged = {name: parts for name, parts in logged.items() if {p.title for p in parts} & {U, PLAIN}}
    for name, parts in alike(logged).items():
        members = groups[name]
        titles |= {p.title for p in parts} & {U, PLAIN}
        described = "; ".join(f"{p.title}: {ends(p.lines)}" for p in parts)
        panels.append(stack_panel(parts, material, members, name, f"{name}. {described}"))
        tables.append(Group(name, [_row(members, split) for split in SPLITS if _logged(members, split)]))
    if not panels:
        return []
    key = [
        Entry(split, role, dash)
        for split, (role, dash) in SPLITS.items()
        if any(_logged(m, split) for m in groups.values())
    ]
    head = ["Last evaluation", U, "its approximate standard error", "split-half", "naive", "loss", "logit scale"]
    return [
        Words("The IRM penalty, and why it can mislead", "h3"),
        Words(NOTHING, "warning"),
        *[Words(text) for title, text in ((U, UNBIASED), (PLAIN, NAIVE)) if title in titles],
        Plots("irm", panels, key, wide(panels), caption='IRM penalty by split, with the loss and the logit scale.'),
        Table("IRM penalty at the last evaluation", head, tables, folded=len(tables) > FOLDED),
        Words("Penalty: mean over the split's environments (Arjovsky et al., arXiv:1907.02893); environments with too "
            "few examples are excluded, which the row notes. The standard error combines those of the environments, "
            "for one run. Median over runs, with the range below."),
    ]  # fmt: skip


def _parts(members: Sequence[Reading]) -> list[Part]:
    def lines(make: Any) -> list[Line]:
        return [
            Line(b, role, dash, label=split) for split, (role, dash) in SPLITS.items() if (b := make(split)) is not None
        ]

    def unbiased(split: str) -> Any:
        return values_band([c for r in members if (c := _mean(r, split, "irm_u")) is not None])

    rows = (
        (U, unbiased),
        (PLAIN, lambda s: None if unbiased(s) is not None else column_band(members, f"{s}_irm")),
        ("loss", lambda s: column_band(members, f"{s}_loss")),
        ("logit scale", lambda s: column_band(members, f"{s}_logit_scale")),
    )
    return [Part(title, drawn) for title, make in rows if (drawn := lines(make))]


def _logged(members: Sequence[Reading], split: str) -> bool:
    return has(members, f"{split}_irm") or any(len(_environments(r, split, "irm_u")) for r in members)


def _environments(reading: Reading, split: str, what: str) -> np.ndarray:
    """One penalty by environment and evaluation (environments, t)."""
    metrics = reading.subject.metrics
    names = sorted(c for c in metrics if re.fullmatch(rf"{split}_env\d+_{what}", c))
    return np.array([metrics[c] for c in names]).reshape(len(names), len(metrics["step"]))


def _mean(reading: Reading, split: str, what: str) -> tuple[np.ndarray, np.ndarray] | None:
    """(steps, mean over the split's environments that have a value)."""
    values = _environments(reading, split, what)
    if not len(values):
        return None
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    total = np.where(finite, values, 0.0).sum(axis=0)
    return reading.subject.metrics["step"], np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _error(reading: Reading, split: str) -> np.ndarray | None:
    """Standard error of `_mean` of the U-statistic: of the same environments, which are independent."""
    errors = _environments(reading, split, "irm_u_se")
    if not len(errors):
        return None
    finite = np.isfinite(errors)
    count = finite.sum(axis=0)
    root = np.sqrt(np.where(finite, errors**2, 0.0).sum(axis=0))
    return np.where(count > 0, root / np.maximum(count, 1), np.nan)


def _row(members: Sequence[Reading], split: str) -> Row:
    means = [[c[1] for r in members if (c := _mean(r, split, what)) is not None] for what in ("irm_u", "irm_split")]
    errors = [e for r in members if (e := _error(r, split)) is not None]
    named = [[v for r in members if (v := r.subject.metrics.get(f"{split}_{w}")) is not None]
             for w in ("irm", "loss", "logit_scale")]  # fmt: skip
    curves = (means[0], errors, means[1], *named)
    return Row(f"{split}{_few(members, split)}", [_middle([_last(v) for v in curve]) for curve in curves])


def _few(members: Sequence[Reading], split: str) -> str:
    """How many of the environments are in the means, where not all are."""
    every = [e for r in members if len(e := _environments(r, split, "irm_u"))]
    used = [int(np.isfinite(e).any(axis=1).sum()) for e in every]
    total = max(map(len, every), default=0)
    low, high = min(used, default=0), max(used, default=0)
    if low == total:
        return ""
    count = f"{low}" if low == high else f"{low} to {high}"
    return f", {count} of {plural(total, 'environment')}"


def _last(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else np.nan


def _middle(values: Sequence[float]) -> Value:
    return median_value([v for v in values if np.isfinite(v)], digits)
