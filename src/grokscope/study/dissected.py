"""Numbers of a dissection that an expectation may name: ``dissection = "steer.monotone.ood_test"``.

Read from the records that `grokscope dissect` leaves in a run's folder; this module dissects nothing. They must be of
the final checkpoint and of today's rules: a number of another checkpoint, or concluded otherwise, is no answer.
"""

import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grokscope.config import require
from grokscope.files import read_json
from grokscope.registry import nearest
from grokscope.store.dissected import FOLDER, RULES, rules_of
from grokscope.vocabulary.splits import UNSEEN

SCENES = ("test", *UNSEEN)
"""What was measured on: the test part of the dissected split, and the unseen environments."""
PUBLISHED_ABLATION = "zero"
_PARTS = ("m1", "m4", "m5", "m6")
_TARGETS = {"env": "environment", "task": "task"}

Parts = Mapping[str, Mapping[str, Any]]
"""The records by part: m1, m4, m5, m6."""


@dataclass(frozen=True)
class Name:
    """A name taken apart: ``neurons.separated.ood_test@64`` has the head ``neurons.separated``, the place ``ood_test``
    and K = 64."""

    head: str
    place: str | None
    k: int | None


@dataclass(frozen=True)
class Quantity:
    """What one head means, and how it is read from the records."""

    read: Callable[[Parts, Name], float | None]
    part: str
    records: str
    """What the part holds when it could be measured; empty where it could not."""
    places: str = ""
    """``scene`` (may be left out: ``test``), ``site`` or ``eraser`` (must be there), or nothing."""
    needs_k: bool = False


def _curve(parts: Parts, name: Name) -> Mapping[str, Any]:
    return _one(parts["m5"]["curves"], name, on=name.place or SCENES[0], scaling="relative")


def _monotone(parts: Parts, name: Name) -> float:
    return float(_curve(parts, name)["monotone"])


def _neurons(parts: Parts, name: Name, arm: str, bound: str) -> float:
    """`accuracy_drop` at K of an arm's ``curves``, or of the 97.5 % of its draws (``high``)."""
    ks = list(parts["m6"]["ks"])
    require(name.k in ks, f"no K = {name.k} was ablated; known: {', '.join(map(str, ks))}")
    found = _one(parts["m6"]["ablations"], name, on=name.place or SCENES[0], ablation=PUBLISHED_ABLATION)
    return float(found["arms"][arm][bound]["accuracy_drop"][ks.index(name.k)])


def _separated(parts: Parts, name: Name) -> float:
    drop = _neurons(parts, name, "environment", "curves")
    return float(drop > _neurons(parts, name, "random", "high"))


def _excess(parts: Parts, name: Name) -> float:
    return _neurons(parts, name, "environment", "curves") - _neurons(parts, name, "random", "curves")


def _probe(parts: Parts, name: Name) -> float | None:
    target = _TARGETS[name.head.removeprefix("probe.")]
    found = _one(parts["m1"]["probes"], name, site=name.place, target=target)
    return found["test"]["balanced"] if found["test"] else None


def _erased(parts: Parts, name: Name) -> float | None:
    return _one(parts["m4"]["erasures"], name, eraser=name.place)["refitted"]["balanced"]


def _one(records: Sequence[Mapping[str, Any]], name: Name, **wanted: Any) -> Mapping[str, Any]:
    """The record with these values. Raises ValueError naming the nearest place that was measured."""
    for record in records:
        if all(record[key] == value for key, value in wanted.items()):
            return record
    key, value = next(iter(wanted.items()))
    known = list(dict.fromkeys(str(record[key]) for record in records))
    raise ValueError(f"no {key} {str(value)!r} was dissected{nearest(str(value), known)}")


QUANTITIES: dict[str, Quantity] = {
    # 1 where accuracy is monotone in the step along the environment's direction, else 0: the published statistic
    "steer.monotone": Quantity(_monotone, "m5", "curves", "scene"),
    # share of random directions of the same length that are monotone too: what the one above is to be read against
    "steer.monotone_random": Quantity(lambda p, n: _curve(p, n)["monotone_random"], "m5", "curves", "scene"),
    "steer.trend": Quantity(lambda p, n: _curve(p, n)["trend"], "m5", "curves", "scene"),
    "steer.gain": Quantity(lambda p, n: _curve(p, n)["best_gain"], "m5", "curves", "scene"),
    "steer.slope": Quantity(lambda p, n: p["m5"]["slope_size"], "m5", "slope"),
    # 1 where zeroing the environment's first K neurons costs more accuracy than 97.5 % of the draws of K random ones
    "neurons.separated": Quantity(_separated, "m6", "ablations", "scene", needs_k=True),
    # accuracy that they cost beyond the mean of random ones
    "neurons.excess": Quantity(_excess, "m6", "ablations", "scene", needs_k=True),
    # balanced accuracy of the probe at a site, on the test part
    "probe.env": Quantity(_probe, "m1", "probes", "site"),
    "probe.task": Quantity(_probe, "m1", "probes", "site"),
    # balanced accuracy of a probe of the environment fitted again after an eraser
    "erase.refitted": Quantity(_erased, "m4", "erasures", "eraser"),
}
HEADS = tuple(QUANTITIES)
_FORM = re.compile(r"(?P<head>[a-z_]+\.[a-z_]+)(?:\.(?P<place>[\w.]+))?(?:@(?P<k>\d{1,9}))?")


def parse(text: Any, where: str) -> Name:
    """A name taken apart and checked as far as a study file alone allows.

    Raises:
        ValueError: beginning with `where`; an unknown name (with the nearest), a missing or needless place or K.
    """
    require(isinstance(text, str), f"{where}: expected a text such as 'steer.monotone.ood_test', got {text!r}")
    form = _FORM.fullmatch(text)
    head = form["head"] if form else text.partition("@")[0]
    if form is None or head not in QUANTITIES:
        raise ValueError(f"{where}: unknown number of a dissection {text!r}{nearest(head, list(HEADS))}")
    place, k, quantity = form["place"], form["k"], QUANTITIES[head]
    require(bool(quantity.places) or place is None, f"{where}: {head} takes no further word, got {text!r}")
    if quantity.places == "scene":
        require(
            place is None or place in SCENES, f"{where}: unknown place {place!r}{nearest(str(place), list(SCENES))}"
        )
    elif quantity.places:
        require(place is not None, f"{where}: {head} needs the {quantity.places}, for example {_example(head)!r}")
    require(quantity.needs_k == (k is not None), f"{where}: write {_example(head)!r}, got {text!r}")
    return Name(head, place, None if k is None else int(k))


def _example(head: str) -> str:
    word = {"site": ".layer1", "eraser": ".leace", "scene": "", "": ""}[QUANTITIES[head].places]
    return f"{head}{word}{'@64' if QUANTITIES[head].needs_k else ''}"


def undone(run: Path) -> str | None:
    """The command that makes the records which an expectation needs; None where they are there."""
    first = run / FOLDER / f"{_PARTS[0]}.json"
    command = shlex.join(["grokscope", "dissect", str(run)])
    if not all((run / FOLDER / f"{part}.json").exists() for part in _PARTS):
        return command
    record = read_json(first)
    ours = isinstance(record, Mapping) and "settings" in record
    return None if ours and rules_of(record) >= RULES and _is_final(record, run) else command


def _is_final(record: Mapping[str, Any], run: Path) -> bool:
    """The last checkpoint, by its rule or, where all were dissected, by its step."""
    rule = record.get("selection")
    if rule == "final":
        return True
    steps = [int(folder.name.removeprefix("step")) for folder in (run / FOLDER).glob("step[0-9]*")]
    return bool(steps) and rule == f"step={max(steps)}"


def value(run: Path, name: Name) -> float:
    """A number of a dissected run; NaN where the dissection could not tell.

    Raises:
        ValueError: naming the run, for a damaged record, or a site, scene, eraser or K that it has not.
    """
    quantity = QUANTITIES[name.head]
    parts = {quantity.part: read_json(run / FOLDER / f"{quantity.part}.json")[quantity.part]}
    try:
        if not parts[quantity.part][quantity.records]:
            return math.nan
        number = quantity.read(parts, name)
    except ValueError as error:
        raise ValueError(f"{run.name}, {name.head}: {error}") from None
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{run.name}: its dissection lacks {error} for {name.head}; dissect it again") from None
    return math.nan if number is None else float(number)
