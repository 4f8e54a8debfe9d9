"""Figures of dissections: every curve and point beside its control, seeds visible."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.report.draw.axes import dress_y, heading, margin_labels, place_axes, ruled
from grokscope.report.draw.style import colour
from grokscope.report.read.dissections import POOLED, Dissected, dig, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

WIDTH, LEFT, RIGHT, TOP, GAP, BOTTOM, PART = 340.0, 44.0, 64.0, 20.0, 42.0, 34.0, 112.0
ENVIRONMENT, TASK, RANDOM = "held-1", "held-2", "train"

SCORES = (
    ("before", ENVIRONMENT, -0.24, False), ("refitted", ENVIRONMENT, -0.06, True), ("task_before", TASK, 0.12, False),
    ("task_refitted", TASK, 0.3, True),
)  # fmt: skip
"""What M4 shows of each eraser: field, colour, place beside the eraser's tick, filled."""


def height(parts: int) -> float:
    return TOP + PART * parts + GAP * (parts - 1) + BOTTOM


def panel_axes(figure: "FigureBase", index: int, title: str) -> "Axes":
    """One of a panel's axes, stacked from the top."""
    axes = place_axes(figure, LEFT, TOP + index * (PART + GAP), WIDTH - LEFT - RIGHT, PART)
    ruled(axes)
    heading(axes, title, role="ink", size=10)
    return axes


def _names(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), names, fontsize=8.5)
    axes.set_xlim(-0.6, len(names) - 0.4)


def _point(axes: "Axes", x: float, value: Any, interval: Any, role: str, marker: str, filled: bool = True) -> None:
    """One run's value with its interval, where it has one."""
    if value is None:
        return
    if interval:
        axes.plot([x, x], interval, color=colour(role), linewidth=1.0, alpha=0.55)
    axes.plot(x, value, marker, color=colour(role), markersize=4.2, alpha=0.9, linestyle="none",
              markerfacecolor=colour(role if filled else "paper"))  # fmt: skip


def _spread(i: int, of: int, width: float = 0.12) -> float:
    """Seeds stand side by side."""
    return 0.0 if of == 1 else width * (i / (of - 1) - 0.5)


def draw_probes(figure: "FigureBase", found: Sequence[Dissected]) -> None:
    """M1: balanced held-out accuracy by site; small crosses are probes for random labels."""
    axes = panel_axes(figure, 0, "balanced accuracy of linear probes")
    sites = list(dict.fromkeys(s for d in found for s in d.sites))
    labels: list[tuple[float, str, str]] = []
    for target, role, shift in (("environment", ENVIRONMENT, -0.16), ("task", TASK, 0.16)):
        medians = []
        for x, site in enumerate(sites):
            seen = []
            for i, d in enumerate(found):
                p = d.probe(site, target)
                at = x + shift + _spread(i, len(found))
                _point(axes, at, dig(p, "test", "balanced"), dig(p, "test", "interval"), role, "o")
                for control in (p or {}).get("controls") or []:
                    if control.get("random") is not None:
                        axes.plot(at, control["random"], "x", color=colour(RANDOM), markersize=3.2, linestyle="none")
                seen.append(dig(p, "test", "balanced"))
            known = [v for v in seen if v is not None]
            medians.append(float(np.median(known)) if known else np.nan)
        axes.plot(np.arange(len(sites)) + shift, medians, color=colour(role), linewidth=1.2, alpha=0.7)
        chance = next(
            (c for d in found for s in sites if (c := dig(d.probe(s, target), "test", "chance")) is not None), None
        )
        if chance is not None:
            axes.axhline(chance, color=colour(role), linewidth=1.1, linestyle=(0, (1, 2)))
            labels.append((chance, f"chance, {'env.' if target == 'environment' else 'task'}", role))
    axes.set_ylim(0, 1.04)
    _names(axes, [short_site(s) if len(sites) > 4 else s for s in sites])
    margin_labels(axes, labels, size=9)


def short_site(site: str) -> str:
    """``layer3`` -> ``l3``; the mean colour of the image, which needs no network, is ``colour``."""
    return "colour" if site == "mean_rgb" else site.replace("layer", "l")


def draw_erasure(figure: "FigureBase", found: Sequence[Dissected]) -> None:
    """M4: what a refitted probe still reads; and what the edit did to the environment gap and to unseen data, each
    beside the range of random edits."""
    names = list(dict.fromkeys(n for d in found for n in d.erasures))
    axes = panel_axes(figure, 0, "balanced accuracy: before, and refitted after")
    for x, name in enumerate(names):
        for i, d in enumerate(found):
            e, shift = d.erasures.get(name) or {}, _spread(i, len(found))
            for what, role, at, filled in SCORES:
                _point(axes, x + at + shift, dig(e, what, "balanced"), dig(e, what, "interval"), role, "s", filled)
    levels = [dig(e, "before", "chance") for d in found for e in d.erasures.values()]
    axes.set_ylim(0, 1.04)
    for chance in [c for c in levels if c is not None][:1]:
        axes.axhline(chance, color=colour(ENVIRONMENT), linewidth=1.1, linestyle=(0, (1, 2)))
        margin_labels(axes, [(chance, "chance, env.", ENVIRONMENT)], size=9)
    _names(axes, names)
    on = found[0].outside
    for k, (effect, scene, title) in enumerate(
        (("env_gap_drop", "test", "environment gap of the logits that is lost"),
         ("accuracy_drop", on, f"right answers lost on {on}"))
    ):  # fmt: skip
        _effects(panel_axes(figure, k + 1, title), found, names, effect, scene)


def _effects(axes: "Axes", found: Sequence[Dissected], names: Sequence[str], effect: str, scene: str) -> None:
    controls = list(dict.fromkeys(
        c for d in found for e in d.erasures.values() for c in dig(e, "effects", scene, effect, "controls") or {}
    ))  # fmt: skip
    for x, name in enumerate(names):
        every = [e for d in found if (e := dig(d.erasures.get(name), "effects", scene, effect)) is not None]
        for i, e in enumerate(every):
            _point(axes, x - 0.25 + _spread(i, len(every)), e.get("value"), e.get("interval"), ENVIRONMENT, "o")
        for j, control in enumerate(controls):
            ranges = [(c["low"], c["high"]) for e in every if (c := dig(e, "controls", control)) is not None]
            if ranges:
                low, high = np.median(ranges, axis=0)
                at = x + 0.02 + 0.14 * j
                axes.plot([at, at], [low, high], color=colour(RANDOM), linewidth=4, alpha=0.45, solid_capstyle="butt")
                axes.annotate(control[0], (at, high), xytext=(0, 1), textcoords="offset points", fontsize=7.5,
                              ha="center", va="bottom", color=colour("muted"))  # fmt: skip
    axes.axhline(0, color=colour("muted"), linewidth=0.8)
    axes.margins(y=0.18)
    dress_y(axes, log=False)
    _names(axes, names)


def steering_rows(found: Sequence[Dissected]) -> list[tuple[str, str]]:
    """(scene, scaling) of the panel's axes: the spread's own scale on every scene, fixed norm beside the last."""
    scenes = [s for s in ("test", found[0].outside) if any(d.curve(s, "relative") for d in found)]
    scenes = list(dict.fromkeys(scenes))
    fixed = [(s, "fixed") for s in scenes[-1:] if any(d.curve(s, "fixed") for d in found)]
    return [*((s, "relative") for s in scenes), *fixed]


def draw_steering(figure: "FigureBase", found: Sequence[Dissected]) -> None:
    """M5: accuracy along the direction, inside the band of random directions of the same length."""
    words = {"relative": "steps of its spread", "fixed": "the same length in all runs"}
    rows = steering_rows(found)
    for k, (scene, scaling) in enumerate(rows):
        axes = panel_axes(figure, k, f"accuracy on {scene}; {words[scaling]}")
        curves = [c for d in found if (c := d.curve(scene, scaling)) is not None]
        x = numbers(curves[0]["steps"])
        same = [c for c in curves if len(c["steps"]) == len(x)]
        low, high = (
            np.nanmedian([numbers(c[f"random_accuracy_{end}"]) for c in same], axis=0) for end in ("low", "high")
        )
        axes.fill_between(x, low, high, color=colour(RANDOM), alpha=0.28, linewidth=0)
        _seeds(axes, x, [numbers(c["accuracy"]) for c in same], ENVIRONMENT)
        axes.axvline(0, color=colour("muted"), linewidth=0.8)
        dress_y(axes, log=False)
        if k == len(rows) - 1:
            axes.set_xlabel("steps along the direction", labelpad=2)


def draw_neurons(figure: "FigureBase", found: Sequence[Dissected]) -> None:
    """M6: what ablating K neurons takes: the environment's and the task's, beside the range of random ones."""
    on = found[0].outside
    for k, (effect, scene, title) in enumerate(
        (("env_gap_drop", "test", "environment gap lost"), ("accuracy_drop", on, f"right answers lost on {on}"))
    ):
        axes = panel_axes(figure, k, title)
        done = [(numbers(dig(d.parts, "m6", "ks") or []), a) for d in found if (a := d.ablation(scene)) is not None]
        done = [(ks, a) for ks, a in done if dig(a, "arms", "environment", "curves", effect) and len(ks)]
        if not done:
            axes.set_xticks([])
            axes.annotate("not measured", (0.5, 0.5), xycoords="axes fraction", ha="center", color=colour("muted"))
            continue
        ks = done[0][0]
        same = [a for k2, a in done if len(k2) == len(ks)]
        ranges = [
            [numbers(dig(a, "arms", "random", end, effect) or [None] * len(ks)) for a in same]
            for end in ("low", "high")
        ]
        axes.set_xscale("symlog", base=2, linthresh=4)
        if np.isfinite(ranges[0]).any():
            low, high = (np.nanmedian(r, axis=0) for r in ranges)
            axes.fill_between(ks, low, high, color=colour(RANDOM), alpha=0.28, linewidth=0)
        for arm, role in (("task", TASK), ("environment", ENVIRONMENT)):
            _seeds(axes, ks, [numbers(c) for a in same if (c := dig(a, "arms", arm, "curves", effect))], role)
        axes.set_xticks(ks, [f"{v:g}" for v in ks], fontsize=8.5)
        axes.minorticks_off()
        if k == 1:
            axes.set_xlabel("neurons ablated, K", labelpad=2)
        axes.axhline(0, color=colour("muted"), linewidth=0.8)
        dress_y(axes, log=False)


def _seeds(axes: "Axes", x: np.ndarray, curves: Sequence[np.ndarray], role: str) -> None:
    """Thin runs, thick median."""
    if not curves:
        return
    for y in curves if len(curves) > 1 else []:
        axes.plot(x, y, color=colour(role), linewidth=0.8, alpha=0.5)
    axes.plot(x, np.nanmedian(curves, axis=0), "o-", color=colour(role), linewidth=1.7, markersize=3)


def draw_along(figure: "FigureBase", found: Mapping[str, Sequence[Dissected]]) -> None:
    """Over checkpoints: what pooled probes read, and the environment gap that erasing takes, beside its control."""
    reads = panel_axes(figure, 0, "probes at the pooled layer, balanced accuracy")
    for target, role in (("environment", ENVIRONMENT), ("task", TASK)):
        for line in _lines(found, lambda d, t=target: dig(d.probe(POOLED, t), "test", "balanced")):
            reads.plot(*line, "o-", color=colour(role), linewidth=1.3, markersize=3)
    reads.set_ylim(0, 1.04)
    gap = panel_axes(figure, 1, "environment gap lost by erasing it")
    for runs in found.values():
        ends = [(d.step, c["low"], c["high"]) for d in runs if (c := worst_control(gap_effect(d))) is not None]
        if ends:
            gap.fill_between(*numbers_by_column(ends), color=colour(RANDOM), alpha=0.28, linewidth=0)
    for line in _lines(found, lambda d: dig(gap_effect(d), "value")):
        gap.plot(*line, "o-", color=colour(ENVIRONMENT), linewidth=1.3, markersize=3)
    gap.axhline(0, color=colour("muted"), linewidth=0.8)
    gap.set_xlabel("step", labelpad=2)
    dress_y(gap, log=False)
    for axes in (reads, gap):
        axes.xaxis.set_major_formatter(lambda v, _: f"{v:,.0f}")
        axes.locator_params(axis="x", nbins=4)


def numbers_by_column(rows: Sequence[Sequence[Any]]) -> np.ndarray:
    return np.array([numbers(r) for r in rows]).T


def _lines(found: Mapping[str, Sequence[Dissected]], value: Callable[[Dissected], Any]) -> list[np.ndarray]:
    every = [
        [(d.step, v) for d in runs if (v := value(d)) is not None and d.step is not None] for runs in found.values()
    ]
    return [numbers_by_column(rows) for rows in every if rows]


def gap_effect(d: Dissected) -> Mapping[str, Any] | None:
    """M4's effect on the environment gap, by the eraser that speaks for the cells."""
    return dig(d.erasures.get(d.eraser or ""), "effects", "test", "env_gap_drop")


def worst_control(effect: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The control that an effect beats least: the one with the largest p; of equals, the one that reaches farthest."""
    controls = dig(effect, "controls") or {}
    reach = lambda c: max(abs(c.get("low") or 0.0), abs(c.get("high") or 0.0))  # noqa: E731
    return max(controls.values(), key=lambda c: (c.get("p") or 0.0, reach(c)), default=None)
