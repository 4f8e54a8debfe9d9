"""The data verbs on small folders: every dial of the drawn hospitals, nothing overwritten, mirrors, contact sheets."""

import dataclasses
import json

import pandas as pd
import pytest

from grokscope import cli
from grokscope.commands.data import hospitals_write
from grokscope.tasks.camelyon17 import fetch as camelyon17_fetch
from grokscope.tasks.hospitals import Hospitals


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("GROKSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, *words):
    return cli.run(["data", "hospitals", folder, "--n-train", "40", "--n-eval", "20", *words])


def test_every_dial_of_the_hospitals_can_be_turned(place, capsys):
    words = ["--task.patients", "5", "--task.hospitals", "4", "--task.image_size", "16", "--task.id-val", "leaky"]
    assert write("a", "--layout", "csv", "--seed", "2", *words) == 0
    table = pd.read_csv(place / "a" / "table.csv", dtype=str)
    plan = Hospitals(n_train=40, n_eval=20, image_size=16, patients=5, hospitals=4, id_val="leaky").plan(2)
    wanted = [f"{p:03d}" for rows in plan.values() for p in rows["patient"]]
    assert table["group"].tolist() == wanted
    assert write("b", "--task.stain_shft", "2") == 2
    assert "$.task.stain_shft: unknown key; did you mean 'stain_shift'" in capsys.readouterr().err
    assert write("b", "--task.morphology", "2") == 2
    assert "morphology must lie in [0, 1]" in capsys.readouterr().err
    assert not (place / "b").exists()


def test_the_help_names_every_dial():
    text = hospitals_write.__doc__ or ""
    assert [f.name for f in dataclasses.fields(Hospitals) if f.name not in text] == []


@pytest.mark.parametrize("layout", ["csv", "camelyon17"])
def test_files_that_were_written_are_not_overwritten(place, capsys, layout):
    assert write("a", "--layout", layout) == 0
    before = {p: p.stat().st_mtime_ns for p in (place / "a").rglob("*")}
    assert write("a", "--layout", layout, "--seed", "1") == 2
    assert "choose another folder" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in (place / "a").rglob("*")} == before


def test_a_sheet_of_a_small_folder_takes_what_is_there(place, capsys):
    assert write("a") == 0
    assert cli.run(["data", "sheet", "a", "a.png"]) == 0
    assert (place / "a.png").exists()


def test_a_sheet_shows_what_could_not_be_trained_on(place):
    assert write("a", "--layout", "csv") == 0
    file = place / "a" / "table.csv"
    table = pd.read_csv(file, dtype=str)
    table[(table["split"] == "train") & (table["label"] == "tumor")].to_csv(file, index=False)
    assert cli.run(["data", "sheet", str(file), "t.png"]) == 0
    assert (place / "t.png").exists()


def test_check_names_the_counts_that_differ(place, capsys):
    assert write("a") == 0
    assert cli.run(["data", "camelyon17", "check", "a", "--json"]) == 0
    out = capsys.readouterr().out
    differences = json.loads(out[out.index("{") :])["differences"]
    assert "ood_val: 20 patches, expected 34,904" in differences


def test_fetch_asks_the_mirror_that_it_is_told(place, monkeypatch, capsys):
    asked = []

    def fetch(dest, *, url, **_):
        asked.append(url)
        return dest

    monkeypatch.setattr(camelyon17_fetch, "fetch_camelyon17", fetch)
    assert cli.run(["data", "camelyon17", "fetch", "here", "--url", "https://mirror.org/c.tar.gz"]) == 0
    assert cli.run(["data", "camelyon17", "fetch", "here"]) == 0
    assert asked == ["https://mirror.org/c.tar.gz", camelyon17_fetch.URL]
