"""Named rules for choosing an evaluation or a checkpoint. The rule goes wherever the numbers go.

| rule | chooses |
|---|---|
| ``final`` | the last evaluation |
| ``mean_last`` | no single one: the mean of each split's last k evaluations |
| ``peak_ood_val`` | the highest score on `ood_val`, the unseen environment kept for this |
| ``peak_id_val`` | the highest score on `id_val`, as one must without any other environment |
| ``step=<n>`` | the evaluation at step n |
| ``oracle`` | the highest score on `ood_test`, which no honest rule may look at |
| ``oracle=<split>`` | the same on another split of a foreign log |

Model selection decides what domain-generalization numbers mean (Gulrajani & Lopez-Paz, arXiv:2007.01434): a peak chosen
on the test environment is the score of no procedure that anybody could have followed. It is possible here for
comparison with published peaks only, and every `Selection` made with it carries ``oracle=True``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from grokscope.registry import nearest
from grokscope.trajectory.peak_bias import PeakBias, peak_bias
from grokscope.trajectory.series import RunLike, Trajectory, from_run

RULES = ("final", "mean_last", "peak_ood_val", "peak_id_val", "step=<n>", "oracle", "oracle=<split>")
REPORTED = "ood_test"
"""The split that is reported and never selected on."""
ORACLE = f"oracle (chosen on {REPORTED})"


def peak_rule(split: str) -> str:
    """The name of what a maximum over a curve of this split is: ``peak_ood_val``; on `ood_test`, the oracle's."""
    return ORACLE if split == REPORTED else f"peak_{split}"


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
    """What a rule chose on one trajectory, and what was measured there."""

    rule: str
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
    """For rules that take a maximum: how much of it is luck. None for the others, and for short curves."""

    @property
    def label(self) -> str:
        """``peak_ood_val``; ``oracle (chosen on ood_test)``: for tables and figures."""
        return f"oracle (chosen on {self.chosen_on})" if self.oracle else self.rule

    @property
    def for_dissection(self) -> str:
        """The rule as `grokscope.dissect` records it. Raises ValueError for an average, which is no checkpoint."""
        if self.averaged > 1 or self.rule == "mean_last":
            raise ValueError("mean_last averages evaluations and names no checkpoint; use final, a peak or step=<n>")
        if self.chosen_on is not None:
            return f"{'oracle' if self.oracle else 'peak'}:{self.chosen_on}"
        return self.rule.replace("=", ":")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**vars(self), "label": self.label, "bias": self.bias.to_dict() if self.bias else None}


def select(
    trajectory: Trajectory, rule: str = "final", k: int = 5, *, among: Collection[float] | None = None
) -> Selection:
    """Choose by a named rule; of equals the first.

    Args:
        rule: one of the module's table.
        k: evaluations that ``mean_last`` averages, for each split its own last ones.
        among: only these steps can be chosen (those with a checkpoint); all evaluations if not given.

    Raises:
        ValueError: an unknown rule (the nearest is named), a split that the trajectory lacks (those it has are named),
            a step without an evaluation (the nearest are named), or nothing left to choose from.
    """
    name, split, step = parse_rule(rule)
    rows = _rows(trajectory, among)
    if name == "mean_last":
        return _mean(trajectory, rule, k)
    bias = None
    if split is not None:
        _require_split(trajectory, split, rule)
        row, bias = _peak(trajectory, split, rows)
    elif step is not None:
        row = _at(trajectory, step, rows)
    else:
        row = int(rows[-1])
    values = {s: float(v[row]) for s, v in _scores(trajectory).items()}
    oracle = name == "oracle"
    return Selection(
        rule=rule,
        chosen_on=split,
        oracle=oracle,
        step=trajectory.step[row].item(),
        averaged=1,
        values=values,
        bias=bias,
    )


def checkpoint(run: Stored, rule: str = "final") -> tuple[Selection, Path]:
    """The kept weights that a rule chooses, and what was measured there. Peaks are looked up among the evaluations that
    have a checkpoint, so they can lie below the curve's own.

    Raises:
        ValueError: as `select`; no checkpoint where the rule points.
    """
    kept = dict(run.checkpoints())
    final = run.path / "checkpoints" / "final.safetensors"
    if final.exists():
        kept[int(run.status["step"])] = final
    if not kept:
        raise ValueError(f"{run.id} has no checkpoints")
    _, _, step = parse_rule(rule)
    if step is not None and step not in kept:
        raise ValueError(f"{run.id} has no checkpoint at step {step:g}; it has {_near(list(kept), step)}")
    trajectory = from_run(run)
    if step is not None and step not in trajectory.step:  # weights that were kept between two evaluations
        found = Selection(rule=rule, chosen_on=None, oracle=False, step=step, averaged=1, values={}, bias=None)
    else:
        found = select(trajectory, rule, among=kept)
    return found, kept[int(found.step)]


def parse_rule(rule: str) -> tuple[str, str | None, float | None]:
    """(name, split to take the peak on, step). Raises ValueError naming the nearest rule."""
    head, _, rest = rule.partition("=")
    if rule in ("final", "mean_last"):
        return rule, None, None
    if rule in ("peak_ood_val", "peak_id_val"):
        return "peak", rule.removeprefix("peak_"), None
    if head == "oracle" and bool(rest) == ("=" in rule):
        return "oracle", rest or REPORTED, None
    if head == "step" and rest:
        try:
            return "step", None, float(rest)
        except ValueError:
            raise ValueError(f"rule {rule!r}: {rest!r} is not a step; write for example step=400") from None
    if rule == f"peak_{REPORTED}":
        raise ValueError(f"rule {rule!r}: choosing on {REPORTED} is possible only as 'oracle', and is stamped so")
    raise ValueError(f"unknown rule {rule!r}{nearest(rule, list(RULES))}")


def _scores(trajectory: Trajectory) -> dict[str, np.ndarray]:
    return {"train": trajectory.train, **trajectory.held_out}


def _require_split(trajectory: Trajectory, split: str, rule: str) -> None:
    if split not in trajectory.held_out:
        raise ValueError(
            f"rule {rule!r} looks at {split}, which this trajectory lacks; it has {', '.join(trajectory.splits)}"
        )


def _rows(trajectory: Trajectory, among: Collection[float] | None) -> np.ndarray:
    """Rows that can be chosen."""
    if among is None:
        return np.arange(len(trajectory.step))
    rows = np.flatnonzero(np.isin(trajectory.step, list(among)))
    if not rows.size:
        raise ValueError(f"no evaluation at any of the {len(among)} steps to choose among")
    return rows


def _peak(trajectory: Trajectory, split: str, rows: np.ndarray) -> tuple[int, PeakBias | None]:
    values = trajectory.held_out[split][rows]
    finite = np.isfinite(values)
    if not finite.any():
        raise ValueError(f"{split} has no evaluations among those to choose from")
    row = int(rows[finite][np.argmax(values[finite])])
    n = trajectory.n.get(split) if trajectory.kind == "classification" else None
    return row, peak_bias(values[finite], n)


def _at(trajectory: Trajectory, step: float, rows: np.ndarray) -> int:
    found = rows[trajectory.step[rows] == step]
    if not found.size:
        raise ValueError(f"no evaluation at step {step:g}; nearest: {_near(trajectory.step[rows].tolist(), step)}")
    return int(found[0])


def _near(steps: list[Any], step: float) -> str:
    return ", ".join(f"{s:g}" for s in sorted(sorted(steps, key=lambda s: abs(s - step))[:3]))


def _mean(trajectory: Trajectory, rule: str, k: int) -> Selection:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    values = {}
    for split, scores in _scores(trajectory).items():
        last = scores[~np.isnan(scores)][-k:]
        values[split] = float(last.mean()) if last.size else float("nan")
    return Selection(
        rule=rule,
        chosen_on=None,
        oracle=False,
        step=trajectory.last_step,
        averaged=min(k, len(trajectory.step)),
        values=values,
        bias=None,
    )
