"""The full states of a run, and whether a fork can start from one of them. Imports no torch."""

from dataclasses import dataclass

from grokscope import configio
from grokscope.fit_rule import fit_step
from grokscope.moment import read_moment
from grokscope.store.ended import ENDED
from grokscope.store.run import Run
from grokscope.store.states import kept_steps
from grokscope.train.plan import make_plan


class NotForked(ValueError):
    """A fork cannot begin: its parent has no such state, or none yet. Nothing was written."""

    def __init__(self, words: str, waits: bool):
        super().__init__(words)
        self.waits = waits
        """Whether the parent may still come to it."""


@dataclass(frozen=True)
class Readiness:
    """Whether a fork can begin."""

    step: int | None
    """With which step of its parent; None where it cannot, or cannot yet."""
    why: str = ""
    """Why it cannot."""
    waits: bool = False
    """Whether the parent may still come to that state."""


def moment_step(run: Run, at: int | str) -> int | None:
    """A moment as a step of this run; None where it waits for a fit that no evaluation shows."""
    moment = read_moment(int(at) if isinstance(at, str) and at.strip().isdecimal() else at, "at")
    return moment.step(run.facts["steps_per_epoch"], _fitted_at(run) if moment.after_fit else None)


def _fitted_at(run: Run) -> int | None:
    """`T_fit` as training knows it: of the rows that the cadences ask for."""
    grid = make_plan(configio.load_run(run.config), run.facts["splits"]["train"]["n"]).grid
    return fit_step([row for row in run.rows() if row["step"] in grid], run.facts["kind"])


def whether_ready(parent: Run, at: int | str) -> Readiness:
    """Whether a fork can begin with its parent's state at a moment; if not, why, and what to do. Never raises for a
    parent that cannot be read: that is an answer."""
    try:
        return _readiness(parent, at)
    except (ValueError, OSError, KeyError) as error:
        return Readiness(None, f"its parent cannot be read: {error}")


def _readiness(parent: Run, at: int | str) -> Readiness:
    if not (parent.path / "config.json").exists():
        return Readiness(None, f"waits for {parent.id}, which has not begun", waits=True)
    status = parent.status
    step = moment_step(parent, at) if "splits" in parent.facts else None
    if step is not None and step in kept_steps(parent.path):
        return Readiness(step)
    if status["state"] == "failed":
        message = (status.get("error") or {}).get("message", "no reason recorded")
        return Readiness(None, f"its parent {parent.id} failed: {message}")
    ended, reached = status["state"] in ENDED, status["step"]
    if step is None and ended:
        words = f"its parent {parent.id} was not fitted by step {reached:,}, so there is no {at}"
        return Readiness(None, f"{words}; raise its budget, or fork at a step")
    if step is not None and (ended or step < reached):
        return Readiness(None, _lost(parent, at, step, reached))
    return Readiness(None, f"waits for the state at {at} of {parent.id}, which is at step {reached:,}", waits=True)


def _lost(parent: Run, at: int | str, step: int, reached: int) -> str:
    """Words for a state that will not come any more."""
    if step > reached:
        return f"its parent {parent.id} ended at step {reached:,}, before {at} (step {step:,})"
    word = f"step {step:,}" if str(at) == str(step) else f"{at} (step {step:,})"
    return (
        f"its parent {parent.id} passed {word} without keeping its full state; delete that run to train it again, "
        f"with {asking_for(at)}, or let the arm begin at step 0: omit `from` and `of`, and give its interventions a "
        f"`from`"
    )


def asking_for(*moments: int | str) -> str:
    """How a run is asked to keep its full state at some moments."""
    words = ", ".join(str(m) if isinstance(m, int) else f'"{m}"' for m in moments)
    return f"[checkpoint] states = [{words}]"
