"""A Lightning module that learns addition modulo 31, recorded by a callback: verdict and explanation without our loop.

pip install 'grokscope[lightning]'; python examples/lightning_callback.py
"""

import itertools
import tempfile
from pathlib import Path

import lightning.pytorch as pl
import torch
from torch import nn

import grokscope as gs
from grokscope.callbacks.lightning import GrokscopeCallback

p = 31
torch.manual_seed(0)
pairs = torch.tensor(list(itertools.product(range(p), repeat=2)))[torch.randperm(p * p)]
sums = pairs.sum(1) % p
train, held_out = (pairs[:720], sums[:720]), (pairs[720:], sums[720:])


class Addition(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(p, 64)
        self.hidden, self.head = nn.Linear(128, 128), nn.Linear(128, p)

    def forward(self, x):
        return self.head(torch.relu(self.hidden(self.embedding(x).flatten(1))))

    def training_step(self, batch, _):
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2, weight_decay=1.0, betas=(0.9, 0.98))


folder = Path(tempfile.mkdtemp()) / "addition"
callback = GrokscopeCallback(folder, splits={"train": train, "id_val": held_out}, loss="cross_entropy", every=10)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*train), batch_size=720)
trainer = pl.Trainer(
    max_steps=600, callbacks=[callback], logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False, accelerator="cpu",
)  # fmt: skip
trainer.fit(Addition(), loader)

for verdict in gs.verdict(folder).values():
    print(verdict)
