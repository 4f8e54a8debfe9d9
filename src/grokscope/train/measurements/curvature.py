"""Measurements that need Hessians or Jacobians, at diagnosed rows or from checkpoints."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from grokscope.checks import require
from grokscope.components import Measurement, Need
from grokscope.registry import register
from grokscope.train.measurements.needs import NO_START

if TYPE_CHECKING:
    from grokscope.train.evaluate import View


def _require_rows(rows: int) -> None:
    require(rows >= 1, f"rows must be positive, got {rows}")


@register
@dataclass(frozen=True, kw_only=True)
class Hessian(Measurement):
    """Curvature of the loss on training rows: largest eigenvalue of H (Lanczos) and its trace, ``mean v' H v`` over
    random signs v with a standard error (Hutchinson, doi:10.1080/03610918908812806). Both also of ``D H D``, D the norm
    of each weight's own tensor, which no rescaling of tensors against each other changes (the idea of arXiv:2102.11600,
    by tensors). Cost: 60 to 150 backward passes through the gradient of the rows. Misleads in its plain form:
    multiplying one layer by 10 and dividing the next by 10 changes H but no output (arXiv:1703.04933); and after
    softmax collapse both are 0 because of rounding, not flatness. Networks with batch norm are evaluated with its
    running averages. NaN where the loss is not finite or the iteration does not converge."""

    name: ClassVar[str] = "hessian"
    summary: ClassVar[str] = "largest Hessian eigenvalue and trace, plain and scale-invariant"
    source: ClassVar[str] = "doi:10.1080/03610918908812806"
    needs: ClassVar[frozenset[Need]] = frozenset({"training_loss"})

    rows: int = 256
    """Training rows, always the same."""
    probes: int = 16
    """Random vectors of the trace."""

    def __post_init__(self) -> None:
        _require_rows(self.rows)
        require(self.probes >= 1, f"probes must be positive, got {self.probes}")

    def __call__(self, view: "View") -> Mapping[str, Any]:
        from grokscope.measure.curvature import LossSurface, estimated_trace, largest_eigenvalue

        sample = view.sample(self.rows)
        surface = LossSurface(view.model, view.loss, sample.x, sample.target)
        like = surface.parameters[0]
        values: dict[str, Any] = {}
        products = {"hessian": surface.hessian_times, "hessian_scaled": surface.scaled_hessian_times}
        for name, product in products.items():
            if not surface.finite:
                values |= dict.fromkeys((f"{name}_top", f"{name}_trace", f"{name}_trace_se"), math.nan)
                continue
            trace = estimated_trace(product, surface.size, self.probes, like)
            values[f"{name}_top"] = largest_eigenvalue(product, surface.size, like)
            values |= {f"{name}_trace": trace.value, f"{name}_trace_se": trace.error}
        return values


@register
@dataclass(frozen=True, kw_only=True)
class Kernel(Measurement):
    """Change of the tangent kernel ``K_ij = sum_c <df_c(x_i)/dw, df_c(x_j)/dw>`` since the start, on training rows: ``1
    - cos(K, K0)`` (arXiv:2010.15110), ``|K| / |K0|``, and the cosine of the centered K with that of the labels. 0 while
      training is lazy. Cost: for each output a backward pass for each row, of the network and of its start. Misleads
      because of its sample: 32 rows represent many classes poorly; and networks with batch norm use its running
      averages, which contain no data at initialization."""

    name: ClassVar[str] = "kernel"
    summary: ClassVar[str] = "distance of the tangent kernel from its start, its size, its alignment with the labels"
    source: ClassVar[str] = "arXiv:2010.15110"
    needs: ClassVar[frozenset[Need]] = frozenset({"initial"})

    rows: int = 32
    """Training rows, always the same; fewer where the network is large."""

    def __post_init__(self) -> None:
        _require_rows(self.rows)

    def reasons(self, view: "View") -> Mapping[str, str]:
        return {} if view.initial is not None else {self.name: NO_START}

    def __call__(self, view: "View") -> Mapping[str, Any]:
        from grokscope.measure import kernel

        if view.initial is None:
            return {}
        sample = view.sample(kernel.kernel_rows(self.rows, sum(w.numel() for w in view.weights.values())))
        now = kernel.tangent_kernel(view.model, view.weights, sample.x)
        then = kernel.tangent_kernel(view.model, view.initial, sample.x)
        labels = kernel.centered(kernel.label_kernel(sample.y, view.loss.targets != "real"))
        return {
            "kernel_distance": (1 - kernel.alignment(now, then)).clamp_min(0),
            "kernel_growth": now.norm() / then.norm(),
            "kernel_label_alignment": kernel.alignment(kernel.centered(now), labels),
        }


@register
@dataclass(frozen=True, kw_only=True)
class JacobianRank(Measurement):
    """How many directions change the outputs: effective rank ``exp H(l / sum l)`` of the eigenvalues l of ``E[J' J]``,
    the mean outer product of the Jacobians of the outputs with respect to the input (arXiv:2212.13881; of whole-number
    inputs with respect to what the first embedding makes of them), and with respect to what each layer reads, which
    arXiv:2605.08740 calls the layer's causal dimensionality. Cost: a backward pass of the rows for each output, two in
    all. Misleads when compared with that paper's numbers, which are estimated from feature dictionaries and
    attribution, while this is the Jacobian itself on a sample (only its abstract was consulted); outputs that the loss
    ignores, such as a shift of all logits, are included; and no rank exceeds rows times outputs."""

    name: ClassVar[str] = "jacobian_rank"
    summary: ClassVar[str] = "effective rank of the mean outer product of Jacobians, of the input and of every layer"
    source: ClassVar[str] = "arXiv:2212.13881"
    needs: ClassVar[frozenset[Need]] = frozenset()

    rows: int = 256
    """Training rows, always the same."""

    def __post_init__(self) -> None:
        _require_rows(self.rows)

    def __call__(self, view: "View") -> Mapping[str, Any]:
        from grokscope.measure.kernel import input_jacobians, layer_jacobians, mean_outer_rank

        x = view.sample(self.rows).x
        layers = {f"jacobian_rank/{name}": mean_outer_rank(j) for name, j in layer_jacobians(view.model, x).items()}
        return {"jacobian_rank": mean_outer_rank(input_jacobians(view.model, x)), **layers}


@register
@dataclass(frozen=True, kw_only=True)
class ProjectedShrinking(Measurement):
    """Does training shrink the norm along the manifold of equal outputs? The part of -w that changes no output on
    training rows to first order, ``-w - J' a``: its size over ``|w|``, and the cosine of the last update with it, near
    1 where norm minimization at fixed outputs is all that happens (arXiv:2511.01938). In addition, the cosine of minus
    the loss gradient with -w: below 0 the loss drives the weights to grow. Cost: up to 100 passes forward and back
    through the rows. Misleads with fewer rows than training examples: constrained directions are counted as free; under
    cross-entropy no manifold of zero loss exists, and the outputs are constrained more strictly than the loss requires.
    NaN if no direction is free. Checkpoints contain no update."""

    name: ClassVar[str] = "projected_shrinking"
    summary: ClassVar[str] = "shrinking that moves no output: its share of the weights, and whether updates follow it"
    source: ClassVar[str] = "arXiv:2511.01938"
    needs: ClassVar[frozenset[Need]] = frozenset({"update", "training_loss"})

    rows: int = 64
    """Training rows whose outputs are held, always the same."""

    def __post_init__(self) -> None:
        _require_rows(self.rows)

    def __call__(self, view: "View") -> Mapping[str, Any]:
        import torch

        from grokscope.measure.curvature import LossSurface
        from grokscope.measure.movement import cosine, inner
        from grokscope.measure.projection import free_shrinking

        sample, weights = view.sample(self.rows), view.weights
        free = free_shrinking(view.model, sample.x)
        share = (inner(free, free, free) / inner(weights, weights, weights)).sqrt()
        gradient = dict(zip(weights, LossSurface(view.model, view.loss, sample.x, sample.target).gradient, strict=True))
        values: dict[str, Any] = {
            "projected_share": share,
            "cos_gradient_shrinking": cosine({n: g.detach() for n, g in gradient.items()}, weights, weights),
        }
        if view.update is not None:
            along = cosine(view.update, free, weights)
            values["cos_update_projected"] = torch.where(share > NOTHING_FREE, along, math.nan)
        return values


NOTHING_FREE = 1e-3
"""Below this share of the weights what is free is what the least squares left over."""
