"""Going on from a checkpoint with changed settings."""

import pytest

from grokscope.store.checkpoints import load_weights
from grokscope.train.branch import branch
from grokscope.train.driver import Interrupted, train
from tiny import tiny


def quick(**changes):
    return tiny({"hardware.resume_every_s": 1000.0}, **changes)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return train(quick(), tmp_path_factory.mktemp("runs"))


def test_the_weights_lie_in_the_childs_own_folder(parent, tmp_path):
    config = branch(parent, {"regime.lr": 1e-3}, step=45, root=tmp_path)
    start = tmp_path / config.run_id() / "checkpoints" / "start.safetensors"
    assert start.read_bytes() == parent.checkpoints()[45].read_bytes()
    child = train(config, tmp_path)
    assert child.record["lineage"] == {"run": parent.id, "step": 45, "digest": config.start.digest, "exact": False}
    first = child.rows()[0]
    assert first["step"] == 0
    norm = sum(float(t.double().square().sum()) for t in load_weights(start).values()) ** 0.5
    assert first["norm_total"] == pytest.approx(norm, rel=1e-6)
    assert parent.rows()[-1]["norm_total"] != pytest.approx(norm, rel=1e-6)


def test_the_init_scale_is_not_applied_again(parent, tmp_path):
    child = train(branch(parent, {"regime.init_scale": 4.0}, step=30, root=tmp_path), tmp_path)
    plain = train(branch(parent, {"regime.lr": 2e-2}, step=30, root=tmp_path), tmp_path)
    assert child.rows()[0]["norm_total"] == plain.rows()[0]["norm_total"]


def test_other_weights_are_another_run(parent, tmp_path):
    ids = {branch(parent, {}, step=step, root=tmp_path).run_id() for step in (15, 30, 45, 60, None)}
    assert len(ids) == 5 - 1, "the last step's weights and the final ones are the same"


def test_a_model_that_does_not_fit_is_refused(parent, tmp_path):
    wanted = r"\$.model: the weights to start from do not fit this network: they have in another shape \d+ tensors \("
    with pytest.raises(ValueError, match=wanted):
        branch(parent, {"model.hidden": [9]}, root=tmp_path)
    assert not list(tmp_path.iterdir()), "no folder stays behind"


def test_a_name_that_holds_an_axis_follows_the_change(tmp_path):
    parent = train(quick(regime__name="standard lr=0.01 wide"), tmp_path)
    config = branch(parent, {"regime.lr": 0.5})
    assert config.regime.name == "standard lr=0.5 wide"
    assert branch(parent, {"regime.lr": 0.5, "regime.name": "mine"}).regime.name == "mine"


def test_an_unfinished_parent_needs_a_step(tmp_path):
    with pytest.raises(Interrupted) as caught:
        train(quick(), tmp_path, interrupt_at=33)
    with pytest.raises(ValueError, match=r"no final checkpoint yet; finish it, or name a step: 15, 30"):
        branch(caught.value.run, {})
    assert branch(caught.value.run, {}, step=15).start.step == 15
