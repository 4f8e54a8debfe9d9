"""Damaged files of weights and archives: a message or tensors, never a trace, a hang, memory or a file elsewhere."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mutations import attempt, data_mutants, files_below, in_child, mutants
from safetensors.torch import save

from grokscope.archive import import_archive
from grokscope.store.weights import read_weights

SEED, COUNT = 20261126, 250


def _pickled(zipped: bool) -> bytes:
    buffer = io.BytesIO()
    state = {"model": {"a.weight": torch.randn(5, 3), "b": torch.arange(4)}, "epoch": 3, "lr": 0.1}
    torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros((3, 3)), b=np.arange(3))
    return buffer.getvalue()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", b"\x80\x02}.")
        archive.writestr("../../up.pkl", b"\x80\x02}.")
    return buffer.getvalue()


SOUND = {
    "zip.pt": lambda: _pickled(True),
    "legacy.pt": lambda: _pickled(False),
    "w.safetensors": lambda: save({"a.weight": torch.randn(5, 3), "b": torch.zeros(0), "c": torch.arange(4)}),
    "w.npz": _npz,
    "plain.pt": _zip,
}


def _read(path: Path) -> None:
    weights, _ = read_weights(path)
    assert sum(t.contiguous().numel() for t in weights.values()) < 10**8


def fuzz_weights(folder: str, name: str) -> dict[str, int]:
    """Every damaged copy of one file of weights, read."""
    torch.manual_seed(0)
    seen = {"ok": 0, "refused": 0}
    for number, data in enumerate(mutants(SOUND[name](), SEED, COUNT)):
        file = Path(folder) / name
        file.write_bytes(data)
        seen[attempt(lambda file=file: _read(file), f"{name}, mutant {number}")] += 1
    return seen


CONFIG: dict[str, Any] = {
    "seed": 42, "n_train": 100, "condition": "grokking", "weight_decay": 0.1, "lr": 1e-3, "n_epochs": 400,
    "batch_size": 32, "img_size": 96, "n_classes": 2, "log_every": 50, "init_scale": 4.0, "grad_clip": 1.0,
}  # fmt: skip
HISTORY = [
    {"epoch": e, "train_acc": 1.0, "train_loss": 0.1, "id_acc": 0.9, "ood_acc": 0.5, "extra": {"norm": [1.0, 2.0]}}
    for e in (1, 50, 100, 400)
]


def fuzz_archive(folder: str) -> dict[str, int]:
    """Damaged configs and histories of one archived run, imported."""
    seen = {"ok": 0, "refused": 0}
    run = Path(folder) / "archive" / "runs" / "20260505-080445_grokking_n100_s42"
    (run / "results").mkdir(parents=True)
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "final.pt").write_bytes(_pickled(True))
    pairs = [(c, HISTORY) for c in data_mutants(CONFIG, SEED, 120)] + [
        (CONFIG, h) for h in data_mutants(HISTORY, SEED, 120)
    ]
    for number, (config, history) in enumerate(pairs):
        (run / "config.json").write_text(json.dumps(config))
        (run / "results" / "history.json").write_text(json.dumps(history))

        def bring_in(root: Path = Path(folder) / "in" / str(number)) -> None:
            import_archive(Path(folder) / "archive", root)

        seen[attempt(bring_in, f"archive {number}: {config!r:.1500} {history!r:.1500}")] += 1
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("name", SOUND)
def test_damaged_weights_are_refused_or_read(tmp_path, name):
    seen = in_child("test_fuzz_weights", "fuzz_weights", str(tmp_path), name, memory=2 << 30, cwd=tmp_path)
    assert seen["refused"] > 50
    assert set(files_below(tmp_path)) == {name}


@pytest.mark.slow
def test_damaged_archives_are_refused_or_imported(tmp_path):
    seen = in_child("test_fuzz_weights", "fuzz_archive", str(tmp_path), memory=2 << 30, cwd=tmp_path)
    assert seen["ok"] > 50
    assert all(name.startswith(("archive/", "in/")) for name in files_below(tmp_path))
