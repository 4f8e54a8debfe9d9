"""Dissect saved runs: choice of checkpoint and examples, for one checkpoint or the whole trajectory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope import configio
from grokscope.config import RunConfig
from grokscope.dissect.battery import Unseen, dissect
from grokscope.dissect.features import digests
from grokscope.dissect.progress import Watch
from grokscope.dissect.saving import save_dissection
from grokscope.dissect.sentences import TISSUE, Nouns
from grokscope.figures.checkpoint_view import view_of
from grokscope.figures.dissection_files import write_pictures_along
from grokscope.files import write_json
from grokscope.registry import nearest
from grokscope.results.dissection import FOLDER, RULES, SAMPLE, Dissection, Request
from grokscope.results.settings import Settings
from grokscope.store import Run
from grokscope.store.dissected import keep_request, requests
from grokscope.store.same_data import require_digests, require_version
from grokscope.task_data import Split, TaskData
from grokscope.tasks.digest import split_digests
from grokscope.trajectory.selection import checkpoint, kept
from grokscope.vocabulary.splits import UNSEEN

if TYPE_CHECKING:
    from torch import nn

NOUNS = {"hospitals": TISSUE, "camelyon17": TISSUE}
"""What environment and class are called, by task."""


@dataclass(frozen=True)
class Material:
    """What every checkpoint of a run is dissected on: the sample (n, ...) and the unseen environments."""

    sample: Split
    unseen: dict[str, Unseen]
    data: TaskData
    config: RunConfig


def material(run: Run, split: str = SAMPLE) -> Material:
    """The data of a run, drawn or loaded again from its config.

    Raises:
        ValueError: for a run without checkpoints' config, a regression, a task without environments, an unknown split,
        or data that is not what the run was trained on.
    """
    config = configio.load_run(run.config)
    require_version(run, config)
    data = config.task.build(config.seed)
    require_digests(run, split_digests(data))
    if split not in data.splits:
        raise ValueError(f"{run.id} has no split {split!r}{nearest(split, list(data.splits))}")
    sample = data.splits[split]
    if data.kind != "classification" or sample.env is None:
        raise ValueError(
            f"{run.id}: a dissection needs class labels and environments; task {config.task.name!r} lacks them"
        )
    away = {n: s for n, s in data.splits.items() if n in UNSEEN and n != split}
    unseen = {name: Unseen(s.x, s.y, s.env, s.group) for name, s in away.items()}
    return Material(sample, unseen, data, config)


def load_network(run: Run, weights: Path, data: TaskData, config: RunConfig) -> "tuple[nn.Module, Any]":
    """(model in evaluation mode, conversion of a batch) with the weights of one checkpoint.

    Raises:
        ValueError: for a damaged checkpoint, or weights that do not fit the run's model.
    """
    from grokscope.store.weights import fill
    from grokscope.train.inputs import Network
    from grokscope.train.losses import make_loss

    loss = make_loss(config.regime.loss, config.regime.loss_dtype, data.kind, data.classes)
    model = config.model.build(data, loss.outputs())
    fill(model, weights)
    return model.eval(), Network(model, data.meta).prepare


def chosen_checkpoints(run: Run, rule: str) -> dict[int, tuple[Path, str]]:
    """Step -> (weights, the rule's one spelling): every checkpoint for ``all``, otherwise the one that the rule names,
    as `grokscope.trajectory.selection.checkpoint` does. A choice on `ood_test` is an oracle's, and stamped into
    whatever comes of it.

    Raises:
        ValueError: for an unknown rule, a step without a checkpoint, a split without evaluations, a run without
        checkpoints.
    """
    if rule != "all":
        chosen = checkpoint(run, rule)
        return {chosen.step: (chosen.path, chosen.selection.rule)}
    return {step: (path, f"step={step}") for step, path in sorted(kept(run).items())}


def dissect_run(
    run: Run,
    rule: str = "final",
    *,
    split: str = SAMPLE,
    sites: tuple[str, ...] | None = None,
    steer_sites: tuple[str, ...] = (),
    settings: Settings | None = None,
    figures: bool = True,
    keep: bool = False,
    watch: Watch | None = None,
) -> Iterator[tuple[int, Dissection]]:
    """Dissect the checkpoints that `rule` names and write ``mechinterp/`` into the run, one result at a time.

    For ``all``, each checkpoint's results lie in ``mechinterp/step<n>/``, the last one's also in ``mechinterp/``
    itself, and ``mechinterp/trajectory.json`` holds a row of summaries for each; ``along.png`` and ``layers.png`` show
    them. What is fitted is fitted on the fit
    part of `split`, which should share the training environments; the unseen environments are only measured. With
    `keep`, a checkpoint whose dissection lies there already (the same weights, images, settings and request, under the
    rules of today) is read and not done again. `watch` is told of each piece of work, with the share of all checkpoints
    that is done.
    """
    chosen = chosen_checkpoints(run, rule)
    request = Request(split=split, sites=tuple(sites or ()), steer_sites=steer_sites)
    comparable = keep and requests(run.path).get(rule, Request()) == request
    dissecting = _Dissecting(run, material(run, split), request, settings or Settings(), comparable)
    if rule == "all":
        yield from _dissect_all(dissecting, chosen, figures, watch)
        name = rule
    else:
        ((step, (weights, name)),) = chosen.items()
        result, is_new = dissecting.of(weights, name, run.path / FOLDER, _within(watch, 0, 1, step))
        if is_new:
            save_dissection(result, run.path, figures)
        yield step, result
    keep_request(run.path, name, request)


@dataclass(frozen=True)
class _Dissecting:
    """What is the same for every checkpoint of a run."""

    run: Run
    material: Material
    request: Request
    settings: Settings
    comparable: bool
    """Whether what lies in the folder already was asked for in the same way, and may stay."""

    def of(self, weights: Path, selection: str, folder: Path, watch: Watch | None) -> tuple[Dissection, bool]:
        """(dissection of one checkpoint, whether it had to be made): what lies in `folder` is taken where it is what
        would be made now."""
        sample, config = self.material.sample, self.material.config
        assert sample.env is not None  # `material` has checked it
        model, prepare = load_network(self.run, weights, self.material.data, config)
        if self.comparable:
            kept = _kept(folder, (selection, self.settings, *digests(model, sample.x, prepare)))
            if kept is not None:
                return kept, False
        result = dissect(
            model,
            sample.x,
            sample.y,
            sample.env,
            sample.group,
            list(self.request.sites) or None,
            unseen=self.material.unseen,
            settings=self.settings,
            selection=selection,
            prepare=prepare,
            cache=self.run.path / FOLDER / "features",
            steer_sites=self.request.steer_sites,
            split=self.request.split,
            at_chance="probes",
            nouns=NOUNS.get(config.task.name, Nouns()),
            watch=watch,
        )
        return result, True

    def stands_in(self, folder: Path, result: Dissection) -> bool:
        """Whether this very dissection lies in a folder and may stay there."""
        return self.comparable and _kept(folder, _identity(result)) is not None


def _dissect_all(
    dissecting: _Dissecting, chosen: dict[int, tuple[Path, str]], figures: bool, watch: Watch | None
) -> Iterator[tuple[int, Dissection]]:
    """Each checkpoint in a folder of its own, the last one's in the root besides, and what shows all of them."""
    run = dissecting.run
    root = run.path / FOLDER
    rows, views = [], []
    for number, (step, (weights, name)) in enumerate(chosen.items()):
        folder = root / f"step{step:08d}"
        result, is_new = dissecting.of(weights, name, folder, _within(watch, number, len(chosen), step))
        if is_new:
            result.write(folder)
        rows.append({"step": step, **summary(result)})
        views.append(view_of(result, step))
        # The root may hold another rule's checkpoint, dissected since; a reader of the root wants the last one's.
        if step == max(chosen) and not dissecting.stands_in(root, result):
            save_dissection(result, run.path, figures)
        yield step, result
    write_json(root / "trajectory.json", rows)
    if figures:
        write_pictures_along(views, root, "all checkpoints that were kept")


_Identity = tuple[str, Settings, str | None, str | None]
"""Selection, settings, hash of the network, hash of the images: where these are the same, so are all numbers made under
the same rules."""


def _identity(result: Dissection) -> _Identity:
    return result.selection, result.settings, result.model_hash, result.data_hash


def _kept(folder: Path, wanted: _Identity) -> Dissection | None:
    """The dissection in a folder, if it is the wanted one under the rules of today; None where it is another, damaged
    or outdated."""
    try:
        kept = Dissection.read(folder)
    except (OSError, ValueError):
        return None
    if _identity(kept) == wanted and kept.rules == RULES:
        return kept
    return None


def _within(watch: Watch | None, number: int, of: int, step: int) -> Watch | None:
    """A watcher of one checkpoint among several, from the watcher of them all."""
    if watch is None:
        return None
    return lambda piece, share: watch(f"step {step:,}: {piece}", (number + share) / of)


def summary(result: Dissection) -> dict[str, Any]:
    """One flat row: accuracy by split, probes by site, erasure damage, steering slope, neuron summary, and the cell."""
    row: dict[str, Any] = {
        **{f"accuracy_{a.name}": a.accuracy for a in result.accuracy},
        "cell": result.where.cell,
        "form": result.where.form,
        "reliance": result.reliance.env_gap if result.reliance else None,
        "reliance_p": result.reliance.p if result.reliance else None,
    }
    for probe in result.m1.probes:
        row[f"probe_{probe.target}_{probe.site}"] = probe.test.balanced if probe.test else None
    for erasure in result.m4.erasures:
        row[f"erase_{erasure.eraser}_refitted"] = erasure.refitted.balanced
        for name, effect in erasure.effects["test"].items():
            row[f"erase_{erasure.eraser}_{name}"] = effect.value
    row["steer_slope"] = result.m5.slope_size
    row["steer_reliability"] = result.m5.reliability.mean if result.m5.reliability else None
    for ablation in result.m6.ablations:
        for arm, values in ablation.summary_values.items():
            row |= {f"neurons_{ablation.on}_{ablation.ablation}_{arm}_{k}": v for k, v in values.items()}
    return row
