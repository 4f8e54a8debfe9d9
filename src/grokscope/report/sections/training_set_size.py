"""Peak and end score on unseen environments against the size of the training set."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from grokscope.figures.keys import Entry
from grokscope.figures.style import GROUP_COLORS, group_marker
from grokscope.report.draw.training_set_size import SIZE, draw_sizes
from grokscope.report.read.shortcut import SizeCurve
from grokscope.report.sections.blocks import Block, Panel, Plots, Words, wide
from grokscope.vocabulary.splits import REPORTED, is_reported, oracle_label
from grokscope.vocabulary.text import plural, score

CAPTION = (
    "Accuracy on unseen environments against the size of the training set: open marks are peaks, each run's best of "
    "many evaluations and so partly selection optimism, filled ones ends."
)


def size_blocks(by_split: Mapping[str, Sequence[SizeCurve]]) -> list[Block]:
    """One panel per split, one color per regime; empty where the size does not vary."""
    by_split = {split: curves for split, curves in by_split.items() if curves}
    if not by_split:
        return []
    names = list(dict.fromkeys(c.name for c in chain.from_iterable(by_split.values())))
    key = [_entry(f"{name}: peak (mean dotted)", i, filled=False) for i, name in enumerate(names)]
    key += [_entry(f"{name}: end (mean solid)", i, filled=True) for i, name in enumerate(names)]
    panels = [_panel(split, curves, names) for split, curves in by_split.items()]
    said = [Words(sentence(split, c)) for split, curves in by_split.items() for c in curves]
    oracle = [
        Words(f"On {split} a peak is an {oracle_label(split)}: no procedure could have reported it.", "warning")
        for split in REPORTED
        if split in by_split
    ]
    return [
        Words('Required amount of data', "h3"),
        Words("Runs that differ only in task.n_train and the seed. Open marks are peaks, each run's best of many "
            "evaluations and so partly selection optimism; filled ones are ends, each the mean of the last "
            "evaluations. The lines are means over runs."),
        Plots("sizes", panels, key, wide(panels), caption=CAPTION),
        *oracle,
        *said,
    ]  # fmt: skip


def _entry(words: str, index: int, filled: bool) -> Entry:
    return Entry(words, f"group-{index % GROUP_COLORS + 1}", marker=group_marker(index), filled=filled)


def sentence(split: str, curve: SizeCurve) -> str:
    """The critical size, or that there is none up to the largest one tried."""
    seeds = sorted({len(curve.at(n, 2)) for n in curve.sizes})
    runs = plural(seeds[0], "run") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} runs"
    front = f"{curve.name}, {split} ({runs} for each size, n_train {curve.sizes[0]:,} to {curve.sizes[-1]:,})"
    if curve.threshold is None:
        return f"{front}: without a known threshold there is no critical size."
    goal = f"the threshold {score(curve.threshold)}"
    if curve.critical is None:
        last = curve.sizes[-1]
        return f"{front}: no critical size up to {last:,}; at the largest, fewer than half of the runs end at {goal}."
    if curve.critical == curve.sizes[0]:
        where = f"at most {curve.critical:,}, the smallest tried"
    else:
        where = f"in ({max(n for n in curve.sizes if n < curve.critical):,}, {curve.critical:,}]"
    return f"{front}: the critical size, from which at least half of the runs end at {goal}, is {where}."


def _panel(split: str, curves: Sequence[SizeCurve], names: Sequence[str]) -> Panel:
    means = []
    for c in curves:
        for n in c.sizes:
            peak, end = score(float(np.mean(c.at(n, 1)))), score(float(np.mean(c.at(n, 2))))
            means.append(f"{c.name} at n_train {n:,}: {_peak_word(split)} {peak}, end {end}")
    alt = f"Accuracy on {split} against the number of training examples, mean over runs: {'; '.join(means)}."
    count = sum(len(c.points) for c in curves)
    return Panel(
        lambda figure, _: draw_sizes(figure, split, curves, names),
        SIZE,
        alt,
        steps=False,
        label=f"Accuracy on {split}",
        sample=f"{plural(count, 'run')}, each drawn; lines: means over runs, without an interval",
        data=lambda: list(chain.from_iterable(_size_rows(c) for c in curves)),
    )


def _size_rows(curve: SizeCurve) -> list[dict[str, Any]]:
    return [{"group": curve.name, "n_train": n, "peak": peak, "end": end} for n, peak, end in curve.points]


def _peak_word(split: str) -> str:
    return "oracle peak" if is_reported(split) else "peak"
