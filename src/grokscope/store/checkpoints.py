"""Weights as safetensors, kept for ever; full resume states, the last two. Nothing is ever unpickled."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from grokscope.store.files import write_atomic

KEEP_STATES = 2


def save_weights(path: Path, weights: dict[str, torch.Tensor]) -> None:
    """Write a state dict; tensors that share memory are stored once each under their own name."""
    data = save(
        {name: t.detach().to("cpu").clone(memory_format=torch.contiguous_format) for name, t in weights.items()}
    )
    write_atomic(path, lambda file: file.write(data))


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """A state dict from a safetensors file. Raises ValueError when it is absent or damaged."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such checkpoint") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: damaged checkpoint ({error}); use another one") from None


def save_state(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write a resume state and forget all but the last two: if the newest is cut short, the one before still
    resumes."""
    path = folder / f"state{step:010d}.pt"
    write_atomic(path, lambda file: torch.save(state, file))
    for old in sorted(folder.glob("state*.pt"))[:-KEEP_STATES]:
        old.unlink(missing_ok=True)


def load_state(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest readable resume state, or None when there is none, and a warning for each that was unreadable.

    Raises:
        ValueError: when states exist and none is readable; starting anew would silently throw the run away.
    """
    warnings = []
    paths = sorted(folder.glob("state*.pt"), reverse=True)
    for path in paths:
        try:
            return torch.load(path, map_location="cpu", weights_only=True), warnings
        except Exception as error:  # torch raises many kinds for a damaged file
            warnings.append(f"{path.name} is damaged ({type(error).__name__}); using the state before it")
    if paths:
        raise ValueError(
            f"{folder}: no resume state is readable ({', '.join(p.name for p in paths)}); delete the run to start anew"
        )
    return None, warnings
