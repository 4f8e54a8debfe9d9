"""Files of weights that claim, or unpack to, more than they hold are refused by name, before they take the memory."""

import io
import json
import struct
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from grokscope.store.weights import read_weights

sys.path.insert(0, str(Path(__file__).parent.parent / "fuzz"))
from mutations import in_child

MEMORY = 1 << 30
"""Bytes that the child may take to read, a fraction of what the files claim."""


def refusal(path):
    try:
        weights, _ = read_weights(Path(path))
    except ValueError as error:
        return str(error)
    return f"read {sum(t.contiguous().numel() for t in weights.values())} numbers"


def told(path):
    words = in_child("store.test_weights_bounds", "refusal", str(path), memory=MEMORY, seconds=120)
    assert words.startswith((str(path), "read")), words
    return words.removeprefix(f"{path}: ")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_tensor_of_stride_0_is_refused_before_it_is_copied(tmp_path, zipped):
    torch.save({"w": torch.zeros(1).expand(3_000_000_000)}, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    assert (tmp_path / "w.pt").stat().st_size < 2000
    words = told(tmp_path / "w.pt")
    assert "12,000 MB" in words
    assert "'w'" in words


def test_many_names_for_one_storage_are_refused(tmp_path):
    one = torch.zeros(1_000_000)
    torch.save({f"w{i}": one for i in range(3000)}, tmp_path / "w.pt")
    assert "its tensors" in told(tmp_path / "w.pt")


def test_tied_and_expanded_weights_of_honest_size_are_read(tmp_path):
    shared = torch.arange(1000.0)
    torch.save({"a": shared, "b": shared, "positions": torch.arange(512).expand(1, -1)}, tmp_path / "w.pt")
    assert told(tmp_path / "w.pt") == "read 2512 numbers"


def test_a_zip_bomb_is_refused_by_what_it_says(tmp_path):
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(8)}, buffer)
    with (
        zipfile.ZipFile(buffer) as sound,
        zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in sound.namelist():
            if name.endswith("data/0"):
                with bomb.open(name, "w", force_zip64=True) as entry:
                    for _ in range(600):
                        entry.write(bytes(1 << 20))
            else:
                bomb.writestr(zipfile.ZipInfo(name), sound.read(name))
    words = told(tmp_path / "w.pt")
    assert "it unpacks to 629 MB, from a file of 0." in words


def test_300_000_empty_tensors_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("w/data.pkl", b"\x80\x02}.")
        for i in range(60_000):
            archive.writestr(f"w/data/{i}", b"")
    assert "contains 60,001 tensors" in told(tmp_path / "w.pt")
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"w{i}": entry for i in range(300_000)}).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    assert "its header claims" in told(tmp_path / "w.safetensors")
    header = json.dumps({f"w{i}": entry for i in range(100_000)}).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    assert "contains 100,000 tensors" in told(tmp_path / "w.safetensors")


def test_60_000_tensors_of_one_pickle_are_refused(tmp_path):
    torch.save(dict.fromkeys(map(str, range(60_000)), torch.zeros(0)), tmp_path / "w.pt")
    assert "contains 60,000 tensors" in told(tmp_path / "w.pt")


def _safetensors(entries, data=b""):
    header = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(header)) + header + data


LIES = {
    "length": struct.pack("<Q", 2**63) + b"{}",
    "longer": struct.pack("<Q", 5000) + b"{}",
    "offsets": _safetensors({"w": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}, bytes(64)),
    "shape": _safetensors({"w": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 64]}}, bytes(64)),
    "overflow": _safetensors({"w": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 64]}}, bytes(64)),
    "negative": _safetensors({"w": {"dtype": "F32", "shape": [-1], "data_offsets": [-4, 0]}}, bytes(64)),
    "digits": _safetensors(b'{"w":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,4]}}', bytes(64)),
    "deep": _safetensors(b"[" * 100_000 + b"]" * 100_000),
    "list": _safetensors([1, 2]),
    "empty": b"",
    "no header": b"\x00" * 8,
}


def refusals(folder):
    return {path.stem: refusal(str(path)) for path in sorted(Path(folder).glob("*.safetensors"))}


def test_lying_headers_are_refused(tmp_path):
    for name, data in LIES.items():
        (tmp_path / f"{name}.safetensors").write_bytes(data)
    words = in_child("store.test_weights_bounds", "refusals", str(tmp_path), memory=MEMORY, seconds=120)
    assert words.keys() == LIES.keys()
    for name, line in words.items():
        assert line.startswith(str(tmp_path / f"{name}.safetensors")), line


def test_what_is_no_plain_tensor_is_refused(tmp_path):
    torch.save({"w": torch.zeros(3, 3).to_sparse()}, tmp_path / "w.pt")
    assert "save it dense" in told(tmp_path / "w.pt")


def test_a_claimed_meta_tensor_takes_no_memory(tmp_path):
    torch.save({"w": torch.zeros(10**12, device="meta")}, tmp_path / "w.pt")
    assert not told(tmp_path / "w.pt").startswith("read")
