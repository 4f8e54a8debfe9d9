"""Where a study's runs are trained: the values of ``--on``."""

from grokscope.registry import nearest

ENGINES = {
    "here": "worker processes of this command",
    "background": "jobs on this machine that continue after the command",
    "slurm": "jobs of Slurm",
    "ray": "tasks of Ray",
}
"""Name -> what trains the runs."""


def check_engine(name: str) -> str:
    """The name of an engine. Raises ValueError listing them for any other."""
    if name not in ENGINES:
        known = ", ".join(f"{key} ({words})" for key, words in ENGINES.items())
        raise ValueError(f"--on: unknown engine {name!r}{nearest(name, list(ENGINES))}; available: {known}")
    return name
