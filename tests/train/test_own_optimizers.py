"""What a torch optimizer says of a training, and what it cannot."""

import pytest
import torch
from torch import nn

from grokscope.train.own_optimizer import base_rate, rate, settings_of


def network():
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))


def parts(model):
    """Matrices, and all else."""
    return [p for p in model.parameters() if p.dim() > 1], [p for p in model.parameters() if p.dim() <= 1]


def in_groups(spared, decayed):
    return [{"params": spared, "weight_decay": 0.0}, {"params": decayed}]


@pytest.mark.parametrize(
    ("make", "regime", "adaptive"),
    [
        (
            lambda m: torch.optim.AdamW(m.parameters(), lr=1e-3, weight_decay=0.3),
            {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.3, "decay_groups": "all"},
            True,
        ),
        (
            lambda m: torch.optim.Adam(m.parameters(), lr=1e-3, weight_decay=0.3),
            {"optimizer": "adam", "lr": 1e-3, "weight_decay": 0.3, "decay_groups": "all"},
            True,
        ),
        (
            lambda m: torch.optim.Adam(m.parameters(), lr=1e-3, weight_decay=0.3, decoupled_weight_decay=True),
            {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.3, "decay_groups": "all"},
            True,
        ),
        (
            lambda m: torch.optim.SGD(m.parameters(), lr=0.1, weight_decay=0.01),
            {"optimizer": "sgd", "lr": 0.1, "weight_decay": 0.01, "decay_groups": "all"},
            False,
        ),
        (
            lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9),
            {"optimizer": "sgd", "lr": 0.1, "weight_decay": 0.0, "decay_groups": "all"},
            False,
        ),
        (
            lambda m: torch.optim.AdamW(in_groups(parts(m)[1], parts(m)[0]), lr=1e-3),
            {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.01, "decay_groups": "matrices"},
            True,
        ),
        (
            lambda m: torch.optim.AdamW(in_groups(m[:3].parameters(), m[3].parameters()), lr=1e-3),
            {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.01, "decay_groups": "head"},
            True,
        ),
    ],
    ids=["adamw", "adam is coupled", "adam made decoupled", "sgd", "momentum without decay", "matrices", "head"],
)
def test_settings_have_the_names_of_a_regime(make, regime, adaptive):
    model = network()
    settings = settings_of(make(model), model)
    assert (settings.regime, settings.adaptive, settings.notes) == (regime, adaptive, ())


def test_decay_inside_momentum_is_not_called_decoupled():
    model = network()
    settings = settings_of(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01), model)
    assert "optimizer" not in settings.regime
    assert "momentum" in settings.notes[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.01),
        lambda ps: torch.optim.Adagrad(ps, lr=0.1, weight_decay=0.01),
    ],
)
def test_no_time_of_decay_is_computed_where_it_is_of_unknown_kind(make):
    """The step of momentum 0.9 is ten times as large as lr says, and Adagrad rescales its decay."""
    model = network()
    settings = settings_of(make(model.parameters()), model)
    assert settings.regime == {"lr": 0.1}
    assert settings.kept["weight_decay"] == 0.01


def test_no_decay_is_known_for_any_optimizer():
    model = network()
    assert settings_of(torch.optim.Adagrad(model.parameters(), lr=0.1), model).regime["weight_decay"] == 0.0


def test_decay_that_no_choice_describes_is_left_unknown():
    model = network()
    first, rest = [model[0].weight], [p for p in model.parameters() if p is not model[0].weight]
    for strengths in ((0.1, 0.0), (0.1, 0.2)):
        groups = [{"params": ps, "weight_decay": w} for ps, w in zip((first, rest), strengths, strict=True)]
        settings = settings_of(torch.optim.AdamW(groups, lr=1e-3), model)
        assert "weight_decay" not in settings.regime
        assert "not recorded" in settings.notes[0]


def test_an_optimizer_of_somebody_elses_is_unknown():
    class AdamW(torch.optim.AdamW):
        """The same name, and who knows what."""

    AdamW.__module__ = "somebody"
    model = network()
    settings = settings_of(AdamW(model.parameters(), lr=1e-3), model)
    assert ("optimizer" in settings.regime, settings.adaptive) == (False, None)
    assert settings.kept["name"] == "AdamW"


def test_rates_during_a_warm_up():
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 4))
    assert (rate(optimizer), base_rate(optimizer)) == (0.0, 1e-2)
    optimizer.step()
    schedule.step()
    assert (rate(optimizer), base_rate(optimizer)) == (pytest.approx(2.5e-3), 1e-2)
    both = torch.optim.AdamW([{"params": model[0].parameters()}, {"params": model[3].parameters(), "lr": 1.0}], lr=1e-2)
    assert (rate(both), base_rate(both)) == (None, None)


def test_an_optimizer_of_another_networks_weights_is_unknown():
    settings = settings_of(torch.optim.AdamW(network().parameters(), lr=1e-3, weight_decay=0.3), network())
    assert (settings.regime, settings.adaptive) == ({}, None)
    assert "holds no weight of the network" in settings.notes[0]


@pytest.mark.parametrize("optimizer", ["adamw", []])
def test_what_is_no_optimizer_is_refused(optimizer):
    with pytest.raises(ValueError, match=r"optimizer: expected one torch optimizer, got (str|list); leave it out"):
        settings_of(optimizer, network())
