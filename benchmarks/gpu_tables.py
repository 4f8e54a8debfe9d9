"""Generate the speed table of the README and the figure of 1,024 seeds from benchmarks/results/gpu_*.json.

Run: python benchmarks/gpu_tables.py, after benchmarks/gpu_results.py. A test compares the README with the files.
"""

import json
import statistics
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE, FIGURE = ROOT / "README.md", ROOT / "docs" / "images" / "seed_variation.png"
BEGIN, END = "<!-- from benchmarks/results: speed -->", "<!-- end -->"


def results() -> dict[str, Any]:
    """Results by benchmark part; `stacked` and `many_runs` were measured on a CPU."""
    names = ["gpu_a", "gpu_b", "gpu_c", "gpu_d", "gpu_e", "stacked", "many_runs"]
    folder = ROOT / "benchmarks" / "results"
    return {name: json.loads((folder / f"{name}.json").read_text())["result"] for name in names}


def table(found: dict[str, Any]) -> str:
    rows = [["what", "measured", "target"], ["---"] * 3]
    rows += _seeds(found["gpu_b"]) + _replayed(found) + _rates(found) + _cpu(found["stacked"])
    rows += _many(found["many_runs"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def gain(b: dict[str, Any]) -> str:
    """One paragraph on what stacking gains a user."""
    runs, each = b["stacked"]["runs"], statistics.median(b["cpu"]["seconds"])
    hours, minutes = divmod(round(runs * each / 60), 60)
    return (
        f"You can measure the distribution over a thousand seeds instead of three. On one GPU, {runs:,} runs of "
        f"modular addition train at once and are classified in {b['stacked_s']:.0f} s. One after the other on one CPU "
        f"core, at {_s(each)} per run, they would take {hours} h {minutes} min. What the distribution looks like: "
        "[variation between seeds](docs/how-to/gpus.md#variation-between-seeds)."
    )


def _seeds(b: dict[str, Any]) -> list[list[str]]:
    seconds = {mode: statistics.median(b[mode]["seconds"]) for mode in ("cpu", "eager", "alone")}
    runs, wall = b["stacked"]["runs"], b["stacked_s"]
    against = ", ".join(
        f"{b[f'stacked_against_{mode}']:.0f} times {baseline}"
        for mode, baseline in (("cpu", "one CPU core"), ("alone", "one run at a time on the GPU"))
    )
    return [
        ["one run of modular addition, trained and classified, on one CPU core", _s(seconds["cpu"]), ""],
        ["the same on the GPU, one run at a time: eager steps, replayed steps", _pair(seconds, "eager", "alone"), ""],
        [
            f"{runs:,} such runs stacked, in {b['processes']} processes on the GPU",
            f"**{wall:.0f} s**, {wall / runs:.3f} s per run (speedup: {against})",
            f"{b['target_s']} s, {_outcome(b['target_s'], wall)}",
        ],
    ]


def _pair(seconds: dict[str, float], *modes: str) -> str:
    return ", ".join(_s(seconds[mode]) for mode in modes)


def _s(seconds: float) -> str:
    return f"{seconds:.1f} s"


def _replayed(found: dict[str, Any]) -> list[list[str]]:
    """Speedup of replayed over eager steps, by network."""
    small, resnet, codes = found["gpu_a"]["trials"], found["gpu_d"]["trials"], found["gpu_c"]["trials"]
    names = {"E1": "modular addition", "digits": "digits", "small-resnet": "small ResNet"}
    ratios = [f"{label} {small[name]['ratio']:.1f}" for name, label in names.items()]
    ratios.append(f"with stain jitter {small['small-resnet, stain jitter']['ratio']:.1f}")
    both = (resnet[f"standard, {precision}"]["ratio"] for precision in ("float32", "tf32"))
    ratios.append("ResNet-18 {:.1f} (TF32 {:.1f})".format(*both))
    ratios.append(f"m-height network in TF32 {codes['tf32']['ratio']:.1f}")
    return [["speedup of replayed over eager steps (bit-identical weights)", ", ".join(ratios), ""]]


def _rates(found: dict[str, Any]) -> list[list[str]]:
    c, d, e = found["gpu_c"], found["gpu_d"], found["gpu_e"]
    target = d["target_steps_per_s"]
    rates = {key: _steps(d["trials"], *key) for key in (("float32", "eager"), ("float32", "graph"), ("tf32", "graph"))}
    step, whole = c["trials"]["tf32"]["share_of_tf32"], c["share_of_tf32_with_evaluation"]
    return [
        [
            "ResNet-18 at 96 pixels, batch 32, steps/s without evaluation: eager, replayed, replayed in TF32",
            ", ".join(f"{rate:.0f}" for rate in rates.values()),
            f"{target}; {_outcome(rates['float32', 'graph'], target)} in float32, "
            f"{_outcome(rates['tf32', 'graph'], target)} in TF32",
        ],
        [
            f"m-heights, {c['parameters']:,} parameters, batch 4,096, evaluated every 5 epochs",
            f"{c['trained']['steps_per_s']:.0f} steps/s; {_percent(step)} of the GPU's TF32 peak rate without "
            f"evaluation, {_percent(whole)} with it",
            f"{100 * c['target_share']:.0f} %, {_outcome(step, c['target_share'])}",
        ],
        [
            f"synthetic hospitals, {e['processes']} processes on the GPU, including evaluation",
            f"{e['steps_per_s']:.0f} steps/s in total",
            "",
        ],
    ]


def _steps(trials: dict[str, Any], precision: str, way: str) -> float:
    return trials[f"standard, {precision}"][f"{way}_steps_per_s"]


def _outcome(value: float, target: float) -> str:
    return "reached" if value >= target else "missed"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _cpu(stacked: dict[str, Any]) -> list[list[str]]:
    """Stacked runs on a different machine, without a GPU."""
    aim = stacked["target"]
    row = next(row for row in stacked["batches of 32"] if row["K"] == aim["K"])
    whole = stacked["whole runs, batches of 32"]
    return [
        [
            f"{row['K']} runs stacked on one CPU core, batches of {aim['batch']} (different machine)",
            f"steps {row['ratio']:.1f} times, whole runs {whole['ratio']:.1f} times as fast",
            f"{aim['ratio']} times, {_outcome(row['ratio'], aim['ratio'])} for steps",
        ]
    ]


def _many(many: dict[str, Any]) -> list[list[str]]:
    """CPU time of queries over many finished runs."""
    costs, targets = many["questions"], many["target_s"]
    times = [f"{_query(name)} {_s(cost['cpu_s'])}" for name, cost in costs.items()]
    missed = [
        _query(name) + (f" ({targets[name]} s)" if targets[name] != 5 else "")
        for name, cost in costs.items()
        if cost["cpu_s"] >= targets[name]
    ]
    unmeasured = [f"{name} ({targets[name]} s) not measured" for name in many["not_measured"]]
    outcome = f"missed by {', '.join(missed)}" if missed else "reached"
    peak = max(cost["peak_mb"] for cost in costs.values())
    machine = f"different machine, load {many['load'][0]:.0f}"
    what = f"queries over {many['runs']:,} finished runs, CPU time including the start of Python ({machine})"
    return [[what, f"{', '.join(times)}; at most {peak:,.0f} MB", "; ".join([f"5 s, {outcome}", *unmeasured])]]


def _query(name: str) -> str:
    """The name of a query without commas, since names are listed with commas between them."""
    return name.replace(", no index yet", " without an index").replace("ls again", "repeated ls")


def with_table(page: str, found: dict[str, Any]) -> str:
    """The page with its table regenerated. Raises ValueError for a page without the markers."""
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise ValueError(f"the page lacks {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{gain(found['gpu_b'])}\n\n{table(found)}\n{END}{after}"


def draw(b: dict[str, Any], path: Path) -> None:
    """Histogram of T_gen over the stacked seeds, with the single runs on the CPU below it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    counts = {int(step): count for step, count in b["stacked"]["T_gen"]["counts"].items()}
    alone = [int(step) for step, count in b["cpu"]["T_gen"]["counts"].items() for _ in range(count)]
    figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
    axes.bar(list(counts), list(counts.values()), width=9, color="#4c72b0", label=f"{b['stacked']['runs']:,} on a GPU")
    axes.plot(alone, [-4] * len(alone), "|", color="#c44e52", markersize=10, label=f"{len(alone)} on a CPU")
    axes.axvline(b["stacked"]["T_gen"]["median"], color="black", linewidth=1, linestyle=":", label="median, GPU")
    axes.set(xlabel="T_gen, steps", ylabel="seeds", title="Time to generalize: same settings, different seeds")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    found = results()
    PAGE.write_text(with_table(PAGE.read_text(), found))
    draw(found["gpu_b"], FIGURE)
    print(f"wrote the table in {PAGE} and {FIGURE}")


if __name__ == "__main__":
    main()
