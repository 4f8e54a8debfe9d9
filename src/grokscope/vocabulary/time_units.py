"""The time unit of a trajectory: optimizer steps, or a multiple of them."""

STEPS = "steps"
"""The unit of runs of grokscope's own."""
ROWS = "rows"
"""The unit of a log without a column of time."""
COUNTING_STEPS = frozenset(
    ("step", "steps", "global_step", "trainer/global_step", "iteration", "iterations", "iter", "update", "updates")
)
"""Names of columns that count steps of the optimizer. W&B's ``_step`` is none: it counts what was logged."""


def time_unit_of(column: str | None) -> str:
    """What a column of this name counts; None is a log without one. Of any unit but steps a name does not tell how many
    steps it has."""
    if column is None:
        return ROWS
    if column.lower() in COUNTING_STEPS:
        return STEPS
    return column
