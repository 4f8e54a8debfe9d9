"""A stack leaves the folders that its runs would leave alone; it resumes exactly, and its members stay apart."""

import math
import shutil
from dataclasses import dataclass

import pytest
import torch

from grokscope import configio, registry
from grokscope.components import Filter, Intervention, Loss, Measurement, Optimizer
from grokscope.files import read_json
from grokscope.store import Run, find_runs, lock
from grokscope.store.checkpoints import load_weights, state_paths
from grokscope.train.driver import train
from grokscope.train.gradient_filters import Stateless
from grokscope.train.interventions.base import Acting
from grokscope.train.loss_functions import CrossEntropy
from grokscope.train.resume import step_of
from grokscope.train.stacked.driver import train_stack
from grokscope.train.stacked.stackable import CannotStack
from grokscope.verdicts import run_verdicts
from tiny import fitting, same_folder_content, tiny

torch.set_num_threads(1)
CONFIGS = [
    tiny(seed=0),
    tiny(seed=1, regime__grad_filter="grokfast_ema"),
    tiny(seed=2, regime__lr=5e-3, regime__weight_decay=0.3),
    tiny(seed=3),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    assert [e.state for e in train_stack(CONFIGS, root)] == ["done"] * 4
    return root


def run_of(config, root):
    return Run(root / config.run_id())


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    root = tmp_path_factory.mktemp("alone")
    for config in CONFIGS:
        train(config, root)
    return root


def files(folder):
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    return {name for name in names if not name.startswith((".", "resume/"))}  # states are saved as time allows


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"seed {c.seed}")
def test_a_folder_is_that_of_a_run_alone_up_to_rounding(config, whole, alone):
    one, member = run_of(config, alone), run_of(config, whole)
    assert files(member.path) == files(one.path)
    assert member.status["state"] == "done"
    assert [list(row) for row in member.rows()] == [list(row) for row in one.rows()]
    for row, other in zip(one.rows(), member.rows(), strict=True):
        assert other == pytest.approx(row, rel=1e-3, abs=1e-4)
    left, right = (load_weights(r.path / "checkpoints" / "final.safetensors") for r in (one, member))
    for name, weight in left.items():
        assert torch.allclose(weight, right[name], atol=1e-5)
    same, other = (read_json(r.path / "config.json") for r in (one, member))
    assert other["facts"].pop("stacked")["members"] == 4
    for record in (same, other):
        del record["provenance"]
    assert other == same


def test_states_are_those_of_one_run_and_hold_nothing_of_the_others(whole, alone):
    for config in CONFIGS:
        newest, other = (state_paths(run_of(config, root).path / "resume")[0] for root in (whole, alone))
        assert newest.name == other.name
        assert newest.stat().st_size == pytest.approx(other.stat().st_size, rel=0.05)


@pytest.mark.parametrize("at", [1, 21, 40])
def test_a_stack_that_was_stopped_goes_on_bit_for_bit(at, whole, tmp_path):
    assert {e.state for e in train_stack(CONFIGS, tmp_path, interrupt_at=at)} == {"interrupted"}
    assert {run_of(c, tmp_path).status["state"] for c in CONFIGS} == {"interrupted"}
    assert {e.state for e in train_stack(CONFIGS, tmp_path)} == {"done"}
    for config in CONFIGS:
        same_folder_content(run_of(config, whole).path, run_of(config, tmp_path).path)


def test_members_go_on_together_from_the_newest_state_that_all_have(whole, tmp_path):
    """A stack that is killed while it saves its states leaves some members behind the others."""
    train_stack(CONFIGS, tmp_path, interrupt_at=40)
    for config in CONFIGS[1:3]:
        state_paths(run_of(config, tmp_path).path / "resume")[0].unlink()
    common = step_of(state_paths(run_of(CONFIGS[1], tmp_path).path / "resume")[0])
    assert {e.state for e in train_stack(CONFIGS, tmp_path)} == {"done"}
    for config in CONFIGS:  # else those behind would catch up as a smaller stack, which has last bits of its own
        log = (run_of(config, tmp_path).path / "logs" / "train.log").read_text()
        assert f"resumed at step {common} of 60" in log
    for config in CONFIGS:
        same_folder_content(run_of(config, whole).path, run_of(config, tmp_path).path)


def test_members_without_a_common_state_catch_up_first(alone, tmp_path):
    train_stack(CONFIGS, tmp_path, interrupt_at=40)
    for config in CONFIGS[1:3]:
        shutil.rmtree(run_of(config, tmp_path).path)
    assert {e.state for e in train_stack(CONFIGS, tmp_path)} == {"done"}
    for config in CONFIGS:
        for row, other in zip(run_of(config, alone).rows(), run_of(config, tmp_path).rows(), strict=True):
            assert other == pytest.approx(row, rel=1e-3, abs=1e-4)


def test_a_member_can_be_continued_alone_and_says_that_it_was_stacked(alone, tmp_path):
    train_stack(CONFIGS, tmp_path, interrupt_at=30)
    run = train(CONFIGS[1], tmp_path)
    assert run.facts["stacked"]["members"] == 4
    for row, other in zip(run_of(CONFIGS[1], alone).rows(), run.rows(), strict=True):
        assert other == pytest.approx(row, rel=1e-3, abs=1e-4)


def test_a_run_that_began_alone_can_go_on_in_a_stack(alone, tmp_path):
    from grokscope.train.driver import Interrupted

    with pytest.raises(Interrupted):
        train(CONFIGS[0], tmp_path, interrupt_at=33)
    assert {e.state for e in train_stack(CONFIGS, tmp_path)} == {"done"}
    for row, other in zip(run_of(CONFIGS[0], alone).rows(), run_of(CONFIGS[0], tmp_path).rows(), strict=True):
        assert other == pytest.approx(row, rel=1e-3, abs=1e-4)


def test_a_finished_stack_is_left_alone(whole):
    before = {p: p.stat().st_mtime_ns for p in whole.rglob("*") if p.is_file()}
    assert [(e.state, e.step) for e in train_stack(CONFIGS, whole)] == [("done", 60)] * 4
    assert {p: p.stat().st_mtime_ns for p in whole.rglob("*") if p.is_file()} == before


# -- chance -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def drawing(registered_here_only):
    """A filter, an optimizer, a loss, an intervention and a measurement of somebody's that draw from torch's own
    generator."""

    class Noisy(Stateless):
        def __call__(self, parameters):
            for p in parameters:
                p.grad = p.grad + 0.01 * torch.randn(p.shape, dtype=p.dtype)

    class Langevin(torch.optim.Optimizer):
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.data -= group["lr"] * (p.grad + 0.01 * torch.randn(p.shape, dtype=p.dtype))

    class Weighted(CrossEntropy):
        def __call__(self, logits, target):
            losses = torch.nn.functional.cross_entropy(logits.to(self.dtype), target, reduction="none")
            return (losses * torch.rand(len(losses), dtype=self.dtype)).mean()

    class Shaking(Acting):
        def __init__(self, parameters):
            self.parameters = parameters

        def gradient(self):
            for p in self.parameters:
                p.grad.mul_(torch.rand(()))

    @registry.register
    @dataclass(frozen=True, kw_only=True)
    class NoisyFilter(Filter):
        name = "noisy"

        def build(self):
            return Noisy()

    @registry.register
    @dataclass(frozen=True, kw_only=True)
    class LangevinOptimizer(Optimizer):
        name = "langevin"

        def build(self, model, regime):
            return [Langevin(model.parameters(), {"lr": regime.lr})]

    @registry.register
    @dataclass(frozen=True, kw_only=True)
    class WeightedLoss(Loss):
        name = "weighted"
        targets = "classes"

        def build(self, dtype, classes):
            return Weighted(dtype, classes)

    @registry.register
    @dataclass(frozen=True, kw_only=True)
    class Shaken(Intervention):
        name = "shaken"

        def build(self, training):
            return Shaking(list(training.parameters("total").values()))

    @registry.register
    @dataclass(frozen=True, kw_only=True)
    class Luck(Measurement):
        name = "luck"
        needs = frozenset()

        def __call__(self, view):
            return {"luck": torch.rand(())}

    regime = {
        "grad_filter": "noisy",
        "optimizer": "langevin",
        "loss": "weighted",
        "interventions": [{"name": "shaken"}],
    }
    return {**{f"regime.{key}": value for key, value in regime.items()}, "measure": ["luck"]}


def test_whatever_draws_random_numbers_draws_those_of_its_own_run(drawing, tmp_path):
    """And goes on with them after a stop, in a stack as alone."""
    configs = [tiny({**drawing, "seed": s}) for s in range(3)]
    assert {e.state for e in train_stack(configs, tmp_path / "whole")} == {"done"}
    train_stack(configs, tmp_path / "stopped", interrupt_at=31)
    assert {e.state for e in train_stack(configs, tmp_path / "stopped")} == {"done"}
    lucky = []
    for config in configs:
        same_folder_content(run_of(config, tmp_path / "whole").path, run_of(config, tmp_path / "stopped").path)
        alone, member = train(config, tmp_path / "alone").rows(), run_of(config, tmp_path / "whole").rows()
        for row, other in zip(alone, member, strict=True):
            assert other == pytest.approx(row, rel=1e-3, abs=1e-4)
        lucky.append([row["luck"] for row in member if "luck" in row])
        assert len(set(lucky[-1])) == len(lucky[-1]) > 1, "the generator goes on"
    assert len({tuple(numbers) for numbers in lucky}) == 3, "each has its own"


# -- apart ------------------------------------------------------------------------------------------------------------


def exploding(seed, lr, /, **more):
    regime = {"optimizer": "sgd", "lr": lr, "loss": "mse", "weight_decay": 0.0, "batch_size": 8}
    return tiny({"regime": regime, "seed": seed, **more})


def test_a_member_that_diverges_is_closed_and_changes_no_bit_of_the_others(tmp_path):
    seeds = range(5)
    calm = [exploding(s, 0.01) for s in seeds]
    wild = [exploding(s, 1e6 if s == 2 else 0.01) for s in seeds]
    assert {e.state for e in train_stack(calm, tmp_path / "calm")} == {"done"}
    ended = train_stack(wild, tmp_path / "wild")
    assert [e.state for e in ended] == ["done", "done", "diverged", "done", "done"]
    assert ended[2].step < 60
    assert not math.isfinite(ended[2].run.metrics()["train_loss"][-1])
    for config in (c for c in calm if c.seed != 2):
        same_folder_content(run_of(config, tmp_path / "calm").path, run_of(config, tmp_path / "wild").path)


@pytest.mark.slow
def test_one_of_five_hundred_diverges_and_the_others_do_not_notice(tmp_path):
    few = {"evaluate": {"every": 20}, "diagnose": {"at": [1]}, "checkpoint": {"at": [0]}}
    few["hardware"] = {"resume_every_s": 1e9}
    calm = [exploding(s, 0.01, **few) for s in range(500)]
    wild = [exploding(s, 1e6 if s == 77 else 0.01, **few) for s in range(500)]
    train_stack(calm, tmp_path / "calm")
    ended = train_stack(wild, tmp_path / "wild")
    assert [i for i, e in enumerate(ended) if e.state != "done"] == [77]
    for config in (c for c in calm if c.seed != 77):
        same_folder_content(run_of(config, tmp_path / "calm").path, run_of(config, tmp_path / "wild").path)


def test_a_damaged_folder_costs_only_its_own_run(whole, tmp_path):
    broken = run_of(CONFIGS[2], tmp_path).path
    shutil.copytree(run_of(CONFIGS[2], whole).path, broken)
    (broken / "config.json").write_text("{")
    ended = train_stack(CONFIGS, tmp_path)
    assert [e.state for e in ended] == ["done", "done", "failed", "done"]
    assert "config.json" in str(ended[2].error)


def test_a_run_that_another_process_trains_is_left_to_it(tmp_path):
    with lock.exclusive(run_of(CONFIGS[1], tmp_path).path):
        ended = train_stack(CONFIGS, tmp_path)
    assert [e.state for e in ended] == ["done", "elsewhere", "done", "done"]


@pytest.mark.parametrize("begun", [False, True])
def test_of_two_that_ask_for_the_same_stack_one_gets_all_of_it(begun, whole, tmp_path):
    """Both begin with the same run. Half of it each would be other stacks, with other last bits."""
    if begun:
        train_stack(CONFIGS, tmp_path, interrupt_at=30)
    names = sorted(c.run_id() for c in CONFIGS)
    before = {run.id: run.status["step"] for run in find_runs(tmp_path)}
    with lock.claimed(tmp_path / names[0], together=configio.content_hash(names)):
        assert [e.state for e in train_stack(CONFIGS, tmp_path)] == ["elsewhere"] * 4
    assert {run.id: run.status["step"] for run in find_runs(tmp_path)} == before
    with lock.claimed(tmp_path / names[0]):  # somebody who trains this one alone leaves the others
        states = [e.state for e in train_stack(CONFIGS, tmp_path)]
    assert sorted(states) == ["done", "done", "done", "elsewhere"]


def test_a_failure_while_one_member_is_written_is_its_own(tmp_path, monkeypatch):
    from grokscope.train.stacked.sessions import MemberSession

    look = MemberSession.look

    def failing(self):
        if self.config.seed == 1 and self.engine.step == 35:
            raise OSError("no more")
        look(self)

    monkeypatch.setattr(MemberSession, "look", failing)
    ended = train_stack(CONFIGS, tmp_path)
    assert [e.state for e in ended] == ["done", "failed", "done", "done"]
    status = run_of(CONFIGS[1], tmp_path).status
    assert (status["state"], status["error"]["message"]) == ("failed", "no more")


def test_what_cannot_be_stacked_leaves_no_folder(tmp_path):
    with pytest.raises(CannotStack, match=r"\$\.regime\.autocast"):
        train_stack([*CONFIGS, tiny(regime__autocast="bfloat16")], tmp_path)
    with pytest.raises(CannotStack, match=r"\$\.model: the networks have other shapes"):
        train_stack([*CONFIGS, tiny(model__embedding=5)], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_tasks_with_environments_and_of_regression_are_those_of_one_run(tmp_path):
    for number, changes in enumerate((fitting("task", "hospitals"), fitting("task", "mheight"))):
        short = {**changes, "budget.steps": 12, "regime.lr": 1e-3, "regime.optimizer": "sgd"}
        configs = [tiny({**short, "seed": s}) for s in range(2)]
        train_stack(configs, tmp_path / f"{number}")
        run = train(configs[1], tmp_path / f"{number} alone")
        for row, other in zip(run.rows(), run_of(configs[1], tmp_path / f"{number}").rows(), strict=True):
            assert list(other) == list(row)
            losses = [key for key in row if key.endswith("_loss") or key.startswith("norm_")]
            assert [other[key] for key in losses] == pytest.approx([row[key] for key in losses], rel=1e-3)


def test_the_hash_of_a_stacked_run_is_that_of_the_run(whole):
    for config in CONFIGS:
        assert configio.load_run(run_of(config, whole).config).run_id() == config.run_id()


@pytest.mark.slow
@pytest.mark.parametrize(("decay", "verdict"), [(0.0, "memorized"), (2.0, "grokked")])
def test_far_from_a_boundary_verdicts_are_those_of_runs_alone(decay, verdict, tmp_path):
    """E1: without decay it never generalizes, with a decay of 2 after some 320 steps."""
    e1 = {
        "task": {"name": "modular", "p": 59},
        "model": {"name": "embedding-mlp", "embedding": 64, "hidden": [128]},
        "regime": {"recipe": "modular", "weight_decay": decay},
        "budget": {"steps": 800},
        "diagnose": {"at": [1]},
        "checkpoint": {"at": [0]},
    }
    configs = [configio.load_run({**e1, "seed": s}) for s in range(3)]
    stacked = [e.run for e in train_stack(configs, tmp_path / "stacked")]
    alone = [train(c, tmp_path / "alone") for c in configs]
    words = [[v.verdict for r in runs for v in run_verdicts(r).values()] for runs in (stacked, alone)]
    assert words == [[verdict] * 3] * 2
