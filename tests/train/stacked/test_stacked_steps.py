"""A stack takes the steps that each of its members would take alone: in float64 to 1e-9 after 200 of them, for every
registered optimizer, filter, loss, schedule, model and task, with members that differ in seed and in numbers."""

import re
from dataclasses import dataclass, replace

import pytest
import torch
from torch.nn import functional

from grokscope import registry
from grokscope.components import Filter, Optimizer
from grokscope.models.config import EmbeddingMLP
from grokscope.train.driver import make_engine
from grokscope.train.gradient_filters import Stateless
from grokscope.train.stacked.alike import refusal
from grokscope.train.stacked.engine import Stack
from grokscope.train.stacked.stackable import CannotStack, require_stackable
from tiny import SMALL_TASKS, fitting, tiny

torch.set_num_threads(1)
MEMBERS = (
    {"seed": 0},
    {"seed": 1},
    {"seed": 2, "regime.lr": 8e-4, "regime.weight_decay": 0.4},
    {"seed": 3, "regime.init_scale": 1.5, "regime.clip_norm": 0.05},
)
KINDS = ("optimizer", "filter", "loss", "schedule", "intervention", "model", "task")
APART = {
    ("intervention", "train_subset"): r"\$\.regime\.interventions\[0\]: 'train_subset' draws its own batches",
    ("intervention", "switch"): r"\$\.regime\.interventions\[0\]: 'switch' changes the loss",
    ("intervention", "radial_penalty"): r"\$\.regime\.interventions: one reads inside the network",
}
"""What cannot be stacked, with these parameters -> the words."""
NEED_FILES = {("task", name) for name in registry.built_in("task") if name not in SMALL_TASKS}
LEFT_OUT = {*APART, *NEED_FILES}
EVERYTHING = [(kind, name) for kind in KINDS for name in registry.built_in(kind) if (kind, name) not in LEFT_OUT]


def engines(configs):
    """Engines that compute in float64 throughout."""
    return [doubled(make_engine(c, c.task.build(c.seed))[1]) for c in configs]


def doubled(engine):
    engine.model.double()
    engine.decay.targets = [t.double() for t in engine.decay.targets]
    for name, split in engine.splits.items():
        if split.x.is_floating_point() or split.x.dtype == torch.uint8:
            engine.splits[name] = replace(split, x=engine.network.prepare(split.x).double())
    if engine.interventions:
        torch.set_default_dtype(torch.float64)  # of the weights that they draw
        engine.interventions = engine._build_interventions(*engine._built_from)
        torch.set_default_dtype(torch.float32)
    return engine


def members(changes):
    return [tiny({**changes, "regime.loss_dtype": "float64", **own}) for own in MEMBERS]


def calm(kind, name):
    """Settings under which rounding stays rounding. At the usual rate some networks are so unstable that one bit grows
    tenfold in ten steps, and Adam divides the gradient of a bias before a batch norm, which is nothing but rounding, by
    itself: whoever trains them."""
    changes = fitting(kind, name)
    if kind in ("model", "task") or changes.get("regime.loss") == "squared_error":
        changes = {**changes, "regime.lr": 1e-3, "regime.optimizer": "sgd"}
    return changes


def largest_difference(configs, steps=200):
    """Between the weights and buffers of a stack and those of engines that were trained alone."""
    alone, stacked = engines(configs), engines(configs)
    stack = Stack(stacked)
    for until in (3, steps // 2, steps):  # in pieces, as cadences cut them
        stack.advance(until, [0], lambda: False)
    for engine in alone:
        engine.advance(steps, True, lambda: False)
    pairs = [(a.weights(), b.weights()) for a, b in zip(alone, stacked, strict=True)]
    return max(float((w[k] - v[k]).abs().max()) for w, v in pairs for k in w)


STEPS = {"model": 60, "task": 60}
"""Of what is slow; 200 of all else."""


@pytest.mark.parametrize(("kind", "name"), EVERYTHING, ids=lambda v: v)
def test_two_hundred_steps_are_those_of_each_run_alone(kind, name):
    assert largest_difference(members(calm(kind, name)), STEPS.get(kind, 200)) < 1e-9


@pytest.mark.parametrize(("kind", "name"), APART, ids=lambda v: v)
def test_what_members_cannot_do_together_is_refused_with_the_reason(kind, name):
    configs = members(fitting(kind, name))
    if words := refusal(configs[0]):
        assert re.match(APART[kind, name], words)
        return
    with pytest.raises(CannotStack, match=APART[kind, name]):
        stack_of(configs)


SWITCHES = [
    {"name": "switch", "from": 9, "to": {"lr": 3e-3, "optimizer": "sgd", "grad_filter": "grokfast_ema"}},
    {"name": "switch", "from": 20, "until": 40, "to": {"weight_decay": 0.5, "clip_norm": 0.1}},
]


def test_interventions_of_some_members_leave_the_others_alone():
    """Members leave their cluster and come back; one forgets its moments in the middle."""
    anew = [{"name": "reinitialize", "from": 15, "of": "head"}, {"name": "freeze", "from": 30, "of": "weights"}]
    chosen = [[], SWITCHES, [], anew, [{"name": "temperature", "temperature": 1.5, "from": 4}]]
    configs = [
        tiny({"regime.interventions": c, "regime.loss_dtype": "float64", "seed": i}) for i, c in enumerate(chosen)
    ]
    assert largest_difference(configs, 60) < 1e-9


@pytest.mark.parametrize(
    "changes",
    [
        {"regime.decay_target": "init"},
        {"regime.decay_groups": "head"},
        {"regime.optimizer": "sgd", "regime.decay_groups": "matrices", "regime.decay_target": "init"},
        {"regime.batch_size": 0, "regime.grad_filter": "grokfast_ema"},
        {"regime.batch_size": 7},  # the last batch of an epoch is smaller
        {**calm("task", "hospitals"), "regime.irm_weight": 2.0, "regime.irm_anneal_steps": 50},
        {"regime.label_noise": 0.2},
        {"model": {"name": "transformer", "width": 8, "heads": 2, "mlp_width": 8, "norm": "rms", "layers": 2,
                   "norm_position": "post"}},
        {**fitting("task", "parity"), "model": {"name": "mlp", "hidden": [8], "norm": "layer", "activation": "gelu"}},
    ],
    ids=lambda c: " ".join(f"{k.rpartition('.')[2]}" for k in c),
)  # fmt: skip
def test_so_are_those_of_other_settings(changes):
    assert largest_difference(members(changes), 60) < 1e-9


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("lr", [1e-2, 1.1e-2, 9e-3]),
        ("weight_decay", [0.0, 0.1, 0.4]),
        ("clip_norm", [None, 0.05, 0.1]),
        ("decay_groups", ["all", "head", "matrices"]),
        ("decay_target", ["zero", "init", "zero"]),
        ("init_scale", [1.0, 1.5, 3.0]),
        ("label_noise", [0.0, 0.2, 0.4]),
        ("schedule", ["constant", {"name": "warmup", "warmup_steps": 30}, {"name": "warmup", "warmup_steps": 50}]),
        ("grad_filter", ["none", "grokfast_ema", "orthogonal"]),
        ("optimizer", ["sgd", {"name": "sgd", "momentum": 0.9}, "adamw"]),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_members_that_differ_in_one_setting_alone_each_have_their_own(key, values):
    """Two of each value, so that each cluster has several members, in an order in which they do not lie together."""
    given = {"regime.optimizer": "sgd", "regime.lr": 1e-2, "regime.loss_dtype": "float64", "regime.weight_decay": 0.1}
    configs = [
        tiny({**given, f"regime.{key}": value, "seed": 3 * i + k}) for i in (0, 1) for k, value in enumerate(values)
    ]
    assert largest_difference(configs, 60) < 1e-9
    alone = engines([tiny({**given, f"regime.{key}": value, "seed": 0}) for value in values])
    for engine in alone:
        engine.advance(60, False, lambda: False)
    ends = [torch.cat([w.flatten() for w in engine.weights().values()]) for engine in alone]
    assert float((ends[0] - ends[1]).abs().max()) > 1e-6, "the setting does something here"


def test_members_of_one_cluster_are_clipped_by_their_own_norms():
    configs = [
        tiny({"regime.optimizer": "sgd", "regime.lr": 0.3, "regime.clip_norm": 0.05, "regime.loss_dtype": "float64",
              "regime.init_scale": scale, "seed": seed})
        for seed, scale in enumerate((1.0, 2.0, 5.0))
    ]  # fmt: skip
    assert len(Stack(engines(configs)).clusters) == 1
    assert largest_difference(configs, 60) < 1e-9


def test_numbers_of_components_may_differ_between_members():
    filters = [{"name": "grokfast_ema", "lambda": x, "alpha": a} for x, a in ((0.5, 0.9), (3.0, 0.99))]
    windows = [{"name": "grokfast_ma", "window": w} for w in (3, 11)]
    configs = [tiny({"regime.grad_filter": f, "seed": i}) for i, f in enumerate([*filters, *windows, "orthogonal"])]
    configs += [tiny({"regime.optimizer": {"name": "adamw", "betas": [0.8, 0.9]}}), tiny({"regime.optimizer": "muon"})]
    assert largest_difference(configs, 60) < 1e-9


def test_the_comparison_can_fail():
    """The members' differences are larger than what is allowed by far."""
    alone, other = engines([tiny(seed=0)]), engines([tiny(seed=0, regime__lr=1.0001e-2)])
    for engine in (*alone, *other):
        engine.advance(200, False, lambda: False)
    weights = [torch.cat([w.flatten() for w in e[0].weights().values()]) for e in (alone, other)]
    assert float((weights[0] - weights[1]).abs().max()) > 1e-6


@pytest.mark.parametrize("diagnose", [False, True])
def test_a_member_looks_at_its_last_step_as_it_would_alone(diagnose):
    configs = members({"regime.grad_filter": "orthogonal"})
    alone, stacked = engines(configs), engines(configs)
    Stack(stacked).advance(20, [0, 1, 2, 3], lambda: False)
    for one, member in zip(alone, stacked, strict=True):
        one.advance(20, True, lambda: False)
        row, other = one.row(diagnose), member.row(diagnose)
        assert row.keys() == other.keys()
        assert ("update_norm" in row) == diagnose
        assert other == pytest.approx(row, rel=1e-7, abs=1e-9)


# -- other people's pieces --------------------------------------------------------------------------------------------


def test_pieces_that_nothing_is_known_of_are_called_for_each_member(registered_here_only):
    class Halved(Stateless):
        def __call__(self, parameters):
            for p in parameters:
                p.grad = p.grad / (1 + p.grad.norm())  # a new tensor, of the whole gradient

    class Sign(torch.optim.Optimizer):
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.data -= group["lr"] * p.grad.sign() * p.grad.abs().max()

    @registry.register
    @dataclass(frozen=True, kw_only=True)
    class MyFilter(Filter):
        name = "halved"

        def build(self):
            return Halved()

    @registry.register
    @dataclass(frozen=True, kw_only=True)
    class MyOptimizer(Optimizer):
        name = "largest_sign"

        def build(self, model, regime):
            return [Sign(model.parameters(), {"lr": regime.lr})]

    assert largest_difference(members({"regime.grad_filter": "halved", "regime.optimizer": "largest_sign"}), 60) < 1e-9


class _Scaled(torch.nn.Module):
    """Holds a number of its own that is neither a parameter nor a buffer."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(7, 4)
        self.head = torch.nn.Linear(8, 7)
        self.scale = float(torch.rand(()))

    def forward(self, x):
        return self.head(self.embedding(x).flatten(1)) * self.scale


def registered_model(build):
    @registry.register
    @dataclass(frozen=True, kw_only=True)
    class MyModel(EmbeddingMLP):
        name = "my-model"

        def build(self, data, outputs):
            return build()

    return [tiny({"model": {"name": "my-model"}, "seed": s}) for s in range(3)]


def stack_of(configs):
    engines = [make_engine(c, c.task.build(c.seed))[1] for c in configs]
    require_stackable(engines, configs)
    return Stack(engines)


def test_a_network_of_other_making_is_mapped_or_refused(registered_here_only):
    def plain():
        parts = (torch.nn.Embedding(7, 4), torch.nn.Flatten(1), torch.nn.Linear(8, 6), torch.nn.SELU())
        return torch.nn.Sequential(*parts, torch.nn.Linear(6, 7))

    configs = registered_model(plain)
    assert largest_difference(configs, 60) < 1e-9
    for build, words in ((_Scaled, "computes another gradient"), (_dropout, "2 draws random numbers")):
        configs = registered_model(build)
        with pytest.raises(CannotStack, match=rf"\$\.model: .*{words}"):
            stack_of(configs)


def _dropout():
    parts = (torch.nn.Embedding(7, 4), torch.nn.Flatten(1), torch.nn.Linear(8, 7))
    return torch.nn.Sequential(*parts[:2], torch.nn.Dropout(0.5), *parts[2:])


class _Asking(_Scaled):
    """Its course depends on the numbers that it sees."""

    def forward(self, x):
        out = self.head(self.embedding(x).flatten(1))
        return out if out.sum() > 0 else -out


def test_a_network_whose_course_depends_on_numbers_is_refused_with_the_reason(registered_here_only):
    with pytest.raises(CannotStack, match=r"\$\.model: 'my-model' cannot be stacked \(.*data-dependent"):
        stack_of(registered_model(_Asking))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        (fitting("engine", "compiled"), r"\$\.engine: 'compiled'"),
        ({"regime.autocast": "bfloat16"}, r"\$\.regime\.autocast"),
        ({"hardware.compile": True}, r"\$\.hardware\.compile"),
        ({"hardware.step": "graph"}, r"\$\.hardware\.step"),
        (
            {"regime.interventions": [{"name": "switch", "to": {"loss": "mse"}}]},
            r"\$\.regime\.interventions\[0\]: 'switch' changes the loss",
        ),
    ],
    ids=["engine", "autocast", "compile", "graph", "another loss"],
)
def test_what_a_config_tells_already_is_refused_with_its_key(changes, key):
    assert re.match(key, refusal(tiny(changes)))
    assert refusal(tiny()) == ""


@pytest.mark.parametrize(
    ("other", "key"),
    [
        ({"task.p": 11}, r"\$\.model: the networks have other shapes"),
        ({"model.hidden": [9]}, r"\$\.model: the networks have other shapes"),
        ({"regime.batch_size": 6}, r"\$\.regime\.batch_size"),
        ({"regime.loss": "mse"}, r"\$\.task: the training sets have other sizes|\$\.regime\.loss"),
        ({"task.train_fraction": 0.3}, r"\$\.task: the training sets have other sizes"),
    ],
)
def test_runs_of_other_shapes_are_no_stack(other, key):
    with pytest.raises(CannotStack, match=key):
        stack_of([tiny(), tiny(other)])


def test_a_half_precision_loss_has_the_gradients_of_one_run():
    """The mean over all members' examples would be so small a number that float16 loses it."""
    configs = [tiny({"regime.loss_dtype": "float16", "seed": s}) for s in range(3)]
    stack = stack_of(configs)
    stack.advance(5, [], lambda: False)
    one = make_engine(configs[1], configs[1].task.build(1))[1]
    one.advance(5, False, lambda: False)
    for name, weight in one.weights().items():
        assert functional.l1_loss(stack.engines[1].weights()[name], weight) < 1e-5
