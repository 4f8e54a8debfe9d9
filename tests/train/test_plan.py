"""Which step does what, also where there are very many."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.train.plan import COUNTED, make_plan
from tiny import tiny

BATCHES = 4
"""Steps in an epoch of the runs below."""


def plan_of(changes):
    config = tiny({"regime.batch_size": 1, **changes})
    return make_plan(config, BATCHES)


rules = st.fixed_dictionaries(
    {},
    optional={
        "every": st.integers(1, 60),
        "per_decade": st.integers(1, 30),
        "at": st.lists(st.integers(0, 400), max_size=3),
        "unit": st.sampled_from(["steps", "epochs"]),
    },
)


def listed(config, total):
    scale = BATCHES if config.unit == "epochs" else 1
    return {p * scale for p in config.points(total // scale)}


@settings(max_examples=60, deadline=None)
@given(rules, rules, rules, st.integers(1, 700))
def test_a_plan_is_the_union_of_its_cadences(evaluate, diagnose, checkpoint, total):
    config = tiny(
        {
            "regime.batch_size": 1,
            "budget.steps": total,
            "evaluate": evaluate,
            "diagnose": diagnose,
            "checkpoint": checkpoint,
        }
    )
    plan = make_plan(config, BATCHES)
    e, d, c = (listed(x, total) for x in (config.evaluate, config.diagnose, config.checkpoint))
    assert list(plan.grid) == sorted(e | d)
    assert list(plan.evaluate) == sorted(e | d | {total})
    assert list(plan.diagnose) == sorted(d | {total})
    assert list(plan.checkpoint) == sorted(c)
    assert [s for s in range(total + 9) if s in plan.evaluate] == sorted(e | d | {total})
    assert plan.evaluate.about(total // 3) == sum(s >= total // 3 for s in e | d | {total})
    step, visited = 0, []
    while step < total:
        step = plan.next_event(step)
        visited.append(step)
    assert visited == sorted((e | d | c | {total}) - {0})
    with pytest.raises(ValueError, match="the end of a run"):
        plan.next_event(total)


def test_a_trillion_evaluations_are_planned_at_once():
    start = time.process_time()
    plan = plan_of({"budget.steps": 10**13, "evaluate.every": 10, "diagnose.per_decade": 10**9})
    assert plan.next_event(10**12) in range(10**12 + 1, 10**12 + 11)
    assert 10**12 <= plan.evaluate.about() <= 10**13
    assert plan.evaluate.about(10**13 - 1000) < 10**6 + COUNTED
    assert 10**12 in plan.evaluate
    assert time.process_time() - start < 10  # listing them would take days


def test_more_steps_than_a_run_can_have_name_the_budget():
    with pytest.raises(ValueError, match=r"\$.budget.epochs: 1000000000000000 epochs of 4 steps"):
        plan_of({"budget.epochs": 10**15})
