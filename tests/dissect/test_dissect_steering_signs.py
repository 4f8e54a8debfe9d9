"""Which sign of steering helps, how many examples it moves backwards, and at how many neurons the gap halves: on
features whose right answers are known."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from test_dissect_battery import QUICK, run
from torch import nn

from grokscope.dissect.battery import Unseen, prepare_sample
from grokscope.dissect.direction import dominant_direction
from grokscope.dissect.effects import make_scene
from grokscope.dissect.erasure import make_bench
from grokscope.dissect.head import make_head
from grokscope.dissect.neurons import half_point, run_m6
from grokscope.dissect.planted import Planting, plant
from grokscope.dissect.probes import Probe
from grokscope.dissect.through import steer_site
from grokscope.results.settings import Settings

SHORTCUT = Planting(n=480, d=24, neurons=4, separation=4.0, group_sd=0.2, groups_per_environment=12)


def moved(p, by: float) -> Unseen:
    """A hospital that lies `by` along the shortcut, beyond all that were seen."""
    far = plant(replace(SHORTCUT, n=960), 0)  # the same directions, other examples
    here = far.environments == 1  # the one in the middle
    features = far.features[here]
    return Unseen((features + by * p.direction).astype(np.float32), far.labels[here], None, far.groups[here])


@pytest.mark.parametrize("side", [-1, 1])
def test_steering_away_from_where_an_unseen_hospital_lies_is_what_helps_it(side):
    p = plant(SHORTCUT, 0)
    _, found = run(SHORTCUT, unseen={"ood_test": moved(p, side * 4.0)})
    sample = prepare_sample(p.labels, p.environments, p.groups, len(p.labels), p.head, QUICK)[0]
    fit = p.features[sample.parts.fit]
    v = dominant_direction(fit, sample.target("environment", "fit"), sample.weights["fit"]).v
    towards_it = np.sign(v @ p.direction) == side
    signs = found.m5.curve("ood_test").signs
    good, bad = ("against", "towards") if towards_it else ("towards", "against")
    assert signs.helps == good
    assert getattr(signs, good) > 0.05
    assert getattr(signs, bad) < 0
    assert signs.mended > signs.broken


def test_signs_are_what_the_head_says_of_edited_features():
    p = plant(SHORTCUT, 0)
    away = moved(p, 3.0)
    _, found = run(SHORTCUT, unseen={"ood_test": away})
    sample = prepare_sample(p.labels, p.environments, p.groups, len(p.labels), p.head, QUICK)[0]
    fit = p.features[sample.parts.fit]
    v = dominant_direction(fit, sample.target("environment", "fit"), sample.weights["fit"]).v
    h, y = np.asarray(away.images, np.float64), away.labels
    curve = found.m5.curve("ood_test")
    right = lambda by: p.head.logits(h + by * curve.unit * v).argmax(axis=1) == y  # noqa: E731
    assert curve.signs.towards == pytest.approx(right(1).mean() - right(0).mean())
    assert curve.signs.against == pytest.approx(right(-1).mean() - right(0).mean())
    better = max((-1, 1), key=lambda by: right(by).mean())
    assert curve.signs.mended == pytest.approx((right(better) & ~right(0)).mean())
    assert curve.signs.broken == pytest.approx((~right(better) & right(0)).mean())
    low, high = curve.signs.against_interval
    assert low <= curve.signs.against <= high


def test_neither_sign_helps_where_the_decision_lies_right_or_reads_nothing():
    for what in (SHORTCUT, replace(SHORTCUT, used=False)):
        _, found = run(what)
        signs = found.m5.curve("test").signs
        assert signs.helps == "neither"
        assert signs.towards <= 0.01
        assert signs.against <= 0.01


def test_with_two_classes_and_a_linear_head_the_smaller_class_is_what_moves_backwards():
    p = plant(SHORTCUT, 0)
    away = moved(p, 0.0)
    keep = (away.labels == 1) | (np.arange(len(away.labels)) % 4 == 0)  # about a fifth is of class 0
    few = Unseen(away.images[keep], away.labels[keep], None, away.groups[keep])
    _, found = run(SHORTCUT, unseen={"ood_test": few})
    signs = found.m5.curve("ood_test").signs
    assert signs.reversed == pytest.approx((few.labels == 0).mean())
    slope = abs(found.m5.slope[1] - found.m5.slope[0])
    assert np.abs(signs.shift) == pytest.approx([slope] * 5)


class Folded(nn.Module):
    """Decides by |h|: a step along h moves the examples on the other side backwards."""

    def __init__(self):
        super().__init__()
        self.body, self.fc = nn.Identity(), nn.Linear(3, 2)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[-1.0, 0, 0], [1.0, 0, 0]]))

    def forward(self, x):
        return self.fc(self.body(x).abs())


def test_share_moved_backwards_inside_a_network_is_the_planted_one():
    rng = np.random.default_rng(0)
    n, quarter = 800, 0.25
    e, y, g = np.arange(n) % 2, np.arange(n) // 2 % 2, np.arange(n) % 40
    side = np.where(rng.random(n) < quarter, -1.0, 1.0)
    h = np.stack([20 * side + (e - 0.5) * 4, rng.standard_normal(n), rng.standard_normal(n)], axis=1)
    h = h.astype(np.float32)
    settings = Settings(draws=19, permutations=19, resamples=19, steps=(-1.0, 0.0, 1.0))
    model = Folded()
    sample = prepare_sample(y, e, g, n, make_head(np.eye(2, 3)), settings)[0]
    # the environments differ along the first channel alone, whichever side an example lies on
    clean = h.copy()
    clean[:, 0] = (e - 0.5) * 4
    found = steer_site(model, h, clean, "body", sample, settings, classes=y, draws=3)
    rows = settings.rng("steer", "body", "rows").permutation(sample.parts.test)[:200]
    assert found.reversed == pytest.approx((side[rows] < 0).mean())
    assert 0.15 < found.reversed < 0.35
    plain = nn.Sequential()
    plain.add_module("body", nn.Identity())
    plain.add_module("fc", model.fc)
    assert steer_site(plain, h, clean, "body", sample, settings, classes=y, draws=3).reversed == 0


HALF = Planting(n=1440, d=24, neurons=8, separation=4.0, groups_per_environment=0)
ALL_KS = Settings(draws=19, permutations=19, resamples=199, probe_controls=1, halves=2, ks=tuple(range(13)))


def ablated_neurons(what: Planting, seed: int):
    """(the planted truth, M6 alone, which by its default ranking needs no probe)."""
    p = plant(what, seed)
    sample, _, classes = prepare_sample(p.labels, p.environments, p.groups, len(p.labels), p.head, ALL_KS)
    rows, group = sample.parts.test, sample.group("test")
    scene = make_scene("test", p.features[rows], p.head, classes[rows], sample.environments[rows], group, 199, 0)
    bench = make_bench(p.features, p.head, sample, {"test": scene}, ALL_KS)
    return p, run_m6(bench, dict.fromkeys(("environment", "task"), cast(Probe, None)))


def true_half(p, order: tuple[int, ...]) -> float:
    """A neuron carries what lies in it times the weight that the head gives it, the task's share included."""
    each = (p.head.weight[1] - p.head.weight[0]) * p.direction
    carried = np.concatenate([[0.0], np.cumsum(each[list(order)])])
    half = half_point(ALL_KS.ks, carried, float(each.sum()))
    assert half is not None
    return half


def test_the_interval_of_the_half_point_holds_the_planted_one():
    held, points = 0, []
    for seed in range(12):
        p, found = ablated_neurons(HALF, seed)
        done = found.on("test", "mean")
        low, high = done.half_k_interval
        truth = true_half(p, found.top["environment"])
        held += low <= truth <= (np.inf if high is None else high)
        points.append(done.half_k - truth)
    assert held >= 10
    assert abs(np.mean(points)) < 0.4


def test_a_gap_that_is_no_more_than_noise_has_no_half():
    silent = 0
    for seed in range(6):
        _, found = ablated_neurons(replace(HALF, used=False), seed)
        silent += all(done.half_k is None and done.half_k_interval is None for done in found.ablations)
    assert silent >= 5
