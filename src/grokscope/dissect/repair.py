"""Apply the erasure on which a dissection bases its conclusion to the network, and measure its effect.

Nothing is trained: the edit is fitted on the fit part of the examples, and accuracy is measured on their test part and
on environments that no part holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grokscope.config import require
from grokscope.dissect.accuracy import mean_interval
from grokscope.dissect.answer import POOLED, preferred_erasers
from grokscope.dissect.battery import prepare_sample
from grokscope.dissect.erasure import make_bench
from grokscope.dissect.erasure_methods import method
from grokscope.dissect.head import head_of
from grokscope.dissect.parts import coded, split_parts
from grokscope.dissect.probes import fit_path
from grokscope.dissect.runs import chosen_checkpoints, load_network, material
from grokscope.dissect.through import logits_with
from grokscope.results.record import Record
from grokscope.results.scores import Interval
from grokscope.results.settings import Settings
from grokscope.store import Run
from grokscope.trajectory.selection import rule_label

if TYPE_CHECKING:
    from torch import nn

    from grokscope.dissect.features import Prepare
    from grokscope.dissect.intervention import Erase, Intervention
    from grokscope.task_data import Split


@dataclass(frozen=True, kw_only=True)
class Change(Record):
    """What an edit does to the answers on one set of examples."""

    on: str
    """The set."""
    n: int
    """[examples]"""
    before: float
    """Accuracy of the network as it is. [share]"""
    after: float
    """With the edit in place. [share]"""
    gain: float
    """After minus before. [share]"""
    interval: Interval | None
    """95 % bootstrap interval of the gain over groups, or over examples without groups. [share]"""


def fit_erasure(
    model: "nn.Module",
    sample: "Split",
    settings: Settings,
    *,
    eraser: str | None = None,
    prepare: "Prepare | None" = None,
) -> "Erase":
    """The erasure at the head's input, fitted as M4 fits it; `eraser` defaults to the one that M4's verdict rests on.

    Raises:
        ValueError: as `battery.dissect`, and for an eraser that cannot be fitted to these examples.
    """
    from grokscope.dissect.features import collect

    assert sample.env is not None
    features = collect(model, sample.x, [POOLED], prepare=prepare)
    pooled = features.sites[POOLED]
    head = head_of(model, pooled, features.logits)
    labeled = prepare_sample(sample.y, sample.env, sample.group, len(pooled), head, settings)[0]
    bench = make_bench(pooled, head, labeled, {}, settings)
    name = eraser or preferred_erasers(labeled.units("fit"), pooled.shape[1])[0]
    (probe,) = fit_path(
        bench.fit, labeled.target("environment", "fit"), settings.refit_regularization[:1], labeled.weights["fit"]
    )
    return method(name, settings.lda_rounds).fit(bench.view(probe)).intervention(POOLED)


def changes(
    model: "nn.Module",
    intervention: "Intervention",
    sample: "Split",
    unseen: Mapping[str, "Split"],
    settings: Settings,
    prepare: "Prepare | None" = None,
) -> tuple[Change, ...]:
    """What the edit does to the answers: on the test part of `sample`, which no erasure was fitted to that
    `fit_erasure` made with these settings, and on the unseen environments."""
    rows = _test_part(sample, settings)
    sets = {"test part": _rows_of(sample, rows), **unseen}
    return tuple(_change(model, intervention, name, part, settings, prepare) for name, part in sets.items())


def _test_part(sample: "Split", settings: Settings) -> np.ndarray:
    assert sample.env is not None
    n = len(sample.y)
    groups = None if sample.group is None else coded(sample.group, "groups", n)
    environments, labels = coded(sample.env, "environments", n), coded(sample.y, "labels", n)
    return split_parts(environments, labels, groups, settings.shares, settings.seed)[0].test


def _rows_of(split: "Split", rows: np.ndarray) -> "Split":
    env = None if split.env is None else split.env[rows]
    group = None if split.group is None else split.group[rows]
    return replace(split, x=split.x[rows], y=split.y[rows], env=env, group=group)


def _change(
    model: "nn.Module",
    intervention: "Intervention",
    name: str,
    split: "Split",
    settings: Settings,
    prepare: "Prepare | None",
) -> Change:
    labels = np.asarray(split.y)
    before = logits_with(model, split.x, prepare=prepare).argmax(axis=1) == labels
    after = logits_with(model, split.x, intervention, prepare=prepare).argmax(axis=1) == labels
    units = np.arange(len(labels)) if split.group is None else np.unique(split.group, return_inverse=True)[1]
    gain = after.astype(float) - before
    return Change(
        on=name,
        n=len(labels),
        before=float(before.mean()),
        after=float(after.mean()),
        gain=float(gain.mean()),
        interval=mean_interval(gain, units, settings.rng("repair", name), settings.resamples),
    )


def repair_run(
    run: Run,
    rule: str = "final",
    *,
    edit: str | Path | None = None,
    eraser: str | None = None,
    strength: float = 1.0,
    settings: Settings | None = None,
) -> "tuple[Intervention, tuple[Change, ...], str]":
    """An edit of one checkpoint of a run, what it does, and by which rule the checkpoint was chosen: the edit of the
    file `edit`, else the erasure that is fitted to the run's held-out patients.

    Raises:
        ValueError: for a rule that names several checkpoints, a file that is no intervention or made for another
            network, and as `runs.material`.
    """
    from grokscope.dissect.intervention import load

    settings = settings or Settings()
    require(rule != "all", "checkpoint: choose one, such as final, peak_ood_val or step=400; all selects several")
    ((path, selection),) = chosen_checkpoints(run, rule).values()
    given = material(run)
    model, prepare = load_network(run, path, given.data, given.config)
    if edit is None:
        intervention = fit_erasure(model, given.sample, settings, eraser=eraser, prepare=prepare)
    else:
        intervention = load(edit)
    intervention = replace(intervention, strength=strength * intervention.strength)
    away = {name: given.data.splits[name] for name in given.unseen}
    return intervention, changes(model, intervention, given.sample, away, settings, prepare), rule_label(selection)
