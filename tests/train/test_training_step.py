"""One step against the same step written out: order of operations, batches, learning rates, what is left untouched."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from grokscope.seeds import derive
from grokscope.train.driver import make_engine
from grokscope.train.order import BatchOrder
from grokscope.train.torch_engine import noisy_labels, scale_weights
from tiny import assert_same, fitting, tiny

BATCH_NORM = fitting("model", "mlp")  # parity, with a batch norm


def engine_of(config):
    return make_engine(config, config.task.build(config.seed))[1]


def advance(engine, steps):
    engine.advance(engine.step + steps, False, lambda: False)
    return engine


EMA = {
    "regime.grad_filter": "grokfast_ema",
    "regime.grad_filter.alpha": 0.8,
    "regime.grad_filter.lambda": 2.0,
    "regime.clip_norm": 0.3,
    "regime.weight_decay": 0.5,
    "regime.lr": 0.05,
    "regime.optimizer": "sgd",
    "regime.optimizer.momentum": 0.5,
    "regime.schedule": "warmup",
    "regime.schedule.warmup_steps": 10,
}


def by_hand(config, steps, order=("filter", "clip", "decay", "update")):
    """The same training as a plain loop; `order` can be changed to see that it matters."""
    engine = engine_of(config)  # for its initial weights and its data only
    model, train, regime = engine.model, engine.splits["train"], config.regime
    batches = BatchOrder(len(train.y), regime.batch_size, derive(config.seed, "order"))
    parameters = list(model.parameters())
    average, velocity = None, [torch.zeros_like(p) for p in parameters]
    for t in range(1, steps + 1):
        index = batches.next()
        grads = list(torch.autograd.grad(F.cross_entropy(model(train.x[index]), train.y[index]), parameters))
        lr = regime.lr * min(1.0, t / regime.schedule.warmup_steps)
        with torch.no_grad():
            for what in order:
                if what == "filter":
                    a = regime.grad_filter.alpha
                    average = (
                        [g.clone() for g in grads]
                        if average is None
                        else [a * m + (1 - a) * g for m, g in zip(average, grads, strict=True)]
                    )
                    grads = [g + regime.grad_filter.lambda_ * m for g, m in zip(grads, average, strict=True)]
                elif what == "clip":
                    total = torch.stack([g.square().sum() for g in grads]).sum().sqrt()
                    grads = [g * min(1.0, regime.clip_norm / total.item()) for g in grads]
                elif what == "decay":
                    for p in parameters:
                        p.mul_(1 - lr * regime.weight_decay)
                elif what == "coupled":
                    grads = [g + regime.weight_decay * p for g, p in zip(grads, parameters, strict=True)]
                elif what == "update":
                    for p, g, v in zip(parameters, grads, velocity, strict=True):
                        v.mul_(regime.optimizer.momentum).add_(g)
                        p.sub_(lr * v)
    return parameters


def furthest(one, two):
    return max((a - b).abs().max().item() for a, b in zip(one, two, strict=True))


def test_a_step_is_filter_clip_decay_update():
    config = tiny(EMA)
    ours = list(advance(engine_of(config), 25).model.parameters())
    assert furthest(ours, by_hand(config, 25)) < 2e-6


@pytest.mark.parametrize(
    "order", [("clip", "filter", "decay", "update"), ("coupled", "filter", "clip", "update")], ids=["clip", "decay"]
)
def test_the_comparison_would_notice_another_order(order):
    """Clipping before the filter, or showing the decay to it, are other algorithms."""
    config = tiny(EMA)
    ours = list(advance(engine_of(config), 25).model.parameters())
    assert furthest(ours, by_hand(config, 25, order)) > 1e-3


def test_the_learning_rate_follows_its_schedule_step_by_step():
    engine = engine_of(tiny(regime__schedule="warmup", regime__schedule__warmup_steps=4, regime__lr=0.4))
    seen = []
    for _ in range(6):
        advance(engine, 1)
        seen.append(engine.row(diagnose=False)["lr"])
        assert engine.optimizer.parts[0].param_groups[0]["lr"] == seen[-1]
    assert seen == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])


def test_pausing_changes_nothing():
    config = tiny(EMA)
    whole, parts = advance(engine_of(config), 20), engine_of(config)
    while parts.step < 20:
        parts.advance(20, False, lambda: True)
    assert_same(whole.state_dict(), parts.state_dict())


def test_watching_changes_nothing():
    config = tiny(EMA)
    plain, watched = advance(engine_of(config), 20), engine_of(config)
    for _ in range(20):
        watched.advance(watched.step + 1, True, lambda: False)
    assert_same(plain.state_dict(), watched.state_dict())


@pytest.mark.parametrize("changes", [{}, BATCH_NORM], ids=["tokens", "batch-norm"])
@pytest.mark.parametrize("diagnose", [False, True])
def test_an_evaluation_leaves_weights_buffers_and_generators_untouched(changes, diagnose):
    engine = advance(engine_of(tiny(changes)), 5)
    before, outside = copy.deepcopy(engine.state_dict()), torch.get_rng_state()
    row = engine.row(diagnose)
    assert_same(before, engine.state_dict())
    assert torch.equal(outside, torch.get_rng_state())
    assert engine.model.training
    np.testing.assert_equal(engine.row(diagnose), row)  # where NaN is equal to itself


def test_batch_norm_is_evaluated_with_its_averages():
    engine = advance(engine_of(tiny(BATCH_NORM)), 30)
    split = engine.splits["id_val"]
    with torch.no_grad():
        in_train_mode = copy.deepcopy(engine.model).train()(split.x)
        in_eval_mode = copy.deepcopy(engine.model).eval()(split.x)
    values = [engine.loss(z, split.target).item() for z in (in_eval_mode, in_train_mode)]
    assert engine.row(False)["id_val_loss"] == pytest.approx(values[0], rel=1e-6)
    assert abs(values[0] - values[1]) > 1e-4


# -- start -----------------------------------------------------------------------------------------------------------


def test_seeds_are_separate_for_data_weights_and_order():
    """Another regime, size or label noise must not move the initial weights or the order."""
    base = engine_of(tiny())
    for changes in ({"regime.weight_decay": 3.0}, {"regime.label_noise": 0.5}, {"regime.optimizer": "sgd"}):
        other = engine_of(tiny(changes))
        assert_same(base.model.state_dict(), other.model.state_dict())
        assert torch.equal(base.order.next(), other.order.next())
        base.order.load_state_dict(engine_of(tiny()).order.state_dict())
    reseeded = engine_of(tiny(seed=1))
    assert not torch.equal(base.model.embedding.weight, reseeded.model.embedding.weight)
    assert not torch.equal(base.splits["train"].x, reseeded.splits["train"].x)


def test_building_a_network_leaves_the_callers_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    engine_of(tiny())
    assert torch.equal(before, torch.get_rng_state())


def test_init_scale_multiplies_weights_of_more_than_one_dimension_once():
    plain, scaled = engine_of(tiny(BATCH_NORM)), engine_of(tiny(BATCH_NORM | {"regime.init_scale": 4.0}))
    for (name, p), q in zip(plain.model.named_parameters(), scaled.model.parameters(), strict=True):
        factor = 4.0 if "weight" in name and p.dim() > 1 else 1.0
        assert torch.equal(q, factor * p), name
    assert {p.dim() for n, p in plain.model.named_parameters() if "weight" in n} == {1, 2}, "both cases are there"
    scale_weights(plain.model, 1.0)
    assert_same(plain.model.state_dict(), engine_of(tiny(BATCH_NORM)).model.state_dict())


# -- label noise -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.1, 0.333, 1.0])
@pytest.mark.parametrize("classes", [2, 7])
def test_label_noise_replaces_an_exact_share_always_by_another_class(share, classes):
    y = np.random.default_rng(0).integers(0, classes, 101)
    noisy = noisy_labels(y, share, classes, seed=5)
    assert (noisy != y).sum() == round(share * 101)
    assert noisy.min() >= 0
    assert noisy.max() < classes
    assert noisy.dtype == y.dtype


def test_label_noise_reaches_all_other_classes_evenly():
    noisy = noisy_labels(np.zeros(6000, np.int64), 1.0, 7, seed=1)
    counts = np.bincount(noisy, minlength=7)
    assert counts[0] == 0
    assert (abs(counts[1:] - 1000) < 5 * np.sqrt(1000)).all()


def test_noise_is_in_training_labels_only_and_the_clean_ones_are_kept():
    clean, noisy = engine_of(tiny()), engine_of(tiny(regime__label_noise=0.5))
    assert torch.equal(noisy.clean, clean.splits["train"].y)
    assert (noisy.splits["train"].y != noisy.clean).sum() == 12
    assert torch.equal(noisy.splits["train"].target, noisy.splits["train"].y)
    assert torch.equal(noisy.splits["id_val"].y, clean.splits["id_val"].y)
    row = noisy.row(False)
    assert row["train_clean_acc"] == row["train_clean_correct"] / 24
    assert "train_clean_acc" not in clean.row(False)


def test_fitted_noise_shows_as_train_accuracy_above_clean_accuracy():
    engine = advance(engine_of(tiny({"regime.label_noise": 0.5, "regime.weight_decay": 0.0, "regime.lr": 0.05})), 900)
    row = engine.row(False)
    assert row["train_acc"] == 1.0
    assert row["train_clean_correct"] == 12


# -- start weights ----------------------------------------------------------------------------------------


def test_weights_of_another_network_are_refused():
    wide = engine_of(tiny(model__hidden=[9]))
    with pytest.raises(ValueError, match=r"\$.model: the weights to start from do not fit"):
        engine_of(tiny()).load_weights(wide.weights())


def test_decay_to_the_start_of_a_branch_means_the_branch_weights():
    changes = {"regime.decay_target": "init", "regime.weight_decay": 0.5}
    parent, child = advance(engine_of(tiny()), 20), engine_of(tiny(changes))
    child.load_weights({k: v.clone() for k, v in parent.weights().items()})
    before = [p.detach().clone() for p in child.parameters]
    child.decay.apply(0.1)
    assert furthest(before, child.parameters) == 0
    assert furthest(before, engine_of(tiny(changes)).parameters) > 0.01


def test_restored_buffers_go_where_the_network_is():
    """States are read to the CPU; on another device the filter's and the decay's buffers would stay there."""
    from grokscope.train.torch_engine import _to_device

    moved = _to_device({"average": [torch.zeros(2)], "seen": 3}, torch.device("meta"))
    assert moved["average"][0].device.type == "meta"
    assert moved["seen"] == 3
