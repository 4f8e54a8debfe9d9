"""Milestones at losses: read where the loss is, refused where a trivial predictor has it as well."""

import numpy as np
import pytest
from trajectory_shapes import grokked, trajectory

from grokscope.trajectory import Criteria, milestones, verdict

STEP = np.arange(0, 1001, 10)
TRIVIAL = 2.0
"""Loss of the trivial predictor of the regression below."""


def falling(late: float = 500.0, floor: float = 1e-3):
    """A regression whose train loss falls at once, and whose held-out loss falls by a factor of ten from `late` on."""
    train = np.maximum(4 * np.exp(-STEP / 10), floor)
    held = np.where(late > STEP, 3.0, np.maximum(0.3 * np.exp(-(STEP - late) / 50), 1e-3))
    return trajectory(
        STEP,
        1 - train / TRIVIAL,
        1 - held / TRIVIAL,
        kind="regression",
        trivial=0.0,
        threshold=0.9,
        train_loss=train,
        held_out_loss={"id_val": held},
    )


def test_the_first_evaluation_at_or_below_a_loss_is_the_milestone():
    m = milestones(falling(), criteria=Criteria(fit_loss=0.01, generalize_loss=0.1))
    assert (m.T_fit.previous, m.T_fit.at) == (50, 60)  # 4 exp(-t / 10) is .01 at 59.9
    assert (m.T_gen.previous, m.T_gen.at) == (550, 560)  # .3 exp(-(t - 500) / 50) is .1 at 554.9
    assert m.goal == "a loss of 0.1"
    assert m.threshold == pytest.approx(1 - 0.1 / TRIVIAL), "in a regression a loss is an R2"


def test_a_regression_judged_by_its_loss_is_judged_as_by_that_r2():
    by_loss = verdict(falling(), criteria=Criteria(fit_loss=0.2, generalize_loss=0.2))
    by_r2 = verdict(falling(), criteria=Criteria(fit_r2=0.9, generalize_r2=0.9))
    assert by_loss.verdict == by_r2.verdict == "grokked"
    assert by_loss.milestones.T_gen == by_r2.milestones.T_gen
    assert "held-out reached a loss of 0.2 at 530" in by_loss.reason


@pytest.mark.parametrize("loss", [2.0, 5.0])
def test_a_loss_that_a_trivial_predictor_has_gets_milestones_and_no_class(loss):
    v = verdict(falling(late=500), criteria=Criteria(fit_loss=0.2, generalize_loss=loss))
    assert v.verdict is None
    assert f"{loss / TRIVIAL:.3g} times the trivial predictor's 2" in v.reason
    assert not v.milestones.T_gen.censored
    assert v.milestones.T_fit.at == 30


def test_in_classification_losses_move_the_milestones_and_scores_say_the_rest():
    held = np.where(STEP < 500, 4.0, 0.02)
    t = grokked(STEP, train_loss=4 * np.exp(-STEP / 20.0), held_out_loss={"id_val": held})
    v = verdict(t, criteria=Criteria(fit_loss=0.1, generalize_loss=0.05))
    assert v.milestones.T_fit.at == 80
    assert v.milestones.T_gen.at == 500
    assert v.verdict == "grokked"
    assert {key.split("=")[0] for key in v.neighbors} >= {"fit_loss", "generalize_loss"}
    assert not {"fit", "generalize"} & {key.split("=")[0] for key in v.neighbors}


def test_a_low_loss_with_the_score_of_the_trivial_predictor_is_no_generalization():
    """Class weights, or a loss of another scale: the number is low and the answers are a constant's."""
    t = trajectory(
        STEP, np.minimum(1, STEP / 100), np.full(len(STEP), 0.1), held_out_loss={"id_val": np.full(len(STEP), 0.01)}
    )
    v = verdict(t, criteria=Criteria(generalize_loss=0.05))
    assert v.verdict is None
    assert "no better than the trivial predictor's 0.1" in v.reason


def test_without_a_loss_it_is_an_error_that_names_the_key():
    with pytest.raises(ValueError, match=r"criteria\.fit_loss: no loss of train was recorded"):
        verdict(grokked(), criteria=Criteria(fit_loss=0.1))
    with pytest.raises(ValueError, match=r"criteria\.generalize_loss: no loss of id_val"):
        verdict(grokked(train_loss=np.ones(len(grokked().step))), criteria=Criteria(generalize_loss=0.1))


def test_an_infinite_loss_is_above_every_threshold():
    t = falling()
    held = t.held_out_loss["id_val"].copy()
    held[-3:] = np.inf
    lost = trajectory(
        STEP, t.train, t.held_out["id_val"], kind="regression", trivial=0.0, train_loss=t.train_loss,
        held_out_loss={"id_val": held}, threshold=0.9,
    )  # fmt: skip
    assert milestones(lost, criteria=Criteria(generalize_loss=0.1)).T_gen_stable.censored
