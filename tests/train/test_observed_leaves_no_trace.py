"""Networks that write to themselves, draw numbers, are compiled or of another precision: evaluated without a trace."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from grokscope.train.observed import ObservedModel


def mlp(outputs=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, outputs))


def examples(n=60):
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(n)), torch.arange(n) % 3


def observed(model, n=60, **options):
    x, y = examples(n)
    x = x.to(next(model.parameters()).dtype)
    splits = {"train": (x, y), "id_val": (x + 1, y)}
    return ObservedModel(model, splits, kind="classification", loss="cross_entropy", threshold=0.95, **options)


class Writes(nn.Module):
    """Keeps running averages in eval mode too, one of them in a new tensor at each call."""

    def __init__(self):
        super().__init__()
        self.body = mlp()
        self.register_buffer("seen", torch.zeros(6))
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, x):
        self.seen.lerp_(x.detach().mean(0), 0.1)
        self.calls = self.calls + 1
        return self.body(x - self.seen)


def test_buffers_that_change_in_eval_mode_are_restored():
    model = Writes()
    other = observed(model)
    loss = model(examples()[0]).square().mean()  # between forward and backward: what it saved must not be written
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    rows = [other.row(step, True) for step in range(2)]
    assert rows[0] == rows[1]
    assert {name: buffer.tolist() for name, buffer in model.named_buffers()} == {
        name: buffer.tolist() for name, buffer in before.items()
    }
    loss.backward()


def test_generators_of_numpy_and_python_are_restored():
    other = observed(mlp(), call=lambda model, x: model(x + float(np.random.rand()) + random.random()))  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    want = np.random.rand(), random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    other.row(0, True)
    assert (np.random.rand(), random.random()) == want  # noqa: NPY002


class Grows(nn.Module):
    """Keeps a table for the largest batch it has seen."""

    def __init__(self):
        super().__init__()
        self.body, self.table = mlp(), torch.ones(0, 1)

    def forward(self, x):
        if len(self.table) < len(x):
            self.table = torch.ones(len(x), 1)
        return self.body(x) * self.table[: len(x)]


def test_a_table_that_grows_in_evaluation_can_be_trained_with():
    model = Grows()
    observed(model).row(0, False)
    model(examples(20)[0]).sum().backward()
    assert model.body[0].weight.grad is not None


@pytest.mark.parametrize("in_place", [False, True])
def test_a_compiled_network_is_seen_through(in_place):
    model, plain = mlp(), mlp()
    compiled = model
    if in_place:
        model.compile(backend="eager")
    else:
        compiled = torch.compile(model, backend="eager")
    compiled(examples()[0])  # compiled before anybody looked
    row = observed(compiled).row(0, True)
    assert row == observed(plain).row(0, True)
    assert "rank_effective" in row


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_norms_of_half_precision_are_not_rounded_to_it(dtype):
    model = mlp().to(dtype)
    row = observed(model).row(0, True)
    x, y = examples()
    with torch.no_grad():
        loss = float(nn.functional.cross_entropy(model(x.to(dtype)).float(), y))
    want = sum(float(p.detach().double().square().sum()) for p in model.parameters()) ** 0.5
    assert row["norm_total"] == pytest.approx(want, rel=1e-6)
    assert row["train_loss"] == pytest.approx(loss, rel=1e-6)


class Casts(nn.Module):
    """Takes images of bytes, and makes numbers of them in a dtype of its own."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.conv(x.float() / 255))).mean((2, 3)))


def test_a_network_that_casts_its_inputs_is_scored_and_its_invariant_weights_are_seen():
    torch.manual_seed(0)
    x, y = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8), torch.arange(40) % 2
    other = ObservedModel(Casts(), {"train": (x, y)}, kind="classification", loss="cross_entropy", threshold=0.95)
    assert other.groups["scale_invariant"] == ["conv.weight"]
    assert {"norm_scale_invariant", "train_acc", "rank_effective"} <= other.row(0, True).keys()


def test_a_loss_in_float64_is_that_of_the_training():
    model = mlp().double()
    with torch.no_grad():
        model[2].weight.mul_(0)
        model[2].bias.copy_(torch.tensor([20.0, 0.0, 0.0]))  # in float32 softmax is exactly 1 there
    x, y = examples()
    splits = {"train": (x.double(), y * 0)}
    other = ObservedModel(model, splits, kind="classification", loss="cross_entropy", threshold=0.95)
    row = other.row(0, True)
    assert 0 < row["train_loss"] == pytest.approx(2 * np.exp(-20), rel=1e-5)
    assert other.facts()["loss_dtype"] == "float64"


X, Y = examples(30)
SPLITS = {
    "environments between numbers": ((X, Y, Y + 0.5), "whole numbers from 0; number them first"),
    "environments below 0": ((X, Y, Y - 1), "whole numbers from 0"),
    "names of environments": ((X, Y, ["a", "b"] * 15), r"id_val'\]: environments must be whole numbers; number them"),
    "names in numpy": ((X, Y, np.array(["a", "b"] * 15)), "environments must be whole numbers; number them"),
    "environments in columns": ((X, Y, Y[:, None]), r"environments must have the shape \(n,\)"),
    "names of classes": ((X, ["a", "b"] * 15), r"id_val'\]: labels: expected one tensor or array of numbers"),
    "list of tensors": ((list(X), Y), r"id_val'\]: inputs: expected one tensor or array"),
    "one-hot": ((X, nn.functional.one_hot(Y)), r"got \(30, 3\); one-hot labels become classes by argmax"),
    "another width": ((X[:, :4], Y), r"id_val'\]: an example has the shape \(4,\)"),
    "another dtype": ((X.double(), Y), r"id_val'\]: .*float64, and one of train .*float32"),
    "nothing": ((X[:0], Y[:0]), r"id_val'\]: is empty; omit it"),
    "sparse": ((X.to_sparse(), Y), "must be dense"),
}


@pytest.mark.parametrize("case", SPLITS)
def test_splits_that_are_none_are_named(case):
    given, message = SPLITS[case]
    with pytest.raises(ValueError, match=message):
        ObservedModel(
            mlp(), {"train": (X, Y), "id_val": given}, kind="classification", loss="cross_entropy", threshold=0.95
        )


@pytest.mark.parametrize(
    ("model", "loss", "message"),
    [
        (lambda: nn.Sequential(nn.LazyLinear(3)), "cross_entropy", "lazy layers have no weights yet"),
        (lambda: nn.Flatten(), "cross_entropy", "model: has no parameters"),
        (lambda: mlp(1), "cross_entropy", "an output for each class, and the network has one; use 'logistic'"),
        (mlp, nn.CrossEntropyLoss(), "loss: expected the name of one .*got CrossEntropyLoss"),
    ],
    ids=["lazy", "no weights", "one output", "a module"],
)
def test_networks_and_losses_that_cannot_be_scored_are_named(model, loss, message):
    with pytest.raises(ValueError, match=message):
        ObservedModel(model(), {"train": (X, Y)}, kind="classification", loss=loss, threshold=0.95)


def test_environments_that_are_whole_numbers_of_any_type_are_the_same():
    rows = []
    for env in (Y, Y.float(), Y.numpy().astype(np.int32), Y.tolist()):
        splits = {"train": (X, Y, env)}
        other = ObservedModel(mlp(), splits, kind="classification", loss="cross_entropy", threshold=0.95)
        rows.append(other.row(0, False))
    assert all(row == rows[0] for row in rows)
    assert "train_env2_acc" in rows[0]


class TiedByHand(nn.Module):
    """Its logits are a product with the embedding: no layer is its head."""

    def __init__(self):
        super().__init__()
        self.embedding, self.mix = nn.Parameter(torch.randn(3, 8)), nn.Linear(6, 8)

    def forward(self, x):
        return torch.relu(self.mix(x)) @ self.embedding.T


def test_a_head_that_does_not_make_the_logits_is_told():
    assert observed(mlp()).notes == []
    (note,) = observed(TiedByHand()).notes
    assert note.startswith("the last linear layer, mix, has 8 outputs and the logits 3")
