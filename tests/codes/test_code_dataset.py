"""The data set: published group statistics, determinism, labels that belong to the stored numbers, the file."""

import numpy as np
import pytest

from grokscope.codes.dataset import GROUPS, Codes, group_table, make_dataset, read_dataset, write_dataset
from grokscope.codes.heights import m_heights


@pytest.fixture(scope="module")
def codes() -> Codes:
    return make_dataset(7, 200)


def test_groups_and_layout(codes):
    assert len(GROUPS) == 21
    assert sum(m == n - k for n, k, m in GROUPS) == 6
    assert codes.P.shape == (21 * 200, 6, 6)
    assert codes.P.dtype == np.float32
    assert codes.meta["redrawn"] == 0
    for n, k, m in GROUPS:
        P = codes.P[codes.group((n, k, m))]
        assert len(P) == 200
        assert not P[:, k:].any()
        assert not P[:, :, n - k :].any()
        assert np.array_equal(np.log2(m_heights(P[:, :k, : n - k], m)), codes.log2h[codes.group((n, k, m))])


@pytest.mark.parametrize(
    ("group", "mean", "std"), [((9, 4, 2), 7.18, 0.45), ((10, 4, 6), 15.3, 1.86), ((10, 6, 4), 16.0, 1.86)]
)
def test_published_statistics_of_the_uniform_groups(group, mean, std):
    (row,) = group_table(make_dataset(0, 10_000, groups=[group]))
    # Two published digits, and the sampling error of 10,000 codes (heavy right tail: 3 % of the deviation).
    assert row["mean"] == pytest.approx(mean, abs=0.05 + 4 * std / 100)
    assert row["std"] == pytest.approx(std, rel=0.05)


@pytest.mark.parametrize("distribution", ["uniform", "integers", "gaussian"])
def test_a_group_depends_on_nothing_else_and_grows_by_appending(distribution):
    group = (10, 5, 5)
    large = make_dataset(3, 300, distribution, [(9, 4, 2), group])
    small = make_dataset(3, 100, distribution, [group])
    first = large.group(group)[:100]
    assert np.array_equal(large.P[first], small.P)
    assert np.array_equal(large.log2h[first], small.log2h)
    assert not np.array_equal(make_dataset(4, 100, distribution, [group]).P, small.P)


def test_infinite_heights_are_redrawn_and_counted():
    codes = make_dataset(0, 500, "integers", [(10, 5, 5)])
    assert codes.meta["redrawn"] > 0
    assert np.isfinite(codes.log2h).all()
    assert np.array_equal(codes.P, np.rint(codes.P))


def test_the_file_returns_what_was_written(codes, tmp_path):
    path = tmp_path / "codes.safetensors"
    write_dataset(codes, path)
    again = read_dataset(path)
    assert again.meta == codes.meta
    for name in ("P", "params", "log2h"):
        old, new = getattr(codes, name), getattr(again, name)
        assert new.dtype == old.dtype
        assert np.array_equal(new, old)
    path.write_bytes(b"not tensors")
    with pytest.raises(ValueError, match="generate the data set again"):
        read_dataset(path)
    with pytest.raises(FileNotFoundError):
        read_dataset(tmp_path / "absent.safetensors")


def test_another_version_is_refused(codes, tmp_path):
    path = tmp_path / "codes.safetensors"
    write_dataset(Codes(codes.P, codes.params, codes.log2h, {**codes.meta, "version": 0}), path)
    with pytest.raises(ValueError, match="version 1"):
        read_dataset(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distribution": "unifrom"}, "did you mean 'uniform'"),
        ({"per_group": 0}, "per_group = 0"),
        ({"groups": []}, "at least one code"),
        ({"groups": [(9, 4, 6)]}, "m in 1..n-k"),
        ({"groups": [(14, 7, 2)]}, r"1\.\.6"),
    ],
)
def test_impossible_sets_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_dataset(0, **{"per_group": 5, **options})
