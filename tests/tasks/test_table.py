"""A user's table becomes the same splits whatever its format, and every mistake in it is named by row and column."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from grokscope.tasks.hospitals import Hospitals
from grokscope.tasks.hospitals.files import write_table
from grokscope.tasks.table import Table

CONFIG = Hospitals(n_train=40, n_eval=20, image_size=16)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GROKSCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def sheet(tmp_path):
    """Eight gray images and a table of them, which a test may spoil before it is written."""
    frame = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(8)],
            "label": ["cat", "dog"] * 4,
            "environment": ["farm"] * 4 + ["city"] * 2 + ["moon"] * 2,
            "split": ["train"] * 3 + ["id_val"] + ["ood_val"] * 2 + ["ood_test"] * 2,
        }
    ).astype(object)
    for i in range(8):
        Image.fromarray(np.full((10, 12), 10 * i, np.uint8)).save(tmp_path / f"{i}.png")

    def write(frame=frame, name="table.csv"):
        frame.to_csv(tmp_path / name, index=False)
        return str(tmp_path / name)

    return frame, write


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_written_table_reads_back_example_by_example(tmp_path, form):
    made = CONFIG.build(3)
    config = Table(path=str(write_table(tmp_path, CONFIG, 3, form)))
    data, rows = config.build(0), config.select(0)
    assert data.meta["labels"] == ["normal", "tumor"]
    assert data.meta["environments"] == {str(i): str(i) for i in range(5)}
    assert data.meta["groups_shared_with_train"] == dict.fromkeys(("id_val", "ood_val", "ood_test"), 0)
    start = 1
    for name, split in made.splits.items():
        at = rows[name].row - start
        start += len(split)
        assert sorted(at) == list(range(len(split)))
        for key in ("x", "y", "env"):
            np.testing.assert_array_equal(getattr(data.splits[name], key), getattr(split, key)[at])
        group = [int(data.meta["groups"][str(g)]) for g in data.splits[name].group]
        np.testing.assert_array_equal(group, split.group[at])
    assert config.train_size() == 40
    with pytest.raises(ValueError, match="form must be 'csv' or 'parquet'"):
        write_table(tmp_path, CONFIG, 3, "xlsx")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_written_table_is_never_overwritten(tmp_path, form):
    table = write_table(tmp_path, CONFIG, 3)
    before = [p.read_bytes() for p in (table, tmp_path / "images" / "train_000000.png")]
    with pytest.raises(ValueError, match=r"already contains table\.csv; choose another folder, or delete it"):
        write_table(tmp_path, CONFIG, 4, form)
    assert before == [p.read_bytes() for p in (table, tmp_path / "images" / "train_000000.png")]


def test_names_are_numbered_in_sorted_order(sheet):
    _, write = sheet
    data = Table(path=write()).build(0)
    assert data.meta["labels"] == ["cat", "dog"]
    assert data.meta["environments"] == {"0": "city", "1": "farm", "2": "moon"}
    assert data.meta["image_shape"] == [3, 10, 12]
    assert data.splits["ood_test"].env.tolist() == [2, 2]
    assert data.splits["train"].group is None
    values = {int(v) for split in data.splits.values() for v in split.x[:, 0, 0, 0]}
    assert values == {10 * i for i in range(8)}


def test_numbers_sort_as_numbers_and_padded_ones_stay_text(sheet):
    frame, write = sheet
    numbers = frame.assign(environment=[10] * 4 + [9] * 2 + [-1] * 2, group=[f"00{i}" for i in range(8)])
    meta = Table(path=write(numbers)).build(0).meta
    assert meta["environments"] == {"0": "-1", "1": "9", "2": "10"}
    assert meta["groups"]["4"] == "004"


def test_unequal_sizes_need_image_size(sheet, tmp_path):
    _, write = sheet
    Image.fromarray(np.zeros((10, 13, 4), np.uint8)).save(tmp_path / "2.png")
    with pytest.raises(ValueError, match=r"row 3, column path.*13 x 10.*expected 12 x 10.*set image_size"):
        Table(path=write()).build(0)
    assert Table(path=write(), image_size=9).build(0).splits["train"].x.shape == (3, 3, 9, 9)


def test_training_subsets_are_nested_and_held_out_ones_fixed(tmp_path):
    path = str(write_table(tmp_path, CONFIG, 0))
    large = Table(path=path, n_train=39).select(5)["train"].row
    assert Table(path=path).select(5)["train"].row.tolist() == list(range(1, 41))
    small = Table(path=path, n_train=12, n_eval=6)
    rows = small.select(5)
    np.testing.assert_array_equal(rows["train"].row, large[:12])
    assert (small.select(6)["train"].row != rows["train"].row).any()
    np.testing.assert_array_equal(small.select(6)["ood_val"].row, rows["ood_val"].row)
    assert sorted(rows["ood_val"].label) == ["normal"] * 3 + ["tumor"] * 3
    assert small.build(5).splits["train"].x.shape == (12, 3, 16, 16)
    assert small.train_size() == 12


def test_a_group_on_both_sides_is_told(sheet):
    frame, write = sheet
    path = write(frame.assign(group=[1, 1, 2, 2, 3, 3, 1, 4]))
    with pytest.warns(UserWarning, match="1 groups are in train and in"):
        meta = Table(path=path).build(0).meta
    assert meta["groups_shared_with_train"] == {"id_val": 1, "ood_val": 0, "ood_test": 1}


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        ({"split": "train"}, {}, "column split: every row is 'train', so nothing can be evaluated; mark some rows"),
        ({"label": "cat"}, {}, "column label: all 3 training images are 'cat', .*; add images with a second label"),
        ({}, {"n_train": 1}, "column label: all 1 training images are '(cat|dog)', .*; raise n_train, or add"),
    ],
)
def test_what_could_never_be_judged_is_refused_before_training(sheet, change, settings, words):
    frame, write = sheet
    task = Table(path=write(frame.assign(**change)), **settings)
    with pytest.raises(ValueError, match=rf"table\.csv, {words}"):
        task.build(0)
    assert len(task.look(0).splits["train"]) == settings.get("n_train", 8 if "split" in change else 3)


def put(row, column, value):
    def spoil(frame):
        frame = frame.copy()
        frame.loc[row, column] = value
        return frame

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (put(3, "split", "id_vla"), r"row 4, column split: unknown split 'id_vla'; did you mean 'id_val'"),
        (put(1, "label", ""), "row 2, column label: empty"),
        (put(3, "label", "cow"), "row 4, column label: 'cow' has no training image"),
        (put(3, "environment", "city"), "row 4, column environment: 'city' is in id_val but not in train; call"),
        (put(4, "environment", "farm"), "row 5, column environment: 'farm' is in ood_val and in train"),
        (put(6, "environment", "city"), "row 7, column environment: 'city' is in ood_test and in ood_val"),
        (put(5, "path", "./0.png"), r"row 6, column path: .*0\.png is listed before"),
        (put(2, "path", "none.png"), r"row 3, column path: .*none\.png"),
        (
            lambda f: f.rename(columns={"environment": "enviroment"}),
            "no column 'environment'; did you mean 'enviroment'",
        ),
        (lambda f: f.assign(split="id_val"), "no row is 'train'"),
        (lambda f: f.head(0), "no rows below the header"),
    ],
)
def test_a_mistake_is_named_by_row_and_column(sheet, spoil, words):
    frame, write = sheet
    with pytest.raises(ValueError, match=words) as caught:
        Table(path=write(spoil(frame))).build(0)
    assert "table.csv" in str(caught.value)


def test_a_table_that_is_none_is_named(tmp_path, sheet):
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(ValueError, match=f"{name}: no such table"):
            Table(path=str(tmp_path / name)).build(0)
    (tmp_path / "text.parquet").write_text("path,label\n")
    with pytest.raises(ValueError, match=r"text\.parquet: cannot be read as Parquet"):
        Table(path=str(tmp_path / "text.parquet")).build(0)
    (tmp_path / "semi.csv").write_text("path;label\na;b\n")
    with pytest.raises(ValueError, match="separated by ';'"):
        Table(path=str(tmp_path / "semi.csv")).build(0)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match=r"empty\.csv: cannot be read as a CSV table"):
        Table(path=str(tmp_path / "empty.csv")).build(0)
    _, write = sheet
    with pytest.raises(ValueError, match=r"n_train is 9, but .* lists only 3 training images"):
        Table(path=write(), n_train=9).build(0)


def test_parquet_keeps_its_types_and_refuses_fractions(tmp_path, sheet):
    duckdb = pytest.importorskip("duckdb")
    frame, _ = sheet
    text = frame.assign(environment=["10"] * 4 + ["9"] * 2 + ["8"] * 2)
    for name, table in (("text", text), ("half", frame.assign(label=[0.5, 1.0] * 4))):
        with duckdb.connect() as connection:
            connection.from_df(table.convert_dtypes()).write_parquet(str(tmp_path / f"{name}.parquet"))
    assert Table(path=str(tmp_path / "text.parquet")).build(0).meta["environments"]["0"] == "10"  # text sorts as text
    with pytest.raises(ValueError, match=r"row 1, column label: 0\.5 is neither text nor a whole number"):
        Table(path=str(tmp_path / "half.parquet")).build(0)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"n_eval": -1}, "n_eval must not be"), ({"image_size": 3}, "image_size"), ({"threshold": 0.0}, "threshold is")],
)
def test_impossible_settings_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Table(path="x.csv", **change)


def test_what_is_missing_of_all_splits_is_said_at_once(sheet, tmp_path):
    _, write = sheet
    path = write()
    for i in (1, 6, 7):
        (tmp_path / f"{i}.png").unlink()
    with pytest.raises(ValueError, match=r"3 of 8 image files are missing, the first in row 2, column path: .*1\.png"):
        Table(path=path).build(0)
