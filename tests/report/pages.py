"""One study's page, written once for all tests that only read it."""

from dataclasses import dataclass
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path

import pytest

from grokscope.report import build_report
from grokscope.store import Run, find_runs
from report.synthetic import write_study

EXPECTATIONS = [
    {"where": "wd 0.1", "what": "", "expected": "grokked", "seen": "grokked in 3 of 3", "ok": True},
    {"where": "wd 0", "what": "a note", "expected": "grokked", "seen": "memorized in 3 of 3", "ok": False},
    {"where": "lr 1", "what": "", "expected": "grokked", "seen": "nothing yet", "ok": None},
]
STUDY = {"title": "Digits & decay", "claim": "Only with decay.", "reference": "arXiv:2210.01117", "cost": "a minute"}


class Tags(HTMLParser):
    """All start tags of a page with their attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@dataclass(frozen=True)
class Page:
    path: Path
    runs: list[Run]

    @cached_property
    def html(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tags(self) -> Tags:
        return Tags(self.html)


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    root = tmp_path_factory.mktemp("study")
    write_study(root / "runs")
    runs = find_runs(root / "runs")
    out = build_report(runs, root / "report.html", study=STUDY, expectations=EXPECTATIONS, formats=())
    return Page(out, runs)
