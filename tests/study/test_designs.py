"""Designed studies: read strictly, run once per cell and seed, and planted effects come out with the right sizes."""

import json
import math
import re
from dataclasses import replace

import pytest

from grokscope import cli
from grokscope.results.hypothesis import Hypotheses
from grokscope.study import Study
from grokscope.study.testing import answers_to
from study.planted import STEPS, planted
from tiny import TINY

FACTORS = {"regime.weight_decay": [0.1, 0.5], "regime.lr": [0.001, 0.01]}
THREE = {**FACTORS, "regime.init_scale": [1.0, 4.0]}


def designed(seeds=5, **design):
    table = {"factors": FACTORS, "responses": ["T_gen"], **design}
    return Study.from_dict(
        {**TINY, "name": "designed", "schema": 2, "budget": {"steps": STEPS}, "evaluate": {"every": 10, "at": [0]},
         "seeds": list(range(seeds)), "design": table}
    )  # fmt: skip


def effects_of(made, root, value, norm=None, state="done"):
    """`value` and `norm`: config -> T_gen, and the norm."""
    runs = []
    for entry in made.entries:
        one = replace(made, entries=(entry,))
        key = entry.config.regime.weight_decay, entry.config.seed
        runs += planted(
            one, root, {key: value(entry.config)}, norm={key: 1.0 if norm is None else norm(entry.config)}, state=state
        )
    design = answers_to(made.name, (), runs, None, root, made.design).design
    assert design is not None
    return design


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factors": {"regime.lr": [0.1, 0.2]}}, "a design has 2 to 7 factors, got 1"),
        ({"factors": {**FACTORS, "regime.lr": [0.1]}}, "$.design.factors.regime.lr: expected two different levels"),
        ({"factors": {**FACTORS, "hardware.threads": [1, 2]}}, "hardware is study-wide"),
        ({"cells": 3}, "$.design.cells: 2 factors can be run in 4 cells, not in 3"),
        ({"responses": []}, "$.design.responses: expected a list"),
        ({"responses": ["T_gne"]}, "$.design.responses[0].quantity: unknown quantity 'T_gne'; did you mean 'T_gen'"),
        ({"factor": {}}, "$.design.factor: unknown key; did you mean 'factors'"),
        ({"one_off": True, "cells": 4}, "one_off has one cell for each factor"),
    ],
)
def test_faults_are_named(change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        designed(**change)


def test_a_design_stands_alone():
    raw = {**TINY, "design": {"factors": FACTORS, "responses": ["T_gen"]}, "axes": {"regime.lr": [0.1, 0.2]}}
    with pytest.raises(ValueError, match="cannot be combined with"):
        Study.from_dict(raw)


def test_cells_are_runs_that_an_ordinary_factorial_would_have():
    axes = Study.from_dict({**TINY, "seeds": [0, 1], "axes": FACTORS})
    made = Study.from_dict({**TINY, "seeds": [0, 1], "design": {"factors": FACTORS, "responses": ["T_gen"]}})
    assert {e.config.identity_hash for e in made.entries} == {e.config.identity_hash for e in axes.entries}
    half = designed(factors=THREE, cells=4)
    assert len(half.entries) == 4 * 5
    assert half.design is not None
    assert half.design.says() == (
        "4 of 8 cells of 3 factors, resolution III: weight_decay is aliased with lr x init_scale; lr is "
        "aliased with weight_decay x init_scale; init_scale is aliased with weight_decay x lr."
    )
    off = designed(factors=THREE, one_off=True)
    assert len(off.entries) == 4 * 5
    assert off.design is not None
    assert [e.config.regime.init_scale for e in off.entries[::5]] == [4.0, 4.0, 4.0, 1.0]


def test_planted_effects_on_times_and_on_norms(tmp_path):
    """Decay halves the time, the learning rate does nothing; the norm has an interaction alone."""
    made = designed(responses=["T_gen", {"measure": "norm_total"}])

    def high(config):
        return config.regime.weight_decay == 0.5, config.regime.lr == 0.01

    design = effects_of(
        made,
        tmp_path,
        lambda c: (400 if high(c)[0] else 800) + 10 * c.seed,
        lambda c: 3.0 + c.seed + (1.0 if high(c)[0] == high(c)[1] else 0.0),
    )
    times, norms = design.responses
    assert (times.outcome, times.effect_name, times.null, times.seeds) == ("told", "ratio of times", 1.0, 5)
    decay, lr, both = times.effects
    assert [e.name for e in times.effects] == ["weight_decay", "lr", "weight_decay x lr"]
    assert decay.effect == pytest.approx(0.51, abs=0.01)
    assert decay.interval is not None
    assert decay.interval[0] <= decay.effect <= decay.interval[1] < 0.6
    assert (decay.p, decay.smallest_p, decay.level) == (1 / 16, 1 / 16, 0.9375)
    assert (lr.effect, lr.p, both.p) == (1.0, 1.0, 1.0)
    assert [e.effect for e in norms.effects] == [0.0, 0.0, 1.0]
    assert norms.effects[2].interval == (1.0, 1.0)
    assert norms.effects[2].p_adjusted == pytest.approx(3 / 16)


def test_runs_that_do_not_reach_it_give_hazard_ratios_with_an_exact_p(tmp_path):
    """Spread over seeds so that nothing separates them; some of the low decay never come."""
    made = designed(seeds=6)

    def moment(c):
        slow = c.regime.weight_decay == 0.1
        return 250 + 130 * ((c.seed * 5 + (c.regime.lr == 0.01)) % 7) + (260 if slow else 0)

    (times,) = effects_of(made, tmp_path, moment).responses
    assert times.effect_name == "hazard ratio"
    decay, lr, _ = times.effects
    assert decay.effect is not None
    assert decay.interval is not None
    assert decay.effect > 1.5
    assert decay.interval[0] < decay.effect < decay.interval[1]
    assert decay.p == 1 / 32
    assert lr.p > 0.2
    assert any("did not reach it by 1,000" in note for note in times.notes)
    low = next(c for c in times.cells if c.name == "weight_decay=0.1 lr=0.001")
    assert low.reached is not None
    assert low.reached < low.runs == 6


@pytest.mark.parametrize(("seeds", "apart"), [(4, False), (5, True), (6, True)])
def test_hazard_ratios_are_told_from_one_exactly_where_the_exact_test_over_seeds_does(tmp_path, seeds, apart):
    """Four seeds reach p = .125 at best. The model takes all 16 runs for independent: its own is 1.4 to 44."""

    def moment(c):
        slow = c.regime.weight_decay == 0.1
        return 250 + 130 * ((c.seed * 5 + (c.regime.lr == 0.01)) % 7) + (600 if slow else 0)

    (times,) = effects_of(designed(seeds=seeds), tmp_path, moment).responses
    assert times.effect_name == "hazard ratio"
    decay, lr, _ = times.effects
    assert decay.p == 2 / 2**seeds
    assert decay.level == (0.9375 if seeds == 5 else 0.95)
    assert (decay.interval[0] > 1) == apart
    assert lr.interval[0] <= 1 <= lr.interval[1]


def test_where_a_factor_tells_all_runs_apart_only_p_is_told(tmp_path):
    (times,) = effects_of(designed(), tmp_path, lambda c: 300 if c.regime.weight_decay == 0.5 else 9999).responses
    decay = times.effects[0]
    assert (decay.effect, decay.interval, decay.p) == (None, None, 1 / 16)


def test_nothing_is_told_before_every_run_has_ended_or_where_none_came(tmp_path):
    (times,) = effects_of(designed(seeds=2), tmp_path / "a", lambda c: 300, state="partial").responses
    assert (times.outcome, times.notes) == ("open", ("0 of 8 runs are finished",))
    (times,) = effects_of(designed(seeds=2), tmp_path / "b", lambda c: 9999).responses
    assert times.outcome == "cannot tell"
    assert "no run reached it" in times.notes[0]


def test_one_factor_off_is_compared_with_all_on(tmp_path):
    made = designed(factors=THREE, one_off=True, responses=[{"measure": "norm_total"}])
    (norms,) = effects_of(made, tmp_path, lambda c: 300, lambda c: 2.0 * c.regime.init_scale + c.seed).responses
    assert [(e.name, e.effect) for e in norms.effects] == [("weight_decay", 0.0), ("lr", 0.0), ("init_scale", 6.0)]


def test_from_the_file_to_the_terminal_and_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.toml").write_text(
        'schema = 2\nname = "d"\nseeds = [0, 1, 2, 3, 4]\ntask = { name = "modular", p = 7 }\n'
        'model = { name = "embedding-mlp", embedding = 4, hidden = [8] }\nbudget = { steps = 30 }\n'
        "evaluate = { every = 10 }\nregime = { lr = 1e-2, batch_size = 8 }\n\n[design]\n"
        'factors = { "regime.weight_decay" = [0.0, 5.0], "regime.init_scale" = [1.0, 2.0] }\n'
        'responses = [{ measure = "norm_total" }]\n'
    )
    assert cli.run(["study", "run", "d.toml", "--workers", "0"]) == 0
    capsys.readouterr()
    assert cli.run(["study", "test", "d.toml"]) == 0
    text = capsys.readouterr().out
    assert text.lstrip().startswith("All 4 cells of 2 factors: main effects and all interactions of two.")
    assert re.search(r"init_scale +\d+\.\d+ +93\.75 %: ", text)
    assert cli.run(["study", "report", "d.toml", "--out", "d.html"]) == 0
    known = Hypotheses.read(tmp_path / "d_hypotheses.json")
    assert known.design is not None
    scale = next(e for e in known.design.responses[0].effects if e.name == "init_scale")
    assert scale.effect is not None
    assert scale.effect > 0
    assert not math.isnan(scale.p)
    page = (tmp_path / "d.html").read_text()
    assert 'id="effects"' in page
    assert "effects on final of norm_total" in page
    assert "% interval; ticks: " in page
    assert list((tmp_path / "d_figures").glob("*effects*.png"))
    assert json.loads((tmp_path / "d_hypotheses.json").read_text())["results"] == []


def test_two_seeds_bound_no_interval_and_both_places_say_so_alike(tmp_path, capsys):
    from grokscope.commands.hypotheses import show_design
    from grokscope.commands.output import stdout_console
    from grokscope.report.sections.effects import _row

    made = designed(seeds=2)
    design = effects_of(made, tmp_path, lambda c: 40 if c.regime.weight_decay == 0.5 else 80)
    (response,) = design.responses
    assert (response.effect_name, response.effects[0].interval) == ("ratio of times", (0.0, math.inf))
    show_design(stdout_console(), design)
    out = capsys.readouterr().out
    assert out.count("no bounded interval with so few values") == len(response.effects)
    assert "inf" not in out
    assert _row(response.effects[0], response.null).cells[0].sub == "no bounded interval with so few values"
