"""Checks of a user's images against the table: the same image in two splits, mixed grayscale and color."""

from collections import defaultdict
from collections.abc import Mapping
from itertools import chain

import numpy as np

from grokscope.task_data import Split

_LISTED = 5


def repeated(
    splits: Mapping[str, Split], sums: Mapping[str, np.ndarray], rows: Mapping[str, np.ndarray], table: str
) -> list[str]:
    """A sentence for each pair of splits that hold the same image (equal pixels, whatever the files' bytes), with the
    numbers of the first rows. `sums` are checksums of the pixels, `rows` the rows of the table, each (n,) per split.

    Raises:
        ValueError: where one image has two labels, in whatever splits: no network could learn both.
    """
    shared: dict[tuple[str, str], list[str]] = defaultdict(list)
    contrary = []
    for same in _equal(splits, sums):
        labels = {int(splits[name].y[i]) for name, i in same}
        listed = " and ".join(str(rows[name][i]) for name, i in same[:_LISTED])
        if len(labels) > 1:
            contrary.append(listed)
        names = list(dict.fromkeys(name for name, _ in same))
        for k, first in enumerate(names):
            for second in names[k + 1 :]:
                shared[first, second].append(listed)
    if contrary:
        raise ValueError(
            f"{table}, column label: {len(contrary):,} images have two labels, the first in rows {contrary[0]}; keep "
            f"the correct one"
        )
    return [
        f"{table}: {len(listed)} images are in {first} and in {second}, whose score will be too high; remove one row "
        f"of each: {'; '.join(listed[:_LISTED])}{('; ...' if len(listed) > _LISTED else '')}"
        for (first, second), listed in shared.items()
    ]


def _equal(splits: Mapping[str, Split], sums: Mapping[str, np.ndarray]) -> list[list[tuple[str, int]]]:
    """(split, position) of the images that are equal, for each image that is there more than once."""
    places: list[tuple[str, int]] = []
    for name, split in splits.items():
        places += [(name, i) for i in range(len(split))]
    total = np.concatenate([sums[name] for name in splits])
    order = np.argsort(total, kind="stable")
    starts = np.flatnonzero(np.diff(total[order], prepend=total[order[:1]] ^ 1))
    groups = (np.split(order, starts[1:])[k] for k in range(len(starts)))
    candidates = [[places[i] for i in group] for group in groups if len(group) > 1]
    return list(chain.from_iterable(_confirmed(candidate, splits) for candidate in candidates))


def _confirmed(candidate: list[tuple[str, int]], splits: Mapping[str, Split]) -> list[list[tuple[str, int]]]:
    """Equal checksums are few, and now and then an accident: the pixels decide."""
    by_pixels = defaultdict(list)
    for name, i in candidate:
        by_pixels[splits[name].x[i].tobytes()].append((name, i))
    return [same for same in by_pixels.values() if len(same) > 1]


def gray_beside_color(splits: Mapping[str, Split], environments: Mapping[str, str], table: str) -> list[str]:
    """A sentence where some images are gray and others colored: how many in each environment."""
    gray: dict[int, int] = defaultdict(int)
    total: dict[int, int] = defaultdict(int)
    for split in splits.values():
        if split.env is None:
            continue
        for env in np.unique(split.env).tolist():
            here = np.flatnonzero(split.env == env)
            total[env] += len(here)
            gray[env] += sum(_is_gray(split.x[i]) for i in here)
    if sum(gray.values()) in (0, sum(total.values())):
        return []
    counts = [f"{gray[env]} of {total[env]} in {environments[str(env)]}" for env in sorted(total) if gray[env]]
    return [
        f"{table}: both grayscale and color images ({', '.join(counts)}): color would reveal the environment; store "
        f"all images in the same mode"
    ]


def _is_gray(x: np.ndarray) -> bool:
    """Whether the channels of an image (3, H, W) agree; most color shows in the first row already."""
    return all(np.array_equal(part[0], part[1]) and np.array_equal(part[0], part[2]) for part in (x[:, 0], x))
