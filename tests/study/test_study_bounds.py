"""What no study needs is refused by name and at once: before it is expanded, listed or built."""

import json
import sys

import pytest

sys.path.insert(0, str(__import__("pathlib").Path(__file__).parent.parent / "fuzz"))
from mutations import GIGABYTE, in_child

BASE = """
[task]
name = "modular"
p = 7
[model]
name = "embedding-mlp"
[budget]
steps = 60
"""
"""A study file; what the tests add stands above it."""


def refusal(path):
    """What reading a study file answers, and planning its runs without a probe."""
    from grokscope.study import Study

    try:
        study = Study.load(path)
        plan = study.plan(path + ".runs", probe=False)
    except ValueError as error:
        return str(error)
    return f"{len(plan.runs)} runs"


def told(tmp_path, text, name="study.toml"):
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    words = in_child("study.test_study_bounds", "refusal", str(file), memory=4 * GIGABYTE, seconds=120)
    assert words.endswith("runs") or words.startswith(str(file)), words[:300]
    assert len(words) < 2000
    return words.removeprefix(f"{file}: ")


AXES = "[axes]\n" + "\n".join(
    f'"{key}" = {[(i + 1) / 1000 for i in range(30)]}'
    for key in ("regime.lr", "regime.weight_decay", "regime.label_noise", "regime.optimizer.eps", "task.train_fraction")
)


def test_24_million_combinations_are_counted_not_made(tmp_path):
    words = told(tmp_path, AXES + BASE)
    assert "24,300,000 runs" in words
    assert "regime.weight_decay: 30 values" in words
    assert "GROKSCOPE_MAX_RUNS" in words


def test_200_000_seeds_are_counted_not_made(tmp_path):
    words = told(tmp_path, f"seeds = {list(range(200_000))}\n" + BASE)
    assert "200,000 runs" in words
    assert "seeds: 200,000" in words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ("steps = 60 -> steps = 10000000000000\n[evaluate]\nevery = 1", "1 runs"),
        ("steps = 60 -> steps = 60\n[evaluate]\nper_decade = 1000000000", "1 runs"),
        ("steps = 60 -> steps = 1e18", "$.budget: a budget's steps must be at most 1,000,000,000,000,000"),
        ("steps = 60 -> steps = 1e400", "$.budget.steps: expected int, got float inf"),
        ("steps = 60 -> steps = nan", "$.budget.steps: expected int, got float nan"),
        ("steps = 60 -> steps = -1", "$.budget: a budget's steps must be at least 1, got -1"),
        ("steps = 60 -> steps = true", "$.budget.steps: expected int, got bool True"),
        (f"steps = 60 -> steps = {'9' * 400}", "$.budget.steps: expected a number of at most 19 digits"),
        (f"steps = 60 -> steps = {'9' * 5000}", "Exceeds the limit"),
        (f"steps = 60 -> steps = 0x{'f' * 5000}", "a whole number of about 6,021 digits"),
        (f"steps = 60 -> steps = 60\n[regime]\nlr = {'9' * 400}", "$.regime.lr: expected a number of at most 309"),
        ("p = 7 -> p = 1000000000000000000", "$.task: p must be at most"),
        ("p = 7 -> p = true", "$.task.p: expected int, got bool True"),
        (f"p = 7 -> p = {'[' * 5000}{']' * 5000}", "nest more than 64 deep"),
        (f"p = 7 -> p = {'[' * 200}{']' * 200}", "nest more than 64 deep"),
        (f"p = 7 -> {'a.' * 500_000}a = 1", "nest more than 64 deep"),
        (f"p = 7 -> {'[a' + '.a' * 300 + ']'}", "nest more than 64 deep"),
    ],
    ids=lambda v: str(v)[:40] if len(str(v)) < 200 else str(v)[:24],
)
def test_one_wild_value_is_one_line(tmp_path, changes, words):
    old, new = changes.split(" -> ", 1)
    assert words in told(tmp_path, BASE.replace(old, new))


def test_a_file_of_many_megabytes_is_no_study(tmp_path):
    assert "more than 4,000,000 bytes" in told(tmp_path, BASE + "#" * 5_000_000)


def test_deep_json_and_endless_numbers_name_the_file(tmp_path):
    assert "nest more than 64 deep" in told(tmp_path, "[" * 100_000 + "]" * 100_000, "deep.json")
    assert "nest more than 64 deep" in told(tmp_path, '{"task":' * 90 + "1" + "}" * 90, "study.json")
    assert "a whole number of 400 digits" in told(tmp_path, json.dumps({"task": int("9" * 400)}), "long.json")


def test_a_long_regime_has_a_folder_all_the_same(tmp_path):
    name = "é" * 300
    assert told(tmp_path, BASE + f'[regime]\nname = "{name}"\n') == "1 runs"
