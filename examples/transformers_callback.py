"""A model trained by the Hugging Face Trainer, recorded by a callback: verdict and explanation without our loop.

pip install 'grokscope[transformers]'; python examples/transformers_callback.py
"""

import itertools
import tempfile
from pathlib import Path

import torch
from torch import nn
from transformers import Trainer, TrainingArguments

import grokscope as gs
from grokscope.callbacks.transformers import GrokscopeCallback

p = 31
torch.manual_seed(0)
pairs = torch.tensor(list(itertools.product(range(p), repeat=2)))[torch.randperm(p * p)]
sums = pairs.sum(1) % p
train = [{"input_ids": x, "labels": y} for x, y in zip(pairs[:720], sums[:720], strict=True)]
held_out = [{"input_ids": x, "labels": y} for x, y in zip(pairs[720:], sums[720:], strict=True)]


class Addition(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(p, 64)
        self.hidden, self.head = nn.Linear(128, 128), nn.Linear(128, p)

    def forward(self, input_ids, labels=None):
        logits = self.head(torch.relu(self.hidden(self.embedding(input_ids).flatten(1))))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


folder = Path(tempfile.mkdtemp())
columns = {"train_acc": "eval_train_accuracy", "train_loss": "eval_train_loss", "id_val_acc": "eval_val_accuracy"}
callback = GrokscopeCallback(folder / "addition", columns=columns, n={"train": 720, "id_val": p * p - 720})
args = TrainingArguments(
    output_dir=str(folder / "trainer"), max_steps=600, per_device_train_batch_size=720, learning_rate=1e-2,
    adam_beta2=0.98, weight_decay=1.0, lr_scheduler_type="constant", eval_strategy="steps", eval_steps=20,
    save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True,
)  # fmt: skip
trainer = Trainer(
    model=Addition(), args=args, train_dataset=train, eval_dataset={"train": train, "val": held_out},
    compute_metrics=accuracy, callbacks=[callback],
)  # fmt: skip
trainer.train()

for verdict in gs.verdict(folder / "addition").values():
    print(verdict)
