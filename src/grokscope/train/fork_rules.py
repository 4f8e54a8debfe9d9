"""What an exact fork may change from its parent, decided from the two configs. Imports no torch."""

from dataclasses import fields

from grokscope.config import Regime, RunConfig
from grokscope.train.interventions.of_settings import FORKABLE, require_switchable

SHARED = ("task", "model", "seed", "engine", "evaluate", "diagnose")
"""Keys that a fork has from its parent: its rows, weights and order of batches are made with them."""
FREE = ("name", "interventions")
"""Keys of the regime that may differ beside those that can be switched."""


def require_forkable(parent: RunConfig, config: RunConfig, before: str = "before the fork") -> None:
    """Raise ValueError for a change that the steps before a fork, or its parent's state, contradict; `before` says
    which steps those are."""
    for key in SHARED:
        if getattr(config, key) != getattr(parent, key):
            raise ValueError(
                f"$.{key}: an exact fork inherits it from its parent; branch without exact, or start a new run"
            )
    changed = [f.name for f in fields(Regime) if getattr(config.regime, f.name) != getattr(parent.regime, f.name)]
    require_switchable(parent.regime, tuple(key for key in changed if key not in FREE), "$.regime.", FORKABLE)
    if parent.regime.schedule.depends_on_length and config.budget != parent.budget:
        raise ValueError(
            f"$.budget: the schedule {parent.regime.schedule.name!r} depends on the length, so with another budget the "
            f"steps {before} would have been others; keep the budget, or branch without exact"
        )
