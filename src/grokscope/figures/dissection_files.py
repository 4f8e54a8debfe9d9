"""Figure files of a dissection: m1.png, m4.png, m5.png and m6.png for one checkpoint, along.png and layers.png for
several. They are the panels of the report, drawn for one run."""

from collections.abc import Sequence
from pathlib import Path

from grokscope.figures.along import ALONG_KEY, LAYERS_KEY, draw_along
from grokscope.figures.checkpoint_view import CheckpointView
from grokscope.figures.dissection_panels import WIDTH, height
from grokscope.figures.layer_map import draw_layers
from grokscope.figures.panel_sheet import Cell, save_sheet
from grokscope.figures.parts import pictures


def write_pictures(checkpoint: CheckpointView, folder: Path, words: str) -> None:
    """One picture for each part that has something to show; `words` stand under its title. A part that cannot tell has
    none, and a picture of an earlier dissection does not stay behind."""
    runs = [checkpoint]
    for picture in pictures():
        part = picture.part(checkpoint)
        path = folder / f"{picture.name}.png"
        if part is None or part.cannot_tell or not picture.axes(runs):
            path.unlink(missing_ok=True)
            continue
        cell = Cell(lambda figure, p=picture: p.draw(figure, runs, [runs]), picture.title, words)
        save_sheet([cell], picture.size(runs), path, ("png",), 1, picture.key(runs))


def write_pictures_along(checkpoints: Sequence[CheckpointView], folder: Path, words: str) -> None:
    """What changes over the checkpoints of one run, and what probes read layer by checkpoint."""
    along = {"run": sorted(checkpoints, key=lambda c: c.step or 0)}
    panels = (
        ("along", "Along the training", lambda figure: draw_along(figure, along), ALONG_KEY),
        ("layers", "What probes read, layer by checkpoint", lambda figure: draw_layers(figure, along), LAYERS_KEY),
    )
    for name, title, draw, key in panels:
        path = folder / f"{name}.png"
        if len(checkpoints) < 2 or not any(c.sites for c in checkpoints):
            path.unlink(missing_ok=True)
            continue
        save_sheet([Cell(draw, title, words)], (WIDTH, height(2)), path, ("png",), 1, key)
