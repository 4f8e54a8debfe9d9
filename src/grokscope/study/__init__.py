"""Studies: a file that defines runs and expectations; planned, run, extended and checked as one."""

from grokscope.study.study import NotSaved, Stopped, Study, find_study, shipped_studies

__all__ = ["NotSaved", "Stopped", "Study", "find_study", "shipped_studies"]
