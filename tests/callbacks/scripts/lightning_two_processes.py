"""Trains with Lightning in two processes on the CPU, plain and recorded in each way; writes down what every process
ends with. Started once; Lightning starts the second process itself.

    python lightning_two_processes.py FOLDER
"""

import hashlib
import json
import logging
import os
import sys
import warnings
from pathlib import Path

import lightning.pytorch as pl
import torch
from torch import nn

from grokscope.callbacks.lightning import GrokscopeCallback

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
torch.set_num_threads(1)

X = torch.randn(32, 5, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
VAL = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
VAL_Y = (VAL[:, 0] > 0).long()


class Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        self.log("train_score", (logits.argmax(1) == y).float().mean(), on_step=False, on_epoch=True, sync_dist=True)
        return nn.functional.cross_entropy(logits, y)

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_score", (self(x).argmax(1) == y).float().mean(), sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2, weight_decay=0.5)


class Counting(pl.Callback):
    """Counts the processes at the end of each epoch, as anybody's callback may."""

    def on_train_epoch_end(self, trainer, pl_module):
        assert trainer.strategy.reduce(torch.tensor(1.0), reduce_op="sum") == trainer.world_size


def fit(name: str, folder: Path, *callbacks: pl.Callback) -> None:
    data = torch.utils.data.TensorDataset(X, Y)
    loader = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True)
    val = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(VAL, VAL_Y), batch_size=20)
    trainer = pl.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=3, callbacks=list(callbacks), logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder,
    )  # fmt: skip
    pl.seed_everything(7, verbose=False)
    module = Module()
    trainer.fit(module, loader, val)
    weights = b"".join(t.detach().numpy().tobytes() for t in module.state_dict().values())
    ends = {"weights": weights, "torch": torch.get_rng_state().numpy().tobytes()}
    said = {key: hashlib.sha256(value).hexdigest() for key, value in ends.items()}
    said |= {"steps": trainer.global_step, "world": trainer.world_size}
    (folder / f"{name}-{trainer.global_rank}.json").write_text(json.dumps(said))


def main(folder: Path) -> None:
    splits = {"train": (X, Y), "id_val": (VAL, VAL_Y)}
    scored = {"splits": splits, "loss": "cross_entropy", "every": 4, "diagnose_every": 1, "checkpoints": True}
    columns = {"train_acc": "train_score", "id_val_acc": "val_score"}
    ways = {
        "plain": [],
        "splits": [GrokscopeCallback(folder / "runs" / "splits", **scored)],
        "columns": [GrokscopeCallback(folder / "runs" / "columns", columns=columns), Counting()],
    }
    for name, callbacks in ways.items():
        fit(name, folder, *callbacks)
    try:  # a folder that is refused is refused in both processes, and neither waits for the other
        fit("refused", folder, GrokscopeCallback(folder / "runs" / "splits", columns=columns, name="another"))
    except ValueError as error:
        (folder / f"refused-{os.environ['LOCAL_RANK']}.json").write_text(json.dumps(str(error)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
