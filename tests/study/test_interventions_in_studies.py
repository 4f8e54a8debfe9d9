"""Interventions in study files: as arms and axes, in conditions, in tables, and after a file on the command line."""

from grokscope.commands.overrides import split_overrides
from grokscope.commands.train import train_run
from grokscope.configio import flatten, load_run, overlay
from grokscope.store.query import sql
from grokscope.study import Study
from grokscope.study.conditions import matches
from tiny import TINY

HELD = {"name": "hold_norm", "rho": 1.0, "from": 400}


def study(**more):
    return Study.from_dict({**TINY, "schema": 2, "name": "dose", "seeds": [0, 1], **more})


def test_an_axis_changes_one_parameter_of_one_item():
    regime = {**TINY["regime"], "interventions": [HELD, "temperature"]}
    doses = study(regime=regime, axes={"regime.interventions.0.rho": [0.85, 1.0, 1.15]})
    held = [c.regime.interventions[0] for c in doses.runs()]
    assert sorted({h.rho for h in held}) == [0.85, 1.0, 1.15]
    assert {h.from_ for h in held} == {400}
    assert len({c.run_id() for c in doses.runs()}) == 6
    assert {c.regime.name for c in doses.runs()} == {"rho=0.85", "rho=1", "rho=1.15"}


def test_an_arm_replaces_the_whole_list_and_conditions_name_items():
    arms = [
        {"name": "held", "regime": {"interventions": [{"name": "freeze"}]}},
        {"name": "as it is"},
        {"name": "none", "regime": {"interventions": []}},
    ]
    three = study(regime={**TINY["regime"], "interventions": [HELD, "temperature"]}, arm=arms)
    lists = {e.label: [i.name for i in e.config.regime.interventions] for e in three.entries}
    assert lists == {"held": ["freeze"], "as it is": ["hold_norm", "temperature"], "none": []}
    chosen = {"regime.interventions.0": "hold_norm", "regime.interventions.0.rho": 1.0}
    assert {e.label for e in three.entries if matches(e, chosen)} == {"as it is"}


def test_an_expectation_can_ask_for_a_dose():
    expect = [{"where": {"regime.interventions.0.rho": 0.85}, "verdict": "grokked"}]
    regime = {**TINY["regime"], "interventions": [HELD]}
    assert study(regime=regime, axes={"regime.interventions.0.rho": [0.85, 1.0]}, expect=expect).runs()


def test_after_a_file_a_list_or_an_item_is_given():
    _, whole = split_overrides(["--regime.interventions", '[{ name = "freeze", from = "T_fit" }]'])
    config = load_run(overlay(TINY, whole))
    assert (config.regime.interventions[0].name, config.regime.interventions[0].from_) == ("freeze", "T_fit")
    _, item = split_overrides(["--regime.interventions.0.strength", "0.5"])
    assert load_run(overlay(overlay(TINY, whole), item)).regime.interventions[0].strength == 0.5


def test_sql_has_a_column_for_each_item_and_parameter(tmp_path):
    changed = overlay(TINY, {"regime.interventions": [{"name": "hold_norm", "rho": 0.9, "from": 20}]})
    train_run(load_run(changed), tmp_path)
    query = 'select "regime.interventions.0" as what, "regime.interventions.0.rho" as rho from runs'
    assert sql(query, tmp_path) == [{"what": "hold_norm", "rho": 0.9}]
    assert flatten(changed)["regime.interventions"] == [{"name": "hold_norm", "rho": 0.9, "from": 20}]
