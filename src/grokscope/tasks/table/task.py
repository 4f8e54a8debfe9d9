"""A user's own images: a table of paths, labels, environments and splits."""

import warnings
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from grokscope.checks import names_checked
from grokscope.config import TaskConfig, require, require_whole
from grokscope.limits import MAX_EXAMPLES, MAX_SIDE
from grokscope.seeds import derive
from grokscope.task_data import Split, TaskData
from grokscope.tasks.images.cache import BadImages, Images, WrongSizes, load_images
from grokscope.tasks.images.files import image_facts, stored_size
from grokscope.tasks.subset import nested_order
from grokscope.tasks.table.files import ImageRows, read_table
from grokscope.tasks.table.images import gray_beside_color, repeated
from grokscope.vocabulary.splits import HELD_OUT, NAMES, choices


@names_checked
@dataclass(frozen=True, kw_only=True)
class Table(TaskConfig):
    """Images of any classes from several environments (hospitals, cameras, sites), listed in a CSV or Parquet table.

    Formula: one row per image with the columns `path` (absolute, or relative to the table), `label`, `environment`,
        `split` (train, id_val, ood_val or ood_test) and, where there is one, `group` (patient). Labels, environments
        and groups are text or whole numbers; ``004`` is text. They are numbered in sorted order, and `meta` keeps their
        names. Environments of ood_val and ood_test must be unseen. Images may be gray, RGB, RGBA or palette, 8 bits a
        channel and of one page; they become RGB and upright. Changes made while reading the table (`read_table`), and
        possible leaks or alternative spellings, cause warnings.
    Source: the splits are WILDS's, arXiv:2012.07421. Cost: decoding, once (`images.cache`).

    Misleads: with `image_size` images are stretched to a square. If a group or an image is both in train and held out,
        the held-out score is too high; building the data continues with a warning. Only the images that are read are
        compared, so a larger subset may reveal more copies. Overlapping neighboring patches are not detected.
    """

    name: ClassVar[str] = "table"

    path: str
    """The table: a file ending in .parquet, or else CSV."""
    n_train: int = 0
    """Training images: a nested subset, stratified by environment x label, that follows the run's seed; 0 takes all."""
    n_eval: int = 0
    """Images in each held-out split, the same for all seeds, or all when there are fewer; 0 takes all."""
    image_size: int | None = None
    """Resize every image to this many pixels a side; none needs images of one size and leaves them as they are."""
    threshold: float = 0.95
    """Held-out accuracy from which the task counts as generalized."""
    split_seed: int = 0
    """Draws the held-out subsets."""
    cache_dir: str | None = field(default=None, metadata={"identity": False})
    """Where decoded images are kept; by default $GROKSCOPE_CACHE or the platform's cache folder."""

    def __post_init__(self) -> None:
        for key in ("n_train", "n_eval"):
            require(getattr(self, key) >= 0, f"{key} must not be negative, got {getattr(self, key)}")
            require_whole(key, getattr(self, key), 0, MAX_EXAMPLES)
        require(
            self.image_size is None or self.image_size >= 8, f"image_size must be at least 8, got {self.image_size}"
        )
        if self.image_size is not None:
            require_whole("image_size", self.image_size, 8, MAX_SIDE)
        require(0 < self.threshold <= 1, f"threshold is an accuracy in (0, 1], got {self.threshold}")

    def train_size(self) -> int:
        """`n_train`, or the number of training rows, for which the table is read."""
        return self.n_train or int((read_table(self.path).split == "train").sum())

    def select(self, seed: int) -> dict[str, ImageRows]:
        """Per split the rows of the table, in the order of the examples that `build` returns."""
        return self._select(read_table(self.path), seed)

    def _select(self, rows: ImageRows, seed: int) -> dict[str, ImageRows]:
        parts = {name: rows.take(rows.split == name) for name in NAMES}
        listed = len(parts["train"])
        require(
            self.n_train <= listed, f"n_train is {self.n_train}, but {self.path} lists only {listed} training images"
        )
        return {name: self._subset(part, name, seed) for name, part in parts.items() if len(part)}

    def _subset(self, rows: ImageRows, name: str, seed: int) -> ImageRows:
        n = self.n_train if name == "train" else self.n_eval
        if n in (0, len(rows)):
            return rows  # in the table's order, so that all seeds share one cache
        env, label = (_codes(column, _names(column)) for column in (rows.environment, rows.label))
        rng = np.random.default_rng(derive(seed if name == "train" else self.split_seed, self.name, name))
        order = nested_order(env * len(rows) + label, rng)
        return rows.take(order[:n] if name == "train" else np.sort(order[:n]))

    def build(self, seed: int) -> TaskData:
        """What `look` gives. Raises ValueError also where training could not be judged: nothing held out, or all
        training images of one label."""
        rows = read_table(self.path)
        chosen = self._select(rows, seed)
        require(
            len(chosen) > 1,
            f"{self.path}, column split: every row is 'train', so nothing can be evaluated; mark some rows as "
            f"{choices(HELD_OUT)}",
        )
        train, more = chosen["train"], "raise n_train, or " if self.n_train else ""
        require(
            len(set(train.label)) > 1,
            f"{self.path}, column label: all {len(train):,} training images are {train.label[0]!r}, so there is "
            f"nothing to learn; {more}add images with a second label",
        )
        return self._read(rows, chosen)

    def look(self, seed: int) -> TaskData:
        """The splits that the table has, also where no training on them could be judged: to see what is there, or to
        dissect a model of one's own; x (n, 3, H, W) uint8; y, env and group are positions among the sorted names.

        Raises ValueError naming file, row and column for anything that cannot be used.
        """
        rows = read_table(self.path)
        return self._read(rows, self._select(rows, seed))

    def _read(self, rows: ImageRows, chosen: dict[str, ImageRows]) -> TaskData:
        self._require_files(chosen)
        labels, envs = _names(rows.label), _names(rows.environment)
        groups = None if rows.group is None else _names(rows.group)
        images = self._images(chosen, None if self.image_size is not None else _first_size(rows.path))
        splits = {}
        for split, part in chosen.items():
            group = None if part.group is None or groups is None else _codes(part.group, groups)
            y, env = _codes(part.label, labels), _codes(part.environment, envs)
            splits[split] = Split(images[split].pixels, y, env, group, images[split].digest)
        meta = image_facts(
            splits["train"].x.shape[1:],
            [str(v) for v in labels],
            dict(enumerate(envs)),
            None if groups is None else dict(enumerate(groups)),
        )
        table = Path(self.path).name  # what is warned of goes into archives, whose readers need not know our disk
        notes = [*rows.notes]
        notes += repeated(splits, {n: i.sums for n, i in images.items()}, {n: p.row for n, p in chosen.items()}, table)
        notes += gray_beside_color(splits, meta["environments"], table)
        if groups is not None:
            meta["groups_shared_with_train"], more = _shared(splits, meta, table)
            notes += more
        for note in notes:
            warnings.warn(note, stacklevel=3)
        return TaskData(kind="classification", splits=splits, classes=len(labels), threshold=self.threshold, meta=meta)

    def _require_files(self, chosen: dict[str, ImageRows]) -> None:
        """Raises ValueError naming what is missing of all splits at once, so that it is mended once."""
        listed = list(chain.from_iterable(zip(part.row, part.path, strict=True) for part in chosen.values()))
        missing = [(row, path) for row, path in listed if not Path(path).is_file()]
        if missing:
            lines = [f"row {row}, column path: {path}" for row, path in missing[:_LISTED]]
            more = "\n..." if len(missing) > _LISTED else ""
            raise ValueError(
                f"{self.path}: {len(missing):,} of {len(listed):,} image files are missing, the first in "
                + "\n".join(lines)
                + f"{more}\nrestore them, or remove their rows"
            )

    def _images(self, chosen: dict[str, ImageRows], stored: tuple[int, int] | None) -> dict[str, Images]:
        """The images of each split. Raises ValueError naming what cannot be used in any of them."""
        images: dict[str, Images] = {}
        bad: list[BadImages] = []
        for split, part in chosen.items():
            try:
                images[split] = load_images(
                    part.path.tolist(),
                    size=self.image_size,
                    stored=stored,
                    cache_dir=self.cache_dir,
                    where=[f"{self.path} row {i}, column path" for i in part.row],
                )
            except BadImages as error:
                bad.append(error)
        if bad:
            faults = list(chain.from_iterable(error.faults for error in bad))
            every = BadImages(faults, sum(len(part) for part in chosen.values()))
            resizing_helps = self.image_size is None and any(isinstance(e, WrongSizes) for e in bad)
            raise ValueError(f"{every}{_RESIZE}" if resizing_helps else str(every))
        return images


_LISTED = 5
"""How many files a message names."""
_RESIZE = "; all must be as large as the first image: resize the files, or set image_size"


def _first_size(paths: np.ndarray) -> tuple[int, int]:
    """(width, height) of the first image that can be used. Raises ValueError naming the first of all where none can."""
    fault = None
    for path in paths:
        try:
            return stored_size(path)
        except ValueError as error:
            fault = fault or error
    raise fault or ValueError("no images")


def _names(column: np.ndarray) -> list[Any]:
    return sorted(set(column))


def _codes(column: np.ndarray, names: list[Any]) -> np.ndarray:
    position = {name: i for i, name in enumerate(names)}
    return np.array([position[value] for value in column], np.int64)


def _shared(splits: dict[str, Split], meta: dict[str, Any], table: str) -> tuple[dict[str, int], list[str]]:
    """Per held-out split, how many of its groups also train, and a sentence naming them."""
    groups = {name: set() if s.group is None else set(s.group.tolist()) for name, s in splits.items()}
    both = {name: sorted(in_split & groups["train"]) for name, in_split in groups.items() if name != "train"}
    notes = []
    for name, shared in both.items():
        if shared:
            listed = ", ".join(meta["groups"][str(g)] for g in shared[:_LISTED]) + (
                " ..." if len(shared) > _LISTED else ""
            )
            notes.append(
                f"{table}: {len(shared):,} groups are in train and in {name}, whose score will be too high: "
                f"{listed}{_places(splits, name, shared, meta)}; keep each on one side"
            )
    return {name: len(shared) for name, shared in both.items()}, notes


def _places(splits: dict[str, Split], name: str, shared: list[int], meta: dict[str, Any]) -> str:
    """Whether the shared groups lie in one environment or in several, where equal names may be different patients."""
    held_out, train = splits[name], splits["train"]
    assert held_out.group is not None
    assert train.group is not None
    assert held_out.env is not None
    assert train.env is not None
    crossing = 0
    for group in shared:
        there = set(held_out.env[held_out.group == group].tolist())
        crossing += not there & set(train.env[train.group == group].tolist())
    if crossing == 0:
        return ""
    return (
        f" ({crossing} of them in other environments than in train; if other patients have the same name there, name "
        "them by hospital and number)"
    )
