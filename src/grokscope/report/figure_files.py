"""A page's figures as files for papers: PNG, PDF or SVG, with caption and numbers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from grokscope.figures.canvas import plain
from grokscope.figures.panel_sheet import Cell, save_sheet
from grokscope.files import write_atomic
from grokscope.progress import watched
from grokscope.report.draw.axis import Scale
from grokscope.report.read.run_details import table_csv
from grokscope.report.sections.blocks import Block, Panel, Plots, Section, every_block, figure_name

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_figures(sections: Sequence[Section], folder: Path, formats: tuple[str, ...]) -> list[Path]:
    """Every block of figures as one sheet, with ``<name>.txt``, its caption, and ``<name>.csv``, its numbers; the files
    in the page's order.

    Raises:
        ValueError: two figures of one name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    written: set[str] = set()
    for section in watched(sections, "drew the figures of sections:"):
        for plots in plots_of(section.blocks):
            name = figure_name(section.key, plots)
            if name in written:
                raise ValueError(f"two figures are called {name}: give one of them a slug or a file of its own")
            written.add(name)
            files += _figure(section, plots, folder / name, formats)
    return files


def plots_of(blocks: Sequence[Block]) -> Iterator[Plots]:
    """All figures among the blocks, folded ones too."""
    return (block for block in every_block(blocks) if isinstance(block, Plots) and block.panels)


def _figure(section: Section, plots: Plots, path: Path, formats: tuple[str, ...]) -> list[Path]:
    """One figure in all its forms. The linear form shows the same numbers, so it shares their CSV."""
    files = _sheet(plots, "log", path, formats)
    linear = path.with_name(f"{path.name}_linear")
    if plots.linear_file:
        files += _sheet(plots, "linear", linear, formats)
    data = _data(plots)
    csv = path.with_suffix(".csv")
    if data:
        files.append(_write(csv, table_csv(data)))
    words = caption(section, plots, csv.name if data else None)
    files.append(_write(path.with_suffix(".txt"), words))
    if plots.linear_file:
        files.append(_write(linear.with_suffix(".txt"), words))
    return files


def _sheet(plots: Plots, scale: Scale, path: Path, formats: tuple[str, ...]) -> list[Path]:
    width, height = plots.panels[0].size[0], max(p.size[1] for p in plots.panels)
    cells = [
        Cell(lambda f, p=p: p.draw(f, scale), _title(i, p, len(plots.panels)), plain(p.words))
        for i, p in enumerate(plots.panels)
    ]
    foot = plots.axes(scale) if plots.axes is not None else ""
    return save_sheet(cells, (width, height), path, formats, plots.columns, plots.key, foot)


def _title(i: int, panel: Panel, of: int) -> str:
    """``(b) decay 0.1``: under the letter that the caption names it by."""
    return f"{_front(i, of)}{plain(panel.name)}".strip()


def caption(section: Section, plots: Plots, data: str | None) -> str:
    """What stands under the figure in a paper: what is drawn, and of each panel how many runs and which interval."""
    lines = [plots.caption or f"{section.title}."]
    samples = {panel.sample for panel in plots.panels}
    shared = samples.pop() if len(samples) == 1 and len(plots.panels) > 1 else ""
    lines += [_panel_words(i, panel, len(plots.panels), shared) for i, panel in enumerate(plots.panels)]
    lines += [f"In each panel n = {shared}."] if shared else []
    lines.append(f"Data: {data}." if data else "No data is available for this figure.")
    return "\n".join(plain(line) for line in lines) + "\n"


def _panel_words(i: int, panel: Panel, of: int, shared: str) -> str:
    """``(b) decay 0.1: n = 5 runs; band: smallest to largest. What it measures.`` A sample that all panels share is
    said once, beneath them."""
    parts = [panel.name or panel.label or panel.alt.partition(":")[0]]
    parts += [f"n = {panel.sample}"] if panel.sample and not shared else []
    note = f" {panel.note[0].upper()}{panel.note[1:].rstrip('.')}." if panel.note else ""
    return f"{_front(i, of)}{': '.join(parts).rstrip('.')}.{note}"


def _front(i: int, of: int) -> str:
    return f"({_letter(i)}) " if of > 1 else ""


def _letter(i: int) -> str:
    """a, b, ... z, aa, ab, ..."""
    return (LETTERS[i // 26 - 1] if i >= 26 else "") + LETTERS[i % 26]


def _data(plots: Plots) -> list[dict[str, Any]]:
    """The rows of all panels, each under its panel's name."""
    rows: list[dict[str, Any]] = []
    for i, panel in enumerate(plots.panels):
        if panel.data is not None:
            name = panel.name or panel.label or f"({_letter(i)})"
            rows += [{"panel": name, **row} for row in panel.data()]
    return rows


def _write(path: Path, text: str) -> Path:
    write_atomic(path, lambda file: file.write(text.encode()))
    return path
