"""The whole dissection of one checkpoint: one pass over the images, then M1, M4, M5 and M6 on what it left.

`dissect` takes a network and images; `dissect_features` starts from features that somebody else collected.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from grokscope.dissect.accuracy import SplitAccuracy, measure_accuracy, silent
from grokscope.dissect.answer import POOLED, Reliance, Where, measure_reliance, summarize, unknown
from grokscope.dissect.effects import Scene, SceneRecord, describe, make_scene
from grokscope.dissect.erasure import M4, make_bench, run_m4
from grokscope.dissect.head import LinearHead, head_of
from grokscope.dissect.neurons import M6, run_m6
from grokscope.dissect.parts import Coded, PartsRecord, coded, split_parts
from grokscope.dissect.probes import M1, run_m1, usable
from grokscope.dissect.progress import Progress, Watch
from grokscope.dissect.records import Record
from grokscope.dissect.sample import Sample, Settings, make_sample
from grokscope.dissect.sentences import Nouns
from grokscope.dissect.steering import M5, run_m5
from grokscope.files import write_json
from grokscope.store.dissected import RULES
from grokscope.trajectory.selection import parse_rule, rule_label

if TYPE_CHECKING:
    from torch import Tensor, nn

    from grokscope.dissect.features import Features, Prepare

AtChance = Literal["stop", "probes"]
SCHEMA = 1
COLOURS = "mean_rgb"


@dataclass(frozen=True)
class Unseen:
    """Examples of environments that no part holds (a new hospital): measured, never fitted, ranked or chosen on.

    `images` (n, ...) for `dissect`; for `dissect_features` the features (n, d) of the head's input.
    """

    images: "np.ndarray | Tensor"
    labels: np.ndarray
    environments: np.ndarray | None = None
    groups: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Dissection(Record):
    """Everything that was measured on one checkpoint, and how."""

    schema: int
    rules: int = RULES
    """Version of how this was measured and concluded; older ones are shown as outdated."""
    accuracy: tuple[SplitAccuracy, ...]
    """How well the network does: on all examples that are dissected, then on each unseen set. At chance on the first
    nothing else is said."""
    inputs: Mapping[str, object] | None
    """What the caller says of the inputs: scaling, and which label is which output."""
    model_hash: str | None
    data_hash: str | None
    selection: str
    """The named rule that chose this checkpoint; ``oracle=...`` is stamped wherever the result goes."""
    sites: dict[str, dict[str, object]]
    settings: Settings
    parts: PartsRecord
    balanced: bool
    """Whether environment and class were made independent by weights."""
    scenes: tuple[SceneRecord, ...]
    reliance: Reliance | None
    """None where the network is at chance."""
    m1: M1
    m4: M4
    m5: M5
    m6: M6
    where: Where
    warnings: tuple[str, ...]

    def write(self, folder: str | Path, figures: bool = True) -> Path:
        """``mechinterp/`` in `folder`: m1, m4, m5, m6 as JSON (each with its origin) and, unless told not to, PNG; and
        calibration.json, what the battery does on planted shortcuts."""
        from grokscope.dissect.calibrate import shipped

        out = Path(folder) / "mechinterp"
        whole = self.to_dict()
        results = {key: whole.pop(key) for key in ("m1", "m4", "m5", "m6")}
        for key, result in results.items():
            write_json(out / f"{key}.json", {**whole, key: result})
        write_json(out / "calibration.json", shipped())
        if figures:
            from grokscope.dissect.figures import write_figures

            write_figures(self, out)
        return out


def check_selection(rule: str) -> str:
    """``given``, or the one spelling of a rule of `grokscope.trajectory.selection` that names a checkpoint.

    Raises:
        ValueError: for another rule, an average, or a peak on ``ood_test`` that is not called an oracle.
    """
    if rule == "given":
        return rule
    try:
        found = parse_rule(rule)
    except ValueError as error:
        raise ValueError(f"selection: {error}") from None
    if found.kind == "mean_last":
        raise ValueError(f"selection: {rule!r} averages evaluations and names no checkpoint; use final, a peak or step")
    return found.name


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
    inputs: Mapping[str, object] | None = None,
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
    told of each piece of work as it begins. The network is left as it was.

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
    from grokscope.dissect.sites import candidates, default_sites

    progress = Progress(watch, steer_sites)
    progress.begin("features")
    chosen = tuple(default_sites(model) if sites is None else sites)
    names = tuple(dict.fromkeys([*chosen, *steer_sites, POOLED]))
    reading = {"reduction": reduction, "batch": batch, "prepare": prepare, "cache": cache, "head": head}
    found = collect(model, images, names, **reading)
    linear = head_of(model, found.sites[POOLED], found.logits, head)
    others = {name: collect(model, u.images, [POOLED], **reading) for name, u in (unseen or {}).items()}
    away = {
        name: Unseen(others[name].sites[POOLED], u.labels, u.environments, u.groups)
        for name, u in (unseen or {}).items()
    }
    colours = mean_rgb(images)
    settings = settings or Settings()
    result = dissect_features(
        found.sites if colours is None else {**found.sites, COLOURS: colours},
        linear,
        labels,
        environments,
        groups,
        unseen=away,
        settings=settings,
        selection=selection,
        origin=found,
        split=split,
        inputs=inputs,
        at_chance=at_chance,
        nouns=nouns,
        progress=progress,
    )
    if sites is None and chosen == (POOLED,):
        unnamed = f"only what the head reads was probed; other sites can be named: {candidates(model)}"
        result = replace(result, warnings=(*result.warnings, unnamed))
    if not steer_sites or result.reliance is None:
        return result
    from grokscope.dissect.through import steer_site

    sample = prepare_sample(labels, environments, groups, len(found.logits), linear, settings)[0]
    running = {"classes": np.asarray(labels), "batch": batch, "prepare": prepare, "head": head}
    curves = []
    for number, site in enumerate(steer_sites):
        progress.begin_site(number, site)
        curves.append(steer_site(model, images, found.sites[site], site, sample, settings, **running))
    return replace(result, m5=replace(result.m5, sites=tuple(curves)))


def prepare_sample(
    labels: np.ndarray,
    environments: np.ndarray,
    groups: np.ndarray | None,
    n: int,
    head: LinearHead,
    settings: Settings,
) -> tuple[Sample, PartsRecord, np.ndarray]:
    """Codes, parts and weights of n labelled examples; how they were split; and the classes (n,) as the head counts
    them."""
    y, e = _classes(labels, n, head), coded(environments, "environments", n)
    g = None if groups is None else coded(groups, "groups", n)
    parts, record = split_parts(e, y, g, settings.shares, settings.seed)
    sample = make_sample(y.codes, e.codes, g.codes if g else None, parts, settings.balance)
    return sample, record, np.asarray(y.values, dtype=np.int64)[y.codes]


def mean_rgb(images: "np.ndarray | Tensor") -> np.ndarray | None:
    """Mean colour (n, 3) of RGB images (n, 3, H, W); None for other inputs. What a probe reads here needs no
    network."""
    x = np.asarray(images)
    return x.mean(axis=(2, 3), dtype=np.float64) if x.ndim == 4 and x.shape[1] == 3 else None


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
    inputs: Mapping[str, object] | None = None,
    at_chance: AtChance = "stop",
    nouns: Nouns | None = None,
    progress: Progress | None = None,
) -> Dissection:
    """`dissect` from features (n, d) by site; the site ``pooled`` is the head's input."""
    settings, progress = settings or Settings(), progress or Progress(None)
    selection = check_selection(selection)
    if POOLED not in features:
        raise ValueError(f"features: the site 'pooled', which the head reads, is missing; given: {', '.join(features)}")
    pooled = np.asarray(features[POOLED])
    n = len(pooled)
    _check_features(features, n, head)
    sample, record, classes = prepare_sample(labels, environments, groups, n, head, settings)
    scenes = _scenes(pooled, head, classes, sample, unseen or {}, settings)
    accuracy = (
        measure_accuracy(split, head.logits(pooled).argmax(axis=1), classes, sample.groups, settings),
        *(_scene_accuracy(scene, settings) for name, scene in scenes.items() if name != "test"),
    )
    # features that cannot be used at all say so themselves
    dead = usable(pooled[sample.parts.fit])
    reason = None if dead else silent(accuracy[0], causes=at_chance == "stop")
    reads = reason is None or at_chance == "probes"
    sites = {k: np.asarray(v) for k, v in features.items()}
    progress.begin("probes")
    m1, probes = run_m1(sites, sample, settings) if reads else (M1(probes=(), cannot_tell=reason), {})
    if reason is None:
        m4, m5, m6 = _interventions(pooled, head, sample, scenes, settings, probes, record.environments, progress)
        reliance = measure_reliance(scenes["test"], settings)
        where = summarize(m1, m4, m6, reliance, record, settings, nouns)
    else:
        m4, m5, m6 = _nothing(reason)
        reliance, where = None, unknown(None, reason)
    return Dissection(
        schema=SCHEMA,
        accuracy=accuracy,
        inputs=inputs,
        model_hash=origin.model_hash if origin else None,
        data_hash=origin.data_hash if origin else None,
        selection=selection,
        sites={k: i.to_dict() for k, i in origin.info.items()}
        if origin
        else {k: {"d": v.shape[1]} for k, v in features.items()},
        settings=settings,
        parts=record,
        balanced=sample.weights["fit"] is not None,
        scenes=tuple(describe(scene) for scene in scenes.values()),
        reliance=reliance,
        m1=m1,
        m4=m4,
        m5=m5,
        m6=m6,
        where=where,
        warnings=_warnings(record, sample, settings, selection),
    )


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
    pooled, head, classes, sample: Sample, unseen: Mapping[str, Unseen], settings: Settings
) -> dict[str, Scene]:
    rows = sample.parts.test
    group = sample.group("test")
    common = {"resamples": settings.resamples, "seed": settings.seed}
    scenes = {"test": make_scene("test", pooled[rows], head, classes[rows], sample.environments[rows], group, **common)}
    for name, u in unseen.items():
        if name in ("fit", "select", "test"):
            raise ValueError(f"unseen: {name!r} is the name of a part; use another, for example 'ood_val'")
        h = np.asarray(u.images)
        _check_features({POOLED: h}, len(h), head)
        y = _classes(u.labels, len(h), head)
        e = (
            np.zeros(len(h), np.int64)
            if u.environments is None
            else coded(u.environments, f"{name}.environments", len(h)).codes
        )
        g = None if u.groups is None else coded(u.groups, f"{name}.groups", len(h)).codes
        scenes[name] = make_scene(name, h, head, np.asarray(y.values, np.int64)[y.codes], e, g, **common)
    return scenes


def _interventions(
    pooled, head, sample: Sample, scenes, settings: Settings, probes, names, progress: Progress
) -> tuple[M4, M5, M6]:
    reason = usable(pooled[sample.parts.fit])
    if reason:
        return _nothing(reason)
    bench = make_bench(pooled, head, sample, scenes, settings)
    own = {target: probes[POOLED, target] for target in ("environment", "task")}
    progress.begin("erasure")
    m4 = run_m4(bench, own["environment"])
    progress.begin("steering")
    m5 = run_m5(bench, names)
    progress.begin("neurons")
    return m4, m5, run_m6(bench, own)


def _warnings(record: PartsRecord, sample: Sample, settings: Settings, selection: str) -> tuple[str, ...]:
    found = []
    if selection.startswith("oracle"):
        found.append(f"the checkpoint was chosen by an {rule_label(selection)}: its numbers are not held out")
    if record.groups is None:
        found.append(
            "no groups were given: images of one patient may lie in several parts, and intervals are too narrow"
        )
    if settings.balance == "class" and sample.weights["fit"] is None:
        found.append("some environment lacks a class: environment and class could not be made independent")
    if record.association > 0.3:
        found.append(f"environment and class are associated (Cramér's V {record.association:.2f})")
    if settings.draws < 99:
        found.append(
            f"only {settings.draws} random draws: no p against them below {2 / (1 + settings.draws):.2g} is possible"
        )
    return tuple(found)
