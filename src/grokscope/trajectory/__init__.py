"""Analysis of trajectories: milestones, verdicts, events and survival over seeds. numpy and scipy only; works on
external logs."""

from grokscope.results.milestones import Milestone, Noise, Span
from grokscope.results.verdict import VERDICTS, Formation
from grokscope.trajectory.criteria import Criteria
from grokscope.trajectory.event import Event
from grokscope.trajectory.events import events, norm_collapses, slingshots, transition, unseen
from grokscope.trajectory.foreign import from_log
from grokscope.trajectory.formation import formation
from grokscope.trajectory.logrank import LogRank, logrank
from grokscope.trajectory.loss_spikes import loss_spikes
from grokscope.trajectory.milestones import Milestones, milestones
from grokscope.trajectory.peak_bias import PeakBias, peak_bias
from grokscope.trajectory.selection import RULES, Selection, select
from grokscope.trajectory.series import Curve, Trajectory, from_run
from grokscope.trajectory.spikes import SpikeLink, spike_links
from grokscope.trajectory.survival import Survival, km, survival
from grokscope.trajectory.times import Times, delays_of, from_milestones, times_of
from grokscope.trajectory.verdict import Verdict, verdict, verdicts

__all__ = [
    "RULES",
    "VERDICTS",
    "Criteria",
    "Curve",
    "Event",
    "Formation",
    "LogRank",
    "Milestone",
    "Milestones",
    "Noise",
    "PeakBias",
    "Selection",
    "Span",
    "SpikeLink",
    "Survival",
    "Times",
    "Trajectory",
    "Verdict",
    "delays_of",
    "events",
    "formation",
    "from_log",
    "from_milestones",
    "from_run",
    "km",
    "logrank",
    "loss_spikes",
    "milestones",
    "norm_collapses",
    "peak_bias",
    "select",
    "slingshots",
    "spike_links",
    "survival",
    "times_of",
    "transition",
    "unseen",
    "verdict",
    "verdicts",
]
