"""What benchmarks/gpu.sh measured, made small: one file gpu_*.json in benchmarks/results for each part.

python benchmarks/gpu_results.py JSON_DIR --run MHEIGHT_RUN --commit COMMIT --beside "what else ran on the machine"

Kept are card, versions and numbers; process ids, hosts and folders are left behind, and long lists become counts.
"""

import argparse
import json
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

from grokscope.store.run import Run
from grokscope.trajectory import from_run, spike_links
from grokscope.verdicts import run_verdicts

RESULTS = Path(__file__).parent / "results"
STEP_KEYS = ("used", "eager_s", "graph_s", "ratio", "difference", "share_of_tf32")
TESTS_IN = "tests/gpu/test_cuda.py::"


def correct(part: dict[str, Any], tests: list[str]) -> dict[str, Any]:
    """Trials of a step, and which tests were passed, begun and never reached. `tests` is the text of `a_tests.txt`."""
    lines = [line.removeprefix(TESTS_IN) for line in tests if line.startswith(TESTS_IN)]
    passed = [line.split(" PASSED")[0] for line in lines if " PASSED" in line]
    return {
        "trials": {name: _step(trial) for name, trial in part["trials"].items()},
        "tests": {
            "collected": int(next(line for line in tests if "collected " in line).split("collected ")[1].split()[0]),
            "passed": passed,
            "failed": part["tests"]["failed"],
            "cut off in": [line.strip() for line in lines if " PASSED" not in line],
        },
    }


def stacked(part: dict[str, Any]) -> dict[str, Any]:
    """Verdicts and times to generalize of all seeds, and the medians over processes of where their seconds went."""
    processes = part["processes"]
    phases = ("build_s", "begin_s", "steps_rows_and_closing_s", "train_s", "all_s")
    out = {key: part[key] for key in ("stacked_s", "target_s")}
    out |= {"processes": len(processes), "steps": processes[0]["steps"]}
    out |= {"process_medians": {key: statistics.median(p[key] for p in processes) for key in phases}}
    out |= {"slowest_process_s": max(p["all_s"] for p in processes), "stacked": _seeds(part["stacked"])}
    for mode in ("alone", "eager", "cpu"):
        out[mode] = {**_seeds(part[mode]), "seconds": part[mode]["seconds"]}
        out[f"stacked_against_{mode}"] = part[f"stacked_against_{mode}"]
    return out


def _seeds(summary: dict[str, Any]) -> dict[str, Any]:
    times = summary["T_gen"]
    counts = {str(step): count for step, count in sorted(Counter(times["all"]).items())}
    return {**summary, "T_gen": {"median": times["median"], "deciles": times["deciles"], "counts": counts}}


def mheight(part: dict[str, Any], run: Run) -> dict[str, Any]:
    """Rates, and the run as far as it came: verdict, spikes, every group against its own mean, the curves."""
    rows, trivial = run.rows(), run.facts["splits"]["id_val"]
    verdict = run_verdicts(run)["id_val"]
    keys = ("parameters", "operations_per_step", "datasheet_tf32", "measured_tf32", "trained")
    curves = ("epoch", "train_loss", "id_val_loss", "norm_total")
    return {
        **{key: part[key] for key in keys},
        "trials": {name: _step(trial) for name, trial in part["trials"].items()},
        "share_of_tf32_with_evaluation": part["share_of_tf32_with_evaluation"],
        "target_share": 0.4,
        "run": {
            "seed": 0,
            "epoch": rows[-1]["epoch"],
            "verdict": {key: getattr(verdict, key) for key in ("verdict", "reason", "robust")},
            "T_fit": verdict.milestones.T_fit.at,
            "spikes": [link.to_dict() for link in spike_links(from_run(run))],
            "trivial": trivial["trivial_loss"],
            "trivial_train": run.facts["splits"]["train"]["trivial_loss"],
            "groups": groups(rows, trivial),
            "curves": {key: [round(row[key], 4) for row in rows] for key in curves},
        },
    }


def groups(rows: list[dict[str, Any]], trivial: dict[str, float]) -> dict[str, dict[str, float]]:
    """Per group (n, k, m): squared error of its mean, and the network's over the last twentieth of the rows."""
    last = rows[-max(len(rows) // 20, 1) :]
    names = [key.removeprefix("trivial_").removesuffix("_loss") for key in trivial if key.startswith("trivial_group")]
    return {
        name: {
            "trivial": trivial[f"trivial_{name}_loss"],
            "end": statistics.fmean(row[f"id_val_{name}_loss"] for row in last),
        }
        for name in names
    }


def resnet(part: dict[str, Any]) -> dict[str, Any]:
    arms = [
        {
            "arm": arm["arm"],
            "step": arm["status"]["step"],
            "total_steps": arm["status"]["total_steps"],
            "epoch": arm["last"]["epoch"],
            "verdicts_so_far": arm["verdicts"],
        }
        for arm in part["arms"]
    ]
    trials = {
        name: {**_step(t), **{k: t[k] for k in t if k.endswith("steps_per_s")}} for name, t in part["trials"].items()
    }
    return {
        "trials": trials,
        "target_steps_per_s": part["target_steps_per_s"],
        "four_at_once": {
            "wall_s": part["wall_s"],
            "steps": part.get("steps", sum(a["step"] for a in arms)),
            "arms": arms,
        },
    }


def hospitals(part: dict[str, Any]) -> dict[str, Any]:
    runs = [
        {**{key: run[key] for key in ("arm", "seed", "state", "step", "steps_per_s")}, **_step(run["step_used"])}
        for run in part["runs"]
    ]
    keys = ("wall_s", "steps", "steps_per_s", "finished")
    return {"processes": part["settings"]["workers"], **{key: part[key] for key in keys}, "runs": runs}


def _step(trial: dict[str, Any]) -> dict[str, Any]:
    return {key: trial[key] for key in STEP_KEYS if trial.get(key) is not None}


def write(name: str, part: dict[str, Any], result: dict[str, Any], facts: dict[str, str]) -> None:
    machine = {**part["machine"], **facts}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in result.items()]
    body = ",\n".join(lines)
    (RESULTS / f"{name}.json").write_text(f'{{"machine": {json.dumps(machine)},\n"result": {{\n{body}\n}}}}\n')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the JSON files of benchmarks/gpu.sh")
    parser.add_argument("--run", type=Path, required=True, help="the run of part c")
    parser.add_argument("--commit", required=True)
    parser.add_argument("--beside", required=True, help="what else the machine did meanwhile")
    given = parser.parse_args()
    facts = {"commit": given.commit, "beside": given.beside}
    names = ("a_correct", "b_stacked", "c_mheight", "d_resnet", "e_hospitals")
    a, b, c, d, e = (json.loads((given.folder / f"{name}.json").read_text()) for name in names)
    write("gpu_a", a, correct(a, (given.folder / "a_tests.txt").read_text().splitlines()), facts)
    write("gpu_b", b, stacked(b), facts)
    write("gpu_c", c, mheight(c, Run(given.run)), facts)
    write("gpu_d", d, resnet(d), facts)
    write("gpu_e", e, hospitals(e), facts)


if __name__ == "__main__":
    main()
