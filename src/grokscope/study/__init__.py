"""Studies: a file that defines runs and expectations; planned, run, extended and checked as one."""

from grokscope.study.study import Stopped, Study, find_study, shipped_studies

__all__ = ["Stopped", "Study", "find_study", "shipped_studies"]
