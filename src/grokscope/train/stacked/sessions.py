"""One run's session within a stack: its folder, driven by the stack."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from grokscope.config import RunConfig
from grokscope.store.run import Run
from grokscope.task_data import TaskData
from grokscope.train.driver import DIVERGED_AFTER, Engine, Session, Watcher
from grokscope.train.plan import Plan, make_plan
from grokscope.train.stacked.member import Member

State = Literal["done", "diverged", "interrupted", "elsewhere", "failed"]


@dataclass(frozen=True)
class Ended:
    """How one run of a stack ended; `error` where it failed or was left to another process."""

    run: Run
    state: State
    step: int
    error: BaseException | None = None


class MemberSession(Session):
    """One run's part of the work on a stack."""

    engine: Engine
    member: Member

    def __init__(
        self, run: Run, config: RunConfig, data: TaskData, passed: tuple[str, ...], watcher: Watcher | None,
        kin: "MemberSession | None",
    ):  # fmt: skip
        """`kin` is the session of another member, whose networks are alike where their configs are."""
        alike = kin is not None and (kin.config.model, kin.config.task.name) == (config.model, config.task.name)
        self._kin = kin.member if kin is not None and alike else None
        self.begun = False
        super().__init__(run, config, data, passed, watcher, None)

    def _build(self, config: RunConfig, data: TaskData) -> tuple[Plan, Engine]:
        plan = make_plan(config, len(data.splits["train"]))
        self.member = Member(config, data, plan.total, self._kin)
        return plan, self.member

    def begin(self) -> None:
        """Go back to the newest resume state that will do, or to the start."""
        self.closing, self.begun = ExitStack(), True
        self._restore()

    @property
    def due(self) -> bool:
        """Whether the cadences ask for something at the present step that was not done."""
        return self.engine.step > self.last_row

    @property
    def over(self) -> bool:
        return self.bad_rows >= DIVERGED_AFTER or self.engine.step >= self.plan.total

    def look(self) -> None:
        """Do what the cadences ask for at this step."""
        self._events()
        self.last_row = self.engine.step

    def beat(self) -> None:
        self._write_status("running")

    def save(self) -> None:
        self._save_state()

    def _save_state(self) -> None:
        if self.saved_step != self.engine.step:  # else it is there: all that are over are saved before one is closed
            super()._save_state()

    def interrupt(self) -> None:
        self._save_state()
        self._write_status("interrupted")
        self._log(f"interrupted at step {self.engine.step}")
        self.closing.close()

    def finish(self) -> State:
        state = "diverged" if self.bad_rows >= DIVERGED_AFTER else "done"
        self._finish(state)
        self.closing.close()
        return state

    def _seconds(self, elapsed: float) -> float | None:
        """Unknown: the time of a stack is that of all its members together."""
        del elapsed

    def fail(self, error: BaseException) -> None:
        """Say in the folder what went wrong; of a run that this process has not begun it says nothing."""
        if self.begun:
            self._write_failure(error)
            self.closing.close()
