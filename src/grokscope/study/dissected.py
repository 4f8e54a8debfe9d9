"""Numbers of a dissection that an expectation can refer to: ``dissection = "steer.monotone.ood_test"``.

Read from the records that `grokscope dissect` leaves in a run's folder; this module dissects nothing. They must be of
the final checkpoint and of today's rules: a number of another checkpoint, or concluded otherwise, is no answer.
"""

import math
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from grokscope.config import require
from grokscope.files import read_json
from grokscope.registry import nearest
from grokscope.results.dissection import (
    FOLDER,
    PARTS,
    RULES,
    ErasuresFile,
    NeuronsFile,
    ProbesFile,
    SteeringFile,
    is_ours,
    rules_of,
    selection_of,
)
from grokscope.results.neurons import Arms
from grokscope.results.probes import Target
from grokscope.results.steering import M5, Curve
from grokscope.vocabulary.splits import UNSEEN

SCENES = ("test", *UNSEEN)
"""What was measured on: the test part of the dissected split, and the unseen environments."""
PUBLISHED_ABLATION = "zero"
SAVED = "numbers.json"
"""In the place of records: the numbers that a saved study keeps of its dissections (`grokscope.study.saved`)."""


@dataclass(frozen=True)
class Name:
    """A name taken apart: ``neurons.separated.ood_test@64`` has the head ``neurons.separated``, the place ``ood_test``
    and K = 64."""

    head: str
    place: str | None
    k: int | None

    def __str__(self) -> str:
        """As it is written in a study file."""
        return self.head + (f".{self.place}" if self.place else "") + (f"@{self.k}" if self.k is not None else "")


@dataclass(frozen=True)
class Quantity:
    """What one head means, and how it is read from the records in a run's folder of dissections."""

    read: Callable[[Path, Name], float | None]
    """None where the dissection could not tell."""
    places: str = ""
    """``scene`` (may be left out: ``test``), ``site`` or ``eraser`` (must be there), or nothing."""
    needs_k: bool = False


def _m5(folder: Path) -> M5:
    return SteeringFile.read(folder / "m5.json").m5


def _curve(folder: Path, name: Name) -> Curve | None:
    on = name.place or SCENES[0]
    curves = {c.on: c for c in _m5(folder).curves if c.scaling == "relative"}
    return _at("on", on, curves) if curves else None


def _of_curve(value: Callable[[Curve], float]) -> Callable[[Path, Name], float | None]:
    def read(folder: Path, name: Name) -> float | None:
        curve = _curve(folder, name)
        if curve is None:
            return None
        return float(value(curve))

    return read


def _slope(folder: Path, _: Name) -> float | None:
    return _m5(folder).slope_size


def _arms(folder: Path, name: Name) -> tuple[Arms, int] | None:
    """(arms, position of K in their curves) by the published ablation."""
    m6 = NeuronsFile.read(folder / "m6.json").m6
    if not m6.ablations:
        return None
    require(name.k in m6.ks, f"no K = {name.k} was ablated; known: {', '.join(map(str, m6.ks))}")
    scenes = {a.on: a for a in m6.ablations if a.ablation == PUBLISHED_ABLATION}
    return _at("on", name.place or SCENES[0], scenes).arms, m6.ks.index(name.k or 0)


def _separated(folder: Path, name: Name) -> float | None:
    ablation = _arms(folder, name)
    if ablation is None:
        return None
    arms, k = ablation
    if arms.random.high is None:
        return None
    drop, most = arms.environment.curves.accuracy_drop[k], arms.random.high.accuracy_drop[k]
    if math.isfinite(drop) and math.isfinite(most):
        return float(drop > most)
    return None


def _excess(folder: Path, name: Name) -> float | None:
    ablation = _arms(folder, name)
    if ablation is None:
        return None
    arms, k = ablation
    return arms.environment.curves.accuracy_drop[k] - arms.random.curves.accuracy_drop[k]


def _probe(target: Target) -> Callable[[Path, Name], float | None]:
    def read(folder: Path, name: Name) -> float | None:
        m1 = ProbesFile.read(folder / "m1.json").m1
        if not m1.probes:
            return None
        test = _at("site", str(name.place), {p.site: p for p in m1.probes if p.target == target}).test
        return test.balanced if test else None

    return read


def _refitted(folder: Path, name: Name) -> float | None:
    m4 = ErasuresFile.read(folder / "m4.json").m4
    if not m4.erasures:
        return None
    return _at("eraser", str(name.place), {e.eraser: e for e in m4.erasures}).refitted.balanced


T = TypeVar("T")


def _at(what: str, place: str, measured: Mapping[str, T]) -> T:
    """What was measured at a place. Raises ValueError naming the nearest place that was measured."""
    if place not in measured:
        raise ValueError(f"no {what} {place!r} was dissected{nearest(place, list(measured))}")
    return measured[place]


QUANTITIES: dict[str, Quantity] = {
    # 1 where accuracy is monotone in the step along the environment's direction, else 0: the published statistic
    "steer.monotone": Quantity(_of_curve(lambda c: c.monotone), "scene"),
    # share of random directions of the same length that are monotone too: what the one above is to be read against
    "steer.monotone_random": Quantity(_of_curve(lambda c: c.monotone_random), "scene"),
    "steer.trend": Quantity(_of_curve(lambda c: c.trend), "scene"),
    "steer.gain": Quantity(_of_curve(lambda c: c.best_gain), "scene"),
    "steer.slope": Quantity(_slope),
    # 1 where zeroing the environment's first K neurons costs more accuracy than 97.5 % of the draws of K random ones
    "neurons.separated": Quantity(_separated, "scene", needs_k=True),
    # accuracy that they cost beyond the mean of random ones
    "neurons.excess": Quantity(_excess, "scene", needs_k=True),
    # balanced accuracy of the probe at a site, on the test part
    "probe.env": Quantity(_probe("environment"), "site"),
    "probe.task": Quantity(_probe("task"), "site"),
    # balanced accuracy of a probe of the environment fitted again after an eraser
    "erase.refitted": Quantity(_refitted, "eraser"),
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
    head = form.group("head") if form else text.partition("@")[0]
    if form is None or head not in QUANTITIES:
        raise ValueError(f"{where}: unknown number of a dissection {text!r}{nearest(head, list(HEADS))}")
    place, k, quantity = form.group("place"), form.group("k"), QUANTITIES[head]
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


def available(run: Path) -> list[str]:
    """Names of all numbers that a dissected run has, in the order of `QUANTITIES`.

    Raises:
        ValueError: naming the file, for a damaged record.
    """
    folder = run / FOLDER
    m1, m4 = ProbesFile.read(folder / "m1.json").m1, ErasuresFile.read(folder / "m4.json").m4
    m5, m6 = _m5(folder), NeuronsFile.read(folder / "m6.json").m6
    curves = [c.on for c in m5.curves if c.scaling == "relative"]
    ablated = [a.on for a in m6.ablations if a.ablation == PUBLISHED_ABLATION]
    by_k = [f"{scene}@{k}" for scene in ablated for k in m6.ks if k]
    places: dict[str, list[str]] = {
        **{head: curves for head, quantity in QUANTITIES.items() if quantity.places == "scene"},
        **{head: by_k for head, quantity in QUANTITIES.items() if quantity.needs_k},
        "probe.env": [p.site for p in m1.probes if p.target == "environment"],
        "probe.task": [p.site for p in m1.probes if p.target == "task"],
        "erase.refitted": [e.eraser for e in m4.erasures],
    }
    names: list[str] = []
    for head in QUANTITIES:
        names += [f"{head}.{place}" for place in places[head]] if head in places else [head]
    return names


def undone(run: Path) -> str | None:
    """The command that makes the records which an expectation needs; None where they are there."""
    command = shlex.join(["grokscope", "dissect", str(run)])
    if (run / FOLDER / SAVED).exists():
        return None
    files = {part: run / FOLDER / f"{part}.json" for part in PARTS}
    if not all(path.exists() for path in files.values()):
        return command
    raw = read_json(files[PARTS[0]])
    if not is_ours(raw, PARTS[0]) or rules_of(raw) < RULES:
        return command
    if _is_final(selection_of(raw), run):
        return None
    return command


def _is_final(rule: str, run: Path) -> bool:
    """The last checkpoint, by its rule or, where all were dissected, by its step."""
    if rule == "final":
        return True
    steps = [int(folder.name.removeprefix("step")) for folder in (run / FOLDER).glob("step[0-9]*")]
    return bool(steps) and rule == f"step={max(steps)}"


def value(run: Path, name: Name) -> float:
    """A number of a dissected run; NaN where the dissection could not tell.

    Raises:
        ValueError: naming the run, for a damaged record, or a site, scene, eraser or K that it has not.
    """
    if (run / FOLDER / SAVED).exists():
        return _saved(run, name)
    try:
        number = QUANTITIES[name.head].read(run / FOLDER, name)
    except ValueError as error:
        raise ValueError(f"{run.name}, {name.head}: {error}") from None
    if number is None:
        return math.nan
    return float(number)


def _saved(run: Path, name: Name) -> float:
    numbers = read_json(run / FOLDER / SAVED)
    require(
        str(name) in numbers, f"{run.name}: {name} was not saved with the study; dissect its runs, and save it again"
    )
    if numbers[str(name)] is None:
        return math.nan
    return float(numbers[str(name)])
