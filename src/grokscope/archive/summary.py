"""Summary numbers of one run for summary.json and the model card."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from grokscope.results.verdict import VerdictRecord
from grokscope.store import Run
from grokscope.trajectory import Trajectory, from_run
from grokscope.trajectory.selection import peak_rule
from grokscope.verdicts import run_verdicts
from grokscope.vocabulary.splits import REPORTED, SEEN, UNSEEN


def summary_of(run: Run, status: Mapping[str, Any]) -> dict[str, Any]:
    """State, last row, and for each held-out split peak, final and verdict; and the published archive's kind of flat
    fields (``peak_ood_acc`` and so on, of `ood_test` where it exists). Steps are also given as epochs.

    A peak on `ood_test` was looked up on the split that is only to be reported: its ``peak_rule`` says oracle, and so
    does ``peak_ood_rule`` beside the flat fields.
    """
    rows = run.rows()
    out: dict[str, Any] = {
        "state": status["state"],
        "evaluations": len(rows),
        "epochs": rows[-1].get("epoch") if rows else 0,
        "final": rows[-1] if rows else None,
        "splits": {},
    }
    try:
        trajectory = from_run(run)
    except ValueError as error:
        return out | {"unjudged": str(error)}
    try:
        verdicts = run_verdicts(run)
    except ValueError as error:
        verdicts, out["unjudged"] = {}, str(error)
    per_epoch = run.facts.get("steps_per_epoch") or 1
    out["splits"] = {s: _split(trajectory, s, per_epoch, verdicts.get(s)) for s in trajectory.splits}
    return out | _flat(trajectory, out["splits"])


def _split(trajectory: Trajectory, split: str, per_epoch: int, verdict: VerdictRecord | None) -> dict[str, Any]:
    values = trajectory.held_out[split]
    entry: dict[str, Any] = {"score": "accuracy" if trajectory.kind == "classification" else "r2"}
    if np.isfinite(values).any():
        row = int(np.nanargmax(np.where(np.isfinite(values), values, np.nan)))
        last = int(np.flatnonzero(np.isfinite(values))[-1])
        entry |= {
            "peak": float(values[row]),
            "peak_step": trajectory.step[row].item(),
            "peak_epoch": trajectory.step[row].item() / per_epoch,
            "peak_rule": peak_rule(split),
            "final": float(values[last]),
        }
    entry["trivial"] = trajectory.trivial.get(split)
    if verdict is not None:
        entry |= {"verdict": verdict.verdict, "qualifier": verdict.qualifier}
        entry |= {"robust": verdict.robust, "reason": verdict.reason}
    return entry


def _flat(trajectory: Trajectory, splits: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    if trajectory.kind != "classification":
        return {}
    ood = next((splits[s] for s in (*REPORTED, *UNSEEN) if splits.get(s)), None)
    fields = {}
    if ood and "peak" in ood:
        fields |= {"peak_ood_acc": ood["peak"], "peak_ood_epoch": ood["peak_epoch"], "peak_ood_rule": ood["peak_rule"]}
        fields["final_ood_acc"] = ood["final"]
    seen = splits.get(SEEN[0], {})
    if "final" in seen:
        fields["final_id_acc"] = seen["final"]
    if np.isfinite(trajectory.train).any():
        fields["final_train_acc"] = float(trajectory.train[np.isfinite(trajectory.train)][-1])
    if trajectory.norm is not None and np.isfinite(trajectory.norm[-1]):
        fields["final_weight_norm"] = float(trajectory.norm[-1])
    return fields
