"""Prequential code length: closed forms, an independent training, order of clean and random labels, its cost."""

import math

import pytest
import torch

import grokscope as gs
from grokscope import cli
from grokscope.measure.kernel import layer_jacobians, mean_outer_rank
from grokscope.measure.prequential import boundaries, code_length
from grokscope.train.driver import make_engine, train
from grokscope.train.losses import make_loss
from tiny import small_task, tiny

SMALL = {"task": {"name": "digits", "n_train": 40}, "model": {"name": "mlp", "hidden": [16]}, "budget.steps": 60}


def test_blocks_double_and_leave_no_batch_of_one():
    assert boundaries(64, 4) == [8, 16, 32, 64]
    assert boundaries(64, 8) == [2, 4, 8, 16, 32, 64]
    assert boundaries(10, 1) == [10]
    assert 9 not in boundaries(18, 3, batch_size=8)
    assert boundaries(18, 3, batch_size=8)[-1] == 18


def loss_of(classes):
    return make_loss(gs.Regime().loss, "float64", "classification", classes)


def test_a_network_that_knows_nothing_codes_uniformly_and_one_that_knows_all_pays_for_the_first_block():
    y = torch.arange(64) % 4
    loss, order = loss_of(4), torch.arange(64)
    flat = code_length([8, 16, 32, 64], order, lambda m: torch.zeros(64, 4), loss, loss.encode(y), 4)
    assert flat == pytest.approx(64 * 2)
    right = 100.0 * torch.eye(4)[y]
    assert code_length([8, 16, 32, 64], order, lambda m: right, loss, loss.encode(y), 4) == pytest.approx(8 * 2)
    half = torch.stack([torch.full((64,), math.log(0.5)), *[torch.full((64,), math.log(0.5 / 3))] * 3], 1)
    zeros = code_length([32, 64], order, lambda m: half, loss, loss.encode(torch.zeros(64).long()), 4)
    assert zeros == pytest.approx(32 * 2 + 32 * 1), "the network gives the right class one half"


def test_of_two_blocks_it_is_the_loss_of_a_network_trained_on_the_first(tmp_path):
    run = train(tiny(SMALL), tmp_path)
    values = gs.measure(run, {"name": "prequential", "blocks": 2}).rows[0]
    config = tiny({**SMALL, "regime.interventions": [{"name": "train_subset", "share": 0.5}]})
    engine = make_engine(config, config.task.build(config.seed))[1]
    known = engine.interventions.slots[0].acting.rows
    engine.advance(60, False, lambda: False)
    engine.model.eval()
    train_split = engine.splits["train"]
    rest = torch.tensor(sorted(set(range(40)) - set(known.tolist())))
    with torch.no_grad():
        outputs = engine.network(train_split.x[rest])
    bits = 20 * math.log2(10) + 20 * float(engine.loss(outputs, train_split.target[rest])) / math.log(2)
    assert values["prequential_bits"] == pytest.approx(bits)
    assert values["prequential_compression"] == pytest.approx(bits / (40 * math.log2(10)))


def test_a_constant_predictor_costs_what_its_counts_say():
    """The plug-in code: each block at the frequencies (one added) of the labels before it, worked out by hand."""
    y = torch.tensor([0, 0, 1, 0, 1, 1, 0, 0])
    loss = loss_of(2)

    def counted(m):
        counts = torch.bincount(y[:m], minlength=2) + 1.0
        return (counts / counts.sum()).log().expand(8, 2)

    bits = code_length([2, 4, 8], torch.arange(8), counted, loss, loss.encode(y), 2)
    first, second, third = 2 * 1, 2 + math.log2(4 / 3), 2 * math.log2(6 / 2) + 2 * math.log2(6 / 4)
    assert bits == pytest.approx(first + second + third)


def test_one_block_is_coded_uniformly_to_the_bit(tmp_path):
    row = gs.measure(train(tiny(SMALL), tmp_path), {"name": "prequential", "blocks": 1}).rows[0]
    assert row["prequential_bits"] == 40 * math.log2(10)
    assert row["prequential_compression"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_clean_labels_cost_less_than_random_ones_of_the_same_images(tmp_path, seed):
    """200 digits, 60 steps, blocks from 25 on: no network has become sure of what it gets wrong."""
    changes = {**SMALL, "task": {"name": "digits", "n_train": 200}, "seed": seed}
    clean, random = (train(tiny({**changes, "regime.label_noise": noise}), tmp_path) for noise in (0.0, 1.0))
    measured = [gs.measure(run, {"name": "prequential", "blocks": 4}).rows[0] for run in (clean, random)]
    learned, guessed = (row["prequential_compression"] for row in measured)
    assert learned < 0.85
    assert learned < guessed - 0.2
    assert guessed > 0.97, "labels of noise are not compressed"


def test_its_cost_is_said_before_it_begins(tmp_path, capsys):
    run = train(tiny(SMALL), tmp_path)
    assert cli.run(["measure", str(run.path), "--measure", "prequential"]) == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert "4 new networks to train, 240 steps in total, about" in first
    assert cli.run(["measure", str(run.path), "--measure", "gap"]) == 0
    assert "trained anew" not in capsys.readouterr().err


def test_where_it_says_nothing_it_says_why(tmp_path):
    with pytest.warns(UserWarning, match="prequential is missing from the rows: it trains new networks.*measure RUN"):
        asked = train(tiny({**SMALL, "measure": ["prequential"]}), tmp_path)
    assert "prequential_bits" not in asked.rows()[-1]
    for changes, words in (
        ({"regime.loss": "mse"}, "not a likelihood"),
        ({"regime.interventions": [{"name": "freeze", "from": "T_fit"}]}, "waits for T_fit"),
        ({"regime.interventions": [{"name": "train_subset", "share": 0.5}]}, "its own batches"),
    ):
        result = gs.measure(train(tiny({**SMALL, **changes}), tmp_path), "prequential").results[0]
        assert words in result.reasons["prequential"]
        assert result.checkpoints[0].values == {}


def test_ranks_of_jacobians_by_layer_are_those_of_the_weights():
    """Of a linear network what a layer reads moves the outputs through the product of the weights after it."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 4), torch.nn.Linear(4, 3)).eval()
    jacobians = layer_jacobians(model, torch.randn(7, 6))
    assert list(jacobians) == ["1", "2"], "the first layer reads nothing that was learned"
    after = {"1": model[2].weight @ model[1].weight, "2": model[2].weight}
    for name, product in after.items():
        assert torch.allclose(jacobians[name][0], product, atol=1e-6)
        values = torch.linalg.svdvals(product.detach().double()) ** 2
        expected = torch.special.entr(values / values.sum()).sum().exp()
        assert float(mean_outer_rank(jacobians[name])) == pytest.approx(float(expected), rel=1e-5)


def test_a_task_of_the_tiny_ones_has_them_as_columns(tmp_path):
    run = train(tiny({"task": small_task("parity"), "model": {"name": "mlp", "hidden": [8]}}), tmp_path)
    row = gs.measure(run, "jacobian_rank").rows[0]
    layers = [name for name in row if name.startswith("jacobian_rank/")]
    assert len(layers) == 1
    assert 1 <= row[layers[0]] <= 2
