"""What must hold for any trajectory, by hypothesis."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, find, given, settings
from hypothesis import strategies as st
from trajectory_shapes import trajectory

from grokscope.trajectory import Criteria, Trajectory, milestones, verdict

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def trajectories(draw: st.DrawFn, rest: int = 0) -> Trajectory:
    """Curves through a few levels, with noise; the last `rest` rows repeat the one before."""
    rows = draw(st.integers(4, 40))
    knots = draw(st.lists(st.floats(0, 1), min_size=2, max_size=5))
    fit_row = draw(st.integers(1, rows + 3))
    sigma = draw(st.sampled_from([0.0, 0.01, 0.05]))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    held = np.interp(np.linspace(0, 1, rows), np.linspace(0, 1, len(knots)), knots) + sigma * rng.normal(size=rows)
    train = np.minimum(1, np.arange(1, rows + 1) / fit_row)
    if draw(st.booleans()):
        train[rng.random(rows) < 0.2] = 0.3
    step = np.cumsum(rng.integers(1, 50, size=rows + rest))
    held = np.r_[held, np.full(rest, held[-1])]
    train = np.r_[train, np.full(rest, train[-1])]
    return trajectory(step, train, np.clip(held, 0, 1), trivial=draw(st.sampled_from([None, 0.0, 0.1, 0.5])))


def appended(t: Trajectory, rows: int) -> Trajectory:
    gap = int(t.step[-1] - t.step[-2])
    step = np.r_[t.step, t.step[-1] + gap * np.arange(1, rows + 1)]
    same = lambda v: np.r_[v, np.full(rows, v[-1])]  # noqa: E731
    return replace(t, step=step, train=same(t.train), held_out={k: same(v) for k, v in t.held_out.items()})


@quick
@given(trajectories(rest=24), st.integers(1, 30))
def test_a_run_at_rest_keeps_its_verdict_when_it_goes_on_resting(t: Trajectory, rows: int):
    """Except `unstable`, for a long enough calm dilutes old collapses and may only ever end that verdict; `rising`,
    which levels off; and `memorized` after a drop within noise, which more rows at the end may show to be a decay."""
    before, after = (verdict(x, neighbors=False) for x in (t, appended(t, rows)))
    if before.verdict == "unstable":
        return
    if before.verdict == "rising":
        assert after.verdict in ("rising", "semi-grokked")
        return
    if before.verdict == "memorized" and after.verdict == "ungrokked":
        assert before.evidence["lasting_drop"] > 0.5 * before.evidence["drop_band"]
        return
    assert after.label == before.label
    for name in ("T_fit", "T_gen", "T_gen_stable"):
        a, b = getattr(before.milestones, name), getattr(after.milestones, name)
        assert a.censored == b.censored
        assert (b.at > a.at) if a.censored else (a == b)


@quick
@given(trajectories(), st.sampled_from([2, 3, 10, 1000]))
def test_another_unit_of_time_scales_milestones_and_changes_no_class(t: Trajectory, factor: int):
    scaled = replace(t, step=t.step * factor)
    a, b = milestones(t), milestones(scaled)
    for name in ("T_fit", "T_gen", "T_gen_lasting", "T_gen_stable"):
        x, y = getattr(a, name), getattr(b, name)
        assert y.at == x.at * factor
        assert y.previous == (None if x.previous is None else x.previous * factor)
    if a.delay is not None and b.delay is not None:
        assert b.delay.value == a.delay.value * factor
    one, two = verdict(t), verdict(scaled)
    assert (one.label, one.robust, one.neighbors) == (two.label, two.robust, two.neighbors)


@quick
@given(trajectories(), st.data())
def test_rows_without_any_value_change_nothing(t: Trajectory, data: st.DataObject):
    """Sparse logging: blank rows anywhere between the evaluations."""
    row = data.draw(st.integers(1, len(t.step) - 1))
    assume(t.step[row] - t.step[row - 1] > 1)
    blank = lambda v: np.insert(v, row, np.nan)  # noqa: E731
    step = np.insert(t.step, row, t.step[row - 1] + 1)
    more = replace(t, step=step, train=blank(t.train), held_out={k: blank(v) for k, v in t.held_out.items()})
    assert verdict(t).to_dict() == verdict(more).to_dict()


@quick
@given(trajectories())
def test_robust_means_that_no_neighbor_differs(t: Trajectory):
    v = verdict(t)
    if v.verdict is None:
        assert not v.robust
        assert v.neighbors == {}
        return
    if v.robust:
        assert set(v.neighbors.values()) == {v.verdict}
    for label, near in Criteria().neighbors(t, "id_val"):
        moved = verdict(t, criteria=near, neighbors=False).verdict
        assert moved in (v.neighbors[label], None)


@quick
@given(trajectories())
def test_the_definitions_of_the_classes_hold(t: Trajectory):
    v = verdict(t, neighbors=False)
    m, e = v.milestones, v.evidence
    match v.verdict:
        case "underfit":
            assert m.T_fit.censored
        case "generalized":
            assert not m.T_gen_lasting.censored
        case "grokked":
            assert e["delay_ratio"] is None or e["delay_ratio"] >= 2
            assert m.T_gen_lasting.at > m.T_fit.at
            assert e["low_share"] >= 0.5
        case "semi-grokked" | "rising":
            assert (v.verdict == "rising") == e["still_rising"]
            assert m.T_gen_lasting.censored
            assert m.end > e["base"]
        case "memorized":
            assert m.T_gen_lasting.censored
            assert "censored" in v.reason
        case "ungrokked":
            assert m.T_gen_stable.censored
            assert max(m.peak_lasting, m.threshold) - m.end > m.noise.band
            assert (v.qualifier == "after-grokking") == (not m.T_gen_lasting.censored)
        case "recovered-to-baseline":
            assert e["no_better"]
            assert e["rise"] > 0
        case None:
            assert m.T_fit.previous is m.T_gen_lasting.previous is None
        case _:
            assert v.verdict == "unstable"
    assert not (
        m.T_fit.censored and v.verdict in ("generalized", "grokked", "semi-grokked", "rising", "memorized", "ungrokked")
    )


@pytest.mark.parametrize("name", ["grokked", "ungrokked", "generalized", "memorized"])
def test_the_trajectories_of_these_tests_are_of_every_kind(name: str):
    """What holds of grokked ones would hold of none, too."""
    assert find(trajectories(), lambda t: verdict(t, neighbors=False).verdict == name) is not None


@quick
@given(trajectories(), st.floats(2, 20))
def test_asking_for_a_longer_delay_never_makes_more_runs_grok(t: Trajectory, longer: float):
    if verdict(t, criteria=Criteria(delay_ratio=longer), neighbors=False).verdict == "grokked":
        assert verdict(t, neighbors=False).verdict == "grokked"


@quick
@given(trajectories(), st.floats(3, 10))
def test_asking_for_more_certainty_never_makes_more_runs_ungrok(t: Trajectory, sigmas: float):
    strict = Criteria(noise_sigmas=sigmas)
    if verdict(t, criteria=strict, neighbors=False).verdict == "ungrokked":
        assert verdict(t, neighbors=False).verdict in ("ungrokked", "semi-grokked", "rising", "recovered-to-baseline")
