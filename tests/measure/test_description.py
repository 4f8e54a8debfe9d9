"""Description length and the PAC-Bayes bound, against closed forms."""

import math

import pytest
import torch

from grokscope.measure.description import SCALE_BITS, description_length, quantized, tensor_bits
from grokscope.measure.linear_theory import gaussian_kl, mcallester_bound
from grokscope.measure.pac_bayes import SPREADS, sampled_bound


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_constant_matrix_takes_its_step_and_one_count():
    w = {"w": torch.full((100, 50), 0.7)}
    d = description_length(w, lambda q: float((q["w"] - 0.7).abs().max()), 1e-6)
    assert d.bits == pytest.approx(SCALE_BITS + math.log2(5001))
    assert d.width == 2
    assert description_length({"w": torch.zeros(8)}, lambda q: float(q["w"].norm()), 0.0).bits < 40


def test_signs_take_a_bit_each():
    signs = torch.where(drawn(4000) > 0, 1.0, -1.0)
    levels, step = quantized(signs, 8)
    assert tensor_bits(levels, 8) == pytest.approx(4000, rel=0.02)
    assert torch.equal(levels * step, signs)


def test_random_weights_take_the_bits_of_their_grid():
    w = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for width in (3, 6):
        assert tensor_bits(quantized(w, width)[0], width) == pytest.approx(100_000 * width, rel=0.1)


def test_the_coarsest_grid_that_keeps_the_loss_is_found():
    w = {"w": drawn(500)}
    errors = {b: float(((lambda q: q[0] * q[1])(quantized(w["w"], b)) - w["w"]).norm()) for b in range(2, 17)}
    loss_of = lambda q: float((q["w"] - w["w"]).norm())  # noqa: E731
    for allowed in (errors[2], errors[5], errors[11]):
        wanted = min(b for b in errors if errors[b] <= allowed)
        assert description_length(w, loss_of, allowed).width == wanted


def test_without_a_grid_that_keeps_the_loss_there_is_no_description():
    d = description_length({"w": drawn(50)}, lambda q: 1.0, 0.5)
    assert math.isnan(d.bits)
    assert math.isnan(d.width)


def test_structure_is_shorter_than_noise():
    keep = lambda w: lambda q: float((q["w"] - w["w"]).abs().max())  # noqa: E731
    noise = {"w": drawn(2000)}
    few = {"w": torch.round(noise["w"])}
    bits = [description_length(w, keep(w), 0.05).bits for w in (few, noise)]
    assert bits[0] < 0.6 * bits[1]


def bound_of(shift, risk, n=500, draws=2):
    start = {"a": drawn(30), "b": drawn(4, 5, seed=1)}
    weights = {name: w + shift for name, w in start.items()}
    return weights, start, sampled_bound(weights, start, lambda w: risk, n, draws=draws, delta=0.05, seed=0)


def test_its_divergence_is_the_closed_form():
    weights, start, b = bound_of(0.3, 0.1)
    flat = [torch.cat([w.flatten() for w in t.values()]).double().numpy() for t in (weights, start)]
    assert b.kl == pytest.approx(gaussian_kl(*flat, b.spread, b.spread), rel=1e-6)
    assert b.bound == pytest.approx(mcallester_bound(0.1, b.kl, 500, 0.05 / len(SPREADS)))


def test_weights_that_never_moved_pay_for_nothing_but_delta():
    _, _, b = bound_of(0.0, 0.0)
    assert b.kl == 0
    assert b.bound == pytest.approx(mcallester_bound(0.0, 0.0, 500, 0.05 / len(SPREADS)))


def test_weights_far_away_make_it_vacuous():
    assert bound_of(100.0, 0.0)[2].bound > 1


def test_a_narrower_spread_is_taken_where_it_pays():
    start = {"w": torch.ones(50)}
    close = {"w": torch.ones(50) + 1e-4}
    risk = lambda w: min(1.0, float((w["w"] - 1).abs().mean()))  # noqa: E731
    b = sampled_bound(close, start, risk, 500, draws=8, delta=0.05, seed=0)
    assert b.spread < 0.1
    assert b == sampled_bound(close, start, risk, 500, draws=8, delta=0.05, seed=0), "the same draws at each call"


def test_the_bound_holds_for_the_risk_of_a_drawn_network():
    """A linear rule on noise-free data: the risk on fresh data stays below the bound."""
    x, truth = drawn(300, 5), torch.tensor([1.0, -1, 0, 0, 0])
    y = (x @ truth > 0).float()
    wrong_on = lambda a, b: lambda w: float(((a @ w["w"] > 0).float() != b).float().mean())  # noqa: E731
    b = sampled_bound({"w": truth}, {"w": 0.1 * drawn(5, seed=2)}, wrong_on(x, y), 300, draws=20, delta=0.05, seed=0)
    fresh = drawn(20_000, 5, seed=3)
    noise = drawn(200, 5, seed=4)
    risks = [wrong_on(fresh, (fresh @ truth > 0).float())({"w": truth + b.spread * e}) for e in noise]
    assert sum(risks) / len(risks) < b.bound
