"""Tables over many runs say how far they are, on stderr, so that what is piped stays clean."""

import json

import pytest

from grokscope import cli
from grokscope.commands.logs import Ticker
from grokscope.study import Study
from tiny import TINY


@pytest.mark.parametrize(
    "words", [["ls", "ROOT", "--json"], ["sql", "select id from runs", "--root", "ROOT", "--json"]]
)
def test_long_looking_is_told_of_on_stderr_and_short_looking_is_not(words, tmp_path, capsys, monkeypatch):
    root = tmp_path / "runs"
    Study.from_dict({**TINY, "budget": {"steps": 7}, "seeds": [0, 1, 2]}).run(workers=0, root=root)
    command = [str(root) if word == "ROOT" else word for word in words]
    capsys.readouterr()
    assert cli.run(command) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(Ticker.__init__, "__defaults__", (0.0,))  # seconds between two lines
    assert cli.run(command) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)) == 3
    assert err.splitlines() == ["looked at runs: 1 of 3", "looked at runs: 2 of 3"]
