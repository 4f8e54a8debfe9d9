"""Overlay of plain data: dotted keys, overrides of a file, recipes under a regime.

A component (`grokscope.registry.PLACES`) stands in plain data as its bare name or as a table with a name and
parameters; both mean the same everywhere.
"""

from collections.abc import Mapping
from typing import Any

from grokscope.regimes import RECIPES
from grokscope.registry import DEFAULTS, LISTS, PLACES, nearest


def flatten(raw: Mapping[str, Any], front: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys, the inverse of `overlay`: ``{"regime": {"lr": 1}}`` -> ``{"regime.lr": 1}``. The
    name of a component stands under its own key: ``regime.optimizer``, ``regime.optimizer.momentum``."""
    out: dict[str, Any] = {}
    for key, value in raw.items():
        path = _without_name(f"{front}{key}")
        if isinstance(value, Mapping):
            out |= flatten(value, f"{path}.")
        else:
            out[path] = value
    return out


def with_items(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys with those of the listed components beside their list: ``regime.interventions.0`` is the name of the
    first, ``regime.interventions.0.rho`` a parameter of it. For conditions and tables; changes use `overlay`."""
    out = dict(flat)
    for place in LISTS.keys() & flat.keys():
        if not isinstance(flat[place], list):
            continue
        for number, item in enumerate(flat[place]):
            table = _named_table(item)
            parameters = flatten({key: value for key, value in table.items() if key != "name"}, f"{place}.{number}.")
            out |= {f"{place}.{number}": table.get("name"), **parameters}
    return out


def _named_table(item: Any) -> dict[str, Any]:
    """A listed component as a table, whether it stands there as one or by its bare name."""
    if isinstance(item, Mapping):
        return dict(item)
    return {"name": item}


def _without_name(path: str) -> str:
    place = path.removesuffix(".name")
    return place if place in PLACES else path


def overlay(raw: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`raw` with dotted keys replaced: ``overlay(raw, {"regime.lr": 3e-4})``; nested tables merge key by key.

    Naming another task, model or component drops the parameters of the old one. The order of the changes means nothing,
    unless two name the same key: then the later one counts.
    """
    return _merge(raw, _nested(changes))


def resolve(regime: Mapping[str, Any]) -> dict[str, Any]:
    """A ``[regime]`` table with its ``recipe`` written out; the table's own keys win, and the recipe's name is the
    default name.

    Raises ValueError for an unknown recipe, naming the nearest.
    """
    rest = {k: v for k, v in regime.items() if k != "recipe"}
    name = regime.get("recipe")
    if name is None:
        return rest
    if not isinstance(name, str) or name not in RECIPES:
        raise ValueError(f"$.regime.recipe: unknown recipe {name!r}{nearest(str(name), list(RECIPES))}")
    return {"name": name, **_merge(RECIPES[name], rest, "regime.")}


def written_out(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes as dotted keys, a recipe among them as the fields it stands for: laid over a resolved config, whose own
    values would win over a recipe's."""
    flat = flatten(changes)
    if "regime.recipe" not in flat:
        return flat
    raw = overlay({}, flat)
    return flatten({**raw, "regime": resolve(raw["regime"])})


def _nested(changes: Mapping[str, Any], front: str = "") -> dict[str, Any]:
    """Dotted keys as nested tables: all changes to a table have to be seen at once, a new name first."""
    out: dict[str, Any] = {}
    for key, value in sorted(changes.items(), key=lambda item: not _is_name(front + item[0])):
        head, _, rest = key.partition(".")
        path = front + head
        change = {rest: value} if rest else value
        if path in LISTS:
            out[head] = _merge_list(path, out.get(head), change)
            continue
        below = _as_table(path, change)
        if not isinstance(below, Mapping):
            out[head] = below
            continue
        table = _as_table(path, out.get(head))
        if not isinstance(table, Mapping):
            table = {}
        out[head] = _merge(table, _nested(below, f"{path}."), f"{path}.")
    return out


def _is_name(path: str) -> bool:
    return path.endswith(".name") or path in PLACES or path in LISTS


def _as_table(path: str, value: Any) -> Any:
    """The bare name of a component as a table; anything else as it is."""
    if path in PLACES and isinstance(value, str):
        return {"name": value}
    return value


def _merge(raw: Mapping[str, Any], changes: Mapping[str, Any], front: str = "") -> dict[str, Any]:
    out = {k: (_merge(v, {}, f"{front}{k}.") if isinstance(v, Mapping) else v) for k, v in raw.items()}
    for head, change in changes.items():
        path = front + head
        if path in LISTS:
            out[head] = _merge_list(path, out.get(head), change)
            continue
        value = _as_table(path, change)
        if not isinstance(value, Mapping):
            out[head] = value
            continue
        inner = _as_table(path, out.get(head))
        if not isinstance(inner, Mapping) or _replaces(path, inner, value, raw):
            inner = {}
        merged = _merge(inner, value, f"{path}.")
        is_bare = path in PLACES and merged.keys() == {"name"}
        out[head] = merged["name"] if is_bare else merged
    return out


def _merge_list(path: str, old: Any, change: Any) -> Any:
    """A list of components after a change: another list takes its place, a table of ``number.parameter`` changes single
    items. Where the list itself is not known yet, the table waits for it.

    Raises ValueError for the number of an item that is not there."""
    if not isinstance(change, Mapping):
        if isinstance(old, Mapping):
            return _merge_list(path, change, old)
        return change
    if isinstance(old, Mapping):
        return {**old, **change}
    if not isinstance(old, list | tuple):
        return dict(change)
    items = list(old)
    for key, value in change.items():
        number, _, parameter = str(key).partition(".")
        if not number.isdecimal() or int(number) >= len(items):
            raise ValueError(f"$.{path}.{number}: there are {len(items)} items, counted from 0")
        items[int(number)] = _changed_item(items[int(number)], parameter or "name", value)
    return items


def _changed_item(item: Any, parameter: str, value: Any) -> Any:
    """A listed component with one parameter changed; another name drops the old parameters."""
    if parameter == "name" and isinstance(value, Mapping):
        for key, inner in flatten(value).items():
            item = _changed_item(item, key, inner)
        return item
    table = _named_table(item)
    if parameter == "name":
        if table.get("name") == value:
            return table
        return {"name": value}
    return _merge(table, _nested({parameter: value}))


def _replaces(path: str, table: Mapping[str, Any], changes: Mapping[str, Any], parent: Mapping[str, Any]) -> bool:
    """Whether a change makes the old table meaningless: another task, model or component, or the budget in another
    unit."""
    if path in PLACES:
        old = table.get("name", _implied(path, parent))
        return changes.get("name", old) != old
    if path in ("task", "model"):
        return changes.get("name", table.get("name")) != table.get("name")
    return path == "budget" and bool(changes)


def _implied(path: str, parent: Mapping[str, Any]) -> str:
    """The name of a component whose table does not give one: its recipe's, else the default one."""
    recipe = RECIPES.get(str(parent.get("recipe")), {})
    named = _as_table(path, recipe.get(path.rpartition(".")[2], {}))
    return named.get("name", DEFAULTS[PLACES[path]])
