"""Networks that were trained: the checks name the route by which each groks, and what lacked where it did not."""

import pytest

import grokscope as gs
from grokscope.study.study import Study, find_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    root = tmp_path_factory.mktemp("routes")
    study = Study.load(find_study("two_routes")).only(
        ["addition, decay 1", "addition, no decay", "digits, decay 0.1"], [0]
    )
    study.run(0, root)
    return {state.entry.label: gs.explain(state.run) for state in study.status(root)}


def words(explanation):
    return {f.check: f.word for f in explanation.findings}


def test_addition_forms_a_representation_and_digits_recovers_a_readout(explained):
    assert words(explained["addition, decay 1"])["readout"] == "against"
    digits = explained["digits, decay 0.1"]
    assert words(digits)["readout"] == "supports"
    assert "readout" in {f.check for f in digits.fitting}


def test_decay_had_time_where_it_grokked_and_none_where_there_was_none(explained):
    assert words(explained["addition, decay 1"])["decay time"] == "supports"
    without = explained["addition, no decay"]
    assert words(without)["decay time"] == "supports", "the claim there: it had too little time"
    assert "decay time" in {f.check for f in without.fitting}


def test_no_excuse_is_offered_that_these_networks_have_not(explained):
    assert len(explained) == 3
    for explanation in explained.values():
        found = words(explanation)
        assert found["nothing memorized"] == "against"
        assert found["decay grip"] == "against", "neither network has a normalization layer"
        assert found["leakage"] != "supports"
        assert found["decay too strong"] == "against"
