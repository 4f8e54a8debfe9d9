"""Checks know what an intervention did: decay that was switched off counts up to there."""

import math

import pytest

from grokscope.mechanism import case_of_run
from grokscope.mechanism.decay import decay_budget
from grokscope.mechanism.setup import setup_of_config, switched_decay
from grokscope.report.sections.mechanisms import _intervened
from grokscope.train.driver import train
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
    assert switched_decay(record) == ()
    record["interventions"][0] |= {"began": 40, "ended": 60}
    assert switched_decay(record) == ((40.0, 60.0, 0.0),)
    assert switched_decay({"interventions": [{"name": "freeze", "began": 3, "ended": None}]}) == ()
    assert switched_decay({}) == ()


def test_where_it_is_not_recorded_when_decay_changed_it_is_unknown():
    off = {"regime": {"weight_decay": 0.1, "interventions": [{"name": "switch", "to": {"weight_decay": 0.0}}]}}
    assert setup_of_config(off, {}).weight_decay is None
    slower = {"regime": {"weight_decay": 0.1, "interventions": [{"name": "switch", "to": {"lr": 1e-4}}, "freeze"]}}
    assert setup_of_config(slower, {}).weight_decay == 0.1
    assert setup_of_config(slower, {}).interventions == ("switch", "freeze")


def test_the_report_reads_it_too_and_a_damaged_record_costs_only_the_decay(tmp_path):
    off = [{"name": "switch", "from": 20, "to": {"weight_decay": 0.0}}]
    run = train(tiny({"regime.interventions": off}), tmp_path / "runs")
    assert switched_decay(_intervened(str(run.path))) == ((20.0, math.inf, 0.0),)
    assert _intervened(None) == {}
    (run.path / "results" / "interventions.json").write_text("[]")
    assert _intervened(str(run.path)) == {}
    assert setup_of_config(run.config, run.facts, {}).weight_decay is None
