"""The script that measures the shipped calibration: in parallel as in turn, saved as it goes, and resumed."""

import shutil
from dataclasses import replace

import calibration
import pytest

from grokscope.dissect.planted import Planting
from grokscope.results import calibration as stored
from grokscope.results.dissection import RULES

SMALL = Planting(n=180, d=8, neurons=2)
PLANTED = {"none": replace(SMALL, separation=0.0), "concentrated": SMALL, "smeared": replace(SMALL, neurons=8)}


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A copy of the shipped file, whose conditions are all of older rules."""
    path = tmp_path / stored.CALIBRATION
    shutil.copy(stored.SHIPPED, path)
    for module in (calibration, stored):
        monkeypatch.setattr(module, "SHIPPED", path)
    monkeypatch.setattr(calibration, "PLANTED", PLANTED)
    monkeypatch.setattr(calibration, "CHUNK", 1)
    old = stored.shipped()
    replace(old, conditions={n: replace(c, rules=RULES - 1) for n, c in old.conditions.items()}).write(path)
    return stored.shipped


@pytest.mark.slow
def test_two_processes_ship_what_one_does_and_what_is_done_is_not_done_again(shipped):
    counts = {"none": 2, "concentrated": 1, "smeared": 1}
    assert calibration.unfinished(counts) == tuple(PLANTED)
    calibration.measure(counts, workers=2)
    parallel = shipped()
    assert list(parallel.conditions) == list(PLANTED)
    assert [(c.seeds, c.rules) for c in parallel.conditions.values()] == [(2, RULES), (1, RULES), (1, RULES)]
    assert parallel.processor_seconds > 0
    assert calibration.unfinished(counts) == ()
    assert calibration.unfinished({**counts, "smeared": 2}) == ("concentrated", "smeared")  # told apart together
    assert calibration.unfinished({**counts, "none": 3}) == ("none",)
    calibration.measure(counts, workers=1)
    assert shipped().conditions == parallel.conditions
    assert shipped().concentrated_told_from_smeared == parallel.concentrated_told_from_smeared


def test_each_condition_is_saved_as_soon_as_it_is_whole(shipped, monkeypatch):
    def stops(name, what, seeds):
        if name == "smeared":
            raise KeyboardInterrupt
        return scores(name, what, seeds)

    scores = calibration.score
    monkeypatch.setattr(calibration, "score", stops)
    with pytest.raises(KeyboardInterrupt):
        calibration.measure({"none": 1, "concentrated": 1, "smeared": 1}, workers=1)
    assert shipped().conditions["none"].rules == RULES
    assert calibration.unfinished({"none": 1, "concentrated": 1, "smeared": 1}) == ("concentrated", "smeared")
