"""One dissected checkpoint in the form that figures and tables need."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite

import numpy as np

from grokscope.results.answer import Cell
from grokscope.results.dissection import Checkpoint, Dissection, Parts, parts_of
from grokscope.results.erasures import Erasure
from grokscope.results.neurons import Ablations, summary_key
from grokscope.results.probes import ProbeResult, Target
from grokscope.results.scores import Effect, Null, Score
from grokscope.results.steering import Curve, Scaling
from grokscope.vocabulary.splits import UNSEEN

POOLED = "pooled"
"""The site that the linear head reads."""


@dataclass(frozen=True, kw_only=True)
class CheckpointView(Parts):
    """One checkpoint's records as figures and tables ask for them."""

    step: int | None
    selection: str
    shared: Checkpoint = field(repr=False)

    @property
    def oracle(self) -> bool:
        return self.selection.startswith("oracle")

    @property
    def cell(self) -> Cell:
        return self.shared.where.cell

    @property
    def sites(self) -> list[str]:
        if self.m1 is None:
            return []
        return list(dict.fromkeys(p.site for p in self.m1.probes))

    def probe(self, site: str, target: Target) -> ProbeResult | None:
        probes = self.m1.probes if self.m1 else ()
        return next((p for p in probes if p.site == site and p.target == target), None)

    def score(self, site: str, target: Target) -> Score | None:
        """What the probe reads on the test part."""
        probe = self.probe(site, target)
        if probe is None:
            return None
        return probe.test

    @property
    def erasures(self) -> dict[str, Erasure]:
        if self.m4 is None:
            return {}
        return {e.eraser: e for e in self.m4.erasures}

    @property
    def erasure(self) -> Erasure | None:
        """The one that speaks for the cells; of records that name none, LEACE, else the first."""
        by_name = self.erasures
        for name in (self.shared.where.eraser, "leace", *by_name):
            if name in by_name:
                return by_name[name]
        return None

    @property
    def gap_effect(self) -> Effect | None:
        """What that erasure takes of the environment gap."""
        erasure = self.erasure
        if erasure is None or "test" not in erasure.effects:
            return None
        return erasure.effects["test"].env_gap_drop

    @property
    def damage(self) -> Effect | None:
        """The right answers that it costs on `outside`."""
        erasure = self.erasure
        if erasure is None or self.outside not in erasure.effects:
            return None
        return erasure.effects[self.outside].accuracy_drop

    @property
    def outside(self) -> str:
        """The scene on which damage to the task is reported: an unseen environment where there is one."""
        scenes = [s.name for s in self.shared.scenes]
        return next((s for s in reversed(UNSEEN) if s in scenes), "test")

    def curve(self, on: str, scaling: Scaling) -> Curve | None:
        curves = self.m5.curves if self.m5 else ()
        return next((c for c in curves if c.on == on and c.scaling == scaling), None)

    @property
    def main_curve(self) -> Curve | None:
        """The one that speaks in words and tables."""
        return self.curve(self.outside, "relative") or self.curve("test", "relative")

    def ablation(self, on: str) -> Ablations | None:
        """Neurons ablated in the way the settings name, measured on a scene."""
        there = [a for a in self.m6.ablations if a.on == on] if self.m6 else []
        named = [a for a in there if a.ablation == self.shared.settings.ablation]
        return next(iter([*named, *there]), None)

    @property
    def beyond_random(self) -> tuple[float, Null] | None:
        """Environment gap lost beyond random neurons, and the null it stands against."""
        ablation, key = self.ablation("test"), summary_key("env_gap_drop", "random")
        if ablation is None or key not in ablation.summary.environment:
            return None
        return ablation.summary_values.environment[key], ablation.summary.environment[key]

    @property
    def at_chance(self) -> str | None:
        """Why nothing but accuracy is said of a network that does not know its task; None for one that does."""
        reasons = {part.cannot_tell if part else None for part in (self.m4, self.m5, self.m6)}
        return reasons.pop() if len(reasons) == 1 else None


def view_of(dissection: Dissection, step: int | None = None) -> CheckpointView:
    """A whole dissection, as it was just measured or read."""
    return CheckpointView(step=step, selection=dissection.selection, shared=dissection, **parts_of(dissection))


def hardest(effect: Effect | None) -> Null | None:
    """The control that an effect beats least: the one with the largest p; of equals, the one that reaches farthest."""
    controls = effect.controls.values() if effect else ()
    return max(controls, key=lambda c: (_or_zero(c.p), max(abs(_or_zero(c.low)), abs(_or_zero(c.high)))), default=None)


def _or_zero(value: float) -> float:
    return value if isfinite(value) else 0.0


def finite(values: Iterable[float | None]) -> list[float]:
    """The values that are known."""
    return [v for v in values if v is not None and isfinite(v)]


def median(values: Iterable[float | None]) -> float:
    """Of the values that are known; NaN where none is."""
    known = finite(values)
    if not known:
        return float("nan")
    return float(np.median(known))
