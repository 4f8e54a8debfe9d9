"""What the mechanism checks say of runs whose mechanism is known: closed forms, simulated noise, planted leaks, and
small networks that were trained.

A true claim must be supported and a false one must not. "Cannot tell" where a word was expected is a miss, of which at
most one in five is allowed; a true claim that is denied, or a false one that is supported, is wrong, and none is.

    python benchmarks/checks_on_oracles.py --root runs          trains what is not there (about ten minutes of one core)
    python benchmarks/checks_on_oracles.py --root runs --store  also writes the trajectories for tests/mechanism
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from common import write_result

import grokscope as gs
from grokscope import configio
from grokscope.mechanism import Case, Setup, case_of_run, case_of_trajectory, explain
from grokscope.mechanism.diffusion import diffused_norm
from grokscope.mechanism.oracles import Ridge, TwoWeights
from grokscope.study.study import Study, find_study
from grokscope.tasks.modular import Modular
from grokscope.train.driver import train
from grokscope.trajectory import Trajectory, from_log

CASES = Path(__file__).parents[1] / "tests" / "cases"
STORED = CASES / "oracles"
LOGS = CASES / "logs"

NO_SOFTMAX = {"softmax collapse": False, "logit scale": False, "head growth": False}
HONEST = {"leakage": False, "nothing memorized": False}
"""What is false of every honest run that fits."""
PLAIN = {"decay grip": False, "filter feeds the head": False, "init scale undone": False, "decay too strong": False}
"""What is false of a plain network without norm layers, filter or large start whose fit holds."""


@gs.register
@dataclass(frozen=True, kw_only=True)
class LeakyModular(Modular):
    """Modular arithmetic, half of whose held-out rows stand in train. Source: planted. Cost: none. Misleads by
    design."""

    name: ClassVar[str] = "leaky-modular"

    def build(self, seed: int) -> gs.TaskData:
        clean = super().build(seed)
        held, trained = clean.splits["id_val"], clean.splits["train"]
        half = min(len(held), len(trained)) // 2
        x, y = held.x.copy(), held.y.copy()
        x[:half], y[:half] = trained.x[:half], trained.y[:half]
        splits = {"train": trained, "id_val": gs.Split(x, y)}
        return gs.TaskData(
            kind=clean.kind, splits=splits, classes=clean.classes, threshold=clean.threshold,
            vocabulary=clean.vocabulary, meta=clean.meta,
        )  # fmt: skip


@dataclass(frozen=True)
class Oracle:
    """A case and what is true of it; of other claims nothing is known."""

    make: Callable[[Path], Case]
    truth: Mapping[str, bool]


# -- closed forms and simulations -------------------------------------------------------------------------------------


def closed_form(model: Ridge | TwoWeights) -> Callable[[Path], Case]:
    return lambda root: case_of_trajectory(thinned(model.trajectory(), 300), model.setup())


def thinned(t: Trajectory, rows: int) -> Trajectory:
    """About so many rows of a trajectory, the first and the last among them."""
    keep = np.unique(np.linspace(0, len(t.step) - 1, rows).round().astype(int))
    cut = {f.name: getattr(t, f.name) for f in fields(t)}
    for key, value in cut.items():
        if isinstance(value, np.ndarray):
            cut[key] = value[keep]
        elif isinstance(value, dict):
            cut[key] = {k: v[keep] if isinstance(v, np.ndarray) else v for k, v in value.items()}
    return Trajectory(**cut)


def noise(drift: float, seed: int = 0) -> Callable[[Path], Case]:
    """Adam with decoupled decay on gradients that are pure noise, plus a drift along the start: the norm of a network
    that learns nothing, or that grows by more."""

    def make(root: Path) -> Case:
        rng = np.random.default_rng(seed)
        n, lr, decay, every = 2000, 1e-3, 0.01, 100
        w, m, v = rng.normal(0, 0.02, n), np.zeros(n), np.zeros(n)
        direction, norms, steps = np.sign(w), [float(np.linalg.norm(w))], [0]
        for t in range(1, 6001):
            g = rng.normal(size=n) - drift * direction
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            w = w * (1 - lr * decay) - lr * (m / (1 - 0.9**t)) / np.sqrt(v / (1 - 0.999**t))
            if t % every == 0:
                norms.append(float(np.linalg.norm(w)))
                steps.append(t)
        flat = np.full(len(steps), 0.1) + 0.01 * rng.random(len(steps))
        log = {"step": steps, "train": flat, "held": flat[::-1], "norm": norms}
        trajectory = from_log(log, step="step", train="train", held_out={"id_val": "held"}, norm="norm", trivial=0.1)
        setup = Setup(optimizer="adamw", lr=lr, weight_decay=decay, loss="cross_entropy", parameters=n)
        assert drift or diffused_norm(norms[0], 1.0, lr, decay, 6000, n) > norms[0]
        return case_of_trajectory(trajectory, setup)

    return make


# -- logs that others published ---------------------------------------------------------------------------------------

PUBLISHED = {
    "epoch": [1, 50, 350, 1000, 2000, 3000],
    "train": [0.6, 1, 1, 1, 1, 1],
    "ood": [0.5, 0.68, 0.7336, 0.69, 0.67, 0.6639],
    "norm": [356, 500, 908, 1150, 1350, 1470],
    "rank": [110, 90, 70, 50, 40, 36],
    "penalty": [0.2, 0.01, 1e-4, 1e-5, 2e-6, 1e-6],
    "loss": [0.69, 0.01, 1e-3, 1e-4, 3e-5, 1e-5],
}
"""The shortcut study's grokking-favorable run: norm 356, 908 at the peak, 1,470; rank 110 to 36; rows between filled
in."""


def published(root: Path) -> Case:
    trajectory = from_log(
        PUBLISHED, step="epoch", train="train", held_out={"ood_test": "ood"}, train_loss="loss", norm="norm",
        measured={"rank_effective": "rank", "train_irm": "penalty"}, trivial=0.5, threshold=0.9,
    )  # fmt: skip
    setup = Setup(
        optimizer="adamw", lr=1e-3, weight_decay=5e-3, loss="cross_entropy", grad_filter="grokfast_ema", init_scale=4,
        irm_weight=0, parameters=11_177_538, steps_per_unit=32,
    )  # fmt: skip
    return case_of_trajectory(trajectory, setup)


def group_means(root: Path) -> Case:
    trajectory = from_log(
        LOGS / "mheight_told_01.csv", step="epoch", train_loss="train_loss", held_out_loss={"val": "val_loss"},
        norm="weight_norm", kind="regression", trivial_loss={"train": 1.35, "val": 1.36},
    )  # fmt: skip
    setup = Setup(optimizer="adamw", lr=1e-3, weight_decay=0.01, loss="squared_error", steps_per_unit=26)
    return case_of_trajectory(trajectory, setup)


# -- networks that are trained ----------------------------------------------------------------------------------------


def of_study(name: str, arm: str, seed: int) -> Callable[[Path], Case]:
    def make(root: Path) -> Case:
        study = Study.load(find_study(name)).only([arm], [seed])
        study.run(0, root)
        return case_of_run(study.status(root)[0].run)

    return make


def trained(changes: Mapping[str, Any]) -> Callable[[Path], Case]:
    base = {
        "task": {"name": "modular", "p": 23, "train_fraction": 0.5},
        "model": {"name": "embedding-mlp", "embedding": 32, "hidden": [64]},
        "regime": {"recipe": "modular"},
        "budget": {"steps": 1500},
        "evaluate": {"every": 10, "at": [0]},
        "diagnose": {"every": 50},
        "checkpoint": {"every": 1500},
    }

    def make(root: Path) -> Case:
        return case_of_run(train(configio.load_run(configio.overlay(base, dict(changes))), root))

    return make


ORACLES: dict[str, Oracle] = {
    "ridge": Oracle(
        closed_form(Ridge(steps=60_000)),
        {**HONEST, **NO_SOFTMAX, "decay time": True, "norm after the fit": True, "decay too strong": False},
    ),
    "ridge, too short": Oracle(closed_form(Ridge(steps=1000)), {**HONEST, **NO_SOFTMAX, "decay time": True}),
    "two weights": Oracle(
        closed_form(TwoWeights()),
        {**HONEST, **NO_SOFTMAX, "decay time": True, "norm after the fit": True, "decay too strong": False},
    ),
    "two weights, no decay": Oracle(
        closed_form(TwoWeights(decay=0.0)), {**HONEST, **NO_SOFTMAX, "decay time": True, "norm after the fit": True}
    ),
    "noise": Oracle(noise(0.0), {"more than diffusion": False}),
    "noise with a drift": Oracle(noise(0.3), {"more than diffusion": True}),
    "published shortcut run": Oracle(
        published,
        {
            "norm after the fit": True,
            "rank collapse": True,
            "penalty follows loss": True,
            "more than diffusion": True,
            "decay time": True,
            "nothing memorized": False,
            "evaluation mode": False,
        },
    ),
    "group means": Oracle(group_means, {"nothing memorized": True, "softmax collapse": False, "logit scale": False}),
    "addition, decay 1": Oracle(
        of_study("modular_addition", "decay 1", 0),
        {
            **HONEST,
            **PLAIN,
            "decay time": True,
            "norm after the fit": True,
            "readout": False,
            "softmax collapse": False,
            "too little data": False,
            "evaluation mode": False,
        },
    ),
    "addition, no decay": Oracle(
        of_study("modular_addition", "no decay", 0),
        {
            **HONEST,
            **PLAIN,
            "decay time": True,
            "norm after the fit": True,
            "head growth": True,
            "more than diffusion, head": True,
            "evaluation mode": False,
        },
    ),
    "addition, a quarter of the pairs": Oracle(
        of_study("ungrokking", "25 % from the start", 0),
        {**HONEST, **PLAIN, "decay time": False, "too little data": True, "evaluation mode": False},
    ),
    "addition with a leak": Oracle(
        trained({"task.name": "leaky-modular"}), {"leakage": True, "nothing memorized": False, "evaluation mode": False}
    ),
    "softmax that collapses": Oracle(
        trained({"regime.weight_decay": 0.0, "regime.lr": 0.03, "budget.steps": 4000}),
        {
            **HONEST,
            **PLAIN,
            "softmax collapse": True,
            "head growth": True,
            "decay time": True,
            "norm after the fit": True,
        },
    ),
    "decay that breaks the fit": Oracle(
        trained({"regime.weight_decay": 30.0}), {"decay too strong": True, "leakage": False, "decay grip": False}
    ),
    "digits from a large start": Oracle(
        of_study("digits", "init_scale=8 weight_decay=0.1", 0),
        {
            **HONEST,
            **NO_SOFTMAX,
            "readout": True,
            "norm after the fit": True,
            "decay grip": False,
            "init scale undone": False,
            "filter feeds the head": False,
            "decay too strong": False,
            "too little data": False,
        },
    ),
    "hospitals, favorable": Oracle(
        of_study("hospitals_small", "grokking-favorable", 7),
        {
            "decay time": True,
            "decay grip": True,
            "init scale undone": True,
            "norm after the fit": True,
            "more than diffusion": True,
            "penalty follows loss": True,
            "rank collapse": True,
            "nothing memorized": False,
            "decay too strong": False,
        },
    ),
    "hospitals, decay budget 5": Oracle(
        of_study("hospitals_small", "decay budget 5", 7),
        {
            "decay time": True,
            "decay grip": True,
            "norm after the fit": True,
            "filter feeds the head": False,
            "nothing memorized": False,
            "init scale undone": False,
            "rank collapse": True,
            "head growth": True,
        },
    ),
    "hospitals, decay budget 15": Oracle(
        of_study("hospitals_small", "decay budget 15", 7),
        {"decay too strong": True, "nothing memorized": False, "filter feeds the head": False},
    ),
}


NULLS = 20
"""Further seeds of pure noise."""


def score(word: str, truth: bool) -> str:
    if word == "cannot tell":
        return "missed"
    return "right" if (word == "supports") == truth else "wrong"


def judged(case: Case, truth: Mapping[str, bool]) -> list[dict[str, Any]]:
    """A row for each claim of which the truth is known."""
    findings = {f.check: f for f in explain(case).findings}
    return [
        {
            "check": check,
            "true": true,
            "word": findings[check].word,
            "score": score(findings[check].word, true),
            "evidence": findings[check].evidence,
        }
        for check, true in truth.items()
    ]


def plain(case: Case, truth: Mapping[str, bool]) -> dict[str, Any]:
    """A case as JSON holds it: null where nothing was evaluated, numbers to seven digits."""
    t = case.trajectory
    columns = {f.name: _plain(getattr(t, f.name)) for f in fields(t)}
    return {"truth": dict(truth), "split": case.split, "setup": _plain(asdict(case.setup)), "trajectory": columns}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_number(v) for v in value.tolist()]
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | frozenset):
        return [_plain(v) for v in (sorted(value) if isinstance(value, frozenset) else value)]
    return value


def _number(value: float) -> Any:
    if isinstance(value, int):
        return value
    if np.isnan(value):
        return None
    return float(f"{value:.7g}") if np.isfinite(value) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, default=Path("runs"))
    parser.add_argument("--store", action="store_true")
    options = parser.parse_args()
    table: dict[str, list[dict[str, Any]]] = {}
    for name, oracle in ORACLES.items():
        case = oracle.make(options.root)
        table[name] = judged(case, oracle.truth)
        counts = {s: sum(row["score"] == s for row in table[name]) for s in ("right", "missed", "wrong")}
        print(f"{name} ({case.verdict.label}): {counts}", flush=True)
        for row in table[name]:
            if row["score"] != "right":
                print(f"  {row['score']}: {row['check']} is {row['true']}, said {row['word']}: {row['evidence']}")
        if options.store:
            STORED.mkdir(exist_ok=True)
            path = STORED / f"{name.replace(', ', '_').replace(' ', '-')}.json"
            path.write_text(json.dumps(plain(case, oracle.truth), separators=(",", ":")) + "\n")
    rows = [row for rows in table.values() for row in rows]
    total = {s: sum(row["score"] == s for row in rows) for s in ("right", "missed", "wrong")}
    print(f"{len(rows)} words expected of {len(table)} oracles: {total}")
    null = [judged(noise(0.0, seed)(options.root), {"more than diffusion": False})[0] for seed in range(1, NULLS + 1)]
    false = sum(row["score"] == "wrong" for row in null)
    print(f"pure noise, {NULLS} more seeds: growth by more than diffusion is claimed in {false}")
    facts = {"total": total, "expected": len(rows), "noise_seeds": NULLS, "noise_claimed": false, "table": table}
    write_result("checks_on_oracles", facts)


if __name__ == "__main__":
    main()
