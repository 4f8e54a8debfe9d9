"""The registered erasure methods. A new one is a class in this file, or in your own package. Listing them imports no
torch, which is imported only when a method is fitted.

Shapes: n examples of the fit part, d features.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from grokscope.components import Component
from grokscope.registry import load, register

if TYPE_CHECKING:
    import numpy as np

    from grokscope.dissect.labeling import Labeling
    from grokscope.dissect.leace import Whitening
    from grokscope.dissect.probes import Probe
    from grokscope.dissect.subspaces import Eraser


@dataclass(frozen=True)
class ErasureView:
    """What a method is fitted to: the fit part of a sample."""

    h: "np.ndarray"
    """Features (n, d)."""
    z: "np.ndarray"
    """Environments (n,), codes 0, 1, ..."""
    y: "np.ndarray"
    """Classes of the task (n,): what must be spared."""
    weights: "np.ndarray | None"
    """(n,), such that environment and class are independent; None: all alike."""
    probe: "Probe"
    """Reads the environment from these features."""
    whitening: "Whitening"
    """Of these features with these weights, computed once for all methods."""
    without_environment: "np.ndarray"
    """Features (n, d) with every environment moved to the common mean: what permuted labelings are fitted to."""


@dataclass(frozen=True, kw_only=True)
class ErasureMethod(Component):
    """A method that finds the subspace that carries the environment and removes it from features (M4)."""

    kind: ClassVar[str] = "eraser"
    means_stay: ClassVar[bool] = False
    """Whether the class means stay apart afterward; then a linear probe may still read the classes, even on the
    examples that were fitted."""

    @abstractmethod
    def fit(self, view: ErasureView) -> "Eraser":
        """The map that removes the environment from features like the view's. Raises ValueError if there is none."""

    def fit_labelings(self, view: ErasureView, labelings: "Sequence[Labeling]") -> "list[Eraser]":
        """The same for permuted environments, each with its own weights, fitted to the view's features without the
        environment: the control ``labels``. An empty list means that the method has only its other controls."""
        del view, labelings
        return []


@register
@dataclass(frozen=True, kw_only=True)
class MeanDifference(ErasureMethod):
    """Removes the span of the centered class means ``m_k - m`` orthogonally.

    Cost: none. Misleads if features are correlated: it removes more than LEACE does (arXiv:2306.03819).
    """

    name = "mean_diff"
    source = "arXiv:2306.03819"

    def fit(self, view: ErasureView) -> "Eraser":
        from grokscope.dissect.subspaces import mean_diff

        return mean_diff(view.h, view.z, view.weights)

    def fit_labelings(self, view: ErasureView, labelings: "Sequence[Labeling]") -> "list[Eraser]":
        from grokscope.dissect.subspaces import mean_diff

        return [mean_diff(view.without_environment, z, weights) for z, weights in labelings]


@register
@dataclass(frozen=True, kw_only=True)
class Discriminants(ErasureMethod):
    """Removes the discriminant directions ``S_w^-1 (m_k - m)`` orthogonally, S_w the within-class covariance.

    Cost: an inverse for each round. Misleads: the means stay apart unless S_w is a multiple of the identity, so a
    refitted probe usually reads the classes again. More than one round as in arXiv:2004.07667.
    """

    name = "lda"
    summary = "removes the discriminant directions, whitened within classes"
    source = "arXiv:2004.07667"
    means_stay = True

    rounds: int = 1
    """Each is fitted to what the ones before left; k classes have k - 1 discriminants in a round."""

    def fit(self, view: ErasureView) -> "Eraser":
        from grokscope.dissect.subspaces import lda

        return lda(view.h, view.z, view.weights, rounds=self.rounds)

    def fit_labelings(self, view: ErasureView, labelings: "Sequence[Labeling]") -> "list[Eraser]":
        from grokscope.dissect.subspaces import lda

        if self.rounds > 1:  # a hundred labelings, each with as many inverses as there are rounds
            return []
        return [lda(view.without_environment, z, weights) for z, weights in labelings]


@register
@dataclass(frozen=True, kw_only=True)
class ProbeRows(ErasureMethod):
    """Removes the row space of a probe's weights ``W`` orthogonally (arXiv:2004.07667).

    Cost: none beyond the probe. Misleads: another probe may read what this one did not use; the published projection
    ``W'(WW')^-1 W`` is singular, for the rows of a softmax sum to zero.
    """

    name = "probe_rows"
    summary = "removes the row space of a probe's weights"
    source = "arXiv:2004.07667"
    means_stay = True

    def fit(self, view: ErasureView) -> "Eraser":
        from grokscope.dissect.subspaces import class_means, probe_rows

        return probe_rows(view.probe.rows, class_means(view.h, view.z, view.weights)[2])


@register
@dataclass(frozen=True, kw_only=True)
class Leace(ErasureMethod):
    """The smallest change of the features after which no linear probe reads the classes: ``h - W^+ P W (h - m)``, W the
    whitening (arXiv:2306.03819).

    Cost: one decomposition, shared. Misleads with fewer than a few examples for each feature: whitening then fits
    noise.
    """

    name = "leace"
    summary = "the smallest change after which no linear probe reads the classes"
    source = "arXiv:2306.03819"

    def fit(self, view: ErasureView) -> "Eraser":
        from grokscope.dissect.subspaces import class_means

        return view.whitening.eraser(class_means(view.h, view.z, view.weights)[0])

    def fit_labelings(self, view: ErasureView, labelings: "Sequence[Labeling]") -> "list[Eraser]":
        from grokscope.dissect.leace import ObliqueFitter

        fitter = ObliqueFitter(view.without_environment)
        return [fitter.fit(z, weights) for z, weights in labelings]


@register
@dataclass(frozen=True, kw_only=True)
class Splince(ErasureMethod):
    """LEACE that leaves the covariance with the task as it was: ``P = W^-1 V (U' V)^-1 U' W`` (arXiv:2506.10703).

    Cost: as LEACE. Misleads if task and environment share their directions: then nothing can be removed without the
        task, and an error says so.
    """

    name = "splince"
    summary = "LEACE that leaves the covariance with the task as it was"
    source = "arXiv:2506.10703"

    def fit(self, view: ErasureView) -> "Eraser":
        from grokscope.dissect.leace import splince

        return splince(view.h, view.z, view.y, view.weights)

    def fit_labelings(self, view: ErasureView, labelings: "Sequence[Labeling]") -> "list[Eraser]":
        from grokscope.dissect.leace import ObliqueFitter

        fitter = ObliqueFitter(view.without_environment)
        return [fitter.fit(z, weights, view.y) for z, weights in labelings]


def method(name: str, lda_rounds: int = 1) -> ErasureMethod:
    """The method of that name at its defaults. The rounds of `lda` are a setting of a dissection and come along."""
    cls = load("eraser", name)
    return cls(rounds=lda_rounds) if cls is Discriminants else cls()
