"""The claims as a page, as Markdown and as a logbook: everything said, nothing loaded, foreign text harmless."""

import json
import re
from dataclasses import replace

import pytest

from grokscope.report.claims import claims_markdown, render_claims, write_logbook
from grokscope.results.claims import ClaimCurve, ClaimEvidence, ClaimFigure, ClaimResult, Claims

CELL = re.compile(r"(^|\n)---\n<!-- trackio-cell\n([\s\S]*?)\n-->\n([\s\S]*?)(?=\n---\n<!-- trackio-cell\n|\s*$)")
"""How a Trackio logbook finds its cells (trackio 0.43.0)."""

EVIDENCE = ClaimEvidence(
    name="a", asked="arm=x: grokked", seen="2 of 3: 2 grokked, 1 memorized", word="refuted", bearing="against",
    finished=3, planned=4, share=(0.0943, 0.9916), note="seen | before",
)  # fmt: skip
CLAIM = ClaimResult(
    id="one", quote="it <b>groks</b> | always", claim="", source="A & B", place="p. 3", study="s", outcome="falsified",
    at_scale="", why="", note="a_note", evidence=(EVIDENCE,), standing="3 of 4 planned runs finished.", origin="a CPU",
    command="grokscope claims --run s",
)  # fmt: skip
OTHER = replace(CLAIM, id="two", quote="", claim="a toy", outcome="toy", at_scale="verified", why="small", evidence=())
CLAIMS = Claims(
    grokscope="0", counts={"falsified": 1, "toy": 1}, claims=(CLAIM, OTHER), problems=("x.toml: <script>bad</script>",)
)
FIGURES = {
    "one": ClaimFigure(
        column="id_val_acc",
        curves=(
            ClaimCurve(group="x", seed=0, steps=(0.0, 10.0, 100.0), values=(0.1, 0.2, 0.9)),
            ClaimCurve(group="y", seed=0, steps=(0.0, 10.0, 100.0), values=(0.1, 0.1, 0.1)),
        ),
        left_out=2,
    )
}


def test_the_page_says_what_is_claimed_seen_and_concluded_and_loads_nothing():
    page = render_claims(CLAIMS, FIGURES)
    assert "it &lt;b&gt;groks&lt;/b&gt; | always" in page
    assert "x.toml: &lt;script&gt;bad" in page
    assert "toy: verified there" in page
    assert "scaled down: small" in page
    assert "2 claims: 1 falsified and 1 toy." in page
    assert "n = 3 of 4 runs; share that shows it, 95 %: 0.09 to 0.99" in page
    assert "runs by arm: x (1), y (1); 2 more arms are not drawn" in page
    assert page.count("<svg") == 1
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', page) == []
    assert render_claims(CLAIMS, FIGURES) == page


def test_another_outcome_is_another_page():
    other = replace(CLAIMS, claims=(replace(CLAIM, outcome="verified"), OTHER))
    assert render_claims(other, FIGURES) != render_claims(CLAIMS, FIGURES)


def test_markdown_keeps_foreign_signs_as_they_are():
    text = claims_markdown(CLAIMS)
    assert "| “it \\<b>groks\\</b> \\| always” | ✗ falsified | s |" in text
    assert "- arm=x: grokked: **not as claimed**, 2 of 3: 2 grokked, 1 memorized" in text
    assert "a\\_note" in text
    assert "`grokscope claims --run s`" in text


def test_a_logbook_has_the_pages_and_cells_that_trackio_reads(tmp_path):
    root = write_logbook(CLAIMS, FIGURES, tmp_path, "2026-01-01T00:00:00+00:00")
    assert root == tmp_path / ".trackio" / "logbook"
    assert json.loads((tmp_path / ".trackio" / "metadata.json").read_text())["emoji"]
    index = (root / "pages" / "index.md").read_text()
    assert index.startswith("# Published claims and their outcomes\n")
    slugs = re.findall(r"\(#/([A-Za-z0-9._-]+)\)", index)
    assert slugs == ["1-a-b"]
    page = (root / "pages" / slugs[0] / "page.md").read_text()
    assert page.startswith("# A & B\n")
    cells = [(json.loads(m.group(2)), m.group(3)) for m in CELL.finditer(page)]
    assert [about["type"] for about, _ in cells] == ["markdown", "figure", "markdown"]
    assert len({about["id"] for about, _ in cells}) == 3
    assert "“it \\<b>groks" in cells[0][1]
    assert re.fullmatch(r"````html\n<style>.*</style><svg.*\n````\s*", cells[1][1], re.DOTALL)


def test_a_logbook_of_something_else_is_left_alone(tmp_path):
    index = tmp_path / ".trackio" / "logbook" / "pages" / "index.md"
    index.parent.mkdir(parents=True)
    index.write_text("# My own\n")
    with pytest.raises(ValueError, match="a logbook of something else already"):
        write_logbook(CLAIMS, FIGURES, tmp_path, "2026-01-01T00:00:00+00:00")
    assert index.read_text() == "# My own\n"
