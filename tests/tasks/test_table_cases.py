"""Tables as people bring them: spaces, other spellings, missing values, copies of images, numbers that begin anew."""

import re
import shutil
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grokscope.tasks.table import Table
from grokscope.tasks.table.files import read_table
from grokscope.tasks.table.groups import told_apart

CASES = Path(__file__).parents[1] / "cases" / "tables"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GROKSCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    """24 images im/00.png to im/23.png, and a copy of the first under another name."""
    (tmp_path / "im").mkdir()
    x = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    for i, one in enumerate(x):
        Image.fromarray(one).save(tmp_path / "im" / f"{i:02}.png")
    shutil.copy(tmp_path / "im" / "00.png", tmp_path / "im" / "copy_of_00.png")
    return tmp_path


@pytest.fixture
def case(folder):
    """Copies a case beside the images; `change` edits its text."""

    def copy(name, change=lambda text: text):
        text = (CASES / f"{name}.csv").read_text()
        (folder / f"{name}.csv").write_text(change(text))
        return Table(path=str(folder / f"{name}.csv"))

    return copy


def build(task):
    """The data, and every warning's text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = task.build(0)
    return data, [str(w.message) for w in caught]


def replace(old, new):
    def change(text):
        assert old in text
        return text.replace(old, new)

    return change


def test_spaces_around_values_are_stripped_with_a_note(case):
    with pytest.raises(ValueError, match=r"row 21, column environment: 'A' is in ood_test and in train"):
        case("env_space").build(0)  # "A " is A, which trains: never a new hospital of its own
    data, notes = build(case("label_space"))
    assert data.meta["labels"] == ["normal", "tumor"]
    assert notes == ["label_space.csv, column label: spaces around values stripped in 2 rows, first 2 ('tumor ')"]
    clean = replace("tumor ,", "tumor,")(replace("normal ,", "normal,")((CASES / "label_space.csv").read_text()))
    same, none = build(case("label_space", lambda _: clean))
    assert none == []
    for name, split in data.splits.items():
        np.testing.assert_array_equal(split.y, same.splits[name].y)


@pytest.mark.parametrize("space", ["\t", "\u00a0", "\u200b", "  "])
def test_invisible_characters_are_spaces_in_every_column(case, space):
    row = "im/04.png,normal,A,train,004"
    spaced = ",".join(f"{space}{cell}{space}" for cell in row.split(","))
    data, notes = build(case("label_space", replace(row, spaced)))
    assert len(notes) == 5
    assert data.meta["environments"] == dict(zip("0123", "ABCD", strict=True))
    assert len(data.splits["train"]) == 12


def test_a_file_whose_name_ends_in_a_space_is_found(case, folder):
    (folder / "im" / "04.png").rename(folder / "im" / "04.png ")
    data, notes = build(case("env_case", replace("im/04.png,", "im/04.png ,")))
    assert len(data.splits["train"]) == 12
    assert not [note for note in notes if "stripped" in note]


def test_names_that_differ_in_case_alone_are_told(case):
    data, notes = build(case("env_case"))
    assert notes == [
        "env_case.csv, column environment: 'A' and 'a' count as different; if they are one, write it one way"
    ]
    assert sorted(data.meta["environments"].values()) == ["A", "B", "C", "a"]


@pytest.mark.parametrize(
    ("old", "new"), [("tumor", "Tumor"), ("tumor", "\uff54umor"), ("007", "7"), ("A,train", "a,train")]
)
def test_other_spellings_are_told_in_every_column_of_names(case, old, new):
    text = (CASES / "restart.csv").read_text().replace("D,ood_test,00", "D,ood_test,p0")
    spelled = text.replace(old, new, 1) if old != "007" else text.replace("id_val,012", "id_val,7")
    _, notes = build(case("restart", lambda _: spelled))
    assert len([note for note in notes if "count as different" in note]) == 1


@pytest.mark.parametrize("word", ["nan", "NA", "NaN", "null", "None", "empty", "n/a", "#N/A", "<NA>"])
@pytest.mark.parametrize("column", ["label", "environment", "group"])
def test_a_word_for_a_missing_value_is_no_value(case, word, column):
    cells = {"label": "normal", "environment": "A", "group": "004"} | {column: word}
    change = replace("im/04.png,normal,A,train,004", "im/04.png,{label},{environment},train,{group}".format(**cells))
    words = rf"row 5, column {column}: '{re.escape(word)}' denotes a missing value; fill it in or remove the row"
    with pytest.raises(ValueError, match=words):
        case("env_case", change).build(0)


def test_missing_labels_of_the_case_are_refused_and_words_that_hold_them_are_not(case):
    with pytest.raises(ValueError, match=r"nan\.csv row 1, column label: 'nan' denotes a missing value"):
        case("nan").build(0)
    data, _ = build(case("env_case", lambda t: t.replace("normal", "nano").replace("tumor", "banana")))
    assert data.meta["labels"] == ["banana", "nano"]


def test_the_same_image_in_two_splits_is_a_leak(case):
    data, notes = build(case("dupbytes"))
    assert notes == [
        "dupbytes.csv: 1 images are in train and in ood_test, whose score will be too high; remove one row of each: "
        "1 and 21"
    ]
    np.testing.assert_array_equal(data.splits["train"].x[0], data.splits["ood_test"].x[0])


def test_the_same_pixels_under_other_bytes_are_the_same_image(case, folder):
    Image.open(folder / "im" / "00.png").save(folder / "im" / "copy_of_00.png", compress_level=0)
    assert (folder / "im" / "00.png").read_bytes() != (folder / "im" / "copy_of_00.png").read_bytes()
    assert "1 images are in train and in ood_test" in build(case("dupbytes"))[1][0]
    with pytest.raises(ValueError, match="have two labels, the first in rows 1 and 2; keep the correct one"):
        case("dupbytes_contrary").build(0)


def test_one_image_with_two_labels_is_an_error_in_whatever_splits(case):
    with pytest.raises(ValueError, match=r"dupbytes_contrary\.csv, column label: 1 images .* rows 1 and 2"):
        case("dupbytes_contrary").build(0)
    with pytest.raises(ValueError, match="rows 1 and 21"):
        case("dupbytes", replace("copy_of_00.png,normal", "copy_of_00.png,tumor")).build(0)


def test_two_images_of_one_checksum_are_not_the_same(case, monkeypatch):
    """Checksums of 32 bits agree by accident among some hundred thousand images: the pixels decide."""
    import grokscope.tasks.table.task as module

    real = module.load_images

    def collide(*args, **settings):
        images = real(*args, **settings)
        images.sums[:] = 7
        return images

    monkeypatch.setattr(module, "load_images", collide)
    assert build(case("restart", lambda t: t.replace("D,ood_test,00", "D,ood_test,p0")))[1] == []
    assert len(build(case("dupbytes"))[1]) == 1


def test_backslashes_separate_folders_on_every_system(case, folder):
    data, notes = build(case("backslash"))
    assert notes == []
    x = np.asarray(Image.open(folder / "im" / "23.png")).transpose(2, 0, 1)
    np.testing.assert_array_equal(data.splits["ood_test"].x[-1], x)
    text = (CASES / "backslash.csv").read_text().replace("\\", "/")
    assert read_table(case("backslash", lambda _: text).path).path.tolist() == [
        str(folder / "im" / f"{i:02}.png") for i in range(24)
    ]


def test_a_backslash_in_a_name_stays_where_the_file_has_one(case, folder):
    (folder / "im" / "04.png").rename(folder / "im\\04.png")
    assert len(case("backslash").build(0).splits["train"]) == 12


def test_numbers_that_begin_anew_are_other_patients(case):
    data, notes = build(case("restart"))
    assert len(notes) == 1
    assert "restart.csv, column group: group numbers restart in environment D" in notes[0]
    assert data.meta["groups_shared_with_train"] == {"id_val": 0, "ood_val": 0, "ood_test": 0}
    names = data.meta["groups"]
    assert [names[str(g)] for g in data.splits["ood_test"].group] == ["D/000", "D/001", "D/002", "D/003"]
    assert names[str(data.splits["train"].group[0])] == "000"


def test_a_patient_on_both_sides_of_one_hospital_is_named(case):
    change = replace("im/12.png,normal,A,id_val,012", "im/12.png,normal,A,id_val,004")
    data, notes = build(case("restart", change))
    assert len(notes) == 2
    assert notes[1] == (
        "restart.csv: 1 groups are in train and in id_val, whose score will be too high: 004; keep each on one side"
    )
    assert data.meta["groups_shared_with_train"] == {"id_val": 1, "ood_val": 0, "ood_test": 0}


def test_a_patient_of_two_hospitals_stays_one_and_is_named(case):
    change = replace("D,ood_test,002", "D,ood_test,017")  # 000, 001, 003, 017: no count
    data, notes = build(case("restart", change))
    assert data.meta["groups_shared_with_train"]["ood_test"] == 3
    assert (
        "3 groups are in train and in ood_test, whose score will be too high: 000, 001, 003 (3 of them in other"
        in (notes[0])
    )


@pytest.mark.parametrize(
    ("members", "anew"),
    [
        ({"A": range(1, 11), "B": range(1, 8), "C": range(1, 14)}, "ABC"),  # every hospital counts its own
        ({"A": range(1, 11), "B": range(11, 19)}, ""),  # one numbering, no overlap
        ({"A": range(1, 11), "B": range(1, 11)}, ""),  # perhaps the same patients under two scanners
        ({"A": range(10), "B": range(5, 15)}, ""),  # five patients went to both
        ({"A": range(10), "B": [0, 1]}, ""),  # too few to be a count
        ({"A": range(10), "B": [0, 4, 9]}, ""),  # no count
        ({"A": range(10), "B": range(3, 8)}, ""),  # begins elsewhere
        ({"A": [f"p{i}" for i in range(9)], "B": [f"p{i}" for i in range(4)]}, ""),  # names are never told apart
    ],
)
def test_only_a_clear_count_begins_anew(members, anew):
    groups = [g for own in members.values() for g in own]
    environments = [env for env, own in members.items() for _ in own]
    named, notes = told_apart(groups, environments)
    changed = {env for env, old, new in zip(environments, groups, named, strict=True) if str(old) != str(new)}
    expected = {"ABC": {"A", "B"}, "": set()}[anew]  # the longest count may keep its numbers: nobody shares them then
    assert changed == expected
    assert len(notes) == bool(anew)
    if anew:
        assert len(set(named)) == len(named)
    else:
        assert named == groups


def test_gray_images_beside_colored_ones_are_told(case, folder):
    plain = replace("D,ood_test,00", "D,ood_test,p0")
    assert build(case("restart", plain))[1] == []
    for i in (0, 2, 20):
        Image.open(folder / "im" / f"{i:02}.png").convert("L").save(folder / "im" / f"{i:02}.png")
    (note,) = build(case("restart", plain))[1]
    assert "both grayscale and color images (2 of 8 in A, 1 of 4 in D)" in note


def test_all_bad_images_of_all_splits_are_named_at_once(case, folder):
    for i in (0, 5, 21):
        (folder / "im" / f"{i:02}.png").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"(?s)3 of 24 images cannot be used.*row 1,.*row 6,.*row 22,"):
        case("env_case").build(0)


def test_a_doubled_column_is_refused_only_where_it_is_read(case):
    with pytest.raises(ValueError, match="column 'label' occurs 2 times; keep one of them"):
        case("env_case", replace("split,group", "split,label ")).look(0)
    doubled = "\n".join(line + ",x,x" for line in (CASES / "env_case.csv").read_text().splitlines())
    assert len(build(case("env_case", lambda _: doubled))[0].splits["train"]) == 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: ",".join(["x"] * 20_000) + "\n" + t, "20,000 columns, more than 10,000"),
        (
            replace("im/04.png,normal", "im/04.png," + "n" * 5000),
            "row 5, column label: 5,000 characters, more than 4,096",
        ),
    ],
)
def test_tables_of_no_sensible_size_are_refused(case, change, words):
    with pytest.raises(ValueError, match=words):
        case("env_case", change).build(0)


def test_an_image_that_claims_more_than_it_may_is_refused_before_it_is_decoded(case, folder):
    data = bytearray((folder / "im" / "00.png").read_bytes())
    data[16:24] = struct.pack(">II", 100_000, 100_000)  # width and height; then the checksum of the header
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (folder / "im" / "00.png").write_bytes(data)
    with pytest.raises(ValueError, match=r"row 1, column path: .*00\.png: image of more than 50,000,000 pixels"):
        case("env_case").build(0)


def test_missing_files_are_counted_and_the_first_five_listed(case, folder):
    for i in (*range(4, 9), 21, 22):
        (folder / "im" / f"{i:02}.png").unlink()
    with pytest.raises(ValueError, match="7 of 24 image files are missing, the first in row 5, column path") as caught:
        case("env_case").build(0)
    lines = str(caught.value).splitlines()
    assert [f"{i:02}.png" in line for i, line in zip(range(4, 9), lines, strict=False)] == [True] * 5
    assert lines[5:] == ["...", "restore them, or remove their rows"]


def test_images_whose_first_is_damaged_still_have_a_size(case, folder):
    (folder / "im" / "00.png").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"^[^\n]*row 1, column path: .*00\.png: not a readable image[^\n]*$"):
        case("env_case").build(0)
    Image.new("RGB", (8, 8)).save(folder / "im" / "00.png")
    with pytest.raises(ValueError, match=r"(?s)23 of 24 images cannot be used.*as large as the first image"):
        case("env_case").build(0)


def test_a_row_with_more_cells_than_the_header_is_refused(tmp_path):
    file = tmp_path / "ragged.csv"
    file.write_text("path,label,environment,split\na.png,x,A,train\nb.png,x,A,train,spare\n")
    with pytest.raises(ValueError, match="line 3 has 5 cells under a header of 4"):
        read_table(file)
