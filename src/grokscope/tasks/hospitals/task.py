"""Synthetic hospitals: stained tissue whose label is correlated with the hospital in training only."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from grokscope.checks import names_checked
from grokscope.config import TaskConfig, require, require_whole
from grokscope.limits import MAX_EXAMPLES, MAX_SIDE, require_memory
from grokscope.seeds import derive
from grokscope.task_data import Split, TaskData
from grokscope.tasks.allocation import interleave
from grokscope.tasks.hospitals import stain, tissue
from grokscope.tasks.images.files import image_facts

OOD = {"ood_val": 1, "ood_test": 2}
"""The unseen hospitals, numbered as in Camelyon17; all others train."""
LABELS = ("normal", "tumor")
HELD_OUT = 0.3
"""Share of the patients of each training hospital that id_val has for itself."""
BLOCK = 64
"""Patches drawn with one generator. A split is a sequence of whole blocks, cut at its end, so that a longer one begins
with the shorter one."""
_SHIFT = np.array([0.22, 0.25, 0.14, 0.12])
"""How far hospitals differ at stain_shift = 1: log strength of both stains, and two angles in radians."""
_AMOUNTS = np.array([0.20, 0.22])
"""Hematoxylin and eosin of an average patch."""

MAX_PLACES = 10_000
"""Hospitals, and slides in each: their stains are drawn at once, and pathology has no more."""

Columns = dict[str, np.ndarray]


@names_checked
@dataclass(frozen=True, kw_only=True)
class Hospitals(TaskConfig):
    """Tumor or not, in synthetic tissue from several hospitals: the shortcut is the stain, the signal is the nuclei.

    Formula: maps of hematoxylin and eosin (`tissue`), mixed in optical density by the stain vectors of hospital, slide
    and patch (`stain`). Tumor nuclei are denser, larger and irregular. In the training hospitals P(tumor) is (1 -
    correlation) / 2 in one half and (1 + correlation) / 2 in the other (a middle one keeps 1/2); in the unseen ones it
    is 1/2. Splits: `train`, `id_val` (same hospitals, same correlation, other patients), `ood_val` (hospital 1),
    `ood_test` (hospital 2). Environment = hospital, group = patient; numbered as in Camelyon17 (slide // 10 is the
    hospital).
    Source: optical density mixing after Ruifrok & Johnston 2001; the layout after WILDS, arXiv:2012.07421.
    Cost: about a second for 1,000 patches of 48 x 48.

    Misleads: it is a simplification, whose tumors are far easier than real ones. Camelyon17 itself is balanced per
        hospital: the label-hospital correlation here is planted. `id_val` has it too, so a network that reads only the
            stain scores well there. Held-out patches and the hospitals depend on `world_seed`, so all seeds of a study
            share them.
    """

    name: ClassVar[str] = "hospitals"
    data_version: ClassVar[int] = 2
    """2: the mean color says nothing of the label in blue either (a probe of it had .59 on held-out patches), and the
    default is 60 patients in each hospital, not 10."""

    n_train: int = 1000
    """Training patches."""
    n_eval: int = 500
    """Patches in each held-out split."""
    image_size: int = 48
    """Pixels per side; a larger patch shows more tissue."""
    hospitals: int = 5
    """Number of hospitals; two of them are unseen in training."""
    correlation: float = 0.9
    """Correlation of label and hospital in train and id_val, from 0 (none) to 1 (complete)."""
    stain_shift: float = 1.0
    """Difference of stains between hospitals: 0 none, 1 clearly visible."""
    slide_shift: float = 0.15
    """Difference of stains between slides of a hospital, on the same scale."""
    morphology: float = 0.7
    """Contrast of the signal: 0 draws tumor like normal tissue, 1 draws clearly larger, irregular nuclei."""
    colour_cue: float = 0.0  # British spelling stays: the name is part of run identity
    """Share of the tumor's own color (more nuclei, more hematoxylin) that remains: at 0, the mean color of a patch
    contains no information about its label beyond the hospital; at 1, the color is unchanged."""
    patients: int = 60
    """Patients per hospital; the default is enough for a dissection, which splits by patient."""
    slides: int = 60
    """Slides per hospital, distributed among its patients."""
    id_val: Literal["patient", "leaky"] = "patient"
    """``patient``: id_val has patients of its own; ``leaky``: it shares their slides with train, as in WILDS."""
    world_seed: int = 0
    """Seed of the hospitals, their slides, and the held-out patches."""

    def __post_init__(self) -> None:
        require(
            self.n_train >= 1 and self.n_eval >= 1,
            f"n_train and n_eval must be at least 1, got {self.n_train}, {self.n_eval}",
        )
        require(self.image_size >= 8, f"image_size must be at least 8 pixels, got {self.image_size}")
        require(self.hospitals >= 3, f"hospitals must be at least 3 (one to train, two unseen), got {self.hospitals}")
        for key, most in (("n_train", MAX_EXAMPLES), ("n_eval", MAX_EXAMPLES), ("image_size", MAX_SIDE)):
            require_whole(key, getattr(self, key), 1, most)
        for key in ("hospitals", "patients", "slides"):
            require_whole(key, getattr(self, key), 1, MAX_PLACES)
        for key in ("correlation", "morphology", "colour_cue"):
            require(0 <= getattr(self, key) <= 1, f"{key} must lie in [0, 1], got {getattr(self, key)}")
        for key in ("stain_shift", "slide_shift"):
            require(getattr(self, key) >= 0, f"{key} must not be negative, got {getattr(self, key)}")
        require(self.patients >= 2, f"patients must be at least 2, so that one can be held out, got {self.patients}")
        require(
            self.slides >= self.patients,
            f"slides must be at least patients (each has one or more), got {self.slides} for {self.patients}",
        )
        require(
            self.correlation == 0 or self.hospitals >= 4,
            "a correlation needs two training hospitals: set hospitals to 4 or more, or correlation to 0",
        )

    def train_size(self) -> int:
        return self.n_train

    def build(self, seed: int) -> TaskData:
        """Splits train, id_val, ood_val, ood_test; x (n, 3, image_size, image_size) uint8, y 1 for tumor."""
        bytes_of_all = sum(self._sizes().values()) * 3 * self.image_size**2
        require_memory(bytes_of_all, "$.task.n_train, n_eval or image_size", "images")
        splits = {}
        for name, n in self._sizes().items():
            blocks = -(-n // BLOCK)
            rows = self._rows(name, seed, blocks * BLOCK)
            x = np.concatenate([self._block(name, seed, rows, b) for b in range(blocks)])
            splits[name] = Split(x[:n], rows["tumor"][:n], rows["center"][:n], rows["patient"][:n])
        shape = splits["train"].x.shape[1:]
        patients = {p: f"{p:03d}" for p in self.world.patient.ravel().tolist()}
        meta = image_facts(shape, list(LABELS), {h: h for h in range(self.hospitals)}, patients)
        meta["prevalence"] = {str(h): p for h, p in self.world.prevalence.items()}
        return TaskData(kind="classification", splits=splits, classes=2, threshold=0.90, meta=meta)

    def plan(self, seed: int) -> dict[str, Columns]:
        """Who is drawn, without drawing: per split the columns center, tumor, patient, node and slide, each (n,) int64
        in the order of the examples."""
        return {name: self._rows(name, seed, n) for name, n in self._sizes().items()}

    @cached_property
    def world(self) -> "World":
        """The hospitals behind the patches."""
        return World(self)

    def _sizes(self) -> dict[str, int]:
        return {"train": self.n_train, "id_val": self.n_eval, "ood_val": self.n_eval, "ood_test": self.n_eval}

    def _rng(self, split: str, seed: int, *names: str) -> np.random.Generator:
        return np.random.default_rng(derive(seed if split == "train" else self.world_seed, self.name, split, *names))

    def _rows(self, split: str, seed: int, n: int) -> Columns:
        """The first n examples of a split; more of them begin with the same."""
        blocks = -(-n // BLOCK)
        center, tumor = self.world.cells(split, blocks * BLOCK)
        pool = self.world.pool(split)
        picks = [self._rng(split, seed, "slide", str(b)).integers(len(pool), size=BLOCK) for b in range(blocks)]
        slot = pool[np.concatenate(picks)]
        columns = {
            "center": center,
            "tumor": tumor,
            "patient": self.world.patient[center, slot],
            "node": self.world.node[slot],
            "slide": self.world.slide[center, slot],
        }
        return {name: values[:n].astype(np.int64) for name, values in columns.items()}

    def _block(self, split: str, seed: int, rows: Columns, block: int) -> np.ndarray:
        """The patches of one block, whole, with a generator of its own."""
        rng = self._rng(split, seed, "patch", str(block))
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        amounts = tissue.draw(rng, rows["tumor"][part], self.image_size, self.morphology)
        offset = self.world.stains(rows["center"][part], rows["slide"][part])
        vectors = stain.laboratory(offset + rng.normal(0, [0, 0, 0.02, 0.02], (BLOCK, 4)))
        target = _AMOUNTS * np.exp(rng.normal(0, 0.08, (BLOCK, 2)))
        factor = stain.balance(amounts, vectors, target) ** (1 - self.colour_cue)
        colors = stain.mix(amounts * factor.astype(np.float32)[:, :, None, None], vectors)
        even = stain.even_light(colors, vectors, target) ** (1 - self.colour_cue)
        light = even[:, :, None, None] * np.exp(rng.normal(0, 0.015, (BLOCK, 3, 1, 1)))
        noise = 2 * rng.standard_normal(colors.shape, dtype=np.float32)
        return np.clip(np.rint(colors * light.astype(np.float32) + noise), 0, 255).astype(np.uint8)


class World:
    """The hospitals of a config: who trains, how often there is tumor, patients, slides and stains.

    patient, slide (hospitals, slides): numbers per slide of each hospital; node (slides,): a slide's number among
    those of its patient; prevalence: P(tumor) per hospital.
    """

    def __init__(self, config: Hospitals):
        h, s, p = config.hospitals, config.slides, config.patients
        self.training = [c for c in range(h) if c not in OOD.values()]
        side = np.sign(np.arange(len(self.training)) - (len(self.training) - 1) / 2)
        biased = zip(self.training, 0.5 + 0.5 * config.correlation * side, strict=True)
        self.prevalence = dict.fromkeys(range(h), 0.5) | {c: float(share) for c, share in biased}
        owner = np.arange(s) * p // s
        self.node = np.arange(s) - np.searchsorted(owner, owner)
        self.patient = np.arange(h)[:, None] * max(20, p) + owner
        self.slide = np.arange(h)[:, None] * max(10, s) + np.arange(s)
        self._held_out = owner >= p - max(1, round(HELD_OUT * p))
        self._leaky = config.id_val == "leaky"
        self._offsets = self._draw_stains(config)

    def cells(self, split: str, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Hospital and label of the first n examples of a split: hospitals in turn, labels by their prevalence."""
        centers = np.array([OOD[split]] if split in OOD else self.training)
        share = np.array([[1 - self.prevalence[c], self.prevalence[c]] for c in centers.tolist()])
        cell = interleave(share.ravel(), n)
        return centers[cell // 2], cell % 2

    def pool(self, split: str) -> np.ndarray:
        """Positions of the slides that a split may use, the same in each hospital."""
        if split in OOD or self._leaky:
            return np.arange(len(self.node))
        return np.flatnonzero(self._held_out == (split == "id_val"))

    def stains(self, center: np.ndarray, slide: np.ndarray) -> np.ndarray:
        """What `stain.laboratory` takes (n, 4), for slides of hospitals."""
        return self._offsets[center, slide - self.slide[center, 0]]

    def _draw_stains(self, config: Hospitals) -> np.ndarray:
        """Hospitals lie evenly on a closed curve, so that each differs from all others; slides scatter around
        theirs."""
        rng = np.random.default_rng(derive(config.world_seed, config.name, "stains"))
        angle = 2 * np.pi * np.arange(config.hospitals) / config.hospitals + rng.uniform(0, 2 * np.pi)
        curve = np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], axis=1)
        scatter = rng.standard_normal((config.hospitals, config.slides, 4))
        return _SHIFT * (config.stain_shift * curve[:, None] + config.slide_shift * scatter)
