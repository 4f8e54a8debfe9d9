"""The complete dissection of one checkpoint: one pass over the images, then M1, M4, M5 and M6 on its features.

`dissect` takes a network and images; `dissect_features` starts from features that somebody else collected.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from grokscope.checks import names_checked
from grokscope.dissect.accuracy import measure_accuracy, silent
from grokscope.dissect.answer import POOLED, measure_reliance, summarize, unknown
from grokscope.dissect.controls import MIN_DRAWS
from grokscope.dissect.effects import Scene, describe, make_scene
from grokscope.dissect.erasure import make_bench, run_m4
from grokscope.dissect.head import LinearHead, head_of
from grokscope.dissect.neurons import run_m6
from grokscope.dissect.parts import Coded, coded, split_parts
from grokscope.dissect.probes import TARGETS, Probe, run_m1, why_unusable
from grokscope.dissect.progress import Progress, Watch
from grokscope.dissect.sample import Sample, make_sample
from grokscope.dissect.sentences import Nouns
from grokscope.dissect.steering import run_m5
from grokscope.results.answer import Reliance, Where
from grokscope.results.dissection import Dissection
from grokscope.results.erasures import M4
from grokscope.results.neurons import M6
from grokscope.results.probes import M1
from grokscope.results.sample import Inputs, PartsRecord, SiteInfo, SiteWidth
from grokscope.results.scores import SplitAccuracy
from grokscope.results.settings import Settings
from grokscope.results.steering import M5, SiteCurve
from grokscope.trajectory.selection import parse_rule, rule_label

if TYPE_CHECKING:
    from torch import Tensor, nn

    from grokscope.dissect.features import Features, Prepare

AtChance = Literal["stop", "probes"]
COLORS = "mean_rgb"


@names_checked
@dataclass(frozen=True)
class Unseen:
    """Examples of environments that no part holds (a new hospital): measured, never fitted, ranked or chosen on.

    `images` (n, ...) for `dissect`; for `dissect_features` the features (n, d) of the head's input.
    """

    images: "np.ndarray | Tensor"
    labels: np.ndarray
    environments: np.ndarray | None = None
    groups: np.ndarray | None = None


def check_selection(rule: str) -> str:
    """``given``, or the one spelling of a rule of `grokscope.trajectory.selection` that names a checkpoint.

    Raises:
        ValueError: for another rule, an average, or a peak on ``ood_test`` that is not called an oracle.
    """
    if rule == "given":
        return rule
    try:
        selection = parse_rule(rule)
    except ValueError as error:
        raise ValueError(f"selection: {error}") from None
    if selection.kind == "mean_last":
        raise ValueError(f"selection: {rule!r} averages evaluations and names no checkpoint; use final, a peak or step")
    return selection.name


def dissect(
    model: "nn.Module",
    images: "np.ndarray | Tensor",
    labels: np.ndarray,
    environments: np.ndarray,
    groups: np.ndarray | None = None,
    sites: Sequence[str] | None = None,
    *,
    unseen: Mapping[str, Unseen] | None = None,
    settings: Settings | None = None,
    selection: str = "given",
    reduction: str = "mean",
    batch: int = 64,
    prepare: "Prepare | None" = None,
    cache: str | Path | None = None,
    steer_sites: Sequence[str] = (),
    head: str | None = None,
    split: str = "sample",
    inputs: Inputs | None = None,
    at_chance: AtChance = "stop",
    nouns: Nouns | None = None,
    watch: Watch | None = None,
) -> Dissection:
    """Where is the shortcut stored? The battery M1, M4, M5, M6 on one classifier, with all controls.

    images (n, ...), as the network reads them or as `prepare` turns them into that: nothing is scaled unasked; labels
    (n,) integer classes in the order of the network's outputs; environments (n,) and groups (n,) ids of any kind.
    `sites` default to the stages that a ResNet or a timm network names, else to what the last layer reads; `head` names
    the last layer where it is not the last linear one (``classifier.1``). `split` is how the examples are called,
    `inputs` what should be recorded of them, `nouns` what environment and class are called in the sentences. `watch` is
    told of each piece of work as it begins. The network is left as it was; `saving.save_dissection` writes the result.

    A network that is at chance on these examples was almost always fed wrongly: then only its accuracy is reported,
    with the likely causes. ``at_chance="probes"`` reports what can be read from its features besides, for a network of
    whose inputs one is sure (an early checkpoint of one's own run).

    Cost: one forward pass, and seconds of linear algebra. M4, M5 and M6 act on the input of the linear head, where
    every edit's effect on the logits is known without running anything. `steer_sites` adds steering at earlier sites,
    each at the cost of some hundred passes over 200 images; for other edits there see `through.logits_with`.

    Raises:
        ValueError: for inputs that do not fit together, too few groups, features that are not finite, a head that is
            not linear; each message names the argument and the remedy.
    """
    from grokscope.dissect.features import collect
    from grokscope.dissect.sites import default_sites

    progress = Progress(watch, steer_sites)
    progress.begin("features")
    settings = settings or Settings()
    chosen = tuple(default_sites(model) if sites is None else sites)
    reading: Any = {"reduction": reduction, "batch": batch, "prepare": prepare, "cache": cache, "head": head}
    features = collect(model, images, tuple(dict.fromkeys([*chosen, *steer_sites, POOLED])), **reading)
    result = dissect_features(
        features.sites | _colors(images),
        head_of(model, features.sites[POOLED], features.logits, head),
        labels,
        environments,
        groups,
        unseen={name: _collect_unseen(model, one, reading) for name, one in (unseen or {}).items()},
        settings=settings,
        selection=selection,
        origin=features,
        split=split,
        inputs=inputs,
        at_chance=at_chance,
        nouns=nouns,
        progress=progress,
    )
    if sites is None and chosen == (POOLED,):
        result = replace(result, warnings=(*result.warnings, _only_pooled(model)))
    if not steer_sites or result.reliance is None:
        return result
    labeled = (labels, environments, groups)
    steered = _steer_earlier(model, images, labeled, features, result, steer_sites, reading, progress)
    return replace(result, m5=replace(result.m5, sites=steered))


def _colors(images: "np.ndarray | Tensor") -> dict[str, np.ndarray]:
    """The baseline that needs no network, as a site; nothing for other inputs than RGB images."""
    colors = mean_rgb(images)
    return {} if colors is None else {COLORS: colors}


def _collect_unseen(model: "nn.Module", unseen: Unseen, reading: Any) -> Unseen:
    """Unseen examples with the features (n, d) of the head's input in place of their images."""
    from grokscope.dissect.features import collect

    features = collect(model, unseen.images, [POOLED], **reading)
    return replace(unseen, images=features.sites[POOLED])


def _only_pooled(model: "nn.Module") -> str:
    from grokscope.dissect.sites import candidates

    return f"only what the head reads was probed; other sites can be named: {candidates(model)}"


def _steer_earlier(
    model: "nn.Module",
    images: "np.ndarray | Tensor",
    labeled: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    features: "Features",
    result: Dissection,
    steer_sites: Sequence[str],
    reading: Any,
    progress: Progress,
) -> tuple[SiteCurve, ...]:
    """Steering at sites before the head, through the network, on the same sample as everything else; `labeled` holds
    labels, environments and groups."""
    from grokscope.dissect.through import steer_site

    linear = head_of(model, features.sites[POOLED], features.logits, reading["head"])
    sample = prepare_sample(*labeled, len(features.logits), linear, result.settings)[0]
    running = {"classes": np.asarray(labeled[0]), **{key: reading[key] for key in ("batch", "prepare", "head")}}
    curves = []
    for number, site in enumerate(steer_sites):
        progress.begin_site(number, site)
        curves.append(steer_site(model, images, features.sites[site], site, sample, result.settings, **running))
    return tuple(curves)


def prepare_sample(
    labels: np.ndarray,
    environments: np.ndarray,
    groups: np.ndarray | None,
    n: int,
    head: LinearHead,
    settings: Settings,
) -> tuple[Sample, PartsRecord, np.ndarray]:
    """Codes, parts and weights of n labeled examples; how they were split; and the classes (n,) as the head counts
    them."""
    y, e = _classes(labels, n, head), coded(environments, "environments", n)
    g = None if groups is None else coded(groups, "groups", n)
    parts, record = split_parts(e, y, g, settings.shares, settings.seed)
    sample = make_sample(y.codes, e.codes, g.codes if g else None, parts, settings.balance)
    return sample, record, np.asarray(y.values, dtype=np.int64)[y.codes]


def mean_rgb(images: "np.ndarray | Tensor") -> np.ndarray | None:
    """Mean color (n, 3) of RGB images (n, 3, H, W); None for other inputs. What a probe reads here needs no
    network."""
    x = np.asarray(images)
    if x.ndim == 4 and x.shape[1] == 3:
        return x.mean(axis=(2, 3), dtype=np.float64)
    return None


def dissect_features(
    features: Mapping[str, np.ndarray],
    head: LinearHead,
    labels: np.ndarray,
    environments: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    unseen: Mapping[str, Unseen] | None = None,
    settings: Settings | None = None,
    selection: str = "given",
    origin: "Features | None" = None,
    split: str = "sample",
    inputs: Inputs | None = None,
    at_chance: AtChance = "stop",
    nouns: Nouns | None = None,
    progress: Progress | None = None,
) -> Dissection:
    """`dissect` from features (n, d) by site; the site ``pooled`` is the head's input."""
    settings, progress = settings or Settings(), progress or Progress(None)
    selection = check_selection(selection)
    table = _labeled(features, head, labels, environments, groups, unseen or {}, settings)
    accuracy = table.accuracy(split)
    findings = _findings(table, _why_silent(table, accuracy, at_chance), at_chance, nouns, progress)
    return Dissection(
        schema=Dissection.SCHEMA,
        accuracy=(accuracy, *(_scene_accuracy(scene, settings) for scene in table.unseen_scenes)),
        inputs=inputs,
        model_hash=origin.model_hash if origin else None,
        data_hash=origin.data_hash if origin else None,
        selection=selection,
        sites=_sites(features, origin),
        settings=settings,
        parts=table.record,
        balanced=table.sample.weights["fit"] is not None,
        scenes=tuple(describe(scene) for scene in table.scenes.values()),
        reliance=findings.reliance,
        m1=findings.m1,
        m4=findings.m4,
        m5=findings.m5,
        m6=findings.m6,
        where=findings.where,
        warnings=_warnings(table, selection),
    )


@dataclass(frozen=True)
class _LabeledFeatures:
    """What every method looks at: features (n, d) by site, the codes and parts of the n examples, and every set of
    examples on which an edit's effect is measured."""

    features: dict[str, np.ndarray]
    head: LinearHead
    sample: Sample
    record: PartsRecord
    classes: np.ndarray
    """(n,) as the head counts them."""
    scenes: dict[str, Scene]
    """``test``, and each unseen set."""
    settings: Settings

    @property
    def pooled(self) -> np.ndarray:
        return self.features[POOLED]

    @property
    def unseen_scenes(self) -> list[Scene]:
        return [scene for name, scene in self.scenes.items() if name != "test"]

    def accuracy(self, split: str) -> SplitAccuracy:
        """Of the unedited network on all n examples, which are called `split`."""
        guesses = self.head.logits(self.pooled).argmax(axis=1)
        return measure_accuracy(split, guesses, self.classes, self.sample.groups, self.settings)

    def why_unusable(self) -> str | None:
        """Why nothing can be fitted to the head's input, or None."""
        return why_unusable(self.pooled[self.sample.parts.fit])


def _labeled(
    features: Mapping[str, np.ndarray],
    head: LinearHead,
    labels: np.ndarray,
    environments: np.ndarray,
    groups: np.ndarray | None,
    unseen: Mapping[str, Unseen],
    settings: Settings,
) -> _LabeledFeatures:
    if POOLED not in features:
        raise ValueError(f"features: the site 'pooled', which the head reads, is missing; given: {', '.join(features)}")
    arrays = {name: np.asarray(h) for name, h in features.items()}
    pooled = arrays[POOLED]
    _check_features(arrays, len(pooled), head)
    sample, record, classes = prepare_sample(labels, environments, groups, len(pooled), head, settings)
    scenes = _scenes(pooled, head, classes, sample, unseen, settings)
    return _LabeledFeatures(arrays, head, sample, record, classes, scenes, settings)


@dataclass(frozen=True)
class _Findings:
    """What the methods found, and the one sentence that follows."""

    m1: M1
    m4: M4
    m5: M5
    m6: M6
    reliance: Reliance | None
    where: Where


def _findings(
    table: _LabeledFeatures, silence: str | None, at_chance: AtChance, nouns: Nouns | None, progress: Progress
) -> _Findings:
    """M1, then M4 to M6. `silence` says why nothing may be said of the network's decisions: then there are probes at
    most, because an edit's effect on decisions that mean nothing means nothing either."""
    progress.begin("probes")
    if silence is not None and at_chance == "stop":
        return _no_findings(M1(probes=(), cannot_tell=silence), silence)
    m1, probes = run_m1(table.features, table.sample, table.settings)
    if silence is not None:
        return _no_findings(m1, silence)
    unusable = table.why_unusable()
    m4, m5, m6 = _nothing(unusable) if unusable else _interventions(table, probes, progress)
    reliance = measure_reliance(table.scenes["test"], table.settings)
    where = summarize(m1, m4, m5, m6, reliance, table.record, table.settings, nouns)
    return _Findings(m1, m4, m5, m6, reliance, where)


def _no_findings(m1: M1, reason: str) -> _Findings:
    return _Findings(m1, *_nothing(reason), reliance=None, where=unknown(None, reason))


def _why_silent(table: _LabeledFeatures, accuracy: SplitAccuracy, at_chance: AtChance) -> str | None:
    """Why nothing is said of the network's decisions, or None. Features that cannot be used at all say so themselves,
    in every battery."""
    if table.why_unusable():
        return None
    return silent(accuracy, causes=at_chance == "stop")


def _sites(features: Mapping[str, np.ndarray], origin: "Features | None") -> dict[str, SiteInfo | SiteWidth]:
    if origin is None:
        return {name: SiteWidth(d=h.shape[1]) for name, h in features.items()}
    return dict(origin.info)


def _scene_accuracy(scene: Scene, settings: Settings) -> SplitAccuracy:
    groups = scene.units if scene.grouped else None
    return measure_accuracy(scene.name, scene.logits.argmax(axis=1), scene.labels, groups, settings)


def _nothing(reason: str) -> tuple[M4, M5, M6]:
    return M4(erasures=(), angles={}, cannot_tell=reason), M5(cannot_tell=reason), M6(cannot_tell=reason)


def _check_features(features: Mapping[str, np.ndarray], n: int, head: LinearHead) -> None:
    for site, h in features.items():
        if np.ndim(h) != 2 or len(h) != n:
            raise ValueError(f"features: {site!r} must be ({n}, d), got {np.shape(h)}")
        if not np.isfinite(h).all():
            raise ValueError(f"features: {site!r} holds NaN or infinite values; the checkpoint has diverged")
    if features[POOLED].shape[1] != head.weight.shape[1]:
        raise ValueError(f"head: reads {head.weight.shape[1]} features, 'pooled' has {features[POOLED].shape[1]}")


def _classes(labels: np.ndarray, n: int, head: LinearHead) -> Coded:
    y = coded(labels, "labels", n)
    k = len(head.weight)
    if any(not isinstance(v, int) or not 0 <= v < k for v in y.values):
        raise ValueError(f"labels: must be integers 0 to {k - 1}, the network's {k} outputs, got {y.values[:10]}")
    return y


def _scenes(
    pooled: np.ndarray,
    head: LinearHead,
    classes: np.ndarray,
    sample: Sample,
    unseen: Mapping[str, Unseen],
    settings: Settings,
) -> dict[str, Scene]:
    """The test part, and each unseen set under its name."""
    rows, group = sample.parts.test, sample.group("test")
    drawn = {"resamples": settings.resamples, "seed": settings.seed}
    scenes = {"test": make_scene("test", pooled[rows], head, classes[rows], sample.environments[rows], group, **drawn)}
    for name, one in unseen.items():
        if name in ("fit", "select", "test"):
            raise ValueError(f"unseen: {name!r} is the name of a part; use another, for example 'ood_val'")
        scenes[name] = _unseen_scene(name, one, head, drawn)
    return scenes


def _unseen_scene(name: str, unseen: Unseen, head: LinearHead, drawn: Mapping[str, int]) -> Scene:
    h = np.asarray(unseen.images)
    _check_features({POOLED: h}, len(h), head)
    y = _classes(unseen.labels, len(h), head)
    environments = np.zeros(len(h), np.int64)  # not named: all of one
    if unseen.environments is not None:
        environments = coded(unseen.environments, f"{name}.environments", len(h)).codes
    groups = None
    if unseen.groups is not None:
        groups = coded(unseen.groups, f"{name}.groups", len(h)).codes
    classes = np.asarray(y.values, np.int64)[y.codes]
    return make_scene(name, h, head, classes, environments, groups, **drawn)


def _interventions(
    table: _LabeledFeatures, probes: Mapping[tuple[str, str], Probe], progress: Progress
) -> tuple[M4, M5, M6]:
    bench = make_bench(table.pooled, table.head, table.sample, table.scenes, table.settings)
    pooled_probes = {target: probes[POOLED, target] for target in TARGETS}
    progress.begin("erasure")
    m4 = run_m4(bench, pooled_probes["environment"])
    progress.begin("steering")
    m5 = run_m5(bench, table.record.environments)
    progress.begin("neurons")
    return m4, m5, run_m6(bench, pooled_probes)


def _warnings(table: _LabeledFeatures, selection: str) -> tuple[str, ...]:
    record, settings = table.record, table.settings
    warnings = []
    if selection.startswith("oracle"):
        warnings.append(f"the checkpoint was chosen by an {rule_label(selection)}: its numbers are not held out")
    if record.groups is None:
        warnings.append(
            "no groups were given: images of one patient may be in several parts, and intervals are too narrow"
        )
    if settings.balance == "class" and table.sample.weights["fit"] is None:
        warnings.append("some environment lacks a class: environment and class could not be made independent")
    if record.association > 0.3:
        warnings.append(f"environment and class are associated (Cramér's V {record.association:.2f})")
    if settings.draws < MIN_DRAWS:
        warnings.append(
            f"only {settings.draws} random draws: no p against them below {2 / (1 + settings.draws):.2g} is possible"
        )
    return tuple(warnings)
