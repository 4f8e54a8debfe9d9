"""Shared by the callbacks of all frameworks: when a `Recorder` opens, what becomes a row, and when it ends."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from grokscope.config import is_whole, require
from grokscope.recorder import Recorder, is_spread


class Recording:
    """A recorder that opens when training begins.

    Either it scores the network itself (`splits`), or it takes numbers that the framework logs (`columns`). What is
    logged piece by piece at one step becomes one row.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        columns: Mapping[str, str] | None,
        every: int,
        options: Mapping[str, Any],
    ):
        """
        Args:
            folder: The run's folder.
            columns: Column of grokscope's -> name under which the framework logs it.
            every: Optimizer steps between evaluations, with splits.
            options: Arguments of `Recorder`, ``splits`` and ``loss`` among them.

        Raises:
            ValueError: neither splits nor columns, both, or a number that is none.
        """
        given = columns is not None, options.get("splits") is not None
        require(any(given), "give splits=, to have the network scored, or columns=, the names of what is logged")
        require(not all(given), "splits and columns are two ways to score: give one")
        require(is_whole(every) and every > 0, f"every: expected a whole number above 0, got {every!r}")
        self.folder, self.every, self.options = Path(folder), every, dict(options)
        self.columns = dict(columns or {})
        self.train = [column for column in self.columns if column.startswith("train_")]
        self.held_out = [column for column in self.columns if column not in self.train]
        self.recorder: Recorder | None = None
        self._row: dict[str, Any] = {}
        self._step: int | None = None
        self._scored: int | None = None
        self._seen: set[str] = set()

    def begin(self, model: Any, step: int, **known: Any) -> None:
        """Open the recorder; at step 0 the untrained network is scored. What the user gave wins over what is known."""
        if self.recorder is not None:  # training again in one process: the folder is not locked by its own past
            self.end("interrupted")
        if self.columns and is_spread(model):  # then the framework scores, and no process has the whole network
            model = None
            known.pop("optimizer", None)
        self.recorder = Recorder(self.folder, model, **{**known, **self.options})
        self._scored = None
        if step == 0:
            self.score(0)

    def score(self, step: int, last: bool = False) -> None:
        """Score the network, where that is due at this step: every so many steps, and at the last one."""
        due = last or step % self.every == 0
        if self.recorder is None or self.columns or not due or step == self._scored:
            return
        self._scored = step
        self.recorder.evaluate(step)

    def note(self, step: int, logged: Mapping[str, Any], wanted: Iterable[str] | None = None) -> None:
        """Take the columns that are among what was logged at this step; `wanted` names those that are current."""
        if self.recorder is None:
            return
        self._seen |= logged.keys()
        chosen = self.columns if wanted is None else {key: self.columns[key] for key in wanted}
        values = {column: logged[name] for column, name in chosen.items() if name in logged}
        if not values:
            return
        if step != self._step:
            self.flush()
        if not self._row:  # now, for the row is written when the weights have moved on
            self._row = self.recorder.seen_now()
        self._step = step
        self._row |= values

    @property
    def pending(self) -> int | None:
        """The step of a row that is not complete yet."""
        return self._step if self._row else None

    def flush(self) -> None:
        """Write the row that is pending."""
        if self.recorder is not None and self._row and self._step is not None:
            self.recorder.log(self._step, **self._row)
        self._row = {}

    def checkpoint(self, step: int) -> None:
        if self.recorder is not None and self.recorder.model is not None:
            self.recorder.checkpoint(step)

    def say(self, text: str) -> None:
        """Keep a sentence with the run."""
        if self.recorder is not None:
            self.recorder.note(text)

    def end(self, state: str = "done", error: BaseException | None = None) -> None:
        """Close the recorder, and warn of columns that were never logged."""
        if self.recorder is None:
            return
        self.flush()
        recorder, self.recorder = self.recorder, None
        recorder.finish(state, error)
        never = [f"{column} ({name!r})" for column, name in self.columns.items() if name not in self._seen]
        if never:
            logged = ", ".join(sorted(self._seen)) or "nothing"
            warnings.warn(f"columns: never logged: {', '.join(never)}; logged were: {logged}", stacklevel=3)


def in_step(begin: Callable[[], None], is_first: bool) -> None:
    """Let the first process of a distributed training begin, and raise its error in all of them: those that went on
    would wait for it in the first backward pass."""
    error: Exception | None = None
    if is_first:
        try:
            begin()
        except Exception as refused:
            error = refused
    words = _told_by_the_first(None if error is None else str(error))
    if error is not None:
        raise error
    if words is not None:
        raise ValueError(words)


def _told_by_the_first(words: str | None) -> str | None:
    import torch.distributed as distributed

    if not distributed.is_available() or not distributed.is_initialized() or distributed.get_world_size() == 1:
        return words
    told = [words]
    distributed.broadcast_object_list(told, src=0)
    return told[0]


class RecordingCallback:
    """What the callback of each framework is made from."""

    def __init__(
        self,
        folder: str | Path,
        *,
        columns: Mapping[str, str] | None = None,
        every: int = 10,
        checkpoints: bool = False,
        **options: Any,
    ):
        """
        Args:
            folder: The run's folder; a training that is resumed goes on in it.
            columns: Column (``train_acc``, ``id_val_acc``, ...) -> name under which the framework logs it.
            every: With `splits`: optimizer steps between evaluations; the last step is always evaluated.
            checkpoints: Whether to keep weights.
            options: Further arguments of `grokscope.Recorder`: splits, loss, forward, n, trivial, threshold, measure,
                label_noise.

        Raises:
            ValueError: neither splits nor columns, both, or what `grokscope.Recorder` refuses (when training begins).
        """
        self._recording = Recording(folder, columns=columns, every=every, options=options)
        self._checkpoints = checkpoints
