"""Contact sheets: example patches of every environment and label."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from grokscope.config import require
from grokscope.task_data import TaskData

_TILE = 96
"""Smallest side, in pixels, at which a patch is shown."""
_GAP = 4
_TEXT = 18
_LEFT = 190


def contact_sheet(data: TaskData, path: str | Path, per_cell: int = 6) -> Path:
    """Draws the first `per_cell` patches of every split, environment (rows) and label (columns) as a PNG at `path`.

    Works for tasks whose x is uint8 images (n, 3, H, W). Environments and labels carry the names of ``data.meta``. An
    empty cell says so. Small patches are enlarged by a whole factor without smoothing. Returns the path.
    """
    x = data.splits["train"].x
    require(
        has_images(data),
        f"a contact sheet needs a task of images (uint8, n x 3 x H x W); this one has {x.dtype} {x.shape}",
    )
    require(per_cell >= 1, f"per_cell must be at least 1, got {per_cell}")
    rows: list[tuple[str, int | None]] = []
    for name, split in data.splits.items():
        rows += [(name, env) for env in _environments(split.env)]
    side = _enlarged(x.shape[2:])
    width, height = per_cell * (side[1] + _GAP) + 2 * _GAP, side[0] + 2 * _GAP
    sheet = Image.new("RGB", (_LEFT + data.classes * width, 2 * _TEXT + len(rows) * (height + _GAP)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=_TEXT)
    names = data.meta.get("labels", [str(c) for c in range(data.classes)])
    for label in range(data.classes):
        pen.text((_LEFT + label * width + _GAP, _TEXT // 3), str(names[label]), fill="black", font=font)
    for k, (split, env) in enumerate(rows):
        top = 2 * _TEXT + k * (height + _GAP)
        for line, words in enumerate((split, _environment_name(data, env))):
            pen.text((8, top + height // 2 + (line - 1) * (_TEXT + 4)), words, fill="black", font=font)
        for label in range(data.classes):
            cell = _cell(data.splits[split], env, label, per_cell)
            _paste(sheet, cell, side, _LEFT + label * width + _GAP, top + _GAP)
            if len(cell) == 0:
                pen.text((_LEFT + label * width + _GAP, top + height // 2), "none", fill="gray", font=font)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG")
    return path


def has_images(data: TaskData) -> bool:
    """Whether a contact sheet of it can be drawn."""
    x = data.splits["train"].x
    return x.dtype == np.uint8 and x.ndim == 4 and x.shape[1] == 3


def _environments(env: np.ndarray | None) -> list[int | None]:
    if env is None:
        return [None]
    return np.unique(env).tolist()


def _environment_name(data: TaskData, env: int | None) -> str:
    if env is None:
        return ""
    return f"environment {data.meta.get('environments', {}).get(str(env), env)}"


def _enlarged(shape: tuple[int, ...]) -> tuple[int, int]:
    factor = max(1, -(-_TILE // max(shape)))
    return shape[0] * factor, shape[1] * factor


def _cell(split, env: int | None, label: int, count: int) -> np.ndarray:
    chosen = split.y == label
    if env is not None:
        chosen &= split.env == env
    return split.x[np.flatnonzero(chosen)[:count]]


def _paste(sheet: Image.Image, patches: np.ndarray, side: tuple[int, int], left: int, top: int) -> None:
    for i, patch in enumerate(patches):
        tile = Image.fromarray(np.ascontiguousarray(patch.transpose(1, 2, 0)))
        tile = tile.resize((side[1], side[0]), Image.Resampling.NEAREST)
        sheet.paste(tile, (left + i * (side[1] + _GAP), top))
