"""The numbers behind the figures of a dissection, one row per value with its control."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from grokscope.figures.checkpoint_view import POOLED, hardest
from grokscope.figures.dissection_panels import TARGETS
from grokscope.figures.layer_map import layer_map
from grokscope.report.read.dissections import Dissected
from grokscope.results.erasures import Erasure
from grokscope.results.neurons import Ablations
from grokscope.results.scores import Effect, Interval, Score

Rows = list[dict[str, Any]]
Seen = Sequence[Dissected]


def data_of(rows: "Callable[[Dissected], Rows]", runs: Seen) -> Rows:
    """What a figure draws of these runs, and of which run each row is."""
    return [{**_who(d), **row} for d in runs for row in rows(d)]


def along_data(along: Mapping[str, Seen]) -> Rows:
    """What pooled probes read at each checkpoint, and the environment gap that erasing takes, beside its control."""
    rows: Rows = []
    for d in chain.from_iterable(along.values()):
        for target, _, _ in TARGETS:
            if (score := d.score(POOLED, target)) is not None:
                rows.append({**_who(d), "what": f"probe, {target}", **_score(score)})
        if d.gap_effect is not None:
            rows.append({**_who(d), "what": "environment gap lost", **_effect(d.gap_effect)})
    return rows


def layer_data(along: Mapping[str, Seen]) -> Rows:
    """The cells of both maps: layer, checkpoint, and the median over runs of what a probe reads there."""
    rows: Rows = []
    for target, _, _ in TARGETS:
        shown = layer_map(along, target)
        for site, values in zip(shown.sites, shown.values, strict=True):
            cells = zip(shown.steps, values, strict=True)
            front = {"target": target, "layer": site, "chance": shown.chance}
            rows += [{**front, "step": step, "balanced_accuracy": value.item()} for step, value in cells]
    return rows


def _who(d: Dissected) -> dict[str, Any]:
    return {"run": d.reading.subject.name, "seed": d.reading.subject.seed, "step": d.step}


def probe_data(d: Dissected) -> Rows:
    rows: Rows = []
    for probe in d.m1.probes if d.m1 else ():
        score = {} if probe.test is None else _score(probe.test)
        controls = {f"random_labels_{c.labels.replace(' ', '_')}": c.random for c in probe.controls}
        rows.append({"layer": probe.site, "target": probe.target, **score, **controls, "verdict": probe.verdict})
    return rows


def erasure_data(d: Dissected) -> Rows:
    rows: Rows = []
    for erasure in d.erasures.values():
        front = {"eraser": erasure.eraser}
        rows += [{**front, "what": what, **_score(score)} for what, score in _read_after(erasure)]
        for what, effect in _erased(erasure, d.outside):
            rows += [{**front, "what": what, **row} for row in _effect_by_control(effect)]
    return rows


def _read_after(erasure: Erasure) -> list[tuple[str, Score]]:
    return [
        ("environment read before", erasure.before), ("environment read by a refitted probe", erasure.refitted),
        ("task read before", erasure.task_before), ("task read by a refitted probe", erasure.task_refitted),
    ]  # fmt: skip


def _erased(erasure: Erasure, outside: str) -> list[tuple[str, Effect]]:
    chosen: list[tuple[str, Effect]] = []
    if "test" in erasure.effects:
        chosen.append(("environment gap lost", erasure.effects["test"].env_gap_drop))
    if outside in erasure.effects:
        chosen.append((f"right answers lost on {outside}", erasure.effects[outside].accuracy_drop))
    return chosen


def steering_data(d: Dissected) -> Rows:
    rows: Rows = []
    for curve in d.m5.curves if d.m5 else ():
        low, high = curve.random_accuracy_low, curve.random_accuracy_high
        points = zip(curve.steps, curve.accuracy, curve.margin, low, high, strict=True)
        rows += [
            {"on": curve.on, "scaling": curve.scaling, "strength": at, "accuracy": value, "margin": margin,
             "random_low": bottom, "random_high": top}
            for at, value, margin, bottom, top in points
        ]  # fmt: skip
    return rows


def neuron_data(d: Dissected) -> Rows:
    rows: Rows = []
    for scene, what in (("test", "env_gap_drop"), (d.outside, "accuracy_drop")):
        ablation = d.ablation(scene)
        if ablation is not None and d.m6 is not None:
            rows += [{"on": scene, "effect": what, **row} for row in _over_k(ablation, what, d.m6.ks)]
    return rows


def _over_k(ablation: Ablations, what: str, ks: Sequence[int]) -> Rows:
    arms = ablation.arms
    columns: dict[str, Sequence[float]] = {
        "environment": _curve(arms.environment.curves, what), "task": _curve(arms.task.curves, what),
        "random": _curve(arms.random.curves, what),
    }  # fmt: skip
    if arms.random.low is not None and arms.random.high is not None:
        columns["random_low"], columns["random_high"] = _curve(arms.random.low, what), _curve(arms.random.high, what)
    return [{"neurons": k, **{name: values[i] for name, values in columns.items()}} for i, k in enumerate(ks)]


def _curve(curves: Any, what: str) -> Sequence[float]:
    return curves.env_gap_drop if what == "env_gap_drop" else curves.accuracy_drop


def _score(score: Score) -> dict[str, Any]:
    return {"value": score.balanced, **_ends(score.interval), "chance": score.chance, "p": score.p}


def _effect(effect: Effect) -> dict[str, Any]:
    """The effect beside the control that it beats least."""
    null = hardest(effect)
    against = {} if null is None else {
        "control": null.control, "control_low": null.low, "control_high": null.high, "p": null.p
    }  # fmt: skip
    return {"value": effect.value, **_ends(effect.interval), **against}


def _effect_by_control(effect: Effect) -> Rows:
    front = {"value": effect.value, **_ends(effect.interval)}
    return [
        {**front, "control": null.control, "control_low": null.low, "control_high": null.high, "p": null.p}
        for null in effect.controls.values()
    ] or [front]


def _ends(interval: Interval | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {"low": low, "high": high}
