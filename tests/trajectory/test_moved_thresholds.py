"""Moving thresholds one by one reads again only what depends on them, and says what reading everything again says."""

import pytest
from trajectory_shapes import trajectory

from grokscope.trajectory import Criteria, Trajectory, milestones, verdict
from grokscope.trajectory.evidence import gather
from grokscope.trajectory.milestones import READS
from grokscope.trajectory.verdict import decide
from report.synthetic import GENERALIZED, GROKKED, MEMORIZED, UNGROKKED, rows

SHAPES = {"grokked": GROKKED, "memorized": MEMORIZED, "generalized": GENERALIZED, "ungrokked": UNGROKKED}


def run_of(shape: str) -> Trajectory:
    table = rows(SHAPES[shape], 0, 20000, diagnostics=False)
    step, train, held = ([row[key] for row in table] for key in ("step", "train_acc", "id_val_acc"))
    return trajectory(step, train, held, threshold=0.9)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_neighbor_says_what_a_whole_reading_says(shape):
    t, criteria = run_of(shape), Criteria()
    split = t.splits[0]
    moved = verdict(t, split, criteria).neighbors
    whole = {label: decide(gather(run_of(shape), split, near), near)[0] for label, near in criteria.neighbors(t, split)}
    assert len(whole) > 30
    assert {label: moved[label] for label in whole} == whole


@pytest.mark.parametrize("shape", SHAPES)
def test_milestones_depend_on_the_criteria_that_are_named_and_on_no_others(shape):
    t, criteria = run_of(shape), Criteria()
    split = t.splits[0]
    base, changed = milestones(t, split, criteria), set()
    for label, near in criteria.neighbors(t, split):
        name = label.partition("=")[0]
        if milestones(t, split, near) != base:
            changed.add(name)
    assert changed <= set(READS)
    assert {"generalize", "noise_sigmas", "end_share"} & changed, "else the test could not fail"
