"""Hessian, tangent kernel, Jacobians and projections, against matrices that are written down."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from grokscope.measure.curvature import LossSurface, estimated_trace, largest_eigenvalue
from grokscope.measure.kernel import (
    NUMBERS,
    alignment,
    centered,
    input_jacobians,
    kernel_rows,
    label_kernel,
    mean_outer_rank,
    tangent_kernel,
)
from grokscope.measure.projection import free_shrinking
from grokscope.train.loss_functions import CrossEntropy, Hinge, SquaredError

pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def net(hidden=5, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, 3)).double()


LABELS = torch.arange(20) % 3
CE = CrossEntropy(torch.float64, 3)


def surface(model):
    return LossSurface(model, CE, drawn(20, 4, seed=1), LABELS)


def whole_hessian(model):
    """By torch.autograd.functional.hessian, with the parameters as one vector."""
    names = [n for n, _ in model.named_parameters()]
    shapes = [p.shape for p in model.parameters()]
    x = drawn(20, 4, seed=1)

    def loss(flat):
        parts = flat.split([s.numel() for s in shapes])
        weights = {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        return CE(functional_call(model, weights, (x,)), LABELS)

    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    return torch.autograd.functional.hessian(loss, flat)


@pytest.mark.parametrize("hidden", [2, 5])
def test_largest_eigenvalue_and_trace_are_those_of_the_whole_matrix(hidden):
    model = net(hidden)
    s, h = surface(model), whole_hessian(model)
    like = s.parameters[0]
    v = drawn(s.size, seed=2)
    torch.testing.assert_close(s.hessian_times(v), h @ v)
    top = largest_eigenvalue(s.hessian_times, s.size, like)
    assert top == pytest.approx(float(torch.linalg.eigvalsh(h)[-1]), rel=2e-3)
    trace = estimated_trace(s.hessian_times, s.size, 400, like)
    assert trace.value == pytest.approx(float(h.trace()), abs=4 * trace.error)
    assert 0 < trace.error < 0.1 * trace.value


def test_the_scaled_one_is_that_of_the_scaled_matrix():
    model = net()
    s, h = surface(model), whole_hessian(model)
    d = torch.cat([p.detach().norm().expand(p.numel()) for p in model.parameters()])
    wanted = float(torch.linalg.eigvalsh(d[:, None] * h * d)[-1])
    assert largest_eigenvalue(s.scaled_hessian_times, s.size, s.parameters[0]) == pytest.approx(wanted, rel=2e-3)


def relu_net(factor):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False)).double()
    with torch.no_grad():
        model[0].weight *= factor
        model[2].weight /= factor
    return model


def test_rescaling_layers_moves_plain_sharpness_and_not_the_scaled_one():
    tops = []
    for factor in (1.0, 10.0):
        s = surface(relu_net(factor))
        products = (s.hessian_times, s.scaled_hessian_times)
        tops.append([largest_eigenvalue(p, s.size, s.parameters[0]) for p in products])
    (plain, scaled), (plain_10, scaled_10) = tops
    assert plain_10 > 10 * plain, "the same function, and sharper by a factor"
    assert scaled_10 == pytest.approx(scaled, rel=2e-3)


def test_a_loss_without_curvature_has_none():
    torch.manual_seed(0)
    model = nn.Linear(4, 1).double()
    s = LossSurface(model, Hinge(torch.float64, 2), drawn(9, 4), torch.ones(9, dtype=torch.float64))
    assert largest_eigenvalue(s.hessian_times, s.size, s.parameters[0]) == 0
    assert estimated_trace(s.hessian_times, s.size, 4, s.parameters[0]).value == 0


def test_looking_at_curvature_leaves_parameters_and_gradients_alone():
    model = net()
    before = [p.detach().clone() for p in model.parameters()]
    s = surface(model)
    largest_eigenvalue(s.hessian_times, s.size, s.parameters[0])
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_an_iteration_that_does_not_converge_says_nothing(monkeypatch):
    from grokscope.measure import curvature

    def fail(*args, **kwargs):
        raise curvature.ArpackError(-1)

    monkeypatch.setattr(curvature, "eigsh", fail)
    s = surface(net())
    assert math.isnan(largest_eigenvalue(s.hessian_times, s.size, s.parameters[0]))


# -- kernel -----------------------------------------------------------------------------------------------------------


def weights_of(model):
    return {n: p.detach() for n, p in model.named_parameters()}


def test_the_kernel_of_a_linear_model_is_closed_form_and_never_changes():
    torch.manual_seed(0)
    model, x = nn.Linear(4, 3).double(), drawn(7, 4)
    kernel = tangent_kernel(model, weights_of(model), x)
    torch.testing.assert_close(kernel, 3 * (x @ x.T + 1))
    other = {n: w + 5 for n, w in weights_of(model).items()}
    assert float(alignment(kernel, tangent_kernel(model, other, x))) == pytest.approx(1.0, abs=1e-12)


def test_the_kernel_of_a_network_is_the_product_of_its_jacobians():
    model, x = net(), drawn(6, 4)
    jacobians = jacrev(lambda w: functional_call(model, w, (x,)))(weights_of(model))
    flat = torch.cat([j.flatten(2) for j in jacobians.values()], dim=2)
    torch.testing.assert_close(tangent_kernel(model, weights_of(model), x), torch.einsum("ikp,jkp->ij", flat, flat))
    other = weights_of(net(seed=1))
    assert float(alignment(tangent_kernel(model, other, x), tangent_kernel(model, weights_of(model), x))) < 0.99


def test_a_kernel_of_the_labels_is_aligned_with_them_and_one_of_noise_is_not():
    y = torch.arange(60) % 3
    labels = centered(label_kernel(y, True))
    one_hot = nn.functional.one_hot(y).double()
    assert float(alignment(centered(one_hot @ one_hot.T), labels)) == pytest.approx(1.0)
    noise = drawn(60, 500)
    assert abs(float(alignment(centered(noise @ noise.T), labels))) < 0.2
    real = centered(label_kernel(torch.tensor([1.0, 2.0, 3.0]), False))
    torch.testing.assert_close(real, torch.outer(torch.tensor([-1.0, 0, 1]), torch.tensor([-1.0, 0, 1])).double())


def test_large_networks_get_fewer_rows():
    assert kernel_rows(32, 1000) == 32
    assert kernel_rows(32, NUMBERS // 5) == 5
    assert kernel_rows(32, 10**12) == 2


# -- Jacobians of the input -------------------------------------------------------------------------------------------


def test_jacobians_of_a_linear_model_are_its_matrix():
    torch.manual_seed(0)
    model = nn.Linear(4, 3).double()
    jacobians = input_jacobians(model, drawn(7, 4))
    torch.testing.assert_close(jacobians, model.weight.detach().expand(7, 3, 4))


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("width", [6, 60])
def test_the_rank_of_a_planted_map(rank, width):
    rows = torch.linalg.qr(drawn(width, 6))[0].T[:rank]
    mixed = torch.linalg.qr(drawn(10, 10, seed=1))[0][:, :rank] @ rows  # (10, width), `rank` equal singular values
    assert float(mean_outer_rank(mixed.expand(4, 10, width))) == pytest.approx(rank, rel=1e-6)


def test_random_directions_have_a_high_rank_and_zeros_none():
    assert float(mean_outer_rank(drawn(200, 5, 20))) > 19
    assert math.isnan(float(mean_outer_rank(torch.zeros(3, 2, 4))))


def test_whole_numbers_are_differentiated_where_they_become_real():
    torch.manual_seed(0)

    class Embedded(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(5, 6), nn.Linear(12, 2)

        def forward(self, x):
            return self.head(self.embedding(x).flatten(1))

    model = Embedded()
    jacobians = input_jacobians(model, torch.tensor([[0, 1], [3, 2]]))
    torch.testing.assert_close(jacobians, model.head.weight.detach().expand(2, 2, 12))
    assert not model.embedding._forward_hooks


# -- projection -------------------------------------------------------------------------------------------------------


def test_what_shrinks_freely_is_the_projection_on_the_null_space():
    model, x = net(), drawn(3, 4)
    weights = weights_of(model)
    jacobians = jacrev(lambda w: functional_call(model, w, (x,)))(weights)
    j = torch.cat([v.flatten(0, 1).flatten(1) for v in jacobians.values()], dim=1)
    down = -torch.cat([w.flatten() for w in weights.values()])
    wanted = down - torch.linalg.pinv(j) @ (j @ down)
    free = torch.cat([v.flatten() for v in free_shrinking(model, x).values()])
    torch.testing.assert_close(free, wanted, rtol=1e-3, atol=1e-4)
    assert float((j @ free).norm()) < 1e-3 * float((j @ down).norm()), "the outputs stay"
    assert 0.1 < float(free.norm() / down.norm()) < 1


def test_with_more_rows_than_weights_nothing_is_free():
    torch.manual_seed(0)
    model = nn.Linear(4, 3).double()
    free = free_shrinking(model, drawn(40, 4))
    assert sum(float(v.square().sum()) for v in free.values()) < 1e-6


def test_weights_that_nothing_reads_shrink_freely():
    torch.manual_seed(0)
    model, x = nn.Linear(6, 2, bias=False).double(), drawn(3, 6)
    x[:, 3:] = 0
    free = free_shrinking(model, x)["weight"]
    torch.testing.assert_close(free[:, 3:], -model.weight.detach()[:, 3:])
    assert float(free[:, :3].abs().max()) < 1e-4


def test_squared_errors_have_the_curvature_of_their_matrix():
    """Of a linear regression: H = 2 X'X / n with the bias as a column of ones."""
    torch.manual_seed(0)
    model, x = nn.Linear(40, 1).double(), drawn(100, 40)
    s = LossSurface(model, SquaredError(torch.float64, 1), x, drawn(100, seed=1))
    full = torch.cat([x, torch.ones(100, 1, dtype=torch.float64)], 1)
    h = 2 * full.T @ full / 100
    assert largest_eigenvalue(s.hessian_times, 41, s.parameters[0]) == pytest.approx(
        float(torch.linalg.eigvalsh(h)[-1]), rel=2e-3
    )
    trace = estimated_trace(s.hessian_times, 41, 64, s.parameters[0])
    assert trace.value == pytest.approx(float(h.trace()), abs=4 * trace.error)
