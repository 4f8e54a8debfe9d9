"""The labeled sample shared by all analyses: codes, parts, weights, and settings."""

from dataclasses import dataclass

import numpy as np

from grokscope.dissect.parts import Parts, balancing_weights


@dataclass(frozen=True)
class Sample:
    """Codes 0..k-1 of labels, environments and groups (n,), the parts, and weights (n_part,) within each part."""

    labels: np.ndarray
    environments: np.ndarray
    groups: np.ndarray | None
    parts: Parts
    weights: dict[str, np.ndarray | None]

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1

    def target(self, name: str, part: str) -> np.ndarray:
        """Codes of ``environment`` or ``task`` in a part."""
        return (self.environments if name == "environment" else self.labels)[self.parts[part]]

    def strata(self, target: str, part: str) -> np.ndarray:
        """What must not help to read a target: the class for the environment, the environment for the task."""
        return self.target("task" if target == "environment" else "environment", part)

    def units(self, part: str) -> int:
        """Number of independent units of a part: groups, or examples without groups."""
        group = self.group(part)
        if group is None:
            return len(self.parts[part])
        return len(np.unique(group))

    def group(self, part: str) -> np.ndarray | None:
        if self.groups is None:
            return None
        return self.groups[self.parts[part]]


def make_sample(
    labels: np.ndarray, environments: np.ndarray, groups: np.ndarray | None, parts: Parts, balance: str
) -> Sample:
    weights = {
        part: balancing_weights(environments[rows], labels[rows]) if balance == "class" else None
        for part, rows in (("fit", parts.fit), ("select", parts.select), ("test", parts.test))
    }
    return Sample(labels, environments, groups, parts, weights)
