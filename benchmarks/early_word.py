"""Can the first part of a run tell its verdict, and when it will generalize? Scored on tasks that were left out.

Each finished run under the given folders is cut at a quarter of its length (and not before its fit). From what was
recorded until there, a logistic regression says whether it will generalize late, and a linear one when, in doublings
of T_fit; both are fitted on all other tasks and scored on the one left out, against the best constant of that very
task: its more frequent outcome, and its median time.

    python benchmarks/early_word.py runs other-runs ...
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import write_result
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from grokscope.mechanism import Case, case_of_run
from grokscope.mechanism.decay import decay_budget
from grokscope.store import find_runs

SHARE = 0.25


@dataclass(frozen=True)
class Early:
    """One run as it looked early, and what became of it."""

    task: str
    identity: str
    features: tuple[float, ...]
    late: bool
    doublings: float
    """log2(T_gen / T_fit); nan where it has not generalized."""


def early(case: Case, task: str, identity: str) -> Early | None:
    """None for a run that had not fitted by the cut, or had generalized by then: nothing is left to be foretold."""
    t, m = case.trajectory, case.verdict.milestones
    cut = float(t.step[0] + SHARE * (t.last_step - t.step[0]))
    fit = case.fitted_at
    if fit is None or fit > cut or (not m.T_gen.censored and m.T_gen.at <= cut):
        return None
    norm, head = case.series("norm_total"), case.series("norm_head")
    held = t.curve(case.split)
    seen = held.value[held.step <= cut]
    chance = t.trivial.get(case.split, 0.0)
    gain = float(seen[-1] - seen[0]) / max(m.threshold - chance, 1e-9)
    level = float(seen[-1] - chance) / max(m.threshold - chance, 1e-9)
    budget = decay_budget(case, fit, float(t.last_step)) or 0.0
    shrank = np.log(norm.at(cut) / norm.at(fit)) if norm is not None else 0.0
    grew = np.log(head.at(cut) / head.at(fit)) if head is not None and head.at(fit) > 0 else 0.0
    late = case.outcome == "late" and not m.T_gen.censored
    when = np.log2(m.T_gen.at / fit) if late else np.nan
    return Early(task, identity, (np.log1p(budget), shrank, grew, level, gain), late, float(when))


def collect(roots: Sequence[Path]) -> list[Early]:
    rows: dict[str, Early] = {}
    for root in roots:
        for run in find_runs(root):
            try:
                if run.status["state"] != "done":
                    continue
                case = case_of_run(run)
            except (ValueError, KeyError):
                continue
            row = early(case, str(run.config["task"]["name"]), run.id[-8:])
            if row is not None:
                rows.setdefault(row.identity, row)
    return list(rows.values())


def score(rows: Sequence[Early]) -> dict[str, dict[str, float]]:
    """Task -> right words of the rule and of the task's own more frequent outcome; errors of the time likewise."""
    out: dict[str, dict[str, float]] = {}
    for task in sorted({row.task for row in rows}):
        own, others = [r for r in rows if r.task == task], [r for r in rows if r.task != task]
        truth = np.array([r.late for r in own])
        known = np.array([r.late for r in others])
        facts = {"n": float(len(own)), "late": float(truth.sum()), "base": float(max(truth.mean(), 1 - truth.mean()))}
        if len(set(known)) == 2:
            rule = make_pipeline(StandardScaler(), LogisticRegression())
            rule.fit([r.features for r in others], known)
            facts["right"] = float((rule.predict([r.features for r in own]) == truth).mean())
        facts |= _times([r for r in own if r.late], [r for r in others if r.late])
        out[task] = facts
    return out


def _times(own: Sequence[Early], others: Sequence[Early]) -> dict[str, float]:
    """Mean error of T_gen in doublings, of the rule and of the task's own median."""
    if len(own) < 2 or len(others) < 8:
        return {}
    rule = make_pipeline(StandardScaler(), Ridge())
    rule.fit([r.features for r in others], [r.doublings for r in others])
    seen = np.array([r.doublings for r in own])
    return {
        "time_error": float(np.abs(rule.predict([r.features for r in own]) - seen).mean()),
        "time_base": float(np.abs(np.median(seen) - seen).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("roots", type=Path, nargs="+")
    rows = collect(parser.parse_args().roots)
    table = score(rows)
    for task, facts in table.items():
        print(task, {key: round(value, 3) for key, value in facts.items()})
    write_result("early_word", {"share": SHARE, "runs": len(rows), "by_task": table})


if __name__ == "__main__":
    main()
