"""The study that puts a diagnosis to the test: the run as it was, and an arm without each cause that it names.

Arms share their seeds, so that data, initial weights and batch order are paired wherever the arm leaves them alone.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grokscope import configio
from grokscope.config import Regime, RunConfig, require
from grokscope.identity import canonical, frozen_defaults
from grokscope.inference.compare import sign_flip
from grokscope.mechanism import case_of_run
from grokscope.results.mechanisms import Arm, Explanation
from grokscope.results.trials import Fate, Trial
from grokscope.study.spec import SCHEMA, VARIABLE
from grokscope.study.study import Study

AS_IT_WAS = "as it was"


def testable(explanation: Explanation) -> dict[str, tuple[str, str, Arm]]:
    """Arm name -> (check, claim, arm) of the claims that stand or are open, and whose arm is settings of a config."""
    arms: dict[str, tuple[str, str, Arm]] = {}
    for finding, arm in explanation.next_arms():
        if arm.changes:
            arms.setdefault(arm.name, (finding.check, finding.claim, arm))
    return arms


def counterfactual_study(config: RunConfig, explanation: Explanation, seeds: Sequence[int]) -> dict[str, Any]:
    """The study as plain data: arm `AS_IT_WAS`, and one for each testable claim that this run's config can state.

    Raises:
        ValueError: no claim that stands or is open names an arm.
    """
    arms = {name: told for name, told in testable(explanation).items() if _is_possible(config, told[-1])}
    require(bool(arms), "no explanation that fits or is open names an arm that this run's config could state")
    return {
        "schema": SCHEMA,
        "name": "counterfactual",
        "title": f"What would have happened without: {', '.join(arms)}",
        "claim": "; ".join(claim for _, claim, _ in arms.values()),
        "seeds": list(seeds),
        **_base(config),
        "arm": [
            {"name": AS_IT_WAS, "regime.lr": config.regime.lr},
            *({"name": name, **arm.changes} for name, (_, _, arm) in arms.items()),
        ],
    }


def _is_possible(config: RunConfig, arm: Arm) -> bool:
    """Whether the config takes the arm's keys and values: a task without `n_train` has no arm with more data."""
    raw = configio.dump(config)
    try:
        configio.load_run(configio.overlay(raw, dict(arm.changes)))
    except ValueError:
        return False
    return True


def _base(config: RunConfig) -> dict[str, Any]:
    """All that an arm could change, as the run has it; what is at its default is left out."""
    raw, defaults = configio.dump(config), frozen_defaults(RunConfig)
    base = {key: raw[key] for key in VARIABLE if key not in defaults or defaults[key] != canonical(raw[key])}
    return {
        key: _told(value, getattr(config, key)) if isinstance(value, Mapping) else value
        for key, value in base.items()
        if value is not None
    }


def _told(values: Mapping[str, Any], table: Any) -> dict[str, Any]:
    """What of a table differs from its defaults, and its name: that of a regime is a label, which the arms give."""
    defaults = frozen_defaults(type(table))
    apart = ("name",) if isinstance(table, Regime) else ()
    return {
        key: value
        for key, value in values.items()
        if value is not None and key not in apart and (key not in defaults or defaults[key] != canonical(value))
    }


def to_toml(study: Mapping[str, Any]) -> str:
    """The file of such a study. Values are texts, numbers, lists and tables, which TOML mostly writes as JSON does."""
    tables = {key: value for key, value in study.items() if isinstance(value, Mapping)}
    lines = [f"{key} = {_value(value)}" for key, value in study.items() if key not in tables and key != "arm"]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items())]
    for arm in study["arm"]:
        lines += ["", "[[arm]]", *(f"{key} = {_value(value)}" for key, value in arm.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(inner) for inner in value)}]"
    return json.dumps(value, ensure_ascii=False)


# -- what came of it --------------------------------------------------------------------------------------------------


def trials(study: Study, root: str | Path, explanation: Explanation) -> tuple[Trial, ...]:
    """What became of each explanation, from the runs that are finished. Differences are paired by seed.

    Misleads: "survived" says that taking the cause away moved held-out as expected, not that nothing else was taken
    with it; with a few seeds no p is small, so the number of pairs stands beside it.
    """
    ends = _ends(study, root, explanation.split)
    base = ends.get(AS_IT_WAS, {})
    return tuple(
        _trial(check, claim, arm, base, ends.get(name, {}))
        for name, (check, claim, arm) in testable(explanation).items()
        if name in ends
    )


def _ends(study: Study, root: str | Path, split: str) -> dict[str, dict[int, tuple[float, float, str]]]:
    """Arm -> seed -> (end, noise, verdict) of every run that is finished."""
    ends: dict[str, dict[int, tuple[float, float, str]]] = {entry.label: {} for entry in study.entries}
    for state in study.status(root):
        if not state.finished:
            continue
        verdict = case_of_run(state.run, split).verdict
        milestones = verdict.milestones
        seen = (float(milestones.end), float(milestones.noise.band), verdict.label)
        ends[state.entry.label][state.entry.config.seed] = seen
    return ends


def _trial(
    check: str,
    claim: str,
    arm: Arm,
    base: Mapping[int, tuple[float, float, str]],
    without: Mapping[int, tuple[float, float, str]],
) -> Trial:
    seeds = sorted(base.keys() & without.keys())
    differences = np.array([without[s][0] - base[s][0] for s in seeds])
    noise = max((max(base[s][1], without[s][1]) for s in seeds), default=float("nan"))
    moved = differences * (1 if arm.raises else -1) > noise
    fate: Fate = "open"
    if len(seeds) >= FEWEST and moved.all():
        fate = "survived"
    elif len(seeds) >= FEWEST and not moved.any():
        fate = "refuted"
    test = sign_flip(differences) if len(seeds) >= FEWEST else None
    return Trial(
        check=check,
        arm=arm.name,
        claim=claim,
        fate=fate,
        n=len(seeds),
        differences=tuple(float(d) for d in differences),
        noise=noise,
        interval=None if test is None else test.interval,
        p=None if test is None else test.p,
        smallest_p=None if test is None else test.smallest_p,
        verdicts=tuple((base[s][2], without[s][2]) for s in seeds),
        sentence=_sentence(fate, arm, differences, noise),
    )


FEWEST = 2
"""Pairs below which nothing is said."""


def _sentence(fate: Fate, arm: Arm, differences: np.ndarray, noise: float) -> str:
    n = len(differences)
    if n < FEWEST:
        return f"{n} of the pairs are finished: nothing can be said yet"
    low, high = differences.min(), differences.max()
    seen = f"held-out ends {low:+.3f} to {high:+.3f} against the run as it was, over {n} pairs (noise {noise:.3f})"
    expected = "rises" if arm.raises else "falls"
    words = {
        "survived": f"with '{arm.name}' held-out {expected} in every pair, as the explanation has it",
        "refuted": f"with '{arm.name}' held-out {expected} in no pair: this was not the reason, or not it alone",
        "open": f"with '{arm.name}' held-out {expected} in some pairs only",
    }[fate]
    return f"{words}; {seen}"
