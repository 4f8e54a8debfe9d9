"""What the documentation shows, runs: Python blocks are executed, TOML blocks are read as runs or studies."""

import re
import tomllib
from pathlib import Path

import pytest

from grokscope import configio
from grokscope.study import Study
from grokscope.train.driver import train
from grokscope.verdicts import run_verdicts

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language):
    found = []
    for page in PAGES:
        for i, text in enumerate(re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.S | re.M)):
            found.append(pytest.param(text, id=f"{page.relative_to(ROOT)}-{i}"))
    return found


pytestmark = pytest.mark.usefixtures("registered_here_only")


@pytest.mark.parametrize("text", blocks("python"))
def test_python_blocks_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{i},{min(1, i / 10)},{0.1 if i < 40 else 0.98}\n" for i in range(1, 60))
    (tmp_path / "my_log.csv").write_text(f"epoch,train_acc,val_acc\n{rows}")
    exec(compile(text, "block", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("text", blocks("toml"))
def test_toml_blocks_are_read(text):
    raw = tomllib.loads(text)
    runs = Study.from_dict(raw).runs() if "seeds" in raw else [configio.load_run(raw)]
    assert runs


@pytest.mark.slow
def test_the_first_run_of_the_start_page_groks(tmp_path):
    """Held-out below a tenth long after the fit, and at the threshold in the end: what the page says of it."""
    text = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs" / "start.md").read_text(), re.S | re.M)[0]
    run = train(configio.load_run(tomllib.loads(text)), tmp_path)
    judged = run_verdicts(run)["id_val"]
    fit, gen = (judged.milestones.T_fit.at, judged.milestones.T_gen.at)
    assert judged.verdict == "grokked"
    assert fit <= 50
    assert 400 <= gen - fit <= 650


def test_links_lead_somewhere():
    links = [(page, target) for page in PAGES for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text())]
    assert len(links) > 20
    for page, target in links:
        assert (page.parent / target).exists(), f"{page}: {target}"


def slugs(page):
    """Anchors of a page's headings, as GitHub derives them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_anchors_are_headings_of_the_page_that_they_name():
    links = [(page, *link) for page in PAGES for link in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text())]
    assert len(links) > 10
    for page, target, anchor in links:
        assert anchor in slugs(page.parent / target if target else page), f"{page}: {target}#{anchor}"
