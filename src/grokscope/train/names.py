"""Names of regimes derived from one another."""

from collections.abc import Mapping
from typing import Any

from grokscope.store.run import Run


def renamed(run: Run, changes: Mapping[str, Any]) -> str:
    """The regime's name, in which a study's axes stand as ``n_train=80``, with the values that are changed."""
    new = dict(changes)
    for key, value in changes.items():  # axes are named with their last part
        new[key.rpartition(".")[2]] = value

    def renamed(word: str) -> str:
        key, stands, _ = word.partition("=")
        if stands and key in new:
            return f"{key}={new[key]}"
        return word

    return " ".join(map(renamed, str(run.config["regime"]["name"]).split(" ")))
