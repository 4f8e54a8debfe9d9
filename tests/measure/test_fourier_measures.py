"""Fourier measures on networks whose circuit is planted."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from grokscope.measure.fourier import applies, embedding_gini, fourier, gini, key_frequencies
from grokscope.train.driver import make_engine
from tiny import tiny

P = 29


class Planted(nn.Module):
    """Logits sum over the key frequencies cos(w (a + sign b - c)), and a part that memorizes single pairs."""

    def __init__(self, keys, sign=1, scale=10.0, memory=0.0, amplitudes=None):
        super().__init__()
        c = torch.arange(P, dtype=torch.float64)
        a, b = torch.meshgrid(c, c, indexing="ij")
        amplitudes = amplitudes or [1.0] * len(keys)
        angle = (a + sign * b)[:, :, None] - c
        table = sum(m * torch.cos(2 * math.pi * k * angle / P) for k, m in zip(keys, amplitudes, strict=True))
        noise = torch.randn(P, P, P, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.table = scale * table + memory * noise

    def forward(self, pairs):
        return self.table[pairs[:, 0], pairs[:, 1]]


PAIRS = torch.cartesian_prod(torch.arange(P), torch.arange(P))
TRAIN = PAIRS[torch.randperm(P * P, generator=torch.Generator().manual_seed(1))[:400]]


def measured(model, operation="add"):
    sign = 1 if operation == "add" else -1
    return fourier(model, P, operation, TRAIN, (TRAIN[:, 0] + sign * TRAIN[:, 1]) % P)


@pytest.mark.parametrize(("operation", "sign"), [("add", 1), ("subtract", -1)])
@pytest.mark.parametrize("keys", [(3,), (1, 5, 14), (2, 4, 7, 11)])
def test_a_planted_circuit_is_found(operation, sign, keys):
    got = measured(Planted(keys, sign), operation)
    assert got["fourier_key_frequencies"] == len(keys)
    assert got["fourier_explained"] == pytest.approx(1.0)
    assert got["fourier_excluded_loss"] == pytest.approx(math.log(P), rel=1e-6), "without the circuit nothing is left"
    if len(keys) > 1:
        assert got["fourier_restricted_loss"] < 1e-3
    assert math.isnan(got["fourier_embedding_gini"])


def test_the_wrong_operation_explains_nothing():
    got = measured(Planted((3, 5), sign=-1), "add")
    assert got["fourier_explained"] < 0.1
    assert got["fourier_restricted_loss"] > 2


def test_memorization_is_what_the_excluded_loss_keeps():
    """A network that memorizes its training pairs beside the circuit still knows them when the circuit is taken out."""
    model = Planted((2, 6, 9), scale=1.0)
    index = (TRAIN[:, 0] + TRAIN[:, 1]) % P
    model.table[TRAIN[:, 0], TRAIN[:, 1], index] += 20.0
    got = measured(model)
    assert got["fourier_excluded_loss"] < 0.1
    plain = measured(Planted((2, 6, 9), scale=1.0))
    assert plain["fourier_excluded_loss"] == pytest.approx(math.log(P))


def test_noise_lowers_what_is_explained_but_not_the_keys():
    got = measured(Planted((3, 8, 12), memory=10.0))
    # variance of three cosines of amplitude 10 is 150 per logit (shared over classes), that of the noise 100
    assert got["fourier_explained"] == pytest.approx(150 / 250, abs=0.03)
    assert got["fourier_key_frequencies"] == 3


def test_a_bias_of_the_classes_is_not_a_frequency():
    model = Planted((3, 8))
    before = measured(model)
    model.table += 5 * torch.randn(P, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    after = measured(model)
    assert after["fourier_key_frequencies"] == before["fourier_key_frequencies"]
    assert after["fourier_restricted_loss"] == pytest.approx(before["fourier_restricted_loss"], abs=1e-9)


def test_a_shift_of_all_classes_changes_nothing():
    """The softmax ignores it, so it must not count as power or as variance."""
    model = Planted((3, 8))
    before = measured(model)
    model.table += 50 * torch.randn(P, P, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert {k: v for k, v in measured(model).items() if v == v} == pytest.approx(
        {k: v for k, v in before.items() if v == v}, abs=1e-9
    )


def test_key_frequencies_are_the_fewest_that_reach_ninety_percent():
    assert key_frequencies(torch.tensor([1.0, 50.0, 4.0, 45.0])).tolist() == [1, 3]
    assert key_frequencies(torch.tensor([0.0, 1.0, 0.0])).tolist() == [1]
    assert len(key_frequencies(torch.ones(10, dtype=torch.float64))) in (9, 10)  # 0.9 of the sum, up to rounding
    assert sorted(key_frequencies(torch.tensor([80.0, 9.0, 6.0, 5.0])).tolist()) == [0, 1, 2]


def test_the_power_of_unequal_amplitudes_counts_squared():
    weak = measured(Planted((3, 8), amplitudes=[1.0, 0.2]))  # 4 % of the power
    strong = measured(Planted((3, 8), amplitudes=[1.0, 0.5]))  # 20 %
    assert (weak["fourier_key_frequencies"], strong["fourier_key_frequencies"]) == (1, 2)


# -- Gini -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "wanted"),
    [([2.0] * 5, 0.0), ([0, 0, 0, 7.0], 3 / 4), ([1.0, 3.0], 1 / 4), ([0.0, 1.0, 2.0, 3.0], 5 / 12)],
)
def test_gini_closed_forms(values, wanted):
    assert gini(torch.tensor(values, dtype=torch.float64)) == pytest.approx(wanted, abs=1e-12)


def test_gini_is_half_the_relative_mean_difference():
    values = np.random.default_rng(0).exponential(size=31)
    wanted = np.abs(values[:, None] - values).mean() / (2 * values.mean())
    assert gini(torch.as_tensor(values)) == pytest.approx(wanted)
    assert gini(torch.as_tensor(values[::-1].copy())) == pytest.approx(wanted)
    assert math.isnan(gini(torch.zeros(4)))


def test_the_gini_of_an_embedding_tells_few_frequencies_from_many():
    class Embedded(nn.Module):
        def __init__(self, table):
            super().__init__()
            self.embedding = nn.Embedding.from_pretrained(table)

    a = torch.arange(P, dtype=torch.float64)
    waves = torch.stack([torch.cos(2 * math.pi * 4 * a / P), torch.sin(2 * math.pi * 4 * a / P)], 1)
    frequencies = (P - 1) // 2
    assert embedding_gini(Embedded(waves), P) == pytest.approx((frequencies - 1) / frequencies)
    with_rest = torch.cat([waves, 7 + torch.zeros(1, 2, dtype=torch.float64)])  # a row for ``=``: not a number
    assert embedding_gini(Embedded(with_rest), P) == pytest.approx((frequencies - 1) / frequencies)
    impulse = torch.zeros(P, 1, dtype=torch.float64)
    impulse[3] = 1.0  # all frequencies alike
    assert embedding_gini(Embedded(impulse), P) == pytest.approx(0.0, abs=1e-9)


# -- where it applies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [("add", True), ("subtract", True), ("multiply", False), ("divide", False), ("x2+y2", False), ("s5", False)],
)
def test_only_where_a_plus_b_is_the_right_coordinate(operation, wanted):
    assert applies({"operation": operation, "p": 7}) == wanted
    assert not applies({})
    if operation != "s5":
        config = tiny(task__operation=operation)
        row = make_engine(config, config.task.build(0))[1].row(diagnose=True)
        assert any(k.startswith("fourier_") for k in row) == wanted
