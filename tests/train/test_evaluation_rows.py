"""What a row says: integer counts, exact ones, chunks, groups, R2, and what one step did."""

import json
import re

import numpy as np
import pytest
import torch
from torch import nn

from grokscope.task_data import Split, TaskData
from grokscope.tasks.trivial import trivial_metrics
from grokscope.train import evaluate
from grokscope.train.driver import make_engine
from grokscope.train.evaluate import TensorSplit, forward, split_metrics, to_row
from grokscope.train.loss_functions import CrossEntropy, SquaredError
from tiny import tiny

CE = CrossEntropy(torch.float32, 3)


def split_of(n, env=None):
    y = torch.arange(n) % 3
    return TensorSplit(torch.zeros(n, 1), y, y, env)


def logits_right_but(split, wrong):
    z = torch.nn.functional.one_hot(split.y, 3).float()
    z[:wrong] = z[:wrong].roll(1, dims=1)
    return z


@pytest.mark.parametrize("n", [3, 7, 1009, 2_000_003])
def test_all_correct_is_exactly_one(n):
    """A float mean of booleans can give 0.99999994 for all correct."""
    split = split_of(n)
    row = to_row(split_metrics(logits_right_but(split, 0), split, CE, "train"), {})
    assert row["train_acc"] == 1.0
    assert row["train_correct"] == row["train_n"] == n


def test_no_count_is_lost_to_a_float_mean():
    """1 / 49 * 49 is below 1 in floats, and cutting it off would lose an example."""
    split = split_of(49)
    for wrong in range(50):
        row = to_row(split_metrics(logits_right_but(split, wrong), split, CE, "train"), {})
        assert row["train_correct"] == 49 - wrong


@pytest.mark.parametrize("wrong", [0, 1, 5, 12])
def test_counts_are_integers_and_accuracy_their_ratio(wrong):
    split = split_of(12)
    row = to_row(split_metrics(logits_right_but(split, wrong), split, CE, "id_val"), {})
    assert row["id_val_correct"] == 12 - wrong
    assert row["id_val_acc"] == (12 - wrong) / 12
    assert isinstance(row["id_val_correct"], int)
    assert isinstance(row["id_val_n"], int)
    assert json.loads(json.dumps(row)) == row, "plain numbers only"


def test_counts_by_environment_and_class_add_up():
    env = torch.tensor([0, 0, 4, 4, 4, 9, 9, 0, 4, 9, 9, 9])
    split = split_of(12, env)
    row = to_row(split_metrics(logits_right_but(split, 5), split, CE, "train"), {})
    for cell in (r"env\d+", r"class\d+", r"env\d+_class\d+"):
        parts = [k for k in row if re.fullmatch(f"train_{cell}_correct", k)]
        assert sum(row[k] for k in parts) == row["train_correct"] == 7
        assert sum(row[k.replace("_correct", "_n")] for k in parts) == 12
    assert (row["train_env0_correct"], row["train_env0_n"]) == (1, 3)  # rows 0, 1 are wrong, row 7 is right
    assert row["train_env4_acc"] == pytest.approx(1 / 4)
    assert row["train_env9_acc"] == 1.0
    assert (row["train_env4_class2_correct"], row["train_env4_class2_n"]) == (1, 2)  # row 2 is wrong, row 8 is right
    assert "train_env0_class2_n" not in row, "hospital 0 has no example of that class"


def test_a_large_split_in_chunks_equals_the_whole(monkeypatch):
    torch.manual_seed(0)
    model = nn.Linear(4, 3).double()
    x = torch.randn(103, 4, dtype=torch.float64)
    whole = forward(model, x)
    monkeypatch.setattr(evaluate, "CHUNK", 10)
    parts = forward(model, x)
    assert parts.shape == (103, 3)
    torch.testing.assert_close(parts, whole, rtol=1e-14, atol=1e-14)


def test_r2_is_one_minus_loss_over_the_trivial_predictors():
    rng = np.random.default_rng(0)
    group = np.arange(60) % 2
    y = (rng.standard_normal(60) + 5 * group).astype(np.float32)
    parts = {"train": slice(0, 40), "id_val": slice(40, 60)}
    data = TaskData(
        kind="regression",
        splits={n: Split(np.zeros((len(y[s]), 1), np.float32), y[s], group=group[s]) for n, s in parts.items()},
        classes=1,
        threshold=0.9,
    )
    trivial = trivial_metrics(data)
    means = [y[:40][group[:40] == g].astype(np.float64).mean() for g in (0, 1)]
    base = np.mean((y[40:] - np.array(means)[group[40:]]) ** 2)
    loss = SquaredError(torch.float64, 1)
    target = torch.as_tensor(y[40:])
    split = TensorSplit(torch.zeros(20, 1), target, loss.encode(target), group=torch.as_tensor(group[40:]))
    guess = torch.full((20, 1), 2.5)
    row = to_row(split_metrics(guess, split, loss, "id_val"), trivial)
    mse = float(np.mean((2.5 - y[40:].astype(np.float64)) ** 2))
    assert row["id_val_r2"] == pytest.approx(1 - mse / base)
    assert "id_val_acc" not in row
    by_group = [row["id_val_group0_loss"], row["id_val_group1_loss"]]
    assert np.mean(by_group) == pytest.approx(mse, rel=1e-6)  # both groups have ten rows
    perfect = to_row(split_metrics(target[:, None], split, loss, "id_val"), trivial)
    assert perfect["id_val_r2"] == 1.0


# -- what a step did --------------------------------------------------------------------------------------------------


def watched(changes, steps=4):
    config = tiny(changes)
    engine = make_engine(config, config.task.build(config.seed))[1]
    engine.advance(steps - 1, False, lambda: False)
    before = [p.detach().clone() for p in engine.parameters]
    engine.advance(steps, True, lambda: False)
    after = [p.detach().clone() for p in engine.parameters]
    return engine, before, after, engine.row(diagnose=True)


def flat(tensors):
    return torch.cat([t.double().flatten() for t in tensors])


def test_the_update_is_what_moved_decay_included():
    _, before, after, row = watched({"regime.weight_decay": 5.0, "regime.grad_filter": "grokfast_ema"})
    assert row["update_norm"] == pytest.approx((flat(after) - flat(before)).norm().item(), rel=1e-6)


def test_gradients_are_measured_before_the_filter_and_their_direction_after_it():
    config = {"regime.batch_size": 0, "regime.optimizer": "sgd", "regime.grad_filter": "orthogonal"}
    engine, before, _, row = watched(config)
    names = [n for n, _ in engine.model.named_parameters()]
    twin = make_engine(tiny(config), tiny(config).task.build(0))[1]
    with torch.no_grad():
        for p, w in zip(twin.parameters, before, strict=True):
            p.copy_(w)
    train = twin.splits["train"]
    twin.loss(twin.model(train.x), train.target).backward()
    raw = [p.grad.clone() for p in twin.parameters]
    assert row["grad_norm_total"] == pytest.approx(flat(raw).norm().item(), rel=1e-5)
    for group, members in engine.groups.items():
        part = [g for g, n in zip(raw, names, strict=True) if n in members]
        assert row[f"grad_norm_{group}"] == pytest.approx(flat(part).norm().item(), rel=1e-5)
    assert abs(row["cos_grad_weights"]) < 1e-6, "the filtered gradient is orthogonal to the weights"
    cosine = nn.functional.cosine_similarity(flat(raw), flat(before), dim=0)
    assert abs(cosine.item()) > 1e-3, "the raw one is not"


def test_the_direction_of_head_growth_is_measured_on_the_head_alone():
    engine, before, _, row = watched({"regime.batch_size": 0, "regime.optimizer": "sgd"})
    twin = make_engine(tiny({"regime.batch_size": 0}), tiny().task.build(0))[1]
    with torch.no_grad():
        for p, w in zip(twin.parameters, before, strict=True):
            p.copy_(w)
    train = twin.splits["train"]
    twin.loss(twin.model(train.x), train.target).backward()
    named = dict(twin.model.named_parameters())
    head = engine.groups["head"]
    dot = sum((named[n] * named[n].grad).double().sum() for n in head)
    size = flat([named[n] for n in head]).norm()
    wanted = dot / (size * flat([p.grad for p in named.values()]).norm())
    assert row["cos_grad_head"] == pytest.approx(wanted.item(), rel=1e-4)


def test_norms_of_groups_square_to_the_total():
    engine, _, after, row = watched({})
    groups = [row[f"norm_{g}"] for g in engine.groups]
    assert sum(v**2 for v in groups) == pytest.approx(row["norm_total"] ** 2, rel=1e-12)
    assert row["norm_total"] == pytest.approx(flat(after).norm().item(), rel=1e-6)


def test_costly_columns_are_in_diagnosed_rows_only():
    engine, _, _, full = watched({})
    plain = engine.row(diagnose=False)
    assert plain.keys() < full.keys()
    assert {k: full[k] for k in plain} == plain
    for key in ("margin_mean", "softmax_collapse", "rank_effective", "grad_norm_total", "fourier_restricted_loss"):
        assert key in full
        assert key not in plain


def test_the_untrained_network_has_no_step_to_describe():
    config = tiny()
    row = make_engine(config, config.task.build(0))[1].row(diagnose=True)
    assert "update_norm" not in row
    assert "rank_effective" in row


@pytest.mark.parametrize(("optimizer", "power"), [("sgd", 2), ("adamw", 1)])
def test_effective_rates_of_scale_invariant_tensors(optimizer, power):
    changes = {
        "task": {"name": "parity", "n": 8, "k": 2, "n_train": 40, "n_val": 20},
        "model": {"name": "mlp", "hidden": [8], "norm": "batch", "bias": False},
        "regime.optimizer": optimizer,
    }
    engine, _, _, row = watched(changes)
    assert engine.groups["scale_invariant"] == ["body.0.weight"]
    norm = engine.model.get_parameter("body.0.weight").norm().item()
    assert row["effective_lr/body.0.weight"] == pytest.approx(1e-2 / norm**power, rel=1e-6)
    assert sum(k.startswith("effective_lr/") for k in row) == 1


def test_the_loss_of_a_row_has_the_precision_of_its_dtype():
    changes = {"regime.loss_dtype": "float64", "regime.lr": 0.05, "regime.weight_decay": 0.0}
    engine, _, _, row = watched(changes, steps=600)
    assert engine.loss.dtype == torch.float64
    assert 0 < row["train_loss"] != float(np.float32(row["train_loss"]))
