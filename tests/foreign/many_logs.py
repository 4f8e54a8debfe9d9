"""Folders of made-up logs with known milestones, for tests."""

import json
from pathlib import Path

COLUMNS = {"step": "step", "train": "train_acc", "held_out": {"test": "test_acc"}}
OPTIONS = ["--step", "step", "--train", "train_acc", "--held-out", "test=test_acc"]
GROUP = r"(?P<setting>.*)_s(?P<seed>\d+)"


def rows(gen: int | None, last: int = 1000, every: int = 10) -> list[dict[str, float]]:
    """Fits at step 50; held-out reaches the threshold at `gen`, or stays at chance."""
    return [
        {"step": s, "train_acc": min(1.0, s / 50), "test_acc": 0.99 if gen is not None and s >= gen else 0.1}
        for s in range(0, last + 1, every)
    ]


def write_log(path: Path, gen: int | None, last: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(gen, last)))
    return path


def write_groups(folder: Path, **groups: list[int | None]) -> Path:
    """``fast=[300, 320]`` -> fast_s0.jsonl, fast_s1.jsonl."""
    for name, gens in groups.items():
        for seed, gen in enumerate(gens):
            write_log(folder / f"{name}_s{seed}.jsonl", gen)
    return folder
