"""Switches of what a batch is made of and of the learning rate over time: batch size, augmentation, schedule."""

import pytest
import torch

from grokscope.config import Budget
from grokscope.train.driver import Interrupted, extend, make_engine, train
from grokscope.train.stacked.alike import refusal
from tiny import fitting, same_folder_content, tiny

HOSPITALS = fitting("task", "hospitals")


def switched(to, **changes):
    return tiny({**changes, "regime.interventions": [{"name": "switch", "from": 10, "until": 40, "to": to}]})


def batches(config, steps):
    """The rows of every batch, as the engine takes them from its order."""
    engine = make_engine(config, config.task.build(config.seed))[1]
    taken, hand_out = [], engine.order.next

    def noted():
        taken.append(hand_out())
        return taken[-1]

    engine.order.next = noted
    engine.advance(steps, False, lambda: False)
    return taken


def test_another_batch_size_begins_a_new_epoch_in_which_each_example_comes_once():
    taken = batches(switched({"batch_size": 5}), 50)  # 24 examples in batches of 8, 5 from step 10 to 40, and 8 again
    assert [len(t) for t in taken] == [8] * 10 + [5, 5, 5, 5, 4] * 6 + [8] * 10
    for first in (10, 15, 40, 43):
        epoch = taken[first : first + (5 if first < 40 else 3)]
        assert torch.equal(torch.cat(epoch).sort().values, torch.arange(24))


def test_all_examples_at_once_and_back():
    taken = batches(switched({"batch_size": 0}), 45)
    assert all(t is None for t in taken[10:40])
    assert [len(t) for t in taken[40:]] == [8] * 5


def test_epochs_of_the_cadences_stay_those_of_the_regime(tmp_path):
    run = train(switched({"batch_size": 5}, **{"evaluate": {"every": 5, "unit": "epochs"}}), tmp_path)
    assert run.facts["steps_per_epoch"] == 3
    assert [r["epoch"] for r in run.rows() if r["step"] in (15, 30, 45)] == [5, 10, 15]


WARM = {"name": "warmup", "warmup_steps": 30}


@pytest.mark.parametrize(
    ("to", "changes"),
    [
        ({"batch_size": 8}, {}),
        ({"schedule": WARM}, {"regime.schedule": WARM}),
        ({"augment_flip": True}, {**HOSPITALS, "regime.augment_flip": True}),
    ],
    ids=["batch size", "schedule", "augmentation"],
)  # fmt: skip
def test_a_switch_to_what_is_in_force_is_none(tmp_path, to, changes):
    plain = train(tiny(changes), tmp_path / "plain")
    same = train(switched(to, **changes), tmp_path / "switched")
    assert same.rows() == plain.rows()


@pytest.mark.parametrize(
    ("to", "changes"),
    [({"batch_size": 5}, {}), ({"augment_flip": True, "augment_crop": 2, "batch_size": 0}, HOSPITALS)],
    ids=["batch size", "augmentation"],
)
@pytest.mark.parametrize("stop", [7, 13, 40])
def test_a_run_that_is_stopped_goes_on_bit_for_bit(tmp_path, to, changes, stop):
    config = switched(to, **changes)
    whole = train(config, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(config, tmp_path / "parts", interrupt_at=stop)
    same_folder_content(whole.path, train(config, tmp_path / "parts").path)
    plain = train(tiny(changes), tmp_path / "plain")
    rows = [[r for r in run.rows() if r["step"] <= 10] for run in (whole, plain)]
    assert rows[0] == rows[1]
    assert whole.rows()[-1] != plain.rows()[-1]


def test_augmentation_stops_where_it_is_switched_off(tmp_path):
    """Up to there it is the augmented run; the random numbers after it are those that it would have drawn."""
    changes = {**HOSPITALS, "regime.augment_flip": True}
    config = switched({"augment_flip": False}, **changes)
    engine = make_engine(config, config.task.build(config.seed))[1]
    state = {}
    for step in (10, 40, 41):
        engine.advance(step, False, lambda: False)
        state[step] = engine.augment.state_dict()["generator"]
    assert torch.equal(state[10], state[40])
    assert not torch.equal(state[40], state[41])


def test_a_schedule_counts_from_the_first_step(tmp_path):
    run = train(switched({"schedule": {"name": "warmup", "warmup_steps": 40}}), tmp_path)
    rates = {row["step"]: row["lr"] for row in run.rows()}
    assert rates[7] == pytest.approx(1e-2)
    assert rates[20] == pytest.approx(1e-2 * 20 / 40)
    assert rates[42] == pytest.approx(1e-2)
    longer = extend(run, Budget(steps=80))
    config = switched({"schedule": {"name": "warmup", "warmup_steps": 40}}, **{"budget.steps": 80})
    assert longer.rows() == train(config, tmp_path / "whole").rows()


def test_what_cannot_be_switched_is_told():
    subset = [{"name": "train_subset", "share": 0.5}, {"name": "switch", "to": {"batch_size": 4}}]
    config = tiny({"regime.interventions": subset})
    with pytest.raises(ValueError, match="batch_size cannot be switched together with train_subset"):
        make_engine(config, config.task.build(0))
    config = switched({"batch_size": 23}, **HOSPITALS)
    with pytest.raises(ValueError, match=r"interventions\[0\]: .*batches of 23 leave a batch with a single example"):
        make_engine(config, config.task.build(0))
    config = switched({"augment_flip": True})
    with pytest.raises(ValueError, match="augment_flip: needs images"):
        make_engine(config, config.task.build(0))
    assert "a stack has one" in refusal(switched({"batch_size": 4}))
    assert refusal(switched({"lr": 0.1})) == ""
