"""Measurements of mechanisms in the rows of real runs: what they say, where they say nothing, what they leave alone."""

import math
import warnings

import pytest
import torch
from safetensors.torch import load_file

from grokscope import registry
from grokscope.train.branch import branch
from grokscope.train.driver import Interrupted, make_engine, train
from grokscope.train.measurements.bundle import PARTS, Mechanisms
from grokscope.train.measurements.movement import decay_of, memory_of
from grokscope.vocabulary.columns import undescribed
from tiny import assert_same, fitting, tiny

CHEAP = ["mechanisms"]
IMAGES = fitting("task", "hospitals")


pytestmark = pytest.mark.usefixtures("one_thread")


def engine_of(changes=None):
    config = tiny(changes or {})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is missing from the rows")
        return make_engine(config, config.task.build(config.seed))[1]


def trained(changes=None, steps=12):
    engine = engine_of(changes)
    engine.advance(steps, True, lambda: False)
    return engine, engine.row(True)


def flat(tensors):
    return torch.cat([t.double().flatten() for t in tensors])


@pytest.mark.parametrize("changes", [{}, IMAGES, fitting("task", "mheight"), fitting("model", "linear")], ids=str)
def test_what_was_measured_before_stays_and_so_does_the_training(changes):
    plain, without = trained(changes)
    asked, row = trained({**changes, "measure": CHEAP})
    for engine in (plain, asked):
        engine.advance(20, False, lambda: False)
    assert str({k: row[k] for k in without}) == str(without)
    assert len(row) > len(without) + 10
    assert_same(plain.state_dict(), asked.state_dict())


@pytest.mark.parametrize("changes", [{}, IMAGES, fitting("task", "mheight")], ids=str)
def test_every_column_is_described_and_single_ones_together_are_the_bundle(changes):
    _, plain = trained(changes)
    names = [part.name for part in PARTS]
    _, bundle = trained({**changes, "measure": ["mechanisms"]})
    _, single = trained({**changes, "measure": names})
    assert str(bundle) == str(single)
    splits = ["id_val", "ood_val", "ood_test"]
    assert undescribed(bundle.keys() - plain.keys(), splits) == []


def test_a_run_asks_for_them_and_no_other_has_them():
    standard = {n for n in registry.built_in("measurement") if registry.load("measurement", n).standard}
    assert standard == {"irm", "logits", "probe", "spectra", "fourier"}


# -- where the weights go ---------------------------------------------------------------------------------------------


def test_decay_alone_is_pure_shrinking():
    """A learning rate of nearly nothing for the gradient, a decay that is not: the step is -lr wd w."""
    changes = {"regime.optimizer": "sgd", "regime.lr": 1e-6, "regime.weight_decay": 1e5, "measure": ["mechanisms"]}
    _, row = trained(changes, steps=1)
    assert row["cos_update_weights"] == pytest.approx(-1.0, abs=1e-4)
    assert row["cos_update_weights_head"] == pytest.approx(-1.0, abs=1e-3)


def test_the_update_is_the_last_step_with_decay():
    engine = engine_of({"measure": ["update_direction"]})
    engine.advance(4, False, lambda: False)
    before = [p.detach().clone() for p in engine.parameters]
    engine.advance(5, True, lambda: False)
    change = flat(p.detach() for p in engine.parameters) - flat(before)
    row = engine.row(True)
    wanted = torch.nn.functional.cosine_similarity(change, flat(before), dim=0)
    assert row["cos_update_weights"] == pytest.approx(wanted.item(), abs=1e-5)
    assert engine.watch.update is None, "an update is as large as the network: it is not kept"


def test_the_untrained_network_has_no_update():
    row = engine_of({"measure": ["mechanisms"]}).row(True)
    assert "cos_update_weights" not in row
    assert row["distance_total"] == 0.0


def test_without_scale_invariant_weights_rotation_says_why_it_is_missing(tmp_path):
    with pytest.warns(UserWarning, match="rotation is missing from the rows: no weight of the network is scale-inv"):
        run = train(tiny({"measure": ["mechanisms"], "budget.steps": 20}), tmp_path)
    assert any("rotation is missing" in note for note in run.facts["notes"])
    assert not any(key.startswith("rotation") for key in run.metrics())
    assert "cos_update_weights" in run.metrics()


def test_rotation_is_there_where_weights_are_scale_invariant():
    engine, row = trained({**IMAGES, "measure": ["rotation"]})
    angles = [row[f"rotation/{name}"] for name in engine.groups["scale_invariant"]]
    assert row["rotation_mean"] == pytest.approx(sum(angles) / len(angles))
    assert (row["rotation_low"], row["rotation_high"]) == (min(angles), max(angles))
    assert row["rotation_equilibrium"] == pytest.approx(math.sqrt(2 * 1e-2 * 0.1 * 0.1 / 1.9))
    assert row["rotation_ratio"] == pytest.approx(row["rotation_mean"] / row["rotation_equilibrium"])


@pytest.mark.parametrize(
    ("changes", "memory", "decay"),
    [
        ({}, 0.9, 0.1),
        ({"regime.optimizer": "sgd"}, 0.0, 0.1),
        ({"regime.optimizer": {"name": "sgd", "momentum": 0.5}}, 0.5, 0.1),
        ({"regime.optimizer": {"name": "sgd", "momentum": 0.5, "nesterov": True}}, None, 0.1),
        ({"regime.optimizer": "adam"}, None, 0.1),
        ({"regime.optimizer": "muon"}, None, 0.1),
        ({"regime.decay_groups": "head"}, 0.9, 0.0),
        ({"regime.decay_target": "init"}, 0.9, 0.0),
        ({"regime.decay_groups": "matrices"}, 0.9, 0.1),
    ],
    ids=str,
)
def test_the_balance_is_predicted_where_the_formula_holds(changes, memory, decay):
    regime = tiny(changes).regime
    assert memory_of(regime) == memory
    assert decay_of(regime) == decay
    if (memory is None or decay == 0) and regime.optimizer.name != "muon":  # which wants hidden matrices
        _, row = trained({**IMAGES, **changes, "measure": ["rotation"]})
        assert math.isnan(row["rotation_equilibrium"])
        assert math.isnan(row["rotation_ratio"])
        assert row["rotation_mean"] > 0


# -- from the start ---------------------------------------------------------------------------------------------------


def test_the_start_is_that_of_the_seed_also_after_an_interruption(tmp_path):
    config = tiny({"measure": ["mechanisms"]})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is missing from the rows")
        whole = train(config, tmp_path / "whole")
        with pytest.raises(Interrupted):
            train(config, tmp_path / "cut", interrupt_at=23)
        again = train(config, tmp_path / "cut")
    assert whole.rows() == again.rows()
    assert whole.rows()[-1]["distance_total"] > 0


def test_a_branched_run_starts_where_it_was_branched_also_after_an_interruption(tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is missing from the rows")
        parent = train(tiny(), tmp_path)
        config = branch(parent, {"measure": ["distance", "pac_bayes"], "regime.lr": 2e-2}, root=tmp_path)
        with pytest.raises(Interrupted):
            train(config, tmp_path, interrupt_at=23)
        run = train(config, tmp_path)
        whole = branch(parent, {"measure": ["distance", "pac_bayes"], "regime.lr": 2e-2}, root=tmp_path / "whole")
        other = train(whole, tmp_path / "whole")
    assert run.rows() == other.rows()
    start, end = (load_file(run.path / "checkpoints" / f"{n}.safetensors") for n in ("start", "final"))
    wanted = (flat(end.values()) - flat(start[n] for n in end)).norm().item()
    assert run.rows()[-1]["distance_total"] == pytest.approx(wanted, rel=1e-5)
    assert "pac_bayes_bound" not in run.rows()[-1], "a prior that was learned is none"
    assert any("must not depend on the data" in note for note in run.facts["notes"])


# -- simplicity -------------------------------------------------------------------------------------------------------


def test_the_gap_is_the_difference_of_the_losses():
    _, row = trained({**IMAGES, "measure": ["gap"]})
    for split in ("id_val", "ood_val", "ood_test"):
        assert row[f"{split}_gap"] == pytest.approx(row[f"{split}_loss"] - row["train_loss"], rel=1e-5)


def test_norms_of_all_weights_and_of_groups():
    engine, row = trained({"measure": ["simplicity"]})
    assert row["l1_total"] == pytest.approx(flat(engine.parameters).abs().sum().item(), rel=1e-6)
    assert row["l1_total"] == pytest.approx(sum(row[f"l1_{g}"] for g in engine.groups), rel=1e-9)
    assert row["l1_total"] >= row["norm_total"]


def test_batch_norm_and_real_targets_have_no_bound_and_say_why():
    for changes, why in ((IMAGES, "running averages"), (fitting("task", "mheight"), "no classes")):
        config = tiny({**changes, "measure": ["pac_bayes"]})
        with pytest.warns(UserWarning, match=f"pac_bayes is missing from the rows: .*{why}"):
            engine = make_engine(config, config.task.build(0))[1]
        assert "pac_bayes_bound" not in engine.row(True)


def test_a_network_far_from_its_start_has_a_vacuous_bound():
    _, near = trained({"measure": ["pac_bayes"]}, steps=1)
    _, far = trained({"measure": ["pac_bayes"], "regime.lr": 0.3}, steps=200)
    assert far["pac_bayes_bound"] > 1
    assert far["pac_bayes_kl"] > near["pac_bayes_kl"]


def test_a_linear_network_has_no_hidden_layer_to_measure():
    view = engine_of({**fitting("model", "linear"), "measure": CHEAP}).view({}, {})
    assert {"layers", "head_alignment", "rotation", "simplicity (of activations)"} == set(Mechanisms().reasons(view))
    _, row = trained({**fitting("model", "linear"), "measure": CHEAP})
    assert "dead_units" not in row
    assert row["gini_total"] > 0


@pytest.mark.parametrize("key", ["rows", "draws", "delta"])
def test_parameters_that_cannot_be_are_refused(key):
    with pytest.raises(ValueError, match=key):
        tiny({"measure": [{"name": "pac_bayes", key: 0}]})
    with pytest.raises(ValueError, match="rise"):
        tiny({"measure": [{"name": "description_length", "rise": 0}]})
