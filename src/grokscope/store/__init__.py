"""The run folder: one writer, many readers. Everything is a plain file that a person can open."""

from grokscope.store.run import Run, find_runs, open_run

__all__ = ["Run", "find_runs", "open_run"]
