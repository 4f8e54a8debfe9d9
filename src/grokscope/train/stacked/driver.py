"""From many configs to as many run folders, trained as one stack.

Each run has a session of its own (`grokscope.train.driver.Session`): cadences, rows, checkpoints, resume states and
status are written as for a run that is trained alone. This driver moves all of them from event to event. A member that
diverges or fails is closed; the others go on and nothing of theirs changes.
"""

import resource
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from grokscope import configio, registry
from grokscope.config import RunConfig
from grokscope.files import require_plain_folder
from grokscope.seeds import derive
from grokscope.storage import Storage
from grokscope.store import claims, lock
from grokscope.store.folders import as_begun, find_run
from grokscope.store.provenance import provenance
from grokscope.store.run import Run
from grokscope.store.states import state_paths
from grokscope.train.driver import HEARTBEAT_S, Watcher, complete, tell_of_missing_states
from grokscope.train.process_state import deterministic, precision, recorded_warnings, stop_on_signals
from grokscope.train.resume import CannotResume, step_of
from grokscope.train.stacked.alike import refusal
from grokscope.train.stacked.engine import Stack
from grokscope.train.stacked.rows import Rows
from grokscope.train.stacked.sessions import Ended, MemberSession, State
from grokscope.train.stacked.stackable import CannotStack, require_stackable

SHARE = 0.05
"""Of the time, at most, that heartbeats and resume states may take: a stack of hundreds writes them less often."""
FILES = 3
"""Open files of each member, at most."""


def train_stack(
    configs: Sequence[RunConfig],
    root: str | Path = "runs",
    *,
    passed: Sequence[tuple[str, ...]] | None = None,
    watcher: Watcher | None = None,
    interrupt_at: int | None = None,
) -> list[Ended]:
    """Train all `configs`, which must be of one architecture, as one stack in folders under `root`; continue each where
    it was left. Returns how each ended, in the order given.

    A run that fails, diverges, is complete, or is being trained elsewhere does not stop the others. `interrupt_at`
    stops there as Ctrl-C would; all are saved then, and are `interrupted`.

    Raises:
        CannotStack: (a ValueError) naming the key that is in the way; nothing was trained then.
        ValueError: for more runs than this process may hold open files for.
    """
    for config in configs:
        if words := refusal(config):
            raise CannotStack(words)
    _require_files(len(configs))
    work = _Work(Path(root), watcher, interrupt_at)
    torch.set_num_threads(configs[0].hardware.threads)
    with ExitStack() as locks:
        # the last bits of a product depend on a member's place: it is always the same among the same members
        for i in sorted(range(len(configs)), key=lambda i: configs[i].run_id()):
            work.build(i, configs[i], passed[i] if passed else ())
        work.require_stackable()
        provenance()  # asks git, and a process that is started under a lock holds a copy of it for a moment
        work.lock_all(locks)
        if work.sessions:
            hardware = configs[0].hardware
            seed = derive(configs[0].seed, "training")  # of no effect: members bring generators of their own
            with (
                deterministic(seed, hardware.deterministic),
                precision(hardware.tf32),
                stop_on_signals(work.request_stop),
            ):
                work.go()
    return [work.ended[i] for i in range(len(configs))]


def _require_files(members: int) -> None:
    """Raise the process's limit of open files where it may. Every member holds its lock and its metrics."""
    wanted = FILES * members + 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise ValueError(
            f"a stack of {members:,} runs needs {wanted:,} open files, and this process may have {hard:,}; make stacks "
            "smaller (--stack) or raise ulimit -n"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Work:
    """The sessions of a stack, and how those that ended did."""

    def __init__(self, root: Path, watcher: Watcher | None, interrupt_at: int | None):
        self.root, self.watcher, self.interrupt_at = root, watcher, interrupt_at
        self.storage = Storage.of(root)
        self.sessions: dict[int, MemberSession] = {}
        """Those that are not over, by their places among the configs."""
        self.ended: dict[int, Ended] = {}
        self.stop = False
        self.stacks: list[Rows] = []
        """With the members that stand at one step each, those furthest behind first."""

    def request_stop(self) -> None:
        self.stop = True

    # -- start ------------------------------------------------------------------------------------------------------

    def build(self, i: int, config: RunConfig, passed: tuple[str, ...]) -> None:
        """Build one run's data and engine; a run that cannot be built has failed, and leaves no folder."""
        run = Run(self.root / config.run_id())
        try:
            run = find_run(self.root, config)
            require_plain_folder(run.path)
            if complete(run, config):
                tell_of_missing_states(run, config)
                self.ended[i] = Ended(run, _state_of(run), run.status["step"])
                return
            config = as_begun(run, config)
            notes: list[str] = []
            with recorded_warnings(notes), registry.naming_plugins():
                kin = next(iter(self.sessions.values()), None)
                session = MemberSession(run, config, config.task.build(config.seed), passed, self.watcher, kin)
            session.notes = notes
            self.sessions[i] = session
        except Exception as error:
            self.ended[i] = Ended(run, "failed", 0, error)

    def require_stackable(self) -> None:
        sessions = list(self.sessions.values())
        if sessions:
            require_stackable([s.member for s in sessions], [s.config for s in sessions])

    def lock_all(self, locks: ExitStack) -> None:
        """Lock the runs' folders for as long as the stack is trained; leave out what another process has or had.

        Two workers may ask for the same stack at once, say when a cluster comes back. Both begin with the same run, so
        whoever gets that one gets all: half a stack each would be correct, but with other last bits, and slow.
        """
        together = _name_of(self.sessions.values())
        first = True
        for i, session in list(self.sessions.items()):
            self._lock(i, locks, together)
            if first and i in self.ended and _is_taken(session.run, together):
                for other in list(self.sessions):
                    words = f"{session.run.path}: another process is taking this stack"
                    self._end(other, "elsewhere", lock.Held(words))
                return
            first = False

    def _lock(self, i: int, locks: ExitStack, together: str) -> None:
        session = self.sessions[i]
        try:
            locks.enter_context(lock.claimed(session.run.path, together=together))
            if complete(session.run, session.config):
                self._end(i, _state_of(session.run))
            else:
                session.require_same_data()
        except lock.Held as held:
            self._end(i, "elsewhere", held)
        except Exception as error:
            self._end(i, "failed", error)

    def go(self) -> None:
        """Train until every member has ended. A fault of the stack as a whole is a failure of all."""
        name = _name_of(self.sessions.values())
        for session in self.sessions.values():
            session.member.stack = {"members": len(self.sessions), "id": name}
            session.at_most = self._common_step()
        self._each(list(self.sessions), lambda session: session.begin())
        try:
            self._stack_up()
            self._train()
        except BaseException as error:
            self._end_all("interrupted" if isinstance(error, KeyboardInterrupt) else "failed", error)
            if not isinstance(error, Exception):
                raise

    def _common_step(self) -> int | None:
        """The newest step of which every member has a state. A stack that was killed while it saved goes on from there,
        for all its members go on together then, which is exact; None where there is none."""
        saved = [{step_of(path) for path in state_paths(s.run.path / "resume")} for s in self.sessions.values()]
        return max(set.intersection(*saved), default=None)

    def _each(self, places: Iterable[int], act: Callable[[MemberSession], object]) -> None:
        for i in places:
            self._guarded(i, act)

    def _guarded(self, i: int, act: Callable[[MemberSession], object]) -> None:
        """Do something for one member that has not ended; what goes wrong there is its failure alone, unless nothing
        can be saved for the others either."""
        session = self.sessions.get(i)
        if session is None:
            return
        try:
            with registry.naming_plugins():
                act(session)
        except (CannotResume, lock.Held) as refused:  # the folder is not ours, or stays as it is for whoever mends it
            session.closing.close()
            if self.storage.trouble(refused):
                self._stop_unsaved(i, refused)
                return
            self._end(i, "elsewhere" if isinstance(refused, lock.Held) else "failed", refused)
        except Exception as error:
            session.fail(error)
            if self.storage.trouble(error):
                self._stop_unsaved(i, error)
            else:
                self._end(i, "failed", error)

    def _stop_unsaved(self, i: int, error: BaseException) -> None:
        """Where nothing can be saved, all stop where they were saved last: from a state that only some have, the stack
        would not go on exactly."""
        self._end(i, "interrupted", error)
        self._end_all("interrupted", error)

    def _end(self, i: int, state: State, error: BaseException | None = None) -> None:
        session = self.sessions.pop(i)
        self.ended[i] = Ended(session.run, state, session.engine.step, error)

    def _end_all(self, state: State, error: BaseException) -> None:
        for i in list(self.sessions):
            self.sessions[i].fail(error)
            self._end(i, state, error)

    # -- training ---------------------------------------------------------------------------------------------------

    def _stack_up(self) -> None:
        """One stack for all members that stand at one step. Runs that were killed while their states were saved may
        stand at two: those behind catch up first."""
        for rows in self.stacks:
            rows.stack.write_back()
        steps = sorted({s.engine.step for s in self.sessions.values()})
        self.stacks = [self._stack_at(step) for step in steps]

    def _stack_at(self, step: int) -> Rows:
        here = [s for s in self.sessions.values() if s.engine.step == step]
        stack = Stack([s.member for s in here])
        for session in here:
            session.member.write_back = stack.write_back
        return Rows(stack)

    def _train(self) -> None:
        self.last_beat = self.last_save = time.monotonic()
        self.beat_cost = self.save_cost = 0.0
        for rows in self.stacks:
            self._look(rows, only_due=True)
        while self.sessions and not self._stopped():
            if self._in(self.stacks[0]):
                self._move(self.stacks[0])
            else:
                del self.stacks[0]
            if len({rows.stack.step for rows in self.stacks}) < len(self.stacks):
                self._stack_up()

    def _move(self, rows: Rows) -> None:
        """Train a stack to its next event, or to where the next stack waits, and do what is due there."""
        here, stack = self._in(rows), rows.stack
        ahead = [other.stack.step for other in self.stacks if other is not rows]
        target = min([*(s.next_event() for s in here.values()), *ahead, *self._stop_at()])
        places = {id(engine): k for k, engine in enumerate(stack.engines)}
        watching = [places[id(s.member)] for s in here.values() if target in s.plan.diagnose]
        stack.advance(target, watching, self._paused)
        if stack.step == target:
            self._look(rows)

    def _in(self, rows: Rows) -> dict[int, MemberSession]:
        """The sessions of a stack's members that have not ended."""
        engines = {id(engine) for engine in rows.stack.engines}
        return {i: s for i, s in self.sessions.items() if id(s.member) in engines}

    def _stop_at(self) -> list[int]:
        return [] if self.interrupt_at is None else [self.interrupt_at]

    def _look(self, rows: Rows, only_due: bool = False) -> None:
        """Rows and checkpoints of the members for which the cadences ask for one; close those that are over."""
        step = rows.stack.step
        here = {i: s for i, s in self._in(rows).items() if s.due or not only_due}
        for diagnose in (False, True):
            due = [s.member for s in here.values() if step in s.plan.evaluate and (step in s.plan.diagnose) == diagnose]
            if due:
                rows.take(due, diagnose)
        self._each(list(here), lambda session: session.look())
        over = [i for i, session in self._in(rows).items() if session.over]
        # all before one is closed: a stack that is killed between them would go on smaller, with other bits
        self._each(over, lambda session: session.save())
        for i in over:
            self._guarded(i, lambda session, i=i: self._end(i, session.finish()))

    # -- housekeeping -------------------------------------------------------------------------------------------------

    def _paused(self) -> bool:
        return self.stop or time.monotonic() - self.last_beat > self._beat_every

    @property
    def _beat_every(self) -> float:
        return max(HEARTBEAT_S, self.beat_cost / SHARE)

    def _stopped(self) -> bool:
        """Save, and say that the runs live, when it is time to; whether somebody asked to stop."""
        at = max(s.engine.step for s in self.sessions.values())
        if self.stop or (self.interrupt_at is not None and at >= self.interrupt_at):
            self._each(list(self.sessions), lambda session: session.interrupt())
            for i in list(self.sessions):
                self._end(i, "interrupted")
            return True
        now = time.monotonic()
        if now - self.last_beat > self._beat_every:
            self.beat_cost = self._timed(lambda session: session.beat())
            self.last_beat = time.monotonic()
        if not self.sessions:
            return True
        every = min(s.config.hardware.resume_every_s for s in self.sessions.values())
        if now - self.last_save > max(every, self.save_cost / SHARE if every else 0.0):
            self.save_cost = self._timed(lambda session: session.save())
            self.last_save = time.monotonic()
        return False

    def _timed(self, act: Callable[[MemberSession], object]) -> float:
        """Seconds that it took for all of them."""
        start = time.monotonic()
        self._each(list(self.sessions), act)
        return time.monotonic() - start


def _name_of(sessions: Iterable[MemberSession]) -> str:
    """An id of these members together."""
    return configio.content_hash(sorted(s.run.id for s in sessions))


def _is_taken(run: Run, together: str) -> bool:
    """Whether a process that takes these very runs at once has this one."""
    claim = claims.newest(run.path)
    return claim is not None and not claim.released and claim.together == together


def _state_of(run: Run) -> State:
    return "diverged" if run.status["state"] == "diverged" else "done"
