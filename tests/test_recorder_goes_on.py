"""Recordings that are interrupted, continued, or opened a second time: nothing is lost, and nothing wrong is said."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from grokscope import open_run
from grokscope.recorder import Recorder
from grokscope.store import lock
from grokscope.verdicts import run_verdicts

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
SPLITS = {"train": (X, torch.arange(40) % 3), "id_val": (X + 1, torch.arange(40) % 3)}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def scored(folder, model=None, loss="cross_entropy", **options):
    return Recorder(folder, network() if model is None else model, splits=SPLITS, loss=loss, **options)


def steps(folder):
    return [row["step"] for row in open_run(folder).rows()]


def test_a_recorder_that_was_left_open_makes_room(tmp_path):
    """A notebook's cell that is run again."""
    left = scored(tmp_path / "mine")
    left.evaluate(1)
    with scored(tmp_path / "mine") as rec:
        rec.evaluate(2)
        for call in (left.evaluate, left.log, left.checkpoint):
            with pytest.raises(ValueError, match="was followed by another recorder of the same folder"):
                call(3)
        left.finish()  # changes nothing any more
        assert open_run(tmp_path / "mine").status["state"] == "running"
        assert lock.is_held(tmp_path / "mine")
    assert steps(tmp_path / "mine") == [1, 2]


def test_a_recorder_that_is_refused_closes_nobody(tmp_path):
    with scored(tmp_path / "mine") as rec:
        with pytest.raises(ValueError, match="seed 0, not 1"):
            scored(tmp_path / "mine", seed=1)
        rec.evaluate(1)


def test_another_process_is_refused(tmp_path):
    code = f"from grokscope.recorder import Recorder; Recorder({str(tmp_path / 'mine')!r})"
    with Recorder(tmp_path / "mine") as rec:
        rec.log(1, train_acc=0.5)
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        rec.log(2, train_acc=0.5)
    assert "is being trained by pid" in other.stderr
    assert steps(tmp_path / "mine") == [1, 2]


def test_a_finished_recorder_says_so(tmp_path):
    rec = scored(tmp_path / "mine")
    rec.evaluate(1)
    rec.finish()
    for call in (rec.evaluate, rec.log, rec.checkpoint):
        with pytest.raises(ValueError, match="this recorder is finished; create a new one"):
            call(2)
    rec.finish("failed")
    assert open_run(tmp_path / "mine").status["state"] == "done"
    assert not list(open_run(tmp_path / "mine").checkpoints())


@pytest.mark.parametrize(("error", "state"), [(KeyboardInterrupt, "interrupted"), (RuntimeError, "failed")])
def test_what_stopped_the_loop_is_kept(tmp_path, error, state):
    def loop():
        with scored(tmp_path / "mine") as rec:
            rec.evaluate(1)
            raise error("no memory")

    with pytest.raises(error):
        loop()
    status = open_run(tmp_path / "mine").status
    assert (status["state"], status["error"]["type"], status["error"]["message"]) == (
        state, error.__name__, "no memory",
    )  # fmt: skip
    with scored(tmp_path / "mine") as rec:
        rec.evaluate(2)
    assert (steps(tmp_path / "mine"), open_run(tmp_path / "mine").status["state"]) == ([1, 2], "done")


def test_a_step_that_does_not_follow_is_refused_before_it_is_computed(tmp_path):
    calls = []
    with scored(tmp_path / "mine", forward=lambda model, x: calls.append(1) or model(x)) as rec:
        rec.evaluate(5)
        before = len(calls)
        for step in (5, 3, 6.5):
            with pytest.raises(ValueError, match=r"does not follow 5|whole number"):
                rec.evaluate(step)
        assert len(calls) == before
        rec.evaluate(6)
    assert steps(tmp_path / "mine") == [5, 6]


def test_a_mistake_in_the_first_row_of_a_continuation_costs_no_rows(tmp_path):
    for values in ([0.5, 0.6, 0.7], ["high"]):
        with Recorder(tmp_path / "mine") as rec:
            for step, value in enumerate(values):
                if value == "high":
                    with pytest.raises(ValueError, match="expected a number"):
                        rec.log(step, train_acc=value)
                else:
                    rec.log(step, train_acc=value)
    assert steps(tmp_path / "mine") == [0, 1, 2]
    assert open_run(tmp_path / "mine").status["step"] == 2


def test_another_loss_is_another_run(tmp_path):
    with scored(tmp_path / "mine") as rec:
        rec.evaluate(1)
    with pytest.raises(ValueError, match="loss 'cross_entropy', not 'mse'"):
        scored(tmp_path / "mine", loss="mse")


def test_settings_that_changed_in_between_are_unknown(tmp_path):
    decays = (0.5, 0.1, 0.1)
    for step, decay in enumerate(decays):
        model = network()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=decay)
        with scored(tmp_path / "mine", model, optimizer=optimizer) as rec:
            rec.evaluate(step)
    record = open_run(tmp_path / "mine").record
    assert "weight_decay" not in record["config"]["regime"]
    assert (record["config"]["regime"]["optimizer"], record["config"]["regime"]["lr"]) == ("adamw", 1e-2)
    assert "weight_decay was 0.5 and became 0.1 when the recording went on: unknown" in record["facts"]["notes"]


def test_what_the_earlier_part_knew_is_still_known(tmp_path):
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.5)
    with scored(tmp_path / "mine", model, optimizer=optimizer, config={"width": 8}) as rec:
        rec.evaluate(1)
    with Recorder(tmp_path / "mine", model) as rec:
        rec.log(2, train_acc=0.5)
    run = open_run(tmp_path / "mine")
    assert (run.config["regime"]["weight_decay"], run.config["regime"]["loss"]) == (0.5, "cross_entropy")
    assert run.config["own"]["width"] == 8
    assert {"groups", "parameters", "data"} <= run.facts.keys()
    assert run_verdicts(run)["id_val"].split == "id_val"


def test_wrappers_of_torch_are_no_other_network(tmp_path):
    model = network()
    with scored(tmp_path / "mine", model) as rec:
        row = rec.evaluate(1)
        plain = rec.checkpoint(1).read_bytes()
    for step, wrapped in enumerate((torch.compile(model, backend="eager"), nn.DataParallel(model)), 2):
        with scored(tmp_path / "mine", wrapped) as rec:
            assert rec.evaluate(step) == row
            assert rec.checkpoint(step).read_bytes() == plain
