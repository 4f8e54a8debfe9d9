"""The section on a shortcut study: runs that are also judged on environments which training never saw."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from grokscope.report.blocks import FOLDED, Block, Row, Section, Table, Value, Words
from grokscope.report.contact_sheet import contact_blocks
from grokscope.report.reading import Reading
from grokscope.report.shortcut_data import OOD, Heat, Outcome, has_unseen, heat_rows, outcomes, size_curves
from grokscope.report.shortcut_figures import irm_blocks, norm_blocks, rank_blocks
from grokscope.report.size_figure import size_blocks
from grokscope.report.words import NONE, plural, score, steps

if TYPE_CHECKING:
    from grokscope.report.build import Material
    from grokscope.trajectory import Selection

LISTED = 60
"""Above this many runs the inventory is left to the table of verdicts: each row costs a simulation."""
INVENTORY = (
    "Each run as it is reported: where it peaked, where it ended, and what an honest rule would have reported. The "
    "last column, the peak on ood_test, is an oracle: it was chosen on ood_test, so it is the score of no procedure "
    "anybody could have followed; beside it stands the part of that maximum which is expected to be luck (a "
    "simulation of curves with this run's noise). No other column may be read against it."
)


def shortcut_section(material: "Material") -> Section | None:
    """None where no run has an unseen environment."""
    groups = {g: m for g, m in material.groups().items() if any(has_unseen(r) for r in m)}
    splits = [s for s in OOD if s in material.readings]
    if not groups or not splits:
        return None
    blocks: list[Block] = [
        Words(
            f"Judged on environments that training never saw: {' and '.join(splits)}. Rules choose on ood_val; "
            "ood_test is only reported."
        ),
        *contact_blocks([r.subject for m in groups.values() for r in m]),
        *size_blocks({s: size_curves(material.readings[s]) for s in splits}),
        *_inventory(material, groups),
        *_heat(groups, material.splits),
        *norm_blocks(material, groups),
        *irm_blocks(material, groups),
        *rank_blocks(material, groups),
    ]
    return Section("shortcut", "Unseen environments", "Unseen environments", blocks, _columns(material))


def _columns(material: "Material") -> frozenset[str]:
    """The heat table, the panels of ranks and those of penalties hold these."""
    every = {c for s in material.subjects for c in s.metrics}
    return frozenset(c for c in every if c.endswith("_irm") or c.startswith("rank_") or ("_env" in c and "_acc" in c))


def _inventory(material: "Material", groups: Mapping[str, Sequence[Reading]]) -> list[Block]:
    every = {o.subject.name: o for o in outcomes(material.readings)}
    count = sum(len(m) for m in groups.values())
    if count > LISTED:
        return [Words(f"{plural(count, 'run')}: too many for an inventory; see the table of verdicts.")]
    head = ("Run", "Verdicts", "ood_val: peak", "final", "ood_test: final", "mean of last", "at the peak of ood_val",
            "peak; oracle: chosen on ood_test")  # fmt: skip
    rows = []
    for name, members in groups.items():
        own = [every[r.subject.name] for r in members]
        rows.append((name, [*_runs(own, material), *([_mean(own)] if len(own) > 1 else [])]))
    return [Words("What was chosen, and by which rule", "h3"), Words(INVENTORY), Table("Run inventory", head, rows)]


def _runs(members: Sequence[Outcome], material: "Material") -> list[Row]:
    return [Row(o.subject.label, _cells(o), material.anchors[o.subject.name]) for o in members]


def _cells(o: Outcome) -> list[Value]:
    words = [f"{split}: {r.outcome}" for split, r in o.readings.items()]
    first, second = [*words, "", ""][:2]
    if words and len({r.outcome for r in o.readings.values()}) == 1:
        first, second = next(iter(o.readings.values())).outcome, "on both" if len(words) > 1 else ""
    end, last = o.chosen.get("final"), o.chosen.get("mean_last")
    return [
        Value(first, second, number=False),
        _peak(o, "ood_val"),
        _score(end, "ood_val"),
        _score(end, "ood_test"),
        _score(last, "ood_test", f"of {last.averaged}" if last else ""),
        _chosen(o, "peak_ood_val"),
        _oracle(o),
    ]


def _peak(o: Outcome, split: str) -> Value:
    reading = o.readings.get(split)
    if reading is None or reading.found is None:
        return Value(NONE)
    return Value(score(reading.found.peak), _when(o, reading.found.peak_step))


def _when(o: Outcome, step: float) -> str:
    epoch = o.epoch(step)
    return f"epoch {steps(epoch)}" if epoch is not None else f"step {steps(step)}"


def _score(s: "Selection | None", split: str, sub: str = "") -> Value:
    return Value(score(s.values.get(split)) if s is not None else NONE, sub)


def _chosen(o: Outcome, rule: str) -> Value:
    s = o.chosen.get(rule)
    return Value(NONE) if s is None else Value(score(s.values.get("ood_test")), _when(o, s.step))


def _oracle(o: Outcome) -> Value:
    s = o.chosen.get("oracle")
    if s is None:
        return Value(NONE)
    luck = f"of it {score(s.bias.optimism)} luck" if s.bias is not None else "luck unknown: few evaluations"
    return Value(score(s.values.get("ood_test")), f"{_when(o, s.step)}; {luck}")


def _mean(members: Sequence[Outcome]) -> Row:
    """Mean over the runs of each column, with the range beneath it."""

    def spread(values: Sequence[float | None]) -> Value:
        found = [v for v in values if v is not None and np.isfinite(v)]
        if not found:
            return Value(NONE)
        return Value(score(float(np.mean(found))), f"{score(min(found))} to {score(max(found))}")

    def rule(name: str, split: str) -> Value:
        return spread([s.values.get(split) for o in members if (s := o.chosen.get(name)) is not None])

    def peak(split: str) -> Value:
        found = [o.readings[split].found for o in members if split in o.readings]
        return spread([f.peak for f in found if f is not None])

    return Row(
        "mean and range",
        [Value(plural(len(members), "run"), number=False), peak("ood_val"), rule("final", "ood_val"),
         rule("final", "ood_test"), rule("mean_last", "ood_test"), rule("peak_ood_val", "ood_test"),
         rule("oracle", "ood_test")],
    )  # fmt: skip


def _heat(groups: Mapping[str, Sequence[Reading]], held: Sequence[str]) -> list[Block]:
    tables, classes = [], []
    order = ["train", *(s for s in ("id_val", *OOD) if s in held)]
    for name, members in groups.items():
        classes, rows = heat_rows(members, order)
        if rows:
            tables.append((name, [_heat_row(row, classes) for row in rows]))
    if not tables:
        return []
    return [
        Words("Which hospital, which class", "h3"),
        Words(
            "Accuracy at the last evaluation: mean over seeds, range beneath. With two classes this is each "
            "environment's confusion: what is missing from one class was taken for the other."
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
        found = row.cells.get(name)
        if found is None:
            cells.append(Value(""))
            continue
        mean, low, high = found
        cells.append(Value(score(mean), "" if low == high else f"{score(low)} to {score(high)}", shade=mean))
    environment = row.environment if not row.environment.isdigit() else f"environment {row.environment}"
    return Row(f"{row.split}, {environment}", cells)
