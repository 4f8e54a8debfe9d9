"""Edits at any site by running the network with hooks: one forward pass per setting.

At the head's input none of this is needed (see `effects`); here a setting costs a whole pass, so examples and random
directions are few and their numbers are stated.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from grokscope.dissect.controls import null
from grokscope.dissect.direction import dominant_direction
from grokscope.dissect.effects import margins
from grokscope.dissect.features import Prepare, evaluating
from grokscope.dissect.head import two_sided
from grokscope.dissect.intervention import Intervention, Steer, applied
from grokscope.dissect.sample import Sample
from grokscope.results.settings import Settings
from grokscope.results.steering import SiteCurve

if TYPE_CHECKING:
    from torch import Tensor, nn


def logits_with(
    model: "nn.Module",
    images: "np.ndarray | Tensor",
    *interventions: Intervention,
    batch: int = 64,
    prepare: Prepare | None = None,
    head: str | None = None,
) -> np.ndarray:
    """Logits (n, k) of the network with these edits, in evaluation mode; without edits, the network's own, bit for
    bit. `head` names the layer whose input is ``pooled`` where it is not the network's last linear one."""
    with evaluating(model):
        return _logits(model, torch.as_tensor(images), interventions, batch, prepare, head)


def _logits(
    model: "nn.Module",
    x: "Tensor",
    edits: tuple[Intervention, ...],
    batch: int,
    prepare: Prepare | None,
    head: str | None,
) -> np.ndarray:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with applied(model, *edits, head=head):
        parts = [model(prepare(p.to(device)) if prepare else p.to(device)).float().cpu() for p in x.split(batch)]
    return torch.cat(parts).numpy()


def steer_site(
    model: "nn.Module",
    images: "np.ndarray | Tensor",
    h: np.ndarray,
    site: str,
    sample: Sample,
    settings: Settings,
    *,
    classes: np.ndarray,
    examples: int = 200,
    draws: int = 19,
    batch: int = 64,
    prepare: Prepare | None = None,
    head: str | None = None,
) -> SiteCurve:
    """Steer at `site`, whose averaged features of all images are h (n, d), and run `examples` test images; `head` names
    the layer whose input is ``pooled``.

    classes (n,): right answers as the network counts them. Costs (1 + draws) * steps passes over the examples.

    Raises:
        ValueError: when the features are not averages of the site's channels (use reduction ``mean``).
    """
    fit = h[sample.parts.fit]
    v = dominant_direction(fit, sample.target("environment", "fit"), sample.weights["fit"]).v
    rows = settings.rng("steer", site, "rows").permutation(sample.parts.test)[:examples]
    runs = _SteeredRuns(
        network=partial(_logits, model, torch.as_tensor(images)[torch.as_tensor(rows)]),
        options={"batch": batch, "prepare": prepare, "head": head},
        y=classes[rows],
        site=site,
        unit=float((fit @ v).std()),
        steps=np.array(sorted(settings.steps)),
    )
    random = settings.rng("steer", site).standard_normal((draws, len(v)))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    with evaluating(model):
        unedited = margins(runs.unedited(), runs.y)
        along_v, along_random = runs.curve(v), [runs.curve(u) for u in random]
    shift = runs.shift(along_v, unedited)
    random_shifts = np.array([runs.shift(curve, unedited) for curve in along_random])
    effects = _effects_of_a_step(along_v, runs.steps)
    low, lower, middle, upper, high = np.quantile(effects, [0.05, 0.25, 0.5, 0.75, 0.95])
    return SiteCurve(
        site=site,
        n=len(rows),
        unit=runs.unit,
        steps=tuple(runs.steps.tolist()),
        accuracy=runs.accuracy(along_v),
        margin=tuple(margins(along_v, runs.y).mean(axis=-1).tolist()),
        random_accuracy=tuple(runs.accuracy(curve) for curve in along_random),
        shift=null("norm", shift, random_shifts, "greater"),
        shift_value=shift,
        effects=(float(low), float(lower), float(middle), float(upper), float(high)),
        reversed=float((effects < 0).mean()),
    )


@dataclass(frozen=True)
class _SteeredRuns:
    """Runs of m examples through the network with one site moved; a curve holds the logits (A, m, k) at A steps."""

    network: Callable[..., np.ndarray]
    """The edits, then `options` -> logits of the examples."""
    options: dict[str, Any]
    y: np.ndarray
    site: str
    unit: float
    """Standard deviation of the fit part's features along the direction between environments."""
    steps: np.ndarray

    def unedited(self) -> np.ndarray:
        return two_sided(self.network((), **self.options))

    def curve(self, u: np.ndarray) -> np.ndarray:
        """Along a direction u (d,) of length 1."""
        steer = Steer(site=self.site, direction=tuple(u.tolist()), step=self.unit, strength=0.0)
        edits = (replace(steer, strength=float(step)) for step in self.steps)
        return np.stack([two_sided(self.network((edit,), **self.options)) for edit in edits])

    def accuracy(self, curve: np.ndarray) -> tuple[float, ...]:
        return tuple((curve.argmax(axis=-1) == self.y).mean(axis=-1).tolist())

    def shift(self, curve: np.ndarray, unedited: np.ndarray) -> float:
        """Mean size of the margins' change at the two outermost steps."""
        return float(np.abs(margins(curve[[0, -1]], self.y) - unedited).mean())


def _effects_of_a_step(curve: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """How far the first step upward moves each example's logits along the mean move, (m,): below 0 where an example
    goes against it. What moves all classes alike moves no decision and is left out."""
    moved = curve[int(np.flatnonzero(steps > 0)[0])] - curve[int(np.flatnonzero(steps == 0)[0])]
    moved = moved - moved.mean(axis=1, keepdims=True)
    mean = moved.mean(axis=0)
    return moved @ (mean / max(float(np.linalg.norm(mean)), 1e-300))
