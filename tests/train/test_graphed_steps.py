"""Steps from captured graphs, with a stand-in that captures by remembering the function: the same steps as without, for
every optimizer, filter and batch, and never where they would be others or slower."""

import copy
import time
import warnings

import pytest
import torch
from torch import nn

from grokscope import registry
from grokscope.config import Hardware
from grokscope.train import step_choice
from grokscope.train.driver import make_engine, train
from grokscope.train.graphed import GraphedSteps, captures_update
from grokscope.train.step_choice import StepChoice, choose_step, largest_difference
from tiny import assert_same, fitting, same_folder_content, tiny

AUGMENTED = {**fitting("task", "hospitals"), "regime.augment_flip": True, "regime.augment_stain": 0.2}
EMA = fitting("filter", "grokfast_ema")


class Remembered:
    """In place of a CUDA graph: replaying calls what was captured. Capturing does nothing, as on a GPU."""

    def __init__(self):
        self.captured = 0
        self.replays = 0

    def __call__(self, work):
        self.captured += 1
        owner = self

        class Graph:
            def replay(self):
                owner.replays += 1
                work()

        return Graph()


def engine_of(changes=None):
    config = tiny(changes)
    return make_engine(config, config.task.build(config.seed))[1]


def graphed(changes=None):
    engine, record = engine_of(changes), Remembered()
    engine.graph = GraphedSteps(engine, record)
    return engine, record


@pytest.fixture(autouse=True)
def _short_trials(monkeypatch):
    monkeypatch.setattr(step_choice, "TRIAL_S", 0.0)
    monkeypatch.setattr(step_choice, "BLOCK", 2)


def axes():
    for kind in ("optimizer", "filter", "loss", "model"):
        for name in registry.built_in(kind):
            yield pytest.param(fitting(kind, name), id=f"{kind} {name}")
    yield pytest.param(EMA | {"regime.clip_norm": 0.1, "regime.decay_target": "init"}, id="filter, clip, init")
    yield pytest.param({"regime.batch_size": 0}, id="full batch")
    yield pytest.param(AUGMENTED, id="augmented")
    yield pytest.param({"regime.schedule": "cosine"}, id="cosine")
    yield pytest.param(EMA | fitting("schedule", "warmup"), id="warmup")


@pytest.mark.parametrize("changes", list(axes()))
def test_the_same_steps_and_after_a_resume_too(changes):
    plain = engine_of(changes)
    engine, record = graphed(changes)
    for until in (7, 20, 33):
        for e in (plain, engine):
            e.advance(until, True, lambda: False)
        assert repr(engine.row(True)) == repr(plain.row(True))  # as text: some are NaN, which equals nothing
    resumed, again = graphed(changes)
    resumed.load_state_dict(copy.deepcopy(engine.state_dict()))
    for e in (plain, engine, resumed):
        e.advance(50, False, lambda: False)
    assert_same(engine.state_dict(), plain.state_dict())
    assert_same(resumed.state_dict(), plain.state_dict())
    assert record.replays == 50 - 1 - 3  # all but the first step and the three that were watched
    assert again.replays == 50 - 33 - 1


def test_a_graph_for_each_size_of_batch_and_no_more():
    engine, record = graphed({"regime.batch_size": 10})  # 24 examples: 10, 10, 4
    engine.advance(30, False, lambda: False)
    assert (record.captured, record.replays) == (2, 29)


def test_a_moving_learning_rate_keeps_its_graphs_of_the_gradient():
    engine, record = graphed({"regime.schedule": "cosine", "regime.batch_size": 0})
    engine.advance(30, False, lambda: False)
    assert record.captured == 1


def test_after_a_warm_up_the_whole_step_is_captured():
    engine, record = graphed({**fitting("schedule", "warmup"), "regime.batch_size": 0})
    engine.advance(9, False, lambda: False)
    assert record.captured == 1
    engine.advance(30, False, lambda: False)
    assert record.captured == 2


def test_new_tensors_mean_new_graphs():
    engine, record = graphed({"regime.batch_size": 0})
    engine.advance(10, False, lambda: False)
    engine.load_state_dict(copy.deepcopy(engine.state_dict()))
    engine.advance(20, False, lambda: False)
    assert record.captured == 2
    engine.load_weights(copy.deepcopy(engine.weights()))
    engine.advance(30, False, lambda: False)
    assert record.captured == 3


def test_updates_that_are_decided_in_python_stay_outside():
    ring = engine_of(fitting("filter", "grokfast_ma"))
    assert not captures_update(ring.filter, ring.optimizer.parts)

    class FromALab:
        def __call__(self, parameters): ...

    class Own(torch.optim.Optimizer):
        pass

    plain = engine_of()
    assert captures_update(plain.filter, plain.optimizer.parts)
    assert not captures_update(FromALab(), plain.optimizer.parts)
    assert not captures_update(plain.filter, [Own(plain.parameters, {})])


def test_the_setting_that_allows_capturing_does_not_stay():
    engine, _ = graphed()
    engine.advance(5, False, lambda: False)
    assert [g["capturable"] for part in engine.optimizer.parts for g in part.param_groups] == [False]


# -- the choice --------------------------------------------------------------------------------------------------------


def chosen(engine, asked="auto", record=None, **hardware):
    before = copy.deepcopy(engine.state_dict())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        choice = choose_step(engine, Hardware(step=asked, **hardware), record or Remembered())
    assert_same(engine.state_dict(), before)
    assert all(p.grad is None for p in engine.parameters)
    assert isinstance(choice, StepChoice)
    return choice, [str(w.message) for w in caught]


def slowed(engine, monkeypatch):
    plain = engine.eager_step

    def slow(watch=None):
        time.sleep(0.02)
        plain(watch)

    monkeypatch.setattr(engine, "eager_step", slow)


def test_a_faster_graph_with_the_same_numbers_is_used(monkeypatch):
    engine = engine_of(AUGMENTED)
    slowed(engine, monkeypatch)
    choice, said = chosen(engine)
    assert (choice.used, choice.difference, said) == ("graph", 0.0, [])
    assert engine.graph is not None
    facts = choice.facts()
    assert facts["ratio"] == facts["eager_s"] / facts["graph_s"] > step_choice.WORTH
    assert "with the same numbers" in facts["why"]


class Slow(Remembered):
    def __call__(self, work):
        def slowly():
            time.sleep(0.02)
            work()

        return super().__call__(slowly)


def test_a_slower_graph_is_used_only_where_it_was_asked_for():
    engine = engine_of()
    choice, said = chosen(engine, record=Slow())
    assert (choice.used, engine.graph, said) == ("eager", None, [])
    assert "not faster" in choice.why
    assert chosen(engine_of(), "graph", Slow())[0].used == "graph"


class Other(Remembered):
    """A graph whose steps are a little different."""

    def __init__(self, engine, by):
        super().__init__()
        self.engine, self.by = engine, by

    def __call__(self, work):
        def differently():
            work()
            with torch.no_grad():
                self.engine.parameters[0].add_(self.by)

        return super().__call__(differently)


def test_other_numbers_are_refused_unless_asked_for_and_then_within_a_tolerance(monkeypatch):
    for by, asked, used in [(1e-5, "auto", "eager"), (1e-5, "graph", "graph"), (1.0, "graph", "eager")]:
        engine = engine_of()
        slowed(engine, monkeypatch)
        choice, said = chosen(engine, asked, Other(engine, by))
        assert (choice.used, bool(said)) == (used, by == 1.0)
        assert choice.difference is not None
        assert choice.difference > 0
    assert "does not make the same steps: its weights differ by" in said[0]
    assert said[0].startswith("$.hardware.step: training without a graph")


def test_differences_count_against_the_largest_weight():
    one, two = [torch.tensor([1.0, 4.0]), torch.zeros(0)], [torch.tensor([1.0, 2.0]), torch.zeros(0)]
    assert largest_difference(one, two) == 0.5
    assert largest_difference(one, one) == 0
    assert largest_difference([torch.tensor([float("nan")])], [torch.tensor([1.0])]) != 0


def test_what_cannot_be_captured_is_told_and_trains_all_the_same():
    def fails(work):
        raise RuntimeError("operation not permitted when stream is capturing\nlong explanation")

    engine = engine_of()
    choice, said = chosen(engine, "graph", fails)
    assert choice.used == "eager"
    assert choice.why == "the step cannot be captured: operation not permitted when stream is capturing"
    assert said == [f"$.hardware.step: training without a graph: {choice.why}"]
    engine.advance(5, False, lambda: False)
    plain = engine_of()
    plain.advance(5, False, lambda: False)
    assert_same(engine.state_dict(), plain.state_dict())


def test_random_networks_and_moving_penalties_are_refused(monkeypatch):
    engine = engine_of()
    monkeypatch.setattr(engine.network, "run", nn.Sequential(engine.model, nn.Dropout(0.5)))
    choice, _ = chosen(engine)
    assert (choice.used, choice.why) == ("eager", "the network draws random numbers in its step")
    penalized = engine_of({**fitting("task", "hospitals"), "regime.irm_weight": 1.0})
    assert "invariance penalty" in chosen(penalized)[0].why
    assert penalized.graph is None
    changed = engine_of({"regime.interventions": [{"name": "temperature", "temperature": 2.0}]})
    assert chosen(changed)[0].why == "interventions change what a step is made of"


def test_on_a_cpu_nothing_is_tried_and_what_was_asked_for_is_told(tmp_path):
    engine = engine_of()
    assert choose_step(engine, Hardware()) is None
    assert "step" not in engine.facts()
    with pytest.warns(UserWarning, match=r"\$.hardware.step: training without a graph: .* this run is on the cpu"):
        run = train(tiny({"hardware.step": "graph"}), tmp_path / "asked")
    assert run.facts["step"]["used"] == "eager"
    assert [n for n in run.facts["notes"] if "without a graph" in n]
    same_folder_content(run.path, train(tiny(), tmp_path / "plain").path)


@pytest.mark.parametrize(
    "hardware", [{"tf32": True}, {"deterministic": False}, {"step": "eager"}, {"tf32": True, "deterministic": False}]
)
def test_settings_of_the_hardware_are_recorded_and_no_part_of_the_identity(tmp_path, hardware):
    settings = {f"hardware.{k}": v for k, v in hardware.items()}
    before = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.benchmark
    run = train(tiny(settings), tmp_path)
    assert run.id == tiny().run_id()
    assert hardware.items() <= run.config["hardware"].items()
    assert before == (torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.benchmark)
    assert not torch.are_deterministic_algorithms_enabled()
