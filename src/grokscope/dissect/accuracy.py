"""Accuracy of the network on each set, reported before any analysis of a shortcut.

A network that is no better than chance on the examples it is dissected on was almost always fed wrongly. Whatever is
then measured of its decisions is about noise.
"""

import numpy as np

from grokscope.dissect.effects import interval
from grokscope.dissect.scoring import balanced, balanced_interval
from grokscope.results.scores import SplitAccuracy
from grokscope.results.settings import Settings

CAUSES = (
    "Likely causes: inputs scaled otherwise than in training (name it: --mean and --std, or --prepare; in Python "
    "prepare=...), labels in another order than the network's outputs (--labels), or weights that are not its trained "
    "ones. It was run in evaluation mode"
)


def measure_accuracy(
    name: str, guess: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, settings: Settings
) -> SplitAccuracy:
    """guess and labels (n,) as output indices, groups (n,) codes or None; intervals are over groups."""
    units = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    codes = np.unique(labels, return_inverse=True)[1]
    right = guess == labels
    # a wrong guess is as wrong whichever class it names: recall needs only right and wrong
    as_codes = np.where(right, codes, (codes + 1) % max(codes.max() + 1, 2))
    none = np.zeros(len(labels), np.int64)
    rng = settings.rng("accuracy", name)
    bounds = balanced_interval(as_codes, codes, none, units, rng, settings.resamples)
    chance = 1 / (int(codes.max()) + 1)
    return SplitAccuracy(
        name=name,
        n=len(labels),
        n_units=int(units.max()) + 1,
        unit="example" if groups is None else "group",
        correct=int(right.sum()),
        accuracy=int(right.sum()) / len(labels),
        interval=mean_interval(right, units, rng, settings.resamples),
        trivial=int(np.bincount(codes).max()) / len(labels),
        balanced=float(balanced(as_codes, codes, none)),
        balanced_interval=bounds,
        chance=chance,
        verdict=_verdict(bounds, chance),
    )


def mean_interval(
    values: np.ndarray, units: np.ndarray, rng: np.random.Generator, resamples: int
) -> tuple[float, float] | None:
    """Bootstrap interval of the mean of values (n,), resampling units, (n,) codes; None with fewer than two."""
    count = int(units.max()) + 1
    if count < 2:
        return None
    sizes, hits = np.bincount(units), np.bincount(units, values)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return interval((drawn @ hits) / (drawn @ sizes))


def _verdict(bounds: tuple[float, float] | None, chance: float) -> str:
    if bounds is None or chance == 1:
        return "cannot tell"
    if bounds[0] > chance:
        return "above chance"
    if bounds[1] < chance:
        return "below chance"
    return "at chance"


def silent(whole: SplitAccuracy, causes: bool = True) -> str | None:
    """Why nothing is said of a network's decisions, with the likely `causes`; None when it is above chance (or nobody
    can tell)."""
    if whole.verdict in ("above chance", "cannot tell"):
        return None
    low, high = whole.balanced_interval or (float("nan"),) * 2
    where = (
        f"the network is {whole.verdict} on {whole.name}: balanced accuracy {whole.balanced:.3f} "
        f"[{low:.3f}, {high:.3f}], chance {whole.chance:.3f}; accuracy {whole.accuracy:.3f}, always the most frequent "
        f"class {whole.trivial:.3f}. Nothing is said of its decisions."
    )
    turned = ""
    if whole.verdict == "below chance":
        turned = "; worse than chance, so the order of the labels comes first"
    if causes:
        return f"{where} {CAUSES}{turned}."
    return where
