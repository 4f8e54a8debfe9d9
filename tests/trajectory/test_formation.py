"""Representation or readout, on planted curves and on real runs of both kinds."""

from dataclasses import replace

import numpy as np
import pytest

from grokscope.store.query import sql
from grokscope.train.driver import train
from grokscope.trajectory import Trajectory, from_run, verdict
from grokscope.trajectory.formation import formation
from grokscope.trajectory.milestones import milestones
from grokscope.verdicts import verdict_line
from tiny import tiny

STEP = np.arange(0, 1001, 10)


def rising(start, stop, low, high):
    """(t,): low until `start`, high from `stop` on."""
    return low + (high - low) * np.clip((STEP - start) / (stop - start), 0, 1)


def planted(probe, spread=0.05, every=10, **changes):
    """Train fits at 50, the network rises from .1 to .98 between 400 and 600; a probe is fitted in every
    `every`-th row."""
    seen = np.where(np.arange(len(STEP)) % every == 0, probe, np.nan)
    curves = {"probe": seen, "probe_low": np.maximum(seen - spread, 0), "probe_high": np.minimum(seen + spread, 1)}
    given = {
        "step": STEP,
        "train": rising(0, 50, 0.1, 1.0),
        "held_out": {"test": rising(400, 600, 0.1, 0.98)},
        "threshold": 0.95,
        **{name: {"test": values} for name, values in curves.items()},
    }
    return Trajectory(**given | changes)


def route(trajectory):
    found = formation(trajectory, "test", milestones(trajectory, "test"))
    assert found is not None
    return found


def test_a_probe_that_rises_with_the_network_means_that_a_representation_formed():
    found = route(planted(rising(400, 600, 0.1, 0.98)))
    assert found.route == "representation"
    assert found.share == pytest.approx(1.0)
    assert found.step == 100


def test_a_probe_that_was_there_means_that_a_readout_recovered():
    found = route(planted(np.full(len(STEP), 0.93), input_probe={"test": 0.9}))
    assert found.route == "readout"
    assert found.share == pytest.approx(0.0)
    assert "the raw input gives 0.9" in found.reason


def test_half_of_each_cannot_be_told():
    assert route(planted(rising(400, 600, 0.6, 0.95))).route == "cannot tell"


def test_a_probe_whose_best_strength_had_it_all_along_did_not_show_a_forming_representation():
    assert route(planted(rising(400, 600, 0.1, 0.98), spread=0.8)).route == "cannot tell"


def test_without_a_diagnosis_before_the_rise_nothing_is_said():
    found = route(planted(rising(400, 600, 0.1, 0.98), every=45))  # at 450 a quarter of the rise is made
    assert found.route == "representation"
    late = planted(rising(400, 600, 0.1, 0.98), every=60)
    assert route(late).route == "cannot tell"
    assert "diagnose more often" in route(late).reason


def test_without_probes_or_without_a_fit_there_is_no_answer():
    bare = planted(np.full(len(STEP), np.nan))
    assert formation(bare, "test", milestones(bare, "test")) is None
    foreign = replace(planted(STEP * 0.0), probe={}, probe_low={}, probe_high={})
    assert formation(foreign, "test", milestones(foreign, "test")) is None
    unfitted = replace(planted(STEP * 0.0 + 0.5), train=STEP * 0.0 + 0.5)
    assert formation(unfitted, "test", milestones(unfitted, "test")) is None


def test_a_grokked_verdict_says_by_which_route_and_others_do_not():
    grokked = verdict(planted(np.full(len(STEP), 0.93)))
    assert grokked.verdict == "grokked"
    assert grokked.formation is not None
    assert grokked.formation.route == "readout"
    assert grokked.to_dict()["formation"]["probe_at_end"] == pytest.approx(0.93)
    assert "readout: the representation was there" in verdict_line(grokked.record())
    memorized = verdict(planted(np.full(len(STEP), 0.93), held_out={"test": STEP * 0.0 + 0.1}))
    assert memorized.verdict == "memorized"
    assert memorized.to_dict()["formation"] is None


def test_a_run_carries_its_probes_and_sql_its_route(tmp_path):
    run = train(tiny(), tmp_path)
    trajectory = from_run(run)
    assert np.isfinite(trajectory.probe["id_val"]).any()
    assert (trajectory.probe_low["id_val"][-1], trajectory.probe_high["id_val"][-1]) != (0.0, 0.0)
    assert 0 <= trajectory.input_probe["id_val"] <= 1
    assert "formation" in sql("select formation from runs", tmp_path)[0]
