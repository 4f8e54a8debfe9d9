"""The full states that a run is requested to keep: at which steps, and which are no longer possible."""

from collections.abc import Sequence
from typing import Any

from grokscope.moment import Moment, read_moment
from grokscope.store.checkpoints import keep_state
from grokscope.store.run import Run
from grokscope.store.states import KEPT, state_path


class KeptStates:
    """Moments of ``checkpoint.states`` as steps of one run; those after the fit are known once it has come."""

    def __init__(self, moments: Sequence[int | str], steps_per_epoch: int):
        self.moments = {str(m): read_moment(m, "checkpoint.states") for m in moments}
        self.steps_per_epoch = steps_per_epoch

    def _step(self, moment: Moment, fitted_at: int | None) -> int | None:
        return moment.step(self.steps_per_epoch, fitted_at)

    def after(self, step: int, fitted_at: int | None) -> list[int]:
        """The steps greater than `step` at which one is due, as far as they are known."""
        steps = (self._step(moment, fitted_at) for moment in self.moments.values())
        return sorted({s for s in steps if s is not None and s > step})

    def due(self, step: int, fitted_at: int | None) -> bool:
        return any(self._step(moment, fitted_at) == step for moment in self.moments.values())

    def keep(self, run: Run, step: int, state: dict[str, Any]) -> None:
        keep_state(run.path / KEPT, step, state)

    def missing(self, run: Run, step: int, fitted_at: int | None, forked_at: int = 0) -> list[str]:
        """What is to be said of moments before `step` whose state is not there, nor will be; those up to the step at
        which a fork left its parent were the parent's to keep."""
        said: list[str] = []
        for word, moment in self.moments.items():
            at = self._step(moment, fitted_at)
            if at is None or at >= step or (forked_at and at <= forked_at):
                continue
            if not state_path(run.path / KEPT, at).exists():
                said.append(
                    f"the state at {word} (step {at:,}) was not requested when the run passed it, and is not kept"
                )
        return said

    def never_came(self, step: int, fitted_at: int | None) -> list[str]:
        """What is to be said at the end of a run of moments that it did not reach."""
        said: list[str] = []
        for word, moment in self.moments.items():
            at = self._step(moment, fitted_at)
            if at is None:
                said.append(f"no state is kept at {word}: train was not fitted by step {step:,}")
            elif at > step:
                said.append(f"no state is kept at {word}: the run ended at step {step:,}")
        return said
