"""The dissection of one checkpoint: four files in ``mechinterp/``, each of which also contains their shared data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

from grokscope.results.answer import Reliance, Where
from grokscope.results.erasures import M4
from grokscope.results.neurons import M6
from grokscope.results.probes import M1
from grokscope.results.record import Record, Stored
from grokscope.results.sample import Inputs, PartsRecord, SiteInfo, SiteWidth
from grokscope.results.scores import SceneRecord, SplitAccuracy
from grokscope.results.settings import Settings
from grokscope.results.steering import M5
from grokscope.vocabulary.splits import SEEN

FOLDER = "mechinterp"
"""Of a run, where its dissections lie."""
RULES = 4
"""Version of how a dissection measures and concludes. Raise it when either changes: what older versions wrote is then
shown as outdated. Records of before there were versions count as 1."""


class NotOurs(ValueError):
    """A file that another program wrote under one of our names."""


class Outdated(ValueError):
    """A file of ours by older rules, which lacks what this version reads; `grokscope.store.dissected.outdated` has the
    command that redoes it."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Stored):
    """What every file of one dissected checkpoint says."""

    NAME: ClassVar[str]
    """Of the file, without ``.json``, and of the field that the file holds beside these."""
    schema: int
    """Version of the layout of the file."""
    rules: int = RULES
    """Version of how this was measured and concluded; older ones are shown as outdated."""
    accuracy: tuple[SplitAccuracy, ...]
    """How well the network does: on all examples that are dissected, then on each unseen set. At chance on the first
    nothing else is said."""
    inputs: Inputs | None
    """What the caller says of the inputs; None for a run of grokscope's own, which knows them."""
    model_hash: str | None
    """Digest of the weights; None where only features were given."""
    data_hash: str | None
    """Digest of the images; None where only features were given."""
    selection: str
    """The named rule that chose this checkpoint; ``oracle=...`` is stamped wherever the result goes."""
    sites: dict[str, SiteInfo | SiteWidth]
    """Where features were read, by name."""
    settings: Settings
    """Every choice of the battery."""
    parts: PartsRecord
    """How the examples were split."""
    balanced: bool
    """Whether environment and class were made independent by weights."""
    scenes: tuple[SceneRecord, ...]
    """The sets on which edits are measured."""
    reliance: Reliance | None
    """None where the network is at chance."""
    where: Where
    """The answer in short."""
    warnings: tuple[str, ...]
    """What a reader of any number here must know, in words."""

    @classmethod
    def parse(cls, raw: Any, path: str | Path) -> Self:
        """Raises NotOurs or Outdated, which are ValueErrors too."""
        if not is_ours(raw, cls.NAME):
            raise NotOurs(f"{path}: not written by grokscope")
        try:
            return super().parse(raw, path)
        except ValueError as error:
            if rules_of(raw) < RULES:
                raise Outdated(f"{path}: by older rules ({rules_of(raw)}, now {RULES}); dissect it again") from error
            raise


@dataclass(frozen=True, kw_only=True)
class ProbesFile(Checkpoint):
    """m1.json"""

    NAME: ClassVar[str] = "m1"
    m1: M1
    """What a linear probe can read."""


@dataclass(frozen=True, kw_only=True)
class ErasuresFile(Checkpoint):
    """m4.json"""

    NAME: ClassVar[str] = "m4"
    m4: M4
    """What erasing the environment does."""


@dataclass(frozen=True, kw_only=True)
class SteeringFile(Checkpoint):
    """m5.json"""

    NAME: ClassVar[str] = "m5"
    m5: M5
    """What steering along the environments does."""


@dataclass(frozen=True, kw_only=True)
class NeuronsFile(Checkpoint):
    """m6.json"""

    NAME: ClassVar[str] = "m6"
    m6: M6
    """What ablating neurons does."""


PartFile = ProbesFile | ErasuresFile | SteeringFile | NeuronsFile
FILES: tuple[type[PartFile], ...] = get_args(PartFile)
PARTS = tuple(kind.NAME for kind in FILES)
"""Names of the files of a dissection, without ``.json``."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What is known of a checkpoint: a part is None where its file is absent or cannot be read."""

    m1: M1 | None = field(default=None, repr=False)
    m4: M4 | None = field(default=None, repr=False)
    m5: M5 | None = field(default=None, repr=False)
    m6: M6 | None = field(default=None, repr=False)


def parts_of(*files: PartFile) -> dict[str, Any]:
    """Name -> part, of files that hold one each or of a whole dissection: the fields of `Parts`."""
    return {name: getattr(file, name) for file in files for name in PARTS if hasattr(file, name)}


@dataclass(frozen=True, kw_only=True)
class Dissection(NeuronsFile, SteeringFile, ErasuresFile, ProbesFile):
    """Everything that was measured on one checkpoint, and how."""

    def write(self, path: str | Path) -> None:
        """The four files, into the folder `path`."""
        for kind in FILES:
            shared = {f.name: getattr(self, f.name) for f in fields(kind)}
            kind(**shared).write(Path(path) / f"{kind.NAME}.json")

    @classmethod
    def read(cls, path: str | Path) -> "Dissection":
        """The dissection whose four files lie in the folder `path`.

        Raises:
            ValueError: as `Stored.read`, and where a file is of another checkpoint than the others.
        """
        parts = [kind.read(Path(path) / f"{kind.NAME}.json") for kind in FILES]
        if len({(part.model_hash, part.data_hash, part.selection, part.rules) for part in parts}) > 1:
            raise ValueError(f"{path}: its files {', '.join(PARTS)} are of different dissections; dissect it again")
        values = {f.name: getattr(part, f.name) for part in reversed(parts) for f in fields(part)}
        return cls(**values)


SAMPLE = SEEN[0]
"""Split that is dissected unless another is named: the training environments, on examples not trained on."""


@dataclass(frozen=True, kw_only=True)
class Request(Record):
    """What was asked of a dissection beside the rule that chose the checkpoint."""

    split: str = SAMPLE
    """Split that was dissected."""
    sites: tuple[str, ...] = ()
    """Sites that were named; empty for those that the network names itself."""
    steer_sites: tuple[str, ...] = ()
    """Earlier sites at which to steer."""


def is_ours(raw: Any, name: str) -> bool:
    """Whether the data of a file ``m1.json``, ... is grokscope's own, of whatever version: other programs write files
    of these names too."""
    return isinstance(raw, Mapping) and isinstance(raw.get(name), Mapping) and isinstance(raw.get("settings"), Mapping)


def rules_of(raw: Mapping[str, Any]) -> int:
    """By which version of the rules the data of a file of ours was measured."""
    rules = raw.get("rules", 1)
    return rules if isinstance(rules, int) else 1


def selection_of(raw: Mapping[str, Any]) -> str:
    """Which rule chose the checkpoint, in the data of a file of ours."""
    return str(raw.get("selection", "final"))
