"""Evaluate a network trained by an external loop with the same columns and code as a grokscope run.

Nothing of the training is touched (`grokscope.train.undisturbed`).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from grokscope import registry
from grokscope.components import Measurement
from grokscope.config import require
from grokscope.fit_rule import Kind
from grokscope.measure.groups import find_head, group_norms, parameter_groups
from grokscope.tasks.digest import rows_in_train, split_digests
from grokscope.tasks.trivial import trivial_metrics
from grokscope.train.diagnosis import effective_rates, network_facts, take_all
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
from grokscope.train.observed_data import Arrays, Given, given_splits, loss_and_data
from grokscope.train.undisturbed import outside_inference_mode, undisturbed
from grokscope.vocabulary.splits import TRAIN

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
        _require_weights(model)
        self.model = model if call is None else _Called(model, call)
        self.device = next(model.parameters()).device
        given = given_splits(splits, self.device)
        with undisturbed(self.model, self.device):
            outputs = _logits(_tried_out(self.model, given[TRAIN].x[:SAMPLE]))
        self.loss, self.data = loss_and_data(given, kind, loss, threshold, outputs)
        self.splits = {name: self._encoded(name, split) for name, split in given.items()}
        self.trivial = trivial_metrics(self.data)
        self.notes = _head_notes(self.model, outputs.shape[1])
        """What a reader must know of how the network was understood."""
        self.groups = parameter_groups(self.model, self.splits[TRAIN].x[:SAMPLE])
        real = self.loss.targets == "real"
        self.classes = 0 if real else self.data.classes
        self.probed_classes = self.classes if has_hidden_layer(self.model) else 0
        standard = [entry.load() for entry in registry.built_in("measurement").values()]
        self.measurements = [*(m() for m in standard if m.standard), *measurements]
        wants_initial = any("initial" in m.needs for m in self.measurements)
        self.initial = self._copied() if wants_initial else None

    def _encoded(self, name: str, split: Given) -> TensorSplit:
        y = torch.as_tensor(self.data.splits[name].y).to(self.device)
        return TensorSplit(split.x, y, self.loss.encode(y), split.env)

    def _copied(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def row(self, step: int, diagnose: bool, lr: float | None = None, adaptive: bool | None = None) -> Row:
        """The evaluation of the present weights, as numbers.

        Args:
            lr, adaptive: the learning rate in force, and whether the size of a step does not follow the gradient's
                (Adam): what effective learning rates are computed from.
        """
        with undisturbed(self.model, self.device):
            values = self._values(step, diagnose, lr, adaptive)
            return to_row(values, self.trivial)

    def _values(self, step: int, diagnose: bool, lr: float | None, adaptive: bool | None) -> dict[str, Any]:
        logits, features = self._outputs(diagnose)
        values: dict[str, Any] = {}
        for name, split in self.splits.items():
            values |= split_metrics(logits[name], split, self.loss, name)
        weights = {name: _accurate(p.detach()) for name, p in self.model.named_parameters()}
        values |= group_norms(weights, self.groups, "norm")
        if not diagnose:
            return values
        if lr is not None and adaptive is not None:
            values |= effective_rates(weights, self.groups, lr, adaptive)
        return values | take_all(self.measurements, self._view(logits, features, step, lr), values)

    def _outputs(self, diagnose: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Logits (n, k) of every split, and on request what the head reads in some rows."""
        call = partial(outside_inference_mode, self.model)
        logits, features = {}, {}
        for name, split in self.splits.items():
            if diagnose:
                rows = feature_rows(name, len(split.y))
                logits[name], features[name] = forward_with_features(self.model, call, split.x, rows)
            else:
                logits[name] = forward(call, split.x)
        return {name: _accurate(values) for name, values in logits.items()}, features

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
        shared = rows_in_train(self.data)
        with undisturbed(self.model, self.device):
            probed = input_probe(self.splits, self.classes) if self.classes else {}
        return {
            **network_facts(self.model, self.groups, self.splits, self.trivial),
            "loss_dtype": str(self.loss.dtype).removeprefix("torch."),
            "device": str(self.device),
            "input_probe": probed,
            "data": {
                "version": 1,
                "digests": split_digests(self.data),
                **({"rows_in_train": shared} if shared else {}),
            },
        }


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


def _logits(outputs: Any) -> Tensor:
    """The network's outputs, where they are logits (n, k)."""
    if isinstance(outputs, Tensor) and outputs.dim() == 2:
        return outputs
    shape = getattr(outputs, "shape", None)
    what = type(outputs).__name__ if shape is None else f"of the shape {tuple(shape)}"
    raise ValueError(
        f"splits: the network's outputs are {what}, expected logits (n, k); give forward=, a function of the model and "
        "its inputs that returns them"
    )


def _head_notes(model: nn.Module, width: int) -> list[str]:
    """The head is taken to be the last linear layer, which it is not where logits are a product with a bare tensor."""
    name, head = find_head(model)
    outputs = getattr(head, "out_features", width)
    if outputs == width:
        return []
    what = f"the last linear layer, {name}, has {outputs} outputs and the logits {width}"
    return [f"{what}: what is said of the head is of that layer"]


def _require_weights(model: nn.Module) -> None:
    parameters = list(model.parameters())
    require(bool(parameters), "model: has no parameters")
    require(
        not any(isinstance(p, nn.parameter.UninitializedParameter) for p in parameters),
        "model: its lazy layers have no weights yet; call it once on a batch before",
    )


def _accurate(tensor: Tensor) -> Tensor:
    """Float32 in place of a dtype of two or three digits, in which a sum over many numbers is far off."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
