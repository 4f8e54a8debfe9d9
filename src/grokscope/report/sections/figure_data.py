"""The numbers and sample sizes that accompany a figure file."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from grokscope.report.draw.stacked_axes import Line, Part
from grokscope.report.read.bands import SMALL, Band
from grokscope.report.read.judged_run import Reading
from grokscope.report.read.words import tally
from grokscope.vocabulary.text import listed, plural

Rows = list[dict[str, Any]]
NAMED_GROUPS = 4
"""Up to so many groups a caption names each with its runs, whatever their number."""
KINDS = {
    "interval": "curves: medians over the runs of a group; bands: 95 % intervals of the median",
    "range": f"curves: medians over the runs of a group; bands of groups below {SMALL} runs: smallest to largest",
    "none": "single runs have no band",
}
"""What curves and bands are, by the kind of the band, where several groups are shown."""


def band_rows(curve: str, band: Band, x: str = "step") -> Rows:
    """A row for each step of a curve: its median, its band, and over how many runs."""
    columns = zip(band.step, band.median, band.low, band.high, strict=True)
    return [
        {"curve": curve, x: _plain(at), "median": middle.item(), "low": low.item(), "high": high.item(), "runs": band.n}
        for at, middle, low, high in columns
    ]


def bands_rows(bands: Mapping[str, Band], x: str = "step") -> Rows:
    return list(chain.from_iterable(band_rows(name, band, x) for name, band in bands.items()))


def parts_rows(parts: Sequence[Part], x: str = "step") -> Rows:
    """Of stacked axes: what each shows, and its reference lines."""
    rows: Rows = []
    for part in parts:
        for line in part.lines:
            rows += [{"axes": part.title, **row} for row in band_rows(line.label or "one group", line.band, x)]
        rows += [{"axes": part.title, "curve": words, "median": value} for value, words in part.levels]
    return rows


def group_sample(readings: Sequence[Reading], bands: Iterable[Band]) -> str:
    """``5 runs (5 grokked); median of 5 runs; band: smallest to largest``."""
    return "; ".join([f"{plural(len(readings), 'run')} ({tally(readings)})", *_kinds(bands)])


def parts_sample(readings: Sequence[Any], parts: Sequence[Part]) -> str:
    lines: list[Line] = list(chain.from_iterable(part.lines for part in parts))
    return "; ".join([plural(len(readings), "run"), *_kinds(line.band for line in lines)])


def bands_sample(bands: Mapping[str, Band]) -> str:
    """``5 runs of a and 4 runs of b; ...`` where one panel shows several groups."""
    counts = runs_of_groups({name: band.n for name, band in bands.items()})
    kinds = [KINDS[kind] for kind in KINDS if any(band.kind == kind for band in bands.values())]
    return "; ".join([counts, *kinds])


def runs_of_groups(counts: Mapping[str, int]) -> str:
    """``5 runs of a and 4 runs of b``; ``5 runs of each of 8 groups`` where their number is one and the names stand in
    the key."""
    numbers = set(counts.values())
    if len(numbers) == 1 and len(counts) > NAMED_GROUPS:
        return f"{plural(numbers.pop(), 'run')} of each of {len(counts):,} groups"
    return listed([f"{plural(n, 'run')} of {name}" for name, n in counts.items()])


def _kinds(bands: Iterable[Band]) -> list[str]:
    """What the curves and their bands are, each once: most figures have one kind."""
    return list(dict.fromkeys(f"curve: {band.words}" for band in bands))


def _plain(step: Any) -> int | float:
    value = float(step)
    return int(value) if value.is_integer() else value
