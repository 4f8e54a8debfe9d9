"""Verdicts as records, made by hand."""

from dataclasses import replace
from typing import Any

from grokscope.results.milestones import Milestone, MilestonesRecord, Noise, Span
from grokscope.results.verdict import Name, VerdictRecord


def milestones(split: str = "id_val", **changes: Any) -> MilestonesRecord:
    """Fitted at 50, generalized at 500 of 1,000 steps."""
    gen = Milestone(500)
    whole = MilestonesRecord(
        split=split, threshold=0.9, evaluations=20, last_step=1000, in_a_row=1, T_fit=Milestone(50), T_gen=gen,
        T_gen_lasting=gen, T_gen_stable=gen, T_grok=None, delay=Span(450, 400, 500), delay_ratio=Span(10.0, 9.0, 11.0),
        peak=0.97, peak_step=900, peak_lasting=0.97, peak_lasting_step=900, end=0.96, end_from=950, end_rows=2,
        final=0.96, noise=Noise(None, None, 0.01), drop=0.01, peak_rule="best id_val",
    )  # fmt: skip
    return replace(whole, **changes)


def verdict(name: Name | None = "grokked", split: str = "id_val", **changes: Any) -> VerdictRecord:
    """`changes` replace whole fields, or fields of the milestones."""
    moments = {key: changes.pop(key) for key in list(changes) if key in MilestonesRecord.__dataclass_fields__}
    whole = VerdictRecord(
        split=split, verdict=name, qualifier=None, reason="held-out reached 0.9", evidence={"way": 0.9}, robust=True,
        fragile=(), neighbors={"fit=0.98": "grokked"}, notes=(), milestones=milestones(split, **moments), criteria={},
        formation=None,
    )  # fmt: skip
    return replace(whole, **changes)
