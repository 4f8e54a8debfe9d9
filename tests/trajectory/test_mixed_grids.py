"""Runs that were evaluated on different grids: Turnbull's estimate against Kaplan-Meier and brute force, and tests
whose level the grids cannot move."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize

from grokscope.trajectory import Times, km, logrank, survival
from grokscope.trajectory.times import coarsened, pooled, shared_steps
from grokscope.trajectory.turnbull import turnbull


def seen_on(moments: np.ndarray, grid: np.ndarray) -> Times:
    """What runs that reach it at `moments` show when they are evaluated at the steps of `grid`."""
    row = np.searchsorted(grid, moments, "left")
    reached = row < len(grid)
    row = np.minimum(row, len(grid) - 1)
    before = np.where(reached & (row > 0), grid[row - 1], -np.inf)
    return Times(before=before, at=grid[row], observed=reached, grids=(grid,) * len(moments))


def grid(every: float, last: float = 10_000) -> np.ndarray:
    return np.arange(0, last + 1, every)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=25))
def test_on_one_shared_grid_the_em_is_kaplan_meier(runs: list[tuple[int, bool]]):
    at, seen = np.array([t for t, _ in runs], float), np.array([s for _, s in runs])
    cells, shares = turnbull(np.where(seen, at - 1, at), np.where(seen, at, np.inf))
    k = km(at, seen)
    for time in range(14):
        by_em = 1 - shares[cells[:, 1] <= time].sum()
        if time <= at.max():
            assert by_em == pytest.approx(k.at(time), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 5), st.booleans()), min_size=1, max_size=7))
def test_the_em_finds_the_largest_likelihood(runs: list[tuple[int, int, bool]]):
    before = np.array([b for b, _, _ in runs], float)
    at = np.array([b + width if seen else np.inf for b, width, seen in runs])
    cells, shares = turnbull(before, at)
    inside = (before[:, None] <= cells[:, 0]) & (cells[:, 1] <= at[:, None])
    reached = np.log(inside @ shares).sum()

    every = np.array([*range(15), np.inf])  # all elementary cells, not only the innermost intervals
    holds = (before[:, None] <= every[:-1]) & (every[1:] <= at[:, None])

    def minus(theta: np.ndarray) -> float:
        p = np.exp(theta - theta.max())
        return -np.log(np.maximum(holds @ (p / p.sum()), 1e-300)).sum()

    best = -min(optimize.minimize(minus, np.random.default_rng(s).normal(size=15), method="BFGS").fun for s in range(2))
    assert reached >= best - 1e-6
    assert shares.sum() == pytest.approx(1)


def test_half_open_intervals_do_not_meet():
    """A run censored at 100 had not reached it there; one seen in (50, 100] had. Closed intervals would share 100."""
    cells, shares = turnbull(np.array([50.0, 100.0]), np.array([100.0, np.inf]))
    assert cells.tolist() == [[50, 100], [100, np.inf]]
    assert shares.tolist() == pytest.approx([0.5, 0.5])


def test_a_mixed_group_uses_what_the_finer_runs_saw():
    """Three fine runs at 120, 140 and 160 and one coarse one in (0, 500]: on `at` its 500 would be the latest."""
    times = Times(before=np.array([110, 130, 150, 0.0]), at=np.array([120, 140, 160, 500.0]), observed=np.ones(4, bool))
    k = survival(times)
    assert k.method == "Turnbull"
    assert k.at(160) == pytest.approx(0)  # the coarse run may well lie where the others do
    assert k.median == 140
    assert any("different grids" in note for note in k.notes)
    assert km(times.at, times.observed).median == 150


def test_the_band_of_a_mixed_group_covers():
    """Median of an exponential; four runs on a grid of 50 and four on one of 500."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(150):
        moments = rng.exponential(2_000, 8)
        times = pooled([seen_on(moments[:4], grid(50, 4_000)), seen_on(moments[4:], grid(500, 4_000))])
        k = survival(times)
        truth = 2_000 * np.log(2)
        inside += (k.median_low or 0) <= truth <= (np.inf if k.median_high is None else k.median_high)
        finite = np.isfinite(k.low) & np.isfinite(k.high)
        assert (k.low[finite] <= k.high[finite]).all()
    assert inside >= 0.92 * 150


def test_one_grid_is_left_as_it_is():
    times = seen_on(np.array([120.0, 260, 990]), grid(50, 500))
    assert not times.mixed
    assert survival(times).method == "Kaplan-Meier"
    assert survival(times).median == km(times.at, times.observed).median
    other = seen_on(np.array([10.0, 20, 30]), grid(50, 500))
    assert logrank(times, other).notes == logrank((times.at, times.observed), (other.at, other.observed)).notes
    assert logrank(times, other).p == logrank((times.at, times.observed), (other.at, other.observed)).p


def test_the_coarsest_common_grid():
    grids = [np.array([1.0, 50, 100, 150, 200]), np.array([1.0, 100, 200, 300])]
    assert shared_steps(grids).tolist() == [1, 100, 200, 300]  # the first run had ended before 300
    fine = Times(before=np.array([50.0, 100]), at=np.array([100.0, 150]), observed=np.array([True, True]))
    got = coarsened(fine, np.array([1.0, 100, 200]))
    assert got.at.tolist() == [100, 200]
    assert got.before.tolist() == [1, 100]
    late = Times(before=np.array([200.0, -np.inf]), at=np.array([250.0, 250]), observed=np.array([True, False]))
    got = coarsened(late, np.array([1.0, 100, 200]))
    assert got.observed.tolist() == [False, False]
    assert got.at.tolist() == [200, 200]


def test_grids_that_share_nothing_cannot_be_compared():
    a, b = seen_on(np.array([120.0, 260]), grid(50) + 1), seen_on(np.array([120.0, 260]), grid(50))
    assert "no evaluation step is shared" in logrank(a, b).reason
    bare = [Times(before=t.before, at=t.at, observed=t.observed) for t in (a, b)]
    assert "different grids, which are not known" in logrank(*bare).reason


def rejections(pairs: int, seed: int, coarsen: bool) -> int:
    """Of so many pairs of groups of ten equal runs, one on a grid of 50, one on a grid of 500."""
    rng = np.random.default_rng(seed)
    count = 0
    for _ in range(pairs):
        moments = 1_250 * np.exp(0.25 * rng.standard_normal((2, 10)))
        a, b = seen_on(moments[0], grid(50)), seen_on(moments[1], grid(500))
        result = logrank(a, b) if coarsen else logrank((a.at, a.observed), (b.at, b.observed))
        count += (result.p or 1.0) <= 0.05
    return count


def test_equal_groups_on_two_grids_do_not_differ():
    assert rejections(60, 1, coarsen=True) <= 6  # 3 expected at most; .97 quantile of Binomial(60, .05)
    assert rejections(60, 1, coarsen=False) >= 9  # what the grids alone would show


def test_real_differences_are_still_seen_on_two_grids():
    rng = np.random.default_rng(0)
    early, late = rng.exponential(600, 10), 3_000 + rng.exponential(600, 10)
    result = logrank(seen_on(early, grid(50)), seen_on(late, grid(500)))
    assert result.p is not None
    assert result.p < 1e-3
    assert any("compared on the 21 evaluations that all runs had, every 500 steps" in note for note in result.notes)


def test_the_smallest_p_is_that_of_these_runs():
    """One event among ten runs: whichever group it falls to, nothing is unlikely. The sizes alone promise .008."""
    late = [1000.0] * 4
    result = logrank(([500, *late], [True, *[False] * 4]), ([1000, *late], [False] * 5))
    assert result.smallest_p == 1.0
    assert result.p == 1.0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.booleans()), min_size=4, max_size=9))
def test_no_p_is_smaller_than_the_smallest(runs: list[tuple[int, bool, bool]]):
    groups = [[(t, s) for t, s, g in runs if g is side] for side in (True, False)]
    assume(all(len(g) > 1 for g in groups))
    result = logrank(*(([t for t, _ in g], [s for _, s in g]) for g in groups))
    if result.p is not None and result.smallest_p is not None:
        assert result.p >= result.smallest_p - 1e-12


def test_unequal_budgets_are_said():
    a = seen_on(np.array([120.0, 400, 260, 9e9, 9e9, 9e9]), grid(50, 1_000))
    b = seen_on(np.array([120.0, 400, 260, 2_000, 9e9, 9e9]), grid(50, 5_000))
    assert any("unequal budgets" in note and "weak" in note for note in logrank(a, b).notes)
    assert not any("unequal budgets" in note for note in logrank(a, a).notes)


@pytest.mark.parametrize(
    ("times", "observed", "median", "bound"),
    [
        ([1, 2, 3, 4], [True] * 4, 2.5, 2.5),  # even and complete: the midpoint
        ([1, 2, 3], [True] * 3, 2, 2),
        ([10, 30, 30, 50], [True] * 4, 30, 30),
        ([100, 100, 1000, 1000], [True, True, False, False], None, 550),  # the other half comes after 1000
        ([100, 500, 500], [True, False, False], None, 500),
    ],
)
def test_medians(times: list[float], observed: list[bool], median: float | None, bound: float):
    k = km(times, observed)
    assert (k.median, k.bound) == (median, bound)
