"""Your own training loop, recorded: verdict and report without adopting ours.

python examples/own_loop.py
"""

import tempfile

import torch

import grokscope as gs

torch.manual_seed(0)
n, d = 200, 20
teacher = torch.randn(d)
x, x_val = torch.randn(n, d), torch.randn(500, d)
y, y_val = (x @ teacher > 0).long(), (x_val @ teacher > 0).long()
model = torch.nn.Sequential(torch.nn.Linear(d, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)

folder = tempfile.mkdtemp()
splits = {"train": (x, y), "id_val": (x_val, y_val)}
with gs.Recorder(
    f"{folder}/mine", model, optimizer=optimizer, splits=splits, loss="cross_entropy", threshold=0.9
) as rec:
    for step in range(1, 301):
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            rec.evaluate(step)
    rec.checkpoint(step)

for verdict in gs.verdict(f"{folder}/mine").values():
    print(verdict)
