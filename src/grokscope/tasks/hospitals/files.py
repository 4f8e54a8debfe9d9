"""Synthetic hospitals as files: in the layout of Camelyon17-WILDS, or as a table of images."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from grokscope.config import require
from grokscope.tasks.camelyon17.files import CENTERS, COLUMNS, METADATA, PIXELS, RELEASE, Patches
from grokscope.tasks.hospitals.task import LABELS, Hospitals

SLIDES_PER_HOSPITAL = 10
"""What the Camelyon17 layout can number: a slide's number is ten times its hospital's and a digit."""


def write_camelyon17(folder: str | Path, config: Hospitals, seed: int) -> Path:
    """Writes the patches of ``config.build(seed)`` as a camelyon17_v1.0 folder that the real loader reads; returns it.

    RGBA patches of 96 x 96, five hospitals, metadata.csv and the release note (last, so that a cut-short folder is not
    taken for whole). Row numbers follow the splits train, id_val, ood_val, ood_test, example by example. Raises
    ValueError for a config that the layout cannot hold, or a folder that already has a release.
    """
    require(
        config.image_size == PIXELS,
        f"the Camelyon17 layout requires {PIXELS} x {PIXELS} patches: set image_size to {PIXELS}",
    )
    require(config.hospitals == CENTERS, f"the Camelyon17 layout has {CENTERS} hospitals: set hospitals to {CENTERS}")
    require(
        config.slides <= SLIDES_PER_HOSPITAL,
        f"the Camelyon17 layout numbers at most {SLIDES_PER_HOSPITAL} slides a hospital, got slides = {config.slides}",
    )
    folder = Path(folder)
    require(not (folder / RELEASE).exists(), f"{folder} already contains a release; choose another folder")
    plan = config.plan(seed)
    rows = {name: np.concatenate([columns[name] for columns in plan.values()]) for name in plan["train"]}
    turn = np.arange(len(rows["tumor"]))
    patches = Patches(
        row=turn,
        patient=np.array([f"{p:03d}" for p in rows["patient"]]),
        node=rows["node"],
        x_coord=PIXELS * (turn % 1000),
        y_coord=PIXELS * (turn // 1000),
        tumor=rows["tumor"],
        slide=rows["slide"],
        center=rows["center"],
        split=np.concatenate([np.full(len(c["tumor"]), int(name == "id_val")) for name, c in plan.items()]),
    )
    _save(config, seed, [folder / name for name in patches.names()], alpha=True)
    pd.DataFrame({name: getattr(patches, name) for name in COLUMNS}).to_csv(folder / METADATA)
    (folder / RELEASE).write_text("Synthetic hospitals drawn by grokscope in the layout of Camelyon17-WILDS v1.0.\n")
    return folder


def write_table(folder: str | Path, config: Hospitals, seed: int, form: str = "csv") -> Path:
    """Writes the patches of ``config.build(seed)`` as RGB PNG files with a table that the task ``table`` reads;
    returns the table, ``table.csv`` or (`form` = "parquet") ``table.parquet``. Rows follow the splits, example by
    example. Raises ValueError for a folder that already has a table, whose images would be overwritten."""
    require(form in ("csv", "parquet"), f"form must be 'csv' or 'parquet', got {form!r}")
    folder = Path(folder)
    held = [name for name in ("table.csv", "table.parquet") if (folder / name).exists()]
    require(
        not held, f"{folder} already contains {' and '.join(held)}; choose another folder, or delete it with its images"
    )
    parts = []
    for split, rows in config.plan(seed).items():
        parts.append(
            pd.DataFrame(
                {
                    "path": [f"images/{split}_{i:06d}.png" for i in range(len(rows["tumor"]))],
                    "label": [LABELS[t] for t in rows["tumor"]],
                    "environment": rows["center"],
                    "split": split,
                    "group": [f"{p:03d}" for p in rows["patient"]],
                }
            )
        )
    table = pd.concat(parts, ignore_index=True)
    _save(config, seed, [folder / path for path in table["path"]], alpha=False)
    file = folder / f"table.{form}"
    if form == "csv":
        table.to_csv(file, index=False)
        return file
    import duckdb

    with duckdb.connect() as connection:
        connection.from_df(table).write_parquet(str(file))
    return file


def _save(config: Hospitals, seed: int, files: list[Path], alpha: bool) -> None:
    x = np.concatenate([split.x for split in config.build(seed).splits.values()])
    for parent in {file.parent for file in files}:
        parent.mkdir(parents=True, exist_ok=True)

    def one(i: int) -> None:
        pixels = x[i].transpose(1, 2, 0)
        if alpha:
            pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=2)
        Image.fromarray(np.ascontiguousarray(pixels)).save(files[i], compress_level=1)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(one, range(len(files))):
            pass
