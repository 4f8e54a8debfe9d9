"""The IRMv1 penalty against finite differences, a brute-force sum over pairs, and sampling."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from grokscope.measure import irm
from grokscope.train.loss_functions import CrossEntropy, Hinge, Logistic, OneHotMSE

F64 = torch.float64


def rows_of(env):
    return {e: (env == e).nonzero()[:, 0] for e in env.unique().tolist()}


def problem(n=24, k=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = 2 * torch.randn(n, k, generator=generator, dtype=F64)
    return z, torch.randint(k, (n,), generator=generator), torch.arange(n) % 3


@pytest.mark.parametrize("cls", [CrossEntropy, OneHotMSE, Hinge, Logistic], ids=lambda c: c.__name__)
def test_each_examples_gradient_is_the_finite_difference_in_the_scale(cls):
    z, y, _ = problem()
    loss = cls(F64, 2 if cls in (Hinge, Logistic) else 4)
    if cls in (Hinge, Logistic):
        z, y = z[:, :1], y % 2
    target = loss.encode(y)
    got = irm.scale_gradients(loss, z, target)
    h = 1e-6
    for i in range(len(z)):
        one = [loss(s * z[i : i + 1], target[i : i + 1]).item() for s in (1 + h, 1 - h)]
        assert got[i].item() == pytest.approx((one[0] - one[1]) / (2 * h), abs=1e-7)


def test_their_mean_is_the_gradient_of_the_mean_loss():
    z, y, _ = problem()
    scale = torch.ones((), dtype=F64, requires_grad=True)
    (wanted,) = torch.autograd.grad(F.cross_entropy(scale * z, y), scale)
    assert irm.scale_gradients(CrossEntropy(F64, 4), z, y).mean().item() == pytest.approx(wanted.item())


def test_estimators_by_their_definitions():
    g = torch.tensor([1.0, -2.0, 4.0, 3.0, 0.5], dtype=F64)
    assert irm.naive(g).item() == pytest.approx((6.5 / 5) ** 2)
    assert irm.split_half(g).item() == pytest.approx((5.5 / 3) * (1.0 / 2))
    pairs = [a * b for a, b in itertools.permutations(g.tolist(), 2)]
    assert irm.u_statistic(g)[0].item() == pytest.approx(sum(pairs) / len(pairs))


def test_split_half_and_u_are_unbiased_where_naive_is_not():
    rng = np.random.default_rng(0)
    mean, sd, n = 0.3, 1.0, 8
    samples = torch.as_tensor(rng.normal(mean, sd, (20_000, n)))
    values = np.array([irm.u_statistic(g)[0].item() for g in samples[:6000]])
    split = (samples[:, 0::2].mean(1) * samples[:, 1::2].mean(1)).numpy()
    naive = samples.mean(1).square().numpy()
    assert values.mean() == pytest.approx(mean**2, abs=4 * values.std() / 6000**0.5)
    assert split.mean() == pytest.approx(mean**2, abs=4 * split.std() / 20_000**0.5)
    assert naive.mean() == pytest.approx(mean**2 + sd**2 / n, abs=0.01)
    assert (split < 0).mean() > 0.1, "an unbiased estimate of a small square is often negative"
    assert values.std() < split.std(), "all pairs have less variance than one split"


@pytest.mark.parametrize(("mean", "largest"), [(0.0, 1.6), (0.5, 1.1), (3.0, 1.1)])
def test_the_standard_error_of_u_is_its_spread(mean, largest):
    """Near a penalty of zero it is too large, because the estimate of g^2 in it is cut off at zero."""
    samples = torch.as_tensor(np.random.default_rng(1).normal(mean, 1.0, (3000, 100)))
    values, errors = np.array([[v.item() for v in irm.u_statistic(g)] for g in samples]).T
    assert 0.93 < np.sqrt((errors**2).mean()) / values.std() < largest


@pytest.mark.parametrize("estimator", ["naive", "split_half"])
def test_the_trained_penalty_is_the_mean_over_environments_and_differentiable(estimator):
    z, y, env = problem()
    loss = CrossEntropy(F64, 4)
    rule = {"naive": irm.naive, "split_half": irm.split_half}[estimator]
    order = irm.shuffled(len(z), z.device)
    parts = [order[env[order] == e] for e in range(3)]
    by_hand = np.mean([rule(irm.scale_gradients(loss, z[rows], y[rows])).item() for rows in parts])
    assert irm.penalty(loss, z, y, env, env.unique(), estimator).item() == pytest.approx(by_hand)
    assert torch.autograd.gradcheck(lambda v: irm.penalty(loss, v, y, env, env.unique(), estimator), z.requires_grad_())


def test_a_batch_without_two_examples_of_an_environment_has_no_penalty():
    z, y, _ = problem(n=3)
    value = irm.penalty(CrossEntropy(F64, 4), z.requires_grad_(), y, torch.arange(3), torch.arange(3), "naive")
    value.backward()
    assert value == 0
    assert not z.grad.any()


def test_labels_that_alternate_do_not_split_the_halves_by_label():
    """Logits that say class 0 throughout: g is negative on one label and positive on the other, row by row."""
    y = torch.arange(400) % 2
    z = torch.tensor([[1.0, 0.0]], dtype=F64).repeat(400, 1)
    got = irm.penalties(CrossEntropy(F64, 2), z, y, {0: torch.arange(400)}, "ood_val")
    value, error = got["ood_val_env0_irm_u"].item(), got["ood_val_env0_irm_u_se"].item()
    assert abs(got["ood_val_env0_irm_split"].item() - value) < 4 * error
    g = irm.scale_gradients(CrossEntropy(F64, 2), z, y)
    assert abs(irm.split_half(g).item() - value) > 4 * error, "as the rows lie, it is off"


def test_small_environments_give_nan_and_not_zero():
    z, y, _ = problem(n=10)
    env = torch.tensor([0] * 7 + [5] * 3)
    got = irm.penalties(CrossEntropy(F64, 4), z, y, rows_of(env), "id_val")
    for key in ("irm", "irm_split", "irm_u", "irm_u_se"):
        assert math.isnan(got[f"id_val_env5_{key}"])
        assert math.isfinite(got[f"id_val_env0_{key}"])
    assert got["id_val_irm"] == got["id_val_env0_irm"], "the mean is over those that have one"


def test_the_penalty_goes_to_zero_with_the_loss_whatever_the_environments_do():
    """Why it says nothing on memorized data."""
    _, y, env = problem()
    right = F.one_hot(y, 4).to(F64)
    values = [
        irm.penalty(CrossEntropy(F64, 4), s * right, y, env, env.unique(), "naive").item() for s in (1.0, 5.0, 20.0)
    ]
    assert values[0] > values[1] > values[2]
    assert values[2] < 1e-12


def test_measuring_builds_no_graph():
    z, y, env = problem()
    got = irm.penalties(CrossEntropy(F64, 4), z.requires_grad_(), y, rows_of(env), "train")
    assert not any(v.requires_grad for v in got.values())
