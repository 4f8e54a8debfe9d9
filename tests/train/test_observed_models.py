"""A network of somebody else's loop, evaluated: the numbers are those of a run, and the training does not notice."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from grokscope import registry
from grokscope.components import Measurement
from grokscope.train.driver import make_engine
from grokscope.train.observed import ObservedModel
from tiny import fitting, tiny


def engine_of(kind, name):
    config = tiny(fitting(kind, name))
    engine = make_engine(config, config.task.build(0))[1]
    engine.advance(3, False, lambda: False)
    return engine


def observed(model, splits, **options):
    return ObservedModel(
        model, splits, **({"kind": "classification", "loss": "cross_entropy", "threshold": 0.95} | options)
    )


@pytest.mark.parametrize(
    ("kind", "name", "loss"),
    [
        ("model", "embedding-mlp", "cross_entropy"),
        ("model", "transformer", "cross_entropy"),
        ("loss", "mse", "mse"),
        ("loss", "hinge", "hinge"),
        ("loss", "squared_error", "squared_error"),
    ],
)
def test_a_row_is_that_of_the_engine(kind, name, loss):
    engine = engine_of(kind, name)
    splits = {key: (s.x, s.y) if s.env is None else (s.x, s.y, s.env) for key, s in engine.splits.items()}
    other = observed(engine.model, splits, kind=engine.kind, loss=loss)
    lr, rest = engine.rate(3), ("_group", "fourier", "key_freq")
    row = other.row(3, True, lr, True)
    want = {key: value for key, value in engine.row(True).items() if key in row}
    assert len(want) > 12
    apart = {"train_r2", "id_val_r2"}  # against one mean: a loop of one's own has no groups with means of their own
    assert {k: v for k, v in row.items() if k not in apart} == pytest.approx(
        {k: v for k, v in want.items() if k not in apart}, rel=1e-12, nan_ok=True
    )
    missing = {key for key in engine.row(True) if key not in want and key not in engine.watch.values}
    assert not {key for key in missing if key != "lr" and not any(word in key for word in (*rest, "embedding_gini"))}
    facts, own = other.facts(), engine.facts()
    for key in ("parameters", "groups", "group_sizes"):
        assert facts[key] == own[key]
    assert {name: split["n"] for name, split in facts["splits"].items()} == {
        name: split["n"] for name, split in own["splits"].items()
    }


def images(n, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return (rng.normal(size=(n, 1, 6, 6)) + y[:, None, None, None]).astype(np.float32), y


class Fickle(nn.Module):
    """Dropout, running averages, a part that its owner froze in eval mode, and a tensor that is cached when it is first
    needed, as rotary embeddings are."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.frozen = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(4, 2)
        self.frozen.eval()
        self.cache = None

    def forward(self, x):
        h = torch.relu(self.frozen(self.norm(self.conv(x)))).mean((2, 3))
        if self.cache is None:
            self.cache = torch.linspace(0.5, 1.5, h.shape[1])
        return self.head(self.drop(h * self.cache))


def trained(look):
    torch.manual_seed(0)
    model = Fickle()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    x, y = (torch.as_tensor(a) for a in images(40, 0))
    other = observed(model, {"train": (x, y), "id_val": images(60, 1)}) if look else None
    modes = [module.training for module in model.modules()]
    for step in range(12):
        batch = torch.randperm(40)[:16]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        if other is not None:
            gradients = [p.grad.clone() for p in model.parameters()]
            other.row(step, step % 2 == 0, 1e-2, True)  # between backward and update, the worst of all moments
            assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))
            assert [module.training for module in model.modules()] == modes
        optimizer.step()
    return model.state_dict(), torch.rand(3)


def test_looking_changes_nothing():
    plain, watched = trained(False), trained(True)
    assert torch.equal(plain[1], watched[1])
    for name, tensor in plain[0].items():
        assert torch.equal(tensor, watched[0][name]), name


def test_scores_are_of_eval_mode_and_all_rows():
    torch.manual_seed(1)
    model, (x, y) = Fickle(), images(5000, 2)  # more than one chunk
    row = observed(model, {"train": (x, y), "id_val": images(300, 3)}).row(0, False)
    with torch.no_grad():
        right = model.eval()(torch.as_tensor(x)).argmax(1).numpy() == y
    assert (row["train_correct"], row["train_n"]) == (right.sum(), 5000)
    assert row["train_acc"] == right.sum() / 5000


def test_a_network_is_called_in_its_own_way():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(3, 8), nn.Linear(8, 2)

        def forward(self, *, features):
            return {"logits": self.head(torch.relu(self.body(features)))}

    model, x, y = Wrapped(), torch.randn(50, 3), torch.arange(50) % 2
    splits = {"train": (x, y), "id_val": (x + 1, y)}
    with pytest.raises(ValueError, match=r"cannot be called with inputs of train .*give forward="):
        observed(model, splits)
    other = observed(model, splits, call=lambda m, x: m(features=x)["logits"])
    row = other.row(0, True)
    assert row["norm_head"] == pytest.approx(
        float(sum(p.detach().square().sum() for p in model.head.parameters()) ** 0.5)
    )
    assert {"rank_effective", "id_val_probe_acc", "softmax_collapse"} <= row.keys()


@pytest.mark.parametrize("name", sorted(registry.built_in("measurement")))
def test_each_measurement_can_be_asked(name):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    x, y = torch.randn(40, 6), torch.arange(40) % 3
    measurement = registry.load("measurement", name)()
    standard = measurement.standard
    other = observed(model, {"train": (x, y), "id_val": (x + 0.1, y)}, measurements=() if standard else (measurement,))
    row = other.row(4, True, 1e-3, True)
    assert row["train_n"] == 40
    assert all(isinstance(value, int | float) for value in row.values())


CASES = {
    "no train": (lambda x, y: {"id_val": (x, y)}, {}, "'train' is missing"),
    "unknown split": (lambda x, y: {"train": (x, y), "val": (x, y)}, {}, "unknown split 'val'"),
    "one array": (lambda x, y: {"train": x}, {}, "expected .inputs, labels."),
    "lengths": (lambda x, y: {"train": (x, y[:5])}, {}, "as many rows"),
    "class beyond outputs": (lambda x, y: {"train": (x, y + 2)}, {}, r"classes must lie in \[0, 3\)"),
    "real labels": (lambda x, y: {"train": (x, y.float())}, {}, "must be whole numbers"),
    "loss of another kind": (lambda x, y: {"train": (x, y)}, {"loss": "squared_error"}, "needs one output"),
    "unknown loss": (lambda x, y: {"train": (x, y)}, {"loss": "cross_entropie"}, "cross_entropy"),
}


@pytest.mark.parametrize("case", CASES)
def test_mistakes_are_named(case):
    splits, options, message = CASES[case]
    x, y = torch.randn(30, 6), torch.arange(30) % 3
    with pytest.raises(ValueError, match=message):
        observed(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), splits(x, y), **options)


def test_outputs_of_another_shape_are_refused():
    x, y = torch.randn(30, 6), torch.randn(30)
    model = nn.Sequential(nn.Linear(6, 1), nn.Flatten(0))
    with pytest.raises(ValueError, match=r"of the shape \(8,\), expected logits \(n, k\); give forward="):
        observed(model, {"train": (x, y)}, kind="regression", loss="squared_error")
    other = observed(model, {"train": (x, y)}, kind="regression", loss="squared_error", call=lambda m, x: m(x)[:, None])
    with torch.no_grad():
        assert other.row(0, False)["train_loss"] == pytest.approx(float((model(x) - y).square().mean()), rel=1e-6)


def test_rows_that_stand_in_train_are_counted():
    x, y = torch.randn(30, 6), torch.arange(30) % 3
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    facts = observed(model, {"train": (x, y), "id_val": (torch.cat([x[:4], x[:5] + 9]), y[:9])}).facts()
    assert facts["data"]["rows_in_train"] == {"id_val": 4}


def test_a_measurement_does_not_write_over_another_column():
    @dataclass(frozen=True, kw_only=True)
    class Twice(Measurement):
        name = "twice"
        needs = frozenset()

        def __call__(self, view):
            return {"logit_max": 0.0}

    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    x, y = torch.randn(30, 6), torch.arange(30) % 3
    with pytest.raises(ValueError, match="'twice' writes the column 'logit_max', which already exists"):
        observed(model, {"train": (x, y), "id_val": (x, y)}, measurements=(Twice(),)).row(0, True)
