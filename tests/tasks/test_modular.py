"""Modular arithmetic as a task: splits, nesting, honest configs."""

import numpy as np
import pytest

from grokscope import configio
from grokscope.tasks.modular import Modular
from grokscope.tasks.operations import OPERATIONS, table
from grokscope.tasks.trivial import trivial_metrics


def rows(split):
    return [tuple(r) for r in split.x.tolist()]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_splits_partition_the_table(operation):
    task = Modular(operation=operation, p=None if operation == "s5" else 13, train_fraction=0.3)
    data = task.build(4)
    train, held_out = data.splits["train"], data.splits["id_val"]
    tokens, results = table(operation, task.p)
    truth = dict(zip(map(tuple, tokens.tolist()), results.tolist(), strict=True))
    seen = dict(zip(rows(train) + rows(held_out), [*train.y.tolist(), *held_out.y.tolist()], strict=True))
    assert not set(rows(train)) & set(rows(held_out))
    assert seen == truth
    assert len(train) == task.train_size() == round(0.3 * len(tokens))
    assert data.classes == data.vocabulary == (120 if operation == "s5" else 13)
    assert data.meta == {"operation": operation, "p": task.p}
    assert data.threshold == 0.95


def test_the_default_is_half_of_addition_modulo_59():
    task = Modular()
    assert (task.operation, task.p, task.pairs(), task.train_size()) == ("add", 59, 3481, 1740)


def test_a_smaller_fraction_keeps_a_prefix_of_the_same_pairs():
    whole = rows(Modular(train_fraction=0.9).build(1).splits["train"])
    for fraction in (0.1, 0.2, 0.3, 0.5):
        task = Modular(train_fraction=fraction)
        assert rows(task.build(1).splits["train"]) == whole[: task.train_size()]


def test_what_leaves_training_is_held_out():
    large, small = (Modular(train_fraction=f).build(0).splits for f in (0.5, 0.1))
    dropped = set(rows(large["train"])) - set(rows(small["train"]))
    assert set(rows(small["id_val"])) == set(rows(large["id_val"])) | dropped


def test_the_seed_decides_the_subset_and_nothing_else():
    first, again, other = (Modular().build(s).splits["train"] for s in (0, 0, 1))
    np.testing.assert_array_equal(first.x, again.x)
    assert rows(first) != rows(other)
    share = len(set(rows(first)) & set(rows(other))) / len(first)
    assert 0.4 < share < 0.6  # two random halves


def test_the_commutative_trap_is_as_large_as_documented():
    data = Modular(train_fraction=0.4).build(0)
    train = set(rows(data.splits["train"]))
    mirrored = np.mean([(b, a) in train for a, b in rows(data.splits["id_val"])])
    assert 0.35 < mirrored < 0.45


def test_multiplication_has_its_documented_zero_rows():
    data = Modular(operation="multiply").build(0)
    zeros = sum(int((s.y == 0).sum()) for s in data.splits.values())
    assert zeros == 2 * 59 - 1
    assert trivial_metrics(data)["id_val"]["acc"] == pytest.approx((data.splits["id_val"].y == 0).mean())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"operation": "divde"}, "operation 'divde' is unknown; did you mean 'divide'"),
        ({"p": 1}, "p must be at least 2, got 1"),
        ({"operation": "divide", "p": 60}, "p = 60 is not prime.*next prime is 61"),
        ({"operation": "s5", "p": 59}, "s5 has 120 elements and no modulus; omit p"),
        ({"train_fraction": 0.0}, "train_fraction must lie strictly between 0 and 1, got 0.0"),
        ({"train_fraction": 1}, "train_fraction must lie strictly between 0 and 1, got 1"),
        ({"train_fraction": -0.5}, "train_fraction must lie strictly"),
        ({"train_fraction": float("nan")}, "train_fraction must lie strictly"),
        ({"train_fraction": 1e-5}, "leaves 0 for training"),
        ({"train_fraction": 1 - 1e-5}, "and 0 for id_val"),
    ],
)
def test_impossible_settings_are_refused_with_the_remedy(fields, message):
    with pytest.raises(ValueError, match=message):
        Modular(**fields)


@pytest.mark.parametrize("task", [Modular(), Modular(operation="s5"), Modular(operation="divide", p=97)])
def test_the_stored_config_names_its_modulus_and_reads_back(task):
    raw = configio.dump(task)
    assert raw["p"] == (None if task.operation == "s5" else task.p)
    raw.pop("name")
    assert configio.structure(raw, Modular) == task
