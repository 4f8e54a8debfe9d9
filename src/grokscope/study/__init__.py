"""Studies: a file that says what runs and what is expected; planned, run, extended and checked as one."""

from grokscope.study.study import Stopped, Study, find_study, shipped_studies

__all__ = ["Stopped", "Study", "find_study", "shipped_studies"]
