"""The delay law finds the constants that were planted, says how far off it is, and is silent where it has no clock."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from mechanism_cases import adamw, memorizing

from grokscope import cli
from grokscope.mechanism import case_of_run, case_of_trajectory, explain_by, law_of
from grokscope.mechanism.delay_law import calibrate, calibrated, passage_of
from grokscope.trajectory import from_log

LR, FIT = 1e-3, 100
KAPPA, V_STAR, V_MEM = 0.8, 400.0, 2500.0


def delay_of(decay: float, V_mem: float = V_MEM) -> float:
    return math.log(V_mem / V_STAR) / (2 * KAPPA * LR * decay)


def case(decay: float, V_mem: float = V_MEM, factor: float = 1.0, last: int | None = None, grid: int = 10):
    """A run that fits at 100, whose squared norm then falls at kappa times the rate of decay, and which arrives
    `factor` times as late as the law says."""
    delay = factor * delay_of(decay, V_mem)
    step = np.arange(0, (last or int(2 * (FIT + delay))) + 1, grid)
    norm = np.sqrt(V_mem * np.exp(-2 * KAPPA * LR * decay * np.maximum(step - FIT, 0)))
    log = {"step": step, "train": np.minimum(1, step / FIT), "held": np.where(step < FIT + delay, 0.1, 0.99), "n": norm}
    trajectory = from_log(log, step="step", train="train", held_out={"id_val": "held"}, norm="n", trivial=0.1)
    return case_of_trajectory(trajectory, adamw(lr=LR, weight_decay=decay))


def test_one_cell_gives_back_both_constants():
    law = calibrate("decay 1", [case(1.0)])
    assert law.kappa == pytest.approx(KAPPA, rel=0.02)
    assert law.V_star == pytest.approx(V_STAR, rel=0.02)


def test_the_others_are_predicted_from_one():
    found = calibrated({"1": [case(1.0), case(1.0, 3000)], "0.3": [case(0.3)], "2": [case(2.0, 1500)]})
    assert found.law.cell == "1"
    assert found.law.n == 2
    assert found.law.mean_error < 0.03
    assert {p.cell for p in found.predictions} == {"0.3", "2"}
    assert all(p.ratio == pytest.approx(1, abs=0.05) for p in found.predictions)


def test_a_law_that_does_not_hold_says_how_far_off_it_is():
    """Delays that have nothing to do with decay: the same law, off by as much as it was made to be."""
    cells = {"1": [case(1.0), case(1.0)], "2": [case(2.0, factor=2.0)], "0.5": [case(0.5, factor=0.5)]}
    found = calibrated(cells)
    assert sorted(p.ratio for p in found.predictions) == pytest.approx([0.5, 2.0], rel=0.05)
    assert found.law.mean_error == pytest.approx((0.5 + 1.0) / 2, rel=0.1)


def test_another_family_is_not_predicted():
    """Another filter or number of examples has another level of the norm; only learning rate and decay may differ."""
    filtered = case(2.0)
    filtered = replace(filtered, setup=replace(filtered.setup, grad_filter="grokfast_ema"))
    found = calibrated({"1": [case(1.0)] * 2, "2": [case(2.0)], "filtered": [filtered]})
    assert {p.cell for p in found.predictions} == {"2"}
    assert calibrated({"1": [case(1.0)], "filtered": [filtered]}) is None


@pytest.mark.parametrize("last", [None, 2000])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"loss": "mse"}, "loss mse where it was calibrated on cross_entropy"),
        ({"grad_filter": "grokfast_ema"}, "grad filter grokfast_ema where it was calibrated on none"),
        ({"parameters": 5000}, "parameters 5,000 where it was calibrated on 1,000"),
        ({"interventions": ("hold_logits",)}, "interventions hold_logits where it was calibrated on none"),
    ],
)
def test_a_run_of_another_family_is_not_judged_whether_it_has_arrived_or_not(last, change, reason):
    def known(run, **more):
        settings = {"loss": "cross_entropy", "grad_filter": "none", "parameters": 1000, **more}
        return replace(run, setup=replace(run.setup, **settings))

    law = law_of([("1", known(case(1.0)))] * 3)
    run = case(0.2, last=last)
    finding = explain_by(known(run, **change), law).findings[-1]
    assert finding.word == "cannot tell"
    assert reason in finding.evidence
    assert finding.arm is None
    assert explain_by(known(run), law).findings[-1].word == "supports"


def test_of_a_log_of_which_little_is_known_the_law_speaks():
    law = law_of([("1", case(1.0))] * 3)
    partly = case(0.5)
    partly = replace(partly, setup=replace(partly.setup, loss=None, grad_filter=None, parameters=None))
    assert explain_by(partly, law).findings[-1].word == "supports"


def test_below_the_level_at_the_fit_a_trusted_law_has_no_delay():
    law = law_of([("1", case(1.0))] * 3)
    low = case(1.0, last=2000)
    low = replace(low, trajectory=replace(low.trajectory, norm=low.trajectory.norm * 0.3))
    finding = explain_by(low, law).findings[-1]
    assert finding.word == "against"
    assert "below" in finding.evidence


def test_the_interval_is_made_of_the_errors():
    factors = [0.7, 0.9, 1.2, 1.4]
    cells = {"1": [case(1.0)] * 5, **{str(f): [case(0.5, factor=f)] for f in factors}}
    low, high = calibrated(cells).law.spread
    assert low < 0.7
    assert high > 1.4
    few = calibrated({"1": [case(1.0)], "2": [case(2.0)]}).law
    assert few.spread == (0.5, 2.0), "one error is no distribution"


def test_a_run_that_was_too_short_is_told_how_long_it_would_take():
    law = law_of([("1", case(1.0))] * 3)
    short = case(0.2, last=2000)
    assert short.verdict.verdict == "memorized"
    finding = explain_by(short, law).findings[-1]
    at = FIT + delay_of(0.2)
    assert finding.word == "supports"
    assert finding.numbers["predicted"] == pytest.approx(at, rel=0.05)
    assert finding.numbers["low"] < at < finding.numbers["high"]
    assert finding.evidence.startswith("extend it to about")
    assert finding.arm.changes["budget.steps"] >= finding.numbers["high"]
    assert finding in explain_by(short, law).fitting


def test_a_run_that_outlived_the_prediction_speaks_against_it():
    law = law_of([("1", case(1.0))] * 3)
    finding = explain_by(case(1.0, factor=9.0, last=8 * (FIT + int(delay_of(1.0)))), law).findings[-1]
    assert finding.word == "against"
    assert "has not generalized" in finding.evidence


@pytest.mark.parametrize("factor", [1.0, 4.0])
def test_a_run_that_arrived_is_compared(factor):
    law = law_of([("1", case(1.0))] * 3)
    finding = explain_by(case(0.5, factor=factor), law).findings[-1]
    assert finding.word == ("supports" if factor == 1 else "against")


def test_without_calibration_there_is_no_such_check():
    assert "delay law" not in {f.check for f in explain_by(case(1.0)).findings}


def test_without_decay_or_norm_there_is_nothing_to_read():
    law = law_of([("1", case(1.0))] * 3)
    assert not explain_by(memorizing(adamw(weight_decay=0.0)), law).findings[-1].applies
    assert explain_by(memorizing(adamw(weight_decay=1.0)), law).findings[-1].missing
    assert passage_of(memorizing(adamw(optimizer="adam"), norm_total=np.linspace(2, 1, 60))) is None


def test_runs_that_cannot_calibrate_are_an_error():
    with pytest.raises(ValueError, match="none of these runs can calibrate the delay law"):
        law_of([("none", memorizing(adamw()))])


def test_the_command_needs_runs_for_it(tmp_path, capsys):
    assert cli.run(["explain", "digits", "--calibrate", str(tmp_path)]) == 2
    assert "a study calibrates itself" in capsys.readouterr().err
    log = tmp_path / "log.csv"
    log.write_text("step,a,b\n1,1,1\n")
    assert cli.run(["explain", str(log), "--calibrate", str(tmp_path)]) == 2
    assert "--calibrate applies to runs" in capsys.readouterr().err


def test_a_law_that_failed_elsewhere_predicts_nothing():
    cells = [("1", case(1.0)), ("1", case(1.0)), ("2", case(2.0, factor=5.0)), ("0.5", case(0.5, factor=0.2))]
    law = law_of(cells)
    assert law.mean_error > 0.5
    finding = explain_by(case(0.2, last=2000), law).findings[-1]
    assert finding.word == "cannot tell"
    assert "the law did not hold elsewhere (mean error" in finding.evidence
    assert finding.arm is None


@pytest.mark.slow
def test_on_modular_addition_the_law_fails_and_is_told_to(tmp_path, capsys):
    """Trained: between fit and T_gen the norm hardly falls there, and at twice the decay it is below the level at the
    fit already, while held-out still waits for hundreds of steps."""
    from grokscope.study.study import Study, find_study

    study = Study.load(find_study("modular_addition")).only(["decay 1", "decay 2"], [0])
    study.run(0, tmp_path)
    states = {state.entry.label: state.run for state in study.status(tmp_path)}
    command = ["explain", str(states["decay 2"].path), "--calibrate", str(states["decay 1"].path), "--json"]
    assert cli.run(command) == 0
    finding = json.loads(capsys.readouterr().out)["findings"][-1]
    assert finding["check"] == "delay law"
    assert finding["word"] == "cannot tell"
    assert "1 run generalized late" in finding["evidence"]
    law = law_of([("decay 1", case_of_run(states["decay 1"]))])
    passage = passage_of(case_of_run(states["decay 2"]))
    assert passage.V_mem < law.V_star
    assert law.delay(passage) is None


@pytest.mark.parametrize(
    ("runs", "word", "reason"),
    [
        ([case(1.0), case(1.0, 3000), case(1.0, 2000)], "supports", "extend it"),
        ([case(1.0)], "cannot tell", "1 run generalized late, but the law requires 3"),
        ([case(1.0, factor=f) for f in (0.2, 1.0, 5.0)], "cannot tell", "in leave-one-out predictions"),
    ],
)
def test_few_or_scattered_runs_calibrate_nothing(runs, word, reason):
    finding = explain_by(case(0.2, last=2000), law_of([("1", run) for run in runs])).findings[-1]
    assert finding.word == word
    assert reason in finding.evidence
    arrived = explain_by(case(0.2), law_of([("1", run) for run in runs])).findings[-1]
    assert arrived.word == word, "a law that predicts nothing says nothing of a run that has arrived either"
