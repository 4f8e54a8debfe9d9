"""The record of a training that another loop does: what is known of it, and which recording goes on with which."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.checks import require
from grokscope.fit_rule import Kind
from grokscope.store.run import Run, find_runs, read_record
from grokscope.vocabulary.splits import NAMES
from grokscope.vocabulary.text import plural

if TYPE_CHECKING:
    from grokscope.train.observed import ObservedModel
    from grokscope.train.own_optimizer import OptimizerSettings

OWN = "own"
"""Name of the task of recorded runs."""
SETTLED = ("optimizer", "weight_decay", "decay_groups", "lr")
"""Settings of a regime that hold for a whole run: one that changed between its parts is unknown."""


def require_of_splits(key: str, given: Any, splits: Any) -> None:
    """Raise ValueError unless `n` or `trivial` is a mapping by splits, and only where the splits are not given."""
    if given is None:
        return
    example = {"n": 1000}.get(key, 0.1)
    require(isinstance(given, Mapping), f'{key}: expected numbers by split, {{"id_val": {example}}}, got {given!r}')
    for split, value in given.items():
        require(split in NAMES, f"{key}: unknown split {split!r}; the splits are {', '.join(NAMES)}")
        value = number(f"{key}[{split!r}]", value)
        whole = key != "n" or (float(value).is_integer() and value > 0)
        require(whole, f"{key}[{split!r}]: expected a number of examples, got {value!r}")
    require(not (given and splits), f"{key}: is determined by splits; omit it")


def require_share(column: str, value: Any) -> None:
    """Raise ValueError for an accuracy of more than 1: in percent it would stand above every threshold."""
    if column.endswith("_acc") and column.removesuffix("_acc") in NAMES:
        outside = value < 0 or value > 1  # not a number is neither
        require(not outside, f"{column}: an accuracy is a share from 0 to 1, got {value!r}; divide percent by 100")


def require_own_folder(folder: Any) -> None:
    """Raise ValueError where a recording has no folder of its own: a path that is none, a file, or a folder that holds
    runs, which nobody would find any more."""
    require(isinstance(folder, str | PathLike) and bool(str(folder)), f"folder: expected a path, got {folder!r}")
    path = Path(folder)
    require(path.is_dir() or not path.exists(), f"{path}: is a file; give a folder of the run's own")
    inside = [] if (path / "config.json").exists() else find_runs(path)
    if inside:
        raise ValueError(
            f"{path} holds {plural(len(inside), 'run')}, for example {inside[0].id}; give a folder of the run's own, "
            f"such as {path / 'mine'}"
        )


def known_splits(kind: Kind, n: Mapping[str, int], trivial: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Split -> what is known of it. Raises ValueError naming what is no number."""
    baseline = "trivial_acc" if kind == "classification" else "trivial_loss"
    splits: dict[str, dict[str, float]] = {split: {"n": int(number("n", k))} for split, k in n.items()}
    for split, value in trivial.items():
        score = number(f"trivial[{split!r}]", value)
        require(
            kind != "classification" or 0 <= score <= 1,
            f"trivial[{split!r}]: an accuracy is a share from 0 to 1, got {score!r}; divide percent by 100",
        )
        splits.setdefault(split, {})[baseline] = score
    return splits


def config_of(
    model: Any,
    name: str,
    seed: int,
    kept: Mapping[str, Any],
    loss: str | None,
    settings: "OptimizerSettings",
    label_noise: float | None,
) -> dict[str, Any]:
    """What stands in place of a resolved config."""
    own = {str(key): plain(f"config[{key!r}]", value) for key, value in kept.items()}
    if settings.kept:
        own.setdefault("optimizer", plain("optimizer", settings.kept))
    given = {"loss": loss, "label_noise": None if label_noise is None else float(label_noise)}
    return {
        "task": {"name": OWN},
        "model": {"name": type(model).__name__},
        "regime": {"name": name, **settings.regime, **{key: v for key, v in given.items() if v is not None}},
        "seed": seed,
        "own": own,
    }


def facts_of(
    kind: Kind,
    splits: Mapping[str, Mapping[str, float]],
    threshold: float,
    steps_per_epoch: int,
    settings: "OptimizerSettings",
    observed: "ObservedModel | None",
) -> dict[str, Any]:
    """What is known of the task, as a run's record has it."""
    return {
        "kind": kind,
        "steps_per_epoch": steps_per_epoch,
        "splits": splits,
        "meta": {},
        "notes": ["recorded by another loop", *settings.notes, *([] if observed is None else observed.notes)],
        "threshold": threshold,
        **({} if observed is None else observed.facts()),
    }


def machine_of(model: Any) -> dict[str, Any]:
    """Threads and device, as the record of a run has them; nothing where no torch is at work."""
    if model is None:
        return {}
    import torch

    device = next((str(p.device) for p in model.parameters()), "cpu")
    return {"threads": torch.get_num_threads(), "device": device}


def require_same_run(run: Run, record: Mapping[str, Any]) -> None:
    """Raise ValueError where the folder holds another run than the one to be recorded: its rows would stand among new
    ones, and its config would be lost."""
    if not (run.path / "config.json").exists():
        return
    before = read_record(run.path)
    config = before["config"]
    if config.get("task", {}).get("name") != OWN or "own" not in config:
        raise ValueError(f"{run.path} contains a run that was not recorded by a Recorder: choose another folder")
    old, new = _arguments(before), _arguments(record)
    for key in ("loss", "label_noise"):  # known only where it was given
        if old[key] is None or new[key] is None:
            old[key] = new[key] = None
    differ = [f"{key} {old[key]!r}, not {new[key]!r}" for key in new if old[key] != new[key]]
    digests = [(r["facts"].get("data") or {}).get("digests") for r in (before, record)]
    if all(digests) and digests[0] != digests[1]:
        differ.append("other data")
    if differ:
        raise ValueError(
            f"{run.path} contains the recording of another run ({', '.join(differ)}): choose another folder"
        )


def continued(run: Run, record: dict[str, Any]) -> dict[str, Any]:
    """The record of a recording that goes on: what its earlier part knew is still known, and a setting that is no
    longer the same is unknown, because what is computed from it must hold for all rows."""
    if not (run.path / "config.json").exists():
        return record
    before = read_record(run.path)
    old, new = before["config"]["regime"], record["config"]["regime"]
    changed = [key for key in SETTLED if key in old and key in new and old[key] != new[key]]
    unknown = {*changed, *(before["facts"].get("changed") or [])}
    regime = {key: value for key, value in {**old, **new}.items() if key not in unknown}
    facts = {**before["facts"], **record["facts"]}
    facts["splits"] = before["facts"]["splits"] | record["facts"]["splits"]
    notes = [f"{key} was {old[key]} and became {new[key]} when the recording went on: unknown" for key in changed]
    facts["notes"] = list(dict.fromkeys([*before["facts"]["notes"], *record["facts"]["notes"], *notes]))
    if unknown:
        facts["changed"] = sorted(unknown)
    config = {**record["config"], "regime": regime, "own": before["config"]["own"] | record["config"]["own"]}
    return {**record, "config": config, "facts": facts}


def _arguments(record: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a recording this one, by the names of the recorder's arguments."""
    config, task = record["config"], record["facts"]["kind"]
    regime = config["regime"]
    return {
        "name": regime["name"],
        "seed": config["seed"],
        "model": config["model"]["name"],
        "averaged": bool(config["model"].get("averaged")),
        "task": task,
        "loss": regime.get("loss"),
        "label_noise": regime.get("label_noise"),
    }


def number(name: str, value: Any) -> float | int:
    """A Python number from a number, a numpy scalar or a tensor of one element."""
    try:
        plain = value.item() if hasattr(value, "item") else value
        if isinstance(plain, int | float):
            return plain
        return float(plain)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}: expected a number, got {value!r}") from error


def plain(name: str, value: Any) -> Any:
    """What a config may hold as JSON writes it: numpy scalars as numbers, arrays and tuples as lists, paths as text."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(f"{name}[{key!r}]", inner) for key, inner in value.items()}
    if hasattr(value, "tolist"):  # of numpy or torch: numbers and nested lists of them
        value = value.tolist()
        if not isinstance(value, list):
            return value
        return plain(name, value)
    if isinstance(value, list | tuple | set):
        return [plain(f"{name}[{i}]", inner) for i, inner in enumerate(value)]
    raise ValueError(f"{name}: {type(value).__name__} cannot be kept as JSON; give numbers, text, lists or mappings")
