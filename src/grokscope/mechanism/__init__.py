"""Why did a run (not) grok? One check per mechanism, evaluated on a trajectory; each names the arm that would test it.

A check reads, it never trains: it can say that a trajectory is as an explanation would have it, not that the
explanation is true. That takes the arm without the cause.
"""

from grokscope.mechanism.case import Case, case_of_run, case_of_trajectory
from grokscope.mechanism.check import Check
from grokscope.mechanism.delay_law import DelayLaw, law_of
from grokscope.mechanism.explain import CHECKS, explain, explain_by
from grokscope.mechanism.setup import Setup
from grokscope.results.mechanisms import Arm, Explanation, Finding

__all__ = [
    "CHECKS",
    "Arm",
    "Case",
    "Check",
    "DelayLaw",
    "Explanation",
    "Finding",
    "Setup",
    "case_of_run",
    "case_of_trajectory",
    "explain",
    "explain_by",
    "law_of",
]
