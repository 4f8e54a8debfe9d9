"""Checks of the features: do they lose rank, and were they good from the start?"""

from dataclasses import dataclass

from grokscope.mechanism.case import Case
from grokscope.mechanism.check import Answer, Check, lacking, without_start, word_of
from grokscope.results.mechanisms import Arm


@dataclass(frozen=True)
class RankCollapse(Check):
    """Effective rank of the pooled features, from the first record to the end."""

    fell: float = 0.6
    kept: float = 0.9

    name = "rank collapse"
    claim = "The features lose rank."
    source = "doi:10.5281/zenodo.40511"
    misleads = (
        "Rank also falls in runs that grok: it describes a regime, and is informative only in comparison with other "
        "regimes."
    )
    explains = frozenset()
    """It describes what happened; no verdict follows from it."""

    def read(self, case: Case) -> Answer:
        rank = case.series("rank_effective")
        if rank is None:
            return lacking("rank_effective")
        start, end = float(rank.value[0]), float(rank.value[-1])
        if start <= 0:
            return without_start("rank")
        low, high = rank.factor()
        numbers = {"rank_start": start, "rank_end": end, "factor_low": low, "factor_high": high}
        evidence = f"effective rank {start:.3g} -> {end:.3g}, x {end / start:.2g}"
        word = word_of(supports=high <= self.fell, against=low >= self.kept)
        return Answer(word, evidence, numbers, arm=NO_DECAY)


NO_DECAY = Arm(
    name="no decay",
    changes={"regime.weight_decay": 0.0},
    expects="the rank falls as far without decay, if it is not decay that lowers it",
)


@dataclass(frozen=True)
class Readout(Check):
    """Whether what held-out reached late could be read from the last hidden layer when train was fitted."""

    name = "readout"
    claim = "What held-out reached late was readable from the start: a readout recovered, no representation formed."
    source = "arXiv:2605.27078"
    misleads = (
        "The gap between probe and network is a property of network and probe: the range over the probe's "
        "strengths is part "
        "of the evidence."
    )
    explains = frozenset({"late"})

    def read(self, case: Case) -> Answer:
        route = case.verdict.formation
        if route is None:
            if case.outcome != "late":
                return Answer("cannot tell", "held-out did not rise late, so there is no rise to explain")
            return lacking(f"{case.split}_probe_acc")
        numbers = {
            "probe_at_fit": route.probe_at_fit,
            "probe_at_end": route.probe_at_end,
            "network_at_fit": route.network_at_fit,
            "network_at_end": route.network_at_end,
        }
        arm = Arm(
            name="initial logits subtracted",
            changes={"regime.interventions": [{"name": "subtract_initial"}]},
            expects="trained on f - f0, held-out is high at once",
            by="T_gen",
        )
        word = word_of(supports=route.route == "readout", against=route.route == "representation")
        return Answer(word, route.reason, numbers, arm=arm)
