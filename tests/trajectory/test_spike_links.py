"""The prediction that train-loss spikes at the transition go with drops of the norm, put to a test that can say no."""

import json

import numpy as np
import pytest
from scipy import stats
from trajectory_shapes import FINE_STEP as STEP
from trajectory_shapes import sigmoid, trajectory

from grokscope.trajectory import Criteria, Trajectory, spike_links


def spiking(norm: np.ndarray | None, at: int = 45, seed: int = 0) -> Trajectory:
    """Grokking at 430 with a spike of the train loss at row `at` that decays over ten rows."""
    rng = np.random.default_rng(seed)
    loss = 0.01 * np.exp(0.1 * rng.normal(size=len(STEP)))
    loss[at : at + 10] *= 60 * np.exp(-np.arange(10) / 2.0)
    held = sigmoid(STEP, 0.02, 1, 430, 15)
    return trajectory(STEP, np.ones(len(STEP)), held, train_loss=loss, norm=norm)


def opposed(t: Trajectory) -> np.ndarray:
    """A norm whose every change is opposite to that of the log loss."""
    assert t.train_loss is not None
    return 30 * np.exp(-0.05 * np.log(t.train_loss / t.train_loss[0]))


def test_a_perfect_negative_correlation_supports_the_prediction():
    t = spiking(None)
    (link,) = spike_links(spiking(opposed(t)))
    assert link.rho == pytest.approx(-1)
    assert link.verdict == "supports"
    assert link.p is not None
    assert link.p < 0.01
    assert link.norm_drop_rank is not None
    assert link.norm_drop_rank < 0.05
    assert link.near
    assert link.lag_evaluations in (1, 2, 3)
    assert link.lag == 10 * link.lag_evaluations


def test_a_norm_that_follows_the_loss_is_against_it():
    t = spiking(None)
    (link,) = spike_links(spiking(900 / opposed(t)))
    assert link.rho == pytest.approx(1)
    assert link.verdict == "against"


def test_an_unrelated_norm_is_rarely_taken_for_support():
    named = []
    for seed in range(40):
        rng = np.random.default_rng(seed + 100)
        norm = 30 * np.exp(np.cumsum(0.01 * rng.normal(size=len(STEP))))
        named += [link.verdict for link in spike_links(spiking(norm, seed=seed))]
    assert named.count("supports") <= 4
    assert set(named) <= {"supports", "against", "cannot tell"}


def test_rho_is_spearmans():
    rng = np.random.default_rng(5)
    norm = 30 * np.exp(np.cumsum(0.01 * rng.normal(size=len(STEP))))
    t = spiking(norm)
    (link,) = spike_links(t)
    row = int(np.searchsorted(STEP, link.spike.at))
    window = slice(row - 10, row + 11)
    assert t.train_loss is not None
    x, y = np.diff(np.log(t.train_loss[window])), np.diff(np.log(norm[window]))
    assert link.pairs == 20
    assert link.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    assert link.low is not None
    assert link.high is not None
    assert link.low < link.rho < link.high


def test_too_few_evaluations_cannot_tell():
    t = spiking(None)
    norm = np.where(np.arange(len(STEP)) % 8 == 0, opposed(t), np.nan)
    (link,) = spike_links(spiking(norm))
    assert link.verdict == "cannot tell"
    assert link.pairs < 20
    (link,) = spike_links(spiking(opposed(t)), criteria=Criteria(spike_window=3))
    assert link.verdict == "cannot tell"
    assert "6 pairs of changes around the spike, fewer than 8" in link.reason
    assert link.rho is None


@pytest.mark.parametrize("norm", [None, np.full(len(STEP), 7.0)])
def test_without_a_moving_norm_it_cannot_tell(norm: np.ndarray | None):
    (link,) = spike_links(spiking(norm))
    assert link.verdict == "cannot tell"
    assert link.reason


def test_a_spike_far_from_the_transition_is_not_near():
    (link,) = spike_links(spiking(None, at=120))
    assert not link.near
    assert link.lag == pytest.approx(1200 - 430, abs=20)


def test_without_a_transition_there_is_no_lag():
    t = spiking(None)
    flat = trajectory(STEP, np.ones(len(STEP)), np.full(len(STEP), 0.1), train_loss=t.train_loss)
    (link,) = spike_links(flat)
    assert link.transition is None
    assert link.lag is None
    assert not link.near
    json.dumps(link.to_dict(), allow_nan=False)


def test_no_spike_no_link_and_the_same_seed_the_same_p():
    quiet = trajectory(STEP, np.ones(len(STEP)), np.full(len(STEP), 0.1), train_loss=np.full(len(STEP), 0.1))
    assert spike_links(quiet) == []
    t = spiking(opposed(spiking(None)))
    assert spike_links(t)[0].to_dict() == spike_links(t)[0].to_dict()
