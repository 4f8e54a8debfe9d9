"""Pictures of a dissection: m1.png, m4.png, m5.png and m6.png. Drawn with matplotlib's objects, without pyplot's
state."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.files import write_atomic
from grokscope.trajectory.selection import rule_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from grokscope.results.dissection import Dissection
    from grokscope.results.probes import ProbeResult, Target
    from grokscope.results.scores import Effect

INK, ENVIRONMENT, TASK, RANDOM = "#333333", "#0072B2", "#D55E00", "#999999"
"""Okabe and Ito's colors: told apart with any color vision, and in gray."""


def _figure(columns: int, width: float = 4.6, height: float = 3.4) -> "tuple[Figure, list[Axes]]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, columns, i + 1) for i in range(columns)]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
    return figure, axes


def _finish(ax: "Axes", title: str, x: str, y: str, legend: bool = True) -> None:
    ax.set_title(title, fontsize=9, loc="left")
    ax.set_xlabel(x, fontsize=8)
    ax.set_ylabel(y, fontsize=8)
    if legend:
        ax.legend(fontsize=7, frameon=False)


def probes_figure(result: "Dissection") -> "Figure":
    """M1: balanced held-out accuracy at each site with its interval, chance, and what random labels give."""
    figure, (ax,) = _figure(1, width=7.6)
    sites = list(dict.fromkeys(p.site for p in result.m1.probes))
    targets: tuple[tuple[Target, str, float], ...] = (("environment", ENVIRONMENT, -0.08), ("task", TASK, 0.08))
    for target, colour, offset in targets:
        at_sites = [(i, result.m1.at(site, target)) for i, site in enumerate(sites)]
        _probe_points(ax, [(i + offset, p) for i, p in at_sites], target, colour)
        if any(p.test for _, p in at_sites):
            chance = next(p.test.chance for _, p in at_sites if p.test)
            ax.axhline(chance, color=colour, lw=0.8, ls=":", label=f"{target}, chance")
    ax.set_xticks(range(len(sites)), sites)
    ax.set_ylim(0, 1.02)
    _finish(ax, "M1  What a linear probe reads (held out)", "site", "balanced accuracy within strata", legend=False)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside right upper", fontsize=7, frameon=False)
    return figure


def _probe_points(ax: "Axes", at_sites: "list[tuple[float, ProbeResult]]", target: str, colour: str) -> None:
    kept = [(x, p, p.test) for x, p in at_sites if p.test is not None]
    if not kept:
        return
    low = [t.balanced - (t.interval or (t.balanced,) * 2)[0] for _, _, t in kept]
    high = [(t.interval or (t.balanced,) * 2)[1] - t.balanced for _, _, t in kept]
    bars: Any = [[max(v, 0) for v in low], [max(v, 0) for v in high]]
    xs, ys = [x for x, _, _ in kept], [t.balanced for _, _, t in kept]
    ax.errorbar(xs, ys, bars, fmt="o", ms=5, color=colour, lw=1.2, label=target)
    for labels, marker in (("per example", "x"), ("per group", "+")):
        points = [(x, c.random) for x, p, _ in kept for c in p.controls if c.labels == labels]
        if points:
            label = f"{target}, random labels {labels}"
            ax.plot(*zip(*points, strict=True), marker, ms=5, color=colour, alpha=0.6, label=label)


def erasure_figure(result: "Dissection") -> "Figure":
    """M4: what probes still read, and what the edit did to the environment in the logits and to the task."""
    figure, axes = _figure(3, width=4.2)
    done = result.m4.erasures
    for i, e in enumerate(done):
        for score, colour, marker, dx, label in (
            (e.before, INK, "o", -0.15, "before"),
            (e.old_probe, RANDOM, "x", 0.0, "old probe, after"),
            (e.refitted, ENVIRONMENT, "s", 0.15, "refitted probe, after"),
        ):
            low, high = score.interval or (score.balanced, score.balanced)
            axes[0].plot([i + dx] * 2, [low, high], color=colour, lw=1.2)
            axes[0].plot(i + dx, score.balanced, marker, color=colour, ms=5, label=label if i == 0 else None)
        axes[0].annotate(e.verdict, (i, 0.03), fontsize=7, ha="center", color=INK)
        for ax, name in zip(axes[1:], ("env_gap_drop", "accuracy_drop"), strict=True):
            _against_controls(ax, i, e.effects["test"][name])
    if done:
        axes[0].axhline(done[0].before.chance, color=INK, lw=0.8, ls=":", label="chance")
    axes[0].set_ylim(0, 1.02)
    controls = "eraser (d, v, n: random in equal dimension, variance, norm; l: random labels)"
    _finish(axes[0], "M4  Is the environment still readable?", "eraser", "balanced accuracy", bool(done))
    _finish(axes[1], "Environment gap of the logits that is lost (test)", controls, "drop of the gap", bool(done))
    _finish(axes[2], "Right answers lost (test)", "eraser", "accuracy drop", bool(done))
    for ax in axes:
        ax.set_xticks(range(len(done)), [f"{e.eraser}\nrank {e.rank}" for e in done])
        ax.xaxis.label.set_fontsize(7)
    return figure


def _against_controls(ax: "Axes", i: int, effect: "Effect") -> None:
    for j, (name, c) in enumerate(effect.controls.items()):
        x = i + 0.12 * (j + 1) - 0.1
        label = "random, 95 %" if i == j == 0 else None
        ax.plot([x, x], [c.low, c.high], color=RANDOM, lw=3, alpha=0.5, solid_capstyle="butt", label=label)
        ax.annotate(name[0], (x, c.high), fontsize=6, ha="center", va="bottom", color=INK)
    low, high = effect.interval or (effect.value, effect.value)
    ax.plot([i - 0.15] * 2, [low, high], color=ENVIRONMENT, lw=1.2)
    ax.plot(i - 0.15, effect.value, "o", color=ENVIRONMENT, ms=5, label="environment" if i == 0 else None)
    ax.axhline(0, color=INK, lw=0.6)


def steering_figure(result: "Dissection") -> "Figure":
    """M5: accuracy along the direction on every set, inside the band of random directions of the same length."""
    curves = [c for c in result.m5.curves if c.scaling == "relative"]
    figure, axes = _figure(max(len(curves), 1))
    for ax, curve in zip(axes, curves, strict=False):
        ax.fill_between(curve.steps, curve.random_accuracy_low, curve.random_accuracy_high, color=RANDOM, alpha=0.35,
                        lw=0, label="random directions, 95 %")  # fmt: skip
        ax.plot(curve.steps, curve.accuracy, "o-", color=ENVIRONMENT, ms=4, lw=1.4, label="between environments")
        ax.axvline(0, color=INK, lw=0.6)
        kind = "monotone" if curve.monotone else "not monotone"
        title = f"M5  {curve.on}: {kind} ({curve.monotone_random:.0%} of random ones are)"
        _finish(ax, title, f"strength, in steps of {curve.unit:.3g} (spread along v)", "accuracy")
    if not curves:
        axes[0].annotate(result.m5.cannot_tell or "no curves", (0.5, 0.5), xycoords="axes fraction", ha="center")
    return figure


def neurons_figure(result: "Dissection") -> "Figure":
    """M6: accuracy lost and environment gap lost against K, for the environment's, the task's and random neurons."""
    figure, axes = _figure(2)
    if not result.m6.ablations:
        axes[0].annotate(result.m6.cannot_tell or "not run", (0.5, 0.5), xycoords="axes fraction", ha="center")
        return figure
    ablations = result.m6.on("test", result.settings.ablation)
    names = {"accuracy_drop": "right answers lost", "env_gap_drop": "environment gap lost"}
    for ax, (effect, title) in zip(axes, names.items(), strict=True):
        random = ablations.arms.random
        assert random.low is not None
        assert random.high is not None
        ax.fill_between(result.m6.ks, random.low[effect], random.high[effect], color=RANDOM, alpha=0.35, lw=0,
                        label="random neurons, 95 %")  # fmt: skip
        for arm, colour in (("environment", ENVIRONMENT), ("task", TASK)):
            ax.plot(
                result.m6.ks,
                ablations.arms[arm].curves[effect],
                "o-",
                color=colour,
                ms=4,
                lw=1.4,
                label=f"{arm} neurons",
            )
        ax.set_xscale("symlog", base=2, linthresh=4)
        ax.set_xticks(result.m6.ks, [str(k) for k in result.m6.ks])
        ax.minorticks_off()
        ax.axhline(0, color=INK, lw=0.6)
        _finish(
            ax, f"M6  {title}", f"neurons ablated, K ({ablations.ablation} ablation, test)", effect.replace("_", " ")
        )
    return figure


FIGURES = {"m1": probes_figure, "m4": erasure_figure, "m5": steering_figure, "m6": neurons_figure}


def write_figures(result: "Dissection", folder: Path) -> None:
    """Write the pictures as PNG into `folder`: one for each battery that has something to show. One that cannot tell
    has none, and a picture of an earlier dissection does not stay behind."""
    for name, draw in FIGURES.items():
        path = folder / f"{name}.png"
        if getattr(result, name).cannot_tell:
            path.unlink(missing_ok=True)
            continue
        figure = draw(result)
        if result.selection.startswith("oracle"):
            figure.suptitle(
                f"checkpoint chosen by an {rule_label(result.selection)}: not held out", fontsize=8, color="#B00000"
            )
        write_atomic(path, lambda file, f=figure: f.savefig(file, format="png"))
