"""ls chooses and sorts runs by any column or setting, and says in what they differ."""

import json

import pytest

from grokscope import cli
from grokscope.commands.choosing import chosen, in_order
from report.synthetic import GROKKED, MEMORIZED, write_run

ROWS = [
    {"id": "a", "seed": 0, "verdict": "grokked", "T_gen": 900, "regime": "x", "regime.lr": 0.1, "on": True},
    {"id": "b", "seed": 1, "verdict": None, "T_gen": None, "regime": "x", "regime.lr": 0.01, "on": False},
    {"id": "c", "seed": 2, "verdict": "memorized", "T_gen": 100.0, "regime": "y", "regime.lr": 1, "on": None},
]


@pytest.mark.parametrize(
    ("conditions", "ids"),
    [
        (["verdict=grokked"], "a"), (["verdict=none"], "b"), (["arm=x"], "ab"), (["arm = x", "seed=1"], "b"),
        (["regime.lr=1e-2"], "b"), (["regime.lr=1.0"], "c"), (["on=true"], "a"), (["seed=two"], ""), ([], "abc"),
    ],
)  # fmt: skip
def test_conditions(conditions, ids):
    assert "".join(row["id"] for row in chosen(ROWS, conditions)) == ids


@pytest.mark.parametrize(("key", "ids"), [("T_gen", "cab"), ("-T_gen", "acb"), ("regime.lr", "bac"), ("-run", "cba")])
def test_order(key, ids):
    assert "".join(row["id"] for row in in_order(ROWS, key)) == ids


def test_the_verb_chooses_sorts_and_says_what_varies(tmp_path, capsys):
    for seed in range(4):
        write_run(tmp_path, "wd 0.1", seed, GROKKED if seed % 2 else MEMORIZED, weight_decay=0.1 * (seed % 2))
    assert cli.run(["ls", str(tmp_path), "--where", "verdict=grokked", "--sort=-seed", "--json"]) == 0
    assert [row["seed"] for row in json.loads(capsys.readouterr().out)] == [3, 1]
    assert cli.run(["ls", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "varies: regime.weight_decay: 0, 0.1" in [line.replace("0.0,", "0,") for line in lines]
    assert not any(line.startswith("varies: regime.lr") for line in lines), "the same in all"
    assert cli.run(["ls", str(tmp_path), "--where", "verdit=grokked"]) == 2
    assert "no run has 'verdit'" in capsys.readouterr().err
    assert cli.run(["ls", str(tmp_path), "--where", "grokked"]) == 2
    assert "expected key=value" in capsys.readouterr().err
    assert cli.run(["ls", str(tmp_path), "--where", "verdict=rising"]) == 0
    assert "with verdict=rising" in capsys.readouterr().out
