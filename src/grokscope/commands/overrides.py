"""``--regime.lr 3e-4`` after a file: any key of a run's config, by its dotted name."""

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from grokscope import configio
from grokscope.config import RunConfig
from grokscope.limits import check_depth

HEADS = tuple(f.name for f in fields(RunConfig) if f.name != "start")


def split_overrides(args: Sequence[str], heads: Sequence[str] = HEADS) -> tuple[list[str], dict[str, Any]]:
    """(remaining arguments, dotted key -> value). Values are parsed as TOML, or kept as text if that fails.

    ``--model.hidden 200 200`` and ``--model.hidden "[200, 200]"`` give a list, ``--model.bias`` gives true, ``none``
    clears an optional value. Dashes in a key mean underscores.

    Raises:
        ValueError: a key given twice.
    """
    rest: list[str] = []
    overrides: dict[str, Any] = {}
    tokens = list(args)
    while tokens:
        token = tokens.pop(0)
        name, equals, inline = token.partition("=")
        key = name.removeprefix("--").replace("-", "_")
        if not token.startswith("--") or key.partition(".")[0] not in heads:
            rest.append(token)
            continue
        values = [inline] if equals else _values(tokens)
        if key in overrides:
            raise ValueError(f"--{key} is given twice")
        overrides[key] = _meaning(values)
    return rest, overrides


def _values(tokens: list[str]) -> list[str]:
    """The values of a key: none if an option follows, one token, or a series of numbers."""
    taken: list[str] = []
    while (
        tokens and not tokens[0].startswith("--") and (not taken or (_is_number(taken[-1]) and _is_number(tokens[0])))
    ):
        taken.append(tokens.pop(0))
    return taken


def _is_number(token: str) -> bool:
    return re.fullmatch(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?", token) is not None


def _meaning(values: list[str]) -> Any:
    if not values:
        return True
    if len(values) == 1:
        return _value(values[0])
    return [_value(v) for v in values]


def _value(text: str) -> Any:
    """One value parsed as TOML; ``True``, ``.5`` and ``1.`` are accepted too, everything else is text."""
    if text in ("True", "False", "None"):
        text = text.lower()
    try:
        parsed = configio.parse_toml(f"v = {text}")["v"]
        check_depth(parsed, "an override's value")
    except ValueError:  # not TOML, or an integer that is too long, which is reported later with its key
        return float(text) if _is_number(text) else text
    return parsed
