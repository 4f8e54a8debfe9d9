"""Optimizers and decay against torch's own, and against updates written by hand."""

import copy

import pytest
import torch
from torch import nn

from grokscope import registry
from grokscope.config import Regime
from grokscope.train.decay import Decay, Optimizers, decay_names
from grokscope.train.optimizers import SGD, Muon


class Net(nn.Module):
    """One of each kind of parameter: embedding, matrix, norm, biases, head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(6, 4)
        self.body = nn.Linear(4, 5)
        self.norm = nn.LayerNorm(5)
        self.planes = nn.LayerNorm((2, 5))
        self.head = nn.Linear(5, 3)
        self.double()  # so that equal means equal, and not equal up to fifty roundings

    def forward(self, tokens):
        x = torch.tanh(self.norm(self.body(self.embedding(tokens))))
        return self.head(self.planes(torch.stack([x, x * x], 1)).mean(1))


TOKENS = torch.arange(6).repeat(4)
TARGETS = torch.randint(3, (24,), generator=torch.Generator().manual_seed(1))


def backward(model):
    nn.functional.cross_entropy(model(TOKENS), TARGETS).backward()


def built(model, regime):
    return Optimizers(regime.optimizer.build(model, regime))


def trained(regime, steps=50, model=None):
    """The model after that many steps of ours: decay, then update."""
    model = model or Net()
    optimizer, decay = built(model, regime), Decay(model, regime)
    for _ in range(steps):
        backward(model)
        decay.apply(regime.lr)
        optimizer.step(regime.lr)
    return model


def trained_by_torch(make, steps=50, model=None):
    model = model or Net()
    optimizer = make(model.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        backward(model)
        optimizer.step()
    return model


def distance(one, two):
    return max((a - b).abs().max().item() for a, b in zip(one.parameters(), two.parameters(), strict=True))


SETTINGS = {"lr": 1e-2, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.3}


def with_settings(name):
    return Regime(optimizer={"name": name, "betas": [0.8, 0.95], "eps": 1e-3}, lr=1e-2, weight_decay=0.3)


def test_adamw_with_our_decay_is_torchs_adamw():
    wanted = trained_by_torch(lambda p: torch.optim.AdamW(p, **SETTINGS))
    assert distance(trained(with_settings("adamw")), wanted) < 1e-12
    assert distance(Net(), wanted) > 0.1, "the comparison means something only if training moved the weights"


def test_adam_couples_its_decay_like_torchs_adam():
    wanted = trained_by_torch(lambda p: torch.optim.Adam(p, **SETTINGS))
    assert distance(trained(with_settings("adam")), wanted) < 1e-12
    decoupled = trained(with_settings("adamw"))
    assert distance(decoupled, wanted) > 1e-3, "coupled and decoupled decay are not the same"


def test_adamw_in_float32_is_torchs_too():
    wanted = trained_by_torch(lambda p: torch.optim.AdamW(p, **SETTINGS, fused=True), 50, Net().float())
    assert distance(trained(with_settings("adamw"), 50, Net().float()), wanted) < 1e-7


@pytest.mark.parametrize("name", ["adam", "adamw", "muon"])
@pytest.mark.parametrize(("key", "value"), [("betas", (0.5, 0.999)), ("betas", (0.9, 0.5)), ("eps", 1.0)])
def test_betas_and_eps_reach_the_update(name, key, value):
    """The field's trap: a wrapper that drops them."""
    base = Regime(optimizer=name, lr=1e-2)
    changed = Regime(optimizer={"name": name, key: value}, lr=1e-2)
    assert distance(trained(base, steps=5), trained(changed, steps=5)) > 1e-4


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_its_formula_with_decoupled_decay(nesterov):
    lr, mu, wd = 0.1, 0.9, 0.2
    regime = Regime(optimizer=SGD(momentum=mu, nesterov=nesterov), lr=lr, weight_decay=wd)
    got = trained(regime, steps=20)
    model = Net()
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    for _ in range(20):
        model.zero_grad()
        backward(model)
        with torch.no_grad():
            for p, v in zip(model.parameters(), velocity, strict=True):
                v.mul_(mu).add_(p.grad)
                step = p.grad + mu * v if nesterov else v
                p.copy_((1 - lr * wd) * p - lr * step)
    assert distance(got, model) < 1e-12


def test_sgd_without_momentum_decouples_into_l2():
    l2 = trained_by_torch(lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.2))
    assert distance(trained(Regime(optimizer="sgd", lr=0.1, weight_decay=0.2)), l2) < 1e-12


def test_muon_takes_hidden_matrices_only():
    model = Net()
    regime = Regime(optimizer=Muon(momentum=0.8), lr=1e-2)
    matrices, rest = regime.optimizer.build(model, regime)
    assert [id(p) for g in matrices.param_groups for p in g["params"]] == [id(model.body.weight)]
    assert {id(p) for g in rest.param_groups for p in g["params"]} == {
        id(p) for p in model.parameters() if p is not model.body.weight
    }
    assert isinstance(matrices, torch.optim.Muon)
    assert matrices.param_groups[0]["momentum"] == 0.8


def test_muons_step_is_orthogonal_up_to_its_five_iterations():
    model = Net()
    before = model.body.weight.detach().clone()
    trained(Regime(optimizer="muon", lr=1e-2), steps=1, model=model)
    sizes = torch.linalg.svdvals(model.body.weight.detach() - before)
    assert sizes.max() / sizes.min() < 2.0, "all directions of the matrix move alike"


def test_muon_without_a_hidden_matrix_is_refused():
    with pytest.raises(ValueError, match="muon needs at least one hidden matrix"):
        Muon().build(nn.Linear(3, 2), Regime(optimizer="muon"))


# -- decay ------------------------------------------------------------------------------------------------------------

EVERYTHING = {n for n, _ in Net().named_parameters()}


@pytest.mark.parametrize(
    ("groups", "wanted"),
    [
        ("all", EVERYTHING),
        ("matrices", {"embedding.weight", "body.weight", "planes.weight", "planes.bias", "head.weight"}),
        ("no_norm", {"embedding.weight", "body.weight", "head.weight"}),
        ("head", {"head.weight", "head.bias"}),
    ],
)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_only_the_chosen_group_decays(groups, wanted, optimizer):
    regime = Regime(optimizer=optimizer, weight_decay=0.5, decay_groups=groups, lr=0.1)
    model = Net()
    assert decay_names(model, regime) == wanted
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1.0)
            p.grad = torch.zeros_like(p)  # nothing but the decay can move a weight
    update = built(model, regime)
    Decay(model, regime).apply(0.1)
    update.step(0.1)
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, torch.ones_like(p))}
    assert moved == wanted
    assert model.head.weight[0, 0].item() == pytest.approx(1 - 0.1 * 0.5)


def test_adams_coupled_decay_keeps_to_its_group_too():
    model, other = Net(), Net()
    trained(Regime(optimizer="adam", weight_decay=1.0, decay_groups="head", lr=1e-2), steps=1, model=model)
    trained(Regime(optimizer="adam", weight_decay=0.0, lr=1e-2), steps=1, model=other)
    moved = {n for (n, p), q in zip(model.named_parameters(), other.parameters(), strict=True) if not torch.equal(p, q)}
    assert "head.weight" in moved
    assert moved <= {"head.weight", "head.bias"}


def test_decay_towards_the_initial_weights():
    model = Net()
    start = copy.deepcopy(model)
    decay = Decay(model, Regime(weight_decay=0.5, decay_target="init"))
    decay.apply(0.1)
    assert distance(model, start) == 0, "at the target nothing pulls"
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    decay.apply(0.1)
    for p, w in zip(model.parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(p - w, torch.full_like(p, 1 - 0.1 * 0.5))


@pytest.mark.parametrize("target", ["zero", "init"])
def test_a_huge_decay_stops_at_its_target(target):
    model = Net()
    regime = Regime(lr=1.0, weight_decay=100.0, decay_target=target)
    decay = Decay(model, regime)
    wanted = [torch.zeros_like(p) if target == "zero" else p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    decay.apply(1.0)
    assert all(torch.equal(p, w) for p, w in zip(model.parameters(), wanted, strict=True))


def test_no_decay_is_the_identity():
    model = Net()
    for regime in (Regime(weight_decay=0.0), Regime(weight_decay=0.0, decay_target="init")):
        Decay(model, regime).apply(0.1)
    assert distance(model, Net()) == 0


# -- state ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(registry.built_in("optimizer")))
def test_a_restored_optimizer_goes_on_bit_for_bit(tmp_path, name):
    regime = Regime(optimizer={"name": name, "momentum": 0.9} if name in ("sgd", "muon") else name, lr=1e-2)
    make = built
    whole, parts = Net(), Net()
    one, two = make(whole, regime), make(parts, regime)
    for step in range(8):
        if step == 4:
            torch.save({"model": parts.state_dict(), "optimizer": two.state_dict()}, tmp_path / "state.pt")
            state = torch.load(tmp_path / "state.pt", weights_only=True)
            parts = Net()
            parts.load_state_dict(state["model"])
            two = make(parts, regime)
            two.load_state_dict(state["optimizer"])
        for model, optimizer in ((whole, one), (parts, two)):
            backward(model)
            optimizer.step(1e-2 / (step + 1))
    assert distance(whole, parts) == 0


def test_the_learning_rate_of_each_step_counts_also_after_restoring():
    regime = Regime(optimizer="sgd", lr=1.0)
    p = nn.Linear(1, 1, bias=False)
    optimizer = built(p, regime)
    moved = []
    for lr in (1.0, 0.5, 0.5, 2.0):
        before = p.weight.item()
        p.weight.grad = torch.ones(1, 1)
        optimizer.step(lr)
        optimizer.load_state_dict(optimizer.state_dict())
        moved.append(before - p.weight.item())
    assert moved == pytest.approx([1.0, 0.5, 0.5, 2.0])


def test_gradients_are_cleared_by_a_step():
    model = Net()
    optimizer = built(model, Regime(optimizer="muon"))
    backward(model)
    optimizer.step(1e-3)
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_a_restored_learning_rate_does_not_stick():
    """The state of a slower step is loaded; the next step's own rate must count, though it was the last one used."""
    p = nn.Linear(1, 1, bias=False)
    optimizer = built(p, Regime(optimizer="sgd", lr=1.0))

    def moved(lr):
        before = p.weight.item()
        p.weight.grad = torch.ones(1, 1)
        optimizer.step(lr)
        return before - p.weight.item()

    assert moved(0.5) == pytest.approx(0.5)
    state = optimizer.state_dict()
    slow = [{**part, "param_groups": [dict(g) for g in part["param_groups"]]} for part in state]
    assert moved(1.0) == pytest.approx(1.0)
    optimizer.load_state_dict(slow)
    assert moved(1.0) == pytest.approx(1.0)
