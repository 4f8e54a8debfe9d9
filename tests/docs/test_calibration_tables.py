"""The page on the dissection quotes the calibration that is shipped, and no other numbers."""

from dataclasses import replace

import pytest
from calibration_tables import LABELS, PAGE, null_table, verdict, with_tables

from grokscope.dissect.calibrate import PLANTED
from grokscope.results.calibration import shipped


def test_the_page_says_what_the_shipped_calibration_says():
    page = PAGE.read_text()
    assert with_tables(page, shipped()) == page, "run: python benchmarks/calibration_tables.py"


def test_every_condition_has_a_label():
    assert LABELS.keys() == PLANTED.keys()


def test_another_number_changes_the_page():
    calibration = shipped()
    none = calibration.conditions["none"]
    other = replace(none, rates={**none.rates, "m5": (0.37, 0.3, 0.4, 0)})
    changed = replace(calibration, conditions={**calibration.conditions, "none": other})
    assert "| .37 |" in null_table(changed)
    assert "| .37 |" not in null_table(calibration)
    with pytest.raises(ValueError, match="lacks <!-- from calibration"):
        with_tables("no marks", calibration)


def test_a_cell_above_its_level_is_named_and_one_that_may_be_chance_is_not():
    none = replace(shipped().conditions["none"], seeds=200)
    calm = replace(none, rates=dict.fromkeys(none.rates, (0.06, 0.0, 1.0, 0)))
    assert verdict({"none": calm}).startswith("No cell of these 7 is above the level of .05 after Holm's correction")
    loud = replace(calm, rates={**calm.rates, "m5": (0.13, 0.0, 1.0, 0)})
    assert "steering where there is nothing (.13)" in verdict({"none": loud})
    ignored = replace(calm, rates={**calm.rates, "decodable": (1.0, 0.0, 1.0, 0)})
    assert verdict({"unused": ignored}).startswith("No cell of these 6")
