"""Measurements with Hessians and Jacobians in the rows of real runs."""

import math
import warnings

import pytest
import torch

from grokscope.measure.hidden import hidden_layers
from grokscope.train.driver import make_engine
from grokscope.vocabulary.columns import undescribed
from tiny import assert_same, fitting, tiny

COSTLY = ["hessian", "kernel", "jacobian_rank", "projected_shrinking"]
IMAGES = fitting("task", "hospitals")


pytestmark = pytest.mark.usefixtures("one_thread")


def engine_of(changes=None):
    config = tiny(changes or {})
    return make_engine(config, config.task.build(config.seed))[1]


def read_layers(engine):
    """Layers that read something learned: of a network on real numbers all but the first."""
    return hidden_layers(engine.model.eval(), engine.network.prepare(engine.splits["train"].x[:4]))


@pytest.mark.parametrize("changes", [{}, IMAGES, fitting("model", "transformer"), fitting("loss", "hinge")], ids=str)
def test_every_network_can_be_measured_and_is_left_as_it_was(changes):
    plain, asked = engine_of(changes), engine_of({**changes, "measure": COSTLY})
    for engine in (plain, asked):
        engine.advance(5, True, lambda: False)
    before, row = plain.row(True), asked.row(True)
    assert str({k: row[k] for k in before}) == str(before)
    columns = row.keys() - before.keys()
    layers = {column for column in columns if column.startswith("jacobian_rank/")}
    assert len(columns - layers) == 13
    assert layers == {f"jacobian_rank/{name}" for name in read_layers(engine_of(changes))}
    assert undescribed(columns, ["id_val"]) == []
    assert all(math.isfinite(row[c]) for c in columns)
    for engine in (plain, asked):
        engine.advance(9, False, lambda: False)
    assert_same(plain.state_dict(), asked.state_dict())


def test_at_the_start_the_kernel_is_its_own_start():
    row = engine_of({"measure": ["kernel"]}).row(True)
    assert row["kernel_distance"] == pytest.approx(0, abs=1e-9)
    assert row["kernel_growth"] == pytest.approx(1.0)


def test_the_kernel_of_a_linear_model_never_leaves_its_start():
    engine = engine_of({**fitting("model", "linear"), "measure": ["kernel"]})
    engine.advance(30, False, lambda: False)
    assert engine.row(True)["kernel_distance"] < 1e-6
    network = engine_of({"measure": ["kernel"]})
    network.advance(60, False, lambda: False)
    assert network.row(True)["kernel_distance"] > 1e-3


def test_a_loss_that_is_not_finite_has_no_curvature():
    engine = engine_of({"measure": ["hessian"]})
    with torch.no_grad():
        engine.parameters[0].fill_(math.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        row = engine.row(True)
    assert all(math.isnan(v) for k, v in row.items() if k.startswith("hessian"))
    assert sum(k.startswith("hessian") for k in row) == 6


def test_pure_decay_follows_the_free_part_of_shrinking():
    """With a gradient of nearly nothing the update is -lr wd w; its cosine with the free part is that part's share."""
    changes = {"regime.optimizer": "sgd", "regime.lr": 1e-6, "regime.weight_decay": 1e5}
    engine = engine_of({**changes, "measure": [{"name": "projected_shrinking", "rows": 4}]})
    engine.advance(1, True, lambda: False)
    row = engine.row(True)
    assert 0.1 < row["projected_share"] < 1
    assert row["cos_update_projected"] == pytest.approx(row["projected_share"], rel=0.02)


def test_without_a_step_there_is_no_update_to_compare():
    row = engine_of({"measure": ["projected_shrinking"]}).row(True)
    assert "cos_update_projected" not in row
    assert -1 <= row["cos_gradient_shrinking"] <= 1


@pytest.mark.parametrize("name", COSTLY)
def test_a_sample_without_rows_is_refused(name):
    with pytest.raises(ValueError, match="rows must be positive"):
        tiny({"measure": [{"name": name, "rows": 0}]})


@pytest.mark.parametrize("name", ["temperature", "subtract_initial"])
def test_where_the_loss_sees_other_outputs_its_curvature_is_not_that_of_the_network(name):
    changes = {
        "regime.interventions": [{"name": name, "from": 0, **({"temperature": 2.0} if name == "temperature" else {})}]
    }
    asked = ["hessian", "projected_shrinking", "description_length", "pac_bayes"]
    with pytest.warns(UserWarning, match="an intervention changes the outputs") as caught:
        engine = engine_of({**changes, "measure": [*asked, "jacobian_rank"]})
    assert len([w for w in caught if "is missing from the rows" in str(w.message)]) == len(asked)
    engine.advance(3, True, lambda: False)
    row = engine.row(True)
    assert "jacobian_rank" in row
    assert not any(k.startswith(("hessian", "projected", "description", "pac_bayes")) for k in row)
