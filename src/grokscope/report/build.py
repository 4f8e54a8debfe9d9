"""Build a report: read and judge every run, lay out its sections, and write the page and its figures."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.progress import kept_from_collector, without_collector
from grokscope.report.beside import write_beside
from grokscope.report.figure_files import write_figures
from grokscope.report.page import render
from grokscope.report.read.material import collect
from grokscope.report.read.subjects import Labeled, Subject
from grokscope.report.sections import sections_of

if TYPE_CHECKING:
    from grokscope.store import Run
    from grokscope.trajectory import Criteria

FORMATS = ("png", "pdf", "svg")


def build_report(
    runs: "Iterable[Run | Labeled | Subject]",
    out: str | Path,
    *,
    title: str | None = None,
    study: Mapping[str, Any] | None = None,
    expectations: Sequence[Mapping[str, Any]] | None = None,
    criteria: "Criteria | None" = None,
    split: str | None = None,
    formats: Sequence[str] = ("png", "pdf"),
    remake: str | None = None,
) -> Path:
    """Write one self-contained HTML page, and its figures as files in ``<out's stem>_figures`` next to it: each in the
    given formats, with its caption (.txt) and its numbers (.csv).

    Args:
        runs: run folders (`grokscope.store.Run`), `Labeled` ones, or `Subject`s for logs of other origin; failed,
            diverged and unfinished ones included, so that the counts agree with what was launched.
        study: content of a study file (``title``, ``claim``, ``reference``, ``cost``, ``expect``).
        expectations: rows with ``where``, ``what``, ``expected``, ``seen`` and ``ok`` (True, False, or None: cannot
            tell).
        split: the held-out split on which all runs are judged; by default each group is judged on the split that most
            of its runs are listed with: ood_val, else ood_test, else id_val, else the first that they have.
        formats: of the figure files; any of png, pdf, svg; empty for none.
        remake: the command that makes this page again, as it is to be printed.

    Returns:
        The path of the page. Identical inputs give identical bytes.

    Raises:
        ValueError: an unknown format or split, or runs of one task and seed that learned from other data.
    """
    out = Path(out)
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"formats: no format {name!r}; known: {', '.join(FORMATS)}")
    with without_collector():  # what is read here is kept until the page is written
        material = collect(
            runs,
            title=title,
            study=study,
            expectations=expectations,
            criteria=criteria,
            split=split,
            remake=remake,
            out=out,
        )
        sections = sections_of(material)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f"{out.stem}_figures")
    with kept_from_collector():
        files = write_figures(sections, folder, tuple(formats)) if formats else []
        write_beside(sections, out)
        page = render(material, sections, [f"{folder.name}/{f.name}" for f in files])
    out.write_text(page, encoding="utf-8", newline="\n")
    return out
