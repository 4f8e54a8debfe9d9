"""Train small networks for a very long time, classify whether they grok, ungrok or only memorize, test why, and locate
shortcuts.

The public names are imported on first use, so importing grokscope does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grokscope.archive.logs import import_logs
    from grokscope.commands.train import branch as branch_run
    from grokscope.commands.train import extend as extend_run
    from grokscope.commands.train import train_run
    from grokscope.comparison import compare
    from grokscope.components import EngineChoice, Filter, Intervention, Loss, Measurement, Optimizer, Schedule, Tracker
    from grokscope.config import Budget, Cadence, Hardware, ModelConfig, Regime, RunConfig, TaskConfig
    from grokscope.configio import load_run
    from grokscope.dissect.battery import dissect
    from grokscope.dissect.erasure_methods import ErasureMethod
    from grokscope.foreign import verdicts_of_logs
    from grokscope.foreign.stopping import stopping
    from grokscope.measuring.checkpoints import measure
    from grokscope.mechanism.of_anything import delay_law, explain
    from grokscope.mechanism.setup import Setup
    from grokscope.recorder import Recorder
    from grokscope.registry import register
    from grokscope.report import build_report
    from grokscope.results.stopping import StopRule
    from grokscope.store import Run, find_runs, open_run
    from grokscope.store.query import sql
    from grokscope.study import Study
    from grokscope.task_data import Split, TaskData
    from grokscope.track.afterward import track_run
    from grokscope.trajectory import Criteria, Selection, Trajectory, Verdict
    from grokscope.verdicts import select, verdict
    from grokscope.vocabulary.column_table import Column

_WHERE = {
    "register": "registry:register",
    "TaskConfig": "config:TaskConfig",
    "ModelConfig": "config:ModelConfig",
    "Optimizer": "components:Optimizer",
    "Schedule": "components:Schedule",
    "Loss": "components:Loss",
    "Filter": "components:Filter",
    "ErasureMethod": "dissect.erasure_methods:ErasureMethod",
    "Intervention": "components:Intervention",
    "Measurement": "components:Measurement",
    "Column": "vocabulary.column_table:Column",
    "EngineChoice": "components:EngineChoice",
    "Tracker": "components:Tracker",
    "TaskData": "task_data:TaskData",
    "Split": "task_data:Split",
    "import_logs": "archive.logs:import_logs",
    "branch_run": "commands.train:branch",
    "extend_run": "commands.train:extend",
    "train_run": "commands.train:train_run",
    "compare": "comparison:compare",
    "dissect": "dissect.battery:dissect",
    "Setup": "mechanism.setup:Setup",
    "delay_law": "mechanism.of_anything:delay_law",
    "explain": "mechanism.of_anything:explain",
    "Budget": "config:Budget",
    "Cadence": "config:Cadence",
    "Hardware": "config:Hardware",
    "Regime": "config:Regime",
    "RunConfig": "config:RunConfig",
    "load_run": "configio:load_run",
    "measure": "measuring.checkpoints:measure",
    "verdicts_of_logs": "foreign:verdicts_of_logs",
    "Recorder": "recorder:Recorder",
    "build_report": "report:build_report",
    "Run": "store:Run",
    "find_runs": "store:find_runs",
    "open_run": "store:open_run",
    "sql": "store.query:sql",
    "Study": "study:Study",
    "track_run": "track.afterward:track_run",
    "StopRule": "results.stopping:StopRule",
    "stopping": "foreign.stopping:stopping",
    "Criteria": "trajectory:Criteria",
    "Selection": "trajectory:Selection",
    "Trajectory": "trajectory:Trajectory",
    "Verdict": "trajectory:Verdict",
    "select": "verdicts:select",
    "verdict": "verdicts:verdict",
}

__all__ = [
    "Budget",
    "Cadence",
    "Column",
    "Criteria",
    "EngineChoice",
    "ErasureMethod",
    "Filter",
    "Hardware",
    "Intervention",
    "Loss",
    "Measurement",
    "ModelConfig",
    "Optimizer",
    "Recorder",
    "Regime",
    "Run",
    "RunConfig",
    "Schedule",
    "Selection",
    "Setup",
    "Split",
    "StopRule",
    "Study",
    "TaskConfig",
    "TaskData",
    "Tracker",
    "Trajectory",
    "Verdict",
    "branch_run",
    "build_report",
    "compare",
    "delay_law",
    "dissect",
    "explain",
    "extend_run",
    "find_runs",
    "import_logs",
    "load_run",
    "measure",
    "open_run",
    "register",
    "select",
    "sql",
    "stopping",
    "track_run",
    "train_run",
    "verdict",
    "verdicts_of_logs",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'grokscope' has no attribute {name!r}")
    module, _, attribute = _WHERE[name].partition(":")
    return getattr(import_module(f"grokscope.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
