"""Named rules for choosing an evaluation or a checkpoint. The rule is stored with the results.

| rule | chooses |
|---|---|
| ``final`` | the last evaluation |
| ``mean_last``, ``mean_last=<k>`` | no single one: the mean of each split's last k evaluations, 5 if not said |
| ``peak_ood_val`` | the highest score on `ood_val`, the unseen environment kept for this |
| ``peak_id_val`` | the highest score on `id_val`, as one must without any other environment |
| ``peak_train`` | the highest score on `train`, which says when it fitted and nothing else |
| ``step=<n>`` | the evaluation at step n |
| ``oracle`` | the highest score on `ood_test`, which no honest rule may look at; in full ``oracle=ood_test`` |
| ``oracle=<split>`` | the same on another split of a foreign log |

A colon will do for the other mark (``peak:ood_val``, ``oracle:ood_test``, ``step:400``); what is written down is the
spelling of the table, with the oracle in full.

Model selection decides what domain-generalization numbers mean (Gulrajani & Lopez-Paz, arXiv:2007.01434): a peak chosen
on the test environment is the score of no procedure that anyone could have followed. It is possible here for
comparison with published peaks only, and every `Selection` made with it carries ``oracle=True``.
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from grokscope.registry import nearest
from grokscope.trajectory.peak_bias import PeakBias, peak_bias
from grokscope.trajectory.series import RunLike, Trajectory, from_run
from grokscope.vocabulary.splits import REPORTED as REPORTED_SPLITS
from grokscope.vocabulary.splits import SELECTING, is_reported, oracle_label

RULES = (
    "final", "mean_last", "mean_last=<k>", *(f"peak_{name}" for name in SELECTING), "step=<n>", "oracle",
    "oracle=<split>",
)  # fmt: skip
REPORTED = REPORTED_SPLITS[0]
"""The split of a bare ``oracle``: reported, and never selected on."""
ORACLE = oracle_label(REPORTED)
LAST = 5
"""Evaluations that ``mean_last`` averages unless it says how many."""
_SPELLING = re.compile(r"(final)|(mean_last)(?:[=:](.+))?|(peak)[_=:](.+)|(step)[=:](.+)|(oracle)(?:[=:](.+))?")


def peak_rule(split: str) -> str:
    """The name of what a maximum over a curve of this split is: ``peak_ood_val``; on `ood_test`, the oracle's."""
    if is_reported(split):
        return oracle_label(split)
    return f"peak_{split}"


@dataclass(frozen=True)
class Rule:
    """A rule, understood."""

    kind: Literal["final", "mean_last", "peak", "step", "oracle"]
    split: str | None = None
    """Whose highest score decides, for ``peak`` and ``oracle``."""
    step: float | None = None
    k: int | None = None
    """Evaluations averaged, for ``mean_last``; None where the name does not say."""

    @property
    def name(self) -> str:
        """Its one spelling: ``peak_ood_val``, ``oracle=ood_test``, ``step=400``, ``mean_last=3``."""
        match self.kind:
            case "peak":
                return f"peak_{self.split}"
            case "oracle":
                return f"oracle={self.split}"
            case "step":
                return f"step={_number(self.step)}"
            case "mean_last" if self.k not in (None, LAST):
                return f"mean_last={self.k}"
        return self.kind

    @property
    def label(self) -> str:
        """Its name for tables and figures; an oracle's is its stamp, ``oracle (chosen on ood_test)``."""
        if self.kind == "oracle":
            return oracle_label(str(self.split))
        return self.name


def parse_rule(rule: str) -> Rule:
    """A rule from its name, in either spelling.

    Raises:
        ValueError: an unknown rule (the nearest is named), a peak on `ood_test` that is not called an oracle, a step or
            a number of evaluations that is none.
    """
    spelled = _SPELLING.fullmatch(rule)
    if spelled is None:
        raise ValueError(f"unknown rule {rule!r}{nearest(rule, list(RULES))}")
    kind, *rest = (part for part in spelled.groups() if part is not None)
    value = rest[0] if rest else None
    match kind, value:
        case "step", str():
            return Rule("step", step=_step(rule, value))
        case "mean_last", str():
            return Rule("mean_last", k=_count(rule, value))
        case "peak", str():
            return Rule("peak", _peak_split(rule, value))
        case "oracle", _:
            return Rule("oracle", value or REPORTED)
    return Rule("final" if kind == "final" else "mean_last")


def rule_label(rule: str) -> str:
    """How a recorded rule is shown: ``oracle:ood_test`` as ``oracle (chosen on ood_test)``; what is none, as it is."""
    try:
        return parse_rule(rule).label
    except ValueError:
        return rule


def _step(rule: str, text: str) -> float:
    try:
        step = float(text)
    except ValueError:
        step = math.nan
    if not math.isfinite(step):
        raise ValueError(f"rule {rule!r}: {text!r} is not a step; write for example step=400")
    return step


def _count(rule: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"rule {rule!r}: {text!r} is not a number of evaluations; write for example mean_last=3")
    return int(text)


def _peak_split(rule: str, split: str) -> str:
    if is_reported(split):
        name = "oracle" if split == REPORTED else f"oracle={split}"
        raise ValueError(
            f"rule {rule!r}: choosing on {split} is possible only under the name {name!r}, and is labeled as such"
        )
    if split not in SELECTING:
        raise ValueError(
            f"unknown rule {rule!r}{nearest(f'peak_{split}', list(RULES))}; on a split of another name a peak is "
            f"'oracle={split}'"
        )
    return split


def _number(step: float | None) -> str:
    if step is not None and step == int(step):
        return str(int(step))
    return str(step)


class Stored(RunLike, Protocol):
    """What `checkpoint` needs of a run; `grokscope.store.Run` has it."""

    @property
    def id(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def status(self) -> Mapping[str, Any]: ...
    def checkpoints(self) -> Mapping[int, Path]: ...


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The evaluation that a rule chose on one trajectory, and its scores."""

    rule: str
    """In its one spelling (`Rule.name`), however it was asked for."""
    chosen_on: str | None
    """The split whose peak decided; None for rules that look at no score."""
    oracle: bool
    """Chosen on a split that is only to be reported: stamp every number that follows from it."""
    step: float
    """The chosen evaluation; the last of them where several are averaged."""
    averaged: int
    """Evaluations behind each value: 1 but for ``mean_last``."""
    values: dict[str, float]
    """split (train included) -> its score there; NaN where it was not evaluated."""
    bias: PeakBias | None
    """For rules that take a maximum: its selection optimism. None for the others, and for short curves."""

    @property
    def label(self) -> str:
        """``peak_ood_val``; ``oracle (chosen on ood_test)``: for tables and figures."""
        return rule_label(self.rule)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**vars(self), "label": self.label, "bias": self.bias.to_dict() if self.bias else None}


class Chosen(NamedTuple):
    """A checkpoint that a rule names."""

    selection: Selection
    step: int
    """Of the weights. `Selection.step` is that of the evaluation they were chosen by, which lies before it where the
    weights were kept between two evaluations."""
    path: Path


def select(
    trajectory: Trajectory, rule: str = "final", k: int = LAST, *, among: Collection[float] | None = None
) -> Selection:
    """Choose by a named rule; of equals the first.

    Args:
        rule: one of the module's table.
        k: evaluations that a bare ``mean_last`` averages, for each split its own last ones.
        among: only these steps can be chosen (those with a checkpoint); all evaluations if not given.

    Raises:
        ValueError: an unknown rule (the nearest is named), a split that the trajectory lacks (those it has are named),
            a step without an evaluation (the nearest are named), or nothing left to choose from.
    """
    wanted = parse_rule(rule)
    rows = _rows(trajectory, among)
    if wanted.kind == "mean_last":
        return _mean(trajectory, wanted.k or k)
    bias = None
    if wanted.split is not None:
        values = _require_split(trajectory, wanted)
        row, bias = _peak(trajectory, wanted.split, values, rows)
    elif wanted.step is not None:
        row = _at(trajectory, wanted.step, rows)
    else:
        row = int(rows[-1])
    return _selection(trajectory, wanted, row, bias)


def _selection(trajectory: Trajectory, rule: Rule, row: int, bias: PeakBias | None) -> Selection:
    return Selection(
        rule=rule.name,
        chosen_on=rule.split,
        oracle=rule.kind == "oracle",
        step=trajectory.step[row].item(),
        averaged=1,
        values={s: float(v[row]) for s, v in _scores(trajectory).items()},
        bias=bias,
    )


def checkpoint(run: Stored, rule: str = "final") -> Chosen:
    """The kept weights that a rule chooses, and what was measured there.

    ``final`` names the weights at the end of training and ``step=<n>`` those at that step, evaluated or not (then
    `Selection.values` is empty). Peaks are looked up among the checkpoints, so they can lie below the curve's own. Each
    checkpoint counts with the evaluation at its step. Where the two grids differ it counts with the last evaluation
    before it, and `Selection.step` says which that was: the score is then the network's of a little earlier. Of several
    checkpoints after one evaluation only the first counts.

    Raises:
        ValueError: as `select`; a rule that averages and so names no checkpoint; no checkpoint where the rule points.
    """
    wanted = parse_rule(rule)
    if wanted.kind == "mean_last":
        raise ValueError(f"rule {rule!r} averages evaluations and selects no checkpoint; use final, a peak or step=<n>")
    checkpoints = kept(run)
    if wanted.split is not None:
        return _best_kept(from_run(run), wanted, checkpoints)
    step = int(run.status["step"]) if wanted.kind == "final" else wanted.step
    if wanted.kind == "final" and not _final(run).exists():
        raise ValueError(
            f"{run.id} has no final checkpoint; finish it, or use step=<n> with one of {_listed(checkpoints)}"
        )
    if step is None or step not in checkpoints:
        raise ValueError(
            f"{run.id} has no checkpoint at step {_number(step)}; nearest: {_near(list(checkpoints), step or 0)}"
        )
    return Chosen(_measured_at(run, wanted, step), int(step), checkpoints[int(step)])


def kept(run: Stored) -> dict[int, Path]:
    """Step -> weights of every checkpoint, the final one included. Raises ValueError where there are none."""
    checkpoints = dict(run.checkpoints())
    if _final(run).exists():
        checkpoints[int(run.status["step"])] = _final(run)
    if not checkpoints:
        raise ValueError(f"{run.id} has no checkpoints")
    return checkpoints


def _final(run: Stored) -> Path:
    return run.path / "checkpoints" / "final.safetensors"


def _best_kept(trajectory: Trajectory, rule: Rule, checkpoints: Mapping[int, Path]) -> Chosen:
    assert rule.split is not None
    values = _require_split(trajectory, rule)
    known = np.flatnonzero(np.isfinite(values))
    steps = sorted(checkpoints)
    last = np.searchsorted(trajectory.step[known], steps, side="right") - 1
    first_after = {int(known[i]): step for i, step in reversed(list(zip(last, steps, strict=True))) if i >= 0}
    row, bias = _peak(trajectory, rule.split, values, np.array(sorted(first_after), dtype=np.int64))
    return Chosen(_selection(trajectory, rule, row, bias), first_after[row], checkpoints[first_after[row]])


def _measured_at(run: Stored, rule: Rule, step: float) -> Selection:
    """What was evaluated at a step that was chosen without looking; nothing, where nothing was."""
    try:
        trajectory = from_run(run)
        return _selection(trajectory, rule, _at(trajectory, step, np.arange(len(trajectory.step))), None)
    except ValueError:
        return Selection(rule=rule.name, chosen_on=None, oracle=False, step=step, averaged=1, values={}, bias=None)


def _scores(trajectory: Trajectory) -> dict[str, np.ndarray]:
    return {"train": trajectory.train, **trajectory.held_out}


def _require_split(trajectory: Trajectory, rule: Rule) -> np.ndarray:
    """The scores (t,) on the split that a rule looks at."""
    scores = _scores(trajectory)
    if rule.split not in scores:
        near = nearest(str(rule.split), trajectory.splits)
        raise ValueError(f"rule {rule.name!r} uses {rule.split}, which this trajectory lacks{near}")
    return scores[rule.split]


def _rows(trajectory: Trajectory, among: Collection[float] | None) -> np.ndarray:
    """Rows that can be chosen."""
    if among is None:
        return np.arange(len(trajectory.step))
    rows = np.flatnonzero(np.isin(trajectory.step, list(among)))
    if not rows.size:
        raise ValueError(f"no evaluation at any of the {len(among):,} steps to choose among")
    return rows


def _peak(trajectory: Trajectory, split: str, scores: np.ndarray, rows: np.ndarray) -> tuple[int, PeakBias | None]:
    values = scores[rows]
    finite = np.isfinite(values)
    if not finite.any():
        raise ValueError(f"{split} has no evaluations among those to choose from")
    row = int(rows[finite][np.argmax(values[finite])])
    n = trajectory.n.get(split) if trajectory.kind == "classification" else None
    return row, peak_bias(values[finite], n)


def _at(trajectory: Trajectory, step: float, rows: np.ndarray) -> int:
    matching = rows[trajectory.step[rows] == step]
    if not matching.size:
        near = _near(trajectory.step[rows].tolist(), step)
        raise ValueError(f"no evaluation at step {_number(step)}; nearest: {near}")
    return int(matching[0])


def _near(steps: list[Any], step: float) -> str:
    return _listed(sorted(steps, key=lambda s: abs(s - step))[:3])


def _listed(steps: Collection[float]) -> str:
    return ", ".join(_number(s) for s in sorted(steps))


def _mean(trajectory: Trajectory, k: int) -> Selection:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    values = {}
    for split, scores in _scores(trajectory).items():
        last = scores[~np.isnan(scores)][-k:]
        values[split] = float(last.mean()) if last.size else float("nan")
    return Selection(
        rule=Rule("mean_last", k=k).name,
        chosen_on=None,
        oracle=False,
        step=trajectory.last_step,
        averaged=min(k, len(trajectory.step)),
        values=values,
        bias=None,
    )
