"""One HTML page on a set of runs, with its figures as files. Reads the store; imports no torch."""

from typing import TYPE_CHECKING, Any

from grokscope.report.read.subjects import Subject, subject_from_run, subject_from_trajectory

if TYPE_CHECKING:
    from grokscope.report.build import build_report

__all__ = ["Subject", "build_report", "subject_from_run", "subject_from_trajectory"]


def __getattr__(name: str) -> Any:
    """The page is imported when it is asked for: whoever reads runs as it does need not wait for what draws."""
    if name != "build_report":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from grokscope.report.build import build_report

    return build_report
