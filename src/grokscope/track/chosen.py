"""Which trackers somebody asked for: in a file, on the command line, from Python."""

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from grokscope import configio
from grokscope.checks import require
from grokscope.components import Tracker
from grokscope.identity import short_form
from grokscope.limits import brief

Tracks = str | Tracker | Mapping[str, Any] | Sequence[str | Tracker | Mapping[str, Any]]
"""A tracker or several, each by its name (``"wandb"``, ``"wandb:project=mine"``), as a table, or as itself."""
NONE = "none"


def read_trackers(raw: Tracks | None, where: str = "track", file: Sequence[Tracker] = ()) -> tuple[Tracker, ...]:
    """The trackers that `raw` names, to be used now. One that is named without parameters has those of `file`, the
    choice of the file that is overridden; the word ``none`` leaves out all.

    Raises:
        ValueError: as `named_trackers`, and for a package that is not installed, with the remedy.
    """
    chosen = named_trackers(raw, where, file)
    require_usable(chosen, where)
    return chosen


def named_trackers(raw: Tracks | None, where: str, file: Sequence[Tracker] = ()) -> tuple[Tracker, ...]:
    """The same, where nothing is to be mirrored yet: whether their packages are installed is not asked.

    Raises:
        ValueError: naming the place of an unknown tracker or a wrong parameter, and for one that is named twice.
    """
    if raw is None:
        return ()
    several = list(raw) if isinstance(raw, list | tuple) else [raw]
    if several == [NONE]:
        return ()
    chosen: list[Tracker] = []
    for i, each in enumerate(several):
        tracker = _read(each, f"{where}[{i}]" if len(several) > 1 else where, file)
        require(tracker not in chosen, f"{where}: {spelled(tracker)} is named twice")
        chosen.append(tracker)
    return tuple(chosen)


def chosen_trackers(words: Sequence[str], in_file: Sequence[Tracker], file: object) -> tuple[Tracker, ...]:
    """Those of the command line where it names some, else those of the file. Raises ValueError as `read_trackers`."""
    if words:
        return read_trackers(tuple(words), "--track", in_file)
    require_usable(in_file, f"{file}: $.track")
    return tuple(in_file)


def require_usable(trackers: Sequence[Tracker], where: str = "track") -> None:
    """Raise ValueError for a tracker whose process could not open it. Nothing is imported."""
    for tracker in trackers:
        if tracker.package and find_spec(tracker.package) is None:
            remedy = f": pip install '{tracker.extra}'" if tracker.extra else ""
            raise ValueError(f"{where}: {tracker.name!r} needs the package {tracker.package}{remedy}")
        require(
            type(tracker).__module__ != "__main__",
            f"{where}: {tracker.name!r} is registered by the main script, which the tracker's process does not run; "
            "put it into a module, import that, and list it under plugins in the file",
        )


def _read(raw: Any, where: str, file: Sequence[Tracker]) -> Tracker:
    if not isinstance(raw, str):
        require(isinstance(raw, Mapping | Tracker), f"{where}: expected the name of a tracker, got {brief(raw)}")
        return configio.structure_component("tracker", raw, where)
    name, colon, rest = raw.partition(":")
    same = [tracker for tracker in file if tracker.name == name]
    if same and not colon:
        return same[0]
    texts = _parameters(rest, where)
    try:
        return configio.structure_component("tracker", {"name": name} | {k: _value(v) for k, v in texts.items()}, where)
    except ValueError:  # a project may be called 2030, or true
        return configio.structure_component("tracker", {"name": name} | texts, where)


def _parameters(text: str, where: str) -> dict[str, str]:
    """``project=mine,entity=lab`` as a table."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    for key, equals, _ in pairs:
        require(bool(equals), f"{where}: expected NAME:KEY=VALUE,KEY=VALUE, got {brief(key)}")
    return {key.strip().replace("-", "_"): value for key, _, value in pairs}


def _value(text: str) -> Any:
    """A number, true or false where it reads as one, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def spelled(tracker: Tracker) -> str:
    """As `read_trackers` reads it: ``wandb:project=mine``."""
    form = short_form(tracker)
    if isinstance(form, str):
        return form
    return f"{tracker.name}:{','.join(f'{key}={_text(value)}' for key, value in form.items() if key != 'name')}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
