"""Loops over many runs tell whoever listens, and nobody else; and records are read without the collector of garbage."""

import gc

import pytest

from grokscope.commands.logs import Ticker
from grokscope.progress import telling, watched, without_collector


def test_nobody_hears_of_a_loop_that_nobody_listens_to():
    assert list(watched([3, 1, 2], "looked at runs:")) == [3, 1, 2]


def test_who_listens_hears_of_every_loop_within_and_of_none_after():
    heard: list[tuple[str, int, int]] = []

    def told(doing):
        return lambda done, total: heard.append((doing, done, total))

    with telling(told):
        assert list(watched("ab", "read")) == ["a", "b"]
    list(watched("ab", "later"))
    assert heard == [("read", 1, 2), ("read", 2, 2)]


def test_a_ticker_is_silent_for_two_seconds_and_names_the_time_that_is_left(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr("grokscope.commands.logs.time.monotonic", lambda: now[0])
    tick = Ticker("judged")
    for done in range(1, 101):
        now[0] += 0.5
        tick(done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["judged 4 of 100, about 48 s left", "judged 14 of 100, about 43 s left"]
    assert len(lines) == 10
    assert lines[-1] == "judged 94 of 100"


def test_the_collector_rests_only_meanwhile():
    with without_collector():
        with without_collector():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="damaged"):
        damaged()
    assert gc.isenabled()


def damaged() -> None:
    with without_collector():
        raise ValueError("damaged")
