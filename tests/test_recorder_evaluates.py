"""A recorder that scores the network itself: a loop of one's own gets what a run of grokscope's own has."""

import pytest
import torch
from torch import nn

import grokscope as gs
from grokscope import open_run
from grokscope.mechanism.case import case_of_run
from grokscope.mechanism.explain import explain
from grokscope.recorder import Recorder
from grokscope.verdicts import run_verdicts


def data(rows=300, shift=0.0):
    x = torch.randn(rows, 6, generator=torch.Generator().manual_seed(int(shift) + rows))
    return x + shift, (x[:, 0] * x[:, 1] > 0).long()


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))


def recorded(folder, steps=40, splits=None, **options):
    model = network()
    splits = splits or {"train": data(), "id_val": data(500)}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.5)
    x, y = splits["train"][:2]
    given = {"optimizer": optimizer, "splits": splits, "loss": "cross_entropy"} | options
    with Recorder(folder, model, **given) as rec:
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            rec.evaluate(step)
    return rec


def test_the_checks_of_mechanisms_have_what_they_need(tmp_path):
    told = explain(case_of_run(recorded(tmp_path / "mine").run))
    assert {need.partition(":")[0] for need in told.missing} == {
        "label_noise", "grad_filter", "init_scale", "train_logit_scale", "train_irm",
    }  # fmt: skip
    with Recorder(tmp_path / "bare", network()) as rec:
        for step in range(1, 41):
            rec.log(step, train_acc=1.0, train_loss=0.1, id_val_acc=0.5)
    bare = explain(case_of_run(rec.run))
    assert {"lr", "weight_decay", "norm_head", "rank_effective", "softmax_collapse"} <= set(bare.missing)


def test_settings_sizes_and_baselines_are_in_the_record(tmp_path):
    run = open_run(recorded(tmp_path / "mine", steps_per_epoch=4).run.path)
    regime = run.config["regime"]
    assert (regime["optimizer"], regime["lr"], regime["weight_decay"]) == ("adamw", 1e-2, 0.5)
    assert (regime["loss"], run.config["own"]["optimizer"]["name"]) == ("cross_entropy", "AdamW")
    facts = run.facts
    assert facts["parameters"] == 6 * 32 + 32 + 32 * 2 + 2
    assert facts["splits"]["id_val"]["n"] == 500
    counts = torch.bincount(data(500)[1])
    assert facts["splits"]["id_val"]["trivial_acc"] == pytest.approx(float(counts[data()[1].bincount().argmax()] / 500))
    assert facts["steps_per_epoch"] == 4
    assert 0.3 < facts["input_probe"]["id_val"]["acc"] < 0.7  # a product of signs is no linear function
    assert facts["data"]["digests"].keys() == {"train", "id_val"}
    assert run_verdicts(run)["id_val"].verdict


def test_diagnosed_rows_come_as_often_as_asked(tmp_path):
    rows = recorded(tmp_path / "mine", steps=13, diagnose_every=5).run.rows()
    assert [row["step"] for row in rows if "rank_effective" in row] == [1, 6, 11]
    assert all({"lr", "norm_head", "train_acc", "id_val_loss"} <= row.keys() for row in rows)


def test_measurements_can_be_added(tmp_path):
    rows = recorded(tmp_path / "mine", steps=1, measure=["distance", {"name": "margins"}]).run.rows()
    assert any(key.startswith("distance") for key in rows[0])


def test_unseen_environments_are_scored_one_by_one(tmp_path):
    x, y = data(200)
    env = torch.arange(200) % 2
    splits = {"train": (x, y, env), "ood_test": (x + 1, y, env + 2)}
    row = recorded(tmp_path / "mine", steps=1, splits=splits).run.rows()[0]
    assert {"ood_test_env2_acc", "ood_test_env3_acc", "train_env0_acc"} <= row.keys()


def test_numbers_of_ones_own_stand_beside_and_never_over_what_is_measured(tmp_path):
    model = network()
    with Recorder(tmp_path / "mine", model, splits={"train": data(), "id_val": data(500)}, loss="cross_entropy") as rec:
        assert rec.evaluate(1, lab_score=0.7)["lab_score"] == 0.7
        with pytest.raises(ValueError, match="train_acc: already measured"):
            rec.evaluate(2, train_acc=0.5)
    assert [row["step"] for row in rec.run.rows()] == [1]


def test_a_recording_with_other_data_is_refused(tmp_path):
    recorded(tmp_path / "mine", steps=3)
    with pytest.raises(ValueError, match=r"another run \(other data\)"):
        recorded(tmp_path / "mine", splits={"train": data(), "id_val": data(501)})
    assert [row["step"] for row in recorded(tmp_path / "mine", steps=4).run.rows()] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": None}, "loss: name the one you train with"),
        ({"n": {"train": 3}}, "n: is determined by splits"),
        ({"trivial": {"id_val": 0.5}}, "trivial: is determined by splits"),
        ({"measure": ["distanse"]}, r"measure\[0\].*distance"),
        ({"diagnose_every": 0}, "diagnose_every: expected a whole number above 0"),
        ({"steps_per_epoch": 1.5}, "steps_per_epoch: expected a whole number above 0"),
    ],
)
def test_mistakes_are_named_and_leave_no_folder(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        recorded(tmp_path / "mine", **options)
    assert not (tmp_path / "mine" / "config.json").exists()


def test_what_evaluate_needs(tmp_path):
    with Recorder(tmp_path / "a", network()) as rec, pytest.raises(ValueError, match="needs the data"):
        rec.evaluate(1)
    with pytest.raises(ValueError, match="need the model"):
        Recorder(tmp_path / "b", splits={"train": data()}, loss="cross_entropy")


def test_two_recordings_can_be_compared_and_reported(tmp_path):
    for seed in range(2):
        recorded(tmp_path / f"s{seed}", seed=seed)
    page = gs.build_report([open_run(tmp_path / f"s{seed}") for seed in range(2)], tmp_path / "report.html")
    assert "own loop" in page.read_text()
    assert "same" in gs.compare(tmp_path / "s0", tmp_path / "s1").says[0]
