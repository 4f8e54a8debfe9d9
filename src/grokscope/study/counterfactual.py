"""The study that tests a diagnosis: the run as it was, and one arm without each suspected cause.

Arms share their seeds, so that data, initial weights and batch order are paired wherever the arm leaves them alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from grokscope import configio
from grokscope.config import Regime, RunConfig, require
from grokscope.identity import canonical, frozen_defaults
from grokscope.inference.compare import sign_flip
from grokscope.mechanism import case_of_run
from grokscope.mechanism.in_force import INTERVENTIONS, written
from grokscope.moment import read_moment
from grokscope.registry import DEFAULTS
from grokscope.results.mechanisms import Arm, Explanation, Finding
from grokscope.results.trials import Fate, Trial
from grokscope.store.folders import Folders
from grokscope.study.spec import SCHEMA, VARIABLE
from grokscope.study.study import Study
from grokscope.train.fork_source import whether_ready

AS_IT_WAS = "as it was"
FIT = "T_fit"


def testable(explanation: Explanation) -> list[tuple[Finding, Arm]]:
    """The claims that stand or are open and whose arm is settings of a config, with that arm; two claims may share
    one."""
    return [(finding, arm) for finding, arm in explanation.next_arms() if arm.changes]


def counterfactual_study(
    config: RunConfig,
    explanation: Explanation,
    seeds: Sequence[int],
    plugins: Sequence[str] = (),
    forks: bool = True,
) -> dict[str, Any]:
    """The study as plain data: arm `AS_IT_WAS`, and one for each testable claim that this run's config can state.
    `plugins` are the modules without which its pieces have no meaning.

    An arm whose interventions begin at ``T_fit`` is up to there the run as it was, bit for bit, so that what differs
    afterward is the intervention's. With `forks` it is an exact fork of that run, from the state that the run keeps at
    ``T_fit`` (`why_no_forks` tells where that cannot be had), and trains only what comes after.

    Raises:
        ValueError: no claim that stands or is open names an arm, or the run went on from another one: every arm would
            begin at step 0 with weights of its own, and "as it was" would be another run.
    """
    _require_whole(config)
    possible = [(finding, arm) for finding, arm in testable(explanation) if _is_possible(config, arm)]
    arms: dict[str, Arm] = {}
    for _, arm in possible:
        arms.setdefault(arm.name, arm)
    require(bool(arms), "no explanation that fits or is open names an arm that this run's config could state")
    return {
        "schema": SCHEMA,
        "name": "counterfactual",
        "title": f"What would have happened without: {', '.join(arms)}",
        "claim": " ".join(finding.claim for finding, _ in possible),
        **({"plugins": list(plugins)} if plugins else {}),
        "seeds": list(seeds),
        **_base(config),
        "arm": [
            {"name": AS_IT_WAS, "regime.lr": config.regime.lr},
            *({"name": name, **_arm(config, arm, forks)} for name, arm in arms.items()),
        ],
    }


def why_no_forks(config: RunConfig, seeds: Sequence[int], root: str | Path) -> str:
    """Why the arms of a test cannot be forks of the run as it was; empty where they can. Of all seeds each run must
    hold its state at the fit, or still come to it."""
    folders = Folders(root)
    for seed in seeds:
        run = folders.find(replace(config, seed=seed))
        ready = whether_ready(run, FIT)
        if ready.step is None and not ready.waits:
            return ready.why
    return ""


def begins_late(config: RunConfig, changed: RunConfig) -> bool:
    """Whether two configs are one training up to the fit: they differ in interventions alone, none of which acts
    before."""
    same = replace(changed, regime=replace(changed.regime, interventions=config.regime.interventions))
    one, other = config.regime.interventions, changed.regime.interventions
    apart = [*(i for i in one if i not in other), *(i for i in other if i not in one)]
    late = all(read_moment(i.from_, "from").after_fit for i in apart)
    return late and bool(apart) and same.identity() == config.identity()


def _arm(config: RunConfig, arm: Arm, forks: bool) -> dict[str, Any]:
    """The block of an arm: its changes, and its parent where it begins there."""
    changed = configio.load_run(configio.overlay(configio.dump(config), arm.changes))
    if forks and begins_late(config, changed):
        return {"of": AS_IT_WAS, "from": FIT, **arm.changes}
    return dict(arm.changes)


def _require_whole(config: RunConfig) -> None:
    if config.start is not None:
        parent = config.start.run
        raise ValueError(
            f"this run went on from {parent} at step {config.start.step}, and the arms of a test begin at step 0; put "
            f"that run to the test, or take a cause away by `grokscope branch {parent}` with the arm's settings"
        )


def _is_possible(config: RunConfig, arm: Arm) -> bool:
    """Whether the config takes the arm's keys and values: a task without `n_train` has no arm with more data, and only
    the general engine carries out interventions."""
    if INTERVENTIONS in arm.changes and config.engine.name != DEFAULTS["engine"]:
        return False
    raw = configio.dump(config)
    try:
        configio.load_run(configio.overlay(raw, arm.changes))
    except ValueError:
        return False
    return True


def _base(config: RunConfig) -> dict[str, Any]:
    """All that an arm could change, as the run has it; what is at its default is left out."""
    raw, defaults = configio.dump(config), frozen_defaults(RunConfig)
    base = {key: raw[key] for key in VARIABLE if key not in defaults or defaults[key] != canonical(raw[key])}
    return {
        key: _non_defaults(value, getattr(config, key)) if isinstance(value, Mapping) else written(value)
        for key, value in base.items()
        if value is not None
    }


def _non_defaults(values: Mapping[str, Any], table: Any) -> dict[str, Any]:
    """What of a table differs from its defaults, and its name: that of a regime is a label, which the arms give."""
    defaults = frozen_defaults(type(table))
    apart = ("name",) if isinstance(table, Regime) else ()
    return {
        key: written(value)
        for key, value in values.items()
        if value is not None and key not in apart and (key not in defaults or defaults[key] != canonical(value))
    }


# -- what came of it --------------------------------------------------------------------------------------------------


def trials(study: Study, root: str | Path, explanation: Explanation) -> tuple[Trial, ...]:
    """What became of each explanation, from the runs that are finished. Differences are paired by seed.

    Misleads: "survived" says that taking the cause away moved held-out as expected, not that nothing else was taken
    with it; with a few seeds no p is small, so the number of pairs stands beside it.
    """
    ends = _ends(study, root, explanation.split)
    base = ends.get(AS_IT_WAS, {})
    return tuple(
        _trial(finding.check, finding.claim, arm, base, ends[arm.name])
        for finding, arm in testable(explanation)
        if arm.name in ends
    )


class Seen(NamedTuple):
    """What one finished run came to."""

    end: float
    noise: float
    verdict: str
    T_gen: float = math.inf
    """Infinite where held-out never arrived."""
    T_gen_before: float = math.inf
    """The evaluation before it, at which it had not."""
    last_step: float = 1.0

    @property
    def arrived_by(self) -> float:
        """T_gen, or the last step of a run that has not arrived: it comes no sooner than that."""
        return max(min(self.T_gen, self.last_step), 1.0)

    @property
    def grid(self) -> float:
        """How far T_gen is open by the evaluation grid, in doublings."""
        if math.isinf(self.T_gen):
            return 0.0
        return math.log2(self.arrived_by / max(self.T_gen_before, 1.0))


def _ends(study: Study, root: str | Path, split: str) -> dict[str, dict[int, Seen]]:
    """Arm -> seed -> what every finished run came to."""
    ends: dict[str, dict[int, Seen]] = {entry.label: {} for entry in study.entries}
    for state in study.status(root):
        if not state.finished:
            continue
        verdict = case_of_run(state.run, split, study.criteria).verdict
        m = verdict.milestones
        T_gen = math.inf if m.T_gen.censored else float(m.T_gen.at)
        before = float(m.T_gen.earliest)
        seen = Seen(float(m.end), float(m.noise.band), verdict.label, T_gen, before, float(m.last_step))
        ends[state.entry.label][state.entry.config.seed] = seen
    return ends


def _moves(arm: Arm, base: Seen, without: Seen) -> tuple[float, float]:
    """(how far held-out moved, up to which it may be chance): at the end; or how much sooner it came, in doublings of
    time, where a run that has not arrived counts with its last step, the least that its T_gen can be."""
    if arm.by == "T_gen":
        return math.log2(base.arrived_by / without.arrived_by), max(base.grid, without.grid)
    return without.end - base.end, max(base.noise, without.noise)


def _trial(check: str, claim: str, arm: Arm, base: Mapping[int, Seen], without: Mapping[int, Seen]) -> Trial:
    seeds = sorted(base.keys() & without.keys())
    moves = [_moves(arm, base[s], without[s]) for s in seeds]
    differences = np.array([difference for difference, _ in moves])
    noise = max((chance for _, chance in moves), default=float("nan"))
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
        by=arm.by,
        n=len(seeds),
        differences=tuple(float(d) for d in differences),
        noise=noise,
        interval=None if test is None else test.interval,
        p=None if test is None else test.p,
        smallest_p=None if test is None else test.smallest_p,
        verdicts=tuple((base[s].verdict, without[s].verdict) for s in seeds),
        sentence=_sentence(fate, arm, differences, noise),
    )


FEWEST = 2
"""Pairs below which nothing is said."""


def _sentence(fate: Fate, arm: Arm, differences: np.ndarray, noise: float) -> str:
    n = len(differences)
    if n < FEWEST:
        return f"{n} of the pairs are finished: nothing can be said yet"
    low, high = differences.min(), differences.max()
    if arm.by == "T_gen":
        seen = (
            f"it comes 2^{low:+.2f} to 2^{high:+.2f} times as soon, over {n} pairs (the grid leaves 2^{noise:.2f} open)"
        )
        expected = "comes sooner" if arm.raises else "comes later"
    else:
        seen = f"held-out ends {low:+.3f} to {high:+.3f} against the run as it was, over {n} pairs (noise {noise:.3f})"
        expected = "rises" if arm.raises else "falls"
    words = {
        "survived": f"with '{arm.name}' held-out {expected} in every pair, as the explanation has it",
        "refuted": f"with '{arm.name}' held-out {expected} in no pair: this was not the reason, or not it alone",
        "open": f"with '{arm.name}' held-out {expected} in some pairs only",
    }[fate]
    return f"{words}; {seen}"
