"""A training of the Hugging Face Trainer, recorded: what was logged at which step; and scored by a recorder."""

import re
import runpy
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

pytest.importorskip("transformers", reason="needs transformers: pip install 'grokscope[transformers]'")
pytest.importorskip("accelerate", reason="needs accelerate: pip install 'grokscope[transformers]'")

from transformers import Trainer, TrainerCallback, TrainingArguments

from grokscope import open_run
from grokscope.callbacks.transformers import GrokscopeCallback

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def examples(n, seed):
    x = torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))
    return [{"x": row, "labels": int(row[0] > 0)} for row in x]


TRAIN, VAL = examples(24, 0), examples(40, 1)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(5, 16), nn.LayerNorm(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))

    def forward(self, x, labels=None):
        logits = self.net(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits} if labels is not None else logits


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def fit(tmp_path, callback, steps=12, resume=None, more=(), **options):
    args = TrainingArguments(
        output_dir=str(tmp_path / "hf"), max_steps=steps, eval_strategy="steps", eval_steps=4, save_strategy="steps",
        save_steps=4, per_device_train_batch_size=8, learning_rate=1e-2, weight_decay=0.5, report_to=[], use_cpu=True,
        disable_tqdm=True, seed=3, logging_steps=2, lr_scheduler_type="constant", **options,
    )  # fmt: skip
    model = Model()
    trainer = Trainer(
        model=model, args=args, train_dataset=TRAIN, eval_dataset={"train": TRAIN, "val": VAL},
        compute_metrics=accuracy, callbacks=[callback, *more],
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=resume)
    return trainer


COLUMNS = {
    "train_acc": "eval_train_accuracy", "train_loss": "eval_train_loss", "id_val_acc": "eval_val_accuracy",
    "grad_norm": "grad_norm",
}  # fmt: skip


def test_evaluations_of_one_step_are_one_row(tmp_path):
    trainer = fit(tmp_path, GrokscopeCallback(tmp_path / "a", columns=COLUMNS, n={"train": 24, "id_val": 40}))
    run = open_run(tmp_path / "a")
    history = {h["step"]: h["eval_val_accuracy"] for h in trainer.state.log_history if "eval_val_accuracy" in h}
    scored = {row["step"]: row["id_val_acc"] for row in run.rows() if "id_val_acc" in row}
    assert scored == pytest.approx(history)
    assert list(scored) == [4, 8, 12]
    assert all(
        {"train_acc", "train_loss", "grad_norm", "lr"} <= row.keys() for row in run.rows() if row["step"] in scored
    )
    assert run.config["seed"] == 3
    assert run.config["regime"] | {"lr": 1e-2} == {
        "name": "own loop", "optimizer": "adamw", "lr": 1e-2, "weight_decay": 0.5, "decay_groups": "matrices",
    }  # fmt: skip
    assert run.status["state"] == "done"


def test_it_scores_the_network_itself_and_the_training_does_not_notice(tmp_path):
    plain = fit(tmp_path / "one", GrokscopeCallback(tmp_path / "a", columns=COLUMNS))
    splits = {name: (torch.stack([e["x"] for e in part]), torch.tensor([e["labels"] for e in part]))
              for name, part in (("train", TRAIN), ("id_val", VAL))}  # fmt: skip
    callback = GrokscopeCallback(tmp_path / "b", splits=splits, loss="cross_entropy", every=6, checkpoints=True)
    scored = fit(tmp_path / "two", callback)
    for one, other in zip(plain.model.parameters(), scored.model.parameters(), strict=True):
        assert torch.equal(one, other)
    run = open_run(tmp_path / "b")
    assert [row["step"] for row in run.rows()] == [0, 6, 12]
    with torch.no_grad():
        right = int((scored.model.eval()(splits["id_val"][0]).argmax(1) == splits["id_val"][1]).sum())
    assert run.rows()[-1]["id_val_correct"] == right
    assert list(run.checkpoints()) == [4, 8, 12]


def test_a_training_that_is_resumed_goes_on_in_its_folder(tmp_path):
    whole = GrokscopeCallback(tmp_path / "a", columns=COLUMNS)
    fit(tmp_path, whole)
    before = open_run(tmp_path / "a").rows()
    again = GrokscopeCallback(tmp_path / "a", columns=COLUMNS)
    fit(tmp_path, again, resume=str(tmp_path / "hf" / "checkpoint-8"))
    after = open_run(tmp_path / "a").rows()
    assert [row["step"] for row in after] == [row["step"] for row in before]
    assert after[: len(after) - 2] == before[: len(before) - 2]


def test_training_twice_in_one_process_is_no_conflict(tmp_path):
    callback = GrokscopeCallback(tmp_path / "a", columns=COLUMNS)
    trainer = fit(tmp_path, callback)
    trainer.train()
    assert open_run(tmp_path / "a").status["state"] == "done"


class Fails(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 6:
            raise RuntimeError("out of luck")


def test_after_an_error_the_same_process_can_train_again(tmp_path):
    """The Trainer tells no callback of an exception: a notebook still holds the trainer, and its recorder."""
    first = GrokscopeCallback(tmp_path / "a", columns=COLUMNS)
    with pytest.raises(RuntimeError, match="out of luck") as held:
        fit(tmp_path, first, more=(Fails(),))
    assert held.traceback
    fit(tmp_path, GrokscopeCallback(tmp_path / "a", columns=COLUMNS))
    run = open_run(tmp_path / "a")
    assert run.status["state"] == "done"
    assert [row["step"] for row in run.rows() if "id_val_acc" in row] == [4, 8, 12]


def test_the_last_step_is_scored_and_with_its_own_weights(tmp_path):
    """Not with those of the best step, which the Trainer loads when training ends."""
    splits = {name: (torch.stack([e["x"] for e in part]), torch.tensor([e["labels"] for e in part]))
              for name, part in (("train", TRAIN), ("id_val", VAL))}  # fmt: skip
    losses = {}
    for best in (False, True):
        callback = GrokscopeCallback(tmp_path / f"run{best}", splits=splits, loss="cross_entropy", every=5)
        options = {"load_best_model_at_end": best, "metric_for_best_model": "eval_val_loss", "greater_is_better": True}
        fit(tmp_path / str(best), callback, **options)
        rows = open_run(tmp_path / f"run{best}").rows()
        assert [row["step"] for row in rows] == [0, 5, 10, 12]
        losses[best] = rows[-1]["train_loss"]
    assert losses[True] == losses[False]


def test_a_name_that_is_never_logged_is_told(tmp_path):
    callback = GrokscopeCallback(
        tmp_path / "a", columns={"train_acc": "eval_train_accuracy", "id_val_acc": "eval_accuracy"}
    )
    with warnings.catch_warnings(record=True) as caught:  # the framework has warnings of its own
        warnings.simplefilter("always")
        fit(tmp_path, callback)
    said = "".join(str(w.message) for w in caught)
    assert re.search(r"never logged: id_val_acc \('eval_accuracy'\); logged were: .*eval_val_accuracy", said)


def test_the_example_runs(capsys):
    runpy.run_path(str(Path(__file__).parents[2] / "examples" / "transformers_callback.py"), run_name="__main__")
    assert "id_val: grokked" in capsys.readouterr().out
