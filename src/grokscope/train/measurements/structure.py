"""Internal structure of the network: margins, ranks of its layers, input of its head, simplicity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from grokscope.components import Measurement, Need
from grokscope.registry import register
from grokscope.train.measurements.needs import NO_CLASSES, NO_HIDDEN_LAYER

if TYPE_CHECKING:
    from torch import Tensor

    from grokscope.train.evaluate import View


@register
@dataclass(frozen=True, kw_only=True)
class Margins(Measurement):
    """Scale of the logits on train, ``mean |z - mean z|``, and margins over it, ``(z_y - max other) / scale``: least,
    lowest tenth, median, mean. What multiplies all logits drops out of the margins, so that confidence and geometry are
    told apart (the delay runs through the scale: arXiv:2606.18465). Cost: one pass over the logits. Misleads as a
    bound: it is normalized by the outputs, not by the weights' norms, and so is no margin of a generalization
    theorem."""

    name: ClassVar[str] = "margins"
    summary: ClassVar[str] = "logit scale, and margins over it: least, tenth, median, mean"
    source: ClassVar[str] = "arXiv:2606.18465"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __call__(self, view: "View") -> Mapping[str, Any]:
        from grokscope.measure.logits import logit_scale, normalized_margins

        logits = view.logits["train"]
        values: dict[str, Any] = {"logit_scale": logit_scale(logits)}
        if view.loss.targets != "real":
            shares = normalized_margins(logits, view.splits["train"].y)
            values |= {f"margin_normalized_{part}": value for part, value in shares.items()}
        return values

    def reasons(self, view: "View") -> Mapping[str, str]:
        return {f"{self.name} (margins)": NO_CLASSES} if view.loss.targets == "real" else {}


@register
@dataclass(frozen=True, kw_only=True)
class Layers(Measurement):
    """What each hidden layer holds, as the next one reads it: effective rank ``exp H(s / sum s)`` of its centered
    activations on 256 training rows (doi:10.5281/zenodo.40511), averaged over positions. Cost: a forward pass of these
    rows, an SVD for each layer. Misleads at unequal widths and rows, with which it grows; and averaging over positions
    hides where in an image something is."""

    name: ClassVar[str] = "layers"
    summary: ClassVar[str] = "effective rank of what every layer but the first reads"
    source: ClassVar[str] = "doi:10.5281/zenodo.40511"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def reasons(self, view: "View") -> Mapping[str, str]:
        return {} if view.has_hidden_layer else {self.name: NO_HIDDEN_LAYER}

    def __call__(self, view: "View") -> Mapping[str, Any]:
        from grokscope.measure.hidden import layer_ranks

        return {f"rank_hidden/{name}": rank for name, rank in layer_ranks(view.hidden).items()}


@register
@dataclass(frozen=True, kw_only=True)
class HeadAlignment(Measurement):
    """How the head reads its features: mean cosine ``cos(mu_c - mu, w_c - w)`` of class means and rows (self-duality,
    arXiv:2008.08186), and the share of the features' variance in the subspace that the head distinguishes, compared
    with that of a random subspace (dimension over width). Cost: a pass over the kept features. Misleads with as many
    classes as features: the share is then 1 by construction; and with few examples per class, whose mean is noisy."""

    name: ClassVar[str] = "head_alignment"
    summary: ClassVar[str] = "class means against head rows, and the features' variance that the head can read"
    source: ClassVar[str] = "arXiv:2008.08186"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def reasons(self, view: "View") -> Mapping[str, str]:
        return {} if view.probed_classes else {self.name: f"{NO_HIDDEN_LAYER}, or {NO_CLASSES}"}

    def __call__(self, view: "View") -> Mapping[str, Any]:
        from grokscope.measure.groups import find_head
        from grokscope.measure.hidden import head_alignment
        from grokscope.train.evaluate import feature_rows

        features, train = view.features["train"], view.splits["train"]
        rows = getattr(find_head(view.model)[1], "weight", None)
        if not view.probed_classes or rows is None or rows.dim() != 2 or rows.shape[1] != features.shape[1]:
            return {}
        labels = train.y[feature_rows("train", len(train.y)).to(train.y.device)]
        alignment = head_alignment(features, labels, rows.detach())
        return {
            "head_class_alignment": alignment.classes,
            "head_variance_share": alignment.variance,
            "head_variance_chance": alignment.chance,
        }


@register
@dataclass(frozen=True, kw_only=True)
class Simplicity(Measurement):
    """How simple the weights and activations are: ``sum |w|`` in all and by group, the Gini coefficient of ``|w|`` in
    all and by group and of the last hidden layer's activations (arXiv:0811.4706), the share of dead units, which are
    the same for every one of 256 training rows. The L2 norm stands in every row. Cost: sorting the weights (at most a
    million), a forward pass. Misleads across layers: a tensor of small weights before a norm appears sparse compared
    with others but is not; and a unit that is inactive on the sample need not be dead for all inputs."""

    name: ClassVar[str] = "simplicity"
    summary: ClassVar[str] = "L1 and Gini of weights, Gini of activations, dead units"
    source: ClassVar[str] = "arXiv:0811.4706"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def reasons(self, view: "View") -> Mapping[str, str]:
        return {} if view.has_hidden_layer else {f"{self.name} (of activations)": NO_HIDDEN_LAYER}

    def __call__(self, view: "View") -> Mapping[str, Any]:
        from grokscope.measure.hidden import activation_gini, dead_share, weight_gini

        values: dict[str, Any] = {}
        weights = view.weights
        for part, names in {"total": list(weights), **view.groups}.items():
            tensors = [weights[n] for n in names if n in weights]
            if tensors:
                values[f"l1_{part}"] = _l1(tensors)
                values[f"gini_{part}"] = weight_gini(tensors)
        if view.hidden:
            values["dead_units"] = dead_share(view.hidden.values())
            values["gini_activations"] = activation_gini(list(view.hidden.values())[-1].pooled)
        return values


def _l1(tensors: "list[Tensor]") -> "Tensor":
    import torch

    return torch.stack([t.double().abs().sum() for t in tensors]).sum()


@register
@dataclass(frozen=True, kw_only=True)
class Gap(Measurement):
    """Generalization gap ``G = R_held_out - R_train`` in the loss that is trained, on every held-out split; of the
    seed's definition with a linear model it is the same number (arXiv:2201.02177 for the setting). Cost: none, the
    logits are there. Misleads without the train loss: an untrained network has no gap either; and under cross-entropy
    the gap grows with the logits even if no prediction changes."""

    name: ClassVar[str] = "gap"
    summary: ClassVar[str] = "held-out minus train loss, on every held-out split"
    source: ClassVar[str] = "arXiv:2201.02177"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __call__(self, view: "View") -> Mapping[str, Any]:
        losses = {name: view.loss(view.logits[name], split.target) for name, split in view.splits.items()}
        train = losses.pop("train")
        return {f"{name}_gap": value - train for name, value in losses.items()}
