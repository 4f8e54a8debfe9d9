"""Every check on stored trajectories whose mechanism is known (benchmarks/checks_on_oracles.py makes them): no true
claim is denied, no false one supported, and where a word is expected at most one in five is missing."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from grokscope.mechanism import CHECKS, Setup, case_of_trajectory, explain
from grokscope.trajectory import Trajectory

STORED = sorted((Path(__file__).parents[1] / "cases" / "oracles").glob("*.json"))
ARRAYS = ("step", "train", "train_loss", "norm")
BY_NAME = ("held_out", "held_out_loss", "norm_groups", "probe", "probe_low", "probe_high", "measured")


def column(values):
    numbers = np.array([np.nan if v is None else float(v) for v in values])
    return numbers


def read(path):
    data = json.loads(path.read_text())
    raw = data["trajectory"]
    columns = {f.name: raw[f.name] for f in fields(Trajectory) if raw.get(f.name) is not None}
    for name in ARRAYS:
        if name in columns:
            columns[name] = np.array(columns[name]) if name == "step" else column(columns[name])
    for name in BY_NAME:
        columns[name] = {key: column(values) for key, values in columns.get(name, {}).items()}
    columns |= {"counted": frozenset(columns["counted"]), "notes": tuple(columns["notes"])}
    setup = data["setup"]
    setup |= {"interventions": tuple(setup["interventions"]), "switched_decay": tuple(setup["switched_decay"])}
    return case_of_trajectory(Trajectory(**columns), Setup(**setup), data["split"]), data["truth"]


def words(path):
    case, truth = read(path)
    findings = {f.check: f for f in explain(case).findings}
    return [(check, true, findings[check].word, findings[check].evidence) for check, true in truth.items()]


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_no_true_claim_is_denied_and_no_false_one_supported(path):
    wrong = [row for row in words(path) if row[2] == ("against" if row[1] else "supports")]
    assert not wrong


def test_at_most_one_word_in_five_is_missing():
    rows = [row for path in STORED for row in words(path)]
    assert len(rows) > 100
    assert sum(word == "cannot tell" for _, _, word, _ in rows) <= len(rows) / 5


def test_each_check_is_put_to_a_true_and_to_a_false_claim_where_one_run_can_tell():
    seen = {(check, true) for path in STORED for check, true, word, _ in words(path) if word != "cannot tell"}
    both = {check.title() for check in CHECKS if {(check.title(), True), (check.title(), False)} <= seen}
    assert both >= {
        "nothing memorized", "leakage", "decay grip", "decay too strong", "head growth", "init scale undone",
        "softmax collapse", "readout", "more than diffusion",
    }  # fmt: skip


def test_planted_mechanisms_are_told_as_reasons():
    """The readout of digits, the representation of addition, the leak, the group means: by `explain` alone."""
    fitting = {}
    for path in STORED:
        case, _ = read(path)
        fitting[path.stem] = {f.check for f in explain(case).fitting}
    assert "readout" in fitting["digits-from-a-large-start"]
    assert "readout" not in fitting["addition_decay-1"]
    assert "leakage" in fitting["addition-with-a-leak"]
    assert "nothing memorized" in fitting["group-means"]
    assert "decay time" in fitting["addition_no-decay"]
    assert {"decay time", "decay grip", "init scale undone"} <= fitting["hospitals_favorable"]


def test_the_eight_mechanisms_of_the_shortcut_study_are_told_with_numbers():
    """Norm, decay without grip, head, filter, penalty, start, size of the data, rank: on a run of its regime."""
    [path] = [path for path in STORED if path.stem == "hospitals_favorable"]
    findings = {f.check: f for f in explain(read(path)[0]).findings}
    eight = {
        "norm after the fit": "supports",
        "decay grip": "supports",
        "head growth": "cannot tell",
        "filter feeds the head": "cannot tell",
        "penalty follows loss": "supports",
        "init scale undone": "supports",
        "too little data": "cannot tell",
        "rank collapse": "supports",
    }
    assert {check: findings[check].word for check in eight} == eight
    assert all(findings[check].numbers for check in eight)
    open_ones = [check for check, word in eight.items() if word == "cannot tell"]
    assert all(findings[check].arm is not None for check in open_ones), "and what would tell"
