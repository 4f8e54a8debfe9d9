"""Write plain data as TOML (Python can read TOML but not write it)."""

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(data: Mapping[str, Any]) -> str:
    """Texts, numbers, booleans, lists and tables as a TOML file that reads back to them.

    Keys with dots stay dotted keys, which TOML reads as tables in tables; lists of tables become ``[[key]]`` blocks at
    the top and inline tables further down.

    Raises:
        ValueError: for what TOML cannot hold (None, numbers that are not finite, other types), naming its key.
    """
    tables = {key: value for key, value in data.items() if isinstance(value, Mapping)}
    blocks = {key: value for key, value in data.items() if _is_blocks(value)}
    plain = {key: value for key, value in data.items() if key not in tables and key not in blocks}
    parts = [_lines(plain)] if plain else []
    parts += [f"[{_key(key)}]\n{_lines(table)}" for key, table in tables.items()]
    for key, items in blocks.items():
        parts += [f"[[{_key(key)}]]\n{_lines(item)}" for item in items]
    return "\n".join(parts)


def _is_blocks(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(item, Mapping) for item in value)


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{_key(key)} = {_value(value, key)}\n" for key, value in table.items())


def _key(key: str) -> str:
    return ".".join(part if _BARE.fullmatch(part) else _text(part) for part in key.split("."))


def _value(value: Any, key: str) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(name)} = {_value(each, name)}" for name, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each, key) for each in value)}]"
    if isinstance(value, bool | int | float):
        try:
            return json.dumps(value, allow_nan=False)
        except ValueError:
            raise ValueError(f"{key}: {value} is not a number that can be written") from None
    raise ValueError(f"{key}: a {type(value).__name__} cannot be written as TOML")


def _text(text: str) -> str:
    """JSON's strings are TOML's, but for the one control character that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
