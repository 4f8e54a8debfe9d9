"""Features of all sites in one pass over the images, and a cache of them by content.

Shapes: n examples, c channels, H x W positions, t tokens, d features, k outputs of the network.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from grokscope.dissect.sites import channels_last, default_sites, resolve
from grokscope.files import write_atomic
from grokscope.results.sample import Site, SiteInfo

Prepare = Callable[[Tensor], Tensor]
CACHED = "v2"
"""Raised when features are read otherwise: what older versions kept is collected again."""
MAX_BYTES = 2 << 30
"""Refuse to hold more than this of one site: reduce it instead."""


@dataclass(frozen=True)
class Features:
    """Features (n, d) float32 by site, logits (n, k), and where they came from."""

    sites: dict[str, np.ndarray]
    logits: np.ndarray
    info: dict[str, SiteInfo]
    model_hash: str
    data_hash: str


def _bytes(x: Tensor) -> memoryview:
    flat: Any = x.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return memoryview(flat)


def state_hash(model: nn.Module) -> str:
    """Digest of every parameter and buffer: name, type, shape and bytes."""
    digest = sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients; afterward every module is in the mode it was in.

    Raises:
        RuntimeError: when the network's own forward changed its parameters or buffers: its numbers would depend on the
            order of the batches.
    """
    modes = {module: module.training for module in model.modules()}
    before = state_hash(model)
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
    if state_hash(model) != before:
        raise RuntimeError("the network changed its own state in evaluation mode; its features are not reproducible")


def reducer(reduction: str) -> Callable[[Tensor], Tensor]:
    """(n, ...) -> (n, d). ``mean`` averages positions (n, c, H, W) or tokens (n, t, c) and leaves (n, d) alone;
    ``gridK`` averages (n, c, H, W) into K x K cells and keeps them apart (d = c K K), leaving others alone; ``flat``
    keeps all.

    Raises:
        ValueError: for another name.
    """
    if reduction == "mean":
        return _mean_over_positions
    if reduction == "flat":
        return lambda h: h.flatten(1)
    if reduction.startswith("grid") and reduction[4:].isdigit() and int(reduction[4:]) > 0:
        size = int(reduction[4:])
        return lambda h: adaptive_avg_pool2d(h, size).flatten(1) if h.dim() == 4 else h
    raise ValueError(f"reduction: unknown {reduction!r}; known: mean, flat, grid2, grid4, ... (gridK for K x K cells)")


def _mean_over_positions(h: Tensor) -> Tensor:
    if h.dim() == 4:
        return h.mean((2, 3))
    if h.dim() == 3:
        return h.mean(1)
    return h


class _Reader:
    """A hook that keeps the reduced activations of one site and never returns anything: the network is not edited."""

    def __init__(self, site: Site, reduction: str, last: bool = False):
        self.site, self.reduction, self.reduce = site, reduction, reducer(reduction)
        self.last = last
        self.parts: list[Tensor] = []
        self.shape: tuple[int, ...] = ()

    def attach(self, module: nn.Module):
        if self.site.side == "input":
            return module.register_forward_pre_hook(lambda _, inputs: self.keep(inputs[0]))
        return module.register_forward_hook(lambda _, inputs, output: self.keep(output))

    def keep(self, value: object) -> None:
        if not isinstance(value, Tensor):
            raise ValueError(
                f"sites: {self.site.name!r} gives a {type(value).__name__}, not a tensor; name a module inside"
            )
        if self.last and value.dim() == 4:
            value = value.movedim(-1, 1)
        self.shape = tuple(value.shape[1:])
        kept = self.reduce(value).float().cpu()
        # what still shares memory with the network would change when a later module works in place
        shares = kept.untyped_storage().data_ptr() == value.untyped_storage().data_ptr()
        self.parts.append(kept.clone() if shares else kept)

    def after_batch(self, batches: int, total: int) -> None:
        if len(self.parts) != batches:
            times = "runs more than once in"
            if len(self.parts) < batches:
                times = "is not run by"
            raise ValueError(f"sites: module {self.site.module!r} {times} one forward pass; name another site")
        need = 4 * total * self.parts[0].shape[1]
        if need > MAX_BYTES:
            raise ValueError(f"sites: {self.site.name!r} would need {need / 2**30:.1f} GiB; use reduction 'mean'")

    def result(self) -> np.ndarray:
        h = torch.cat(self.parts).numpy()
        if h.ndim != 2:
            raise ValueError(f"sites: {self.site.name!r} has shape {h.shape} after {self.reduction!r}; use 'flat'")
        if not np.isfinite(h).all():
            bad = int((~np.isfinite(h).all(axis=1)).sum())
            raise ValueError(
                f"sites: {self.site.name!r} has NaN or infinite features in {bad} of {len(h):,} examples; "
                "the checkpoint has diverged or the images are damaged"
            )
        return h


def collect(
    model: nn.Module,
    images: np.ndarray | Tensor,
    sites: Sequence[str] | None = None,
    *,
    reduction: str = "mean",
    batch: int = 64,
    prepare: Prepare | None = None,
    cache: str | Path | None = None,
    head: str | None = None,
) -> Features:
    """Features of `images` (n, ...) at every site in one pass, in evaluation mode; the network is left as it was.

    A network in half precision gets its inputs in that precision; features and logits are kept in float32. `head` names
    the layer whose input is ``pooled`` where the network's own last linear layer is not meant.

    `prepare` turns a batch into what the network reads (scaling of uint8 images, for example); without it a batch is
    passed as it is. With `cache`, a folder, what was collected before for the same weights, architecture, images and
    preparation is read back, site by site. Global averages lose where in the image something was: a site that reads
    nothing under ``mean`` may read it under ``grid4``.

    Raises:
        ValueError: for an unknown site, one that a forward pass does not run exactly once, features that are not
            finite, no images, or images that the network cannot read.
    """
    names = tuple(dict.fromkeys(sites)) if sites is not None else default_sites(model)
    if len(images) == 0:
        raise ValueError("images: the set is empty")
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    resolved = {name: resolve(model, name, head) for name in names}
    x = torch.as_tensor(images)
    model_hash, data_hash = digests(model, images, prepare)
    store, by_site, logits = None, {}, None
    if cache is not None:
        store = _Cache(Path(cache) / f"{CACHED}-{model_hash[:20]}-{data_hash[:20]}")
        by_site = {name: store.read(site, reduction) for name, site in resolved.items()}
        logits = store.read_logits()
    missing = [name for name in names if by_site.get(name) is None]
    if missing or logits is None:
        new, logits = _run(model, x, [resolved[n] for n in missing], reduction, batch, prepare)
        by_site.update(new)
        if store:
            store.write(new, logits)
    pairs = {name: pair for name in names if (pair := by_site[name]) is not None}
    assert logits is not None
    return Features(
        {n: h for n, (h, _) in pairs.items()}, logits, {n: i for n, (_, i) in pairs.items()}, model_hash, data_hash
    )


def _run(model, x, sites: list[Site], reduction: str, batch: int, prepare: Prepare | None):
    modules = dict(model.named_modules())
    readers = [_Reader(site, reduction, channels_last(model, site)) for site in sites]
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    logits: list[Tensor] = []
    handles = []
    try:
        handles = [reader.attach(modules[reader.site.module]) for reader in readers]
        with evaluating(model):
            for part in x.split(batch):
                given = part.to(device, copy=True)  # a network that works in place must not edit the caller's images
                logits.append(_forward(model, prepare(given) if prepare else given, part))
                for reader in readers:
                    reader.after_batch(len(logits), len(x))
    finally:
        for handle in handles:
            handle.remove()
    collected = {}
    for reader in readers:
        h = reader.result()
        collected[reader.site.name] = (h, SiteInfo(reader.site, reduction, reader.shape, h.shape[1]))
    return collected, torch.cat(logits).numpy()


def _forward(model: nn.Module, ready: Tensor, raw: Tensor) -> Tensor:
    precision = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    if ready.is_floating_point():
        ready = ready.to(precision)
    try:
        out = model(ready)
    except ValueError:
        raise  # a hook's own words
    except Exception as error:  # a network may raise anything on inputs that it cannot read
        raise ValueError(_unreadable(ready, raw, precision, error)) from error
    if not isinstance(out, Tensor) or out.dim() != 2:
        raise ValueError("the network must return logits (n, k); wrap it in a module that does")
    return out.float().cpu()


def _unreadable(ready: Tensor, raw: Tensor, precision: torch.dtype, error: Exception) -> str:
    why = str(error).splitlines()[0] if str(error) else type(error).__name__
    if not ready.is_floating_point():
        return f"images: the network cannot read {raw.dtype} ({why}); give `prepare`, the scaling used in training"
    size = " x ".join(map(str, ready.shape[1:]))
    half = ""
    if precision.itemsize < 4:
        half = f", or it does not run in {precision} on this device: give model.float()"
    return (
        f"images: the network fails on inputs of {size} ({why}). It may be built for another size: resize the images "
        f"(--image-size), or do it in `prepare`{half}"
    )


def digests(model: nn.Module, images: np.ndarray | Tensor, prepare: Prepare | None) -> tuple[str, str]:
    """(of the network and its weights, of the images and their preparation): features of the same two are the same."""
    network = sha256((state_hash(model) + repr(model)).encode()).hexdigest()
    return network, _data_hash(torch.as_tensor(images), prepare)


def _data_hash(x: Tensor, prepare: Prepare | None) -> str:
    """Digest of the images, and of what `prepare` makes of the first of them (functions cannot be hashed)."""
    digest = sha256(f"{x.dtype}:{tuple(x.shape)};".encode())
    digest.update(_bytes(x))
    if prepare:
        with torch.inference_mode():
            digest.update(_bytes(prepare(x[:8])))
    return digest.hexdigest()


class _Cache:
    """One folder per (network, images), one safetensors file per site and reduction."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, site: Site, reduction: str) -> Path:
        return self.folder / f"{site.module or 'model'}.{site.side}.{reduction}.safetensors"

    def read(self, site: Site, reduction: str) -> tuple[np.ndarray, SiteInfo] | None:
        kept = _read(self.path(site, reduction))
        if kept is None:
            return None
        h, shape = kept
        return h, SiteInfo(site, reduction, tuple(shape), h.shape[1])

    def read_logits(self) -> np.ndarray | None:
        kept = _read(self.folder / "logits.safetensors")
        if kept is None:
            return None
        return kept[0]

    def write(self, collected: dict[str, tuple[np.ndarray, SiteInfo]], logits: np.ndarray) -> None:
        for h, info in collected.values():
            _write(self.path(info.site, info.reduction), h, info.shape)
        _write(self.folder / "logits.safetensors", logits, logits.shape[1:])


def _write(path: Path, values: np.ndarray, shape: tuple[int, ...]) -> None:
    data = save({"values": np.ascontiguousarray(values)}, {"shape": json.dumps(list(shape))})
    write_atomic(path, lambda file: file.write(data) and None)


def _read(path: Path) -> tuple[np.ndarray, list[int]] | None:
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            return file.get_tensor("values"), json.loads((file.metadata() or {})["shape"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        warnings.warn(f"{path}: damaged cache file, collected again ({error})", stacklevel=3)
        return None
