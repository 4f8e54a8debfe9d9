"""Images and tables that are larger than anybody trains on are refused by name, before they are decoded or listed."""

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grokscope.limits import MAX_PIXELS
from grokscope.tasks.images.files import read_rgb, stored_size
from grokscope.tasks.table.files import read_table

sys.path.insert(0, str(Path(__file__).parent.parent / "fuzz"))
from mutations import in_child

SIDE = 30_000
"""900 million pixels: 2.7 GB once decoded."""
HEADER = "path,label,environment,split"


def png(side):
    """A whole PNG of zeros, a few hundred kB."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    squeeze = zlib.compressobj(9)
    data = b"".join(squeeze.compress(bytes(3 * side + 1)) for _ in range(side)) + squeeze.flush()
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return start + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(side):
    """A TIFF that claims a strip of side x side gray pixels and holds none."""
    tags = [(256, 4, side), (257, 4, side), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 4, side), (279, 4, side * side % 2**32)]
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\x00" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + body + bytes(4)


def jpeg(side):
    """A sound small JPEG whose frame header is made to claim side x side."""
    from io import BytesIO

    buffer = BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return bytes(data)


def answers(path):
    out = []
    for ask in (read_rgb, stored_size):
        try:
            ask(path)
            out.append("read")
        except ValueError as error:
            out.append(str(error))
    return out


@pytest.mark.parametrize(("make", "ending"), [(png, "png"), (tiff, "tif"), (jpeg, "jpg")])
def test_an_image_above_the_limit_is_refused_by_its_header(tmp_path, make, ending):
    file = tmp_path / f"large.{ending}"
    file.write_bytes(make(SIDE if make is not png else 8000))
    answered = in_child("tasks.test_image_bounds", "answers", str(file), memory=300 << 20, seconds=120)
    assert len(answered) == 2
    for words in answered:
        assert words.startswith(str(file))
        assert "more than 50,000,000 pixels in all; scale it down first, or set GROKSCOPE_MAX_PIXELS" in words


def test_an_image_of_another_size_is_refused_before_it_is_decoded(tmp_path):
    data = bytearray(png(64))
    data[-30:-16] = bytes(14)  # decoding it would fail
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(ValueError, match="image of 64 x 64 pixels, expected 32 x 32"):
        read_rgb(tmp_path / "x.png", stored=(32, 32))


def test_a_file_larger_than_any_image_is_not_read(tmp_path):
    with open(tmp_path / "x.png", "wb") as file:
        file.write(png(8))
        file.truncate(8 * MAX_PIXELS + 1)  # sparse: takes no disk
    with pytest.raises(ValueError, match="more than an image of"):
        stored_size(tmp_path / "x.png")


def test_a_table_of_30_000_columns_is_refused_with_its_count(tmp_path):
    names = ",".join(f"c{i}" for i in range(30_000))
    (tmp_path / "t.csv").write_text(f"{HEADER},{names}\n" + "x.png,a,b,train" + ",1" * 30_000 + "\n")
    with pytest.raises(ValueError, match=r"t\.csv: 30,004 columns, more than 10,000") as caught:
        read_table(tmp_path / "t.csv")
    assert len(str(caught.value)) < 300


def test_a_table_without_the_right_columns_lists_few_of_those_it_has(tmp_path):
    (tmp_path / "t.csv").write_text(",".join(f"{'c' * 200}{i}" for i in range(9_000)) + "\n")
    with pytest.raises(ValueError, match="no column 'path'") as caught:
        read_table(tmp_path / "t.csv")
    assert len(str(caught.value)) < 30_000


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_cell_of_200_000_characters_names_row_and_column(tmp_path, column):
    cells = ["x.png", "a", "b", "train"]
    cells[column] = "9" * 200_000
    (tmp_path / "t.csv").write_text(f"{HEADER}\n{','.join(cells)}\n")
    with pytest.raises(ValueError, match=r"row 1, column \w+: 200,000 characters, more than 4,096"):
        read_table(tmp_path / "t.csv")


def test_a_label_of_400_digits_is_text(tmp_path):
    long = "9" * 400
    (tmp_path / "t.csv").write_text(f"{HEADER}\nx.png,{long},1,train\ny.png,2,1,train\n")
    assert read_table(tmp_path / "t.csv").label.tolist() == [long, "2"]


def test_a_cell_that_others_cannot_hold_is_no_limit_here(tmp_path):
    note = "n" * 200_000  # a column that is not read may be as long as it likes
    (tmp_path / "t.csv").write_text(f"{HEADER},note\nx.png,a,b,train,{note}\n")
    assert len(read_table(tmp_path / "t.csv")) == 1


def test_resizing_to_more_than_memory_is_refused_by_its_key(tmp_path, monkeypatch):
    from grokscope.tasks.images.cache import load_images

    monkeypatch.setenv("GROKSCOPE_MEMORY", "1000000")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"image_size, n_train or n_eval: .* GB of images do not fit"):
        load_images([tmp_path / "x.png"], size=5000, cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
