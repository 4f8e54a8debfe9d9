"""Many logs that grokscope did not write: found by names and patterns, judged one by one, compared by groups."""

from grokscope.foreign.groups import Comparison, Group
from grokscope.foreign.judging import JudgedLog, JudgedLogs, verdicts_of_logs

__all__ = ["Comparison", "Group", "JudgedLog", "JudgedLogs", "verdicts_of_logs"]
