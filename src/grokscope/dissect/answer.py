"""Summary of a dissection: is the environment readable, does the network use it, and in how many neurons is it
stored?"""

import numpy as np

from grokscope.dissect.controls import cell
from grokscope.dissect.effects import Scene, class_gap, env_gap, gap_interval
from grokscope.dissect.probes import MIN_UNITS
from grokscope.dissect.scoring import fewest_units, permutations
from grokscope.dissect.sentences import Nouns, explain
from grokscope.results.answer import Reliance, Use, Where
from grokscope.results.erasures import M4, Erasure
from grokscope.results.neurons import M6
from grokscope.results.probes import M1
from grokscope.results.sample import PartsRecord
from grokscope.results.settings import Settings
from grokscope.results.steering import M5

POOLED = "pooled"


def measure_reliance(scene: Scene, settings: Settings) -> Reliance:
    """The statistic is the sum of squares that the environment explains beyond the class: with patients as
    exchangeable units it keeps its level where hospitals differ in their share of tumors, which the gap itself does
    not."""
    groups = scene.units if scene.grouped else None
    rng = settings.rng("reliance")
    draws, permuted, smallest = permutations(
        rng, scene.environments, scene.labels, groups, settings.permutations, named=False
    )
    observed, *random = explained(scene, np.concatenate([scene.environments[None], draws]))
    return Reliance(
        env_gap=float(env_gap(scene, scene.logits)),
        interval=gap_interval(scene),
        class_gap=class_gap(scene),
        p=max(smallest, (1 + int((np.array(random) >= observed * (1 - 1e-9)).sum())) / (1 + len(random))),
        sidedness="greater",
        smallest_p=smallest,
        permuted=permuted,
        fewest_units=fewest_units(scene.environments, scene.units),
    )


def explained(scene: Scene, environments: np.ndarray) -> np.ndarray:
    """Sum of squares of the centered logits explained by each labeling (B, n) beyond the class -> (B,)."""
    z = scene.logits - scene.logits.mean(axis=1, keepdims=True)
    y = np.eye(int(scene.labels.max()) + 1)[scene.labels]
    y = y[:, y.any(axis=0)]
    z = z - y @ (y.T @ z / y.sum(axis=0)[:, None])
    out = []
    for labeling in environments:
        e = np.eye(int(environments.max()) + 1)[labeling]
        rest = e - y @ (y.T @ e / y.sum(axis=0)[:, None])
        moved = rest.T @ z
        out.append((moved * (np.linalg.pinv(rest.T @ rest, rcond=1e-9, hermitian=True) @ moved)).sum())
    return np.array(out)


FEW, SMEARED = 1 / 16, 1 / 4
"""half_share up to which the reliance sits in few neurons, and from which it is smeared; random neurons give 1/2."""


def summarize(
    m1: M1,
    m4: M4,
    m5: M5,
    m6: M6,
    reliance: Reliance,
    parts: PartsRecord,
    settings: Settings,
    nouns: Nouns | None = None,
) -> Where:
    """The four cells and the form, from the eraser that `main_eraser` names."""
    read = m1.at(POOLED, "environment")
    decodable = {"decodable": True, "not decodable": False}.get(read.verdict)
    if not m4.erasures:
        return unknown(decodable, m4.cannot_tell or "no erasers were run")
    if parts.association > 0.99:
        return unknown(decodable, "environment and class coincide: no analysis can tell them apart")
    erasure = main_eraser(m4)
    size, bounds = _size(erasure, reliance)
    use = judge_use(erasure.causal, size, reliance, settings.negligible)
    half = m6.on("test", settings.ablation).half_k if m6.ablations else None
    share = None if half is None else half / m6.d
    return Where(
        cell=cell(decodable, use),
        decodable=decodable,
        use=use,
        size=size,
        size_interval=bounds,
        eraser=erasure.eraser,
        erased=erasure.verdict,
        form=_form(share, use in ("used", "used, negligibly")),
        half_k=half,
        half_share=share,
        reason=explain(read, use, erasure, m5, reliance, settings, nouns or Nouns(), len(parts.environments)),
    )


def _size(erasure: Erasure, reliance: Reliance) -> tuple[float | None, tuple[float, float] | None]:
    effect = erasure.effects["test"].env_gap_drop
    if not reliance.class_gap > 0 or not np.isfinite(effect.value):
        return None, None
    low, high = effect.interval or (float("nan"),) * 2
    bounds = None
    if effect.interval is not None:
        bounds = (low / reliance.class_gap, high / reliance.class_gap)
    return effect.value / reliance.class_gap, bounds


def main_eraser(m4: M4) -> Erasure:
    """`leace` where the fit part has three independent units or more for each feature, else `mean_diff`, else the first
    that was run.

    Decided by sizes alone. Near as many units as features the whitening of LEACE fits noise: in the calibration's
    condition ``wide`` it finds a planted, used shortcut in 60 % of draws where the mean difference finds it in all. The
    units are patients where there are any: a thousand patches of thirty patients place hospitals no better than thirty.
    """
    by = {e.eraser: e for e in m4.erasures}
    first = m4.erasures[0]
    return next((by[name] for name in preferred_erasers(first.units_fit, first.d) if name in by), first)


def preferred_erasers(units: int, d: int) -> tuple[str, str]:
    """The better one first, from the independent units of the fit part and the width of the site."""
    if units >= 3 * d:
        return ("leace", "mean_diff")
    return ("mean_diff", "leace")


def judge_use(causal: bool | None, size: float | None, reliance: Reliance, negligible: float) -> Use:
    """An edit that does no more than chance shows no absence of use: with few patients it never does. Nor does an
    interval over two patients of a hospital."""
    if causal and size is not None:
        if size >= negligible:
            return "used"
        return "used, negligibly"
    bounds = reliance.interval
    if bounds is None or bounds[0] == bounds[1] or not reliance.class_gap > 0 or reliance.fewest_units < MIN_UNITS:
        return "cannot tell"
    if bounds[1] <= negligible * reliance.class_gap:
        return "unused"
    return "cannot tell"


def _form(share: float | None, used: bool) -> str:
    if not used:
        return "cannot tell"
    if share is None or share >= SMEARED:
        return "smeared"
    if share <= FEW:
        return "few neurons"
    return "many neurons"


def unknown(decodable: bool | None, reason: str) -> Where:
    return Where(
        cell="cannot tell",
        decodable=decodable,
        use="cannot tell",
        size=None,
        size_interval=None,
        eraser="none",
        erased="cannot tell",
        form="cannot tell",
        half_k=None,
        half_share=None,
        reason=reason,
    )
