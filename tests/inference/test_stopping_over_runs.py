"""What stopping rules miss and cost over runs: planted times, and curves on which nothing happens."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import beta

from grokscope.inference.stopping import FullRun, default_rules, grid_of, replayed
from grokscope.results.stopping import Stopping, StopRule
from grokscope.trajectory import Trajectory, verdict

STEP = np.arange(0, 1001, 10)


def full_run(name, held, group="a", **more) -> FullRun:
    """Fitted at 50; the held-out loss rises from there to the step where the accuracy jumps."""
    held = np.asarray(held, dtype=float)
    train = np.minimum(1.0, STEP / 50)
    t = Trajectory(step=STEP, train=train, held_out={"id_val": held}, train_loss=np.exp(-STEP / 100),
                   held_out_loss={"id_val": 2 - held + (held < 0.9) * STEP / 1000}, threshold=0.95,
                   trivial={"id_val": 0.1}, **more)  # fmt: skip
    return FullRun(name, group, t, verdict(t, "id_val", neighbors=False))


def late(at, after=1.0, name=None, group="a") -> FullRun:
    """Groks at `at`; 200 steps later the accuracy moves to `after`."""
    held = np.full(len(STEP), 0.1)
    held[at // 10 :] = 1.0
    held[at // 10 + 20 :] = after
    return full_run(name or f"late {at}", held, group)


def one(runs, **rule) -> Any:
    return replayed(runs, "id_val", [StopRule(**{"kind": "patience", **rule})]).rules[0]


def test_planted_times_are_missed_exactly_where_patience_is_shorter():
    """The loss is at its best at step 0 until the jump: a patience of p evaluations stops at 10 p."""
    runs = [late(t) for t in (200, 400, 600, 800)]
    assert all(run.grokked for run in runs)
    missed = {p: one(runs, on="id_val_loss", patience=p).missed for p in (19, 20, 21, 39, 41, 80, 81)}
    assert missed == {19: 4, 20: 3, 21: 3, 39: 3, 41: 2, 80: 0, 81: 0}


def test_stopping_at_the_evaluation_that_shows_it_misses_nothing():
    r = one([late(400)], kind="threshold", on="id_val_acc", level=0.95)
    assert (r.missed, r.stops[0].step, r.regret.end) == (0, 400, 0.0)
    assert r.spent == pytest.approx(0.4)


def test_the_interval_is_clopper_and_pearsons():
    r = one([late(t) for t in (200, 400, 600, 800)], on="id_val_loss", patience=30)
    assert (r.missed, r.grokked, r.share_missed) == (3, 4, 0.75)
    assert r.interval == pytest.approx((beta.ppf(0.025, 3, 2), beta.ppf(0.975, 4, 1)))
    none = one([late(200), late(200, name="b")], on="id_val_loss", patience=90)
    assert none.interval[0] == 0
    assert none.interval[1] == pytest.approx(1 - 0.025**0.5)  # no miss in two runs is little evidence


def test_needed_patience_is_the_smallest_that_misses_nothing():
    runs = [late(t) for t in (200, 600)]
    (needed,) = replayed(runs, "id_val", grid_of(["id_val_loss"], [3])).needed
    assert (needed.evaluations, needed.steps, needed.slowest) == (60, 590, "late 600")
    assert one(runs, on="id_val_loss", patience=needed.evaluations).missed == 0
    assert one(runs, on="id_val_loss", patience=needed.evaluations - 1).missed == 1
    assert one(runs, on="id_val_loss", patience=needed.steps, unit="steps").missed == 1
    assert one(runs, on="id_val_loss", patience=needed.steps + 1, unit="steps").missed == 0


def test_a_stop_saves_what_ungrokking_would_have_cost():
    r = one([late(300, after=0.6)], kind="threshold", on="id_val_acc", level=0.95, then=50)
    assert r.grokked == 1
    assert r.regret_after.end == pytest.approx(-0.4)
    assert r.stops[0].best_regret == pytest.approx(0.0)
    kept = one([late(300)], kind="threshold", on="id_val_acc", level=0.95, then=50)
    assert kept.regret_after.end == pytest.approx(0.0)


def test_a_rule_that_never_fires_spends_all_and_misses_nothing():
    r = one([late(300)], on="id_val_acc", patience=500)
    assert (r.stopped, r.missed, r.spent, r.regret.end) == (0, 0, 1.0, 0.0)
    assert not r.stops[0].stopped
    assert r.regret_after is None


def test_where_nothing_groks_there_is_no_share_and_no_regret_but_noise():
    """Flat noisy curves: a rule that does not look at them has a regret of 0 on average."""
    rng = np.random.default_rng(0)
    runs = [full_run(f"flat {i}", 0.3 + 0.02 * rng.normal(size=len(STEP)), f"g{i % 3}") for i in range(60)]
    r = one(runs, kind="threshold", on="train_acc", level=0.99, then=200)
    assert (r.grokked, r.share_missed, r.interval, r.regret_after) == (0, None, None, None)
    regrets = [s.end_regret for s in r.stops]
    assert abs(np.mean(regrets)) <= 2.5 * np.std(regrets) / np.sqrt(len(regrets))
    assert np.std(regrets) > 0.01
    assert replayed(runs, "id_val", [r.rule]).needed == ()


def test_groups_add_up_to_all_and_a_run_without_the_column_is_told():
    bare = Trajectory(step=STEP, train=np.minimum(1.0, STEP / 50), held_out={"id_val": np.full(len(STEP), 0.1)},
                      threshold=0.95)  # fmt: skip
    runs = [late(200), late(600, group="b"), FullRun("bare", "b", bare, verdict(bare, "id_val", neighbors=False))]
    result = replayed(runs, "id_val", grid_of(["id_val_loss", "id_val_acc"], [30]))
    assert result.groups == ("a", "b")
    loss = [r for r in result.rules if r.rule.on == "id_val_loss"]
    assert [(r.group, r.runs, r.missed) for r in loss] == [("", 2, 1), ("a", 1, 0), ("b", 1, 1)]
    assert result.notes == ("1 run without id_val_loss: excluded from the rules that monitor it",)
    with pytest.raises(ValueError, match="no run has a column 'ood_val_loss'"):
        replayed(runs, "id_val", grid_of(["ood_val_loss"], [30]))


def test_before_the_first_held_out_evaluation_there_is_no_value_to_regret():
    held = np.where(STEP < 300, np.nan, 0.1)
    r = one([full_run("sparse", held)], kind="threshold", on="train_acc", level=0.99)
    assert np.isnan(r.stops[0].value)
    assert r.regret is None


def test_default_rules_watch_what_there_is_and_what_is_kept_is_read_back(tmp_path):
    runs = [late(300)]
    rules = default_rules(runs, "id_val", 0.99)
    assert {r.on for r in rules} == {"train_loss", "train_acc", "id_val_loss", "id_val_acc"}
    assert [r.then for r in rules if r.kind == "threshold"] == [0, 100, 500]
    result = replayed(runs, "id_val", rules)
    result.write(tmp_path / "stopping.json")
    assert Stopping.read(tmp_path / "stopping.json").to_dict() == result.to_dict()


@pytest.mark.parametrize(
    ("grid", "words"),
    [({"patience": [3]}, "name one or more"), ({"then": [3]}, "require a threshold, such as train_acc=0.99"),
     ({"min_delta": [0.1]}, "name one or more")],
)  # fmt: skip
def test_a_grid_needs_something_to_watch(grid, words):
    with pytest.raises(ValueError, match=words):
        grid_of(**grid)
