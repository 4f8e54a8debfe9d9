"""What the verbs that read logs share: options of columns, messages as a command line has them, progress."""

import re
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from grokscope.config import require

if TYPE_CHECKING:
    from grokscope.trajectory import Criteria

_OPTIONS = re.compile(r"\b(scale|repeated|part|max_mb|step)=('?)([^'\s;,?]+)\2")
_UNNAMED = ("train", "held_out", "train_loss", "held_out_loss")


_PLAIN = ("step", "train", "train_loss", "kind", "threshold", "scale", "repeated", "part", "max_mb")
_PAIRED = {"held_out": str, "held_out_loss": str, "norm": str, "n": int, "trivial": float, "trivial_loss": float}


def columns_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Of all options of a verb that reads logs, those that say how, as arguments of `grokscope.trajectory.from_log`."""
    plain = {name: options[name] for name in _PLAIN}
    return plain | {name: pairs(options[name], kind) for name, kind in _PAIRED.items()}


def pairs(words: Sequence[str], kind: type) -> Any:
    """``["a"]`` -> a; ``["x=a", "y=b"]`` -> {x: a, y: b}; nothing -> None."""
    if not words:
        return None
    if len(words) == 1 and "=" not in words[0]:
        return kind(words[0])
    require(all("=" in w for w in words), f"write several as name=value, got {' '.join(words)}")
    return {name: kind(value) for name, _, value in (w.partition("=") for w in words)}


def are_named(columns: dict[str, Any]) -> bool:
    """Whether any column of a score or a loss was named."""
    return any(columns[name] is not None for name in _UNNAMED)


def as_options(words: str) -> str:
    """A message that names Python's arguments, with the command line's options: ``scale=0.01`` -> ``--scale 0.01``."""
    return _OPTIONS.sub(lambda m: f"--{m[1].replace('_', '-')} {m[2]}{m[3]}{m[2]}", words)


def criteria_of(overrides: Mapping[str, Any]) -> "Criteria | None":
    """``--criteria.fit 0.98`` and so on as criteria; None where none was given. Raises ValueError naming a wrong
    one."""
    if not overrides:
        return None
    from grokscope import configio
    from grokscope.trajectory import Criteria

    return configio.structure({k.removeprefix("criteria."): v for k, v in overrides.items()}, Criteria, "criteria")


class Ticker:
    """Says on stderr every few seconds how far a long reading is."""

    def __init__(self, word: str, interval: float = 5.0):
        self._word, self._interval, self._last = word, interval, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._last >= self._interval and done < total:
            self._last = time.monotonic()
            print(f"{self._word} {done:,} of {total:,}", file=sys.stderr)
