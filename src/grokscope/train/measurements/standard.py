"""The measurements of every run to which they apply."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from grokscope.components import Measurement, Need
from grokscope.registry import register

if TYPE_CHECKING:
    from grokscope.train.evaluate import View


@register
@dataclass(frozen=True, kw_only=True)
class InvariancePenalty(Measurement):
    """IRMv1's penalty ``|grad_w R_e(w z)|^2`` at w = 1 on each environment of each split (arXiv:1907.02893): naive,
    split-half and as a U-statistic with its error. Cost: one pass over the logits. Misleads in its naive form alone,
    which is biased upward by the noise of the gradient."""

    name: ClassVar[str] = "irm"
    summary: ClassVar[str] = "invariance penalty of each environment, three estimators"
    source: ClassVar[str] = "arXiv:1907.02893"
    needs: ClassVar[frozenset[Need]] = frozenset()
    standard: ClassVar[bool] = True

    def __call__(self, view: "View") -> Mapping[str, Any]:
        from grokscope.measure import irm

        values: dict[str, Any] = {}
        for name, split in view.splits.items():
            if split.env is not None and view.loss.targets != "real":
                values |= irm.penalties(view.loss, view.logits[name], split.target, split.environments, name)
        return values


@register
@dataclass(frozen=True, kw_only=True)
class Logits(Measurement):
    """Size of the logits on the training rows, margins ``z_y - max z_other``, and the share of examples whose softmax
    has collapsed in the loss's dtype (arXiv:2501.04697). Cost: one pass over the logits. Misleads across losses: only
    a cross-entropy drives margins without bound."""

    name: ClassVar[str] = "logits"
    summary: ClassVar[str] = "size of the logits, margins, softmax collapse"
    source: ClassVar[str] = "arXiv:2501.04697"
    needs: ClassVar[frozenset[Need]] = frozenset()
    standard: ClassVar[bool] = True

    def __call__(self, view: "View") -> Mapping[str, Any]:
        from grokscope.train.evaluate import logit_diagnostics

        return logit_diagnostics(view.logits["train"], view.splits["train"], view.loss)


@register
@dataclass(frozen=True, kw_only=True)
class Probe(Measurement):
    """Score of a new linear readout of the last hidden layer on each held-out split, ``argmax w h`` fitted on training
    rows alone, and its range over strengths of regularization. Cost: a ridge regression. Misleads without its
    baseline: compare it with the same probe of the raw input, which the run records too."""

    name: ClassVar[str] = "probe"
    summary: ClassVar[str] = "accuracy of a fresh linear readout of the last hidden layer"
    needs: ClassVar[frozenset[Need]] = frozenset()
    standard: ClassVar[bool] = True

    def __call__(self, view: "View") -> Mapping[str, Any]:
        from grokscope.train.evaluate import probe_columns

        return probe_columns(view.features, view.splits, view.probed_classes) if view.probed_classes else {}


@register
@dataclass(frozen=True, kw_only=True)
class Spectra(Measurement):
    """Dimensions that the head's input uses: effective rank ``exp H(s / sum s)`` of its singular values s
    (doi:10.5281/zenodo.40511), participation ratio, stable rank. Cost: an SVD of at most 512 rows. Misleads at unequal
    n: all three grow with it."""

    name: ClassVar[str] = "spectra"
    summary: ClassVar[str] = "effective rank, participation ratio and stable rank of the head's input"
    source: ClassVar[str] = "doi:10.5281/zenodo.40511"
    needs: ClassVar[frozenset[Need]] = frozenset()
    standard: ClassVar[bool] = True

    def __call__(self, view: "View") -> Mapping[str, Any]:
        from grokscope.train.evaluate import feature_spectra

        return feature_spectra(view.features["train"], view.splits["train"])


@register
@dataclass(frozen=True, kw_only=True)
class Fourier(Measurement):
    """Key frequencies ``|F(a + b)|^2`` of a network that adds or subtracts modulo p, and what it scores with and
    without them (arXiv:2301.05217). Cost: one forward over all p^2 pairs. Misleads early in training: the frequencies
    are chosen from the logits that are then scored, which describes noise."""

    name: ClassVar[str] = "fourier"
    summary: ClassVar[str] = "Fourier structure of modular addition"
    source: ClassVar[str] = "arXiv:2301.05217"
    needs: ClassVar[frozenset[Need]] = frozenset()
    standard: ClassVar[bool] = True

    def __call__(self, view: "View") -> Mapping[str, Any]:
        from grokscope.measure import fourier

        if not fourier.applies(view.meta):
            return {}
        train = view.splits["train"]
        return fourier.fourier(view.model, view.meta["p"], view.meta["operation"], train.x, train.y)
