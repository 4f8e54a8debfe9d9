"""Image files become the same arrays whatever their mode, once; and a cache is right, or made again."""

import itertools
import mmap
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from grokscope.task_data import Split, TaskData
from grokscope.tasks.allocation import hold_out_groups, interleave
from grokscope.tasks.images import cache as imagecache
from grokscope.tasks.images import pool as imagepool
from grokscope.tasks.images.cache import BadImages, cache_folder
from grokscope.tasks.images.cache import load_images as load
from grokscope.tasks.images.contact_sheet import contact_sheet
from grokscope.tasks.images.files import mean_rgb, read_rgb


def load_images(*args, **settings):
    return load(*args, **settings).pixels


def pixels(seed=0, size=12, n=None):
    shape = (3, size, size) if n is None else (n, 3, size, size)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path, x):
    Image.fromarray(np.ascontiguousarray(x.transpose(1, 2, 0))).save(path)
    return path


@pytest.fixture
def album(tmp_path):
    """Five images, their files, and an empty cache folder."""
    x = pixels(n=5)
    return x, [save(tmp_path / f"{i}.png", one) for i, one in enumerate(x)], tmp_path / "cache"


def cached(folder):
    return sorted(p for p in (folder / "images2").rglob("*") if p.is_file())


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that were decoded, in any order."""
    names, real = [], imagecache.read_rgb

    def read(path, *args):
        names.append(path.name)
        return real(path, *args)

    monkeypatch.setattr(imagecache, "read_rgb", read)
    return names


# -- one file -------------------------------------------------------------------------------------------------------


def test_rgb_and_rgba_files_give_their_colors(tmp_path):
    x = pixels()
    np.testing.assert_array_equal(read_rgb(save(tmp_path / "rgb.png", x)), x)
    half = np.concatenate([x, np.full_like(x[:1], 128)])
    np.testing.assert_array_equal(read_rgb(save(tmp_path / "rgba.png", half)), x)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1"])
def test_every_eight_bit_mode_becomes_rgb(tmp_path, mode):
    gray = np.where(pixels()[0] > 127, 255, 0).astype(np.uint8)
    Image.fromarray(gray).convert(mode).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "x.png"), np.broadcast_to(gray, (3, *gray.shape)))


def test_a_palette_with_transparency_reads_without_a_warning(tmp_path):
    image = Image.fromarray(pixels().transpose(1, 2, 0).copy()).convert("P")
    image.save(tmp_path / "x.png", transparency=b"\x00\x80")
    assert read_rgb(tmp_path / "x.png").shape == (3, 12, 12)


def test_resizing_averages(tmp_path):
    save(tmp_path / "flat.png", np.full((3, 12, 12), 77, np.uint8))
    assert (read_rgb(tmp_path / "flat.png", size=5) == 77).all()
    small = read_rgb(save(tmp_path / "x.png", pixels(size=64)), size=8)
    assert small.shape == (3, 8, 8)
    assert small.std() < 0.4 * pixels(size=64).std()  # without antialiasing single pixels would keep their spread


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: None, "no such file"),
        (lambda p: p.write_bytes(b"not a picture"), "not a readable image"),
        (
            lambda p: (save(p, pixels(size=12)), p.write_bytes(p.read_bytes()[:200])),
            "not a readable image, or damaged",
        ),
        (lambda p: Image.fromarray(np.zeros((12, 12), np.uint16)).save(p), "expected 8 bits a channel"),
        (lambda p: save(p, pixels(size=13)), "image of 13 x 13 pixels, expected 12 x 12"),
    ],
)
def test_an_unusable_file_is_named(tmp_path, make, words):
    make(tmp_path / "x.png")
    with pytest.raises(ValueError, match=words) as caught:
        read_rgb(tmp_path / "x.png", stored=(12, 12))
    assert "x.png" in str(caught.value)


def test_mean_rgb_is_the_mean():
    x = pixels(n=4)
    np.testing.assert_allclose(mean_rgb(x), x.astype(np.float64).mean(axis=(2, 3)), rtol=1e-15)
    assert mean_rgb(x).dtype == np.float64
    with pytest.raises(ValueError, match=r"\(n, 3, height, width\)"):
        mean_rgb(x[0])


# -- the cache ------------------------------------------------------------------------------------------------------


def test_a_second_run_decodes_nothing(album, decoded):
    x, paths, cache = album
    np.testing.assert_array_equal(load_images(paths, cache_dir=cache), x)
    assert sorted(decoded) == sorted(p.name for p in paths)
    decoded.clear()
    again = load_images(paths, cache_dir=cache)
    np.testing.assert_array_equal(again, x)
    again[:] = 0  # a private mapping
    np.testing.assert_array_equal(load_images(paths, cache_dir=cache), x)
    assert decoded == []
    assert len(cached(cache)) == 1


def test_an_image_is_known_by_its_bytes(tmp_path, decoded):
    """Neither name nor place nor date nor length decides: BMP files of one size are all of one length."""
    x, cache = pixels(n=3), tmp_path / "cache"
    (tmp_path / "a").mkdir()
    paths = [save(tmp_path / "a" / f"{i}.bmp", one) for i, one in enumerate(x)]
    load_images(paths, cache_dir=cache)
    before = paths[1].stat()
    save(paths[1], 255 - x[1])
    os.utime(paths[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    after = paths[1].stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    decoded.clear()
    np.testing.assert_array_equal(load_images(paths, cache_dir=cache)[1], 255 - x[1])
    assert decoded == ["1.bmp"]
    (tmp_path / "a").rename(tmp_path / "b")
    moved = [tmp_path / "b" / p.name for p in paths]
    np.testing.assert_array_equal(load_images(moved, cache_dir=cache), [x[0], 255 - x[1], x[2]])
    assert decoded == ["1.bmp"]


def test_any_subset_decodes_only_what_is_new(album, decoded):
    x, paths, cache = album
    load_images(paths[:3], cache_dir=cache)
    decoded.clear()
    for chosen in ([0, 1], [2, 0], [1, 1, 2]):
        np.testing.assert_array_equal(load_images([paths[i] for i in chosen], cache_dir=cache), x[chosen])
    assert decoded == []
    np.testing.assert_array_equal(load_images(paths[::-1], cache_dir=cache), x[::-1])
    assert sorted(decoded) == ["3.png", "4.png"]
    first, second = sorted(cached(cache), key=lambda p: -p.stat().st_size)
    assert first.stat().st_size > second.stat().st_size  # what was there was not written again


def test_a_beginning_of_what_was_decoded_at_once_is_not_copied(album):
    x, paths, cache = album
    load_images(paths, cache_dir=cache)
    some = load_images(paths[:3], cache_dir=cache)
    while isinstance(some.base, np.ndarray):
        some = some.base
    assert isinstance(some.base, mmap.mmap)
    np.testing.assert_array_equal(load_images(paths[:3], cache_dir=cache), x[:3])


def test_images_that_memory_need_not_hold_lie_in_a_file_that_goes_away(album, monkeypatch):
    x, paths, cache = album
    load_images(paths, cache_dir=cache)
    monkeypatch.setattr(imagepool, "_IN_MEMORY", 0)
    mixed = load_images(paths[::-1], cache_dir=cache)
    np.testing.assert_array_equal(mixed, x[::-1])
    assert isinstance(mixed.base, np.memmap)
    assert len(cached(cache)) == 1


def test_every_way_to_decode_has_its_own_pool(album):
    x, paths, cache = album
    other = save(paths[0].with_name("other.png"), pixels(size=24))
    assert load_images([other, *paths], size=12, cache_dir=cache).shape == (6, 3, 12, 12)
    with pytest.raises(ValueError, match=r"image 0: .*other\.png: image of 24 x 24 pixels, expected 12 x 12"):
        load_images([other, *paths], stored=(12, 12), cache_dir=cache)
    with pytest.raises(ValueError, match="expected 12 x 12"):
        load_images([other, *paths], size=6, stored=(12, 12), cache_dir=cache)
    assert load_images(paths, size=6, stored=(12, 12), cache_dir=cache).shape == (5, 3, 6, 6)
    np.testing.assert_array_equal(load_images(paths, stored=(12, 12), cache_dir=cache), x)


def damage_middle(data):
    data[len(data) // 2] ^= 1


def damage_records(data):
    data[-10] ^= 1


@pytest.mark.parametrize("order", [1, -1])  # mapped, and copied together
@pytest.mark.parametrize(
    "damage",
    [
        damage_middle,
        damage_records,
        lambda d: d.pop(),
        lambda d: d.clear(),
        lambda d: d.__delitem__(slice(3, None)),
        lambda d: d.__delitem__(slice(12 * 12 * 3)),
    ],
)
def test_a_damaged_cache_is_made_again(album, damage, order):
    x, paths, cache = album
    load_images(paths, cache_dir=cache)
    x, paths = x[::order], paths[::order]
    (file,) = cached(cache)
    data = bytearray(file.read_bytes())
    damage(data)
    file.write_bytes(data)
    with pytest.warns(UserWarning, match=r"^images2/12x12/\w+\.shard: damaged image cache, decoding again"):
        np.testing.assert_array_equal(load_images(paths, cache_dir=cache), x)
    np.testing.assert_array_equal(load_images(paths, cache_dir=cache), x)


def test_every_bad_image_is_named_and_the_others_are_kept(album, decoded):
    x, paths, cache = album
    for i in (3, 1):
        paths[i].write_bytes(b"torn")
    with pytest.raises(BadImages, match=r"(?s)2 of 5 images cannot.*row 1: .*1\.png: not a readable.*row 3: .*3\.png"):
        load_images(paths, stored=(12, 12), cache_dir=cache, where=[f"row {i}" for i in range(5)])
    decoded.clear()
    sound = [0, 2, 4]
    np.testing.assert_array_equal(load_images([paths[i] for i in sound], stored=(12, 12), cache_dir=cache), x[sound])
    assert decoded == []


def test_bad_images_alone_leave_nothing_behind(album):
    _, paths, cache = album
    for path in paths:
        path.write_bytes(b"torn")
    with pytest.raises(BadImages, match=r"(?s)5 of 5 images cannot be used"):
        load_images(paths, stored=(12, 12), cache_dir=cache)
    assert cached(cache) == []


def test_a_file_that_changes_under_way_is_told(album, monkeypatch):
    _, paths, cache = album
    real = imagepool.add

    def late(*args):
        save(paths[3], pixels(seed=9))
        real(*args)

    monkeypatch.setattr(imagepool, "add", late)
    with pytest.raises(ValueError, match=r"image 3: .*3\.png changed while it was read"):
        load_images(paths, cache_dir=cache)


def test_missing_files_are_counted_and_listed(album):
    _, paths, cache = album
    paths[0].unlink()
    paths[4].unlink()
    with pytest.raises(ValueError, match=r"(?s)2 of 5 image files are missing.*image 0: .*0\.png.*image 4: .*4\.png"):
        load_images(paths, stored=(12, 12), cache_dir=cache)


def test_a_cache_folder_that_cannot_be_made_is_an_error_with_a_remedy(album, tmp_path):
    _, paths, _ = album
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="set cache_dir or GROKSCOPE_CACHE"):
        load_images(paths, cache_dir=tmp_path / "file")


LOADER = """
import sys, time
import numpy as np
from grokscope.tasks.images import cache as imagecache
real = imagecache.read_rgb
def slow(*args):
    time.sleep(float(sys.argv[2]))
    return real(*args)
imagecache.read_rgb = slow
paths = sys.argv[3:]
print("started", flush=True)
print(imagecache.load_images(paths, cache_dir=sys.argv[1]).pixels.sum(dtype=np.int64))
"""


def loader(cache, delay, paths):
    return subprocess.Popen(
        [sys.executable, "-c", LOADER, str(cache), str(delay), *map(str, paths)], stdout=subprocess.PIPE, text=True
    )


def test_two_processes_at_once_agree(album):
    x, paths, cache = album
    both = [loader(cache, 0.05, paths) for _ in range(2)]
    answers = {process.communicate(timeout=60)[0].split()[-1] for process in both}
    assert answers == {str(x.sum(dtype=np.int64))}
    assert [p.suffix for p in cached(cache)] == [".shard"]


def test_two_processes_with_overlapping_lists_are_both_right(album):
    x, paths, cache = album
    both = [loader(cache, 0.05, some) for some in (paths[:4], paths[:0:-1])]
    answers = [int(process.communicate(timeout=60)[0].split()[-1]) for process in both]
    assert answers == [x[:4].sum(dtype=np.int64), x[1:].sum(dtype=np.int64)]
    np.testing.assert_array_equal(load_images(paths, cache_dir=cache), x)


def test_a_killed_process_leaves_no_half_cache(album):
    x, paths, cache = album
    process = loader(cache, 5, paths)
    assert process.stdout is not None
    process.stdout.readline()
    while not list(cache.glob("images2/*/.*.part")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (part,) = cached(cache)
    os.utime(part, (0, 0))
    np.testing.assert_array_equal(load_images(paths, cache_dir=cache), x)
    assert not part.exists()


def test_where_the_cache_lies(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("GROKSCOPE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "grokscope"
    monkeypatch.setenv("GROKSCOPE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    assert cache_folder(tmp_path / "given") == tmp_path / "given"


# -- who goes where -------------------------------------------------------------------------------------------------


@given(shares=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any), n=st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_interleaved_prefixes_hold_the_shares(shares, n):
    sequence = interleave(np.array(shares), n)
    np.testing.assert_array_equal(sequence, interleave(np.array(shares), 3 * n)[:n])
    counts = np.cumsum(sequence[:, None] == np.arange(len(shares)), axis=0)
    quota = np.arange(1, n + 1)[:, None] * np.array(shares) / sum(shares)
    assert np.abs(counts - quota).max() <= 0.5 + len(shares) / 2
    assert not set(sequence) & {s for s, share in enumerate(shares) if share == 0}


@given(
    sizes=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=2, max_size=6), seed=st.integers(0, 9)
)
@settings(max_examples=40, deadline=None)
def test_held_out_groups_come_as_near_as_any_choice(sizes, seed):
    sizes = [(a + 1, b + 1) for a, b in sizes]
    groups = np.repeat(np.arange(len(sizes)), [a + b for a, b in sizes])
    y = np.concatenate([np.repeat([0, 1], pair) for pair in sizes])
    totals = np.sum(sizes, axis=0)

    def miss(chosen):
        return np.abs(np.sum([sizes[g] for g in chosen], axis=0) / totals - 0.3).max()

    everything = range(len(sizes))
    best = min(miss(c) for k in range(1, len(sizes)) for c in itertools.combinations(everything, k))
    chosen = hold_out_groups(groups, y, 0.3, np.random.default_rng(seed))
    assert 0 < len(chosen) < len(sizes)
    assert miss(chosen) == pytest.approx(best)


def test_one_group_cannot_be_held_out():
    with pytest.raises(ValueError, match=r"only one \(004\)"):
        hold_out_groups(np.array(["004", "004"]), np.array([0, 1]), 0.2, np.random.default_rng(0))


# -- the contact sheet ----------------------------------------------------------------------------------------------


def test_a_contact_sheet_shows_the_patches(tmp_path):
    x = pixels(n=4, size=96)
    y, env = np.array([0, 0, 1, 0]), np.array([7, 7, 7, 9])
    data = TaskData(kind="classification", splits={"train": Split(x, y, env)}, classes=2, threshold=0.9)
    sheet = np.asarray(Image.open(contact_sheet(data, tmp_path / "new" / "sheet.png", per_cell=2))).transpose(2, 0, 1)
    found = [[(sheet[:, r : r + 96, c : c + 96] == one).all() for one in x] for r, c in windows(sheet, x)]
    assert np.array(found).any(axis=0).all()


def windows(sheet, x):
    """Places where the first pixels of any patch are found."""
    for one in x:
        at = (sheet[:, :, :-3] == one[:, 0, 0][:, None, None]).all(axis=0)
        for r, c in np.argwhere(at):
            if (sheet[:, r, c : c + 3] == one[:, 0, :3]).all():
                yield r, c


def test_a_contact_sheet_needs_images(tmp_path):
    split = Split(np.zeros((2, 4), np.float32), np.array([0, 1]))
    data = TaskData(kind="classification", splits={"train": split}, classes=2, threshold=0.9)
    with pytest.raises(ValueError, match="needs a task of images"):
        contact_sheet(data, tmp_path / "sheet.png")
