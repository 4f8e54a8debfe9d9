"""A measurement: a column in every diagnosed row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import grokscope as gs


@dataclass(frozen=True, kw_only=True)
class WeightSigns(gs.Measurement):
    """Share of positive weights, ``mean(w > threshold)``, over all tensors of two dimensions or more. Cost: one pass
    over the weights. Misleads with a normalization's scale among them, which is why vectors are left out."""

    name: ClassVar[str] = "weight_signs"
    summary: ClassVar[str] = "share of positive weights"
    columns: ClassVar[tuple[gs.Column, ...]] = (
        gs.Column("weight_signs_positive", "positive weights", "share of all matrices", "share, 0 to 1", panel=True),
    )

    needs: ClassVar[frozenset[str]] = frozenset()
    threshold: float = 0.0

    def __call__(self, view: Any) -> Mapping[str, Any]:
        matrices = [p for p in view.model.parameters() if p.dim() > 1]
        positive = sum((p > self.threshold).sum() for p in matrices)
        return {"weight_signs_positive": positive / sum(p.numel() for p in matrices)}
