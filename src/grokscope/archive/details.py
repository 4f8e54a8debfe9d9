"""docs/TRAINING_DETAILS.md of an archive: what a methods section needs, read from the runs' own typed configs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import chain
from typing import Any

from grokscope import configio
from grokscope.config import Cadence, Regime, RunConfig
from grokscope.store import Run
from grokscope.store.provenance import commit_in_words
from grokscope.vocabulary.splits import in_order
from grokscope.vocabulary.text import listed, plural

APART = ("seed", "hardware", "regime.name", "start.run", "start.digest")
"""Settings that may differ between runs that are told in one part."""
GROUPS = {
    "all": "all parameters", "matrices": "tensors of two or more dimensions", "head": "the last layer",
    "no_norm": "all parameters but those of normalization layers and biases",
}  # fmt: skip


def training_details(
    runs: Sequence[Run], names: Sequence[str], left_out: Mapping[str, Sequence[str]], version: str
) -> str:
    """The whole file. `left_out` maps a run's name to what its folder holds beside what was exported."""
    parts: dict[str, list[tuple[Run, str]]] = {}
    for run, name in zip(runs, names, strict=True):
        parts.setdefault(_kind_of(run), []).append((run, name))
    lines = [
        "# Training details",
        "",
        f"Written by grokscope {version} from each run's own `config.json`: settings that are not recorded there are "
        f"omitted. Names of settings are those of `grokscope train`.",
        "",
    ]
    for members in parts.values():
        lines += _part(members)
    lines += _left_out(left_out)
    return "\n".join(lines)


def _kind_of(run: Run) -> str:
    """What runs of one part share: everything but the seed, the hardware and labels."""
    settings = configio.flatten(dict(run.config))
    kept = {k: v for k, v in settings.items() if not any(k == a or k.startswith(f"{a}.") for a in APART)}
    return run.label + configio.content_hash(kept)


def _part(members: Sequence[tuple[Run, str]]) -> list[str]:
    run = members[0][0]
    config = _typed(run)
    n = (run.facts.get("splits") or {}).get("train", {}).get("n")
    heading = f"## {run.config['task']['name']}, {run.label}"
    if n is not None:
        heading += f", n_train = {n:,}"
    seeds = listed([str(member.seed) for member, _ in members])
    lines = [
        heading,
        "",
        f"{plural(len(members), 'run')}, seeds {seeds}.",
        "",
    ]
    if config is None:
        lines += ["The config is from another program, so it is listed below without a summary.", ""]
    else:
        lines += [f"{_regime_words(config.regime)} {_budget_words(config, run)}", "", _cadence_words(config), ""]
    lines += [_model_words(run), "", *_splits(members), "", *_versions(members), "", *_runs(members), ""]
    return [*lines, *_settings(run), ""]


def _typed(run: Run) -> RunConfig | None:
    """None for a config that another loop or a plug-in wrote, which is not here."""
    try:
        return configio.load_run({**run.config, "schema": run.record["schema"]})
    except ValueError:
        return None


def _regime_words(regime: Regime) -> str:
    """``AdamW (beta1 0.9, ...) with learning rate 0.001, ...``, one sentence a knob that is used."""
    batch = "the full training set in every step"
    if regime.batch_size:
        batch = f"batches of {regime.batch_size:,}"
    first = (
        f"{_component(regime.optimizer)} with learning rate {regime.lr:g} (schedule {_component(regime.schedule)}) on "
        f"{_component(regime.loss)} computed in {regime.loss_dtype}, {batch}."
    )
    return " ".join([first, *_decay_words(regime), *_start_words(regime), *_change_words(regime)])


def _decay_words(regime: Regime) -> list[str]:
    if not regime.weight_decay:
        return ["No weight decay."]
    target = {"zero": "zero", "init": "the initial weights"}[regime.decay_target]
    return [f"Weight decay {regime.weight_decay:g} on {GROUPS[regime.decay_groups]}, toward {target}."]


def _start_words(regime: Regime) -> list[str]:
    if regime.init_scale == 1:
        return ["Initial weights as constructed."]
    return [f"Initial weights multiplied by {regime.init_scale:g}."]


def _change_words(regime: Regime) -> list[str]:
    """Of what is switched on only."""
    gradient = _component(regime.grad_filter)
    known = [
        (gradient not in ("none", ""), f"Gradient filter {gradient}."),
        (regime.clip_norm is not None, f"Gradients clipped to norm {regime.clip_norm or 0:g}."),
        (regime.label_noise > 0, f"{regime.label_noise:.3g} of the training labels replaced."),
        (regime.augment_flip, "Images flipped and turned at random."),
        (regime.augment_crop > 0, f"Images shifted by up to {regime.augment_crop} pixels."),
        (regime.augment_stain > 0, f"Stain jitter {regime.augment_stain:g}."),
        (regime.irm_weight > 0, f"IRM penalty ({regime.irm_estimator}) of weight {regime.irm_weight:g}."),
        (regime.autocast != "none", f"Mixed precision {regime.autocast}."),
    ]
    words = [sentence for used, sentence in known if used]
    return words + [f"Intervention during training: {_component(each)}." for each in regime.interventions]


def _component(component: Any) -> str:
    """``adamw (beta1 0.9, beta2 0.999)``."""
    raw = component
    if not isinstance(raw, str | Mapping):
        raw = configio.dump(component)
    if not isinstance(raw, Mapping):
        return str(raw)
    parameters = ", ".join(
        f"{key} {_shown(value)}" for key, value in raw.items() if key != "name" and value is not None
    )
    if not parameters:
        return str(raw.get("name"))
    return f"{raw.get('name')} ({parameters})"


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " and ".join(map(_shown, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_shown(v)}" for k, v in value.items())
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _budget_words(config: RunConfig, run: Run) -> str:
    length = plural(config.budget.epochs or 0, "epoch")
    if config.budget.steps:
        length = plural(config.budget.steps, "step")
    per_epoch = run.facts.get("steps_per_epoch")
    if per_epoch:
        length += f" ({plural(per_epoch, 'step')} in an epoch)"
    return f"Trained for {length}."


def _cadence_words(config: RunConfig) -> str:
    parts = [("Evaluated", config.evaluate), ("diagnosed", config.diagnose), ("weights kept", config.checkpoint)]
    return f"{'; '.join(f'{verb} {_when(cadence)}' for verb, cadence in parts)}."


def _when(cadence: Cadence) -> str:
    words = []
    if cadence.every:
        words.append(f"every {plural(cadence.every, cadence.unit[:-1])}")
    if cadence.per_decade:
        words.append(f"{plural(cadence.per_decade, 'time')} in each decade of {cadence.unit}")
    if cadence.at:
        words.append(f"at {cadence.unit} {listed([f'{at:,}' for at in cadence.at])}")
    return listed(words) or "at the end only"


def _model_words(run: Run) -> str:
    model = _component(run.config.get("model") or {"name": "not recorded"})
    count = run.facts.get("parameters")
    if count:
        return f"Network: {model}, {count:,} parameters."
    return f"Network: {model}."


def _splits(members: Sequence[tuple[Run, str]]) -> list[str]:
    """Sizes, and the digests of what each run read: equal digests are equal data."""
    every = in_order(set(chain.from_iterable((run.facts.get("splits") or {}) for run, _ in members)))
    lines = ["| split | examples | trivial predictor | digest of its data, by seed |", "|---|---|---|---|"]
    for split in every:
        facts = [(run.facts.get("splits") or {}).get(split) or {} for run, _ in members]
        sizes = _distinct(f"{f['n']:,}" for f in facts if f.get("n") is not None)
        trivial = _distinct(f"{f.get('trivial_acc', f.get('trivial_loss')):.4g}" for f in facts
                            if f.get("trivial_acc", f.get("trivial_loss")) is not None)  # fmt: skip
        lines.append(f"| {split} | {sizes} | {trivial} | {_digests(members, split)} |")
    versions = _distinct(
        str((run.facts.get("data") or {}).get("version")) for run, _ in members if run.facts.get("data")
    )
    return [*lines, "", f"Version of the task's data: {versions}."]


def _digests(members: Sequence[tuple[Run, str]], split: str) -> str:
    by_digest: dict[str, list[str]] = {}
    for run, _ in members:
        digest = ((run.facts.get("data") or {}).get("digests") or {}).get(split)
        by_digest.setdefault(str(digest or "not recorded"), []).append(str(run.seed))
    return "; ".join(f"{seed_words(seeds)}: {digest}" for digest, seeds in by_digest.items())


def seed_words(seeds: Sequence[str]) -> str:
    noun = "seeds" if len(seeds) > 1 else "seed"
    return f"{noun} {', '.join(seeds)}"


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values)) or "not recorded"


def _versions(members: Sequence[tuple[Run, str]]) -> list[str]:
    records = [run.record.get("provenance") or {} for run, _ in members]
    packages: dict[str, dict[str, None]] = {}
    for one in records:
        for name, version in {"python": one.get("python"), **(one.get("packages") or {})}.items():
            if version:
                packages.setdefault(name, {})[str(version)] = None
    versions = ", ".join(f"{name} {' and '.join(known)}" for name, known in packages.items()) or "not recorded"
    devices = _distinct(str(one["device"]) for one in records if one.get("device"))
    threads = _distinct(str(one["threads"]) for one in records if one.get("threads"))
    commits = _distinct(commit_in_words(one["git"]) for one in records if one.get("git"))
    return [f"Versions: {versions}.", "", f"Device {devices}, threads {threads}, commit {commits}."]


def _runs(members: Sequence[tuple[Run, str]]) -> list[str]:
    lines = ["| run | seed | state | step | evaluations |", "|---|---|---|---|---|"]
    for run, name in members:
        status = run.status
        lines.append(f"| {name} | {run.seed} | {status['state']} | {status['step']:,} | {_evaluations(run)} |")
    return lines


def _evaluations(run: Run) -> str:
    try:
        return f"{len(run.rows()):,}"
    except ValueError:
        return "damaged"


def _settings(run: Run) -> list[str]:
    """All of them, as the first run of the part has them; bold what was given rather than a default."""
    given = set(run.record.get("passed") or ())
    local = _local(run)
    lines = [
        "<details><summary>All settings; bold: set explicitly</summary>",
        "",
        "| setting | value |",
        "|---|---|",
    ]
    for key, value in configio.flatten(dict(run.config)).items():
        if key not in local:
            name = f"**{key}**" if key in given else key
            lines.append(f"| {name} | {_cell(value)} |")
    return [*lines, "", "</details>"]


def _local(run: Run) -> set[str]:
    """Settings that are folders of the machine."""
    config = _typed(run)
    if config is None:
        return set()
    return {f"task.{f.name}" for f in fields(config.task) if not f.metadata.get("identity", True)}


def _cell(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _left_out(left_out: Mapping[str, Sequence[str]]) -> list[str]:
    """Runs that left out the same are named together."""
    by_files: dict[str, list[str]] = {}
    for name, files in left_out.items():
        if files:
            by_files.setdefault(", ".join(files), []).append(name)
    if not by_files:
        return []
    lines = ["## Left out of this archive", ""]
    lines += [f"- {files}: of {plural(len(runs), 'run')} ({', '.join(runs)})" for files, runs in by_files.items()]
    return [*lines, ""]
