"""Checks know what an intervention did: decay that was switched off counts up to there."""

import json
import math
import shlex

import numpy as np
import pytest

from grokscope import configio
from grokscope.mechanism import case_of_run, explain
from grokscope.mechanism.decay import DecayTime, DecayTooStrong, decay_budget
from grokscope.mechanism.diffusion import MoreThanDiffusion, Walk
from grokscope.mechanism.head import FilterFeedsHead
from grokscope.mechanism.in_force import decay_spans
from grokscope.mechanism.setup import setup_of_config
from grokscope.report.read.explained import _intervened
from grokscope.train.driver import train
from grokscope.train.fork import fork
from mechanism.mechanism_cases import ROWS, STEPS, adamw, constructed, memorizing
from tiny import tiny


def test_decay_switched_off_at_a_step_has_the_budget_up_to_there(tmp_path):
    off = [{"name": "switch", "from": 20, "to": {"weight_decay": 0.0}}]
    plain = train(tiny(), tmp_path / "plain")
    run = train(tiny({"regime.interventions": off}), tmp_path / "off")
    case, whole = case_of_run(run), case_of_run(plain)
    assert case.setup.interventions == ("switch",)
    assert decay_budget(case, 0.0, 60.0) == pytest.approx(decay_budget(whole, 0.0, 20.0))


def test_one_that_never_began_changed_nothing():
    record = {"interventions": [{"name": "switch", "to": {"weight_decay": 0.0}, "began": None, "ended": None}]}
    assert decay_spans({}, record, on_head=False) == ()
    record["interventions"][0] |= {"began": 40, "ended": 60}
    assert decay_spans({}, record, on_head=False) == ((40.0, 60.0, 0.0),)
    assert decay_spans({}, {"interventions": [{"name": "freeze", "began": 3, "ended": None}]}, on_head=False) == ()
    assert decay_spans({}, {}, on_head=False) == ()


def test_where_it_is_not_recorded_when_decay_changed_it_is_unknown():
    off = {"regime": {"weight_decay": 0.1, "interventions": [{"name": "switch", "to": {"weight_decay": 0.0}}]}}
    assert setup_of_config(off, {}).weight_decay is None
    slower = {"regime": {"weight_decay": 0.1, "interventions": [{"name": "switch", "to": {"lr": 1e-4}}, "freeze"]}}
    assert setup_of_config(slower, {}).weight_decay == 0.1
    assert setup_of_config(slower, {}).interventions == ("switch", "freeze")


def test_the_report_reads_it_too_and_a_damaged_record_costs_only_the_decay(tmp_path):
    off = [{"name": "switch", "from": 20, "to": {"weight_decay": 0.0}}]
    run = train(tiny({"regime.interventions": off}), tmp_path / "runs")
    assert decay_spans({}, _intervened(str(run.path)), on_head=False) == ((20.0, math.inf, 0.0),)
    assert _intervened(None) == {}
    (run.path / "results" / "interventions.json").write_text("[]")
    assert _intervened(str(run.path)) == {}
    assert setup_of_config(run.config, run.facts, {}).weight_decay is None


OFF = {"name": "switch", "from": "T_fit", "to": {"weight_decay": 0.0}}


def switched_off(**more):
    """Decay 1 at lr 1e-3, off from step 300 of 6,000: its budget is .3, and would have been 6."""
    return adamw(weight_decay=1.0, switched_decay=((300.0, math.inf, 0.0),), had=(OFF,), **more)


def test_where_decay_was_switched_off_the_advice_is_to_leave_it_on():
    finding = DecayTime().look(memorizing(switched_off()))
    assert finding.word == "supports"
    assert finding.numbers["decay_budget"] == pytest.approx(0.3)
    assert finding.arm is not None
    assert finding.arm.name == "decay left on"
    assert finding.arm.changes == {"regime.weight_decay": 1.0, "regime.interventions": []}
    arms = [arm.name for _, arm in explain(memorizing(switched_off())).next_arms()]
    assert "decay with time" not in arms
    assert "decay left on" in arms


def test_decay_that_was_weak_before_it_was_switched_off_gets_more_and_is_left_on():
    weak = adamw(weight_decay=1e-3, switched_decay=((300.0, math.inf, 0.0),), had=(OFF,))
    arm = DecayTime().look(memorizing(weak)).arm
    assert arm is not None
    assert (arm.name, arm.changes["regime.interventions"]) == ("decay with time", [])
    never_switched = DecayTime().look(memorizing(adamw(weight_decay=1e-3))).arm
    assert never_switched is not None
    assert "regime.interventions" not in never_switched.changes


def test_an_arm_states_all_of_its_interventions_as_a_command_line_takes_them():
    cool = {"name": "temperature", "temperature": 1.7, "until": None}
    arms = [f.arm for f in explain(memorizing(adamw(had=(cool,)), norm_total=np.linspace(30, 60, ROWS))).findings]
    held = next(arm for arm in arms if arm is not None and arm.name.startswith("norm held"))
    assert [i["name"] for i in held.changes["regime.interventions"]] == ["temperature", "hold_norm"]
    option, value = shlex.split(held.options)
    assert option == "--regime.interventions"
    assert json.loads(value) == held.changes["regime.interventions"]
    assert configio.load_run(configio.overlay(configio.dump(tiny()), held.changes)).regime.interventions[0].name


def record(*entries):
    return {"T_fit": 40, "interventions": list(entries)}


def test_of_two_that_act_at_once_the_last_in_the_list_counts():
    both = record(
        {"name": "switch", "to": {"weight_decay": 0.5}, "began": 10, "ended": 100},
        {"name": "switch", "to": {"weight_decay": 0.0}, "began": 50, "ended": 80},
    )
    spans = decay_spans({"weight_decay": 1.0}, both, on_head=False)
    assert spans == ((10.0, 50.0, 0.5), (50.0, 80.0, 0.0), (80.0, 100.0, 0.5))
    regime = {"optimizer": "adamw", "lr": 0.01, "weight_decay": 1.0, "interventions": both["interventions"]}
    setup = setup_of_config({"regime": regime}, {}, both)
    assert decay_budget(memorizing(setup), 0.0, 200.0) == pytest.approx(0.01 * (10 + 0.5 * 40 + 0.5 * 20 + 100))


def test_decay_on_the_head_alone_is_none_on_the_rest():
    only = record({"name": "switch", "to": {"decay_groups": "head"}, "began": 40, "ended": None})
    regime = {"weight_decay": 1.0, "decay_groups": "all"}
    assert decay_spans(regime, only, on_head=False) == ((40.0, math.inf, 0.0),)
    assert decay_spans(regime, only, on_head=True) == ((40.0, math.inf, 1.0),)
    head = record({"name": "decay_head", "weight_decay": None, "began": 40, "ended": None})
    assert decay_spans(regime, head, on_head=True) == ((40.0, math.inf, 1.0),)
    case = memorizing(adamw(weight_decay=1.0, decay_groups="head"))
    assert (decay_budget(case, 0.0, 1000.0), decay_budget(case, 0.0, 1000.0, "head")) == (0.0, pytest.approx(1.0))
    finding = DecayTime().look(case)
    assert finding.word == "supports"
    assert "on the head alone" in finding.evidence
    assert finding.arm is not None
    assert finding.arm.changes["regime.decay_groups"] == "all"


def test_a_filter_that_was_switched_in_at_the_fit_is_the_one_in_force():
    began = record({"name": "switch", "to": {"grad_filter": "grokfast_ema"}, "began": 40, "ended": None})
    regime = {"optimizer": "adamw", "grad_filter": "none", "interventions": began["interventions"]}
    setup = setup_of_config({"regime": regime}, {}, began)
    assert setup.grad_filter == "grokfast_ema"
    finding = FilterFeedsHead().look(memorizing(setup, norm_head=np.linspace(1, 2, ROWS)))
    assert finding.applies
    assert finding.arm is not None
    assert finding.arm.changes == {"regime.grad_filter": "none", "regime.interventions": []}
    began["interventions"][0]["ended"] = 400
    mixed = setup_of_config({"regime": regime}, {}, began)
    assert mixed.grad_filter is None, "there was not one filter after the fit"
    assert setup_of_config({"regime": regime}, {}).grad_filter is None, "and it is not recorded when"


def test_noise_under_decay_that_was_switched_off_is_noise():
    """Steps of pure noise, under decay 1 up to 3,000 and none after: told as one decay they would look systematic."""
    lr, weights, u = 1e-3, 100_000, 1.0
    first, second = Walk.constant(lr, 1.0, 3000, weights), Walk.constant(lr, 0.0, 3000, weights)
    middle = first.norm(3.0, u)
    norm = np.where(STEPS <= 3000, np.linspace(3.0, middle, ROWS), 0.0)
    for i, step in enumerate(STEPS):
        late = step > 3000
        walk = Walk.constant(lr, 0.0 if late else 1.0, step - (3000 if late else 100), weights)
        norm[i] = walk.norm(middle if late else 3.0, u)
    assert first.then(second).norm(3.0, u) == pytest.approx(second.norm(middle, u))
    assert first.then(second).fitted_u(3.0, second.norm(middle, u)) == pytest.approx(u)
    known = adamw(weight_decay=1.0, switched_decay=((3000.0, math.inf, 0.0),))
    numbers = MoreThanDiffusion().look(memorizing(known, norm_total=norm)).numbers
    assert numbers["u_high"] == pytest.approx(u, abs=0.03)
    unknown = MoreThanDiffusion().look(memorizing(adamw(weight_decay=1.0), norm_total=norm)).numbers
    assert unknown["u_low"] > 1.2, "the switch is what the null has to know of"


def test_decay_that_breaks_the_fit_is_blamed_as_it_was_in_force():
    train_scores = np.where((STEPS > 1500) & (STEPS // 100 % 4 < 2), 0.3, 1.0)
    raised = ((1500.0, math.inf, 20.0),)
    had = ({"name": "switch", "from": 1500, "to": {"weight_decay": 20.0}},)
    setup = adamw(weight_decay=0.1, switched_decay=raised, switched_head_decay=raised, had=had)
    case = constructed(np.full(ROWS, 0.5), setup, train_scores)
    assert case.verdict.verdict == "unstable"
    arm = DecayTooStrong().look(case).arm
    assert arm is not None
    assert [i["to"]["weight_decay"] for i in arm.changes["regime.interventions"]] == [20.0, 4.0]
    assert "regime.weight_decay" not in arm.changes


def test_up_to_an_exact_fork_the_decay_was_the_parents(tmp_path):
    parent = train(tiny({"checkpoint.states": [20]}), tmp_path)
    child = train(fork(parent, {"regime.weight_decay": 0.0}, at=20), tmp_path)
    whole, forked = case_of_run(parent), case_of_run(child)
    assert decay_budget(forked, 0.0, 60.0) == pytest.approx(decay_budget(whole, 0.0, 20.0))
    (tmp_path / parent.id).rename(tmp_path / "gone")
    assert case_of_run(child).setup.weight_decay is None, "without the parent it is not known"
