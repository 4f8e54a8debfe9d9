"""What everything registered promises: it says what it is, repeats itself, can be saved, and does nothing at zero."""

import dataclasses
import io
import json
import re
from typing import get_args

import numpy as np
import pytest
import torch

from grokscope import configio, registry
from grokscope.registry import Kind
from grokscope.tasks.trivial import trivial_metrics
from grokscope.train.driver import make_engine
from grokscope.train.evaluate import View
from grokscope.train.measurements.bundle import PARTS
from tiny import SMALL_TASKS, TAKEN_AFTERWARDS, assert_same, fitting, small_task, tiny

pytestmark = pytest.mark.filterwarnings(TAKEN_AFTERWARDS)
ALL = [(kind, name) for kind in get_args(Kind) for name in registry.entries(kind)]
"""Plug-ins that are installed here keep the same promises."""
ON_DISK = [name for name in registry.built_in("task") if name not in SMALL_TASKS]
TRAINABLE = [(kind, name) for kind, name in ALL if name not in ON_DISK and kind not in ("eraser", "tracker")]
"""What a run can be trained with; erasers belong to dissections (`test_erasers`), trackers are no part of a run
(`test_trackers`)."""


# -- documentation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), ALL, ids=lambda v: v)
def test_the_docstring_has_formula_source_cost_and_when_it_misleads(kind, name):
    entry = registry.find(kind, name)
    doc = entry.load().__doc__ or ""
    assert re.search(r"`[^`]+`|Formula:", doc), "a formula, in backticks or after 'Formula:'"
    assert "Cost" in doc, "what it costs"
    assert re.search(r"[Mm]isleads", doc), "when it misleads"
    if entry.source != "-":
        assert entry.source.partition(":")[2] in doc, f"its source, {entry.source}"


def test_every_field_of_a_config_is_known_to_the_type_checker():
    """A field without a type that `configio` structures strictly would accept anything."""
    for kind in get_args(Kind):
        for name in registry.built_in(kind):
            for field in dataclasses.fields(registry.load(kind, name)):
                assert field.type not in ("Any", dict, list, tuple), f"{kind} {name}: {field.name}"


# -- tasks ------------------------------------------------------------------------------------------------------------


def built(name, seed=0):
    config = configio.structure(SMALL_TASKS[name], registry.load("task", name))
    return config, config.build(seed)


@pytest.mark.parametrize("name", registry.built_in("task"))
def test_a_task_is_small_enough_to_test_or_needs_files(name):
    if name in SMALL_TASKS:
        return
    with pytest.raises((ValueError, TypeError)):  # its own tests build the files
        registry.load("task", name)().build(0)


@pytest.mark.parametrize("name", SMALL_TASKS)
def test_a_task_repeats_itself_for_a_seed_and_differs_for_another(name):
    (config, one), (_, same), (_, other) = built(name), built(name), built(name, seed=1)
    assert len(one.splits["train"]) == config.train_size(), "the size is known without building the data"
    assert one.splits.keys() == same.splits.keys() == other.splits.keys()
    for split, a in one.splits.items():
        b = same.splits[split]
        for key in ("x", "y", "env", "group"):
            np.testing.assert_array_equal(getattr(a, key), getattr(b, key))
    assert not np.array_equal(one.splits["train"].x, other.splits["train"].x)
    assert json.loads(json.dumps(one.meta, allow_nan=False)) == one.meta, "facts are plain data"


@pytest.mark.parametrize("name", SMALL_TASKS)
def test_no_row_is_in_two_splits(name):
    _, data = built(name)
    rows = {split: {row.tobytes() for row in np.ascontiguousarray(s.x)} for split, s in data.splits.items()}
    names = list(rows)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            assert not rows[a] & rows[b], f"{a} and {b}"


@pytest.mark.parametrize("name", SMALL_TASKS)
def test_every_split_has_a_trivial_predictor(name):
    _, data = built(name)
    key = "acc" if data.kind == "classification" else "loss"
    trivial = trivial_metrics(data)
    assert trivial.keys() == data.splits.keys()
    for values in trivial.values():
        assert 0 <= values[key] < (1 if key == "acc" else np.inf)
        assert all(re.fullmatch(r"group\d+_loss", k) for k in values.keys() - {key})
    assert 0 < data.threshold <= 1


@pytest.mark.parametrize("name", SMALL_TASKS)
def test_environments_are_ids_and_held_out_ones_are_not_trained_on(name):
    _, data = built(name)
    if all(s.env is None for s in data.splits.values()):
        assert not {"ood_val", "ood_test"} & data.splits.keys()
        return
    seen = {n: set(s.env.tolist()) for n, s in data.splits.items()}
    assert not seen["train"] & (seen.get("ood_val", set()) | seen.get("ood_test", set()))
    assert not seen.get("ood_val", set()) & seen.get("ood_test", set())


# -- training with it -------------------------------------------------------------------------------------------------


def engine_of(changes, seed=0):
    config = tiny(changes, seed=seed)
    return make_engine(config, config.task.build(config.seed))[1]


def advanced(changes, steps=12, seed=0):
    engine = engine_of(changes, seed)
    engine.advance(steps, True, lambda: False)
    return engine


@pytest.mark.parametrize(("kind", "name"), TRAINABLE, ids=lambda v: v)
def test_training_repeats_itself_for_a_seed_and_differs_for_another(kind, name):
    changes = fitting(kind, name)
    one, same = advanced(changes), advanced(changes)
    assert_same(one.state_dict(), same.state_dict())
    first, second = (json.dumps(e.row(True)) for e in (one, same))
    assert first == second
    weights = one.weights().values()
    assert any(
        not torch.equal(a, b) for a, b in zip(weights, advanced(changes, seed=1).weights().values(), strict=True)
    )
    assert one.finite()


@pytest.mark.parametrize(("kind", "name"), TRAINABLE, ids=lambda v: v)
def test_its_state_can_be_saved_and_read_without_unpickling(kind, name):
    changes = fitting(kind, name)
    engine = advanced(changes, steps=11)
    file = io.BytesIO()
    torch.save(engine.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert_same(engine.state_dict(), state)
    other = engine_of(changes)
    other.load_state_dict(state)
    for e in (engine, other):
        e.advance(17, False, lambda: False)
    assert_same(engine.state_dict(), other.state_dict())


@pytest.mark.parametrize(("kind", "name"), [t for t in TRAINABLE if t != ("engine", "compiled")], ids=lambda v: v)
def test_a_row_is_flat_and_its_counts_add_up(kind, name):
    engine = advanced(fitting(kind, name))
    row = engine.row(diagnose=True)
    assert all(isinstance(v, int | float) for v in row.values())
    assert len(row) == len(set(row))
    for split, data in engine.splits.items():
        n = len(data.y)
        assert row[f"{split}_n"] == n
        assert row[f"{split}_loss"] >= 0
        if engine.loss.targets != "real":
            assert row[f"{split}_acc"] == row[f"{split}_correct"] / n
        else:
            assert row[f"{split}_r2"] <= 1
        parts = [v for k, v in row.items() if re.fullmatch(rf"{split}_env\d+_correct", k)]
        assert bool(parts) == (data.env is not None and engine.loss.targets != "real")
        if parts:
            assert sum(parts) == row[f"{split}_correct"]
    groups = [row[f"norm_{g}"] for g in engine.groups]
    assert np.sqrt(np.sum(np.square(groups))) == pytest.approx(row["norm_total"], rel=1e-9)


# -- measurements say what they need ----------------------------------------------------------------------------------


class _Reads(View):
    """A view that notes what is read of it."""

    def __getattribute__(self, name):
        if name in ("initial", "update"):
            super().__getattribute__("read").add(name)
        return super().__getattribute__(name)


class _Loss:
    """The loss, which notes whether it was taken of outputs that a measurement computed itself."""

    def __init__(self, loss):
        self.loss, self.ran, self.own_outputs = loss, False, False

    def __call__(self, logits, target):
        self.own_outputs |= self.ran
        return self.loss(logits, target)

    def __getattr__(self, name):
        return getattr(self.loss, name)


def read_by(name):
    """(values, what was read and computed for them, in the words of `needs`) of a diagnosed step."""
    measurement = registry.load("measurement", name)()
    engine = engine_of(fitting("measurement", name))
    engine.watch.keep_update = True
    engine.initial = {n: t.detach().clone() for n, t in engine.model.state_dict().items()}
    engine.advance(3, True, lambda: False)
    engine.model.eval()
    loss = _Loss(engine.loss)
    engine.model.register_forward_hook(lambda *_: setattr(loss, "ran", True))
    logits, features = engine._forward_all(True)
    seen = engine.view(logits, features)
    view = _Reads(**{f.name: getattr(seen, f.name) for f in dataclasses.fields(View)} | {"loss": loss})
    object.__setattr__(view, "read", set())
    loss.ran = False
    values = measurement(view)
    return values, view.read | ({"training_loss"} if loss.own_outputs else set())


@pytest.mark.parametrize("name", registry.entries("measurement"))
def test_a_measurement_reads_only_what_it_says_it_needs(name):
    """A number that silently rests on the training loss would be wrong where an intervention makes that another one."""
    measurement = registry.load("measurement", name)()
    _, read = read_by(name)
    parts = PARTS if name == "mechanisms" else ()
    needs = measurement.needs.union(*(part.needs for part in parts))
    assert read <= needs


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("hessian", {"training_loss"}),
        ("projected_shrinking", {"training_loss", "update"}),
        ("description_length", {"training_loss"}),
        ("kernel", {"initial"}),
        ("rotation", {"update"}),
        ("gap", set()),  # losses of the outputs as they are evaluated
    ],
)
def test_what_a_measurement_reads_is_seen(name, read):
    values, seen = read_by(name)
    assert values
    assert seen == read


# -- nothing at strength zero -----------------------------------------------------------------------------------------

BASE = {"regime.weight_decay": 0.0}
ENVS = fitting("task", "hospitals")
ZERO = {
    "grokfast_ema": ({}, {"regime.grad_filter": "grokfast_ema", "regime.grad_filter.lambda": 0.0}),
    "grokfast_ma": (
        {},
        {"regime.grad_filter": "grokfast_ma", "regime.grad_filter.lambda": 0.0, "regime.grad_filter.window": 3},
    ),
    "decay": (BASE, {"regime.decay_target": "init", **BASE}),
    "decay groups": (BASE, {"regime.decay_groups": "head", **BASE}),
    "init scale": ({}, {"regime.init_scale": 1.0}),
    "label noise": ({}, {"regime.label_noise": 0.0}),
    "clip": ({}, {"regime.clip_norm": 1e12}),
    "warm-up": ({}, {"regime.schedule": "warmup", "regime.schedule.warmup_steps": 0}),
    "momentum": (
        {"regime.optimizer": "sgd"},
        {"regime.optimizer": "sgd", "regime.optimizer.momentum": 0.0},
    ),
    "irm": (ENVS, {**ENVS, "regime.irm_weight": 0.0, "regime.irm_anneal_steps": 5}),
}
STRENGTH = {
    "grokfast_ema": {"regime.grad_filter.lambda": 1.0},
    "grokfast_ma": {"regime.grad_filter.lambda": 1.0},
    "decay": {"regime.weight_decay": 0.5},
    "decay groups": {"regime.weight_decay": 0.5},
    "init scale": {"regime.init_scale": 1.1},
    "label noise": {"regime.label_noise": 0.2},
    "clip": {"regime.clip_norm": 0.1},
    "warm-up": {"regime.schedule.warmup_steps": 5},
    "momentum": {"regime.optimizer.momentum": 0.5},
    "irm": {"regime.irm_weight": 3.0},
}


def final(changes):
    return torch.cat([w.double().flatten() for w in advanced(changes).weights().values()])


@pytest.mark.parametrize("what", ZERO)
def test_at_strength_zero_it_is_not_there(what):
    without, at_zero = ZERO[what]
    assert torch.equal(final(without), final(at_zero))
    assert not torch.equal(final(at_zero), final(at_zero | STRENGTH[what])), "and with strength it is"


def test_every_filter_with_a_strength_is_above():
    assert set(registry.built_in("filter")) - {"none", "orthogonal"} <= set(ZERO)


def test_small_tasks_name_themselves():
    assert all(small_task(name)["name"] == name for name in SMALL_TASKS)
