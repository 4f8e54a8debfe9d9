"""Selection rules, and the luck in a maximum: calibrated on curves without a peak, and able to see one."""

import json
from pathlib import Path

import numpy as np
import pytest

from grokscope.store import open_run
from grokscope.store.files import to_json
from grokscope.trajectory import Trajectory, select
from grokscope.trajectory.peak_bias import SHORTEST, ar1, peak_bias, residuals, running_median
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


# -- the luck in a maximum --------------------------------------------------------------------------------------------


def share_below(curves: np.ndarray, n: int | None = None, alpha: float = 0.05) -> float:
    found = [peak_bias(c, n, draws=199, seed=i) for i, c in enumerate(curves)]
    return float(np.mean([b is not None and b.p <= alpha for b in found]))


@pytest.mark.parametrize(("rho", "highest"), [(0.0, 0.10), (0.5, 0.12)])
def test_curves_without_a_peak_keep_the_level(rho, highest):
    rng = np.random.default_rng(int(10 * rho))
    assert share_below(0.7 + 0.02 * ar1(rng, rho, 150, 61)) <= highest


def test_coin_flips_keep_the_level():
    rng = np.random.default_rng(1)
    assert share_below(rng.binomial(500, 0.7, (100, 61)) / 500, 500) <= 0.11


def test_a_rise_to_a_plateau_is_no_peak():
    x = np.linspace(0, 1, 61)
    rng = np.random.default_rng(2)
    assert share_below(0.5 + 0.3 * (1 - np.exp(-8 * x)) + 0.01 * ar1(rng, 0.3, 150, 61)) <= 0.11


@pytest.mark.parametrize("shape", ["decay", "hump"])
def test_a_real_peak_is_seen(shape):
    """The published shape (an early peak that decays for the rest of the run), and a hump of a few evaluations."""
    x = np.linspace(0, 1, 61)
    course = (
        0.08 * np.exp(-5 * x) * (1 - np.exp(-50 * x)) if shape == "decay" else 0.06 * np.exp(-(((x - 0.3) / 0.05) ** 2))
    )
    rng = np.random.default_rng(3)
    assert share_below(0.66 + course + 0.01 * ar1(rng, 0.3, 60, 61)) >= 0.8


def test_the_excess_is_the_expected_maximum_of_the_noise():
    """White noise: E max of 61 standard normals is 2.33; sigma is known here and has to be found."""
    rng = np.random.default_rng(4)
    found = [peak_bias(0.7 + 0.02 * c, draws=199, seed=i) for i, c in enumerate(ar1(rng, 0.0, 40, 61))]
    expected = np.random.default_rng(5).standard_normal((20_000, 61)).max(axis=1).mean()
    assert np.mean([b.sigma for b in found]) == pytest.approx(0.02, rel=0.08)
    assert np.mean([b.excess for b in found]) == pytest.approx(0.02 * expected, rel=0.08)


def test_correcting_takes_most_of_the_luck_away():
    rng = np.random.default_rng(6)
    found = [peak_bias(0.7 + 0.02 * c, draws=199, seed=i) for i, c in enumerate(ar1(rng, 0.3, 40, 61))]
    luck = np.mean([b.peak for b in found]) - 0.7
    left = np.mean([b.corrected for b in found]) - 0.7
    assert luck > 0.03
    assert abs(left) < 0.25 * luck


def test_a_course_without_noise_has_no_luck():
    x = np.linspace(0, 1, 61)
    b = peak_bias(0.6 + 0.1 * np.sin(3 * x))
    assert b.optimism < 0.002
    assert b.p < 0.01


def test_few_examples_weaken_the_claim():
    x = np.linspace(0, 1, 61)
    curve = 0.66 + 0.06 * np.exp(-5 * x) + 0.002 * ar1(np.random.default_rng(7), 0.0, 1, 61)[0]
    many, few, unknown = (peak_bias(curve, n) for n in (85_054, 50, None))
    assert many.p == few.p == unknown.p < 0.01
    assert many.p_new < 0.05 < few.p_new
    assert unknown.p_new is None
    assert few.binomial == pytest.approx(np.sqrt(curve.max() * (1 - curve.max()) / 50))


def test_short_and_resting_curves_are_not_judged():
    assert peak_bias(np.linspace(0, 1, SHORTEST - 1)) is None
    assert peak_bias(np.full(100, 0.5)) is None
    assert peak_bias(np.r_[np.linspace(0.5, 0.7, 8), np.full(100, 0.7)]) is None
    assert peak_bias(np.linspace(0, 1, SHORTEST)) is not None


def test_rest_at_the_end_does_not_hide_the_noise():
    noise = 0.02 * ar1(np.random.default_rng(8), 0.0, 1, 40)[0]
    moving, resting = peak_bias(0.7 + noise), peak_bias(np.r_[0.7 + noise, np.full(200, 0.7)])
    assert resting.sigma == pytest.approx(moving.sigma, rel=0.15)


def test_the_same_curve_gives_the_same_answer():
    curve = 0.7 + 0.02 * ar1(np.random.default_rng(9), 0.5, 1, 61)[0]
    assert peak_bias(curve, 500) == peak_bias(curve, 500)


def test_the_running_median_is_one():
    curves = np.random.default_rng(10).random((3, 40))
    found = running_median(curves, 7)
    for i in (3, 20, 36):
        np.testing.assert_array_equal(found[:, i], np.median(curves[:, i - 3 : i + 4], axis=1))


def test_a_narrow_peak_is_not_taken_for_noise():
    curve = np.full(61, 0.7) + 0.001 * ar1(np.random.default_rng(11), 0.0, 1, 61)[0]
    curve[30] = 0.9
    assert residuals(curve[None], 15)[0][0] < 0.002
