"""The help of a switch that is on by default says what ``--no-...`` does, and not the opposite."""

import inspect
import re

import pytest

from grokscope import cli
from grokscope.cli import VERBS


def switches():
    """(verb, parameter) of every switch that is on by default."""
    on = []
    for verb in VERBS:
        parameters = inspect.signature(VERBS[verb].load()).parameters.values()
        on += [(verb, p.name) for p in parameters if p.default is True]
    return on


def test_there_are_such_switches():
    assert switches() == [("study plan", "probe"), ("dissect", "figures")]


@pytest.mark.parametrize(("verb", "name"), switches())
def test_help_says_what_the_flag_does(verb, name, capsys):
    with pytest.raises(SystemExit):
        cli.run([*verb.split(), "--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    described = re.search(rf"{name}: .*?; if off, (.*?)\.(?:\n|$)", inspect.getdoc(VERBS[verb].load()), re.DOTALL)
    assert described is not None, "the docstring says what the switch does, and what happens without it"
    effect = " ".join(described[1].split())
    assert f"--no-{name} {effect[0].upper()}{effect[1:]}." in shown
    assert "(default: True)" not in shown
