"""Damaged images and tables: a message or pixels, never a trace, a hang, memory or a file elsewhere."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from mutations import attempt, files_below, in_child, mutants
from PIL import Image

from grokscope.tasks.images.files import read_rgb, stored_size
from grokscope.tasks.table.files import read_table

SEED, COUNT = 20261126, 200
FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP")
TABLE = "path,label,environment,split,group\n" + "".join(
    f"x{i}.png,{i % 2},h{i % 3 if i < 9 else 4},{'train' if i < 6 else 'id_val' if i < 9 else 'ood_test'},p{i}\n"
    for i in range(12)
)


def _image(kind: str) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def fuzz_images(folder: str, kind: str) -> dict[str, int]:
    """Every damaged copy of one image, decoded."""
    warnings.simplefilter("ignore")  # Pillow's, about odd metadata
    seen = {"ok": 0, "refused": 0}
    for number, data in enumerate(mutants(_image(kind), SEED, COUNT)):
        file = Path(folder) / f"x.{kind.lower()}"
        file.write_bytes(data)
        for ask in (read_rgb, stored_size):
            seen[attempt(lambda ask=ask, file=file: ask(file), f"{kind}, mutant {number}, {ask.__name__}")] += 1
    return seen


def fuzz_tables(folder: str, kind: str) -> dict[str, int]:
    """Every damaged copy of one table of images, read."""
    import pandas as pd

    source = TABLE.encode()
    if kind == "parquet":
        import duckdb

        pd.read_csv(io.StringIO(TABLE), dtype=str).to_csv(Path(folder) / "t.csv", index=False)
        duckdb.sql(f"copy (from '{folder}/t.csv') to '{folder}/t.parquet' (format parquet)")
        source = (Path(folder) / "t.parquet").read_bytes()
    seen = {"ok": 0, "refused": 0}
    for number, data in enumerate(mutants(source, SEED, 2 * COUNT)):
        file = Path(folder) / f"t.{kind}"
        file.write_bytes(data)
        seen[attempt(lambda file=file: read_table(file), f"{kind}, mutant {number}")] += 1
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_images_are_refused_or_decoded(tmp_path, kind):
    seen = in_child("test_fuzz_images", "fuzz_images", str(tmp_path), kind, memory=1 << 30, cwd=tmp_path)
    assert seen["refused"] > 20
    assert set(files_below(tmp_path)) == {f"x.{kind.lower()}"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_damaged_tables_are_refused_or_read(tmp_path, kind):
    seen = in_child("test_fuzz_images", "fuzz_tables", str(tmp_path), kind, memory=2 << 30, cwd=tmp_path)
    assert seen["refused"] > 50
    assert set(files_below(tmp_path)) <= {"t.csv", "t.parquet"}
