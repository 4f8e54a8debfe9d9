"""A folder of several tasks, of which only one has unseen environments: every group is judged on a split that its runs
have, as they are listed, and the page says on which."""

import json
import re
from collections import Counter

import pytest

from grokscope import cli
from grokscope.report import build_report
from grokscope.report.read.judged_run import leads_of, splits_of
from grokscope.report.read.material import collect
from grokscope.report.read.survival import arms, pair_rows, pairs
from grokscope.store import open_run
from report.synthetic import GROKKED, MEMORIZED, N_HELD, write_run


def hospital(root, name, seed, shape, task="digits"):
    """A run with `ood_val` besides, which stays at chance: whoever groks on id_val has memorized on it."""

    def unseen(rows):
        for row in rows:
            correct = round(0.16 * N_HELD)
            row |= {
                "ood_val_loss": 3.0,
                "ood_val_acc": correct / N_HELD,
                "ood_val_correct": correct,
                "ood_val_n": N_HELD,
            }

    folder = write_run(root, name, seed, shape, edit=unseen, task=task)
    record = json.loads((folder / "config.json").read_text())
    record["facts"]["splits"]["ood_val"] = {"n": N_HELD, "trivial_acc": 0.1}
    (folder / "config.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def mixed(tmp_path):
    """Four seeds of a task without unseen environments, and two of one that has one."""
    root = tmp_path / "runs"
    digits = [write_run(root, "r", seed, GROKKED) for seed in range(4)]
    hospitals = [hospital(root, "h", seed, GROKKED, "slides") for seed in (0, 1)]
    return [open_run(folder) for folder in (*digits, *hospitals)]


def material_of(runs, out, split=None):
    nothing = dict.fromkeys(("title", "study", "expectations", "criteria", "remake"))
    return collect(runs, out=out, split=split, **nothing)


def test_each_group_is_judged_on_the_split_that_its_runs_have(mixed, tmp_path):
    material = material_of(mixed, tmp_path / "r.html")
    assert material.splits == ["id_val", "ood_val"]
    assert sorted(material.leads.values()) == ["id_val", "ood_val"]
    assert Counter((r.split, r.outcome) for r in material.lead) == {
        ("id_val", "grokked"): 4,
        ("ood_val", "memorized"): 2,
    }
    assert material.judged_on == "id_val (4 runs) and ood_val (2 runs)"


def test_the_page_counts_what_ls_lists(mixed, tmp_path, capsys):
    html = build_report(mixed, tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    assert cli.run(["ls", str(tmp_path / "runs"), "--json"]) == 0
    listed = Counter(row["verdict"] for row in json.loads(capsys.readouterr().out))
    assert listed == {"grokked": 4, "memorized": 2}
    assert "4 of 6 runs grokked and 2 memorized." in html
    assert "judged on id_val (4 runs) and ood_val (2 runs)" in html
    assert "4 of 4 reached it on id_val" in html
    assert "0 of 2 reached it on ood_val" in html


def test_times_to_thresholds_on_different_splits_are_not_tested_against_each_other(mixed, tmp_path):
    material = material_of(mixed, tmp_path / "r.html")
    (row,) = pair_rows(pairs(arms(material.groups(), "T_gen")))
    assert row["reason"] == "judged on different splits, ood_val and id_val: not compared"
    assert row["p"] == "–"
    (row,) = pair_rows(pairs(arms(material_of(mixed, tmp_path / "r.html", "id_val").groups(), "T_gen")))
    assert not row["reason"]
    assert re.fullmatch(r"[01]\.?\d*", row["p"])


def test_a_split_that_is_asked_for_leads_all_groups(mixed, tmp_path):
    material = material_of(mixed, tmp_path / "r.html", "ood_val")
    assert (material.splits[0], set(material.leads.values())) == ("ood_val", {"ood_val"})
    assert Counter(r.outcome for r in material.lead) == {"no verdict": 4, "memorized": 2}
    assert material.judged_on == "ood_val"


def test_a_group_is_judged_on_one_split_that_of_most_of_its_runs(tmp_path):
    runs = [hospital(tmp_path, "r", s, MEMORIZED) if s else write_run(tmp_path, "r", s, MEMORIZED) for s in range(3)]
    material = material_of([open_run(run) for run in runs], tmp_path / "r.html")
    assert set(material.leads.values()) == {"ood_val"}
    assert [r.problem for r in material.lead if r.verdict is None] == ["has no split ood_val; it has id_val"]


def test_groups_that_tie_are_led_by_the_split_that_speaks_first(tmp_path):
    runs = [hospital(tmp_path, "r", s, MEMORIZED) if s else write_run(tmp_path, "r", s, MEMORIZED) for s in range(2)]
    subjects = material_of([open_run(run) for run in runs], tmp_path / "r.html").subjects
    assert splits_of(subjects) == ["ood_val", "id_val"]
    assert leads_of({"a": subjects, "b": []}, ["id_val"], None) == {"a": "ood_val", "b": "id_val"}
