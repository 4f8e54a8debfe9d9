"""Edits at any site, by running the network with hooks: one forward pass for each setting.

At the head's input none of this is needed (see `effects`); here a setting costs a whole pass, so examples and random
directions are few and their numbers are stated.
"""

from typing import TYPE_CHECKING

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
    unit = float((fit @ v).std())
    rows = settings.rng("steer", site, "rows").permutation(sample.parts.test)[:examples]
    x, y = torch.as_tensor(images)[torch.as_tensor(rows)], classes[rows]
    steps = np.array(sorted(settings.steps))
    random = settings.rng("steer", site).standard_normal((draws, len(v)))
    random /= np.linalg.norm(random, axis=1, keepdims=True)

    def curve(u: np.ndarray) -> np.ndarray:
        tool = lambda a: Steer(site=site, direction=tuple(u.tolist()), step=unit, strength=float(a))  # noqa: E731
        return np.stack([two_sided(_logits(model, x, (tool(a),), batch, prepare, head)) for a in steps])

    shift = lambda z: float(np.abs(margins(z[[0, -1]], y) - base).mean())  # noqa: E731
    with evaluating(model):
        base = margins(two_sided(_logits(model, x, (), batch, prepare, head)), y)
        along_v, along_random = curve(v), [curve(u) for u in random]
    moved = along_v[int(np.flatnonzero(steps > 0)[0])] - along_v[int(np.flatnonzero(steps == 0)[0])]
    moved = moved - moved.mean(axis=1, keepdims=True)
    along = moved @ (moved.mean(axis=0) / max(float(np.linalg.norm(moved.mean(axis=0))), 1e-300))
    low, lower, middle, upper, high = np.quantile(along, [0.05, 0.25, 0.5, 0.75, 0.95])
    right = lambda z: tuple((z.argmax(axis=-1) == y).mean(axis=-1).tolist())  # noqa: E731
    return SiteCurve(
        site=site,
        n=len(rows),
        unit=unit,
        steps=tuple(steps.tolist()),
        accuracy=right(along_v),
        margin=tuple(margins(along_v, y).mean(axis=-1).tolist()),
        random_accuracy=tuple(right(z) for z in along_random),
        shift=null("norm", shift(along_v), np.array([shift(z) for z in along_random]), "greater"),
        shift_value=shift(along_v),
        effects=(float(low), float(lower), float(middle), float(upper), float(high)),
        reversed=float((along < 0).mean()),
    )
