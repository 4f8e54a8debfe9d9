"""The script that measures on a GPU, on the CPU at a thousandth of the size: what it counts, what it packs, and what it
leaves when it is cut short."""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "gpu"))

import b_stacked  # noqa: E402
import c_mheight  # noqa: E402
import e_hospitals  # noqa: E402
import f_side  # noqa: E402
import harness  # noqa: E402
import pack  # noqa: E402

from grokscope import configio  # noqa: E402
from grokscope.study import Study  # noqa: E402
from grokscope.train.driver import train  # noqa: E402
from tiny import tiny  # noqa: E402


def given(**more):
    return argparse.Namespace(arm="decay 0.01", tiny=False, device="cpu", **more)


def script(tmp_path, *words, seconds=300):
    environment = {**os.environ, "PYTHON": sys.executable}
    command = [
        str(ROOT / "benchmarks" / "gpu.sh"),
        "--out",
        str(tmp_path / "out"),
        "--work",
        str(tmp_path / "work"),
        "--device",
        "cpu",
        "--tiny",
        *words,
    ]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds)


def test_the_published_network_has_the_operations_that_the_rate_is_reckoned_with():
    config = c_mheight.chosen(given())
    small = configio.load_run(
        configio.overlay(configio.dump(config), {k: v for k, v in c_mheight.TINY.items() if k.startswith("task.")})
    )
    data = small.task.build(0)
    assert sum(p.numel() for p in config.model.build(data, 1).parameters()) == 1_027_585
    side, c = 36, 64
    products = 9 * c * side * (10 * c + 1) + (c * side + 64) * 256 + 3 * 64 + 256
    stem_input = 9 * c * side  # the gradient of the input is nobody's, neither are the parameters'
    assert c_mheight.operations(config, data) == 2 * (3 * products - stem_input - 3 * 64)


def test_the_run_is_the_studys_own_on_faster_hardware():
    config = c_mheight.chosen(given())
    assert config.run_id() == Study.load("mheight_published").only(["decay 0.01"]).runs()[0].run_id()
    assert (config.regime.batch_size, config.hardware.tf32, config.evaluate.every) == (4096, True, 5)


def test_the_hospitals_are_the_studys_runs_in_the_order_of_their_seeds():
    study = e_hospitals.study_of("cuda", tiny=False)
    assert {c.run_id() for c in study.runs()} == {c.run_id() for c in Study.load("hospitals_decay").runs()}
    seeds = [c.seed for c in study.runs()]
    assert (len(seeds), seeds[::8]) == (48, [31337, 2024, 456, 123, 42, 7])


def test_rates_and_quantiles_over_seeds():
    runs = [{"verdict": "grokked", "T_gen": 400.0 + i} for i in range(11)]
    found = b_stacked.summary([*runs, {"verdict": "memorized", "T_gen": None}])
    assert found["verdicts"] == {"grokked": 11, "memorized": 1}
    assert (found["T_gen"]["n"], found["T_gen"]["median"]) == (11, 405.0)
    assert b_stacked.summary([]) == {"runs": 0, "verdicts": {}}


@pytest.mark.parametrize(
    ("card", "rate"),
    [("NVIDIA H100 80GB HBM3", 494.7e12), ("NVIDIA H100 PCIe", 378e12), ("NVIDIA H200", 494.7e12), ("A toaster", None)],
)
def test_the_rate_of_a_card_is_found_by_its_name(card, rate):
    assert harness.tf32_rate(card) == rate


def test_data_are_drawn_once_and_read_back(tmp_path, monkeypatch):
    task = tiny().task
    drawn = []
    plain = type(task).build
    monkeypatch.setattr(type(task), "build", lambda self, seed: drawn.append(seed) or plain(self, seed))
    harness.keep_data(type(task), tmp_path)
    first, again, other = task.build(0), task.build(0), task.build(1)
    assert drawn == [0, 1]
    assert (first.splits["train"].x == again.splits["train"].x).all()
    assert (first.splits["train"].x != other.splits["train"].x).any()


def test_the_most_wanted_files_are_packed_first_and_the_rest_is_counted(tmp_path):
    runs = [train(tiny(seed=seed), tmp_path / "runs") for seed in (0, 1)]
    for path in (tmp_path / "runs").rglob("*.safetensors"):
        path.write_bytes(os.urandom(10_000))
    everything = pack.pack(tmp_path / "runs", tmp_path / "all", 3, 1 << 20)
    assert (everything["runs"], everything["archives"], everything["left_out"]) == (2, 1, [])
    with tarfile.open(tmp_path / "all-0.tar.gz") as archive:
        names = archive.getnames()
    for run in runs:
        assert f"{run.id}/config.json" in names
        assert f"{run.id}/results/metrics.jsonl" in names
        assert not [n for n in names if n.startswith(f"{run.id}/resume")]
    few = pack.pack(tmp_path / "runs", tmp_path / "few", 1, 60_000)
    with tarfile.open(tmp_path / "few-0.tar.gz") as archive:
        names = archive.getnames()
    assert few["left_out"]
    assert all(f"{run.id}/checkpoints/final.safetensors" in names for run in runs)
    assert len(names) + len(few["left_out"]) == everything["files"]


def test_commands_are_read_a_line_each(tmp_path):
    file = tmp_path / "commands.txt"
    file.write_text("# not this\n\necho a\n  echo b > $SIDE/b\n")
    assert f_side.read(file) == ["echo a", "echo b > $SIDE/b"]


def test_a_part_that_is_ended_twice_still_reports(tmp_path):
    """`timeout` passes SIGTERM on to the process and then to its group: the second must not cut the end short."""
    commands = tmp_path / "commands.txt"
    commands.write_text("trap '' TERM; touch $SIDE/begun; while true; do sleep 0.1; done\n")
    part = [sys.executable, str(ROOT / "benchmarks" / "gpu" / "f_side.py"), "--commands", str(commands)]
    side = subprocess.Popen([*part, "--out", str(tmp_path), "--work", str(tmp_path)])
    wait_until = time.monotonic() + 120
    while not (tmp_path / "side" / "begun").exists():
        assert side.poll() is None
        assert time.monotonic() < wait_until
        time.sleep(0.05)
    side.terminate()
    time.sleep(0.5)  # the job ignores SIGTERM, so the part is waiting for it now
    side.terminate()
    assert side.wait(60) == 0
    result = json.loads((tmp_path / "f_side.json").read_text())
    assert (result["state"], [job["number"] for job in result["ended"]]) == ("done", [0])


def test_a_wrong_word_is_refused_and_parts_without_time_are_left_out(tmp_path):
    refused = script(tmp_path, "x")
    assert (refused.returncode, "unknown x" in refused.stderr) == (2, True)
    assert script(tmp_path).returncode == 2
    late = script(tmp_path, "--total", "15", "e")
    assert "e: left out" in late.stdout


def part_of(tmp_path, name):
    return json.loads((tmp_path / "work" / "json" / f"{name}.json").read_text())


@pytest.mark.slow
def test_a_part_that_is_called_again_goes_on_and_counts_only_what_it_made_itself(tmp_path):
    """c, d and e are resumable, each in a call of its own; what an earlier call trained takes none of the later one's
    time."""
    words = {"c": "c_mheight", "d": "d_resnet", "e": "e_hospitals"}
    for letter in words:
        ran = script(tmp_path, f"{letter}:250")
        assert f"{letter}: exit code 0" in ran.stdout, ran.stdout
    first = {letter: part_of(tmp_path, name) for letter, name in words.items()}
    assert first["e"]["steps"] == 3 * 8
    assert first["e"]["steps_before"] == first["d"]["steps_before"] == 0
    assert first["d"]["steps"] == sum(arm["status"]["step"] for arm in first["d"]["arms"]) > 0
    again = {}
    for letter, name in words.items():
        script(tmp_path, f"{letter}:250")
        again[letter] = part_of(tmp_path, name)
    assert {part["state"] for part in again.values()} == {"done"}
    assert again["c"]["trained"]["steps"] == 0
    assert again["c"]["run"]["epoch"] == 12
    assert (again["d"]["steps"], again["d"]["steps_before"]) == (0, first["d"]["steps"])
    assert (again["e"]["steps"], again["e"]["steps_per_s"], again["e"]["finished"]) == (0, 0.0, 3)


@pytest.mark.slow
def test_the_stack_is_measured_from_the_start_each_time(tmp_path):
    started = []
    for _ in range(2):
        assert "b: exit code 0" in script(tmp_path, "b:200").stdout
        (run, *_) = sorted((tmp_path / "work" / "stacked").glob("modular*"))
        started.append(json.loads((run / "status.json").read_text())["started"])
        assert part_of(tmp_path, "b_stacked")["stacked"]["runs"] == 4
    assert started[1] > started[0]


@pytest.mark.slow
def test_all_parts_on_the_cpu(tmp_path):
    commands = tmp_path / "commands.txt"
    commands.write_text("echo done > $SIDE/done.txt\nsleep 10000\n")
    ran = script(tmp_path, "--side", str(commands), "a:250", "b:250", "c:250", "d:250", "e:250", seconds=1500)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    with tarfile.open(tmp_path / "out" / "results.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    results = {p.stem: json.loads(p.read_text()) for p in (tmp_path / "json").glob("?_*[a-z].json")}
    parts = {"a_correct", "b_stacked", "c_mheight", "d_resnet", "e_hospitals", "f_side"}
    assert {name: results[name]["state"] for name in parts} == dict.fromkeys(parts, "done")
    assert results["b_stacked"]["stacked"]["runs"] == 4
    assert results["c_mheight"]["run"]["epoch"] == 12
    assert results["e_hospitals"]["finished"] == 3
    assert [job["exit_code"] for job in results["f_side"]["over"]] == [0]
    assert (tmp_path / "json" / "side" / "done.txt").read_text() == "done\n"
    assert (tmp_path / "out" / "mheight.tar.gz").exists()
    assert (tmp_path / "out" / "hospitals-0.tar.gz").exists()
