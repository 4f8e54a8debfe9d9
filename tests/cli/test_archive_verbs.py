"""The archive verbs: out, in again, the same numbers; and what is wrong is said with exit code 1 or 2."""

import json

import pytest

from grokscope.cli import run as cli
from grokscope.store import find_runs
from grokscope.train.driver import train
from tiny import tiny


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    published = {"evaluate": {"at": [1], "every": 50, "unit": "epochs"}, "diagnose": {"at": [1], "unit": "epochs"}}
    return train(tiny(published), tmp_path_factory.mktemp("runs"))


def test_out_and_in_again(trained, tmp_path, capsys):
    out, back = tmp_path / "archive", tmp_path / "back"
    assert cli(["archive", "export", str(trained.path), "--out", str(out), "--license", "cc-by-4.0"]) == 0
    assert (out / "README.md").exists()
    assert cli(["archive", "import", str(out), "--root", str(back), "--json"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed[printed.index("{") :])["problems"] == []
    (imported,) = find_runs(back)
    assert imported.rows() == trained.rows()
    assert cli(["verdict", str(imported.path)]) == 0


def test_what_is_missing_is_said_with_exit_code_1(trained, tmp_path, capsys):
    assert cli(["archive", "export", str(trained.path), "--out", str(tmp_path / "archive")]) == 1  # no licence chosen
    assert "licence" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["archive", "export", "nowhere"], "no runs in nowhere"),
        (["archive", "import", "nowhere"], "nowhere"),
        (["archive", "import", ".", "--map", "acc"], "expected name=value"),
        (["archive", "import", ".", "--n", "ood_test=many"], "expected a number"),
        (["archive", "exprot"], "did you mean 'export'"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli(words) == 2
    assert message in capsys.readouterr().err
