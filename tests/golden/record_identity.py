"""Frozen ids and defaults: what the names of run folders follow from.

python tests/golden/record_identity.py     adds the runs of new or changed studies, new components and new fields

It never changes what is recorded: an id that changes loses the runs of everybody who has trained it, and a default that
changes makes two trainings one run.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from grokscope import configio, registry
from grokscope.config import Budget, Cadence, Regime, RunConfig, Start
from grokscope.flat_regime import MOVED
from grokscope.identity import COMPONENTS, frozen_defaults
from grokscope.study.study import Study, shipped_studies

IDS = Path(__file__).with_name("run_ids.json")
DEFAULTS = Path(__file__).with_name("defaults.json")
TABLES = (RunConfig, Regime, Cadence, Budget, Start)
SPELLED_OUT = {"momentum": ["optimizer muon"]}
"""A momentum of 0 used to mean Muon's usual 0.95, which is its default now."""


def configs(study: Study) -> dict[str, dict[str, Any]]:
    """Id -> the dotted settings of each run of a study that its identity holds, and its label."""
    return {c.run_id(): {"regime.name": c.regime.name} | _settings(c) for c in study.runs()}


def _settings(config: RunConfig) -> dict[str, Any]:
    return configio.flatten(config.identity()) | {"seed": config.seed, **_dotted("budget", config.budget)}


def _dotted(front: str, table: Any) -> dict[str, Any]:
    return {f"{front}.{f.name}": v for f in fields(table) if (v := getattr(table, f.name)) is not None}


def shipped() -> dict[str, dict[str, dict[str, Any]]]:
    return {name: configs(Study.load(path)) for name, path in shipped_studies().items()}


def defaults() -> dict[str, dict[str, Any]]:
    """``task modular`` -> its defaults, of all that is built in; in the regime beside them those of the parameters that
    stood there once, and still do in the identity of a run."""
    out = {cls.__name__: frozen_defaults(cls) for cls in TABLES}
    for kind in get_args(registry.Kind):
        for name in registry.built_in(kind) if kind != "tracker" else ():  # what a run is mirrored to is no part of it
            out[f"{kind} {name}"] = frozen_defaults(registry.load(kind, name))
    for regime in (out["Regime"], out["RunConfig"]["regime"]):
        regime |= {key: default for key in MOVED if (default := _moved_default(key, out)) is not None}
    return out


def _moved_default(key: str, tables: dict[str, dict[str, Any]]) -> Any:
    """The default that a parameter has in every component that has it; None where they differ."""
    moved = MOVED[key]
    kind = registry.PLACES[f"regime.{moved.component}"]
    defaults = [
        table[moved.parameter]
        for name, table in tables.items()
        if name.startswith(f"{kind} ") and name not in SPELLED_OUT.get(key, ()) and moved.parameter in table
    ]
    return defaults[0] if all(default == defaults[0] for default in defaults) else None


def changed(recorded: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> list[str]:
    """What was recorded and is no longer so."""
    return [
        f"{table}.{key}: {value!r} is now {now.get(table, {}).get(key, 'gone')!r}"
        for table, values in recorded.items()
        for key, value in values.items()
        if key not in now.get(table, {}) or not kept(value, now[table][key])
    ] + [f"{table}: gone" for table in recorded if table not in now]


def kept(recorded: Any, now: Any) -> bool:
    """Whether a default is what it was; a table that is itself a default may have got new fields."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        return all(key in now and kept(value, now[key]) for key, value in recorded.items())
    return recorded == now


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def main() -> None:
    known, now = _read(DEFAULTS), defaults()
    if lost := changed(known, now):
        raise SystemExit("\n".join(["a default never changes; give the new one a new name:", *lost]))
    DEFAULTS.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    ids = _read(IDS)
    for name, runs in shipped().items():
        ids[name] = {**runs, **ids.get(name, {})}
    lines = [f' "{name}": {{\n' + ",\n".join(f'  "{i}": {json.dumps(c)}' for i, c in sorted(runs.items())) + "\n }"
             for name, runs in sorted(ids.items())]  # fmt: skip
    IDS.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    assert set(COMPONENTS) <= {f.name for f in fields(Regime)}
    main()
