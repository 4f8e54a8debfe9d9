"""The splits of a run: order, purpose, and use for selection. Each split is one row here."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Split:
    """One split by its name in data, columns (``{name}_acc``) and files."""

    name: str
    meaning: str
    """What it holds, for glossaries and messages."""
    unseen: bool = False
    """Its environments (hospitals, cameras, sites) are none of those that were trained on."""
    selects: bool = True
    """Whether an honest rule may choose an evaluation or a checkpoint by its score. Where not, the split is only
    reported, and a choice on it is an oracle's: the score of no procedure that anyone could have followed."""
    speaks: int | None = None
    """Place in the order in which splits stand for a run: the verdict of the first one that a run has is the run's.
    An unseen environment says what a shortcut study asks, so a reported split comes before a seen one: a verdict
    chooses nothing, and a peak on it stays stamped as an oracle. None for what is not held out."""
    aliases: tuple[str, ...] = ()
    """What other programs call it where that leaves no doubt."""


SPLITS: tuple[Split, ...] = (
    Split("train", "the examples that the network learns from", aliases=("training", "tr")),
    Split(
        "id_val",
        "held-out examples from the environments of training (in distribution)",
        speaks=3,
        aliases=("id", "val_id", "iid", "in_dist", "in_distribution"),
    ),
    Split(
        "ood_val",
        "an environment unseen in training, used to select evaluations and checkpoints (out of distribution)",
        unseen=True,
        speaks=1,
        aliases=("val_ood",),
    ),
    Split(
        "ood_test",
        "another unseen environment, reserved for reporting: never used for selection",
        unseen=True,
        selects=False,
        speaks=2,
        aliases=("ood", "test_ood", "out_of_distribution"),
    ),
)
"""In the order in which tables and figures list them."""

TRAIN = SPLITS[0].name
NAMES = tuple(s.name for s in SPLITS)
HELD_OUT = tuple(s.name for s in SPLITS if s.speaks is not None)
SEEN = tuple(s.name for s in SPLITS if s.speaks is not None and not s.unseen)
"""Held out, from the environments of training."""
UNSEEN = tuple(s.name for s in SPLITS if s.unseen)
REPORTED = tuple(s.name for s in SPLITS if not s.selects)
"""Never chosen on; the first is the oracle's unless it names another."""
SPEAKING = tuple(s.name for s in sorted((s for s in SPLITS if s.speaks is not None), key=lambda s: s.speaks or 0))
SELECTING = (*(name for name in SPEAKING if name not in REPORTED), TRAIN)
"""Splits that an honest rule may choose on, the best first. A peak on train says when it fitted and nothing else."""


def is_reported(name: str) -> bool:
    """Whether a choice on the split would be an oracle's."""
    return name in REPORTED


def oracle_label(name: str) -> str:
    """The stamp of what was chosen on a split that is only reported: ``oracle (chosen on ood_test)``."""
    return f"oracle (chosen on {name})"


def in_order(names: Collection[str]) -> list[str]:
    """Known splits in their order, then the others of a foreign log by name."""
    known = [name for name in NAMES if name in names]
    return [*known, *sorted(set(names) - set(known))]


def speaking(names: Collection[str]) -> str:
    """Which of these held-out splits stands for a run: the first by `SPEAKING`, of other names the first given."""
    return next((name for name in SPEAKING if name in names), next(iter(names)))


def choices(names: Collection[str]) -> str:
    """``id_val, ood_val or ood_test``, for messages."""
    *front, last = names
    if front:
        return f"{', '.join(front)} or {last}"
    return last
