"""Many external logs: found by names and patterns, judged individually, compared by groups."""

from grokscope.foreign.groups import Comparison, Group
from grokscope.foreign.judging import JudgedLog, JudgedLogs, verdicts_of_logs

__all__ = ["Comparison", "Group", "JudgedLog", "JudgedLogs", "verdicts_of_logs"]
