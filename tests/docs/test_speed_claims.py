"""What the guides say of speed, made again from benchmarks/results: no number without its file, no file without its
machine and versions."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())["result"]


def page(name: str) -> str:
    return " ".join((ROOT / "docs" / name).read_text().split())


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_result_names_machine_and_versions(path):
    data = json.loads(path.read_text())
    machine = data["machine"]
    assert machine["python"]
    assert machine.get("card") or machine["processor"]
    versions = machine.get("packages") or data["versions"]
    assert versions["numpy"]


def test_the_table_of_stacks_is_what_was_measured():
    found = result("stacked")
    rows = [("batches of 32", row["K"], row["ratio"]) for row in found["batches of 32"]]
    rows += [("full batch", row["K"], row["ratio"]) for row in found["full batch"]]
    for name in ("batches of 32, 16 learning rates", "batches of 32, Grokfast-EMA"):
        rows.append((name, found[name]["K"], found[name]["ratio"]))
    lines = [f"| {name} | {k} | {ratio:.1f} |" for name, k, ratio in rows]
    two = found["two processes at once, batches of 32"]["ratios"]
    lines.append(f"| batches of 32, two processes at once | 16 | {two[0]:.1f} and {two[1]:.1f} |")
    whole = found["whole runs, batches of 32"]
    lines.append(
        f"| whole runs of {whole['steps']:,} steps, batches of 32, including rows and folders | {whole['K']} | "
        f"{whole['ratio']:.1f} |"
    )
    text = (ROOT / "docs" / "how-to" / "many-runs.md").read_text()
    table = [line for line in text.splitlines() if re.fullmatch(r"\|.*\| [0-9]+ \|.*\|", line)]
    assert table == lines
    at_16 = found["batches of 32"][2]
    assert (at_16["K"], at_16["ratio"] >= found["target"]["ratio"] <= min(two)) == (16, True)


def test_verdicts_of_stacks_are_those_of_runs_alone_as_far_as_was_measured():
    arms = result("stacked_verdicts")["arms"]
    far = [arm for name, arm in arms.items() if name.startswith("far")]
    near = [arm for name, arm in arms.items() if name.startswith("near")]
    assert all(arm["equal verdicts"] == arm["seeds"] for arm in far)
    assert all(arm["seeds"] >= 20 and min(arm["p, rates"], arm["p, times"]) > 0.05 for arm in near)
    assert all(len(arm["verdicts"]["alone"]) > 1 for arm in near), "these are near a boundary"
    equal, seeds = (sum(arm[key] for arm in near) for key in ("equal verdicts", "seeds"))
    reached = {way: sum(arm["generalized, of"][way][0] for arm in near) for way in ("stacked", "alone")}
    assert len(set(reached.values())) == 1
    all_far = sum(arm["seeds"] for arm in far)
    assert (
        f"far from a boundary, {all_far} of {all_far} verdicts were equal. Near one, {equal} of {seeds} were, and "
        f"{reached['alone']} of {seeds} runs generalized both ways." in page("how-to/many-runs.md")
    )


def test_auto_chose_no_stack_that_is_slower():
    found = result("stacked_choice")
    kinds, text = found["kinds"], page("how-to/many-runs.md")
    chosen = [kind["measured"] for kind in kinds if kind["stacked"]]
    assert min(chosen) == found["worst chosen"] >= found["target"] == 0.95
    assert any(not kind["stacked"] for kind in kinds), "some are on the other side"
    assert f"Of {len(kinds)} kinds of run" in text
    assert f"`auto` stacked {len(chosen)}; the slowest of them was {min(chosen):.2f} times as fast as alone" in text


def duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def test_the_cost_of_measurements_is_what_was_measured():
    found, text = result("measurements"), page("how-to/measure.md")
    studies = ("modular_addition", "digits", "hospitals_small")
    for name in ("hessian", "kernel", "jacobian_rank", "projected_shrinking"):
        cells = [duration(found[study]["measurement_s"][name]) for study in studies]
        assert f"| `{name}` | {' | '.join(cells)} |" in text
    shares = [f"{100 * found[study]['share_of_run']['mechanisms']:.1f} %" for study in studies]
    assert all(share in text for share in shares)


def test_other_costs_that_pages_state():
    assert max(study["share"] for study in result("probe_cost").values()) <= 0.05
    assert "at most 5 % of the CPU time of the shipped studies" in page("explanation/verdicts.md")
    shares = [100 * case["share"] for case in result("image_diagnostics")["cases"].values()]
    words = f"cost {min(shares):.0f} to {max(shares):.0f} percent of training"
    assert words in page("how-to/hospital-images.md")


def test_what_a_verified_verdict_costs_is_what_was_measured():
    found, text = result("peers"), page("how-to/peers.md")
    assert f"{found['pairs']} pairs each" in text
    for name in ("E1", "digits"):
        assert all(ours == plain is not None for ours, plain in found[name]["T_gen (ours, plain)"]), (
            "both find one step"
        )
        ratios = found[name]["ratios"]
        assert f"{found[name]['median']:.2f} times ({min(ratios):.2f} to {max(ratios):.2f})" in text


def test_logs_of_the_fields_own_scripts_become_tables_that_are_judged(tmp_path, monkeypatch, capsys):
    """The page's own code and commands, on files in the form that those scripts write."""
    import pandas
    import torch

    from grokscope import cli

    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "how-to" / "peers.md").read_text()
    steps = list(range(10, 410, 10))
    train = [min(1.0, step / 50) for step in steps]
    held = [0.01 if step < 250 else 1.0 for step in steps]
    name = re.search(r"results/(res_mine\S+\.pt)", text)[1]  # type: ignore[index]
    (tmp_path / "results").mkdir()
    torch.save({"its": steps, "train_acc": train, "val_acc": held}, tmp_path / "results" / name)
    rows = [
        {"epoch": place, "input_type": split, "metric_name": metric, "layer": None, "value": value}
        for place in range(len(steps))
        for split, value in (("train", train[place]), ("test", held[place]))
        for metric in ("accuracy", "loss")
    ]
    (tmp_path / "loggs" / "add_mod|lr-0.01").mkdir(parents=True)
    pandas.DataFrame(rows).to_csv(tmp_path / "loggs" / "add_mod|lr-0.01" / "metrics.csv", index=False)
    (tmp_path / "logs" / "default" / "version_0").mkdir(parents=True)
    lightning = {"step": steps, "full_train_acc": [100 * a for a in train], "val_accuracy": [100 * a for a in held]}
    pandas.DataFrame(lightning).to_csv(tmp_path / "logs" / "default" / "version_0" / "metrics.csv", index=False)
    for code in re.findall(r"^```py\n(.*?)^```", text, re.S | re.M):
        exec(code, {})
    commands = re.findall(r"^grokscope (verdict .*)$", text, re.M)
    assert len(commands) == 3
    for command in commands:
        words = [
            path for word in command.split() for path in ([*map(str, tmp_path.glob(word))] if "*" in word else [word])
        ]
        assert cli.run([*words, "--json"]) == 0
        (splits,) = json.loads(capsys.readouterr().out).values()
        (verdict,) = splits.values()
        assert verdict["verdict"] == "grokked"
        reached = verdict["milestones"]["T_gen"]["at"]
        assert reached == (240 if "edge" in command else 250), "there steps are counted from 0"


def test_what_is_said_of_queries_over_ten_thousand_runs_is_what_was_measured():
    found = result("many_runs")
    cost, text = found["questions"], page("how-to/many-runs.md")
    seconds = {name: f"{question['cpu_s']:.1f} s" for name, question in cost.items()}
    first = cost["sql over metrics, no index yet"]
    for words in (
        f"the first query takes {first['cpu_s']:.1f} s of CPU and at most {first['peak_mb']:,} MB",
        f"the next one {seconds['sql over metrics']}.",
        f"parsed once ({seconds['sql over metrics of copied runs']};",
        f"arms of 2,500 runs takes {seconds['compare 2 arms of 2500 runs']}",
        f"a study of 10,000 runs {seconds['study test of times']}",
        f"the page of 10,000 runs takes {seconds['report']} of CPU and at most {cost['report']['peak_mb']:,} MB",
    ):
        assert words in text, words
    assert found["runs"] == 10_000
    lowest = found["floor"]
    assert min(lowest["parse_by_python_cpu_s"], lowest["parse_by_duckdb_cpu_s"]) > 5 > lowest["read_columns_cpu_s"]
