"""Studies whose runs have planted times, verdicts and norms, without training: folders, states, and what they show."""

import json
from typing import Any

import numpy as np

from grokscope.store import Run
from grokscope.study import Study
from grokscope.study.run_state import StudyRun
from grokscope.train.plan import make_plan
from tiny import TINY

STEPS = 1000


def study(*hypotheses: dict[str, Any], seeds=5, decays=(0.5, 0.1), **more: Any) -> Study:
    return Study.from_dict(
        {
            **TINY, "name": "planted", "schema": 2, "budget": {"steps": STEPS}, "evaluate": {"every": 10, "at": [0]},
            "axes": {"regime.weight_decay": list(decays)}, "seeds": list(range(seeds)),
            "hypothesis": list(hypotheses), **more,
        }
    )  # fmt: skip


def sooner(**more: Any) -> dict[str, Any]:
    """More decay groks sooner."""
    return {"name": "sooner", "quantity": "T_gen", "of": {"regime.weight_decay": 0.5},
            "to": {"regime.weight_decay": 0.1}, "direction": "earlier", **more}  # fmt: skip


def planted(made: Study, root, T_gen, *, norm=None, every=10, state="done", end=STEPS) -> list[StudyRun]:
    """Every run of a study, with held-out at its threshold from `T_gen[(decay, seed)]` on; it is fitted at 50. The
    folders lie in ``root/trained``, so that what is declared in `root` does not see them."""
    runs = []
    for entry in made.entries:
        key = entry.config.regime.weight_decay, entry.config.seed
        folder = root / "trained" / entry.config.run_id()
        one = end[key] if isinstance(end, dict) else end
        value = 1.0 if norm is None else norm[key]
        steps = np.arange(0, one + 1, every[key[0]] if isinstance(every, dict) else every)
        _write(folder, [_row(int(step), step >= 50, step >= T_gen[key], value) for step in steps])
        now = state.get(key, "done") if isinstance(state, dict) else state
        plan = make_plan(entry.config, entry.config.task.train_size())
        runs.append(StudyRun(entry, Run(folder), now, int(steps[-1]), plan))
    return runs


def _write(folder, rows):
    (folder / "results").mkdir(parents=True)
    facts = {"kind": "classification", "threshold": 0.9, "steps_per_epoch": 1}
    facts["splits"] = {s: {"n": 100, "trivial_acc": 0.1} for s in ("train", "id_val")}
    config = {"task": {"name": "x"}, "regime": {"name": "r"}, "seed": 0}
    (folder / "config.json").write_text(json.dumps({"schema": 1, "config": config, "facts": facts}))
    (folder / "results" / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def _row(step: int, fitted: bool, generalized: bool, norm: float) -> dict[str, Any]:
    train, held = (100 if fitted else 20), (99 if generalized else 15)
    return {
        "step": step, "train_acc": train / 100, "id_val_acc": held / 100, "train_loss": 1 - train / 100 + 1e-4,
        "id_val_loss": 1.0, "train_correct": train, "train_n": 100, "id_val_correct": held, "id_val_n": 100,
        "norm_total": norm,
    }  # fmt: skip
