"""Each check finds its mechanism where it was put, denies it where it was not, and is silent without what it reads."""

import numpy as np
import pytest
from mechanism_cases import ROWS, STEPS, adamw, constructed, grokking, memorizing, norms_of_noise, published

from grokscope.mechanism import CHECKS, Setup, case_of_trajectory, explain
from grokscope.mechanism.arms import Member, contrasts
from grokscope.mechanism.setup import setup_of_config
from grokscope.trajectory import from_log

RISING = np.linspace(1, 2, ROWS)
FLAT = np.ones(ROWS)
FALLING = np.linspace(2, 1, ROWS)
TESTED, LARGE_TESTED = adamw(groups_tested=True), adamw(groups_tested=True, init_scale=8.0)


def word(case, check):
    return {f.check: f.word for f in explain(case).findings}[check]


CASES = {
    "decay time": [
        ("supports", memorizing(adamw())),
        ("against", memorizing(adamw(weight_decay=1.0))),
        ("supports", grokking(adamw(weight_decay=1.0))),
        ("against", grokking(adamw())),
        ("cannot tell", memorizing(adamw(optimizer="adam"))),
    ],
    "norm after the fit": [
        ("supports", memorizing(norm_total=RISING)),
        ("against", memorizing(norm_total=FALLING)),
        ("supports", grokking(norm_total=FALLING)),
        ("against", grokking(norm_total=RISING)),
    ],
    "more than diffusion": [
        ("supports", memorizing(adamw(), norm_total=norms_of_noise(adamw(), 2.0))),
        ("against", memorizing(adamw(), norm_total=norms_of_noise(adamw(), 0.6))),
        ("against", memorizing(adamw(weight_decay=1.0), norm_total=30 * np.exp(-STEPS / 1000))),
        ("cannot tell", memorizing(adamw(optimizer="sgd"), norm_total=RISING)),
    ],
    "more than diffusion, head": [
        ("supports", memorizing(adamw(group_sizes={"head": 100}), norm_total=RISING, norm_head=RISING)),
        ("against", memorizing(adamw(group_sizes={"head": 100}), norm_total=RISING, norm_head=FLAT)),
    ],
    "decay grip": [
        ("supports", memorizing(adamw(), norm_total=RISING, norm_scale_invariant=0.9 * RISING, norm_head=0.1 * FLAT)),
        ("against", memorizing(adamw(), norm_total=RISING, norm_scale_invariant=0.1 * FLAT, norm_head=0.9 * RISING)),
        ("against", memorizing(TESTED, norm_total=RISING, norm_weights=RISING, norm_head=0.1 * FLAT)),
        ("cannot tell", memorizing(adamw(), norm_total=RISING, norm_weights=RISING, norm_head=0.1 * FLAT)),
    ],
    "head growth": [
        ("supports", memorizing(adamw(), norm_head=RISING)),
        ("against", memorizing(adamw(), norm_head=FLAT)),
        ("against", memorizing(adamw(loss="mse"), norm_head=RISING)),
    ],
    "filter feeds the head": [
        ("against", memorizing(adamw(grad_filter="none"), norm_head=RISING)),
        ("against", memorizing(adamw(grad_filter="grokfast_ema"), norm_head=FLAT, cos_grad_head=0 * FLAT)),
        ("cannot tell", memorizing(adamw(grad_filter="grokfast_ema"), norm_head=RISING, cos_grad_head=-0.3 * FLAT)),
    ],
    "init scale undone": [
        ("supports", memorizing(adamw(init_scale=4.0), norm_total=FLAT, norm_scale_invariant=0.9 * FLAT)),
        ("against", memorizing(LARGE_TESTED, norm_total=FLAT, norm_weights=FLAT, norm_head=0.1 * FLAT)),
        ("cannot tell", memorizing(adamw(init_scale=8.0), norm_total=FLAT, norm_weights=FLAT, norm_head=0.1 * FLAT)),
        ("against", memorizing(adamw(init_scale=1.0), norm_total=FLAT, norm_scale_invariant=0.9 * FLAT)),
    ],
    "softmax collapse": [
        ("supports", memorizing(adamw(), softmax_collapse=0.9 * FLAT)),
        ("against", memorizing(adamw(), softmax_collapse=0 * FLAT)),
        ("against", memorizing(adamw(loss="mse"), softmax_collapse=0.9 * FLAT)),
    ],
    "logit scale": [
        ("cannot tell", memorizing(adamw(), train_logit_scale=RISING)),
        ("against", memorizing(adamw(), train_logit_scale=FLAT)),
    ],
    "penalty follows loss": [
        ("supports", memorizing(adamw(irm_weight=0.0), train_irm=FALLING**9, train_loss=FALLING)),
        ("against", memorizing(adamw(irm_weight=0.0), train_irm=RISING, train_loss=FALLING)),
        ("cannot tell", memorizing(adamw(irm_weight=2.0), train_irm=FALLING**9, train_loss=FALLING)),
    ],
    "rank collapse": [
        ("supports", memorizing(rank_effective=FALLING**2)),
        ("against", memorizing(rank_effective=RISING)),
    ],
    "leakage": [
        ("supports", constructed(np.minimum(1.0, STEPS / 2000 + 0.1), train=np.minimum(1.0, STEPS / 3000))),
        ("against", constructed(np.minimum(1.0, STEPS / 3000), train=np.minimum(1.0, STEPS / 2000))),
        ("supports", constructed(np.minimum(1.0, STEPS / 3000), Setup(rows_in_train={"ood_val": 7}))),
        ("against", constructed(0.6 * FLAT, Setup(rows_in_train={"ood_val": 0}))),
        ("supports", constructed(np.minimum(1.0, STEPS / 3000), train=np.minimum(1.0, STEPS / 3000))),
    ],
    "evaluation mode": [
        ("supports", constructed(0.95 * FLAT, train=0.85 * FLAT)),
        ("against", constructed(0.6 * FLAT)),
        ("cannot tell", constructed(0.9 + 0.05 * np.sin(STEPS), train=0.9 - 0.05 * np.sin(STEPS))),
        ("against", constructed(0.95 * FLAT, Setup(label_noise=0.15), train=0.85 * FLAT)),
        ("against", constructed(0.95 * FLAT, Setup(evaluated_alike=True), train=0.85 * FLAT)),
    ],
    "decay too strong": [
        ("supports", constructed(0.6 * FLAT, adamw(weight_decay=3.0), train=np.where(STEPS // 400 % 3 == 1, 0.4, 1.0))),
        ("against", constructed(0.6 * FLAT, adamw(), train=np.where(STEPS // 400 % 3 == 1, 0.4, 1.0))),
        ("against", memorizing(adamw(weight_decay=3.0))),
    ],
    "too little data": [("against", grokking()), ("cannot tell", memorizing())],
    "label noise": [
        ("supports", memorizing(adamw(label_noise=1.0))),
        ("against", memorizing(adamw(label_noise=0.0))),
        ("cannot tell", memorizing(adamw(label_noise=0.3))),
        ("cannot tell", memorizing(adamw())),
    ],
    "nothing memorized": [
        ("supports", constructed(np.where(STEPS < 3000, 0.02, 0.1), train=0.11 * FLAT)),
        ("cannot tell", constructed(0.1 + 0.0 * FLAT, train=0.11 * FLAT)),
        ("against", constructed(0.1 + 0.0 * FLAT, train=0.7 * FLAT)),
        ("against", memorizing()),
    ],
}


@pytest.mark.parametrize(("check", "expected", "case"), [(c, *row) for c, rows in CASES.items() for row in rows])
def test_oracle_by_check(check, expected, case):
    assert word(case, check) == expected


SUPPORTED = {check: cases for check, rows in CASES.items() if (cases := [case for w, case in rows if w == "supports"])}


def test_nearly_every_check_has_a_case_that_it_supports():
    assert CASES.keys() - SUPPORTED.keys() == {"filter feeds the head", "logit scale", "too little data"}


@pytest.mark.parametrize("check", SUPPORTED)
def test_a_claim_that_stands_names_the_arm_that_would_test_it(check):
    """Some in words alone: no setting of a config takes a leak or a way of scoring away."""
    for case in SUPPORTED[check]:
        finding = {f.check: f for f in explain(case).findings}[check]
        assert finding.arm is not None
        assert finding.arm.expects


def test_without_time_for_decay_a_norm_that_stayed_is_no_reason():
    """It could not shrink, whatever the mechanism: that holds trivially. With time it is one."""
    short, long = (memorizing(adamw(weight_decay=decay), norm_total=RISING) for decay in (1e-4, 1.0))
    assert {f.check for f in explain(short).also_seen} >= {"norm after the fit"}
    assert {f.check for f in explain(long).fitting} >= {"norm after the fit"}


def test_a_norm_that_fell_has_not_grown_by_more_than_noise():
    """A full-batch gradient is no noise: under strong decay the norm settles far above the null, and has fallen."""
    setup = adamw(weight_decay=1.0, lr=1e-2)
    fallen = memorizing(setup, norm_total=np.linspace(62.8, 53.9, ROWS))
    finding = {f.check: f for f in explain(fallen).findings}["more than diffusion"]
    assert finding.word == "against"
    assert not finding.applies
    assert "did not grow" in finding.evidence


def test_rows_of_train_that_stand_in_held_out_are_counted_in_words():
    case = constructed(np.minimum(1.0, STEPS / 3000), Setup(rows_in_train={"ood_val": 7}))
    finding = {f.check: f for f in explain(case).findings}["leakage"]
    assert finding.evidence == "7 rows of ood_val are also in train"


def test_two_held_out_splits_that_are_one_column_are_named():
    held = np.minimum(1.0, STEPS / 3000)
    trajectory = from_log(
        {"step": STEPS, "train": np.minimum(1.0, STEPS / 300), "a": held, "b": held},
        step="step", train="train", held_out={"ood_val": "a", "ood_test": "b"},
    )  # fmt: skip
    finding = {f.check: f for f in explain(case_of_trajectory(trajectory, Setup())).findings}["leakage"]
    assert finding.word == "supports"
    assert finding.evidence == "ood_test and ood_val are the same column"


def test_every_check_has_a_case_of_its_own():
    assert {c.title() for c in CHECKS} - set(CASES) == {"readout"}, "readout is tested on networks that were trained"


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.title())
def test_every_check_says_when_it_misleads_and_whence_it_comes(check):
    assert check.claim.endswith(".")
    assert len(check.misleads) > 40
    assert check.source
    assert type(check).__doc__


def test_a_bare_log_gets_no_word_that_needs_more():
    """Train and held-out alone: whatever reads another column says which one is missing."""
    found = explain(memorizing()).findings
    silent = [f for f in found if f.word == "cannot tell"]
    assert {f.check for f in silent} >= {"decay time", "norm after the fit", "decay grip", "rank collapse"}
    assert all(f.missing for f in silent if f.check in ("decay time", "norm after the fit", "rank collapse"))
    assert not [f for f in found if f.word == "supports"]


def test_the_published_trajectory_gets_the_published_diagnosis_and_the_null_beside_it():
    e = explain(published())
    words = {f.check: f for f in e.findings}
    assert words["norm after the fit"].word == "supports"
    assert words["penalty follows loss"].word == "supports"
    assert words["rank collapse"].word == "supports"
    assert words["more than diffusion"].word == "supports"
    assert words["more than diffusion"].numbers["norm_by_noise"] == pytest.approx(859, abs=1)
    assert words["decay time"].numbers["decay_budget"] == pytest.approx(0.48)
    assert words["head growth"].missing == ("norm_head",)
    assert "norm_head" in e.missing


def test_the_told_m_height_log_memorized_nothing():
    from pathlib import Path

    trajectory = from_log(
        Path(__file__).parents[1] / "cases/logs/mheight_told_01.csv",
        step="epoch",
        train_loss="train_loss",
        held_out_loss={"val": "val_loss"},
        norm="weight_norm",
        kind="regression",
        trivial_loss={"train": 1.35, "val": 1.36},
    )
    e = explain(case_of_trajectory(trajectory, Setup(optimizer="adamw", lr=1e-3, weight_decay=0.01, steps_per_unit=26)))
    assert e.findings[0].check == "nothing memorized"
    assert e.findings[0].word == "supports"
    assert e.findings[0] in e.fitting


def test_time_and_grip_are_told_in_plain_words():
    findings = {f.check: f.evidence for f in explain(memorizing(adamw(weight_decay=2.5e-3))).findings}
    assert findings["decay time"].startswith("decay had 1.5 % of the time it needs: lr x decay x steps is 0.015")
    held = np.sqrt(0.97) * RISING
    invariant = memorizing(adamw(), norm_total=RISING, norm_scale_invariant=held, norm_head=0.1 * FLAT)
    findings = {f.check: f.evidence for f in explain(invariant).findings}
    assert findings["decay grip"].startswith(
        "decay has no grip: 97 % of the squared norm is in scale-invariant weights"
    )


def test_what_is_no_reason_is_not_told_as_one():
    e = explain(grokking(adamw(), rank_effective=FALLING**2, norm_head=RISING))
    assert {f.check for f in e.also_seen} == {"rank collapse", "head growth"}
    assert not e.fitting
    assert all(f.arm is None for f in e.excluded)


def test_arms_come_with_claims_that_stand_or_are_open():
    e = explain(memorizing(adamw()))
    names = [arm.name for _, arm in e.next_arms()]
    assert names[0] == "decay with time"
    assert dict(e.next_arms()[0][1].changes) == {"regime.weight_decay": pytest.approx(1.7)}


def test_components_are_known_by_name_in_both_forms():
    plain = {"regime": {"optimizer": "adamw", "loss": "mse", "grad_filter": "none", "lr": 0.1}}
    table = {"regime": {**plain["regime"], "optimizer": {"name": "adamw", "eps": 1e-8}}}
    assert setup_of_config(plain, {}) == setup_of_config(table, {})


@pytest.mark.parametrize("seed", range(20))
def test_no_check_fails_on_odd_columns(seed):
    rng = np.random.default_rng(seed)
    names = ["norm_total", "norm_head", "norm_scale_invariant", "rank_effective", "train_irm", "softmax_collapse"]
    names += ["train_logit_scale", "train_loss", "lr", "cos_grad_head"]
    columns = {}
    for name in names:
        values = rng.lognormal(0, 3, ROWS)
        values[rng.random(ROWS) < rng.choice([0, 0.5, 0.97, 1.0])] = np.nan
        columns[name] = np.zeros(ROWS) if rng.random() < 0.2 else values
    setup = adamw(group_sizes={"head": 10}, init_scale=4.0, grad_filter="grokfast_ema", irm_weight=0.0)
    for make in (memorizing, grokking):
        for finding in explain(make(setup, **columns)).findings:
            assert finding.word in ("supports", "against", "cannot tell")
            assert "nan" not in finding.evidence


@pytest.mark.parametrize("value", [0.0, -1, float("nan"), float("inf"), "fast", None, True, [1]])
def test_records_that_make_no_sense_are_unknown_and_no_error(value):
    regime = {"lr": value, "weight_decay": value, "init_scale": value, "optimizer": None}
    setup = setup_of_config({"regime": regime}, {"parameters": value})
    assert (setup.lr, setup.init_scale, setup.parameters, setup.optimizer) == (None, None, None, None)
    assert setup.weight_decay == (0.0 if value == 0.0 else None)
    explain(memorizing(setup))


def test_arms_with_other_components_differ_in_one_setting():
    """The parameters that come with another optimizer or filter are no further differences."""
    explained = explain(memorizing())
    plain = {"regime.lr": 1e-3, "regime.grad_filter": "none"}
    filtered = {**plain, "regime.grad_filter": "grokfast_ema", "regime.grad_filter.alpha": 0.98}
    slower = {**filtered, "regime.grad_filter.alpha": 0.9}
    both = {**filtered, "regime.lr": 1.0}
    members = [
        Member(arm, settings, explained, 0.5)
        for arm, settings in (("plain", plain), ("filtered", filtered), ("slower", slower), ("both", both))
    ]
    found = {c.arms: c.key for c in contrasts(members)}
    assert found == {
        ("plain", "filtered"): "regime.grad_filter",
        ("plain", "slower"): "regime.grad_filter",
        ("filtered", "slower"): "regime.grad_filter.alpha",
        ("filtered", "both"): "regime.lr",
    }
