"""Image files of every kind give the right pixels or are refused by name; sizes are checked before they take memory."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grokscope.tasks.images.cache import load_images
from grokscope.tasks.images.files import read_rgb, stored_size

CASES = Path(__file__).parents[1] / "cases" / "images"
ORIENTED = {  # EXIF orientation -> how the stored (H, W, 3) becomes upright
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a),
}


def claim(width, height):
    """A PNG file that claims these sides and holds nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def noise(mode="RGB", size=(16, 12), seed=0):
    a = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(a).convert(mode)


@pytest.mark.parametrize("name", ["rgb16_full.png", "rgb12in16.png"])
def test_sixteen_bit_color_is_never_truncated(name):
    with pytest.raises(ValueError, match=rf"{name}: 16 bits a channel, expected 8; scale by the depth"):
        read_rgb(CASES / name)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "RGB"])
def test_sixteen_bit_png_of_every_kind_is_refused(tmp_path, mode):
    """Bytes as libpng writes them: bit depth 16, color type 4, 6 or 2."""
    kind, channels = {"LA": (4, 2), "RGBA": (6, 4), "RGB": (2, 3)}[mode]

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + bytes(2 * channels * 4) for _ in range(4))
    head = struct.pack(">IIBBBBB", 4, 4, 16, kind, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    with pytest.raises(ValueError, match=r"x\.png: 16 bits a channel"):
        read_rgb(tmp_path / "x.png")


def test_sixteen_bit_tiff_is_refused(tmp_path):
    """A TIFF of 2 x 2 pixels with 16 bits in each of three channels."""
    entries = [(256, 3, 1, 2), (257, 3, 1, 2), (258, 3, 3, 8 + 2 + 12 * 9 + 4), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [(273, 4, 1, 8 + 2 + 12 * 9 + 4 + 6), (277, 3, 1, 3), (278, 3, 1, 2), (279, 4, 1, 24)]
    body = struct.pack("<H", 9) + b"".join(struct.pack("<HHII", *e) for e in entries) + struct.pack("<I", 0)
    data = b"II*\0" + struct.pack("<I", 8) + body + struct.pack("<HHH", 16, 16, 16) + bytes(24)
    (tmp_path / "x.tif").write_bytes(data)
    with Image.open(tmp_path / "x.tif") as image:
        assert image.mode == "RGB"  # what Pillow says of it
    with pytest.raises(ValueError, match=r"x\.tif: 16 bits a channel"):
        read_rgb(tmp_path / "x.tif")


def test_a_format_that_may_hide_its_depth_is_refused(tmp_path):
    noise().save(tmp_path / "x.jp2")
    with pytest.raises(ValueError, match=r"x\.jp2: format JPEG2000, which may hide its depth; convert the file"):
        read_rgb(tmp_path / "x.jp2")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_fewer_bits_are_scaled_to_eight(tmp_path, bits):
    gray = np.arange(2**bits, dtype=np.uint8).reshape(1, -1)
    rows = b"\0" + np.packbits(np.unpackbits(gray.reshape(-1, 1), axis=1)[:, -bits:].ravel()).tobytes()

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", gray.shape[1], 1, bits, 0, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    expected = np.rint(gray.astype(float) * 255 / (2**bits - 1)).astype(np.uint8)
    np.testing.assert_array_equal(read_rgb(tmp_path / "x.png"), np.broadcast_to(expected, (3, *expected.shape)))


def test_several_pages_are_an_error():
    with pytest.raises(ValueError, match=r"multi\.tif: contains several pages or frames; save the intended one"):
        read_rgb(CASES / "multi.tif")


@pytest.mark.parametrize("form", ["gif", "png", "webp", "tif"])
def test_several_frames_are_an_error_and_one_is_not(tmp_path, form):
    frames = [noise(seed=i) for i in range(3)]
    frames[0].save(tmp_path / f"one.{form}", lossless=True)
    assert read_rgb(tmp_path / f"one.{form}").shape == (3, 12, 16)
    frames[0].save(tmp_path / f"x.{form}", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match=rf"x\.{form}: contains several pages or frames"):
        read_rgb(tmp_path / f"x.{form}")


def test_the_orientation_of_the_case_is_applied():
    with Image.open(CASES / "exif6.jpg") as image:
        stored = np.asarray(image.convert("RGB"))
    assert stored.shape == (16, 32, 3)
    np.testing.assert_array_equal(read_rgb(CASES / "exif6.jpg"), np.rot90(stored, -1).transpose(2, 0, 1))
    assert stored_size(CASES / "exif6.jpg") == (16, 32)
    assert read_rgb(CASES / "exif6.jpg", stored=(16, 32)).shape == (3, 32, 16)


@pytest.mark.parametrize("form", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", sorted(ORIENTED))
def test_every_orientation_is_applied_in_every_format(tmp_path, form, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    image = noise()
    image.save(tmp_path / f"x.{form}", exif=exif, lossless=True)
    upright = ORIENTED[orientation](np.asarray(image)).transpose(2, 0, 1)
    np.testing.assert_array_equal(read_rgb(tmp_path / f"x.{form}"), upright)
    assert stored_size(tmp_path / f"x.{form}") == upright.shape[:0:-1]


def test_a_turned_image_is_other_data_than_the_same_bytes_were_before(tmp_path):
    """Runs of earlier releases learned from it as it lay: they must not pass for the same data."""
    plain = load_images([CASES / "exif6.jpg"], cache_dir=tmp_path / "cache")
    data = (CASES / "exif6.jpg").read_bytes()
    at = data.index(b"\x01\x12\x00\x03\x00\x00\x00\x01") + 8
    (tmp_path / "flat.jpg").write_bytes(data[:at] + b"\x00\x01" + data[at + 2 :])
    flat = load_images([tmp_path / "flat.jpg"], cache_dir=tmp_path / "cache")
    assert plain.pixels.shape[1:] == (3, 32, 16)
    assert flat.pixels.shape[1:] == (3, 16, 32)
    assert plain.digest != flat.digest


def test_a_digest_of_upright_images_is_what_it_was(tmp_path):
    """The digest that runs have recorded: blake2b over the pool's name and each file's own digest."""
    from hashlib import blake2b

    noise().save(tmp_path / "x.png")
    own = blake2b((tmp_path / "x.png").read_bytes(), digest_size=16).digest()
    expected = blake2b(b"16x12" + own, digest_size=16).hexdigest()
    assert load_images([tmp_path / "x.png"], cache_dir=tmp_path / "cache").digest == expected


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "L", "LA", "P", "PA", "1", "RGBA"])
def test_other_kinds_become_the_colors_that_they_show(tmp_path, mode):
    image = noise().quantize(8) if mode == "P" else noise(mode)
    form = {"CMYK": "tif", "YCbCr": "tif", "PA": "png"}.get(mode, "png")
    if mode == "PA":
        image = noise().quantize(8)
        image.info["transparency"] = 3
    image.save(tmp_path / f"x.{form}")
    with Image.open(tmp_path / f"x.{form}") as again:
        expected = np.asarray(again.convert("RGBA").convert("RGB") if mode in ("P", "PA") else again.convert("RGB"))
    np.testing.assert_array_equal(read_rgb(tmp_path / f"x.{form}"), expected.transpose(2, 0, 1))


def test_color_profiles_are_not_applied_and_do_not_disturb(tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    noise().save(tmp_path / "x.png", icc_profile=profile)
    np.testing.assert_array_equal(read_rgb(tmp_path / "x.png"), np.asarray(noise()).transpose(2, 0, 1))


def test_a_claim_of_too_many_pixels_is_refused_by_its_header(tmp_path):
    (tmp_path / "x.png").write_bytes(claim(9_000, 9_000))
    for read in (read_rgb, stored_size):
        with pytest.raises(ValueError, match=r"x\.png: image of 9000 x 9000 pixels, more than 50,000,000 pixels"):
            read(tmp_path / "x.png")
    (tmp_path / "y.png").write_bytes(claim(2**31 - 1, 2**31 - 1))
    for read in (read_rgb, stored_size):
        with pytest.raises(ValueError, match=r"y\.png: image of more than 50,000,000 pixels"):
            read(tmp_path / "y.png")


def test_a_file_longer_than_any_image_is_not_read(tmp_path):
    with (tmp_path / "x.png").open("wb") as f:
        f.truncate(401_000_000)  # sparse: no disk is taken
    with pytest.raises(ValueError, match=r"image 0: .*x\.png: 401,000,000 bytes, more than an image of"):
        load_images([tmp_path / "x.png"], size=8, cache_dir=tmp_path / "cache")
