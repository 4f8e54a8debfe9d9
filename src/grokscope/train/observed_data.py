"""The examples that an external loop hands over for evaluation: checked, and brought to the dtypes that tasks have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from grokscope import registry
from grokscope.components import Loss, LossFunction
from grokscope.config import require
from grokscope.fit_rule import Kind
from grokscope.registry import nearest
from grokscope.task_data import Split, TaskData
from grokscope.train.losses import make_loss
from grokscope.vocabulary.splits import NAMES, TRAIN

Arrays = Sequence[Any]
"""Inputs (n, ...), labels (n,), and optionally environment ids (n,): tensors or arrays."""


@dataclass(frozen=True)
class Given:
    """A split as the user gave it, on the network's device."""

    x: Tensor
    y: Tensor
    env: Tensor | None
    """Ids (n,) int64."""


def given_splits(splits: Mapping[str, Arrays], device: torch.device) -> dict[str, Given]:
    """The user's splits as tensors. Raises ValueError naming the split that is none, or does not fit train."""
    require(isinstance(splits, Mapping), "splits: expected a mapping from a split's name to (inputs, labels)")
    require(TRAIN in splits, f"splits: {TRAIN!r} is missing: the training examples are scored as well")
    for name in splits:
        require(name in NAMES, f"splits: unknown split {name!r}{nearest(name, list(NAMES))}")
    given = {name: _given(f"splits[{name!r}]", arrays, device) for name, arrays in splits.items()}
    train = given[TRAIN].x
    for name, split in given.items():
        require(
            (split.x.shape[1:], split.x.dtype) == (train.shape[1:], train.dtype),
            f"splits[{name!r}]: an example has the shape {tuple(split.x.shape[1:])} and {split.x.dtype}, and one of "
            f"train {tuple(train.shape[1:])} and {train.dtype}; bring all splits to one shape and dtype",
        )
    return given


def _given(where: str, arrays: Arrays, device: torch.device) -> Given:
    if isinstance(arrays, Split):
        arrays = (arrays.x, arrays.y, arrays.env)
    require(
        isinstance(arrays, tuple | list) and len(arrays) in (2, 3),
        f"{where}: expected (inputs, labels) or (inputs, labels, environments)",
    )
    given_x, given_y, given_env = (*arrays, None)[:3]
    require(given_x is not None and given_y is not None, f"{where}: inputs and labels must be there")
    x, y = _tensor(f"{where}: inputs", given_x, device), _tensor(f"{where}: labels", given_y, device)
    require(x.layout == torch.strided, f"{where}: inputs must be dense; call to_dense()")
    remedy = "one-hot labels become classes by argmax(1), a single column by [:, 0]"
    require(y.dim() == 1, f"{where}: labels must have the shape (n,), got {tuple(y.shape)}; {remedy}")
    require(len(y) > 0, f"{where}: is empty; omit it")
    env = None if given_env is None else _environments(where, given_env, device)
    for what, tensor in (("inputs", x), ("environments", env)):
        require(
            tensor is None or len(tensor) == len(y), f"{where}: {what} and labels must have as many rows as each other"
        )
    return Given(x, y, env)


def _tensor(what: str, values: Any, device: torch.device) -> Tensor:
    try:
        return torch.as_tensor(values).detach().to(device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{what}: expected one tensor or array of numbers ({error})") from error


def _environments(where: str, values: Any, device: torch.device) -> Tensor:
    """Ids (n,) int64. What is between two whole numbers would be rounded to one of them, and merge environments."""
    remedy = "number them first: np.unique(names, return_inverse=True)[1]"
    try:
        env = torch.as_tensor(values).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{where}: environments must be whole numbers; {remedy}") from error
    require(env.dim() == 1, f"{where}: environments must have the shape (n,), got {tuple(env.shape)}")
    whole = env.long()
    require(
        bool((whole == env).all() and (whole >= 0).all()),
        f"{where}: environments must be whole numbers from 0; {remedy}",
    )
    return whole.to(device)


def loss_and_data(
    given: Mapping[str, Given], kind: Kind, loss: str, threshold: float, outputs: Tensor
) -> tuple[LossFunction, TaskData]:
    """The loss function, and the splits as plain arrays: what constants, digests and shared rows are taken from.

    Args:
        outputs: of the network on some inputs (n, k). The loss is computed in float32, and in float64 where they are.
    """
    require(isinstance(loss, str), f"loss: expected the name of one (grokscope list loss), got {type(loss).__name__}")
    component = registry.load("loss", loss)()
    assert isinstance(component, Loss)
    width = outputs.shape[1]
    if component.targets == "classes" and width == 1:
        raise ValueError(f"loss: {loss!r} needs an output for each class, and the network has one; use 'logistic'")
    if component.targets != "classes" and width != 1:
        raise ValueError(f"loss: {loss!r} needs one output, and the network has {width}")
    classes = {"classes": width, "binary": 2, "real": 1}[component.targets]
    splits = {name: Split(_plain(s.x), _labels(name, s.y, kind), _ids(s.env)) for name, s in given.items()}
    data = TaskData(kind, splits, classes, threshold)
    dtype = "float64" if outputs.dtype == torch.float64 else "float32"
    try:
        return make_loss(component, dtype, kind, classes), data
    except ValueError as error:
        raise ValueError(str(error).replace("$.regime.loss", "loss")) from None


def _plain(x: Tensor) -> np.ndarray:
    """Inputs in one of the dtypes that tasks have."""
    array = x.cpu()
    if array.is_floating_point():
        return array.float().numpy()
    if array.dtype == torch.uint8:
        return array.numpy()
    return array.long().numpy()


def _labels(name: str, y: Tensor, kind: Kind) -> np.ndarray:
    if kind == "regression":
        return y.cpu().float().numpy()
    require(
        not y.is_floating_point(),
        f"splits[{name!r}]: labels of classes must be whole numbers: y.long(); for others task='regression'",
    )
    return y.cpu().long().numpy()


def _ids(env: Tensor | None) -> np.ndarray | None:
    if env is None:
        return None
    return env.cpu().numpy()
