"""Losses against closed forms in float64, the dtype they say they use, and their gradients at the kinks."""

import math

import pytest
import torch
import torch.nn.functional as F

from grokscope import registry
from grokscope.train import losses
from grokscope.train.loss_functions import CrossEntropy, Hinge, Logistic, OneHotMSE, SquaredError, StableMax

F64 = torch.float64


def made(name, *rest):
    return losses.make_loss(registry.load("loss", name)(), *rest)


def logits_and_labels(n=7, k=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = 4 * torch.randn(n, k, generator=generator, dtype=F64)
    return z, torch.randint(k, (n,), generator=generator)


def python_mean(values):
    return sum(values) / len(values)


def test_cross_entropy_is_minus_log_softmax():
    z, y = logits_and_labels()
    loss = CrossEntropy(F64, 5)
    by_hand = python_mean(
        [math.log(sum(math.exp(v) for v in row)) - row[t] for row, t in zip(z.tolist(), y.tolist(), strict=True)]
    )
    assert loss(z, loss.encode(y)).item() == pytest.approx(by_hand, rel=1e-13)


def test_mse_is_the_mean_over_examples_and_classes():
    z, y = logits_and_labels()
    loss = OneHotMSE(F64, 5)
    by_hand = python_mean(
        [(v - (j == t)) ** 2 for row, t in zip(z.tolist(), y.tolist(), strict=True) for j, v in enumerate(row)]
    )
    assert loss(z, loss.encode(y)).item() == pytest.approx(by_hand, rel=1e-13)


def s(z):
    return z + 1 if z >= 0 else 1 / (1 - z)


def test_stablemax_is_its_formula():
    z, y = logits_and_labels()
    loss = StableMax(F64, 5)
    by_hand = python_mean(
        [-math.log(s(row[t]) / sum(map(s, row))) for row, t in zip(z.tolist(), y.tolist(), strict=True)]
    )
    assert loss(z, loss.encode(y)).item() == pytest.approx(by_hand, rel=1e-13)


@pytest.mark.parametrize("value", [0.0, -0.0, -1e-30, 1e-30, -1.0, 1.0, 2.0, -3e38, 1e30, -1e30])
def test_stablemax_has_a_finite_gradient_everywhere(value):
    """A `where` whose unused branch is 1 / 0 or inf leaks NaN into the gradient; z = 1 is the pole of 1 / (1 - z)."""
    z = torch.tensor([[value, 0.5, -0.5]], requires_grad=True)
    loss = StableMax(torch.float32, 3)(z, torch.tensor([1]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


def test_stablemax_gradient_is_the_finite_difference():
    z, y = logits_and_labels()
    z[0, 0] = 0.0
    assert torch.autograd.gradcheck(lambda v: StableMax(F64, 5)(v, y), z.requires_grad_())


@pytest.mark.parametrize(
    ("loss", "value"),
    [(Hinge(F64, 2), lambda m: max(0.0, 1 - m)), (Logistic(F64, 2), lambda m: math.log1p(math.exp(-m)))],
    ids=["hinge", "logistic"],
)
def test_binary_losses_are_functions_of_the_margin(loss, value):
    z = torch.tensor([[-2.0], [-0.5], [0.0], [0.5], [1.0], [3.0]], dtype=F64)
    y = torch.tensor([0, 1, 1, 0, 1, 1])
    signs = [-1, 1, 1, -1, 1, 1]
    by_hand = python_mean([value(sign * v) for sign, (v,) in zip(signs, z.tolist(), strict=True)])
    assert loss.encode(y).tolist() == signs
    assert loss(z, loss.encode(y)).item() == pytest.approx(by_hand, rel=1e-13)


def test_hinge_is_exactly_zero_with_its_gradient_once_every_margin_exceeds_one():
    z = torch.tensor([[1.5], [-1.5]], requires_grad=True)
    loss = Hinge(torch.float32, 2)
    value = loss(z, loss.encode(torch.tensor([1, 0])))
    value.backward()
    assert value == 0
    assert torch.equal(z.grad, torch.zeros(2, 1))


def test_logistic_is_cross_entropy_with_half_the_logits_on_each_class():
    z, y = logits_and_labels(k=2)
    difference = (z[:, 1] - z[:, 0])[:, None]
    logistic = Logistic(F64, 2)
    assert logistic(difference, logistic.encode(y)) == pytest.approx(F.cross_entropy(z, y).item(), rel=1e-13)


def test_squared_error_compares_one_output_with_real_targets():
    loss = SquaredError(F64, 1)
    z, y = torch.tensor([[1.0], [3.0]], dtype=F64), torch.tensor([0.5, 5.0])
    assert loss(z, loss.encode(y)).item() == pytest.approx((0.25 + 4.0) / 2)
    # (n, 1) against (n,) would broadcast to (n, n) and give another number
    assert loss.encode(y).shape == (2,)


# -- dtype -------------------------------------------------------------------------------------------------------------

EVERY = [CrossEntropy, OneHotMSE, StableMax, Hinge, Logistic, SquaredError]


@pytest.mark.parametrize("cls", EVERY, ids=lambda c: c.__name__)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_the_loss_is_computed_in_its_own_dtype(cls, dtype):
    loss = cls(dtype, 2 if loss_is_binary(cls) else 3)
    z = torch.randn(4, loss.outputs(), generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = torch.tensor([0.5, 1.0, 2.0, -1.0]) if cls is SquaredError else torch.tensor([0, 1, 1, 0])
    value = loss(z, loss.encode(y))
    value.backward()
    assert value.dtype == dtype
    assert z.grad.dtype == torch.float32
    assert torch.isfinite(z.grad).all()


def loss_is_binary(cls):
    return cls.targets == "binary"


def test_a_gap_of_logits_that_collapses_in_float32_does_not_in_float64():
    z, y = torch.tensor([[20.0, 0.0]]), torch.tensor([0])
    values = {}
    for dtype in (torch.float32, torch.float64):
        leaf = z.clone().requires_grad_()
        loss = CrossEntropy(dtype, 2)(leaf, y)
        loss.backward()
        values[dtype] = loss.item(), leaf.grad[0, 0].item()
    assert values[torch.float32] == (0.0, 0.0)
    assert values[torch.float64][0] == pytest.approx(math.exp(-20), rel=1e-6)
    assert values[torch.float64][1] == pytest.approx(-math.exp(-20), rel=1e-6)


def test_casting_the_result_would_not_pass_for_computing_in_float64():
    """The field's trap: a cross-entropy that says float64 and computes in float32."""
    z, y = torch.tensor([[20.0, 0.0]]), torch.tensor([0])
    assert F.cross_entropy(z, y).double() == 0
    assert CrossEntropy(F64, 2)(z, y) > 0


# -- reading a class off the output ------------------------------------------------------------------------------------


def test_predictions_are_classes():
    loss = CrossEntropy(torch.float32, 3)
    assert loss.predict(torch.tensor([[0.0, 2.0, 1.0], [5.0, 2.0, 1.0]])).tolist() == [1, 0]
    one = Hinge(torch.float32, 2)
    assert one.predict(torch.tensor([[-0.1], [0.0], [0.1]])).tolist() == [0, 1, 1]
    assert one.predict(torch.tensor([[0.0]])).dtype == torch.int64


@pytest.mark.parametrize(("name", "outputs"), [("cross_entropy", 4), ("mse", 4), ("stablemax", 4)])
def test_class_losses_want_one_output_for_each_class(name, outputs):
    assert made(name, "float32", "classification", 4).outputs() == outputs


@pytest.mark.parametrize(
    ("name", "kind", "classes", "message"),
    [
        ("squared_error", "classification", 3, r"\$.regime.loss: 'squared_error' needs real targets.*use 'mse'"),
        ("cross_entropy", "regression", 1, r"\$.regime.loss: 'cross_entropy' needs class labels.*'squared_error'"),
        ("mse", "regression", 1, r"\$.regime.loss: 'mse' needs class labels.*use 'squared_error'"),
        ("hinge", "regression", 1, r"\$.regime.loss: 'hinge' needs class labels"),
        ("hinge", "classification", 10, r"\$.regime.loss: 'hinge' needs two classes, this task has 10"),
        ("logistic", "classification", 3, r"\$.regime.loss: 'logistic' needs two classes, this task has 3"),
    ],
)
def test_a_loss_that_does_not_fit_the_task_is_refused_with_one_that_does(name, kind, classes, message):
    with pytest.raises(ValueError, match=message):
        made(name, "float32", kind, classes)


def test_losses_that_fit_are_made():
    assert made("hinge", "float32", "classification", 2).outputs() == 1
    assert made("squared_error", "float64", "regression", 1).dtype == torch.float64
