"""The trivial predictor: the score that ignores the input."""

import numpy as np

from grokscope.task_data import TaskData


def trivial_metrics(data: TaskData) -> dict[str, dict[str, float]]:
    """Per split, the score of the constants fitted on `train`.

    Classification: ``{"acc": ...}`` of the majority class (of each environment, where the task has environments).
    Regression: ``{"loss": ...}``, the mean squared error of the mean target (of each group, where the task has groups,
    and then also ``group<id>_loss`` by group).
    What train lacks falls back on the overall constant.
    """
    key = "env" if data.kind == "classification" else "group"
    train = data.splits["train"]
    groups = getattr(train, key)
    constants = {None: _constant(train.y, data)}
    if groups is not None:
        constants |= {g: _constant(train.y[groups == g], data) for g in np.unique(groups)}
    out = {}
    for name, split in data.splits.items():
        group = getattr(split, key)
        keys = [None] * len(split) if groups is None or group is None else group
        guess = np.array([constants.get(k, constants[None]) for k in keys])
        if data.kind == "classification":
            out[name] = {"acc": float((guess == split.y).mean())}
        else:
            errors = (guess - split.y.astype(np.float64)) ** 2
            by_group = {}
            if group is not None:
                by_group = {f"group{g}_loss": float(errors[group == g].mean()) for g in np.unique(group)}
            out[name] = {"loss": float(errors.mean())} | by_group
    return out


def _constant(y: np.ndarray, data: TaskData) -> float:
    if data.kind == "classification":
        return float(np.bincount(y).argmax())
    return float(y.astype(np.float64).mean())
