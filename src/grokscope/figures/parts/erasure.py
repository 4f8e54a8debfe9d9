"""M4 as it is shown: what a refitted probe still reads after erasing a subspace, and what the edit does."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from math import isfinite
from operator import attrgetter
from typing import TYPE_CHECKING

from grokscope.figures.axes import dress_y, margin_labels
from grokscope.figures.checkpoint_view import CheckpointView, finite, hardest, median
from grokscope.figures.dissection_limits import effect_limits
from grokscope.figures.dissection_panels import (
    ENVIRONMENT,
    MARKERS,
    RANDOM,
    TASK,
    Groups,
    Seen,
    beside,
    draw_point,
    name_places,
    panel_axes,
)
from grokscope.figures.keys import Entry
from grokscope.figures.picture import Picture, Rows, effect_rows, score_columns
from grokscope.figures.style import SMALL, color
from grokscope.results.erasures import Erasure
from grokscope.results.scores import ByEffect, Effect, Null, Score
from grokscope.vocabulary.text import digits, p_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

SCORES: tuple[tuple[Callable[[Erasure], Score], str, float, bool], ...] = (
    (lambda e: e.before, ENVIRONMENT, -0.24, False), (lambda e: e.refitted, ENVIRONMENT, -0.06, True),
    (lambda e: e.task_before, TASK, 0.12, False), (lambda e: e.task_refitted, TASK, 0.3, True),
)  # fmt: skip
"""What M4 shows of each eraser: the score, color, place beside the eraser's tick, filled."""


def draw_erasure(figure: "FigureBase", runs: Seen, groups: Groups = ()) -> None:
    """M4: what a refitted probe still reads; and what the edit did to the environment gap and to unseen data, each
    beside the range of random edits."""
    names = list(dict.fromkeys(chain.from_iterable(d.erasures for d in runs)))
    on = runs[0].outside
    titles = ("balanced accuracy: before (open), refitted after (filled)", "environment gap lost (logits)",
              f"accuracy lost on {on}")  # fmt: skip
    axes, gap, lost = panel_axes(figure, titles)
    for x, name in enumerate(names):
        for i, d in enumerate(runs):
            for score_of, role, at, filled in SCORES if name in d.erasures else ():
                score = score_of(d.erasures[name])
                draw_point(
                    axes, x + at + beside(i, len(runs)), score.balanced, score.interval, role, MARKERS[role], filled
                )
    axes.set_ylim(0, 1.04)
    for chance in finite(e.before.chance for e in chain.from_iterable(d.erasures.values() for d in runs))[:1]:
        axes.axhline(chance, color=color(ENVIRONMENT), linewidth=1.1, linestyle=(0, (1, 2)))
        margin_labels(axes, [(chance, "chance, env.", ENVIRONMENT)], size=SMALL)
    name_places(axes, names)
    for part, scene, effect_of in ((gap, "test", ENV_GAP), (lost, on, ACCURACY)):
        by_group = [effects_by_eraser(group, scene, effect_of) for group in (groups or [runs])]
        part.set_ylim(effect_limits(chain.from_iterable(effects.values() for effects in by_group)))
        _effects(part, effects_by_eraser(runs, scene, effect_of))


ENV_GAP: Callable[[ByEffect[Effect]], Effect] = attrgetter("env_gap_drop")
ACCURACY: Callable[[ByEffect[Effect]], Effect] = attrgetter("accuracy_drop")


def effects_by_eraser(
    runs: Seen, scene: str, effect_of: Callable[[ByEffect[Effect]], Effect]
) -> dict[str, list[Effect]]:
    """Eraser -> one effect of each run."""
    names = dict.fromkeys(chain.from_iterable(d.erasures for d in runs))
    erased = {name: [d.erasures[name] for d in runs if name in d.erasures] for name in names}
    return {name: [effect_of(e.effects[scene]) for e in es if scene in e.effects] for name, es in erased.items()}


def _effects(axes: "Axes", by_eraser: Mapping[str, Sequence[Effect]]) -> None:
    every = list(chain.from_iterable(by_eraser.values()))
    controls = list(dict.fromkeys(chain.from_iterable(effect.controls for effect in every)))
    for x, effects in enumerate(by_eraser.values()):
        for i, effect in enumerate(effects):
            draw_point(axes, x - 0.25 + beside(i, len(effects)), effect.value, effect.interval, ENVIRONMENT, "o")
        for j, control in enumerate(controls):
            _control_bar(axes, x + 0.02 + 0.14 * j, [e.controls[control] for e in effects if control in e.controls])
    axes.axhline(0, color=color("muted"), linewidth=0.8)
    dress_y(axes, log=False)
    name_places(axes, list(by_eraser))


def _control_bar(axes: "Axes", x: float, nulls: Sequence[Null]) -> None:
    """The range of a control's draws, the median over runs, under the first letter of its name."""
    low, high = median(n.low for n in nulls), median(n.high for n in nulls)
    if not isfinite(low) or not isfinite(high):
        return
    axes.plot([x, x], [low, high], color=color(RANDOM), linewidth=4, alpha=0.45, solid_capstyle="butt")
    axes.annotate(nulls[0].control[0], (x, high), xytext=(0, 1), textcoords="offset points", fontsize=9, ha="center",
                  va="bottom", color=color("muted"))  # fmt: skip


def _erasure_key(runs: Seen) -> tuple[Entry, ...]:
    effects = [e for d in runs for erasure in d.erasures.values() for e in erasure.effects.values()]
    controlled = any(e.env_gap_drop.controls or e.accuracy_drop.controls for e in effects)
    random = "random edits, 95 % (d dimension, v variance, n norm, l labels)"
    return (
        Entry("environment", ENVIRONMENT, marker="o"),
        Entry("task", TASK, marker="s"),
        *([Entry(random, RANDOM, band=True)] if controlled else []),
    )


def erasure_in_words(d: CheckpointView) -> str:
    erasure, null = d.erasure, hardest(d.gap_effect)
    if erasure is None:
        return "no eraser"
    lost = d.gap_effect.value if d.gap_effect else None
    return (
        f"{erasure.eraser}: probe {digits(erasure.before.balanced)} before, {digits(erasure.refitted.balanced)} "
        f"refitted; gap lost {digits(lost)}, p {p_value(null.p if null else None)}"
    )


def erasure_data(d: CheckpointView) -> Rows:
    rows: Rows = []
    for erasure in d.erasures.values():
        front = {"eraser": erasure.eraser}
        rows += [{**front, "what": what, **score_columns(score)} for what, score in _read_after(erasure)]
        for what, effect in _erased(erasure, d.outside):
            rows += [{**front, "what": what, **row} for row in effect_rows(effect)]
    return rows


def _read_after(erasure: Erasure) -> list[tuple[str, Score]]:
    return [
        ("environment read before", erasure.before), ("environment read by a refitted probe", erasure.refitted),
        ("task read before", erasure.task_before), ("task read by a refitted probe", erasure.task_refitted),
    ]  # fmt: skip


def _erased(erasure: Erasure, outside: str) -> list[tuple[str, Effect]]:
    chosen: list[tuple[str, Effect]] = []
    if "test" in erasure.effects:
        chosen.append(("environment gap lost", erasure.effects["test"].env_gap_drop))
    if outside in erasure.effects:
        chosen.append((f"accuracy lost on {outside}", erasure.effects[outside].accuracy_drop))
    return chosen


PICTURE = Picture(
    name="m4",
    title="M4. Erasing a subspace",
    brief="M4, erasing",
    words="Open: before; filled: after erasure, by a probe refitted on the edited features (an old probe at chance "
    "proves nothing). Below: the effect of the edit, compared with random edits of equal dimension (d), removed "
    "variance (v), removed norm (n), or fitted to random labels (l).",
    part=lambda d: d.m4,
    draw=draw_erasure,
    axes=lambda runs: 3 * any(d.erasures for d in runs),
    key=_erasure_key,
    in_words=erasure_in_words,
    data=erasure_data,
)
