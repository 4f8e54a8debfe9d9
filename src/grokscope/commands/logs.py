"""Shared by the verbs that read logs: column options, messages with option names, progress."""

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
    """Columns and format of external logs. Runs need none of these."""

    step: str | None = None
    """Column of the step or epoch."""
    train: str | None = None
    """Column of the train accuracy."""
    held_out: tuple[str, ...] = ()
    """Column of the held-out accuracy, or split=column for several splits."""
    train_loss: str | None = None
    """Column of the train loss; needed to detect divergence."""
    held_out_loss: tuple[str, ...] = ()
    """Column of the held-out loss, or split=column."""
    norm: tuple[str, ...] = ()
    """Column of the total weight norm, or group=column (total, head, scale_invariant)."""
    norm_squared: Literal["True", "False"] | None = None
    """Whether the norm columns contain squared norms; required if their names suggest it."""
    kind: str = "classification"
    """classification or regression."""
    n: tuple[str, ...] = ()
    """Number of examples in a held-out split, or split=number; used for the noise band."""
    threshold: float | None = None
    """Held-out score that counts as generalized."""
    trivial: tuple[str, ...] = ()
    """Accuracy of the trivial predictor, or split=number."""
    trivial_loss: tuple[str, ...] = ()
    """Regression: loss of the trivial predictor, or split=number."""
    scale: float = 1.0
    """Factor for the accuracies: 0.01 for a log in percent."""
    repeated: str = "error"
    """What to do if steps go backward or rows of one step contradict each other: error, or last for a resumed log
    (later rows replace earlier ones from that step onward)."""
    part: str | None = None
    """The part of a nested JSON file that is the log, by its path (history), or the run of a W&B export."""
    max_mb: float | None = None
    """Largest log to read, in megabytes (512)."""

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
"""Seconds before the first progress message."""
WORTH_SAYING = 5.0
"""Minimum remaining seconds for which the remaining time is shown."""


def pairs(words: Sequence[str], kind: type) -> Any:
    """``["a"]`` -> a; ``["x=a", "y=b"]`` -> {x: a, y: b}; nothing -> None."""
    if not words:
        return None
    if len(words) == 1 and "=" not in words[0]:
        return kind(words[0])
    require(all("=" in w for w in words), f"write several as name=value, got {' '.join(words)}")
    return {name: kind(value) for name, _, value in (w.partition("=") for w in words)}


def require_named(log: LogOptions, source: Any, command: str) -> None:
    """Raise ValueError with the options for `command` that the column names of a log suggest, if no score or loss was
    given."""
    if log.named:
        return
    from grokscope.trajectory.logs.guess import unnamed

    raise ValueError(as_options(unnamed(source, part=log.part, max_mb=log.max_mb, command=command)))


def as_options(words: str) -> str:
    """Replace Python arguments in a message with command-line options: ``scale=0.01`` -> ``--scale 0.01``."""
    return _OPTIONS.sub(lambda m: f"--{m[1].replace('_', '-')} {m[2]}{m[3]}{m[2]}", words)


def criteria_of(overrides: Mapping[str, Any]) -> "Criteria | None":
    """``--criteria.fit 0.98`` and similar options as criteria; None if none was given. Raises ValueError naming an
    invalid one."""
    if not overrides:
        return None
    from grokscope import configio
    from grokscope.trajectory import Criteria

    return configio.structure({k.removeprefix("criteria."): v for k, v in overrides.items()}, Criteria, "criteria")


class Ticker:
    """Print the progress of a long read and the remaining time on stderr: first after two seconds, then every few
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
