"""M4: remove the environment's subspace, classify with the original head, and refit a probe on the edited features.

An old probe at chance proves nothing: it was fitted to the very directions that were removed. The verdict on erasure is
that of probes refitted on edited features that the eraser never saw.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Self

import numpy as np

from grokscope.dissect.controls import (
    energy_distance,
    erase_logits,
    outside_range,
    random_frames,
    variance_matched_frames,
)
from grokscope.dissect.effects import Scene, effect_records
from grokscope.dissect.erasure_methods import ErasureMethod, ErasureView, method
from grokscope.dissect.head import LinearHead
from grokscope.dissect.labeling import Labeling, random_labels, smallest_p
from grokscope.dissect.leace import Whitening, whiten
from grokscope.dissect.probes import Probe, fit_path, judge
from grokscope.dissect.sample import Sample
from grokscope.dissect.scoring import score
from grokscope.dissect.subspaces import Eraser, class_means, mean_diff, principal_angles
from grokscope.results.erasures import M4, Erasure
from grokscope.results.scores import ByEffect, Effect, Score
from grokscope.results.settings import Settings


def fit_erasers(view: ErasureView, methods: Mapping[str, ErasureMethod]) -> tuple[dict[str, Eraser], dict[str, str]]:
    """What each method found, and why others could not."""
    fitted, left_out = {}, {}
    for name, erasure_method in methods.items():
        try:
            fitted[name] = erasure_method.fit(view)
        except ValueError as error:
            left_out[name] = str(error)
    return fitted, left_out


@dataclass(frozen=True)
class Bench:
    """What all erasures of one dissection share."""

    h: np.ndarray
    head: LinearHead
    sample: Sample
    scenes: dict[str, Scene]
    settings: Settings
    whitening: Whitening
    spectrum: tuple[np.ndarray, np.ndarray]

    @property
    def fit(self) -> np.ndarray:
        return self.h[self.sample.parts.fit]

    @cached_property
    def without_environment(self) -> np.ndarray:
        """The fit part with every environment moved to the common mean: a world without the shortcut."""
        z = self.sample.target("environment", "fit")
        means, _, center = class_means(self.fit, z, self.sample.weights["fit"])
        return self.fit - means[z] + center

    def view(self, probe: Probe) -> ErasureView:
        """What methods of erasure are fitted to."""
        z, y = self.sample.target("environment", "fit"), self.sample.target("task", "fit")
        weights = self.sample.weights["fit"]
        return ErasureView(self.fit, z, y, weights, probe, self.whitening, self.without_environment)

    @cached_property
    def random_labels(self) -> list[Labeling]:
        """Permuted environments (n_fit,) of the fit part, the same for every method, each with its own weights."""
        return random_labels(self.sample, self.settings)


def make_bench(h: np.ndarray, head: LinearHead, sample: Sample, scenes: dict[str, Scene], settings: Settings) -> Bench:
    """Covariance work done once: features (n, d) of all examples."""
    h = h.astype(np.float64)
    fit = h[sample.parts.fit]
    whitening = whiten(fit, sample.weights["fit"])
    rest = fit - whitening.mean
    values, vectors = np.linalg.eigh(rest.T @ rest / len(rest))
    return Bench(h, head, sample, scenes, settings, whitening, (values, vectors))


def run_m4(bench: Bench, probe: Probe) -> M4:
    """All erasures with their controls; `probe` reads the environment from the unedited fit part."""
    view = bench.view(probe)
    methods = {name: method(name, bench.settings.lda_rounds) for name in bench.settings.erasers}
    erasers, left_out = fit_erasers(view, methods)
    before = {target: refit(bench, target, None, "select") for target in ("environment", "task")}
    done = tuple(erase(bench, view, methods[name], eraser, before) for name, eraser in erasers.items())
    task = mean_diff(view.h, view.y, view.weights)
    pairs = combinations([*erasers.items(), ("task", task)], 2)
    angles = {f"{a} / {b}": principal_angles(one.removed, other.removed) for (a, one), (b, other) in pairs}
    return M4(erasures=done, angles=angles, left_out=left_out)


def refit(bench: Bench, target: str, eraser: Eraser | None, part: str) -> Score:
    """The most successful of several probes fitted on an edited part, scored on the edited test part."""
    sample, settings = bench.sample, bench.settings
    train, test = bench.h[sample.parts[part]], bench.h[sample.parts.test]
    if eraser is not None:
        train, test = eraser.apply(train), eraser.apply(test)
    probes = fit_path(train, sample.target(target, part), settings.refit_regularization, sample.weights[part])
    name = eraser.name if eraser else "none"
    return _score(bench, np.stack([p.guess(test) for p in probes]), target, "refit", name, part)


def _score(bench: Bench, guesses: np.ndarray, target: str, *purpose: str) -> Score:
    sample, settings = bench.sample, bench.settings
    return score(
        guesses,
        sample.target(target, "test"),
        sample.strata(target, "test"),
        sample.group("test"),
        settings.rng("erasure", target, *purpose),
        settings.permutations,
        settings.resamples,
    )[0]


@dataclass(frozen=True)
class _Controls:
    """What one erasure is compared with, beside random subspaces of its rank."""

    removed: float
    """Variance of the fit part that the eraser removes."""
    frames: np.ndarray
    """(D, d, r): random subspaces that hold as much variance."""
    matched: float
    """Variance that they hold, as a share of `removed`; NaN where nothing is removed."""
    labelings: list[Eraser]
    """Erasers fitted to meaningless labelings of the same groups. The environments' own means are taken away first,
    because a permutation of few groups still holds much of the real labeling."""

    @classmethod
    def of(cls, bench: Bench, view: ErasureView, erasure_method: ErasureMethod, eraser: Eraser) -> Self:
        settings = bench.settings
        removed = float(np.var(eraser.coordinates(bench.fit) @ eraser.left.T, axis=0).sum())
        rng = settings.rng("variance", eraser.name)
        frames, held = variance_matched_frames(
            rng, bench.spectrum, eraser.removed, eraser.rank, removed, settings.draws
        )
        matched = float(held.mean()) / removed if removed > 0 else float("nan")
        return cls(removed, frames, matched, erasure_method.fit_labelings(view, bench.random_labels))


def erase(
    bench: Bench, view: ErasureView, erasure_method: ErasureMethod, eraser: Eraser, before: dict[str, Score]
) -> Erasure:
    """One eraser on every set of examples."""
    sample, settings, fit = bench.sample, bench.settings, bench.fit
    test = bench.h[sample.parts.test]
    edited = eraser.apply(test)
    refitted = refit(bench, "environment", eraser, "select")
    verdict, reason = judge_erasure(before["environment"], refitted, settings)
    controls = _Controls.of(bench, view, erasure_method, eraser)
    effects = {name: _effects(bench, eraser, scene, controls) for name, scene in bench.scenes.items()}
    low, high = fit.min(axis=0), fit.max(axis=0)
    return Erasure(
        eraser=eraser.name,
        rank=eraser.rank,
        n_fit=len(fit),
        units_fit=sample.units("fit"),
        d=fit.shape[1],
        guarantee=_guarantee(erasure_method, len(fit), fit.shape[1]),
        verdict=verdict,
        reason=reason,
        before=before["environment"],
        old_probe=_score(bench, view.probe.guess(edited)[None], "environment", "old", eraser.name),
        refitted=refitted,
        refitted_on_fit=refit(bench, "environment", eraser, "fit"),
        task_before=before["task"],
        task_refitted=refit(bench, "task", eraser, "select"),
        removed_variance=controls.removed / float(np.var(fit, axis=0).sum()),
        matched_variance=controls.matched,
        outside_range=outside_range(edited, low, high),
        outside_range_before=outside_range(test, low, high),
        effects=effects,
        causal=causal(effects["test"].env_gap_drop, settings.alpha),
        energy_distance=energy_distance(edited, fit, settings.rng("energy")),
        energy_distance_natural=energy_distance(test, fit, settings.rng("energy")),
    )


def _guarantee(erasure_method: ErasureMethod, n: int, d: int) -> str:
    if erasure_method.means_stay:
        return "none: the class means stay apart"
    exact = "exact for linear probes on the fit part"
    if n < 10 * d:
        return f"{exact}; none on held-out examples, n / d = {n / d:.2g}"
    return f"{exact}, nearly so on held-out ones"


def judge_erasure(before: Score, after: Score, settings: Settings) -> tuple[str, str]:
    """From probes fitted on held-out features before and after the edit."""
    if not before.p <= settings.alpha:
        return "cannot tell", "the environment could not be read before the edit (probes of the select part)"
    return judge(after, settings, "not erased", "erased")


def causal(effect: Effect, alpha: float) -> bool | None:
    """Whether an effect's interval lies above 0 and it beats every control: each must be beaten, so nothing needs
    correction. None where that cannot be known: no interval or one without width, too few draws."""
    ps = [c.p for c in effect.controls.values()]
    width = None
    if effect.interval is not None:
        width = effect.interval[1] - effect.interval[0]
    if not np.isfinite(effect.value) or not np.isfinite(ps).all() or not width or effect.interval is None:
        return None
    if any(c.smallest_p > alpha for c in effect.controls.values()):
        return None
    return bool(effect.interval[0] > 0 and max(ps) <= alpha)


def erased_logits(head: LinearHead, eraser: Eraser, scene: Scene) -> np.ndarray:
    """Logits (n, k) of the head on edited features, which are never formed: the head is linear."""
    return scene.logits - eraser.coordinates(scene.h) @ (eraser.left.T @ head.weight.T)


def _effects(bench: Bench, eraser: Eraser, scene: Scene, controls: _Controls) -> ByEffect[Effect]:
    weight, rest = bench.head.weight, scene.h - eraser.mean
    lengths = np.linalg.norm(eraser.coordinates(scene.h) @ eraser.left.T, axis=1)
    rng = bench.settings.rng("subspace", eraser.name)
    frames = random_frames(rng, len(eraser.mean), eraser.rank, bench.settings.draws)
    logits = {
        "dimension": erase_logits(scene.logits, rest, weight, frames),
        "variance": erase_logits(scene.logits, rest, weight, controls.frames),
        "norm": erase_logits(scene.logits, rest, weight, frames, lengths),
    }
    if controls.labelings:
        logits["labels"] = np.stack([erased_logits(bench.head, other, scene) for other in controls.labelings])
    # few patients can be dealt to hospitals in few ways: a hundred draws then hold the same labelings many times
    floors = {"labels": smallest_p(bench.sample)}
    return effect_records(scene, erased_logits(bench.head, eraser, scene), logits, floors)
