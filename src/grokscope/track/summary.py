"""What a run came to, flat, as trackers show it beside the curves."""

from collections.abc import Mapping
from typing import Any

from grokscope.results.milestones import Milestone, Span
from grokscope.results.verdict import VerdictRecord
from grokscope.store.ended import ENDED
from grokscope.store.run import Run
from grokscope.verdicts import run_verdicts

TIMES = ("T_fit", "T_gen", "T_gen_lasting", "T_gen_stable", "T_grok")
LEVELS = ("peak", "peak_step", "end", "final", "drop")


def summary_of(run: Run) -> dict[str, Any]:
    """State, last step, and by held-out split the verdict, its reason, milestones and levels: ``id_val.T_gen``. A
    milestone that was not reached has no number but a text, ``not by 20,000``. Empty while the run is not over."""
    status = run.status
    if status["state"] not in ENDED:
        return {}
    out: dict[str, Any] = {"state": status["state"], "step": status["step"]}
    try:
        judged: Mapping[str, VerdictRecord] = run_verdicts(run)
    except ValueError as error:
        return {**out, "verdict": f"cannot be judged: {error}"}
    for split, verdict in judged.items():
        out |= {f"{split}.{name}": value for name, value in _of_split(verdict).items()}
    return out


def _of_split(verdict: VerdictRecord) -> dict[str, Any]:
    milestones = verdict.milestones
    out: dict[str, Any] = {"verdict": verdict.label, "reason": verdict.reason, "robust": verdict.robust}
    if verdict.formation is not None:
        out["formation"] = verdict.formation.route
    for name in (*TIMES, "delay"):
        moment = getattr(milestones, name)
        if moment is not None:
            out[name] = _plain(moment)
    for name in LEVELS:
        if (level := getattr(milestones, name)) == level:  # NaN where the split was never evaluated
            out[name] = level
    return out


def _plain(moment: Milestone | Span) -> float | str:
    if moment.censored:
        return str(moment)
    if isinstance(moment, Span):
        return moment.value
    return moment.at
