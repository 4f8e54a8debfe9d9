"""The section on shortcut studies: runs that are also evaluated on environments unseen in training."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from grokscope.report.read.judged_run import Reading
from grokscope.report.read.material import Material
from grokscope.report.read.shortcut import (
    CHOOSING,
    PEAKS,
    REPORTED,
    Heat,
    Outcome,
    has_unseen,
    heat_rows,
    outcomes,
    size_curves,
)
from grokscope.report.sections.blocks import FOLDED, Block, Group, Row, Section, Table, Value, Words
from grokscope.report.sections.contact_sheet import contact_blocks
from grokscope.report.sections.irm import irm_blocks, irm_columns
from grokscope.report.sections.norms_and_ranks import RANKS, gradient_columns, norm_blocks, rank_blocks
from grokscope.report.sections.training_set_size import size_blocks
from grokscope.report.sections.unseen_trajectories import norm_and_rank_blocks, trajectory_blocks
from grokscope.trajectory.peak_bias import SHORTEST
from grokscope.vocabulary.splits import NAMES, TRAIN, UNSEEN, is_reported
from grokscope.vocabulary.text import NONE, listed, p_value, plural, score, steps

if TYPE_CHECKING:
    from grokscope.trajectory import Selection

PLACE = 60.0

CHOSEN = f"peak_{CHOOSING}"
LISTED = 60
"""Above this many runs the inventory is left to the table of verdicts: each row costs a simulation."""
LAST_ONE = "last evaluation"
"""What stands beneath a final score, as beside the mean of the last ones."""
INVENTORY = (
    f"Scores of each run: its peak, its end, and the score of a valid selection rule. Final is the last evaluation, "
    f"end the mean of the last ones. The last column, the peak on {REPORTED}, is an oracle: it was chosen on "
    f"{REPORTED}, so no valid procedure could have achieved it, and no other column should be compared with it. Every "
    f"peak is a maximum, including the valid one. Next to it are its expected selection optimism, and p: how often a "
    f"flat curve of this roughness lies as far above its own end."
)
LUCK = (
    f"The noise of each curve is estimated (size and correlation, away from the peak and from jumps), and many curves "
    f"with this noise are simulated. Optimism: how far the maximum is expected to exceed the true score at that "
    f"evaluation; corrected: the peak without it. A small p means that the peak, and the decay after it, exceed the "
    f"noise; a p near 1, that the curve ends at its peak. New examples: an upper bound of p if the split were drawn "
    f"again. Flat curve: how far the maximum of a flat curve with this noise exceeds its level. Not estimable: fewer "
    f"than {SHORTEST} evaluations with changes, or noise so slow that it looks like a trend."
)


def section(material: Material) -> Section | None:
    """None where no run has an unseen environment."""
    groups, splits = _groups(material), _splits(material)
    if not groups or not splits:
        return None
    blocks: list[Block] = [
        Words(f"Evaluated on environments that are unseen in training: {' and '.join(splits)}. {_choice(splits)}"),
        *contact_blocks([r.subject for r in chain.from_iterable(groups.values())]),
        *trajectory_blocks(material, groups, splits),
        *size_blocks({s: size_curves(material.readings[s]) for s in splits}),
        *_inventory(material, groups),
        *_heat(groups, material.splits),
        *norm_blocks(material, groups),
        *irm_blocks(material, groups),
        *rank_blocks(material, groups),
        *norm_and_rank_blocks(material, groups),
    ]
    return Section("shortcut", "Unseen environments", "Unseen environments", blocks)


def _groups(material: Material) -> dict[str, list[Reading]]:
    """Those with a run that has an unseen environment."""
    return {g: m for g, m in material.groups().items() if any(has_unseen(r) for r in m)}


def _splits(material: Material) -> list[str]:
    return [s for s in UNSEEN if s in material.readings]


def columns(material: Material) -> set[str]:
    """Columns of the metrics that this section shows: the heat table, the panels of ranks, gradients and penalties."""
    groups = _groups(material)
    if not groups or not _splits(material):
        return set()
    every = {c for m in groups.values() for r in m for c in r.subject.metrics}
    shown = {c for c in every if c in RANKS or ("_env" in c and "_acc" in c)}
    return shown | irm_columns(groups) | gradient_columns(groups)


def _choice(splits: Sequence[str]) -> str:
    reported = f"{listed([s for s in splits if is_reported(s)] or [REPORTED])} is only reported."
    if CHOOSING not in splits:
        return f"No {CHOOSING} was evaluated, so no rule can choose on an unseen environment; {reported}"
    return f"Rules choose on {CHOOSING}; {reported}"


def _inventory(material: Material, groups: Mapping[str, Sequence[Reading]]) -> list[Block]:
    every = {o.subject.name: o for o in outcomes(material.readings)}
    count = sum(len(m) for m in groups.values())
    if count > LISTED:
        return [Words(f"{plural(count, 'run')}: too many for an inventory; see the table of verdicts.")]
    head = ("Run", "Verdicts", f"{CHOOSING}: peak", f"{CHOOSING}: final", f"{REPORTED}: final", f"{REPORTED}: end",
            f"at the peak of {CHOOSING}", f"peak; oracle: chosen on {REPORTED}")  # fmt: skip
    rows = []
    for name, members in groups.items():
        group_outcomes = [every[r.subject.name] for r in members]
        rows.append(
            Group(
                name, [*_runs(group_outcomes, material), *([_mean(group_outcomes)] if len(group_outcomes) > 1 else [])]
            )
        )
    return [
        Words("Selected evaluations by rule", "h3"),
        Words(INVENTORY),
        Table("Run inventory", head, rows),
        *_luck(every, groups, material),
    ]


def _luck(every: Mapping[str, Outcome], groups: Mapping[str, Sequence[Reading]], material: Material) -> list[Block]:
    """Each peak against curves of the same roughness that have none."""
    head = ["Curve, its peak", "optimism", "corrected", "p, same roughness", "p, new examples", "flat curve"]
    tables = []
    for name, members in groups.items():
        group_outcomes = [every[r.subject.name] for r in members]
        peaks = [(o, rule) for o in group_outcomes for rule in PEAKS if rule in o.chosen]
        rows = [_luck_row(o, rule, PEAKS[rule], material) for o, rule in peaks]
        if rows:
            tables.append(Group(name, rows))
    if not tables:
        return []
    table = Table("Peaks against curves of the same roughness", head, tables, folded=len(tables) > 1)
    return [Words(LUCK), table]


def _luck_row(o: Outcome, rule: str, split: str, material: Material) -> Row:
    label, b = f"{o.subject.label}, {split}", o.chosen[rule].bias
    label += "; oracle" if rule == "oracle" else ""
    if b is None or b.cannot_tell is not None:
        words = "not estimable"
        return Row(label, [Value(words, "too few evaluations" if b is None else "slow noise"), *[Value(NONE)] * 4],
                   material.anchors.get(o.subject.name))  # fmt: skip
    cells = [score(b.optimism), score(b.corrected), p_value(b.p), p_value(b.p_new), score(b.excess)]
    return Row(label, [Value(c) for c in cells], material.anchors.get(o.subject.name))


def _runs(members: Sequence[Outcome], material: Material) -> list[Row]:
    return [Row(o.subject.label, _cells(o), material.anchors.get(o.subject.name)) for o in members]


def _cells(o: Outcome) -> list[Value]:
    words = [f"{split}: {r.outcome}" for split, r in o.readings.items()]
    first, second = next(iter(words), ""), "; ".join(words[1:])
    if len(words) > 1 and len({r.outcome for r in o.readings.values()}) == 1:
        first, second = next(iter(o.readings.values())).outcome, "on both" if len(words) == 2 else "on all"
    elif len(words) == 1:
        first = next(iter(o.readings.values())).outcome
    final, last = o.chosen.get("final"), o.chosen.get("mean_last")
    return [
        Value(first, second, number=False),
        _peak(o, CHOOSING, CHOSEN),
        _score(final, CHOOSING, LAST_ONE),
        _score(final, REPORTED, LAST_ONE),
        _score(last, REPORTED, f"last {last.averaged}" if last else ""),
        _chosen(o, CHOSEN),
        _peak(o, REPORTED, "oracle"),
    ]


def _peak(o: Outcome, split: str, rule: str) -> Value:
    """A peak, when it was, and whether a curve of this roughness has one without a reason."""
    s = o.chosen.get(rule)
    return Value(NONE) if s is None else Value(score(s.values.get(split)), f"{_when(o, s.step)}; {_chance(s)}")


def _chance(s: "Selection") -> str:
    if s.bias is None or s.bias.p is None:
        return "selection optimism: not estimable"
    return f"optimism\u00a0{score(s.bias.optimism)}, p\u00a0{p_value(s.bias.p)}"


def _when(o: Outcome, step: float) -> str:
    epoch = o.epoch(step)
    return f"epoch {steps(epoch)}" if epoch is not None else f"step {steps(step)}"


def _score(s: "Selection | None", split: str, sub: str = "") -> Value:
    return Value(score(s.values.get(split)) if s is not None else NONE, sub)


def _chosen(o: Outcome, rule: str) -> Value:
    s = o.chosen.get(rule)
    return Value(NONE) if s is None else Value(score(s.values.get(REPORTED)), _when(o, s.step))


def _mean(members: Sequence[Outcome]) -> Row:
    """Mean over the runs of each column, with the range beneath it."""

    def spread(values: Sequence[float | None]) -> Value:
        known = [v for v in values if v is not None and np.isfinite(v)]
        if not known:
            return Value(NONE)
        return Value(score(float(np.mean(known))), f"{score(min(known))} to {score(max(known))}")

    def rule(name: str, split: str) -> Value:
        return spread([s.values.get(split) for o in members if (s := o.chosen.get(name)) is not None])

    def peak(split: str) -> Value:
        milestones = [o.readings[split].milestones for o in members if split in o.readings]
        return spread([f.peak for f in milestones if f is not None])

    return Row(
        "mean and range",
        [Value(plural(len(members), "run"), number=False), peak(CHOOSING), rule("final", CHOOSING),
         rule("final", REPORTED), rule("mean_last", REPORTED), rule(CHOSEN, REPORTED),
         rule("oracle", REPORTED)],
    )  # fmt: skip


def _heat(groups: Mapping[str, Sequence[Reading]], held: Sequence[str]) -> list[Block]:
    tables, classes = [], []
    order = [name for name in NAMES if name == TRAIN or name in held]
    for name, members in groups.items():
        classes, rows = heat_rows(members, order)
        if rows:
            tables.append(Group(name, [_heat_row(row, classes) for row in rows]))
    if not tables:
        return []
    return [
        Words("Accuracy by hospital and class", "h3"),
        Words(
            "Accuracy at the last evaluation: mean over seeds, with the range below. With two classes, this is the "
            "confusion matrix of each environment: the missing share of one class was classified as the other."
        ),
        Table(
            "Accuracy by environment and class",
            ["Split, environment", "all", *classes],
            tables,
            compact=True,
            folded=len(tables) > FOLDED,
        ),
    ]


def _heat_row(row: Heat, classes: Sequence[str]) -> Row:
    cells = []
    for name in ("all", *classes):
        spread = row.cells.get(name)
        if spread is None:
            cells.append(Value(""))
            continue
        mean, low, high = spread
        cells.append(Value(score(mean), "" if low == high else f"{score(low)} to {score(high)}", shade=mean))
    environment = row.environment if not row.environment.isdigit() else f"environment {row.environment}"
    return Row(f"{row.split}, {environment}", cells)
