"""Typed, torch-free records of results: frozen dataclasses with their own reading and writing.

Whoever shows, compares or exports a result reads one of these classes, never raw JSON: a field that is renamed is then
an error of the type checker in every place that shows it, and a file that lacks a field is an error that names it.

A new record (of a check, of a test over seeds, of another dissection method):

1. A file of its own here, or the file of its subject, with a class ``@dataclass(frozen=True, kw_only=True)`` derived
   from `record.Record`; from `record.Stored`, with a field ``schema``, where it is a file by itself; from
   `record.Keyed` where it holds one kind of value under fixed names.
2. Beneath every field a docstring, which ends in the unit in brackets where the field is a number:
   ``[share]``, ``[logits]``, ``[probability]``, ``[examples]``, ``[as the value]``.
3. Its class in `RECORDS` below: tests/results then checks its docstrings and that it reads back what it wrote.
4. Whoever measures it makes and writes it; whoever shows it takes the class in its own signature.

Null in a file is a number that is not finite; it is read as NaN, or as None where the field may be None. A field that
is renamed, added or removed raises ``SCHEMA`` of its file; a change of how something is measured or concluded raises
`dissection.RULES`, which shows older dissections as outdated with the command that redoes them.
"""

from grokscope.results.answer import Reliance, Where
from grokscope.results.calibration import Calibration, Condition
from grokscope.results.comparison import (
    ComparedRun,
    Comparison,
    ComparisonSide,
    CurveDifference,
    NumberRow,
    Setting,
    SideNumber,
    SplitComparison,
    SplitData,
    WordRow,
)
from grokscope.results.dissection import Dissection, Request
from grokscope.results.effective_size import EffectiveSize, EffectiveSizes, SizeCell, SizeComparison
from grokscope.results.erasures import M4, Erasure
from grokscope.results.factorial import CellMiddle, DesignResult, FactorEffect, Response
from grokscope.results.hypothesis import (
    Declaration,
    Declarations,
    Hypotheses,
    HypothesisArm,
    HypothesisResult,
    HypothesisTest,
    RunNumber,
)
from grokscope.results.measured import Measured, MeasuredCheckpoint
from grokscope.results.mechanisms import Arm as CauseArm
from grokscope.results.mechanisms import Explanation, Finding
from grokscope.results.milestones import Milestone, MilestonesRecord, Noise, Span
from grokscope.results.neurons import M6, Ablations, Arm, Arms
from grokscope.results.phase import CellLevel, CellTime, Pareto, ParetoPoint, Phase, PhaseAxis, PhaseCell, PhaseDiagram
from grokscope.results.predictions import Predictions
from grokscope.results.probes import M1, Control, ProbeResult
from grokscope.results.record import Keyed, Record, Stored
from grokscope.results.sample import Inputs, PartsRecord, Site, SiteInfo, SiteWidth
from grokscope.results.scores import ByEffect, ByTarget, Effect, Null, SceneRecord, Score, SplitAccuracy
from grokscope.results.seed_tests import Power, Result
from grokscope.results.settings import Settings
from grokscope.results.steering import M5, Curve, Reliability, Signs, SiteCurve, SlopeControls
from grokscope.results.stopping import PatienceNeeded, Regret, RuleResult, RunStop, Stopping, StopRule
from grokscope.results.trials import Trial
from grokscope.results.verdict import Formation, VerdictRecord

RECORDS: tuple[type[Record], ...] = (
    Ablations, Arm, Arms, ByEffect, ByTarget, Calibration, CauseArm, CellMiddle, ComparedRun, Comparison,
    ComparisonSide, Condition, Control, Curve, CurveDifference, Declaration, Declarations, DesignResult, Dissection,
    Effect, Erasure, Explanation, FactorEffect, Finding, Formation, Hypotheses, HypothesisArm, HypothesisResult,
    HypothesisTest, Inputs, M1, M4, M5, M6, Measured, MeasuredCheckpoint, Milestone, MilestonesRecord, Noise, Null,
    NumberRow, PartsRecord, PatienceNeeded, Power, Predictions, ProbeResult, Regret, Reliability, Reliance, Request,
    Response, Result, RuleResult, RunNumber, RunStop, SceneRecord, Score, Setting, Settings, SideNumber, Signs, Site,
    SiteCurve, SiteInfo, SiteWidth, SlopeControls, Span, SplitAccuracy, SplitComparison, SplitData, Stopping,
    StopRule, Trial, VerdictRecord, Where, WordRow,
    CellLevel, CellTime, Pareto, ParetoPoint, Phase, PhaseAxis, PhaseCell, PhaseDiagram,
    EffectiveSize, EffectiveSizes, SizeCell, SizeComparison,
)  # fmt: skip
"""Every record, for the tests of their docstrings and of their reading."""

__all__ = ["RECORDS", "Dissection", "Keyed", "Record", "Settings", "Stored"]
