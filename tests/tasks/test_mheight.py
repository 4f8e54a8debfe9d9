"""The m-height task: exact labels, groups, no leak by symmetry, and a baseline that is the per-group mean."""

import numpy as np
import pytest

from grokscope.codes.dataset import GROUPS, make_dataset, write_dataset
from grokscope.codes.heights import m_heights
from grokscope.codes.symmetry import canonical_key
from grokscope.tasks.mheight import MHeight
from grokscope.tasks.trivial import trivial_metrics

SMALL = {"train_per_group": 20, "val_per_group": 15, "pool_per_group": 80}


def matrices(split):
    return split.x[:, :36].reshape(-1, 6, 6) * 100, np.rint(split.x[:, 36:] * 10).astype(int)


def test_labels_are_the_exact_heights_of_what_the_network_reads():
    data = MHeight(**SMALL).build(0)
    for split in data.splits.values():
        P, params = matrices(split)
        for row in (0, 7, len(split) - 1):
            n, k, m = params[row]
            assert split.y[row] == pytest.approx(np.log2(m_heights(P[row : row + 1, :k, : n - k], m)[0]), abs=1e-4)
            assert split.group[row] == 100 * n + 10 * k + m


def test_every_group_has_its_size_in_every_split():
    data = MHeight(**SMALL).build(0)
    for name, size in (("train", 20), ("id_val", 15)):
        groups, counts = np.unique(data.splits[name].group, return_counts=True)
        assert len(groups) == len(GROUPS)
        assert set(counts) == {size}
    assert MHeight(**SMALL).train_size() == len(data.splits["train"])


def test_no_matrix_up_to_symmetry_is_in_two_splits():
    data = MHeight(**SMALL, distribution="integers").build(1)
    keys = [set(canonical_key(*matrices(s)).tolist()) for s in data.splits.values()]
    assert not keys[0] & keys[1]


def test_the_baseline_is_the_mean_of_each_group():
    data = MHeight(**SMALL).build(0)
    found = trivial_metrics(data)
    train, val = data.splits["train"], data.splits["id_val"]
    errors = [((val.y[val.group == g] - train.y[train.group == g].mean()) ** 2).mean() for g in np.unique(val.group)]
    assert found["id_val"]["loss"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert found["id_val"]["group942_loss"] == pytest.approx(errors[0], rel=1e-5)


@pytest.mark.slow
def test_the_published_baseline():
    data = MHeight().build(0)
    loss = trivial_metrics(data)["id_val"]
    assert loss["loss"] == pytest.approx(1.355, abs=0.02)
    hardest = [100 * n + 10 * k + n - k for n in (9, 10) for k in (4, 5, 6)]
    assert sum(loss[f"group{g}_loss"] for g in hardest) / 21 / loss["loss"] == pytest.approx(0.725, abs=0.01)


def test_augmented_copies_keep_their_labels():
    plain, more = MHeight(**SMALL).build(0), MHeight(**SMALL, augment=2).build(0)
    assert len(more.splits["train"]) == 3 * len(plain.splits["train"]) == MHeight(**SMALL, augment=2).train_size()
    P, params = matrices(more.splits["train"])
    row = len(plain.splits["train"]) + 3
    n, k, m = params[row]
    assert not np.array_equal(P[row], P[3])
    assert more.splits["train"].y[row] == pytest.approx(
        np.log2(m_heights(P[row : row + 1, :k, : n - k], m)[0]), abs=1e-4
    )
    assert np.array_equal(more.splits["id_val"].x, plain.splits["id_val"].x)


def test_a_file_gives_the_same_task_and_refuses_another(tmp_path):
    groups = ((9, 4, 2), (9, 4, 3))
    write_dataset(make_dataset(0, 80, groups=groups), tmp_path / "codes.safetensors")
    small = SMALL | {"groups": groups}
    drawn, read = MHeight(**small).build(0), MHeight(**small, path=str(tmp_path / "codes.safetensors")).build(0)
    assert np.array_equal(drawn.splits["train"].x, read.splits["train"].x)
    with pytest.raises(ValueError, match=r"made with seed = 0, but the task requires 5"):
        MHeight(**small, path=str(tmp_path / "codes.safetensors"), data_seed=5).build(0)
    with pytest.raises(ValueError, match=r"lacks the groups \[\[10, 4, 2\]\]"):
        MHeight(**SMALL, groups=((9, 4, 2), (10, 4, 2)), path=str(tmp_path / "codes.safetensors")).build(0)


def test_bad_values_name_their_field():
    with pytest.raises(ValueError, match="train_per_group"):
        MHeight(train_per_group=0)
    with pytest.raises(ValueError, match="needs 5000 codes"):
        MHeight(pool_per_group=6000, val_per_group=10, groups=((9, 4, 2),)).build(0)
