"""Selection rules: what their names say, and what they refuse."""

import json
from pathlib import Path

import numpy as np
import pytest

from grokscope.store import open_run
from grokscope.store.files import to_json
from grokscope.trajectory import Trajectory, select
from grokscope.trajectory.selection import checkpoint, parse_rule
from tiny import tiny

STEP = [1, 50, 100, 150, 200]


def three_splits(**changes) -> Trajectory:
    held = {
        "id_val": np.array([0.6, 0.9, 0.8, 0.9, 0.85]),
        "ood_val": np.array([0.5, 0.6, 0.7, 0.7, 0.65]),
        "ood_test": np.array([0.88, 0.5, 0.6, np.nan, 0.55]),
    }
    fields = {"step": np.array(STEP), "train": np.linspace(0.5, 1, 5), "held_out": held, "threshold": 0.9}
    return Trajectory(**{**fields, **changes})


# -- the rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "step", "on", "oracle"),
    [
        ("final", 200, None, False),
        ("peak_ood_val", 100, "ood_val", False),  # 0.7 twice: the first
        ("peak_id_val", 50, "id_val", False),
        ("step=150", 150, None, False),
        ("oracle", 1, "ood_test", True),
        ("oracle=ood_val", 100, "ood_val", True),
    ],
)
def test_rules_choose_what_their_names_say(rule, step, on, oracle):
    t = three_splits()
    found = select(t, rule)
    assert (found.rule, found.step, found.chosen_on, found.oracle, found.averaged) == (rule, step, on, oracle, 1)
    row = STEP.index(step)
    expected = {"train": t.train, **t.held_out}
    for split, values in expected.items():
        np.testing.assert_equal(found.values[split], values[row])
    assert oracle == ("oracle" in found.label)


def test_the_mean_of_the_last_takes_each_split_at_its_own_evaluations():
    found = select(three_splits(), "mean_last", k=2)
    assert found.values["id_val"] == pytest.approx(0.875)
    assert found.values["ood_test"] == pytest.approx((0.6 + 0.55) / 2)  # the blank cell between them does not count
    assert (found.averaged, found.step) == (2, 200)


def test_an_oracle_is_stamped_wherever_it_goes():
    found = select(three_splits(), "oracle")
    assert found.oracle
    assert found.label == "oracle (chosen on ood_test)"
    assert found.to_dict()["oracle"]
    assert found.for_dissection == "oracle:ood_test"
    assert select(three_splits(), "peak_ood_val").for_dissection == "peak:ood_val"
    assert select(three_splits(), "step=50").for_dissection == "step:50"
    with pytest.raises(ValueError, match="no checkpoint"):
        _ = select(three_splits(), "mean_last").for_dissection


def test_the_spelling_fits_the_dissection():
    from grokscope.dissect.battery import check_selection

    for rule in ("final", "peak_ood_val", "peak_id_val", "step=50", "oracle"):
        name = select(three_splits(), rule).for_dissection
        assert check_selection(name) == name


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("peak_ood_vall", "did you mean 'peak_ood_val'"),
        ("peak_ood_test", "only as 'oracle'"),
        ("step=first", "not a step"),
        ("step=120", "nearest: 50, 100, 150"),
        ("oracle=", "unknown rule"),
        ("best", "known: final"),
        ("oracle=site_9", "lacks; it has id_val, ood_val, ood_test"),
    ],
)
def test_mistakes_name_the_remedy(rule, message):
    with pytest.raises(ValueError, match=message):
        select(three_splits(), rule)


def test_a_missing_split_says_which_exist():
    t = three_splits(held_out={"id_val": np.linspace(0, 1, 5)})
    with pytest.raises(ValueError, match="looks at ood_val, which this trajectory lacks; it has id_val"):
        select(t, "peak_ood_val")


def test_a_choice_can_be_limited_to_steps_with_a_checkpoint():
    assert select(three_splits(), "oracle", among=[50, 100, 200]).step == 100
    assert select(three_splits(), "final", among=[50, 100]).step == 100
    with pytest.raises(ValueError, match="no evaluation at any"):
        select(three_splits(), "final", among=[7])
    with pytest.raises(ValueError, match="no evaluations among"):
        select(three_splits(), "oracle", among=[150])


def test_a_rule_never_reads_another_split():
    """Whatever stands on ood_test changes no choice but the oracle's."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        held = {**three_splits().held_out, "ood_test": rng.random(5)}
        t = three_splits(held_out=held)
        assert select(t, "peak_ood_val").step == 100
        assert select(t, "oracle").step == STEP[int(np.argmax(held["ood_test"]))]


def test_a_selection_is_plain_data():
    t = Trajectory(
        step=np.arange(30), train=np.ones(30), held_out={"ood_val": np.linspace(0, 1, 30) ** 2}, threshold=0.9
    )
    data = json.loads(to_json(select(t, "peak_ood_val").to_dict()))
    assert data["bias"]["peak"] == 1
    assert data["label"] == "peak_ood_val"


def test_the_parser_knows_every_rule_it_lists():
    assert parse_rule("oracle") == ("oracle", "ood_test", None)
    assert parse_rule("step=400") == ("step", None, 400)
    assert parse_rule("peak_id_val") == ("peak", "id_val", None)


def test_a_rule_finds_its_weights(tmp_path):
    from grokscope.train.driver import train

    run = open_run(train(tiny({"evaluate.every": 5}), tmp_path).path)
    chosen, path = checkpoint(run)
    assert (chosen.step, path.name) == (60, "final.safetensors")
    chosen, path = checkpoint(run, "peak_id_val")
    assert path == run.checkpoints().get(int(chosen.step), run.path / "checkpoints" / "final.safetensors")
    chosen, path = checkpoint(run, "step=15")
    assert path.name == "st00000015.safetensors"
    assert set(chosen.values) == {"train", "id_val"}
    with pytest.raises(ValueError, match="no checkpoint at step 20; it has 15, 30, 45"):
        checkpoint(run, "step=20")
    for file in (run.path / "checkpoints").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="has no checkpoints"):
        checkpoint(run)


def test_weights_kept_between_two_evaluations_can_be_named(tmp_path):
    from grokscope.train.driver import train

    run = open_run(train(tiny({"evaluate": {"every": 25}, "diagnose": {"every": 25}}), tmp_path).path)
    chosen, path = checkpoint(run, "step=15")
    assert (chosen.values, path) == ({}, Path(run.checkpoints()[15]))
