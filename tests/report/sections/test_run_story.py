"""The part of one run: its phases, its diagnosis as `explain` says it, and its dissection, each beside its numbers."""

import re

import pytest

from grokscope.mechanism import explain
from grokscope.report import build_report
from grokscope.store import find_runs
from report.synthetic import GROKKED, MEMORIZED, write_run
from results.samples import dissection


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("story")
    dissection().write(write_run(root / "runs", "wd 0.1", 0, GROKKED) / "mechinterp")
    write_run(root / "runs", "wd 0", 1, MEMORIZED, weight_decay=0.0)
    write_run(root / "runs", "lr 9", 2, None, state="failed", error="out of memory", lr=9.0)
    calls = []

    def counted(case, *more):
        calls.append(case)
        return explain(case, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("grokscope.mechanism.explain", counted)
        text = build_report(find_runs(root / "runs"), root / "r.html", formats=()).read_text(encoding="utf-8")
    return text, calls


def words_of(text, anchor):
    start = text.index(f'id="{anchor}-details"')
    after = [m.start() for m in re.finditer(r'id="run-\d+-details"', text) if m.start() > start]
    part = text[start : after[0]] if after else text[start : text.index("</section>", start)]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", part))


def anchor_of(text, name):
    return re.search(rf'id="(run-\d+)-details"(?:(?!id="run-).)*?{name}', text, re.DOTALL)[1]


def test_a_run_has_its_phases_from_and_to_with_the_interval_of_each(page):
    words = words_of(page[0], anchor_of(page[0], "wd-0.1"))
    for phase in ("fitting", "plateau", "transition", "generalized"):
        assert phase in words
    assert re.search(r"fitting 0 the start [\d,]+ \([\d,]+, [\d,]+\]", words), words
    assert "▷ 20,000" in words
    memorized = words_of(page[0], anchor_of(page[0], "wd-0_"))
    assert "transition" not in memorized.split("Diagnosis")[0]


def test_the_diagnosis_is_that_of_explain_and_is_made_once(page):
    text, calls = page
    words = words_of(text, anchor_of(text, "wd-0.1"))
    assert len(calls) == 2  # the failed run has no trajectory; two sections show each of the others
    (case,) = [c for c in calls if c.verdict.verdict == "grokked"]
    fitting = explain(case).fitting
    assert fitting
    for finding in fitting:
        assert finding.claim in words
        assert "Fits the verdict" in words


def test_a_dissected_run_says_what_was_found(page):
    words = words_of(page[0], anchor_of(page[0], "wd-0.1"))
    assert "readable and used" in words
    assert "leace: probe" in words
    assert "Dissection" not in words_of(page[0], anchor_of(page[0], "wd-0_"))


def test_a_run_without_evaluations_has_no_phases_and_says_why(page):
    words = words_of(page[0], anchor_of(page[0], "lr-9"))
    assert "out of memory" in words
    assert "plateau" not in words
