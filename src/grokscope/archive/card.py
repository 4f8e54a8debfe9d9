"""The model card of an archive: README.md with a header that the Hugging Face Hub reads, filled from the runs.

Needs no network and no huggingface_hub: its template is Markdown, its header JSON, which is YAML.
"""

import inspect
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from grokscope import configio, registry
from grokscope.archive.layout import condition_of
from grokscope.archive.summary import summary_of
from grokscope.archive.use import uses
from grokscope.store import Run
from grokscope.trajectory.selection import ORACLE
from grokscope.vocabulary.splits import REPORTED, in_order

ENOUGH_SEEDS = 6
"""Below this many seeds in a group no difference is called established."""
DATA = {
    "camelyon17": "Camelyon17-WILDS (Bandi et al. 2019, doi:10.1109/TMI.2018.2867350; Koh et al. 2021, "
    "arXiv:2012.07421), CC0 1.0. Not in this archive.",
    "digits": "the handwritten digits of scikit-learn (Alpaydin & Kaynak, doi:10.24432/C50P49), CC BY 4.0. Not in this "
    "archive.",
    "own": "of a training loop of the author's own. Not in this archive, and not described by it.",
    "table": "images of the archive's author. Not in this archive; ask the author for their license and consent.",
}
"""Task -> its data and their license; other tasks are drawn by grokscope's code from the seed, under no license."""
DRAWN = "drawn by grokscope's code from the run's seed: there is nothing to download or to license."
AXES = (
    "optimizer", "lr", "schedule", "weight_decay", "decay_groups", "init_scale", "loss", "grad_filter", "clip_norm",
    "batch_size", "label_noise", "irm_weight",
)  # fmt: skip
"""Of a regime, as the card lists them; components with their parameters."""


def render(
    runs: Sequence[Run], names: Sequence[str], *, weights: str, title: str | None, license: str | None,
    citation: str | None, out: Path,
) -> str:  # fmt: skip
    """The whole of README.md."""
    summaries = [summary_of(run, run.status) for run in runs]
    splits = in_order(set(chain.from_iterable(summary["splits"] for summary in summaries)))
    tasks = list(dict.fromkeys(run.config["task"]["name"] for run in runs))
    title = title or f"grokscope archive: {', '.join(tasks)}"
    regimes = _regimes(runs)
    template = _environment().get_template("card.md.j2")
    return template.render(
        header=_header(runs, summaries, title, license, splits),
        title=title,
        tasks=[_task(name, runs) for name in tasks],
        runs=[_inventory(*row) for row in zip(runs, names, summaries, strict=True)],
        splits=splits,
        states=_counted(Counter(s["state"] for s in summaries)),
        verdicts={s: _counted(_verdicts(summaries, s)) for s in splits},
        regimes=regimes,
        axes=_differing(regimes),
        axis_names=list(dict.fromkeys(chain.from_iterable(regimes.values()))),
        seeds=_seeds(runs),
        few=min(_seeds(runs).values()) < ENOUGH_SEEDS,
        weights=weights,
        uses=list(uses(runs, names, out)),
        origins=sorted({_origin(r) for r in runs} - {""}),
        figures=sorted(p.name for p in (out / "figures").glob("*") if p.suffix == ".png"),
        table=(out / "figures" / "m6_summary.csv").exists(),
        license=license,
        citation=citation,
        oracle=ORACLE,
        reported=REPORTED,
        version=version("grokscope"),
    )


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("grokscope.archive", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _header(
    runs: Sequence[Run], summaries: Sequence[Mapping[str, Any]], title: str, license: str | None, splits: Sequence[str]
) -> str:
    """The card's metadata, a key to a line; each value is JSON and therefore YAML."""
    images = any((run.facts.get("meta") or {}).get("image_shape") for run in runs)
    data: dict[str, Any] = {"library_name": "grokscope"}
    data |= {"license": license} if license else {}
    data |= {"pipeline_tag": "image-classification"} if images else {}
    data["tags"] = ["grokscope", "grokking", *dict.fromkeys(run.config["task"]["name"] for run in runs)]
    results = _results(runs, summaries, splits)
    data |= {"model-index": [{"name": title, "results": results}]} if results else {}
    return "\n".join(f"{key}: {json.dumps(value)}" for key, value in data.items())


def _results(
    runs: Sequence[Run], summaries: Sequence[Mapping[str, Any]], splits: Sequence[str]
) -> list[dict[str, Any]]:
    """Mean final accuracy by task, regime, size and split."""
    scores: dict[tuple[str, str, Any, str], list[float]] = {}
    for run, summary in zip(runs, summaries, strict=True):
        for split in splits:
            one = summary["splits"].get(split, {})
            if one.get("score") == "accuracy" and "final" in one:
                scores.setdefault((run.config["task"]["name"], run.label, _n_train(run), split), []).append(
                    one["final"]
                )
    return [
        {
            "task": {"type": "image-classification", "name": "classification"},
            "dataset": {"type": task, "name": f"{task} {split}, n_train = {n}", "split": split},
            "metrics": [{
                "type": "accuracy",
                "value": round(sum(values) / len(values), 4),
                "name": f"final accuracy, {regime}, mean of {len(values):,} run{'s' * (len(values) > 1)}",
            }],
        }
        for (task, regime, n, split), values in scores.items()
    ]  # fmt: skip


def _task(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    runs_of_task = [run for run in runs if run.config["task"]["name"] == name]
    try:
        entry = registry.find("task", name)
        words = inspect.getdoc(entry.load()) or ""
        summary, source = entry.summary, entry.source
    except ValueError:  # a plug-in's that is not installed here
        words, summary, source = "", "", "-"
    return {
        "name": name,
        "summary": summary,
        "source": source,
        "data": DATA.get(name, DRAWN),
        "misleads": re.sub(r"``?", "`", " ".join(words.partition("Misleads:")[2].split())),
        "splits": _sizes(runs_of_task),
    }


def _sizes(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Of each split, how many examples the runs have of it, and how good the trivial predictor is."""
    sizes: dict[str, dict[str, set[Any]]] = {}
    for run in runs:
        for split, facts in (run.facts.get("splits") or {}).items():
            into = sizes.setdefault(split, {"n": set(), "trivial": set()})
            into["n"].add(facts.get("n"))
            trivial = facts.get("trivial_acc", facts.get("trivial_loss"))
            into["trivial"].add(None if trivial is None else round(trivial, 4))
    return [{"split": split, **{k: _listed(v) for k, v in sizes[split].items()}} for split in in_order(set(sizes))]


def _listed(values: set[Any]) -> str:
    known = sorted(v for v in values if v is not None)
    return ", ".join(f"{v:,}" for v in known) or "not recorded"


def _inventory(run: Run, name: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the run table."""
    return {
        "id": name,
        "condition": condition_of(run.label),
        "seed": run.seed,
        "n": _n_train(run),
        "state": summary["state"],
        "splits": summary["splits"],
    }


def _regimes(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Label -> its axes; two configurations of one name are told apart by a number."""
    axes_of: dict[str, dict[str, Any]] = {}
    for run in runs:
        regime = run.config["regime"]
        axes = {k: _in_words(regime[k]) for k in AXES if k in regime}
        label, number = run.label, 1
        while label in axes_of and axes_of[label] != axes:
            number += 1
            label = f"{run.label} ({number})"
        axes_of[label] = axes
    return axes_of


def _in_words(value: Any) -> Any:
    """A component as its name and parameters: ``grokfast_ema (alpha 0.98, lambda 2)``."""
    if not isinstance(value, Mapping):
        return value
    parameters = ", ".join(f"{k} {_number(v)}" for k, v in value.items() if k != "name")
    if parameters:
        return f"{value.get('name')} ({parameters})"
    return str(value.get("name"))


def _number(value: Any) -> str:
    if isinstance(value, list):
        return " and ".join(_number(v) for v in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}"
    return str(value).lower()


def _differing(regimes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    keys = dict.fromkeys(chain.from_iterable(regimes.values()))
    return [k for k in keys if len({configio.content_hash(axes.get(k)) for axes in regimes.values()}) > 1]


def _seeds(runs: Sequence[Run]) -> dict[str, int]:
    """``grokking, n_train = 1000`` -> number of seeds."""
    groups: dict[str, set[int]] = {}
    for run in runs:
        groups.setdefault(f"{condition_of(run.label)}, n_train = {_n_train(run)}", set()).add(run.seed)
    return {group: len(seeds) for group, seeds in groups.items()}


def _verdicts(summaries: Sequence[Mapping[str, Any]], split: str) -> Counter[str]:
    return Counter(s["splits"].get(split, {}).get("verdict", "no verdict") for s in summaries)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.most_common())


def _origin(run: Run) -> str:
    lineage = run.record.get("lineage") or {}
    if lineage.get("kind") == "archive":
        return str(lineage.get("archive", ""))
    return ""


def _n_train(run: Run) -> Any:
    return (run.facts.get("splits") or {}).get("train", {}).get("n")
