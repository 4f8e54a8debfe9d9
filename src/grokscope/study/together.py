"""Which runs a worker trains at once: several of one kind as a stack, if requested or faster."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from grokscope.execute.protocol import Job
from grokscope.execute.stacks import Stacking, Unit, Way, arrange, usual_size
from grokscope.study.run_state import StudyRun
from grokscope.train.stacked.alike import mixture, refusal, settings_key, stack_key

FEWEST = 4
"""Runs that a worker takes at once, if there are so many, although others may come: a stack of fewer gains little."""


@dataclass
class Together:
    """What one worker takes at a time. `way` and `size` are those of `grokscope.execute.stacks.arrange`."""

    way: Way = "one"
    size: int | None = None
    """Runs of a stack, at most. By default as many as are good for the device, and no more than half of those that are
    left of a kind: a worker does not know how many others there are."""
    worth: dict[str, bool] = field(default_factory=dict)
    """Mixture of runs -> whether the probe found a stack of it faster: it is asked once."""
    _kinds: dict[str, tuple[str, str]] = field(default_factory=dict)

    def take(self, todo: Sequence[StudyRun]) -> list[StudyRun]:
        """The first of these runs, and those that may be trained with it, of equal settings as far as there are such.
        What was begun as a stack goes on as one, and as a whole, which is exact.

        All runs of a kind lie in one order, cut into pieces, and the piece with the first run is taken: two workers
        that begin at different runs then seldom ask for the same ones, which would leave both with half a stack.
        """
        first = todo[0]
        if self.way == "one" or refusal(first.entry.config):
            return [first]
        stack = first.job().stack
        alike = [s for s in todo if self._kind(s)[0] == self._kind(first)[0] and s.job().stack == stack]
        alike.sort(key=lambda s: (self._kind(s)[1], s.run.id))
        most = self._most(first, len(alike), bool(stack))
        begin = alike.index(first) // most * most
        begin = min(begin, max(len(alike) - most, 0))  # the last piece is a whole one too
        batch = alike[begin : begin + most]
        if len(batch) > 1 and not self.worth.get(mixture([s.entry.config for s in batch]), True):
            return [first]
        return batch

    def units(self, jobs: Sequence[Job]) -> list[Unit]:
        """Jobs that `take` gave, as units: one stack where they can be stacked and that pays, else each alone."""
        if self.way == "one" or len(jobs) < 2:
            return [Unit((job,)) for job in jobs]
        kind = mixture([job.config for job in jobs])
        units = arrange(jobs, self.way, len(jobs), measure=False if self.worth.get(kind) else None)
        self.worth[kind] = any(unit.stacked for unit in units)
        return units

    def require(self, jobs: Sequence[Job]) -> None:
        """Raises ValueError, before anything trains, for runs that cannot be stacked although that was asked for."""
        Stacking(self.way, self.size).require(jobs)

    def _kind(self, study_run: StudyRun) -> tuple[str, str]:
        """(what runs of one stack share, what those share that are updated at once)."""
        config = study_run.entry.config
        name = config.identity_hash
        if name not in self._kinds:
            self._kinds[name] = stack_key(config), settings_key(config)
        return self._kinds[name]

    def _most(self, study_run: StudyRun, alike: int, begun: bool) -> int:
        if self.size is not None:
            return self.size
        usual = usual_size(study_run.entry.config)
        if begun:
            return usual
        return min(usual, max(FEWEST, -(-alike // 2)))
