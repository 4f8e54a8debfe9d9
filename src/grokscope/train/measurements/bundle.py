"""The inexpensive mechanism measurements under one name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from grokscope.components import Measurement, Need
from grokscope.registry import register
from grokscope.train.measurements.complexity import DescriptionLength, PACBayes
from grokscope.train.measurements.movement import Distance, Rotation, UpdateDirection
from grokscope.train.measurements.needs import silences, take
from grokscope.train.measurements.structure import Gap, HeadAlignment, Layers, Margins, Simplicity

if TYPE_CHECKING:
    from grokscope.train.evaluate import View

PARTS = (
    UpdateDirection, Rotation, Distance, Margins, Layers, HeadAlignment, Simplicity, Gap, DescriptionLength, PACBayes,
)  # fmt: skip
"""Every measurement of mechanisms that needs no Hessian and no Jacobian."""


@register
@dataclass(frozen=True, kw_only=True)
class Mechanisms(Measurement):
    """The measurements of mechanisms that need no Hessian and no Jacobian, in one: ``update_direction``, ``rotation``,
    ``distance``, ``margins``, ``layers``, ``head_alignment``, ``simplicity``, ``gap``, ``description_length`` and
    ``pac_bayes``, with their defaults; each has a docstring of its own (why such numbers: arXiv:2206.04817). Cost:
    together under a tenth of a run at shipped cadences, as measured by benchmarks/measurements.py. Misleads as
    described for each part."""

    name: ClassVar[str] = "mechanisms"
    summary: ClassVar[str] = "the cheap measurements of mechanisms under one name"
    source: ClassVar[str] = "arXiv:2206.04817"
    needs: ClassVar[frozenset[Need]] = frozenset({"initial", "update"})
    """What is kept for its parts; each is asked for itself whether it can do without the training loss."""

    def reasons(self, view: "View") -> Mapping[str, str]:
        out: dict[str, str] = {}
        for part in PARTS:
            out |= silences(part(), view)
        return out

    def __call__(self, view: "View") -> Mapping[str, Any]:
        out: dict[str, Any] = {}
        for part in PARTS:
            out |= take(part(), view)
        return out
