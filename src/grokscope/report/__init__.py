"""One HTML page that says what a set of runs did, with its figures as files. Reads the store; imports no torch."""

from grokscope.report.build import build_report
from grokscope.report.read.subjects import Subject, subject_from_run, subject_from_trajectory

__all__ = ["Subject", "build_report", "subject_from_run", "subject_from_trajectory"]
