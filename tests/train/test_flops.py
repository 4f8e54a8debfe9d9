"""What a step computes: counted by closed forms, without a change of the step, anew where it changes."""

import json

import pytest

from grokscope import cli
from grokscope.results.cost import flops_per_step, flops_until, merged, seconds_per_step
from grokscope.store.query import run_rows
from grokscope.train.driver import Interrupted, make_engine, train
from grokscope.train.flops import count
from grokscope.train.stacked.driver import train_stack
from grokscope.train.torch_engine import TorchEngine
from tiny import small_task, tiny

MLP = {"task": small_task("parity"), "model": {"name": "mlp", "hidden": [8]}, "regime.batch_size": 0}


def engine_of(changes, at=1):
    config = tiny(changes)
    engine = make_engine(config, config.task.build(config.seed))[1]
    engine.advance(at, False, lambda: False)
    return engine


def test_products_are_those_of_forward_and_backward():
    """40 examples of 8 numbers, 8 hidden units, 2 outputs: the gradient of the inputs is not needed."""
    engine = engine_of(MLP)
    counted = count(engine.eager_step)
    forward = 2 * 40 * (8 * 8 + 8 * 2)
    assert counted.products == 2 * forward + 2 * 40 * 8 * 2
    parameters = sum(p.numel() for p in engine.parameters)
    assert counted.elementwise > 12 * parameters, "Adam alone"


def test_elementwise_work_is_that_of_the_optimizer_and_the_filter():
    plain, filtered, muon = (
        count(engine_of({**MLP, **more}).eager_step)
        for more in ({}, {"regime.grad_filter": "grokfast_ema"}, {"regime.optimizer": "muon"})
    )
    size = sum(p.numel() for p in engine_of(MLP).parameters)
    assert filtered.products == plain.products
    assert 2 * size <= filtered.elementwise - plain.elementwise <= 4 * size  # an average, and its product added
    assert muon.products > plain.products, "five rounds of products for each hidden matrix"


def test_a_counted_step_is_the_step_that_it_would_be(tmp_path, monkeypatch):
    counted = train(tiny(), tmp_path / "counted")
    monkeypatch.setattr(TorchEngine, "_can_count", False)
    plain = train(tiny(), tmp_path / "plain")
    assert counted.rows() == plain.rows()
    final = "checkpoints/final.safetensors"
    assert (counted.path / final).read_bytes() == (plain.path / final).read_bytes()
    assert (len(counted.status["flops"]), plain.status["flops"]) == (1, [])
    assert counted.status["flops"][0]["step"] == 2


def test_what_begins_late_is_counted_when_it_acts(tmp_path):
    run = train(tiny({"regime.grad_filter": {"name": "grokfast_ma", "window": 9}}), tmp_path)
    first, *later = run.status["flops"]
    assert first["step"] == 2
    assert later
    assert later[0]["step"] == 11, "counted at every doubling, and the window is full from step 9 on"
    held = train(tiny({"regime.interventions": [{"name": "hold_norm", "from": 20, "until": 40}]}), tmp_path)
    assert [entry["step"] for entry in held.status["flops"]] == [2, 22, 42]
    before, during, after = (entry["elementwise"] for entry in held.status["flops"])
    assert before == after < during


def test_seconds_and_counts_go_on_where_a_run_was_stopped(tmp_path):
    config = tiny({"regime.interventions": [{"name": "hold_norm", "from": 20}]})
    with pytest.raises(Interrupted):
        train(config, tmp_path, interrupt_at=30)
    run = next(tmp_path.iterdir())
    first = json.loads((run / "status.json").read_text())
    whole = train(config, tmp_path).status
    assert whole["seconds"] > first["seconds"] > 0
    assert [entry["step"] for entry in whole["flops"]] == [2, 22]


def test_costs_are_columns_of_sql(tmp_path, capsys):
    run = train(tiny(), tmp_path)
    row = run_rows(tmp_path)[0]
    status = run.status
    assert row["flops_per_step"] == flops_per_step(status["flops"])
    assert row["flops"] == pytest.approx(60 * row["flops_per_step"])
    assert row["seconds_per_step"] == pytest.approx(status["seconds"] / 60)
    assert cli.run(["sql", "select flops_per_step > 0 as counted from runs", "--root", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["counted"] is True


def test_nothing_is_claimed_of_the_members_of_a_stack(tmp_path):
    train_stack([tiny(), tiny(seed=1)], tmp_path)
    rows = run_rows(tmp_path)
    assert {(row["seconds"], row["seconds_per_step"], row["flops"]) for row in rows} == {(None, None, None)}


COUNTS = [{"step": 2, "products": 90, "elementwise": 10}, {"step": 11, "products": 190, "elementwise": 10}]


def test_operations_up_to_a_step():
    assert flops_until([], 10) is None
    assert flops_until(COUNTS, 5) == 500, "the first step costs what the second did"
    assert flops_until(COUNTS, 10) == 1000
    assert flops_until(COUNTS, 13) == 1000 + 3 * 200
    assert merged(COUNTS[:1], [{**COUNTS[0], "step": 7}, COUNTS[1]]) == COUNTS
    fork = {"start": {"exact": True, "step": 40}}
    assert seconds_per_step(fork, {"seconds": 2.0, "step": 60}) == pytest.approx(0.1)
    assert seconds_per_step({}, {"step": 60}) is None
