"""Feeding images: decoded once into memory, against a DataLoader that decodes PNG files in every epoch.

Each is a whole process, imports included, that delivers every batch of `--epochs` epochs over 1,000 patches of 96 x 96
as float tensors and runs no network. Ours decodes into an empty cache in its first epoch; later ones read memory. A
second process finds the cache full and only reads the files' bytes, to know the images. Target: at least 5 times as
fast, with the empty cache. Published runs have 3,000 epochs; in a process of 30 the imports are half of our time.

    python benchmarks/image_input.py [--epochs 100] [--pairs 3]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH = 32


def memory(folder: Path, epochs: int, cache: Path) -> int:
    """Our input path, without the network. Returns the number of images delivered."""
    import torch

    from grokscope.tasks.camelyon17 import Camelyon17
    from grokscope.train.evaluate import IMAGE_CHUNK
    from grokscope.train.inputs import Network
    from grokscope.train.order import BatchOrder

    torch.set_num_threads(1)
    data = Camelyon17(root=str(folder), n_train=1000, n_eval=10, cache_dir=str(cache)).build(0)
    x = torch.as_tensor(data.splits["train"].x)
    prepare = Network(torch.nn.Linear(1, 1), data.meta).prepare
    prepare(x[:IMAGE_CHUNK])  # every run begins with an evaluation, whose larger arrays teach malloc to keep its pages
    order, seen = BatchOrder(len(x), BATCH, 0), 0
    for _ in range(epochs * order.steps_per_epoch):
        seen += len(prepare(x[order.next()]))
    return seen


def files(folder: Path, epochs: int, cache: Path) -> int:
    """The usual way: a dataset that opens a PNG for every example of every epoch. Returns the images delivered."""
    del cache
    import numpy as np
    import torch
    from PIL import Image

    from grokscope.tasks.camelyon17 import Camelyon17
    from grokscope.tasks.camelyon17.files import find_folder

    torch.set_num_threads(1)
    task = Camelyon17(root=str(folder), n_train=1000, n_eval=10)
    root = find_folder(folder)
    names = [root / name for name in task.select(0)["train"].names()]

    class Patches(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(names)

        def __getitem__(self, i: int) -> torch.Tensor:
            with Image.open(names[i]) as image:
                return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255

    loader = torch.utils.data.DataLoader(Patches(), batch_size=BATCH, shuffle=True)
    return sum(len(batch) for _ in range(epochs) for batch in loader)


def timed(mode: str, folder: Path, epochs: int, cache: Path) -> float:
    command = [sys.executable, __file__, "--mode", mode, "--epochs", str(epochs)]
    command += ["--folder", str(folder), "--cache", str(cache)]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--mode", choices=("memory", "files"))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--cache", type=Path)
    given = parser.parse_args()
    if given.mode:
        print({"memory": memory, "files": files}[given.mode](given.folder, given.epochs, given.cache))
        return
    from common import write_result

    from grokscope.tasks.hospitals import Hospitals
    from grokscope.tasks.hospitals.files import write_camelyon17

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_camelyon17(folder, Hospitals(n_train=1200, n_eval=20, image_size=96, patients=10, slides=10), seed=0)
        rounds = [
            [timed(mode, folder, given.epochs, folder / f"cache{i}") for mode in ("files", "memory", "memory")]
            for i in range(given.pairs)
        ]
    ratios = [files / cold for files, cold, _ in rounds]
    for (files_s, cold, warm), ratio in zip(rounds, ratios, strict=True):
        print(f"each epoch {files_s:6.1f} s   once {cold:6.1f} s   cached {warm:6.1f} s   ratio {ratio:.1f}")
    print(f"median ratio {statistics.median(ratios):.1f} (target >= 5)")
    result = {
        "epochs": given.epochs,
        "seconds": {"files": [r[0] for r in rounds], "empty": [r[1] for r in rounds], "full": [r[2] for r in rounds]},
        "ratios": ratios,
        "median": statistics.median(ratios),
        "target": 5,
    }
    write_result("image_input", result)


if __name__ == "__main__":
    main()
