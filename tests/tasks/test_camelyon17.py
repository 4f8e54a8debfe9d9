"""The WILDS folder is read as it lies on disk: a synthetic copy gives back its arrays, a fault is named by its line."""

import os
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from grokscope import configio
from grokscope.tasks.camelyon17 import Camelyon17
from grokscope.tasks.camelyon17.check import check_camelyon17
from grokscope.tasks.camelyon17.files import (
    CENTER_COUNTS,
    COUNTS,
    HEADER,
    METADATA,
    RELEASE,
    VARIABLE,
    find_folder,
    read_metadata,
)
from grokscope.tasks.hospitals import Hospitals
from grokscope.tasks.hospitals.files import write_camelyon17
from grokscope.tasks.images import cache as imagecache

MADE = Hospitals(n_train=60, n_eval=40, image_size=96, patients=7, slides=10)
SEED = 3


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A synthetic folder in the layout of the release; a test that spoils it copies it first."""
    return write_camelyon17(tmp_path_factory.mktemp("wilds") / "camelyon17_v1.0", MADE, SEED)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GROKSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def spoiled(copy, tmp_path):
    return shutil.copytree(copy, tmp_path / "spoiled")


def task(folder, **settings):
    return Camelyon17(root=str(folder), **{"n_train": 60, "n_eval": 0, **settings})


# -- reading --------------------------------------------------------------------------------------------------------


def test_the_copy_has_the_layout_of_the_release(copy):
    lines = (copy / METADATA).read_text().splitlines()
    assert lines[0] == HEADER == ",patient,node,x_coord,y_coord,tumor,slide,center,split"
    assert lines[1].startswith("0,0")
    assert {line.rsplit(",", 1)[1] for line in lines[1:]} == {"0", "1"}
    _, patient, node, x, y, *_ = lines[1].split(",")
    assert len(patient) == 3
    patch = copy / f"patches/patient_{patient}_node_{node}/patch_patient_{patient}_node_{node}_x_{x}_y_{y}.png"
    with Image.open(patch) as image:
        assert (image.mode, image.size) == ("RGBA", (96, 96))
    assert (copy / RELEASE).exists()
    with pytest.raises(ValueError, match="already contains a release"):
        write_camelyon17(copy, MADE, SEED)


def test_the_loader_gives_back_the_arrays(copy):
    made, data, chosen = MADE.build(SEED), task(copy).build(0), task(copy).select(0)
    start = 0
    for name, split in made.splits.items():
        at = chosen[name].row - start
        start += len(split)
        assert sorted(at) == list(range(len(split)))
        for key in ("x", "y", "env", "group"):
            np.testing.assert_array_equal(getattr(data.splits[name], key), getattr(split, key)[at])
    assert data.splits["ood_val"].env.tolist() == [1] * 40
    assert data.splits["ood_test"].env.tolist() == [2] * 40
    assert set(data.splits["train"].env) == {0, 3, 4}
    assert data.meta["groups"]["4"] == "004"


def test_metadata_keeps_patients_as_text_and_gives_wilds_split_numbers(copy):
    patches = read_metadata(copy)
    assert patches.patient.dtype.kind == "U"
    np.testing.assert_array_equal(patches.split[patches.center == 1], 3)
    np.testing.assert_array_equal(patches.split[patches.center == 2], 2)
    assert set(patches.split[np.isin(patches.center, [0, 3, 4])]) == {0, 1}


def test_the_folder_is_found_from_its_parent_or_the_environment(copy, monkeypatch):
    assert find_folder(copy.parent) == copy
    with pytest.raises(ValueError, match=f"give root, or set {VARIABLE}"):
        find_folder()
    monkeypatch.setenv(VARIABLE, str(copy))
    assert find_folder() == copy
    assert len(Camelyon17(n_train=5, n_eval=4).build(0).splits["train"]) == 5


def test_a_run_finds_data_that_were_moved(copy, monkeypatch, tmp_path):
    gone = task(tmp_path / "gone", n_eval=4)
    with pytest.raises(ValueError, match=rf"gone: no such folder; if camelyon17_v1\.0 was moved, set {VARIABLE}"):
        gone.build(0)
    monkeypatch.setenv(VARIABLE, str(copy))
    with pytest.warns(UserWarning, match=f"no such root any more; reading the folder of {VARIABLE}") as told:
        data = gone.build(0)
    assert not [w for w in told if str(tmp_path) in str(w.message)]  # runs record warnings, and archives carry them
    np.testing.assert_array_equal(data.splits["train"].x, task(copy, n_eval=4).build(0).splits["train"].x)
    with pytest.raises(ValueError, match="gone: no such folder"):
        find_folder(tmp_path / "gone")  # a folder that somebody names is never exchanged


def test_what_is_there_wins_over_the_environment(copy, listing, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(listing))
    assert len(task(copy).select(0)["ood_val"]) == 40


def test_smaller_patches_are_averages(copy):
    whole, small = task(copy, n_eval=3).build(0), task(copy, n_eval=3, image_size=24).build(0)
    x, s = whole.splits["train"].x.astype(float), small.splits["train"].x.astype(float)
    assert s.shape == (60, 3, 24, 24)
    np.testing.assert_allclose(s.mean(axis=(2, 3)), x.mean(axis=(2, 3)), atol=1.0)
    assert small.meta["image_shape"] == [3, 24, 24]


def test_where_files_lie_is_not_what_a_run_is(copy):
    raw = {
        "task": {"name": "camelyon17", "root": str(copy), "cache_dir": "a"},
        "model": {"name": "linear"},
        "budget": {"epochs": 1},
    }
    run = configio.load_run(raw)
    assert run.task == Camelyon17(root=str(copy), cache_dir="a")
    assert replace(run, task=replace(run.task, cache_dir="b")).run_id() == run.run_id()
    assert replace(run, task=replace(run.task, root=None)).run_id() == run.run_id()
    assert replace(run, task=replace(run.task, n_eval=1)).run_id() != run.run_id()


# -- subsets --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def listing(tmp_path_factory):
    """A larger metadata.csv of unequal hospitals and patients, without patches."""
    folder = tmp_path_factory.mktemp("listing")
    (folder / RELEASE).touch()
    rng = np.random.default_rng(0)
    center = rng.choice(5, 4000, p=[0.15, 0.1, 0.2, 0.25, 0.3])
    slot = (rng.random(4000) ** 2 * 9).astype(int)
    tumor = rng.random(4000) < np.array([0.1, 0.9, 0.5, 0.2, 0.8, 0.4, 0.6, 0.5, 0.5])[slot]
    lines = [
        f"{i},{20 * c + s:03d},0,{96 * i},0,{int(t)},{10 * c + s},{c},{int(i % 10 == 0)}"
        for i, (c, s, t) in enumerate(zip(center, slot, tumor, strict=True))
    ]
    (folder / METADATA).write_text("\n".join([HEADER, *lines]) + "\n")
    return folder


@given(n=st.integers(1, 1900), seed=st.integers(0, 50), id_val=st.sampled_from(["leaky", "patient"]))
@settings(max_examples=12, deadline=None)
def test_training_subsets_are_nested_and_stratified(listing, n, seed, id_val):
    large = task(listing, n_train=2000, id_val=id_val, n_eval=50).select(seed)
    small = task(listing, n_train=n, id_val=id_val, n_eval=50).select(seed)
    np.testing.assert_array_equal(small["train"].row, large["train"].row[:n])
    for name in ("id_val", "ood_val", "ood_test"):
        np.testing.assert_array_equal(small[name].row, large[name].row)
        assert len(small[name]) == 50
    pool = task(listing, n_train=1, id_val=id_val, n_eval=0).select(seed)
    assert not set(pool["id_val"].row) & set(large["train"].row)
    cells = [(c, t) for c in (0, 3, 4) for t in (0, 1)]
    split = read_metadata(listing).split < 2
    everyone = read_metadata(listing).take(split)
    held = np.isin(everyone.row, pool["id_val"].row)
    can = everyone.take(~held)
    share = np.array([((can.center == c) & (can.tumor == t)).mean() for c, t in cells])
    got = np.array([((small["train"].center == c) & (small["train"].tumor == t)).sum() for c, t in cells])
    assert np.abs(got - n * share).max() < 2


def test_another_seed_draws_other_training_patches_and_the_same_held_out_ones(listing):
    config = task(listing, n_train=100, n_eval=50)
    one, two = config.select(0), config.select(1)
    assert set(one["train"].row) != set(two["train"].row)
    np.testing.assert_array_equal(one["id_val"].row, two["id_val"].row)
    other = replace(config, split_seed=1).select(0)
    assert set(other["id_val"].row) != set(one["id_val"].row)


def test_as_published_slides_leak_and_by_patient_they_do_not(listing):
    published = task(listing, n_train=1500).select(0)
    assert set(published["train"].slide) & set(published["id_val"].slide)
    clean = task(listing, n_train=1500, id_val="patient").select(0)
    assert not set(clean["train"].patient) & set(clean["id_val"].patient)
    everyone = read_metadata(listing)
    for center in (0, 3, 4):
        held = clean["id_val"].take(clean["id_val"].center == center)
        for tumor in (0, 1):
            total = ((everyone.center == center) & (everyone.tumor == tumor)).sum()
            assert 0.05 < (held.tumor == tumor).sum() / total < 0.4
    other = task(listing, n_train=1500, id_val="patient", split_seed=1).select(0)
    assert set(other["ood_test"].row) == set(clean["ood_test"].row)


def test_too_few_patches_or_patients_are_told(listing, tmp_path):
    with pytest.raises(ValueError, match=r"n_train is 9000, but only \d+ patches can train"):
        task(listing, n_train=9000).select(0)
    (tmp_path / RELEASE).touch()
    (tmp_path / METADATA).write_text(f"{HEADER}\n0,004,0,0,0,0,0,0,0\n1,004,0,96,0,1,0,0,0\n")
    with pytest.raises(ValueError, match=r"center 0: .*only one \(004\); use id_val = 'leaky'"):
        task(tmp_path, n_train=1, id_val="patient").select(0)


def test_another_seed_decodes_only_patches_that_are_new(copy, monkeypatch):
    decoded, real = [], imagecache.read_rgb

    def read(path, *args):
        decoded.append(path)
        return real(path, *args)

    monkeypatch.setattr(imagecache, "read_rgb", read)
    task(copy, n_train=40).build(0)
    assert len(decoded) == 40 + 120
    task(copy, n_train=20).build(0)
    assert len(decoded) == 160
    first, second = (set(task(copy, n_train=40).select(seed)["train"].row) for seed in (0, 1))
    task(copy, n_train=40).build(1)
    assert len(decoded) - 160 == len(second - first) > 0


def only(folder, keep):
    """A folder of no patches whose metadata.csv has the lines that `keep` (patient, tumor, center, split) wants."""
    (folder / RELEASE).touch()
    rows = [(20 * c, t, c, s) for c in range(5) for t in (0, 1) for s in (0, 1)]
    lines = [
        f"{i},{p:03d},0,{96 * i},0,{t},{10 * c},{c},{s}" for i, (p, t, c, s) in enumerate(rows) if keep(p, t, c, s)
    ]
    (folder / METADATA).write_text("\n".join([HEADER, *lines]) + "\n")
    return folder


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (lambda p, t, c, s: c == 0 and s == 0, r"columns split and center: every patch trains.*set id_val = 'patient'"),
        (lambda p, t, c, s: t == 1, r"column tumor: all 2 training patches are tumor.*raise n_train, or add rows"),
        (lambda p, t, c, s: s == 1, r"no patch can train; there must be some of centers 0, 3, 4 with split 0"),
    ],
)
def test_what_could_never_be_judged_is_refused_before_training(tmp_path, keep, words):
    with pytest.raises(ValueError, match=words):
        task(only(tmp_path, keep), n_train=2).build(0)


def without(folder, *centers):
    """The folder, its metadata.csv without these hospitals."""
    lines = (folder / METADATA).read_text().splitlines()
    kept = [line for line in lines[1:] if int(line.split(",")[7]) not in centers]
    (folder / METADATA).write_text("\n".join([lines[0], *kept]) + "\n")
    return folder


@pytest.mark.parametrize(
    ("centers", "words"),
    [
        ([2], ["no patch of center 2, so there is no ood_test: no hospital that is unseen"]),
        ([1], ["no patch of center 1, so there is no ood_val: no checkpoint can be chosen"]),
        ([1, 2], ["no patch of center 2", "no patch of center 1"]),
    ],
)
def test_a_folder_without_an_unseen_hospital_says_so_when_training(spoiled, centers, words):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = task(without(spoiled, *centers), n_eval=4).build(0)
    told = [str(w.message) for w in caught]
    assert len(told) == len(words)
    assert all(text.startswith(f"metadata.csv: {start}") for text, start in zip(told, words, strict=True))
    assert len(data.splits) == 4 - len(centers)
    task(spoiled, n_eval=4).look(0)  # looking warns of nothing: warnings are errors here


@pytest.mark.slow
def test_a_run_without_the_test_hospital_keeps_the_warning_and_is_judged(spoiled, tmp_path):
    from grokscope.train.driver import train
    from grokscope.verdicts import run_verdicts

    config = configio.load_run(
        {
            "task": {
                "name": "camelyon17",
                "root": str(without(spoiled, 2)),
                "n_train": 60,
                "n_eval": 0,
                "image_size": 8,
            },
            "model": {"name": "small-resnet", "width": 2},
            "budget": {"steps": 4},
        }
    )
    with pytest.warns(UserWarning, match="no patch of center 2, so there is no ood_test"):
        run = train(config, tmp_path / "runs")
    assert any("no patch of center 2" in note for note in run.facts["notes"])
    assert set(run_verdicts(run, None)) == {"id_val", "ood_val"}


def test_what_cannot_be_judged_can_be_looked_at(copy):
    one = task(copy, n_train=1, n_eval=2)
    with pytest.raises(ValueError, match=r"column tumor: all 1 training patches are \w+, .*raise n_train"):
        one.build(0)
    assert len(one.look(0).splits["train"]) == 1


# -- faults ---------------------------------------------------------------------------------------------------------


def change(line, cell, value):
    def spoil(lines):
        cells = lines[line - 1].split(",")
        cells[cell] = value
        lines[line - 1] = ",".join(cells)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda lines: lines.__setitem__(0, HEADER[1:]), "wrong header 'patient,node"),
        (change(3, 1, "4"), "line 3: patient is '4', expected three digits such as '004'"),
        (change(3, 1, "055"), "line 3: patient 055 is not of center"),
        (change(4, 7, "2"), "line 4: slide .* is not of center 2"),
        (change(4, 7, "5"), "line 4: center is 5, expected 0 to 4"),
        (change(5, 5, "2"), "line 5: tumor is 2, expected 0 or 1"),
        (change(5, 5, "yes"), "line 5: tumor is 'yes', expected a whole number"),
        (change(6, 8, "3"), "line 6: split is 3, the file holds only 0"),
        (change(6, 3, "1.5"), r"line 6: x_coord is '1\.5', expected a whole number"),
        (change(6, 3, ""), "line 6: x_coord is '', expected a whole number"),
        (change(7, 0, "0"), "line 7: row number 0 is used twice"),
        (lambda lines: lines.append("999" + lines[5][lines[5].index(",") :]), "line 182: patient .* is listed twice"),
        (lambda lines: lines.__setitem__(7, lines[7] + ",1"), "not a table of 9 columns"),
        (
            lambda lines: lines.__setitem__(7, lines[7].rsplit(",", 1)[0]),
            "line 8: split is '', expected a whole number$",
        ),
        (
            lambda lines: lines.__setitem__(7, ",".join(lines[7].split(",")[:5])),
            "line 8: tumor is '', expected a whole number; also wrong: slide, center, split: the line was cut$",
        ),
        (
            lambda lines: lines.__setitem__(7, lines[7].replace(",0,", ",x,")),
            "line 8: .* is 'x', expected .*; also wrong: [a-z_, ]*$",
        ),
    ],
)
def test_a_wrong_line_is_named(spoiled, spoil, words):
    lines = (spoiled / METADATA).read_text().splitlines()
    spoil(lines)
    (spoiled / METADATA).write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=words) as caught:
        task(spoiled).build(0)
    assert METADATA in str(caught.value)
    assert "\n" not in str(caught.value)  # one fault, one sentence
    report = check_camelyon17(spoiled, decode=0)
    assert not report.ok
    assert any(line in report.problems for line in str(caught.value).splitlines())


def first_patch(folder):
    patches = read_metadata(folder)
    return folder / patches.names()[0]


def test_missing_files_are_named(spoiled):
    first_patch(spoiled).unlink()
    with pytest.raises(
        ValueError, match=r"(?s)1 of 60 image files are missing.*metadata.csv row number 0: .*patch_patient"
    ):
        task(spoiled).build(0)
    (spoiled / METADATA).unlink()
    with pytest.raises(ValueError, match=r"metadata\.csv: no such file; restore it"):
        task(spoiled).build(0)
    (spoiled / RELEASE).unlink()
    with pytest.raises(ValueError, match=r"no RELEASE_v1\.0\.txt here"):
        task(spoiled).build(0)


def test_a_damaged_or_foreign_patch_is_named(spoiled):
    file = first_patch(spoiled)
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"row number 0: .*patch_patient.*\.png: not a readable image, or damaged"):
        task(spoiled).build(0)
    Image.new("RGB", (64, 96)).save(file)
    with pytest.raises(ValueError, match=r"row number 0: .*image of 64 x 96 pixels, expected 96 x 96"):
        task(spoiled).build(0)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (replace(MADE, image_size=48), "set image_size to 96"),
        (replace(MADE, hospitals=6), "set hospitals to 5"),
        (replace(MADE, slides=11), "at most 10 slides"),
    ],
)
def test_what_the_layout_cannot_hold_is_refused(tmp_path, config, words):
    with pytest.raises(ValueError, match=words):
        write_camelyon17(tmp_path / "new", config, 0)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("settings", [{"n_train": 0}, {"n_eval": -1}, {"image_size": 97}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Camelyon17(**settings)


# -- the report -----------------------------------------------------------------------------------------------------


def test_a_sound_folder_has_no_problems(copy):
    report, plan = check_camelyon17(copy, decode=None), MADE.plan(SEED)
    assert report.ok
    assert not report.complete  # it is not the whole release
    assert report.splits == {"train": 60, "id_val": 40, "ood_test": 40, "ood_val": 40}
    assert report.decoded == 180
    tumor = np.concatenate([rows["tumor"] for rows in plan.values()])
    slide = np.concatenate([rows["slide"] for rows in plan.values()])
    for row in report.slides:
        here = slide == row["slide"]
        assert (row["n"], row["prevalence"]) == (here.sum(), pytest.approx(tumor[here].mean()))
    assert sum(row["normal"] + row["tumor"] for row in report.centers) == 180
    assert "center 1:" in report.to_text()


def test_counts_that_differ_from_the_release_are_named(copy, spoiled):
    found = check_camelyon17(copy, decode=0).differences
    assert found[:2] == ["train: 60 patches, expected 302,436", "id_val: 40 patches, expected 33,560"]
    assert "center 1: 40 patches, expected 34,904" in found
    assert not [words for words in found if METADATA in words]
    lines = (spoiled / METADATA).read_text().splitlines()
    (spoiled / METADATA).write_text("\n".join(lines[:151]) + "\n")  # at the end of a line: nothing is wrong in itself
    report = check_camelyon17(spoiled, decode=0)
    assert (report.ok, report.complete) == (True, False)
    assert report.differences[-1] == f"30 patches in the folder are not listed in {METADATA}: is it incomplete?"
    assert "differs: center 2: 10 patches, expected 85,054" in report.to_text()
    assert sum(CENTER_COUNTS) == sum(COUNTS.values())
    assert (CENTER_COUNTS[1], CENTER_COUNTS[2]) == (COUNTS["ood_val"], COUNTS["ood_test"])


def test_the_report_lists_every_fault_at_once(spoiled):
    names = read_metadata(spoiled).names()
    for name in names[:25]:
        (spoiled / name).unlink()
    (spoiled / names[30]).write_bytes(b"torn")
    change_lines = (spoiled / METADATA).read_text().splitlines()
    change(100, 5, "7")(change_lines)
    (spoiled / METADATA).write_text("\n".join(change_lines) + "\n")
    report = check_camelyon17(spoiled, decode=None)
    assert len(report.problems) == 3
    assert report.missing == names[:25]
    assert "... and 5 more missing" in report.to_text()
    assert report.to_dict()["ok"] is False


# -- the real folder ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} does not name the real camelyon17_v1.0 folder")
class TestRealFolder:
    root = os.environ.get(VARIABLE)

    def test_it_is_complete(self):
        report = check_camelyon17(self.root)
        assert report.problems == []
        assert report.complete
        assert report.differences == []
        assert tuple(row["n"] for row in report.centers) == CENTER_COUNTS
        assert report.splits == COUNTS
        assert (len(report.slides), report.patients) == (50, 43)
        assert all(row["tumor"] * 2 == row["n"] for row in report.centers)

    def test_a_patient_wise_split_works(self):
        chosen = Camelyon17(root=self.root, id_val="patient").select(0)
        assert not set(chosen["train"].patient) & set(chosen["id_val"].patient)
        assert set(Camelyon17(root=self.root, n_train=20, n_eval=20).build(0).splits["train"].env) == {0, 3, 4}
