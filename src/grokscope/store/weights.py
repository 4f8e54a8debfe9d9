"""Read external weights without executing anything in them, and fit them to a network."""

import os
import pickle
import pickletools
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from grokscope.headers import check_content, check_tensor_count, check_zip
from grokscope.limits import brief
from grokscope.store.checkpoints import load_weights

if TYPE_CHECKING:
    from torch import nn

Weights = dict[str, Tensor]
Shapes = Mapping[str, tuple[int, ...]]

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net")
_ANYWHERE = ("module", "_orig_mod")
"""What data-parallel and compiled networks put before the names of whatever they wrap, in any order."""
_LEADING = (*_ANYWHERE, "model", "net", "network")
"""What training frameworks put before every name of a network besides."""
_HARMLESS = re.compile(r"torch\.\w+Storage|torch\._utils\._rebuild\w+|torch\.storage\.\w+|collections\.OrderedDict")
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, KeyError, ValueError)
"""What reading a damaged, encrypted or unknown kind of zip archive raises (NotImplementedError is a RuntimeError)."""
_LONGEST = 200
"""Characters of a name in a pickle: torch's own message about one of 200,000 takes it minutes to write."""
_OLD_PICKLES = 5
"""Magic number, protocol, system, content, keys of what follows: with them the old format begins."""
_LFS = b"version https://git-lfs"


def read_weights(path: Path) -> tuple[Weights, list[str]]:
    """(state dict, notes on what was unwrapped) of a ``.pt``, ``.pth``, ``.ckpt`` or ``.safetensors`` file.

    Raises:
        ValueError: for a file that is cut short or damaged, a pointer in place of the file, contents other than tensors
            by name, and for a pickle that names code. The code is never run: torch reads with ``weights_only=True``.
    """
    raw, notes = _read(path)
    weights, more = _without_prefixes(raw)
    return weights, notes + more


def _read(path: Path) -> tuple[Weights, list[str]]:
    """Tensors under the names they have in the file."""
    try:
        with open(path, "rb") as file:
            start = file.read(len(_LFS))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    if start == _LFS:
        raise ValueError(f"{path}: a Git LFS pointer, not the file itself; fetch it with git lfs pull, or from the Hub")
    if path.suffix == ".safetensors":
        return load_weights(path), []
    weights, notes = _unwrap(_load(path), path)
    _check_tensors(weights, path)
    return weights, notes


def _check_tensors(weights: Weights, path: Path) -> None:
    """Raises ValueError for what no network's weights are, before anything copies it: views that repeat a few numbers
    without end (stride 0), more tensors than any network, tensors without plain numbers."""
    check_tensor_count(path, len(weights))
    for name, tensor in weights.items():
        if not isinstance(name, str):
            raise ValueError(f"{path}: contains no state dict (a tensor's name is {brief(name)})")
        if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise ValueError(f"{path}: its tensor {brief(name)} is sparse, quantized or without data; save it dense")
    largest = max(weights, key=lambda n: weights[n].numel(), default="")
    size = sum(t.numel() * t.element_size() for t in weights.values())
    check_content(path, size, f"its tensors (the largest is {brief(largest)}) take")


def _load(path: Path) -> Any:
    check_zip(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in texts that no file of weights holds
        names = _refused_names(path)
        torn = any(len(name) == _LONGEST for name in names) or (not names and _is_torn(path))
    if torn:
        raise ValueError(f"{path}: not a file of weights, or damaged (its pickle cannot be read); fetch it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unusual pickles, which are refused below where they matter
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if names:
            raise ValueError(
                f"{path}: refused: besides weights, it refers to {', '.join(names[:3])}, and reading that could run "
                f"code; nothing was run. If you trust its author, save its state_dict again as safetensors"
            ) from None
        raise ValueError(f"{path}: not a file of weights, or damaged ({_first_line(error)})") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ValueError(f"{path}: cut short or damaged ({_first_line(error)}); fetch it again") from None


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).partition('. ')[0].splitlines()[0] if str(error) else 'empty file'}"


def _refused_names(path: Path) -> list[str]:
    """What `_foreign_names` finds, cut and sorted; nothing where the file is too damaged to tell."""
    try:
        return sorted({name[:_LONGEST] for name in _foreign_names(path)})
    except _DAMAGED:
        return []


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


def _is_torn(path: Path) -> bool:
    """Whether one of the pickles with which a file of torch's old format begins breaks off or is none. Other files are
    not; and a file that holds other pickles is torch's to refuse."""
    with open(path, "rb") as file:
        if file.read(4) == b"PK\x03\x04":
            return False
        file.seek(0)
        for _ in range(_OLD_PICKLES):
            start = file.tell()
            try:
                for _ in pickletools.genops(cast(IO[bytes], _Clamped(file))):
                    pass
            except ValueError:
                file.seek(start)
                return bool(file.read(1))
    return False


class _Clamped:
    """A file that never asks for more than it has left: a damaged pickle may announce a text of gigabytes, and the
    buffer for it would be taken before its end is noticed."""

    def __init__(self, file: IO[bytes]):
        self.file = file
        here = file.tell()
        self.end = file.seek(0, os.SEEK_END)
        file.seek(here)

    def read(self, count: int = -1) -> bytes:
        left = max(self.end - self.file.tell(), 0)
        return self.file.read(left if count < 0 else min(count, left))

    def readline(self) -> bytes:
        return self.file.readline()

    def tell(self) -> int:
        return self.file.tell()


def _names(file: IO[bytes]) -> Iterator[str]:
    texts: list[str] = []
    try:
        while True:  # the old format is several pickles one after another
            for opcode, argument, _ in pickletools.genops(cast(IO[bytes], _Clamped(file))):
                if isinstance(argument, str):
                    texts.append(argument)
                name = None
                if opcode.name in ("GLOBAL", "INST"):
                    name = str(argument).replace(" ", ".")
                elif opcode.name == "STACK_GLOBAL":
                    name = ".".join(texts[-2:])
                if name and not _HARMLESS.fullmatch(name):
                    yield name
    except ValueError:
        return  # the end, or what no pickle can be


def _unwrap(data: Any, path: Path) -> tuple[Weights, list[str]]:
    notes = []
    while isinstance(data, dict) and (key := next((k for k in _WRAPPERS if isinstance(data.get(k), dict)), None)):
        notes.append(f"weights taken from its entry {key!r}")
        data = data[key]
    if not isinstance(data, dict) or not data or not all(isinstance(v, Tensor) for v in data.values()):
        raise ValueError(f"{path}: contains no state dict (tensors by name)")
    return dict(data), notes


def _without_prefixes(weights: Weights) -> tuple[Weights, list[str]]:
    """Wrappers' prefixes removed as long as all names share one."""
    notes = []
    while prefix := next((f"{p}." for p in _LEADING if all(n.startswith(f"{p}.") for n in weights)), None):
        notes.append(f"{prefix!r} removed from every name")
        weights = {name.removeprefix(prefix): t for name, t in weights.items()}
    return weights, notes


def bare(name: str) -> str:
    """A tensor's name without what wrappers put into it: leading model., net. and the like, module. and _orig_mod.
    anywhere."""
    parts = name.split(".")
    while len(parts) > 1 and parts[0] in _LEADING:
        parts = parts[1:]
    return ".".join(p for p in parts if p not in _ANYWHERE)


def read_weights_for(path: Path, expected: Shapes) -> tuple[Weights, list[str]]:
    """(state dict under the names of `expected`, notes) of a file that another program wrote.

    Names are taken as they are where they fit, else without the prefixes of wrappers, on either side. Entries beyond
    the network's are left out with a note only where a prefix sets the network's own apart (a Lightning checkpoint
    holds its metrics and losses beside ``model.``).

    Raises:
        ValueError: what `read_weights` raises; and for weights of another network, naming keys and shapes.
    """
    raw, notes = _read(path)
    for candidate, words in _readings(raw, expected):
        if misfit(candidate, expected) is None:
            return candidate, notes + words
    closest = min((c for c, _ in _readings(raw, expected)), key=lambda c: _distance(c, expected))
    raise ValueError(f"{path}: not the weights of this network: the file {misfit(closest, expected)}")


def _readings(raw: Weights, expected: Shapes) -> Iterator[tuple[Weights, list[str]]]:
    """The file's tensors as they are, without prefixes, and those alone that belong to the network."""
    yield raw, []
    by_bare_name = {bare(name): name for name in expected}
    renamed = {by_bare_name.get(bare(name), bare(name)): t for name, t in raw.items()}
    if len(renamed) == len(raw) and len(by_bare_name) == len(expected):
        words = ["names matched without the prefixes of wrappers"]
        yield renamed, words
        others = [name for name in raw if bare(name) not in by_bare_name and name.partition(".")[0] not in _LEADING]
        kept = {name: t for name, t in renamed.items() if name not in map(bare, others)}
        if others:
            yield kept, [*words, f"excluded, because the network has no such tensors: {_listed(others)}"]


def _distance(weights: Weights, expected: Shapes) -> int:
    """Number of names and shapes that differ."""
    given = shapes(weights)
    return len(given.keys() ^ expected.keys()) + sum(given[n] != expected[n] for n in given.keys() & expected.keys())


def fill(model: "nn.Module", path: Path) -> list[str]:
    """Load a file of weights into a network; returns notes on what was unwrapped and renamed.

    Raises:
        ValueError: what `read_weights_for` raises.
    """
    weights, notes = read_weights_for(path, shapes(model.state_dict()))
    model.load_state_dict(weights)
    return notes


def shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(t.shape) for name, t in weights.items()}


def misfit(weights: Weights, expected: Shapes) -> str | None:
    """How weights differ from the network they should be, in a few words; None where they do not."""
    given = shapes(weights)
    differ = [f"{n} {given[n]} for {expected[n]}" for n in given if n in expected and given[n] != expected[n]]
    wrong = {
        "lacks": [n for n in expected if n not in given],
        "has beyond it": [n for n in given if n not in expected],
        "differs in the shape of": differ,
    }
    return "; ".join(f"{what} {_listed(names)}" for what, names in wrong.items() if names) or None


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:3])}{f' and {len(names) - 3} more' * (len(names) > 3)}"
