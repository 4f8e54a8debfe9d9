"""Selection rules: what their names say, and what they refuse."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from grokscope.files import to_json
from grokscope.store import open_run
from grokscope.trajectory import Trajectory, select
from grokscope.trajectory.selection import RULES, Rule, checkpoint, parse_rule, rule_label
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
    ("rule", "name", "step", "on", "oracle"),
    [
        ("final", "final", 200, None, False),
        ("peak_ood_val", "peak_ood_val", 100, "ood_val", False),  # 0.7 twice: the first
        ("peak:ood_val", "peak_ood_val", 100, "ood_val", False),
        ("peak_id_val", "peak_id_val", 50, "id_val", False),
        ("peak_train", "peak_train", 200, "train", False),
        ("step=150", "step=150", 150, None, False),
        ("step:150", "step=150", 150, None, False),
        ("oracle", "oracle=ood_test", 1, "ood_test", True),
        ("oracle:ood_test", "oracle=ood_test", 1, "ood_test", True),
        ("oracle=ood_val", "oracle=ood_val", 100, "ood_val", True),
    ],
)
def test_rules_choose_what_their_names_say(rule, name, step, on, oracle):
    t = three_splits()
    found = select(t, rule)
    assert (found.rule, found.step, found.chosen_on, found.oracle, found.averaged) == (name, step, on, oracle, 1)
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
    assert select(three_splits(), "mean_last=2") == found
    assert select(three_splits(), "mean_last:2", k=4) == found  # the rule's own number counts
    assert found.rule == "mean_last=2"
    assert select(three_splits(), "mean_last").rule == "mean_last"


def test_an_oracle_is_stamped_wherever_it_goes():
    found = select(three_splits(), "oracle")
    assert found.oracle
    assert found.label == "oracle (chosen on ood_test)"
    assert found.to_dict()["oracle"]
    assert select(three_splits(), "oracle=ood_val").label == "oracle (chosen on ood_val)"
    assert rule_label("oracle:ood_test") == "oracle (chosen on ood_test)"
    assert (rule_label("peak:ood_val"), rule_label("given")) == ("peak_ood_val", "given")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("peak_ood_vall", "did you mean 'peak_ood_val'"),
        ("peak_ood_test", "only under the name 'oracle'"),
        ("peak:ood_test", "only under the name 'oracle'"),
        ("peak_site_9", "on a split of another name a peak is 'oracle=site_9'"),
        ("step=first", "not a step"),
        ("step=nan", "not a step"),
        ("step=120", "nearest: 50, 100, 150"),
        ("mean_last=0", "not a number of evaluations; write for example mean_last=3"),
        ("mean_last=", "unknown rule"),
        ("oracle=", "unknown rule"),
        ("best", "known: final"),
        ("oracle=site_9", "lacks; known: id_val, ood_test, ood_val"),
        ("oracle=ood_tset", "did you mean 'ood_test'"),
    ],
)
def test_mistakes_name_the_remedy(rule, message):
    with pytest.raises(ValueError, match=message):
        select(three_splits(), rule)


def test_a_missing_split_says_which_exist():
    t = three_splits(held_out={"id_val": np.linspace(0, 1, 5)})
    with pytest.raises(ValueError, match="uses ood_val, which this trajectory lacks; did you mean 'id_val'"):
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
    for listed in RULES:
        rule = listed.replace("<n>", "400").replace("<k>", "3").replace("<split>", "site_9")
        assert parse_rule(parse_rule(rule).name) == parse_rule(rule)
        assert parse_rule(rule.replace("=", ":")) == parse_rule(rule)
    assert parse_rule("oracle") == Rule("oracle", "ood_test")
    assert parse_rule("step=1e6").name == "step=1000000"
    assert parse_rule("mean_last=5").name == "mean_last"


def test_a_rule_finds_its_weights(tmp_path):
    from grokscope.train.driver import train

    run = open_run(train(tiny({"evaluate.every": 5}), tmp_path).path)
    chosen, step, path = checkpoint(run)
    assert (chosen.step, step, path.name) == (60, 60, "final.safetensors")
    chosen, step, path = checkpoint(run, "peak_id_val")
    assert path == run.checkpoints().get(step, run.path / "checkpoints" / "final.safetensors")
    chosen, step, path = checkpoint(run, "step=15")
    assert (step, path.name) == (15, "st00000015.safetensors")
    assert set(chosen.values) == {"train", "id_val"}
    with pytest.raises(ValueError, match="no checkpoint at step 20; nearest: 15, 30, 45"):
        checkpoint(run, "step=20")
    with pytest.raises(ValueError, match="averages evaluations and selects no checkpoint"):
        checkpoint(run, "mean_last=3")
    (run.path / "checkpoints" / "final.safetensors").unlink()
    with pytest.raises(ValueError, match="no final checkpoint; finish it, or use step=<n> with one of 15, 30, 45"):
        checkpoint(run)
    for file in (run.path / "checkpoints").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="has no checkpoints"):
        checkpoint(run)


def test_weights_kept_between_two_evaluations_can_be_named(tmp_path):
    from grokscope.train.driver import train

    run = open_run(train(tiny({"evaluate": {"every": 25}, "diagnose": {"every": 25}}), tmp_path).path)
    assert checkpoint(run, "step=15")[1:] == (15, Path(run.checkpoints()[15]))
    assert checkpoint(run, "step=15").selection.values == {}


@dataclass
class Kept:
    """A run of which only what `checkpoint` needs exists."""

    path: Path
    metrics_: dict[str, np.ndarray]
    steps: tuple[int, ...]
    id: str = "kept"

    @property
    def facts(self):
        return {"kind": "classification", "splits": {"train": {}, "id_val": {}}}

    @property
    def status(self):
        return {"step": 400}

    def metrics(self):
        return self.metrics_

    def checkpoints(self):
        return {s: self.path / f"{s}" for s in self.steps}


def test_a_checkpoint_between_evaluations_counts_with_the_one_before(tmp_path):
    """Evaluated at 10, 120, 210 and 400; the best, at 210, has no weights of its own: the first kept after it are
    named. The checkpoint at 5 was kept before anything was known."""
    metrics = {
        "step": np.array([10, 120, 210, 400]),
        "train_acc": np.ones(4),
        "id_val_acc": np.array([0.6, 0.7, 0.9, 0.8]),
    }
    chosen = checkpoint(Kept(tmp_path, metrics, (5, 100, 200, 300, 350, 400)), "peak_id_val")
    assert (chosen.step, chosen.path.name, chosen.selection.step) == (300, "300", 210)
    assert chosen.selection.values["id_val"] == 0.9
    aligned = checkpoint(Kept(tmp_path, metrics, (120, 400)), "peak_id_val")
    assert (aligned.step, aligned.selection.step) == (400, 400)
    with pytest.raises(ValueError, match="no evaluations among"):
        checkpoint(Kept(tmp_path, metrics, (5,)), "peak_id_val")
