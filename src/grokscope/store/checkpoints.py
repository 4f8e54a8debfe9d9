"""Weights as safetensors, kept permanently; the last two full resume states; and requested full states, kept
permanently. Nothing is ever unpickled."""

from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from grokscope.files import plain_file, write_atomic
from grokscope.headers import check_safetensors, check_zip
from grokscope.store.states import state_path, state_paths

KEEP_STATES = 2


def save_weights(path: Path, weights: dict[str, torch.Tensor]) -> None:
    """Write a state dict; tensors that share memory are stored once each under their own name."""
    data = save(
        {name: t.detach().to("cpu").clone(memory_format=torch.contiguous_format) for name, t in weights.items()}
    )
    write_atomic(path, lambda file: file.write(data))


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """A state dict from a safetensors file. Raises ValueError when it is absent, damaged or no regular file."""
    try:
        file = plain_file(path.parent, path.name)
        check_safetensors(file)
        return load_file(file)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such checkpoint") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: damaged checkpoint ({error}); use another one") from None


def save_state(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write a resume state and forget all but the last two: if the newest is cut short, the one before still
    resumes."""
    keep_state(folder, step, state)
    for old in state_paths(folder)[KEEP_STATES:]:
        old.unlink(missing_ok=True)


def keep_state(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write a full state, with the digest of its bytes behind them. What reads `torch.save`'s files reads these."""
    buffer = BytesIO()
    torch.save(state, buffer)
    data = buffer.getbuffer()
    write_atomic(state_path(folder, step), lambda file: (file.write(data), file.write(_trailer(data))))


def load_state(path: Path) -> dict[str, Any]:
    """One resume state. One of before the digests is believed when it can be read.

    Raises:
        ValueError: not a plain file, cut, changed in a single bit, or no state at all.
    """
    try:
        file = plain_file(path.parent.parent, f"{path.parent.name}/{path.name}")
        check_zip(file)
        data = file.read_bytes()
        state = torch.load(BytesIO(_checked(data)), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ValueError(f"{path.name} is damaged ({_first_line(error)})") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path.name} is damaged (it holds no state)")
    return state


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    if isinstance(error, ValueError) and lines:
        return lines[0][:200]
    return type(error).__name__


_MARK = b"\ngrokscope blake2b "
_END_OF_ZIP = b"PK\x05\x06"
"""Begins the last 22 bytes of what torch.save writes."""


def _trailer(data: bytes | memoryview) -> bytes:
    return _MARK + blake2b(data, digest_size=16).hexdigest().encode() + b"\n"


def _checked(data: bytes) -> bytes:
    """The state's own bytes. Raises ValueError where they are not what was written."""
    size = len(_trailer(b""))
    content, trailer = data[:-size], data[-size:]
    if trailer == _trailer(content):
        return content
    if not trailer.startswith(_MARK) and data[-22:-18] == _END_OF_ZIP:  # of before the digests
        return data
    raise ValueError("its bytes are not those that were written")
