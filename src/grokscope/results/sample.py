"""The sample of a dissection: sites in a network, its inputs, and how the examples were split."""

from dataclasses import dataclass
from typing import Literal

from grokscope.results.record import Record

Id = str | bool | int | float
"""What environments and classes are called in the data."""


@dataclass(frozen=True)
class Site(Record):
    """A place in a network, by the module that is hooked and the side of it that is read."""

    name: str
    """What it is called in results: ``layer1``, ``pooled``."""
    module: str
    """The module's name in the network."""
    side: Literal["output", "input"]
    """Of the module."""


@dataclass(frozen=True)
class SiteInfo(Record):
    """How a site was read."""

    site: Site
    """Where it is."""
    reduction: str
    """What became of positions or tokens."""
    shape: tuple[int, ...]
    """One example's features before the reduction. [features along each axis]"""
    d: int
    """Width after it. [features]"""


@dataclass(frozen=True)
class SiteWidth(Record):
    """A site whose features were given: nothing else is known of it."""

    d: int
    """Width. [features]"""


@dataclass(frozen=True, kw_only=True)
class Inputs(Record):
    """What the caller says of a foreign network's inputs."""

    images: str
    """How they were scaled."""
    labels: dict[str, int]
    """Label -> output of the network. [position, from 0]"""
    labels_by: str
    """How that was decided."""


@dataclass(frozen=True, kw_only=True)
class PartsRecord(Record):
    """How the examples were split, and how far environment and class are tied together."""

    seed: int
    """Of the split."""
    shares: tuple[float, float, float]
    """Fit, select, test. [share]"""
    sizes: dict[str, int]
    """Part -> its size. [examples]"""
    groups: dict[str, int] | None
    """Part -> its groups; None where examples were split one by one. [groups]"""
    environments: tuple[Id, ...]
    """Their names, in the order of their codes. [as in the data]"""
    classes: tuple[Id, ...]
    """Their names, in the order of their codes. [as in the data]"""
    cells: dict[str, list[list[int]]]
    """Part -> environment (row) and class (column). [examples]"""
    association: float
    """Cramér's V of environment and class over all examples: at 1 the two cannot be told apart. [1]"""
