"""The options of a log: the same of every verb that reads one, from one place."""

from dataclasses import fields
from inspect import signature

import pytest

from grokscope import cli
from grokscope.commands.logs import LogOptions

READ_LOGS = ("verdict", "stopping", "explain", "compare", "archive import-logs")


@pytest.mark.parametrize("verb", READ_LOGS)
def test_every_verb_that_reads_logs_takes_all_of_them(verb, capsys):
    assert isinstance(signature(cli.VERBS[verb].load()).parameters["log"].default, LogOptions)
    with pytest.raises(SystemExit):
        cli.run([*verb.split(), "--help"])
    told = capsys.readouterr().out
    for field in fields(LogOptions):
        assert f"--{field.name.replace('_', '-')} " in told


@pytest.mark.parametrize("verb", READ_LOGS)
def test_a_mistyped_one_has_a_nearest_one(verb, capsys):
    assert cli.run([*verb.split(), "log.csv", "--trian", "acc"]) == 2
    assert "did you mean '--train'" in capsys.readouterr().err


def test_scores_and_losses_name_a_log_and_a_step_does_not():
    assert not LogOptions(step="epoch", norm=("norm",)).named
    assert LogOptions(train="acc").named
    assert LogOptions(held_out_loss=("loss",)).named
    assert LogOptions(held_out=("a=x", "b=y")).arguments()["held_out"] == {"a": "x", "b": "y"}
