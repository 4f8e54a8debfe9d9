"""Batch order: each epoch is a permutation, whoever looks and however often."""

import pytest
import torch

from grokscope.train.order import BatchOrder


def epoch(order):
    return [order.next().tolist() for _ in range(order.steps_per_epoch)]


@pytest.mark.parametrize(("n", "size"), [(10, 3), (12, 4), (7, 6), (5, 1)])
def test_every_epoch_is_a_permutation_in_batches_with_a_smaller_last_one(n, size):
    order = BatchOrder(n, size, seed=3)
    assert order.steps_per_epoch == -(-n // size)
    seen = []
    for _ in range(5):
        batches = epoch(order)
        assert [len(b) for b in batches[:-1]] == [size] * (len(batches) - 1)
        assert len(batches[-1]) == n - size * (len(batches) - 1)
        flat = [i for batch in batches for i in batch]
        assert sorted(flat) == list(range(n))
        seen.append(flat)
    assert len({tuple(s) for s in seen}) > 1, "a fresh permutation for each epoch"


def test_the_order_is_a_function_of_the_seed():
    one, same, other = (BatchOrder(20, 6, seed) for seed in (1, 1, 2))
    first = [epoch(one) for _ in range(3)]
    assert first == [epoch(same) for _ in range(3)]
    assert first != [epoch(other) for _ in range(3)]


@pytest.mark.parametrize("size", [0, 10, 11, 1000])
def test_the_full_training_set_has_no_order(size):
    order = BatchOrder(10, size, seed=0)
    assert order.full
    assert order.steps_per_epoch == 1
    assert order.next() is None


def test_the_global_generator_is_neither_used_nor_changed():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = epoch(BatchOrder(20, 6, seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert epoch(BatchOrder(20, 6, seed=1)) == first


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4, 9])
def test_a_restored_order_goes_on_inside_the_epoch(cut):
    whole = BatchOrder(10, 3, seed=0)
    batches = [whole.next().tolist() for _ in range(14)]
    first = BatchOrder(10, 3, seed=0)
    for _ in range(cut):
        first.next()
    second = BatchOrder(10, 3, seed=77)
    second.load_state_dict(first.state_dict())
    assert [second.next().tolist() for _ in range(14 - cut)] == batches[cut:]


def test_a_saved_state_does_not_move_with_the_order():
    order = BatchOrder(10, 3, seed=0)
    order.next()
    state = order.state_dict()
    rest = [order.next().tolist() for _ in range(9)]
    again = BatchOrder(10, 3, seed=1)
    again.load_state_dict(state)
    assert [again.next().tolist() for _ in range(9)] == rest
