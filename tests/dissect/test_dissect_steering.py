import numpy as np
import pytest
import torch
from networks import stained, tiny_resnet

from grokscope.dissect.direction import dominant_direction, reliability
from grokscope.dissect.effects import margins
from grokscope.dissect.features import collect
from grokscope.dissect.head import head_of, make_head
from grokscope.dissect.intervention import Steer
from grokscope.dissect.steering import monotone, steered, trend
from grokscope.dissect.through import logits_with

RNG = np.random.default_rng


def two_hospitals(n=300, d=512, separation=3.0, seed=0):
    rng = RNG(seed)
    z = np.arange(n) % 2
    truth = np.zeros(d)
    truth[0] = 1
    return rng.standard_normal((n, d)) + np.outer((z - 0.5) * separation, truth), z, truth


def test_analytic_curve_is_the_measured_one():
    model, images = tiny_resnet(), stained(30)[0]
    found = collect(model, images, ["pooled"])
    head = head_of(model, found.sites["pooled"], found.logits)
    rng = RNG(0)
    v = rng.standard_normal((3, 16))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    steps = np.array([-2.0, 0.0, 0.7])
    analytic = steered(head.logits(found.sites["pooled"]), head, v, steps)
    for i, u in enumerate(v):
        for j, step in enumerate(steps):
            edit = Steer(site="pooled", direction=tuple(u.tolist()), step=1.0, strength=float(step))
            np.testing.assert_allclose(analytic[i, j], logits_with(model, images, edit), atol=2e-5)


def test_every_margin_moves_by_the_same_amount_linearly():
    model, images = tiny_resnet(), stained(30)[0]
    found = collect(model, images, ["pooled"])
    head = head_of(model, found.sites["pooled"], found.logits)
    v = RNG(1).standard_normal(16)
    labels = np.ones(30, dtype=int)
    base, one, three = (
        margins(steered(head.logits(found.sites["pooled"]), head, v[None], np.array([s]))[0, 0], labels)
        for s in (0, 1, 3)
    )
    np.testing.assert_allclose(one - base, (head.weight[1] - head.weight[0]) @ v)
    np.testing.assert_allclose(three - base, 3 * (one - base))


def test_direction_is_the_first_principal_one_with_a_sign_from_the_environments():
    h, z, truth = two_hospitals(n=20_000, d=8)
    z3 = np.where(RNG(0).random(20_000) < 0.5, z, 2 * z)  # the environment far out is rarer
    for codes in (z, np.unique(z3, return_inverse=True)[1]):
        found = dominant_direction(h, codes)
        assert abs(found.v @ truth) > 0.99
        along = [h[codes == c].mean(0) @ found.v for c in np.unique(codes)]
        center = h.mean(0) @ found.v
        assert along[found.towards] - center == pytest.approx(max(abs(a - center) for a in along))
    assert dominant_direction(h, z).share == pytest.approx(1)
    # reversing features reverses the direction: the sign is a property of the data, not of the decomposition
    np.testing.assert_allclose(dominant_direction(-h, z).v, -dominant_direction(h, z).v, atol=1e-12)


def test_a_perfect_shortcut_of_three_sd_is_recovered_only_partly_from_300_images():
    cosines = [dominant_direction(*two_hospitals(seed=s)[:2]).v[0] for s in range(10)]
    # signal 3^2 against noise 512 (1/150 + 1/150)
    assert np.mean(np.abs(cosines)) == pytest.approx(np.sqrt(9 / (9 + 512 * 2 / 150)), abs=0.02)
    assert 0.72 < np.mean(np.abs(cosines)) < 0.78


@pytest.mark.parametrize("separation", [0.0, 1.5, 3.0])
def test_split_half_reliability_predicts_the_cosine_with_the_truth(separation):
    predicted, true = [], []
    for s in range(6):
        h, z, truth = two_hospitals(separation=separation, seed=s, d=128)
        found = reliability(h, z, np.arange(300) // 2 % 2, None, RNG(s), 10)
        predicted.append(found.cosine_with_truth)
        true.append(abs(dominant_direction(h, z).v @ truth))
    if separation:
        assert np.mean(predicted) == pytest.approx(np.mean(true), abs=0.04)
    else:
        assert np.mean(predicted) < 0.35


def test_reliability_halves_whole_patients():
    h, z, _ = two_hospitals(n=240, d=32, separation=0.0)
    rng = RNG(0)
    patient = np.arange(240) % 8
    h = h + 4 * rng.standard_normal((8, 32))[patient]  # patients differ, hospitals do not
    y = np.arange(240) // 8 % 2
    by_patient = reliability(h, z, y, patient, RNG(1), 20)
    by_image = reliability(h, z, y, None, RNG(1), 20)
    assert by_patient.split_by == "groups"
    assert by_image.mean > 0.9  # images of the same patients on both sides
    assert by_patient.mean < 0.5
    assert reliability(h, z, y, patient % 2, RNG(1), 5) is None


def test_monotone_and_trend():
    curves = np.array([[1.0, 2, 2, 3], [3, 2, 2, 1], [1, 1, 1, 1], [1, 3, 2, 4]])
    assert monotone(curves).tolist() == [True, True, False, False]
    from scipy.stats import spearmanr

    steps = np.array([-1.0, 0, 1, 2])
    found = trend(curves, steps)
    assert found[3] == pytest.approx(spearmanr(steps, curves[3]).statistic)
    assert found[0] == pytest.approx(spearmanr(steps, curves[0]).statistic)
    assert found[2] == 0


def test_random_directions_are_monotone_wherever_the_head_is_biased():
    """So a monotone response is no evidence for a direction between hospitals."""
    rng = RNG(0)
    y = np.arange(1000) % 2
    signal = (2 * y - 1) * 1.5 + rng.standard_normal(1000)
    head = make_head(rng.standard_normal((1, 512)) * 6 / np.sqrt(512))
    u = rng.standard_normal((200, 512))
    u /= np.linalg.norm(u, axis=1, keepdims=True)

    def share(bias: float) -> float:
        margin = signal + bias
        z = steered(np.stack([-margin / 2, margin / 2], axis=1), head, u, np.linspace(-3, 3, 7))
        return float(monotone((z.argmax(-1) == y).mean(-1)).mean())

    assert share(0.0) < 0.15
    assert 0.25 < share(0.5) < 0.65
    assert share(2.0) > 0.9


def test_no_direction_without_a_difference():
    with pytest.raises(ValueError, match="no direction"):
        dominant_direction(np.tile([[1.0, 2.0], [3.0, 4.0]], (4, 1)), np.repeat([0, 1], 4)[[0, 1, 4, 5, 2, 3, 6, 7]])


def test_steering_needs_no_gradients_left_behind():
    model, images = tiny_resnet(), stained(8)[0]
    logits_with(model, images, Steer(site="layer1", direction=tuple(np.eye(8)[0].tolist()), step=1.0))
    assert all(p.grad is None for p in model.parameters())
    assert torch.is_grad_enabled()
