"""Limits on input sizes. Larger inputs are refused before anything of their size is read, counted or built, so that a
typing error or a hostile file cannot exhaust the machine.

Every limit lies far above what honest use needs. Whoever needs more sets the environment variable of the same name with
``GROKSCOPE_`` before it: ``GROKSCOPE_MAX_RUNS=500000``. Importing this module imports nothing heavy.
"""

import math
import os
import re
from typing import Any


def _limit(name: str, default: int) -> int:
    text = os.environ.get(f"GROKSCOPE_{name}")
    if text is None:
        return default
    if not re.fullmatch(r"[1-9]\d{0,17}", text):
        raise ValueError(f"GROKSCOPE_{name}: expected a whole number from 1 to 10^18 - 1, got {brief(text)}")
    return int(text)


def brief(value: Any, most: int = 80) -> str:
    """A value as a message shows it: `repr`, cut where it is long, and never an error itself."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return f"a whole number of about {int(value.bit_length() * 0.30103) + 1:,} digits"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # holds such a number, or nests without end
        text = f"a {type(value).__name__}"
    if len(text) <= most:
        return text
    return f"{text[:most]}... ({len(text):,} characters)"


MAX_STEPS = 10**15
"""Steps or epochs of a run: below 2^53, so that a float still tells one step from the next (in rates, on a log axis).
Fixed, for that reason; 30 years at a million steps a second."""

MAX_RUNS = _limit("MAX_RUNS", 100_000)
"""Runs of a study: each becomes a config in memory and a folder on disk, about 1 ms and 10 kB before it is trained."""

MAX_EXAMPLES = _limit("MAX_EXAMPLES", 10**9)
"""Examples of a split: tasks live in memory, where a billion of the smallest take 16 GB."""

MAX_WIDTH = _limit("MAX_WIDTH", 10**6)
"""Units of a layer, bits or features of an example: one square matrix of it would take 4 TB."""

MAX_LAYERS = _limit("MAX_LAYERS", 10_000)
"""Layers of a network: they are built one by one."""

MAX_PIXELS = _limit("MAX_PIXELS", 50_000_000)
"""Pixels of an image file (7,000 x 7,000), told by its header: decoded it takes three to eight bytes each."""

MAX_SIDE = math.isqrt(MAX_PIXELS)
"""Pixels along a side to which images are scaled or drawn."""

MAX_IMAGE_BYTES = 8 * MAX_PIXELS
"""Bytes of an image file: no format needs more for so many pixels."""

MAX_CONFIG_BYTES = _limit("MAX_CONFIG_BYTES", 4_000_000)
"""Bytes of a study file or a run's file: those that people write have a few thousand."""

MAX_DEPTH = 64
"""How deep tables and lists may nest in a TOML or JSON file: ours need 8. Fixed: Python's own recursion ends soon
after."""

MAX_DIGITS = 40
"""Digits of a whole number in a TOML or JSON file: 64 bits have 20. Fixed: what is longer overflows every reader."""

MAX_COLUMNS = _limit("MAX_COLUMNS", 10_000)
"""Columns of a table of images, which has five that are read."""

MAX_CELL = 4096
"""Characters of a cell in a table of images: the longest path that Linux takes."""

MAX_TENSORS = _limit("MAX_TENSORS", 50_000)
"""Tensors of a file of weights: the largest networks have a few thousand."""

MAX_HEADER_BYTES = _limit("MAX_HEADER_BYTES", 10_000_000)
"""Bytes of a weights file's table of contents (a safetensors header, a pickle): 200 or so for each tensor."""


def check_depth(data: Any, where: str) -> None:
    """Raises ValueError beginning with `where` when plain data nests deeper than MAX_DEPTH. Does not recurse."""
    level: list[Any] = [data]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise ValueError(f"{where}: {too_deep()}")


def too_deep() -> str:
    """What is wrong with data that nests too deep."""
    return f"tables and lists nest more than {MAX_DEPTH} deep, more than any study, run or archive needs"


def _inside(data: Any) -> list[Any]:
    """The tables and lists directly inside a table or list."""
    if isinstance(data, dict):
        return [v for v in data.values() if isinstance(v, dict | list)]
    if not isinstance(data, list):
        return []
    return [v for v in data if isinstance(v, dict | list)]


def whole_number(text: str) -> int:
    """For ``json.loads(text, parse_int=whole_number)``. Raises ValueError for more than MAX_DIGITS digits."""
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a whole number of {len(text):,} digits; at most {MAX_DIGITS} can be read")
    return int(text)


def memory() -> int | None:
    """Bytes that data may take: GROKSCOPE_MEMORY, or this machine's memory; None where the system does not tell."""
    if "GROKSCOPE_MEMORY" in os.environ:
        return _limit("MEMORY", 0)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def require_memory(size: int, keys: str, what: str = "data") -> None:
    """Raises ValueError, naming the keys to lower, where `size` bytes are more than this machine's memory: asking for
    them could end other people's work too."""
    total = memory()
    if total is not None and size > total:
        needed = f"{size / 1e9:,.1f}" if size < 10**15 else f"more than {10**6:,}"
        raise ValueError(f"{keys}: {needed} GB of {what} do not fit in {total / 1e9:,.1f} GB of memory; lower it")
