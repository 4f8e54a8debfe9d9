import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.dissect.parts import balancing_weights, coded, cramers_v, split_parts


def parts_of(e, y, g=None, **options):
    n = len(e)
    return split_parts(
        coded(e, "environments", n), coded(y, "labels", n), None if g is None else coded(g, "groups", n), **options
    )


@given(st.integers(0, 10_000), st.integers(3, 9), st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_groups_are_never_torn_apart_and_every_part_holds_every_environment(seed, per, k):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(4, 40, per * k)
    g = np.repeat(np.arange(per * k), sizes)
    e = g % k
    y = np.arange(len(g)) % 2
    order = rng.permutation(len(g))
    parts, record = parts_of(e[order], y[order], g[order], seed=seed)
    rows = np.concatenate([parts.fit, parts.select, parts.test])
    assert sorted(rows) == list(range(len(g)))
    owners = [set(g[order][parts[p]]) for p in ("fit", "select", "test")]
    assert len(set.union(*owners)) == sum(map(len, owners))
    assert all(len(set(e[order][parts[p]])) == k for p in ("fit", "select", "test"))
    assert record.groups == {p: len(o) for p, o in zip(("fit", "select", "test"), owners, strict=True)}


def test_without_groups_every_cell_is_split_by_its_shares():
    rng = np.random.default_rng(0)
    e, y = rng.integers(0, 3, 900), rng.integers(0, 2, 900)
    parts, record = parts_of(e, y)
    table = np.array([record.cells[p] for p in ("fit", "select", "test")])
    whole = table.sum(axis=0)
    assert np.abs(table[0] - whole / 2).max() <= 1
    assert np.abs(table[1] - whole / 4).max() <= 1
    assert record.sizes == {"fit": len(parts.fit), "select": len(parts.select), "test": len(parts.test)}


def test_many_groups_come_close_to_the_shares():
    g = np.repeat(np.arange(60), 20)
    _, record = parts_of(g % 3, np.arange(1200) % 2, g)
    assert record.sizes["fit"] == pytest.approx(600, abs=40)
    assert record.sizes["test"] == pytest.approx(300, abs=40)


def test_same_seed_same_parts_and_other_seed_other_parts():
    e, y = np.arange(120) % 3, np.arange(120) % 2
    a, b, c = (parts_of(e, y, seed=s)[0].test for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.parametrize(
    ("e", "y", "g", "message"),
    [
        (np.zeros(60), np.arange(60) % 2, None, "environments: only one"),
        (np.arange(60) % 2, np.zeros(60), None, "labels: only one class"),
        (np.arange(6) % 2, np.arange(6) % 3, None, "6 examples for 3 classes"),
        (np.arange(60) % 3, np.arange(60) % 2, np.arange(60) % 3, "needs at least three groups"),
        (np.r_[np.zeros(50), 1, 1], np.arange(52) % 2, None, "environment 1.0 is absent from the"),
    ],
)
def test_impossible_splits_say_why(e, y, g, message):
    with pytest.raises(ValueError, match=message):
        parts_of(e, y, g)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.zeros((4, 2)), "expected 4 values"),
        (np.array([1.0, np.nan, 0, 0]), "missing"),
        (np.array(["a", None, "b", "b"], dtype=object), "missing"),
    ],
)
def test_bad_ids_name_the_argument(ids, message):
    with pytest.raises(ValueError, match=f"groups: .*{message}"):
        coded(ids, "groups", 4)


def test_ids_of_any_kind():
    assert coded(np.array([4, 0, 3, 4]), "e", 4).codes.tolist() == [2, 0, 1, 2]
    assert coded(np.array(["004", "017", "004"]), "g", 3).values == ("004", "017")


def test_association():
    assert cramers_v(np.array([[10, 0], [0, 10]])) == pytest.approx(1)
    assert cramers_v(np.array([[10, 10], [20, 20]])) == pytest.approx(0, abs=1e-12)
    assert cramers_v(np.array([[30, 10], [10, 30]])) == pytest.approx(0.5)


def test_weights_make_environment_and_class_independent():
    rng = np.random.default_rng(1)
    e = rng.integers(0, 3, 600)
    y = (rng.random(600) < np.array([0.2, 0.5, 0.9])[e]).astype(int)
    w = balancing_weights(e, y)
    table = np.array([[w[(e == i) & (y == j)].sum() for j in (0, 1)] for i in range(3)])
    assert cramers_v(table) == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(table.sum(axis=1), np.bincount(e))
    np.testing.assert_allclose(table.sum(axis=0), np.bincount(y))
    assert balancing_weights(np.array([0, 0, 1]), np.array([0, 1, 1])) is None
