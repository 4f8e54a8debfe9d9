"""Margins and softmax collapse against their definitions."""

import math

import pytest
import torch

from grokscope.measure.logits import logit_scale, margins, normalized_margins, softmax_collapse


def test_margins_are_right_minus_the_largest_other():
    logits = torch.tensor([[1.0, 5.0, 3.0], [1.0, 5.0, 3.0], [2.0, 2.0, -1.0]])
    assert margins(logits, torch.tensor([1, 2, 0])).tolist() == [2.0, -2.0, 0.0]


def test_a_margin_is_positive_exactly_where_the_answer_is_right():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(500, 7, generator=generator), torch.randint(7, (500,), generator=generator)
    assert torch.equal(margins(logits, labels) > 0, logits.argmax(1) == labels)


def test_margins_of_one_output_are_signed():
    assert margins(torch.tensor([[2.0], [2.0], [-3.0]]), torch.tensor([1, 0, 0])).tolist() == [2.0, -2.0, 3.0]


def test_margins_leave_the_logits_alone():
    logits = torch.tensor([[1.0, 5.0]])
    margins(logits, torch.tensor([0]))
    assert logits.tolist() == [[1.0, 5.0]]


@pytest.mark.parametrize(
    ("dtype", "collapses", "holds"),
    [(torch.float32, 17.4, 15.9), (torch.float64, 37.5, 36.0), (torch.float16, 9.0, 6.0), (torch.bfloat16, 7.0, 4.0)],
    ids=str,
)
def test_collapse_is_where_one_plus_exp_of_the_gap_rounds_to_one(dtype, collapses, holds):
    """1 + e^-gap == 1 from gap > -log(eps / 2) on: 16.6 in float32, 36.7 in float64."""
    assert math.exp(-collapses) < torch.finfo(dtype).eps / 2 < math.exp(-holds)
    logits = torch.tensor([[collapses, 0.0], [holds, 0.0], [0.0, collapses], [0.0, 0.0]], dtype=torch.float64)
    assert softmax_collapse(logits, dtype).item() == 0.5


def test_collapse_is_where_the_cross_entropy_of_a_right_answer_is_exactly_zero():
    gaps = torch.linspace(5, 30, 101)
    logits = torch.stack([gaps, torch.zeros(101)], 1)
    losses = torch.nn.functional.cross_entropy(logits, torch.zeros(101, dtype=torch.int64), reduction="none")
    zero = (losses == 0).double().mean().item()
    assert 0 < zero < 1
    assert softmax_collapse(logits, torch.float32).item() == pytest.approx(zero, abs=0.011)


def test_many_small_others_add_up_before_they_vanish():
    few, many = torch.zeros(1, 2), torch.zeros(1, 10_000)
    few[0, 0] = many[0, 0] = 18.0
    assert softmax_collapse(few, torch.float32) == 1
    assert softmax_collapse(many, torch.float32) == 0


def test_one_output_has_no_softmax():
    assert math.isnan(softmax_collapse(torch.zeros(3, 1), torch.float32).item())


def test_the_scale_of_the_logits_ignores_what_the_softmax_ignores():
    z = torch.tensor([[3.0, -3.0], [4.0, -4.0]])
    assert float(logit_scale(z)) == pytest.approx(math.sqrt(2) * 3.5)
    assert float(logit_scale(z + 100)) == pytest.approx(math.sqrt(2) * 3.5)
    assert float(logit_scale(torch.tensor([[2.0], [-4.0]]))) == 3.0


def test_a_temperature_changes_the_scale_and_no_normalized_margin():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(101, 7, generator=generator), torch.randint(7, (101,), generator=generator)
    plain, hot = normalized_margins(logits, labels), normalized_margins(10 * logits, labels)
    assert {k: float(v) for k, v in plain.items()} == pytest.approx({k: float(v) for k, v in hot.items()}, rel=1e-6)
    raw = margins(logits, labels)
    assert float(plain["median"]) == pytest.approx(float(raw.median() / logit_scale(logits)), rel=1e-6)
    assert plain["min"] < plain["q10"] < plain["median"]
    moved = normalized_margins(logits + torch.nn.functional.one_hot(labels, 7) * 5, labels)
    assert moved["min"] > plain["min"], "better separated classes do move them"


def test_equal_logits_have_no_normalized_margin():
    assert all(math.isnan(float(v)) for v in normalized_margins(torch.ones(4, 3), torch.arange(4) % 3).values())
