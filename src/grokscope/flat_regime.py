"""Regimes of schemas 1 and 2, in which the parameters of all components were flat keys of ``[regime]``.

Two things go on from there. Stored configs of that form are read by `nested`. And the identity of a run still names a
parameter by its old key: folders that were trained before have the names they had.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from grokscope import registry
from grokscope.components import parameters

SCHEMA = 2
"""The last schema of configs with flat regimes."""
Key = Literal["optimizer", "schedule", "grad_filter"]
_KEYS: tuple[Key, ...] = ("optimizer", "schedule", "grad_filter")


@dataclass(frozen=True)
class Moved:
    """Where a flat key stands now, and the default it had."""

    component: Key
    parameter: str
    default: Any


MOVED: dict[str, Moved] = {
    "betas": Moved("optimizer", "betas", [0.9, 0.999]),
    "eps": Moved("optimizer", "eps", 1e-8),
    "momentum": Moved("optimizer", "momentum", 0.0),
    "nesterov": Moved("optimizer", "nesterov", False),
    "warmup_steps": Moved("schedule", "warmup_steps", 0),
    "filter_alpha": Moved("grad_filter", "alpha", 0.98),
    "filter_lambda": Moved("grad_filter", "lambda", 2.0),
    "filter_window": Moved("grad_filter", "window", 100),
}
FLAT: dict[tuple[str, str], str] = {(m.component, m.parameter): key for key, m in MOVED.items()}
"""(key of the component in the regime, parameter) -> its key in the identity of a run. A parameter that is not here
came later, and stands in the identity inside a table with its component's name."""
_EXAMPLES: dict[str, str] = {"optimizer": "adamw", "schedule": "warmup", "grad_filter": "grokfast_ema"}
_OTHERS = {"momentum": "sgd", "nesterov": "sgd", "filter_window": "grokfast_ma"}


def _place(key: str, moved: Moved) -> str:
    name = _OTHERS.get(key, _EXAMPLES[moved.component])
    return (
        f"is a parameter of the {moved.component} now: write regime.{moved.component}.{moved.parameter}, or "
        f'{moved.component} = {{ name = "{name}", {moved.parameter} = ... }}'
    )


SUPERSEDED = {key: _place(key, moved) for key, moved in MOVED.items()}
"""Flat key -> what to say of it: its right place."""


def nested(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's config of schema 1 or 2 in the present form. Parameters that its components do not have are left out:
    they had no effect. Values of components that are not installed here are kept where they are no old defaults."""
    regime = config.get("regime")
    if not isinstance(regime, Mapping):
        return dict(config)
    out = {key: value for key, value in regime.items() if key not in MOVED}
    for key in _KEYS:
        given = {m.parameter: regime[flat] for flat, m in MOVED.items() if m.component == key and flat in regime}
        if given:
            out[key] = _table(key, out.get(key), given)
    return {**config, "regime": out}


def _table(key: Key, name: Any, given: dict[str, Any]) -> Any:
    """One component's table; its bare value where nothing of the given is its own."""
    if name is not None and not isinstance(name, str):
        return name
    known = _known(key, name)
    kept = {
        parameter: value
        for parameter, value in given.items()
        if (parameter in known if known is not None else value != MOVED[FLAT[key, parameter]].default)
    }
    if name == "muon" and not kept.get("momentum"):
        kept.pop("momentum", None)  # 0 meant its usual one
    if not kept and name is not None:
        return name
    return {**({} if name is None else {"name": name}), **kept}


def _known(key: Key, name: str | None) -> tuple[str, ...] | None:
    """The parameters that a component has; None where that cannot be known here."""
    try:
        if name is None:
            return None
        return parameters(registry.load(registry.PLACES[f"regime.{key}"], name))
    except (ValueError, TypeError):
        return None
