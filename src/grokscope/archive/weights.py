"""Weights out of an archive: read without running anything in them, and compared with the network they should be."""

import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from grokscope.measure.groups import group_norms
from grokscope.models.resnet import timm_classifier
from grokscope.store.checkpoints import load_weights

Weights = dict[str, Tensor]

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model")
_PREFIXES = ("module.", "_orig_mod.")
"""What data-parallel and compiled networks put before every name."""
_HARMLESS = re.compile(r"torch\.\w+Storage|torch\._utils\._rebuild\w+|torch\.storage\.\w+|collections\.OrderedDict")
_LFS = b"version https://git-lfs"


def read_weights(path: Path) -> tuple[Weights, list[str]]:
    """(state dict, notes on what was unwrapped) of a ``.pt`` or ``.safetensors`` file.

    Raises:
        ValueError: for a file that is cut short or damaged, a pointer in place of the file, contents other than tensors
            by name, and for a pickle that names code. The code is never run: torch reads with ``weights_only=True``.
    """
    with open(path, "rb") as file:
        if file.read(len(_LFS)) == _LFS:
            raise ValueError(
                f"{path}: a Git LFS pointer, not the file itself; fetch it with git lfs pull, or from the Hub"
            )
    if path.suffix == ".safetensors":
        return load_weights(path), []
    return _unwrap(_load(path), path)


def _load(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unusual pickles, which are refused below where they matter
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if found := sorted(set(_foreign_names(path))):
            raise ValueError(
                f"{path}: refused: besides weights it names {', '.join(found[:3])}, and reading that could run code; "
                "nothing was run. Where you trust its author, save its state_dict anew as safetensors"
            ) from None
        raise ValueError(f"{path}: not a file of weights, or damaged ({_first_line(error)})") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ValueError(f"{path}: cut short or damaged ({_first_line(error)}); fetch it again") from None


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).partition('. ')[0].splitlines()[0] if str(error) else 'empty file'}"


def _foreign_names(path: Path) -> Iterator[str]:
    """Everything that a file's pickles would import beyond tensors, found by reading their opcodes, not by running
    them."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".pkl"):
                    with archive.open(name) as file:
                        yield from _names(file)
    else:
        with open(path, "rb") as file:
            yield from _names(file)


def _names(file: IO[bytes]) -> Iterator[str]:
    texts: list[str] = []
    try:
        while True:  # the old format is several pickles one after another
            for opcode, argument, _ in pickletools.genops(file):
                if isinstance(argument, str):
                    texts.append(argument)
                found = None
                if opcode.name in ("GLOBAL", "INST"):
                    found = str(argument).replace(" ", ".")
                elif opcode.name == "STACK_GLOBAL":
                    found = ".".join(texts[-2:])
                if found and not _HARMLESS.fullmatch(found):
                    yield found
    except ValueError:
        return  # the end, or what no pickle can be


def _unwrap(data: Any, path: Path) -> tuple[Weights, list[str]]:
    notes = []
    if isinstance(data, dict):
        for key in _WRAPPERS:
            if isinstance(data.get(key), dict):
                notes.append(f"weights taken from its entry {key!r}")
                data = data[key]
                break
    if not isinstance(data, dict) or not data or not all(isinstance(v, Tensor) for v in data.values()):
        raise ValueError(f"{path}: holds no state dict (tensors by name)")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in data):
            notes.append(f"{prefix!r} removed from every name")
            data = {name.removeprefix(prefix): t for name, t in data.items()}
    return dict(data), notes


@cache
def resnet18(classes: int) -> tuple[dict[str, tuple[int, ...]], dict[str, list[str]], int] | None:
    """(shape of every tensor of timm's ResNet-18, its parameter groups, number of parameters); None without timm.

    Its groups are known: each convolution has a batch norm behind it and so no scale. A test compares them with
    `grokscope.measure.groups.parameter_groups`, which finds them by trying, at half a minute a run.
    """
    try:
        import timm  # noqa: F401
    except ImportError:
        return None
    with torch.device("meta"):
        model = timm_classifier("resnet18", 3, classes, "batch")
    groups: dict[str, list[str]] = {"head": [], "scale_invariant": [], "normalization": []}
    for name, parameter in model.named_parameters():
        group = "head" if name.startswith("fc.") else "scale_invariant" if parameter.dim() > 1 else "normalization"
        groups[group].append(name)
    return shapes(model.state_dict()), groups, sum(p.numel() for p in model.parameters())


def shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(t.shape) for name, t in weights.items()}


def misfit(weights: Weights, expected: Mapping[str, tuple[int, ...]]) -> str | None:
    """How weights differ from the network they should be, in a few words; None where they do not."""
    own = shapes(weights)
    wrong = {
        "lacks": [n for n in expected if n not in own],
        "has beyond it": [n for n in own if n not in expected],
        "differs in the shape of": [n for n in own if n in expected and own[n] != expected[n]],
    }
    parts = [f"{what} {', '.join(names[:3])}{' ...' * (len(names) > 3)}" for what, names in wrong.items() if names]
    return "; ".join(parts) or None


def norms(weights: Weights, groups: Mapping[str, list[str]]) -> dict[str, float]:
    """L2 norms of the parameters by group and in total, under the columns' names."""
    members = {name: weights[name].float() for names in groups.values() for name in names}
    return {key: float(value) for key, value in group_norms(members, groups, "norm").items()}
