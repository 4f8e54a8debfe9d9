"""Where there is nothing to be found no check finds it: logs of pure noise, networks that were not trained, that
diverged, or that memorized labels drawn at random."""

from collections import Counter

import numpy as np
import pytest
from mechanism_cases import ROWS, adamw, constructed

from grokscope import configio
from grokscope.mechanism import case_of_run, explain
from grokscope.train.driver import train

NOISY = (
    "norm_total", "norm_head", "norm_scale_invariant", "rank_effective", "train_irm", "train_loss",
    "train_logit_scale",
)  # fmt: skip
KNOWN = {
    "weight_decay": 1.0, "group_sizes": {"head": 1000}, "init_scale": 4.0, "grad_filter": "grokfast_ema",
    "irm_weight": 0.0, "label_noise": 0.0, "groups_tested": True, "rows_in_train": {"ood_val": 0},
}  # fmt: skip
LOGS = 200
BY_LUCK = 0.03
"""Share of logs of pure noise in which one check may say `supports`."""


def noise_case(seed: int, fitted: bool):
    """Every column is noise about one level, between a tenth and all of that level; scores lie about a chance of .1. A
    train score that is fitted from the third row on makes it a run that memorized."""
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.1, 1.0)
    columns = {name: rng.lognormal(0, spread, ROWS) for name in NOISY}
    columns["softmax_collapse"] = rng.uniform(0, 1, ROWS)
    columns["cos_grad_head"] = rng.uniform(-1, 1, ROWS)
    train, held = (np.clip(0.1 + 0.03 * rng.standard_normal(ROWS), 0, 1) for _ in range(2))
    if fitted:
        train[2:] = 1.0
    return constructed(held, adamw(**KNOWN), train=train, **columns)


@pytest.mark.parametrize("fitted", [False, True])
def test_noise_supports_nothing(fitted):
    supported = Counter(
        f.check for seed in range(LOGS) for f in explain(noise_case(seed, fitted)).findings if f.word == "supports"
    )
    assert all(count <= BY_LUCK * LOGS for count in supported.values()), supported


@pytest.mark.parametrize("seed", range(20))
def test_two_scores_of_pure_noise_are_no_leak_and_no_other_way_of_scoring(seed):
    """Of a log without a known chance level every row counts as being learned; half of the rows are ahead by luck."""
    rng = np.random.default_rng(seed)
    train, held = 0.5 + 0.2 * rng.uniform(-1, 1, (2, ROWS))
    found = {f.check: f.word for f in explain(constructed(held, train=train)).findings}
    assert found["leakage"] != "supports"
    assert found["evaluation mode"] != "supports"


SMALL = {
    "task": {"name": "modular", "p": 11},
    "model": {"name": "embedding-mlp", "embedding": 16, "hidden": [32]},
    "regime": {"recipe": "modular"},
    "budget": {"steps": 400},
    "evaluate": {"every": 10, "at": [0]},
    "diagnose": {"every": 50},
    "checkpoint": {"every": 400},
}


def trained(root, seed, **changes):
    """The explanation of a small run with these settings."""
    settings = {key.replace("__", "."): value for key, value in changes.items()}
    return explain(case_of_run(train(configio.load_run(configio.overlay(SMALL, {**settings, "seed": seed})), root)))


def supported(explanation):
    return {f.check for f in explanation.findings if f.word == "supports"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_network_that_was_not_trained_shows_no_mechanism(seed, tmp_path):
    """Steps of 1e-9: what rounding does to its norms is thousands of times what such steps would."""
    explanation = trained(tmp_path, seed, regime__lr=1e-9)
    assert explanation.verdict == "underfit"
    assert not supported(explanation)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.filterwarnings("ignore")
def test_a_network_that_diverged_shows_no_mechanism(seed, tmp_path):
    explanation = trained(tmp_path, seed, regime__optimizer="sgd", regime__lr=1e6)
    assert explanation.verdict == "diverged"
    assert not supported(explanation)
    assert not explanation.next_arms()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_of_labels_drawn_at_random_nothing_else_is_a_reason(seed, loss, tmp_path):
    """Its norm and its head do grow: memorizing takes that. It is told as seen, and as no reason."""
    explanation = trained(tmp_path, seed, regime__label_noise=1.0, regime__loss=loss)
    assert explanation.verdict == "memorized"
    assert {f.check for f in explanation.fitting} == {"label noise"}
    assert supported(explanation) <= {
        "label noise", "norm after the fit", "more than diffusion", "more than diffusion, head", "head growth"
    }  # fmt: skip
    assert [arm.name for _, arm in explanation.next_arms()] == ["labels as they are"]
