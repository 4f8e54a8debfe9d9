"""Evaluate a network trained by an external loop with the same columns and code as a grokscope run.

Nothing of the training is touched: weights, gradients, buffers, each module's mode and all generators are as before.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from grokscope import registry
from grokscope.components import Loss, LossFunction, Measurement
from grokscope.config import require
from grokscope.fit_rule import Kind
from grokscope.measure.groups import group_norms, parameter_groups
from grokscope.registry import nearest
from grokscope.task_data import Split, TaskData
from grokscope.tasks.digest import rows_in_train, split_digests
from grokscope.tasks.trivial import trivial_metrics
from grokscope.train.evaluate import (
    Row,
    TensorSplit,
    View,
    feature_rows,
    forward,
    forward_with_features,
    has_hidden_layer,
    input_probe,
    split_metrics,
    to_row,
)
from grokscope.train.losses import make_loss
from grokscope.vocabulary.splits import NAMES, TRAIN

Arrays = Sequence[Any]
"""Inputs (n, ...), labels (n,), and optionally environment ids (n,): tensors or arrays."""
Forward = Callable[[nn.Module, Tensor], Tensor]
"""(model, inputs) -> logits (n, k), for a network that is not simply called with its inputs."""

SAMPLE = 8
"""Training examples on which the network is tried out."""


class _Called(nn.Module):
    """A network that is called in the user's way."""

    def __init__(self, model: nn.Module, call: Forward):
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.model, x)


class ObservedModel:
    """A network and the splits it is scored on."""

    def __init__(
        self,
        model: nn.Module,
        splits: Mapping[str, Arrays],
        *,
        kind: Kind,
        loss: str,
        threshold: float,
        call: Forward | None = None,
        measurements: Sequence[Measurement] = (),
    ):
        """
        Args:
            model: it is left where it is; inputs are moved to its device once.
            splits: see `Arrays`; ``train`` must be among them.
            kind: classification or regression.
            loss: name of the loss that it is trained with, for the column of losses.
            threshold: held-out score from which the task counts as generalized.
            call: for a network that is not simply called with its inputs.
            measurements: taken at diagnosed evaluations beside those of every run.

        Raises:
            ValueError: splits that are none or do not fit each other, an unknown loss or one for another kind of task,
                outputs that are not (n, k), and a network without a linear layer, which has no head.
        """
        require(TRAIN in splits, f"splits: {TRAIN!r} is missing: the training examples are scored as well")
        for name in splits:
            require(name in NAMES, f"splits: unknown split {name!r}{nearest(name, list(NAMES))}")
        self.model = model if call is None else _Called(model, call)
        self.device = next(model.parameters()).device
        given = {name: _tensors(name, arrays, self.device) for name, arrays in splits.items()}
        with self._undisturbed():
            outputs = _tried_out(self.model, given[TRAIN][0][:SAMPLE])
        self.loss, self.data = _loss_and_data(given, kind, loss, threshold, _width(outputs))
        self.splits = {name: self._encoded(name, *tensors) for name, tensors in given.items()}
        self.trivial = trivial_metrics(self.data)
        self.groups = parameter_groups(self.model, self.splits[TRAIN].x[:SAMPLE])
        real = self.loss.targets == "real"
        self.classes = 0 if real else self.data.classes
        self.probed_classes = self.classes if has_hidden_layer(self.model) else 0
        standard = [entry.load() for entry in registry.built_in("measurement").values()]
        self.measurements = [*(m() for m in standard if m.standard), *measurements]
        wants_initial = any("initial" in m.needs for m in self.measurements)
        self.initial = self._copied() if wants_initial else None

    def _encoded(self, name: str, x: Tensor, y: Tensor, env: Tensor | None) -> TensorSplit:
        y = torch.as_tensor(self.data.splits[name].y).to(self.device)
        return TensorSplit(x, y, self.loss.encode(y), env)

    def _copied(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def row(self, step: int, diagnose: bool, lr: float | None = None, adaptive: bool | None = None) -> Row:
        """The evaluation of the present weights, as numbers.

        Args:
            lr, adaptive: the learning rate in force, and whether the size of a step does not follow the gradient's
                (Adam): what effective learning rates are computed from.
        """
        with self._undisturbed():
            values = self._values(step, diagnose, lr, adaptive)
            return to_row(values, self.trivial)

    def _values(self, step: int, diagnose: bool, lr: float | None, adaptive: bool | None) -> dict[str, Any]:
        logits, features = self._outputs(diagnose)
        values: dict[str, Any] = {}
        for name, split in self.splits.items():
            values |= split_metrics(logits[name], split, self.loss, name)
        weights = {name: p.detach() for name, p in self.model.named_parameters()}
        values |= group_norms(weights, self.groups, "norm")
        if not diagnose:
            return values
        if lr is not None and adaptive is not None:
            power = 1 if adaptive else 2
            invariant = self.groups.get("scale_invariant", [])
            values |= {f"effective_lr/{name}": lr / weights[name].double().norm() ** power for name in invariant}
        view = self._view(logits, features, step, lr)
        for measurement in self.measurements:
            values |= measurement(view)
        return values

    def _outputs(self, diagnose: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Logits (n, k) of every split, and on request what the head reads in some rows."""
        logits, features = {}, {}
        for name, split in self.splits.items():
            if diagnose:
                rows = feature_rows(name, len(split.y))
                logits[name], features[name] = forward_with_features(self.model, self.model, split.x, rows)
            else:
                logits[name] = forward(self.model, split.x)
        return logits, features

    def _view(self, logits: dict[str, Tensor], features: dict[str, Tensor], step: int, lr: float | None) -> View:
        return View(
            self.model,
            self.splits,
            logits,
            features,
            self.loss,
            {},
            self.probed_classes,
            step,
            groups=self.groups,
            lr=float("nan") if lr is None else lr,
            initial=self.initial,
            classes=self.classes,
        )

    def facts(self) -> dict[str, Any]:
        """What a reader of the run must know: sizes, groups, what a constant reaches, which data it was."""
        sizes = {name: p.numel() for name, p in self.model.named_parameters()}
        shared = rows_in_train(self.data)
        with self._undisturbed():
            probed = input_probe(self.splits, self.classes) if self.classes else {}
        return {
            "parameters": sum(sizes.values()),
            "groups": self.groups,
            "group_sizes": {group: sum(sizes[name] for name in names) for group, names in self.groups.items()},
            "splits": {
                name: {"n": len(split.y), **{f"trivial_{key}": v for key, v in self.trivial[name].items()}}
                for name, split in self.splits.items()
            },
            "loss_dtype": "float32",
            "device": str(self.device),
            "input_probe": probed,
            "data": {
                "version": 1,
                "digests": split_digests(self.data),
                **({"rows_in_train": shared} if shared else {}),
            },
        }

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """The network in eval mode; afterward every module's own mode, gradients and generators are as before."""
        modes = [(module, module.training) for module in self.model.modules()]
        gradients = [(p, p.grad) for p in self.model.parameters()]
        cuda = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            self.model.eval()
            for p, _ in gradients:
                p.grad = None
            try:
                yield
            finally:
                for p, gradient in gradients:
                    p.grad = gradient
                for module, training in modes:
                    module.training = training


def _tensors(name: str, arrays: Arrays, device: torch.device) -> tuple[Tensor, Tensor, Tensor | None]:
    """Inputs, labels and environments of a split, on the network's device."""
    if isinstance(arrays, Split):
        arrays = (arrays.x, arrays.y, arrays.env)
    require(
        isinstance(arrays, tuple | list) and len(arrays) in (2, 3),
        f"splits[{name!r}]: expected (inputs, labels) or (inputs, labels, environments)",
    )
    x, y, env = (None if a is None else torch.as_tensor(a).detach().to(device) for a in (*arrays, None)[:3])
    if x is None or y is None:
        raise ValueError(f"splits[{name!r}]: inputs and labels must be there")
    require(y.dim() == 1, f"splits[{name!r}]: labels must have the shape (n,), got {tuple(y.shape)}")
    for what, tensor in (("inputs", x), ("environments", env)):
        require(
            tensor is None or len(tensor) == len(y),
            f"splits[{name!r}]: {what} and labels must have as many rows as each other",
        )
    return x, y, env


def _tried_out(model: nn.Module, x: Tensor) -> Any:
    """Outputs on some inputs. Not in inference mode: what a network caches at its first call (rotary embeddings) must
    stay usable in training."""
    try:
        with torch.no_grad():
            return model(x)
    except Exception as error:
        raise ValueError(
            f"splits: the network cannot be called with inputs of train of the shape {tuple(x.shape)} and {x.dtype} "
            f"({type(error).__name__}: {error}); give forward=, a function of the model and its inputs"
        ) from error


def _width(outputs: Any) -> int:
    """k of logits (n, k)."""
    if isinstance(outputs, Tensor) and outputs.dim() == 2:
        return outputs.shape[1]
    shape = getattr(outputs, "shape", None)
    what = type(outputs).__name__ if shape is None else f"of the shape {tuple(shape)}"
    raise ValueError(
        f"splits: the network's outputs are {what}, expected logits (n, k); give forward=, a function of the model and "
        "its inputs that returns them"
    )


def _loss_and_data(
    given: Mapping[str, tuple[Tensor, Tensor, Tensor | None]], kind: Kind, loss: str, threshold: float, outputs: int
) -> tuple[LossFunction, TaskData]:
    """The loss function, and the splits as plain arrays: what constants, digests and shared rows are taken from."""
    component = registry.load("loss", loss)()
    assert isinstance(component, Loss)
    classes = {"classes": outputs, "binary": 2, "real": 1}[component.targets]
    require(
        component.targets == "classes" or outputs == 1,
        f"loss: {loss!r} needs one output, and the network has {outputs}",
    )
    splits = {name: Split(_plain(x), _labels(y, kind), _ids(env)) for name, (x, y, env) in given.items()}
    data = TaskData(kind, splits, classes, threshold)
    try:
        return make_loss(component, "float32", kind, classes), data
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


def _labels(y: Tensor, kind: Kind) -> np.ndarray:
    if kind == "regression":
        return y.cpu().float().numpy()
    require(not y.is_floating_point(), "splits: labels of classes must be whole numbers; for others task='regression'")
    return y.cpu().long().numpy()


def _ids(env: Tensor | None) -> np.ndarray | None:
    if env is None:
        return None
    return env.cpu().long().numpy()
