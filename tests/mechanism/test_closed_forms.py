"""Decay budgets and the diffusion null against their closed forms, published numbers and a simulation."""

import math

import numpy as np
import pytest
from mechanism_cases import adamw, memorizing, published

from grokscope.mechanism.decay import decay_budget
from grokscope.mechanism.diffusion import diffused_norm, fitted_u

N_RESNET18 = 11_177_538


@pytest.mark.parametrize(
    ("start", "lr", "decay", "steps", "end"),
    [(356 / 4, 1e-3, 1e-4, 96_000, 1035), (356, 1e-3, 5e-3, 96_000, 859)],
)
def test_pure_noise_leads_to_the_known_norms(start, lr, decay, steps, end):
    """Of the two published regimes: 1,035 where 813 was published, 859 where 1,470 was."""
    assert diffused_norm(start, 1.0, lr, decay, steps, N_RESNET18) == pytest.approx(end, abs=1)


def test_without_steps_nothing_moves_and_without_noise_only_decay_acts():
    assert diffused_norm(3.0, 1.0, 1e-3, 0.1, 0, 100) == 3.0
    assert diffused_norm(3.0, 0.0, 1e-3, 0.1, 1000, 100) == pytest.approx(3 * math.exp(-0.1))


def test_no_decay_is_the_limit_of_little_decay():
    none, little = (diffused_norm(3.0, 0.7, 1e-3, d, 5000, 1000) for d in (0.0, 1e-13))
    assert none == pytest.approx(math.sqrt(9 + 0.49 * 1e-6 * 1000 * 5000))
    assert little == pytest.approx(none, rel=1e-9)


@pytest.mark.parametrize("u", [0.0, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("decay", [0.0, 1e-4, 3.0])
def test_the_fitted_u_is_the_one_that_was_put_in(u, decay):
    end = diffused_norm(41.0, u, 1e-3, decay, 15_000, 307_794)
    assert fitted_u(41.0, end, 1e-3, decay, 15_000, 307_794) == pytest.approx(u, abs=1e-3)


def test_adam_on_pure_noise_has_a_u_of_one_for_any_beta1():
    """Simulated: independent normal gradients through Adam with decoupled decay."""
    rng = np.random.default_rng(0)
    lr, decay, steps, n = 1e-3, 0.05, 4000, 2000
    for beta1 in (0.0, 0.9):
        w, m, v = rng.normal(0, 0.02, n), np.zeros(n), np.zeros(n)
        start = np.linalg.norm(w)
        for t in range(1, steps + 1):
            g = rng.normal(size=n)
            m, v = beta1 * m + (1 - beta1) * g, 0.999 * v + 0.001 * g**2
            w = w * (1 - lr * decay) - lr * (m / (1 - beta1**t)) / np.sqrt(v / (1 - 0.999**t))
        assert fitted_u(start, np.linalg.norm(w), lr, decay, steps, n) == pytest.approx(1.0, abs=0.05)


def test_decay_budgets_are_the_known_ones():
    assert decay_budget(published(), 0.0, 3000.0) == pytest.approx(0.48)
    standard = memorizing(adamw())
    assert decay_budget(standard, 0.0, 6000.0) == pytest.approx(6e-4)


def test_a_recorded_learning_rate_goes_before_the_setups():
    rate = np.where(np.arange(60) < 30, 1e-3, 0.0)
    falling = memorizing(adamw(weight_decay=1.0, lr=5.0), lr=rate)
    assert decay_budget(falling, 0.0, 6000.0) == pytest.approx(3.0, rel=0.05)


def test_a_budget_of_what_is_unknown_is_unknown():
    assert decay_budget(memorizing(), 0.0, 6000.0) is None


def test_a_decay_that_was_switched_off_counts_up_to_there():
    setup = adamw(weight_decay=1.0, switched_decay=((2000.0, 4000.0, 0.0), (4000.0, math.inf, 3.0)))
    case = memorizing(setup)
    assert decay_budget(case, 0.0, 6000.0) == pytest.approx(2.0 + 0.0 + 6.0)
    assert decay_budget(case, 1000.0, 3000.0) == pytest.approx(1.0)
