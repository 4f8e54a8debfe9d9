"""What the verbs that read logs share: options of columns, messages as a command line has them, progress."""

import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from grokscope.config import require
from grokscope.execute.forecast import duration

if TYPE_CHECKING:
    from grokscope.trajectory import Criteria

_OPTIONS = re.compile(r"\b(scale|repeated|part|max_mb|step|norm_squared|trivial_loss)=('?)([^'\s;,?]+)\2")


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """Of logs of other programs: their columns, and how they are read. Runs need none of these."""

    step: str | None = None
    """Column of the step or epoch."""
    train: str | None = None
    """Column of the train accuracy."""
    held_out: tuple[str, ...] = ()
    """Column of the held-out accuracy, or split=column for each split."""
    train_loss: str | None = None
    """Column of the train loss: needed to see divergence."""
    held_out_loss: tuple[str, ...] = ()
    """Column of the held-out loss, or split=column."""
    norm: tuple[str, ...] = ()
    """Column of the total weight norm, or group=column (total, head, scale_invariant)."""
    norm_squared: Literal["True", "False"] | None = None
    """Whether the columns of norms hold their squares; to be said where their names suggest it."""
    kind: str = "classification"
    """classification or regression."""
    n: tuple[str, ...] = ()
    """Examples in a held-out split, or split=number: for the noise band."""
    threshold: float | None = None
    """Held-out score that counts as generalized."""
    trivial: tuple[str, ...] = ()
    """Accuracy of the trivial predictor, or split=number."""
    trivial_loss: tuple[str, ...] = ()
    """Regression: loss of the trivial predictor, or split=number."""
    scale: float = 1.0
    """Multiplies the accuracies: 0.01 for a log in percent."""
    repeated: str = "error"
    """Where steps go back or rows of one step contradict each other: error, or last for a resumed log (what stands
    later replaces what was logged from that step on)."""
    part: str | None = None
    """Which part of nested JSON is the log, by its path (history), or which run of a W&B export."""
    max_mb: float | None = None
    """Largest log that is read, in megabytes (512)."""

    def arguments(self) -> dict[str, Any]:
        """As arguments of `grokscope.trajectory.from_log`."""
        squared = None if self.norm_squared is None else self.norm_squared == "True"
        return (
            vars(self)
            | {"norm_squared": squared}
            | {name: pairs(getattr(self, name), kind) for name, kind in _PAIRED.items()}
        )

    @property
    def named(self) -> bool:
        """Whether any column of a score or a loss is named."""
        scores = (self.train, self.held_out, self.train_loss, self.held_out_loss)
        return any(column not in (None, ()) for column in scores)


_PAIRED = {"held_out": str, "held_out_loss": str, "norm": str, "n": int, "trivial": float, "trivial_loss": float}
NO_LOG = LogOptions()
FIRST = 2.0
"""Seconds that nobody minds waiting without a word."""
WORTH_SAYING = 5.0
"""Seconds left from which on they are named."""


def pairs(words: Sequence[str], kind: type) -> Any:
    """``["a"]`` -> a; ``["x=a", "y=b"]`` -> {x: a, y: b}; nothing -> None."""
    if not words:
        return None
    if len(words) == 1 and "=" not in words[0]:
        return kind(words[0])
    require(all("=" in w for w in words), f"write several as name=value, got {' '.join(words)}")
    return {name: kind(value) for name, _, value in (w.partition("=") for w in words)}


def require_named(log: LogOptions, source: Any, command: str) -> None:
    """Raise ValueError with the options for `command` that the names of a log's columns suggest, where no score or loss
    is named."""
    if log.named:
        return
    from grokscope.trajectory.logs.guess import unnamed

    raise ValueError(as_options(unnamed(source, part=log.part, max_mb=log.max_mb, command=command)))


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
    """Says on stderr how far a long reading is, and when about it will be done: first after two seconds, then every few
    seconds."""

    def __init__(self, word: str, interval: float = 5.0):
        self._word, self._interval, self._begin = word, interval, time.monotonic()
        self._next = self._begin + min(FIRST, interval)

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next and done < total:
            self._next = now + self._interval
            left = (now - self._begin) / done * (total - done)
            soon = f", about {duration(left)} left" if left >= WORTH_SAYING else ""
            print(f"{self._word} {done:,} of {total:,}{soon}", file=sys.stderr)
