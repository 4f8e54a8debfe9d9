"""Gradient filters against literal reference loops."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from grokscope.train.filters import GrokfastEMA, GrokfastMA, NoFilter, OrthogonalGradient

SHAPES = [(3, 4), (4,), (2, 2, 2)]


def parameters(dtype=torch.float32):
    generator = torch.Generator().manual_seed(7)
    return [nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in SHAPES]


def gradients(steps, dtype=torch.float32, seed=0):
    """(steps, parameters) tensors with a drift, so that averages matter."""
    generator = torch.Generator().manual_seed(seed)
    return [[0.3 + torch.randn(s, generator=generator, dtype=dtype) for s in SHAPES] for _ in range(steps)]


def filtered(make, steps, dtype=torch.float32):
    """What the filter makes of each step's gradients; the same tensors are reused as .grad, as an optimizer may."""
    params, rule = parameters(dtype), make
    for p in params:
        p.grad = torch.zeros_like(p)
    out = []
    for grads in steps:
        for p, g in zip(params, grads, strict=True):
            p.grad.copy_(g)
        rule(params)
        out.append([p.grad.clone() for p in params])
    return out


def with_window(cls, steps):
    return cls(window=steps) if cls is GrokfastMA else cls()


def test_no_filter_changes_nothing():
    steps = gradients(3)
    for got, given in zip(filtered(NoFilter().build(), steps), steps, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(got, given, strict=True))


def test_grokfast_ema_is_the_published_loop():
    alpha, lam = 0.9, 2.0
    steps = gradients(30, torch.float64)
    got = filtered(GrokfastEMA(alpha=alpha, lambda_=lam).build(), steps, torch.float64)
    average = None
    for t, grads in enumerate(steps):
        numbers = [g.numpy() for g in grads]
        average = (
            [g.copy() for g in numbers]
            if average is None
            else [alpha * m + (1 - alpha) * g for m, g in zip(average, numbers, strict=True)]
        )
        for i, g in enumerate(numbers):
            np.testing.assert_allclose(got[t][i].numpy(), g + lam * average[i], rtol=1e-12)
    np.testing.assert_allclose(got[0][0].numpy(), (1 + lam) * steps[0][0].numpy(), rtol=1e-12)  # starts at the first


def test_grokfast_ema_at_strength_zero_is_the_identity():
    steps = gradients(5)
    got = filtered(GrokfastEMA(lambda_=0.0).build(), steps)
    assert all(torch.equal(a, b) for g, s in zip(got, steps, strict=True) for a, b in zip(g, s, strict=True))


def test_grokfast_ema_with_no_memory_amplifies_the_present_gradient():
    steps = gradients(4)
    got = filtered(GrokfastEMA(alpha=0.0, lambda_=3.0).build(), steps)
    torch.testing.assert_close(got[3][0], 4 * steps[3][0])


def test_grokfast_ma_waits_for_a_full_window_and_then_adds_the_mean():
    window, lam = 6, 5.0
    steps = gradients(window * 20 + 3)  # twenty wraps
    got = filtered(GrokfastMA(window=window, lambda_=lam).build(), steps)
    for t, grads in enumerate(steps):
        for i, g in enumerate(grads):
            wanted = g.double()
            if t + 1 >= window:
                wanted = wanted + lam * torch.stack([steps[k][i] for k in range(t + 1 - window, t + 1)]).double().mean(
                    0
                )
            np.testing.assert_allclose(got[t][i].numpy(), wanted.numpy(), atol=5e-6, rtol=1e-6)
    assert torch.equal(got[window - 2][0], steps[window - 2][0]), "one short of a full window does nothing"
    assert not torch.equal(got[window - 1][0], steps[window - 1][0])


def test_grokfast_ma_does_not_drift_over_many_wraps():
    """A running sum in float32 keeps what large gradients left behind, unless it is taken afresh."""
    window = 10
    rule = GrokfastMA(window=window, lambda_=1.0).build()
    p = nn.Parameter(torch.zeros(3))
    for t in range(2000):
        p.grad = torch.full((3,), 1e6 if t < 5 else 1e-3)
        rule([p])
    np.testing.assert_allclose(p.grad.numpy(), 2e-3, rtol=1e-6)


def test_grokfast_ma_copies_gradients():
    """The field's trap: a window of references to one buffer is a window of the last gradient."""
    rule = GrokfastMA(window=2, lambda_=1.0).build()
    p = nn.Parameter(torch.zeros(1))
    p.grad = torch.zeros(1)
    for value in (1.0, 3.0):
        p.grad.fill_(value)
        rule([p])
    assert p.grad.item() == 3.0 + (1.0 + 3.0) / 2


def test_grokfast_ma_at_strength_zero_is_the_identity():
    steps = gradients(12)
    got = filtered(GrokfastMA(window=3, lambda_=0.0).build(), steps)
    assert all(torch.equal(a, b) for g, s in zip(got, steps, strict=True) for a, b in zip(g, s, strict=True))


def test_the_orthogonal_gradient_is_orthogonal_and_keeps_its_norm():
    params, grads = parameters(torch.float64), gradients(1, torch.float64)[0]
    for p, g in zip(params, grads, strict=True):
        p.grad = g.clone()
    OrthogonalGradient().build()(params)
    for p, g in zip(params, grads, strict=True):
        assert (p * p.grad).sum().item() == pytest.approx(0, abs=1e-12)
        assert p.grad.norm().item() == pytest.approx(g.norm().item(), rel=1e-12)
        # what is left lies in the plane of w and g: removing the part along w was all
        w = p.detach().flatten() / p.detach().norm()
        rest = g.flatten() - (g.flatten() @ w) * w
        cosine = torch.nn.functional.cosine_similarity(rest, p.grad.flatten(), dim=0)
        assert cosine.item() == pytest.approx(1, abs=1e-12)


def test_the_orthogonal_gradient_works_on_each_tensor_alone():
    together, alone = parameters(), parameters()
    for p, q, g in zip(together, alone, gradients(1)[0], strict=True):
        p.grad, q.grad = g.clone(), g.clone()
    OrthogonalGradient().build()(together)
    for q in alone:
        OrthogonalGradient().build()([q])
    assert all(torch.equal(p.grad, q.grad) for p, q in zip(together, alone, strict=True))


def test_zero_weights_keep_their_gradient():
    p = nn.Parameter(torch.zeros(4))
    p.grad = torch.tensor([1.0, -2.0, 3.0, 0.0])
    OrthogonalGradient().build()([p])
    torch.testing.assert_close(p.grad, torch.tensor([1.0, -2.0, 3.0, 0.0]))


@pytest.mark.parametrize("size", [1, 50])
def test_a_gradient_along_the_weights_leaves_nothing_rather_than_amplified_rounding(size):
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        p = nn.Parameter(torch.randn(size, generator=generator))
        p.grad = p.detach() * torch.randn((), generator=generator)
        before = p.grad.norm()
        OrthogonalGradient().build()([p])
        assert p.grad.norm() <= 1e-4 * before


def test_a_zero_gradient_stays_zero():
    p = nn.Parameter(torch.ones(4))
    p.grad = torch.zeros(4)
    OrthogonalGradient().build()([p])
    assert torch.equal(p.grad, torch.zeros(4))


@pytest.mark.parametrize("cls", [NoFilter, GrokfastEMA, GrokfastMA, OrthogonalGradient], ids=lambda c: c.__name__)
def test_parameters_without_a_gradient_are_left_alone(cls):
    frozen, p = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    with_window(cls, 1).build()([frozen, p])
    assert frozen.grad is None


@pytest.mark.parametrize("cls", [NoFilter, GrokfastEMA, GrokfastMA, OrthogonalGradient], ids=lambda c: c.__name__)
@pytest.mark.parametrize("cut", [1, 4, 5, 11])
def test_a_restored_filter_goes_on_bit_for_bit(cls, cut):
    steps, make = gradients(15), lambda: with_window(cls, 5).build()
    whole = filtered(make(), steps)
    first = make()
    filtered(first, steps[:cut])
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    second = make()
    second.load_state_dict(torch.load(buffer, weights_only=True))
    rest = filtered(second, steps[cut:])
    assert all(torch.equal(a, b) for g, w in zip(rest, whole[cut:], strict=True) for a, b in zip(g, w, strict=True))


def test_a_stateless_filter_refuses_another_filters_state():
    for cls in (NoFilter, OrthogonalGradient):
        with pytest.raises(ValueError, match="another gradient filter"):
            cls().build().load_state_dict({"average": []})
