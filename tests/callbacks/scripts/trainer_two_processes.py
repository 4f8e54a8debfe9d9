"""Trains with the Hugging Face Trainer, plain and recorded in each way, in as many processes as torchrun starts; writes
down what every process ends with.

    torchrun --nproc_per_node 2 trainer_two_processes.py FOLDER
"""

import hashlib
import json
import os
import sys
import warnings
from pathlib import Path

import torch
from torch import nn
from transformers import Trainer, TrainingArguments
from transformers.utils import logging

from grokscope.callbacks.transformers import GrokscopeCallback

warnings.filterwarnings("ignore")
logging.set_verbosity_error()
torch.set_num_threads(1)


def examples(n: int, seed: int) -> list[dict]:
    x = torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))
    return [{"x": row, "labels": int(row[0] > 0)} for row in x]


TRAIN, VAL = examples(32, 0), examples(40, 1)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(5, 16), nn.LayerNorm(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))

    def forward(self, x, labels=None):
        logits = self.net(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits} if labels is not None else logits


def accuracy(prediction) -> dict:
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def fit(name: str, folder: Path, *callbacks: GrokscopeCallback) -> None:
    args = TrainingArguments(
        output_dir=str(folder / "hf" / name), max_steps=12, eval_strategy="steps", eval_steps=4, save_strategy="no",
        per_device_train_batch_size=4, learning_rate=1e-2, weight_decay=0.5, report_to=[], use_cpu=True,
        disable_tqdm=True, seed=3, logging_steps=2, lr_scheduler_type="linear",
    )  # fmt: skip
    model = Model()
    trainer = Trainer(
        model=model, args=args, train_dataset=TRAIN, eval_dataset={"train": TRAIN, "val": VAL},
        compute_metrics=accuracy, callbacks=list(callbacks),
    )  # fmt: skip
    trainer.train()
    weights = b"".join(t.detach().numpy().tobytes() for t in model.state_dict().values())
    ends = {"weights": weights, "torch": torch.get_rng_state().numpy().tobytes()}
    said = {key: hashlib.sha256(value).hexdigest() for key, value in ends.items()}
    said |= {"steps": trainer.state.global_step, "world": args.world_size}
    (folder / f"{name}-{args.process_index}.json").write_text(json.dumps(said))


def main(folder: Path) -> None:
    splits = {
        name: (torch.stack([e["x"] for e in rows]), torch.tensor([e["labels"] for e in rows]))
        for name, rows in (("train", TRAIN), ("id_val", VAL))
    }
    scored = {"splits": splits, "loss": "cross_entropy", "every": 4, "diagnose_every": 1}
    columns = {"train_acc": "eval_train_accuracy", "id_val_acc": "eval_val_accuracy"}
    fit("plain", folder)
    fit("splits", folder, GrokscopeCallback(folder / "runs" / "splits", **scored))
    fit("columns", folder, GrokscopeCallback(folder / "runs" / "columns", columns=columns))
    try:  # a folder that is refused is refused in both processes, and neither waits for the other
        fit("refused", folder, GrokscopeCallback(folder / "runs" / "splits", columns=columns, name="another"))
    except ValueError as error:
        (folder / f"refused-{os.environ['RANK']}.json").write_text(json.dumps(str(error)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
