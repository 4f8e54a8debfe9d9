"""Convert rows of an external history.json to grokscope columns.

The exact field names of the published rows are not documented, so they are read by a table of aliases, with an explicit
mapping where that is not enough. Whatever was read how is said in the notes that go into the run's facts; nothing is
dropped without a note.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, product
from pathlib import Path
from typing import Any

from grokscope.config import require
from grokscope.files import read_json
from grokscope.registry import nearest
from grokscope.vocabulary.column_table import COLUMNS, DIAGNOSED, EVALUATION, REQUESTED
from grokscope.vocabulary.columns import describe
from grokscope.vocabulary.splits import SPLITS

Row = dict[str, Any]

_SPLITS = {split.name: (split.name, *split.aliases) for split in SPLITS}
_METRICS = {"acc": ("acc", "accuracy"), "loss": ("loss", "ce", "ce_loss"), "irm": ("irm", "irm_penalty")}


def _of_a_split() -> dict[str, str]:
    """Alias -> our column, for each metric of each split: programs write ``val_acc`` and ``acc_val`` alike."""
    aliases: dict[str, str] = {}
    for (split, splits), (metric, metrics) in product(_SPLITS.items(), _METRICS.items()):
        for s, m in product(splits, metrics):
            aliases[f"{s}_{m}"] = aliases[f"{m}_{s}"] = f"{split}_{metric}"
    return aliases


ALIASES: dict[str, str] = {
    **_of_a_split(),
    **dict.fromkeys(("epoch", "ep", "epochs"), "epoch"),
    **dict.fromkeys(("lr", "learning_rate"), "lr"),
    "loss": "train_loss",
    **dict.fromkeys(("irm_penalty", "irm"), "train_irm"),
    **dict.fromkeys(
        (
            "weight_norm",
            "weights_norm",
            "total_weight_norm",
            "weight_l2",
            "l2_norm",
            "param_norm",
            "total_norm",
            "w_norm",
        ),
        "norm_total",
    ),
    **dict.fromkeys(("head_norm", "head_weight_norm", "fc_norm", "classifier_norm"), "norm_head"),
    **dict.fromkeys(
        ("effective_rank", "eff_rank", "erank", "feature_rank", "feature_effective_rank"), "rank_effective"
    ),
    **dict.fromkeys(("participation_ratio",), "rank_participation"),
    **dict.fromkeys(("stable_rank",), "rank_stable"),
    **dict.fromkeys(("grad_norm", "gradient_norm"), "grad_norm_total"),
}
"""A plain field name (lower case, words joined by _) -> column of ours."""

AMBIGUOUS = {
    **dict.fromkeys(("acc", "accuracy"), "train_acc or a held-out split's"),
    **dict.fromkeys(
        ("val_acc", "val_accuracy", "valid_acc"), "id_val_acc or ood_val_acc (WILDS calls its unseen hospital 1 val)"
    ),
    **dict.fromkeys(("val_loss", "valid_loss"), "id_val_loss or ood_val_loss (WILDS calls its unseen hospital 1 val)"),
    **dict.fromkeys(("test_acc", "test_accuracy"), "ood_test_acc or id_val_acc"),
    "test_loss": "ood_test_loss or id_val_loss",
}
"""Names that mean one thing to one author and another to the next: never guessed."""

_TARGETS = sorted({*ALIASES.values(), *(c.pattern for c in COLUMNS if "{" not in c.pattern)})


def is_ours(name: str) -> bool:
    """Whether a column of that name is one that a run of grokscope's writes at its evaluations."""
    column = describe(name)
    return column is not None and column.writer in (EVALUATION, DIAGNOSED, REQUESTED) and name != "step"


@dataclass
class Table:
    """Rows under our names, before they have a step, and what was read how."""

    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_history(path: Path) -> list[Row]:
    """Rows of a history file: a list of rows, columns of equal length, or either under one key. Nested tables become
    dotted names.

    Raises:
        ValueError: naming the file, when it is damaged or of another shape.
    """
    data = read_json(path)
    if isinstance(data, dict):
        lists = [v for v in data.values() if isinstance(v, list)]
        if len(lists) == 1 and all(isinstance(row, dict) for row in lists[0]):
            data = lists[0]
        elif data and all(isinstance(v, list) for v in data.values()) and len({len(v) for v in data.values()}) == 1:
            data = [dict(zip(data, values, strict=True)) for values in zip(*data.values(), strict=True)]
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise ValueError(f"{path}: expected a list of rows or columns of equal length")
    return [dict(_flat(row)) for row in data]


def _flat(value: Any, front: str = "") -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        name = f"{front}.{key}" if front else str(key)
        if isinstance(inner, dict | list):
            yield from _flat(inner, name)
        else:
            yield name, inner


def check_mapping(mapping: Mapping[str, str], histories: list[list[Row]]) -> None:
    """Raises ValueError for a mapping to a column that is not ours, or from one that no history has."""
    present = sorted(set(chain.from_iterable(chain.from_iterable(histories))))
    for ours, theirs in mapping.items():
        require(is_ours(ours), f"mapping: {ours!r} is not a grokscope column{nearest(ours, _TARGETS)}")
        require(theirs in present, f"mapping: no history has a field {theirs!r}{nearest(theirs, present)}")


def plain(name: str) -> str:
    """``trainLoss``, ``train/loss`` and ``Train Loss`` -> ``train_loss``."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", split.lower()).strip("_")


def translate(history: list[Row], mapping: Mapping[str, str]) -> Table:
    """Rows under our names: by `mapping` (ours -> theirs) first, then by exact name, then by alias. Numbers that no
    rule names keep their own name; text is left out. All of it is noted."""
    present = list(dict.fromkeys(chain.from_iterable(history)))
    table = Table([])
    target, how = _targets(present, mapping, table)
    numeric = {name for name in present if any(_is_number(row.get(name)) for row in history)}
    table.rows = [{target[k]: float(v) for k, v in row.items() if k in numeric and _is_number(v)} for row in history]
    read = [
        f"{theirs} -> {target[theirs]} ({how[theirs]})" for theirs in present if theirs in how and theirs in numeric
    ]
    kept = [target[t] for t in present if t not in how and t in numeric]
    text = [t for t in present if t not in numeric]
    if read:
        table.notes.append(f"history.json: {'; '.join(read)}")
    if kept:
        table.notes.append(f"history.json: kept under their own names: {', '.join(kept)}")
    if text:
        table.notes.append(f"history.json: excluded, not numeric: {', '.join(text)}")
    _set_gappy_losses_aside(table)
    return table


def _targets(present: list[str], mapping: Mapping[str, str], table: Table) -> tuple[dict[str, str], dict[str, str]]:
    """(theirs -> ours for every field, theirs -> by which rule for those that a rule names)."""
    target = {theirs: ours for ours, theirs in mapping.items() if theirs in present}
    how = dict.fromkeys(target, "as told")
    for rule, find in (
        ("same name", lambda n: n if is_ours(n) else None),
        ("alias", lambda n: ALIASES.get(plain(n))),
    ):
        for name in present:
            ours = None if name in target else find(name)
            if ours is None:
                continue
            if ours in target.values():
                taken = next(t for t, o in target.items() if o == ours)
                table.notes.append(f"history.json: {name} could also be {ours}, which {taken} already provides")
            else:
                target[name], how[name] = ours, rule
    for name in present:
        if name in target:
            continue
        target[name] = f"archive_{name}" if name == "step" or is_ours(name) else name
        if plain(name) in AMBIGUOUS:
            table.problems.append(
                f"field {name!r} may be {AMBIGUOUS[plain(name)]}: ambiguous, kept unchanged; map it with "
                f"mapping={{'<ours>': {name!r}}}"
            )
    return target, how


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _set_gappy_losses_aside(table: Table) -> None:
    """A missing loss in an evaluated row means "not finite" to our readers. Here it only means that it was not logged,
    so such a column may not have that name."""
    losses = {name for name in chain.from_iterable(table.rows) if name.endswith("_loss")}
    for name in sorted(losses):
        gaps = sum(name not in row for row in table.rows)
        if gaps:
            table.rows = [{f"archive_{k}" if k == name else k: v for k, v in row.items()} for row in table.rows]
            table.notes.append(
                f"history.json: {name} is missing in {gaps} of {len(table.rows)} rows: kept as archive_{name}"
            )


def in_order(table: Table) -> None:
    """Leave only rows whose epochs increase, in place; a problem for each row that goes."""
    kept: list[Row] = []
    for number, row in enumerate(table.rows, 1):
        epoch = row.get("epoch", math.nan)
        if not math.isfinite(epoch) or epoch < 0:
            table.problems.append(f"row {number} has no epoch: excluded")
        elif kept and epoch <= kept[-1]["epoch"]:
            table.problems.append(f"row {number} has epoch {epoch:g} after {kept[-1]['epoch']:g}: excluded")
        else:
            kept.append(row)
    table.rows = kept


def add_counts(table: Table, n: Mapping[str, int], guesses: Mapping[str, int]) -> dict[str, int]:
    """Turn accuracies that are counts over a known n into counts, in place; returns split -> n.

    `n` was told, and is believed for the noise band even where the accuracies were rounded. `guesses` are believed only
    where every accuracy of the split is a whole count over them.
    """
    known = {}
    for split in dict.fromkeys([*n, *guesses]):
        values = [row[f"{split}_acc"] for row in table.rows if f"{split}_acc" in row]
        size = n.get(split) or guesses[split]
        exact = bool(values) and _are_counts(values, size)
        if values and (exact or split in n):
            known[split] = size
        if exact:
            for row in table.rows:
                if f"{split}_acc" in row:
                    count = round(row[f"{split}_acc"] * size)
                    row.update({f"{split}_acc": count / size, f"{split}_correct": count, f"{split}_n": size})
            table.notes.append(f"{split} accuracies are whole counts over {size:,}")
    return known


def _are_counts(values: list[float], n: int) -> bool:
    """Whether all are whole counts over n but for the rounding of float32."""
    return all(abs(v * n - round(v * n)) <= max(1e-6 * n, 1e-9) < 0.25 for v in values)


def scale_accuracies(table: Table, scale: float) -> None:
    """Multiply every accuracy, in place. Raises ValueError where one does not lie in 0..1 afterward, and for a scale
    that is not needed: accuracies that are shares already would all come out tiny, and nothing later would notice."""
    before = [(row, name, row[name]) for row in table.rows for name in row if name.endswith("_acc")]
    highest = max((value for *_, value in before), default=0.0)
    if scale < 1 and 0 < highest <= 1:
        raise ValueError(
            f"scale={scale:g} was given, but no accuracy of this history is above {highest:g}: they are already "
            f"shares; omit scale"
        )
    for row, name, value in before:
        row[name] = value * scale
        if not -1e-9 <= row[name] <= 1 + 1e-6:
            percent = scale != 0.01 and 1 < highest <= 100
            remedy = ""
            if percent:
                remedy = "; if this history is in percent, pass scale=0.01"
            times = "" if scale == 1 else f" ({value:g} times the scale {scale:g})"
            raise ValueError(f"{name} holds {row[name]:g}{times}, which is not an accuracy in 0..1{remedy}")
