"""Dissections as records, made by hand: numbers that a test can look for on a page, without training anything."""

from dataclasses import replace
from typing import Any

from grokscope.results import Dissection, Settings
from grokscope.results.answer import CELLS, Reliance, Where
from grokscope.results.erasures import M4, Erasure
from grokscope.results.neurons import M6, Ablations, Arm, Arms
from grokscope.results.probes import M1, Control, ProbeResult
from grokscope.results.sample import PartsRecord, SiteWidth
from grokscope.results.scores import ByEffect, ByTarget, Effect, Null, SceneRecord, Score, SplitAccuracy
from grokscope.results.steering import M5, Curve, Reliability, Signs, SlopeControls

KS = (0, 4)


def null(control="dimension", value=0.0, p=0.02, draws=99):
    return Null(
        control=control, draws=draws, mean=value, sd=0.5, low=value - 1, high=value + 1, p=p, sidedness="greater",
        smallest_p=1 / (1 + draws),
    )  # fmt: skip


def score(balanced=0.777, chance=0.3333):
    return Score(
        accuracy=0.8, correct=80, n=100, balanced=balanced, interval=(balanced - 0.1, balanced + 0.1), chance=chance,
        p=0.001, sidedness="greater", smallest_p=0.001, constant=False, fewest_units=6, permuted="groups", n_units=20,
    )  # fmt: skip


def probe(site="pooled", target="environment", test: Score | None = None):
    control = Control(labels="per example", draws=2, real=0.777, random=0.3, fit_accuracy=0.4, selectivity=0.477)
    return ProbeResult(
        site=site, target=target, verdict="decodable", reason="p = 0.001", n_fit=200, d=8, n_over_d=25.0,
        regularization=0.1, converged=True, fit_accuracy=0.9, majority=0.4, test=test, controls=(control,),
    )  # fmt: skip


def effect(name="env_gap_drop", on="test", value=4.321):
    return Effect(
        name=name, on=on, value=value, interval=(value - 0.3, value + 0.7), level=0.95, unit="group", n=100,
        n_units=20, controls={"dimension": null(), "variance": null("variance", p=0.41)},
    )  # fmt: skip


def each_effect(value):
    return ByEffect(accuracy_drop=value, flips=value, margin_shift=value, env_gap_drop=value)


def erasure(eraser="leace", scenes=("test",)):
    return Erasure(
        eraser=eraser, rank=2, n_fit=200, units_fit=40, d=8, guarantee="exact", verdict="erased", reason="p = 0.6",
        before=score(), old_probe=score(0.33), refitted=score(0.345), refitted_on_fit=score(0.35), task_before=score(),
        task_refitted=score(0.76), removed_variance=0.1, matched_variance=1.0, outside_range=0.02,
        outside_range_before=0.01, effects={on: each_effect(effect(on=on)) for on in scenes}, causal=True,
        energy_distance=0.3, energy_distance_natural=0.2,
    )  # fmt: skip


def curve(on="test", scaling="relative", accuracy=(0.5, 0.6, 0.7)):
    signs = Signs(
        helps="towards", towards=0.1, towards_interval=(0.05, 0.15), against=-0.1, against_interval=(-0.2, -0.05),
        mended=0.1, broken=0.02, shift=(-1.0, 0.0, 0.5, 1.0, 2.0), reversed=0.2,
    )  # fmt: skip
    return Curve(
        on=on, scaling=scaling, unit=1.5, steps=(-1.0, 0.0, 1.0), accuracy=accuracy, margin=(0.1, 0.2, 0.3),
        outside_range=(0.1, 0.0, 0.1), random_accuracy_low=(0.5, 0.6, 0.5), random_accuracy_high=(0.7, 0.6, 0.7),
        monotone=True, monotone_random=0.47, trend=1.0, trend_random=null("norm"), best_gain=0.1, signs=signs,
        effects=each_effect(null("norm")), effect_values=each_effect(0.2),
    )  # fmt: skip


def ablations(on="test", ablation="mean", ks=KS):
    over_k = each_effect(tuple(k / 40 for k in ks))
    low, high = each_effect(tuple(-0.01 for _ in ks)), each_effect(tuple(0.05 for _ in ks))
    arms = {name: Arm(neurons=name, curves=over_k, low=low, high=high) for name in Arms.names()}
    keys = [f"{e} / {arm}" for e in ByEffect.names() for arm in ("random", "random_variance")]
    nulls = {key: null(key.rpartition(" ")[2]) for key in keys}
    return Ablations(
        on=on, ablation=ablation, arms=Arms(**arms), summary=ByTarget(environment=nulls, task=nulls),
        summary_values=ByTarget(environment=dict.fromkeys(keys, 0.61), task=dict.fromkeys(keys, 0.1)),
        outside_range=tuple(0.0 for _ in ks), half_k=2.5, half_k_interval=(2.0, None), summary_interval=(0.5, 0.7),
    )  # fmt: skip


def where(cell="readable and used", reason="too few patients"):
    assert cell in CELLS
    return Where(
        cell=cell, decodable=True, use="used", size=0.6, size_interval=(0.5, 0.7), eraser="leace", erased="erased",
        form="few neurons", half_k=2.5, half_share=0.05, reason=reason,
    )  # fmt: skip


def dissection(cell="readable and used", selection="final", **changes: Any) -> Dissection:
    """A network whose environment can be read with 0.777 and is erased to 0.345; `changes` replace whole fields."""
    scene = SceneRecord(
        name="test", n=100, n_units=20, unit="group", environments=3, correct=80, accuracy=0.8, env_gap=2.0
    )
    accuracy = SplitAccuracy(
        name="id_val", n=400, n_units=80, unit="group", correct=320, accuracy=0.8, interval=(0.75, 0.85), trivial=0.5,
        balanced=0.79, balanced_interval=(0.74, 0.84), chance=0.5, verdict="above chance",
    )  # fmt: skip
    parts = PartsRecord(
        seed=0, shares=(0.5, 0.25, 0.25), sizes={"fit": 200, "select": 100, "test": 100},
        groups={"fit": 40, "select": 20, "test": 20}, environments=("a", "b", "c"), classes=(0, 1),
        cells={name: [[1, 1], [1, 1], [1, 1]] for name in ("fit", "select", "test")}, association=0.05,
    )  # fmt: skip
    reliance = Reliance(
        env_gap=2.0, interval=(1.5, 2.5), class_gap=3.0, p=0.001, sidedness="greater", smallest_p=0.001,
        permuted="groups", fewest_units=6,
    )  # fmt: skip
    m5 = M5(
        towards="a", share=0.8, sigma=1.5, sigma_on="fit", slope=(-0.6, 0.6), slope_size=1.25,
        reliability=Reliability(halves=20, mean=0.55, low=0.4, high=0.7, cosine_with_truth=0.84, split_by="groups"),
        slope_controls=SlopeControls(norm=null("norm"), variance=null("variance"), labels=null("labels")),
        linearity_error=1e-12, curves=(curve(),), causal=True,
    )  # fmt: skip
    m6 = M6(
        ranking="standardized_gap", ks=KS, d=8, top=ByTarget(environment=(1, 2, 3, 4), task=(5, 6, 7, 0)),
        overlap=(0.0,), holds_true=(0.0, 0.5), ablations=(ablations(),), causal=True,
    )  # fmt: skip
    whole = Dissection(
        schema=Dissection.SCHEMA, accuracy=(accuracy,), inputs=None, model_hash="m", data_hash="d",
        selection=selection, sites={"pooled": SiteWidth(d=8)}, settings=Settings(), parts=parts, balanced=True,
        scenes=(scene,), reliance=reliance, where=where(cell), warnings=(),
        m1=M1(probes=(probe(test=score()), probe(target="task", test=score()))),
        m4=M4(erasures=(erasure(),), angles={"leace / task": (80.0,)}, left_out={}), m5=m5, m6=m6,
    )  # fmt: skip
    return replace(whole, **changes)


def at_chance(reason: str, probes: bool) -> Dissection:
    """A network that does not know its task, with and without probes."""
    nothing = replace(where("cannot tell", reason), decodable=None, use="cannot tell", size=None, size_interval=None,
                      eraser="none", form="cannot tell", half_k=None, half_share=None)  # fmt: skip
    silent = dissection(
        where=nothing, reliance=None, m4=M4(erasures=(), angles={}, cannot_tell=reason), m5=M5(cannot_tell=reason),
        m6=M6(cannot_tell=reason),
    )  # fmt: skip
    return silent if probes else replace(silent, m1=M1(probes=(), cannot_tell=reason))
