"""The section on mechanisms: groups beside each claim, and nothing where nothing is supported."""

from grokscope.report.read.material import collect
from grokscope.report.sections.blocks import Bullets, Table
from grokscope.report.sections.mechanisms import section
from grokscope.store import find_runs
from report.synthetic import GROKKED, MEMORIZED, write_run

ASKED = {"title": None, "study": None, "expectations": None, "criteria": None, "split": None, "remake": None}


def section_of(root):
    return section(collect(find_runs(root), **ASKED, out=root / "r.html"))


def cells(found, claim):
    table = next(block for block in found.blocks if isinstance(block, Table))
    row = next(row for group in table.groups for row in group.rows if row.label == claim)
    return [cell.main for cell in row.cells]


def test_each_claim_names_the_groups_that_support_it(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path, "still", seed, MEMORIZED, optimizer="adamw", weight_decay=0.0)
        write_run(tmp_path, "decaying", seed, MEMORIZED, optimizer="adamw", weight_decay=5.0)
    found = section_of(tmp_path)
    assert cells(found, "Weight decay had too little time to act.") == ["still: 2 of 2", "decaying: 2 of 2", ""]
    assert any(isinstance(block, Bullets) for block in found.blocks)


def test_what_all_runs_say_is_said_once(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path, "still", seed, MEMORIZED, optimizer="adamw", weight_decay=0.0)
    assert cells(section_of(tmp_path), "Weight decay had too little time to act.") == ["both runs", "", ""]


def test_a_run_without_a_verdict_says_nothing(tmp_path):
    write_run(tmp_path, "a", 0, GROKKED, state="failed", edit=lambda rows: rows.clear())
    assert section_of(tmp_path) is None
