"""An arm of a study file, and one run of a study."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from grokscope import configio
from grokscope.components import Tracker
from grokscope.config import RunConfig


@dataclass(frozen=True)
class Arm:
    """One named set of changes to the base config, and its own seeds where it has them."""

    name: str
    changes: Mapping[str, Any]
    """Dotted key -> value."""
    seeds: tuple[int, ...] | None = None
    of: str | None = None
    """The arm whose runs this one's are exact forks of; None: they begin at step 0."""
    at: int | str | None = None
    """The moment at which they leave their parents."""


@dataclass(frozen=True)
class Entry:
    """One run of a study."""

    config: RunConfig
    passed: tuple[str, ...]
    """Dotted keys that the study file gave; all others are defaults."""
    arms: tuple[str, ...]
    """Names by which the run can be selected: its arm, and the readable name of its regime; several where arms
    coincide."""
    track: tuple[Tracker, ...] = ()
    """What it is mirrored to while it trains; no part of the run."""

    @property
    def label(self) -> str:
        return self.config.regime.name

    def with_seed(self, seed: int) -> "Entry":
        """The same run with another seed, which shares what it can: a study has thousands of them."""
        other = replace(self, config=self.config.with_seed(seed))
        other.__dict__["_kin"] = self
        return other

    def tracked(self, track: tuple[Tracker, ...]) -> "Entry":
        """The same run, mirrored to these trackers."""
        other = replace(self, track=track)
        other.__dict__["_kin"] = self
        return other

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Dotted key -> value of all settings, interventions item by item: made once, since every condition of every
        expectation and hypothesis looks here."""
        kin: Entry | None = self.__dict__.get("_kin")
        if kin is not None:
            return {**kin.settings, "seed": self.config.seed}
        return configio.with_items(configio.flatten(configio.dump(self.config)))
