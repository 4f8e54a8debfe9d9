"""A training of Lightning's, recorded: what was logged, when, at which step; and the same scored by the recorder."""

import re
import runpy
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

pl = pytest.importorskip("lightning.pytorch", reason="needs lightning: pip install 'grokscope[lightning]'")

from grokscope import open_run  # noqa: E402
from grokscope.callbacks.lightning import GrokscopeCallback  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

X = torch.randn(24, 5, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
VAL = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
VAL_Y = (VAL[:, 0] > 0).long()


class Module(pl.LightningModule):
    """Logs how many steps its weights have seen, as its scores: what is recorded says where it comes from."""

    def __init__(self, by_step=False, fail_at=None):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))
        self.by_step, self.fail_at, self.steps = by_step, fail_at, 0

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        if self.fail_at == self.steps:
            raise RuntimeError("out of luck")
        x, y = batch
        self.log("train_score", self.steps / 1000, on_step=self.by_step, on_epoch=not self.by_step)
        self.steps += 1
        return nn.functional.cross_entropy(self(x), y)

    def validation_step(self, batch, batch_idx):
        self.log("val_score", self.steps / 1000)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2, weight_decay=0.5)


def fit(callback, module=None, batch=8, more=(), **options):
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=batch)
    val = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(VAL, VAL_Y), batch_size=40)
    module = module or Module()
    trainer = pl.Trainer(
        callbacks=[callback, *more], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", **({"max_epochs": 6} | options),
    )  # fmt: skip
    trainer.fit(module, loader, val)
    return module


def logged(folder, **options):
    return GrokscopeCallback(folder, columns={"train_acc": "train_score", "id_val_acc": "val_score"}, **options)


def rows(folder):
    return [{k: row.get(k) for k in ("step", "train_acc", "id_val_acc")} for row in open_run(folder).rows()]


def test_scores_stand_at_the_step_of_the_weights_that_they_are_of(tmp_path):
    fit(logged(tmp_path / "a"), check_val_every_n_epoch=2)
    # three steps an epoch, validated in every second one; means over the three steps of that epoch, not an older one
    assert rows(tmp_path / "a") == [
        {"step": 6, "train_acc": pytest.approx(0.004), "id_val_acc": pytest.approx(0.006)},
        {"step": 12, "train_acc": pytest.approx(0.010), "id_val_acc": pytest.approx(0.012)},
        {"step": 18, "train_acc": pytest.approx(0.016), "id_val_acc": pytest.approx(0.018)},
    ]
    run = open_run(tmp_path / "a")
    assert run.status["state"] == "done"
    assert run.config["regime"]["weight_decay"] == 0.5
    assert run.facts["steps_per_epoch"] == 3


def test_what_is_logged_by_step_is_of_the_last_step(tmp_path):
    fit(logged(tmp_path / "a"), Module(by_step=True), check_val_every_n_epoch=3)
    assert [(r["step"], r["train_acc"]) for r in rows(tmp_path / "a")] == [
        (9, pytest.approx(0.008)), (18, pytest.approx(0.017)),
    ]  # fmt: skip


def test_a_validation_in_the_middle_of_an_epoch_has_no_train_score(tmp_path):
    fit(logged(tmp_path / "a"), batch=6, val_check_interval=0.5, max_epochs=2)
    assert [(r["step"], r["train_acc"] is None, r["id_val_acc"]) for r in rows(tmp_path / "a")] == [
        (2, True, pytest.approx(0.002)), (4, False, pytest.approx(0.004)),
        (6, True, pytest.approx(0.006)), (8, False, pytest.approx(0.008)),
    ]  # fmt: skip


def test_it_scores_the_network_itself_and_the_training_does_not_notice(tmp_path):
    plain = fit(logged(tmp_path / "a"))
    splits = {"train": (X, Y), "id_val": (VAL, VAL_Y)}
    scored = fit(GrokscopeCallback(tmp_path / "b", splits=splits, loss="cross_entropy", every=6, checkpoints=True))
    for one, other in zip(plain.parameters(), scored.parameters(), strict=True):
        assert torch.equal(one, other)
    run = open_run(tmp_path / "b")
    assert [row["step"] for row in run.rows()] == [0, 6, 12, 18]
    with torch.no_grad():
        right = int((scored.eval()(VAL).argmax(1) == VAL_Y).sum())
    assert run.rows()[-1]["id_val_correct"] == right
    assert list(run.checkpoints()) == [18]


def test_the_last_step_is_scored_and_epochs_are_counted_in_optimizer_steps(tmp_path):
    """Three batches an epoch, two of them to a step: Lightning steps after the second and after the third."""
    splits = {"train": (X, Y), "id_val": (VAL, VAL_Y)}
    for name, options, steps in (("epochs", {"max_epochs": 4}, [0, 5, 8]), ("steps", {"max_steps": 7}, [0, 5, 7])):
        callback = GrokscopeCallback(tmp_path / name, splits=splits, loss="cross_entropy", every=5)
        fit(callback, accumulate_grad_batches=2, **options)
        run = open_run(tmp_path / name)
        assert [row["step"] for row in run.rows()] == steps
        assert run.facts["steps_per_epoch"] == 2


def test_a_failure_leaves_its_rows_and_the_folder_free(tmp_path):
    with pytest.raises(RuntimeError, match="out of luck"):
        fit(logged(tmp_path / "a"), Module(fail_at=7))
    status = open_run(tmp_path / "a").status
    assert (status["state"], status["error"]["message"]) == ("failed", "out of luck")
    assert [r["step"] for r in rows(tmp_path / "a")] == [3, 6]
    fit(logged(tmp_path / "a"))  # recorded again, from its first row on
    assert [r["step"] for r in rows(tmp_path / "a")] == [3, 6, 9, 12, 15, 18]


def test_a_name_that_is_never_logged_is_told(tmp_path):
    callback = GrokscopeCallback(tmp_path / "a", columns={"train_acc": "train_score", "id_val_acc": "val_acc"})
    with warnings.catch_warnings(record=True) as caught:  # the framework has warnings of its own
        warnings.simplefilter("always")
        fit(callback)
    said = "".join(str(w.message) for w in caught)
    assert re.search(r"never logged: id_val_acc \('val_acc'\); logged were: .*val_score", said)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give splits=.*or columns="),
        ({"columns": {"train_acc": "a"}, "splits": {}}, "two ways to score"),
        ({"columns": {"train_acc": "a"}, "every": 0}, "every: expected a whole number above 0"),
    ],
)
def test_mistakes_are_named(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        GrokscopeCallback(tmp_path / "a", **options)


def test_the_example_runs(capsys):
    runpy.run_path(str(Path(__file__).parents[2] / "examples" / "lightning_callback.py"), run_name="__main__")
    assert "id_val: grokked" in capsys.readouterr().out
