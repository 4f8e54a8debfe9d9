"""Random label-preserving changes of training batches: a setting of a regime, and the standard remedy for a shortcut in
the stain.

Evaluation never sees them. (Codes are augmented by their task, ``mheight``, once.) All random numbers come from one
generator of the run's seed, so that a run with augmentation resumes exactly, and one without is not touched. Shapes: b
examples, images (b, 3, h, w) uint8.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from grokscope.config import Regime
from grokscope.tasks.hospitals import stain

Change = Callable[[Tensor], Tensor]


class Augmentation:
    """The changes that a regime asks for, one after the other; none of them by default.

    Raises:
        ValueError: an augmentation that does not fit the task's inputs, naming its key.
    """

    def __init__(self, regime: Regime, x: Tensor, task: str, seed: int, before: "Augmentation | None" = None):
        self.generator = torch.Generator().manual_seed(seed) if before is None else before.generator
        """One for the whole run: what follows another set of changes goes on with its random numbers."""
        images = x.ndim == 4 and x.dtype == torch.uint8
        self.changes: list[Change] = []
        if regime.augment_flip:
            _require(images, "augment_flip", "images", task)
            self.changes.append(self._flip)
        if regime.augment_crop:
            _require(images, "augment_crop", "images", task)
            _require(regime.augment_crop < min(x.shape[-2:]), "augment_crop", "images larger than the shift", task)
            self.shift = regime.augment_crop
            self.changes.append(self._crop)
        if regime.augment_stain:
            _require(images and x.shape[1] == 3, "augment_stain", "color images", task)
            self.strength = regime.augment_stain
            self.changes.append(self._stain)

    def __call__(self, x: Tensor) -> Tensor:
        for change in self.changes:
            x = change(x)
        return x

    def state_dict(self) -> dict[str, Tensor]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.generator.set_state(state["generator"])

    def _uniform(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Numbers in [0, 1), drawn on the CPU so that they do not depend on the device."""
        return torch.rand(shape, generator=self.generator).to(device)

    def _flip(self, x: Tensor) -> Tensor:
        """Each of the eight symmetries of the square alike often; without the diagonal ones where h != w. Tissue has
        no up and no left."""
        coins = self._uniform((3, len(x), 1, 1, 1), x.device) < 0.5
        x = torch.where(coins[0], x.flip(-1), x)
        x = torch.where(coins[1], x.flip(-2), x)
        if x.shape[-1] == x.shape[-2]:
            return torch.where(coins[2], x.transpose(-1, -2), x)
        return x

    def _crop(self, x: Tensor) -> Tensor:
        """The image shifted by up to `augment_crop` pixels in each direction, its edge continued by reflection."""
        b, c, h, w = x.shape
        offset = (self._uniform((2, b), x.device) * (2 * self.shift + 1)).long() - self.shift
        rows = _reflected(torch.arange(h, device=x.device) + offset[0][:, None], h)
        columns = _reflected(torch.arange(w, device=x.device) + offset[1][:, None], w)
        example = torch.arange(b, device=x.device)[:, None, None, None]
        channel = torch.arange(c, device=x.device)[None, :, None, None]
        return x[example, channel, rows[:, None, :, None], columns[:, None, None, :]]

    def _stain(self, x: Tensor) -> Tensor:
        """Hematoxylin, eosin and the rest of each image multiplied by 1 + u and moved by v, both uniform up to the
        strength (v a tenth of it): color augmentation in stain space (Tellez et al. 2018, doi:10.1109/
        TMI.2018.2820199)."""
        matrix = torch.tensor(_STAINS, dtype=torch.float32, device=x.device)
        density = -torch.log10(x.float().clamp_min(1.0) / stain.WHITE)
        amounts = torch.einsum("sc,bchw->bshw", torch.linalg.inv(matrix), density)
        u = self._uniform((2, len(x), 3, 1, 1), x.device) * 2 - 1
        amounts = amounts * (1 + self.strength * u[0]) + 0.1 * self.strength * u[1]
        changed = stain.WHITE * 10 ** -torch.einsum("cs,bshw->bchw", matrix, amounts)
        return changed.round().clamp(0, 255).to(torch.uint8)


def _stain_basis() -> list[list[float]]:
    """Columns: hematoxylin, eosin, and what is left, perpendicular to both; each of length 1."""
    h, e = np.array(stain.HEMATOXYLIN), np.array(stain.EOSIN)
    rest = np.cross(h, e)
    return np.stack([v / np.linalg.norm(v) for v in (h, e, rest)], axis=1).tolist()


_STAINS = _stain_basis()


def _reflected(index: Tensor, size: int) -> Tensor:
    """Positions outside 0..size-1 mirrored at the edge, which is not repeated."""
    index = index.abs()
    return torch.where(index >= size, 2 * (size - 1) - index, index)


def _require(ok: bool, key: str, what: str, task: str) -> None:
    if not ok:
        raise ValueError(f"$.regime.{key}: needs {what}; task {task!r} has none")
