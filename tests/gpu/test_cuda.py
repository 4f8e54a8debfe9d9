"""On a GPU: a replayed step is the eager step, a resumed run is the undisturbed one, and what cannot be captured is
told. Skipped where there is none."""

import copy
import warnings

import pytest
import torch

from grokscope import registry
from grokscope.config import Hardware
from grokscope.train.driver import Interrupted, make_engine, train
from grokscope.train.graphed import GraphedSteps
from grokscope.train.process_state import deterministic, precision
from grokscope.train.step_choice import TOLERANCE, choose_step, largest_difference
from tiny import assert_same, fitting, tiny

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA"),
    pytest.mark.filterwarnings("default"),  # kernels without a deterministic form are told, not refused
]

GPU = {"hardware.device": "cuda", "hardware.step": "eager"}
E1 = {
    **GPU,
    "task": {"name": "modular", "p": 59, "train_fraction": 0.5},
    "model": {"name": "embedding-mlp", "embedding": 64, "hidden": [128]},
    "regime": {"recipe": "modular"},
}
DIGITS = {**GPU, "task": {"name": "digits"}, "model": {"name": "mlp"}, "regime": {"recipe": "large-init"}}
HOSPITALS = {
    **GPU,
    "task": {"name": "hospitals", "n_train": 300, "n_eval": 64, "image_size": 32},
    "model": {"name": "small-resnet"},
    "regime": {"recipe": "grokking-favorable"},
}
SGD = {"regime.optimizer": "sgd", "regime.grad_filter": "none"}
CODES = {**GPU, **fitting("task", "mheight"), "regime.batch_size": 5}
RUNS = {
    "E1": E1,
    "digits": DIGITS,
    "hospitals": HOSPITALS,
    "hospitals, augmented": {**HOSPITALS, "regime.augment_stain": 0.2, "regime.augment_flip": True},
    "hospitals, bfloat16": {**HOSPITALS, "regime.autocast": "bfloat16"},
    "hospitals, warmup": {**HOSPITALS, "regime.schedule": {"name": "warmup", "warmup_steps": 12}},
    "hospitals, cosine": {**HOSPITALS, "regime.schedule": "cosine"},
    "hospitals, window": {**HOSPITALS, "regime.grad_filter": {"name": "grokfast_ma", "window": 9}},
    "codes": CODES,
}


def engine_of(changes):
    config = tiny(changes)
    return make_engine(config, config.task.build(config.seed))[1]


def weights(engine):
    return [t.clone() for t in engine.weights().values()]


@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("changes", RUNS.values(), ids=RUNS)
def test_replayed_steps_are_the_eager_ones(changes, tf32):
    with deterministic(0), precision(tf32):
        plain, engine = engine_of(changes), engine_of(changes)
        engine.graph = GraphedSteps(engine)
        for until in (10, 25, 40):
            for e in (plain, engine):
                e.advance(until, True, lambda: False)
        assert largest_difference(weights(engine), weights(plain)) == 0
        assert repr(engine.row(True)) == repr(plain.row(True))


@pytest.mark.parametrize("kind", ["optimizer", "filter", "loss", "model"])
def test_every_piece_can_be_replayed(kind):
    for name in registry.built_in(kind):
        with deterministic(0), precision(False):
            changes = {**fitting(kind, name), **GPU}
            plain, engine = engine_of(changes), engine_of(changes)
            engine.graph = GraphedSteps(engine)
            for e in (plain, engine):
                e.advance(30, False, lambda: False)
            assert largest_difference(weights(engine), weights(plain)) == 0, name


@pytest.mark.parametrize("step", ["eager", "graph"])
@pytest.mark.parametrize("name", ["E1", "digits", "hospitals", "hospitals, augmented", "codes"])
def test_a_resumed_run_is_the_undisturbed_one(tmp_path, name, step):
    config = tiny({**RUNS[name], "hardware.step": step})
    whole = train(config, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(config, tmp_path / "cut", interrupt_at=31)
    cut = train(config, tmp_path / "cut")
    assert whole.rows() == cut.rows()
    states = [torch.load(sorted((r.path / "resume").glob("*.pt"))[-1], weights_only=True) for r in (whole, cut)]
    assert_same(*states)


def test_the_trial_leaves_no_trace_and_is_recorded(tmp_path):
    engine = engine_of(HOSPITALS)
    before = copy.deepcopy(engine.state_dict())
    choice = choose_step(engine, Hardware(device="cuda", step="auto"))
    assert_same(engine.state_dict(), before)
    assert choice is not None
    assert choice.difference == 0
    run = train(tiny({**HOSPITALS, "hardware.step": "auto"}), tmp_path)
    assert run.facts["step"]["used"] in ("eager", "graph")
    assert {"eager_s", "graph_s", "ratio"} <= run.facts["step"].keys()


def test_a_step_that_waits_for_the_device_is_refused_and_trains(monkeypatch):
    engine = engine_of(DIGITS)
    plain = engine.gradient

    def asks(x, target, env):
        plain(x, target, env)
        float(target.sum())  # the host waits for a number, which no graph can hold

    monkeypatch.setattr(engine, "gradient", asks)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        choice = choose_step(engine, Hardware(device="cuda", step="graph"))
    assert choice is not None
    assert choice.used == "eager"
    assert "cannot be captured" in choice.why
    assert [w for w in caught if "training without a graph" in str(w.message)]
    engine.advance(20, False, lambda: False)
    same = engine_of(DIGITS)
    same.advance(20, False, lambda: False)
    assert_same(engine.state_dict(), same.state_dict())


def test_a_penalty_is_trained_without_a_graph():
    engine = engine_of({**HOSPITALS, "regime.irm_weight": 1.0})
    choice = choose_step(engine, Hardware(device="cuda", step="auto"))
    assert choice is not None
    assert choice.used == "eager"
    engine.advance(10, True, lambda: False)


def test_gpu_and_cpu_make_the_same_first_steps():
    """To rounding: ten steps are too few for it to grow."""
    with deterministic(0), precision(False):
        engines = [engine_of({**HOSPITALS, **SGD, "hardware.device": device}) for device in ("cpu", "cuda")]
        for e in engines:
            e.advance(10, False, lambda: False)
        one, two = ([t.cpu() for t in weights(e)] for e in engines)
    assert largest_difference(two, one) < TOLERANCE
