"""The README quotes the measurements that are stored, and no other numbers; the files keep nothing of the machine but
what it is."""

import copy
import json
import re

import pytest
from gpu_results import correct, groups, stacked
from gpu_tables import PAGE, ROOT, draw, results, table, with_table


def test_the_readme_says_what_was_measured():
    page = PAGE.read_text()
    assert with_table(page, results()) == page, "run: python benchmarks/gpu_tables.py"


def test_another_number_changes_the_table_and_a_target_that_is_met_is_called_so():
    found = results()
    other = copy.deepcopy(found)
    other["gpu_b"]["stacked_s"] = 1234.4
    other["gpu_d"]["trials"]["standard, float32"]["graph_steps_per_s"] = 321.0
    assert "**1234 s**" in table(other)
    assert "reached in float32" in table(other)
    assert "missed in float32" in table(found)
    other["many_runs"]["questions"]["study check"]["cpu_s"] = 7.3
    other["many_runs"]["not_measured"] = ["report"]
    assert "study check 7.3 s" in table(other)
    assert "study check" in table(other).partition("5 s, missed by ")[2]
    assert "report (60 s) not measured" in table(other)
    with pytest.raises(ValueError, match="lacks <!-- from benchmarks"):
        with_table("no marks", found)


def test_the_pages_state_the_numbers_that_are_stored():
    """Numbers in running text, each made again from the files."""
    a, b, c, d, e = (results()[f"gpu_{part}"] for part in "abcde")
    times, phases, run = b["stacked"]["T_gen"], b["process_medians"], c["run"]
    steps = [int(step) for step in times["counts"]]
    gpus = (ROOT / "docs" / "how-to" / "gpus.md").read_text()
    for words in (
        f"**1,024 seeds, {b['stacked_s']:.0f} s for a target of {b['target_s']}.**",
        f"{phases['build_s']:.0f} s build",
        f"{phases['begin_s']:.0f} s begin",
        f"{phases['steps_rows_and_closing_s']:.0f} s are steps",
        f"{phases['all_s'] - phases['train_s']:.0f} s verdicts",
        f"{len(a['tests']['passed'])} of {a['tests']['collected']} passed",
        f"made {d['four_at_once']['steps']:,} steps in {d['four_at_once']['wall_s']:.0f} s",
        f"takes {1000 * c['trials']['tf32']['graph_s']:.1f} ms in TF32",
        f"({1000 * c['trials']['tf32, any kernels']['graph_s']:.1f} with any kernels",
        f"{1000 * c['trials']['bfloat16']['graph_s']:.1f} in bfloat16",
        f"made {e['steps_per_s']:.0f} steps a second in all",
        f"{e['finished']} of 48 runs to the end in {e['wall_s']:.0f} s",
        f"generalizes at {min(steps)} steps, the last at {max(steps)}",
        f"between {times['deciles'][0]:.0f} and {times['deciles'][-1]:.0f}, with a median of {times['median']:.0f}",
        f"with a median of {b['cpu']['T_gen']['median']:.0f} (",
    ):
        assert words in gpus
    curves, ends = run["curves"], [group["end"] / group["trivial"] for group in run["groups"].values()]
    closest = min(curves["id_val_loss"])
    negative = (ROOT / "docs" / "negative-results.md").read_text()
    for words in (
        f"to epoch {run['epoch']:.0f} of the 10,000",
        f"Verdict `{run['verdict']['verdict']}`",
        f"by epoch {run['T_fit'] / 26:.0f} and",
        f"has {run['trivial']:.2f}. It was closest at epoch "
        f"{curves['epoch'][curves['id_val_loss'].index(closest)]:.0f}, with {closest:.2f}",
        f"by {100 * (min(ends) - 1):.0f} % to a factor of {max(ends):.1f}",
    ):
        assert words in negative
    assert min(ends) > 1
    assert run["verdict"]["robust"]
    assert run["spikes"] == []


def test_the_stored_seeds_add_up():
    b = results()["gpu_b"]
    for mode in ("stacked", "alone", "eager", "cpu"):
        assert sum(b[mode]["T_gen"]["counts"].values()) == b[mode]["runs"] == sum(b[mode]["verdicts"].values())
    assert b["stacked"]["runs"] == 1024


def test_the_files_name_card_and_versions_and_no_host_or_folder():
    paths = list((ROOT / "benchmarks" / "results").glob("gpu_*.json"))
    assert paths
    for path in paths:
        text = path.read_text()
        machine = json.loads(text)["machine"]
        assert {"card", "driver", "cuda", "packages", "commit", "beside"} <= machine.keys()
        assert not re.search(r'"host"|"pid"|"/|/tmp|/home|/root', text), path.name


def test_every_seed_is_counted_and_the_slowest_process_kept():
    phases = {"build_s": 1.0, "begin_s": 1.0, "steps_rows_and_closing_s": 5.0, "train_s": 7.0, "steps": 10}
    seeds = {"runs": 3, "verdicts": {"grokked": 3}, "T_gen": {"median": 20, "deciles": [], "all": [10, 20, 20]}}
    part = {"stacked_s": 9.0, "target_s": 60, "processes": [{**phases, "all_s": 8.0}, {**phases, "all_s": 4.0}]}
    for mode in ("alone", "eager", "cpu"):
        part |= {mode: {**seeds, "seconds": [1.0]}, f"stacked_against_{mode}": 2.0}
    out = stacked({**part, "stacked": seeds})
    assert out["stacked"]["T_gen"]["counts"] == {"10": 1, "20": 2}
    assert (out["slowest_process_s"], out["process_medians"]["all_s"]) == (8.0, 6.0)


def test_tests_that_passed_are_told_from_the_one_that_was_cut_off():
    said = ["collecting ... collected 3 items", "tests/gpu/test_cuda.py::test_a[E1, x] PASSED [ 33%]"]
    out = correct({"trials": {}, "tests": {"failed": 0}}, [*said, "tests/gpu/test_cuda.py::test_b[1] "])
    assert out["tests"] == {"collected": 3, "passed": ["test_a[E1, x]"], "failed": 0, "cut off in": ["test_b[1]"]}


def test_a_group_is_averaged_over_the_last_twentieth():
    rows = [{"id_val_group942_loss": float(i)} for i in range(40)]
    trivial = {"n": 4, "trivial_loss": 9.0, "trivial_group942_loss": 2.0}
    assert groups(rows, trivial) == {"group942": {"trivial": 2.0, "end": 38.5}}


def test_the_figure_is_drawn(tmp_path):
    draw(results()["gpu_b"], tmp_path / "seeds.png")
    assert (tmp_path / "seeds.png").stat().st_size > 5000
