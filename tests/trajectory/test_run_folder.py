"""From a run folder as the store writes it to a verdict."""

import json
from pathlib import Path
from typing import Any

from grokscope.store.run import open_run
from grokscope.trajectory import from_run, verdict

FACTS = {
    "kind": "classification",
    "threshold": 0.95,
    "splits": {"train": {"n": 100, "trivial_acc": 0.1}, "id_val": {"n": 400, "trivial_acc": 0.1}},
}


def folder(path: Path, rows: list[dict[str, Any]], state: str = "done") -> Path:
    (path / "results").mkdir(parents=True)
    config = {"schema": 1, "config": {"regime": {"name": "x"}, "seed": 0}, "facts": FACTS}
    (path / "config.json").write_text(json.dumps(config))
    (path / "status.json").write_text(json.dumps({"state": state, "step": rows[-1]["step"]}))
    (path / "results" / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def row(step: int, train: int, held: int, loss: float | None) -> dict[str, Any]:
    return {
        "step": step,
        "train_loss": loss,
        "train_acc": train / 100,
        "train_correct": train,
        "train_n": 100,
        "id_val_correct": held,
        "id_val_n": 400,
        "norm_total": 10.0,
    }


ROWS = [row(s, min(100, s), 40 if s < 1000 else 380 if s < 1100 else 396, 1 / (1 + s)) for s in range(0, 2001, 50)]


def test_a_finished_run(tmp_path: Path):
    v = verdict(from_run(open_run(folder(tmp_path / "r", ROWS))))
    assert v.verdict == "grokked"
    assert v.robust
    assert (v.milestones.T_fit.at, v.milestones.T_gen.at, v.milestones.T_gen.previous) == (100, 1000, 950)


def test_one_example_short_of_the_threshold_is_short(tmp_path: Path):
    rows = [{**r, "id_val_correct": min(r["id_val_correct"], 379)} for r in ROWS]
    v = verdict(from_run(open_run(folder(tmp_path / "r", rows))))
    assert v.verdict == "semi-grokked"
    assert v.milestones.T_gen.censored


def test_null_losses_to_the_end_are_divergence(tmp_path: Path):
    rows = [*ROWS[:-2], *({**r, "train_loss": None} for r in ROWS[-2:])]
    v = verdict(from_run(open_run(folder(tmp_path / "r", rows, "diverged"))))
    assert v.verdict == "diverged"
    assert v.evidence["diverged_at"] == 1950
