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
with gs.Recorder(f"{folder}/mine", model, n={"train": n, "id_val": 500}, trivial={"id_val": 0.5}, threshold=0.9) as rec:
    for step in range(1, 301):
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                train, held_out = ((model(a).argmax(1) == b).double().mean() for a, b in ((x, y), (x_val, y_val)))
            rec.log(step, train_acc=train, train_loss=loss.item(), id_val_acc=held_out)
    rec.checkpoint(step)

for verdict in gs.verdict(f"{folder}/mine").values():
    print(verdict)
