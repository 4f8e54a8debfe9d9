"""Time left: from what has been seen, and never a number where nothing has."""

from pathlib import Path

import pytest

from grokscope.execute.boards import Bars, Lines, _done
from grokscope.execute.forecast import Forecast, duration
from grokscope.execute.protocol import Job, Outcome, longest_first
from tiny import tiny


def job(seed: int, total: int = 100, step: int = 0) -> Job:
    return Job(tiny(seed=seed), Path("runs"), step=step, total=total)


def test_nothing_is_forecast_before_any_speed_is_known():
    assert Forecast([job(0)], 1).seconds_left() is None


def test_the_rest_is_shared_by_the_workers():
    forecast = Forecast([job(s) for s in range(4)], 2)
    forecast.progress(forecast.jobs[0], 50, 10.0)
    assert forecast.seconds_left() == pytest.approx((5 + 10 + 10 + 10) / 2)


def test_but_no_shorter_than_the_longest_run():
    forecast = Forecast([job(0, 1000), job(1, 10)], 2)
    forecast.progress(forecast.jobs[0], 0, 10.0)
    assert forecast.seconds_left() == pytest.approx(100)


def test_ended_runs_cost_nothing_and_resumed_ones_only_the_rest():
    forecast = Forecast([job(0), job(1, step=90)], 1)
    forecast.progress(forecast.jobs[0], 10, 10.0)
    forecast.end(Outcome(forecast.jobs[0], "done", 100))
    assert forecast.seconds_left() == pytest.approx(1.0)
    forecast.end(Outcome(forecast.jobs[1], "failed", 95))
    assert forecast.seconds_left() == 0
    assert forecast.count("done") == forecast.count("failed") == 1


@pytest.mark.parametrize(
    ("state", "step", "done"),
    [("done", 100, 100), ("diverged", 30, 100), ("failed", 30, 30), ("interrupted", 30, 30), ("waiting", 0, 0)],
)
def test_a_stopped_run_counts_with_the_steps_that_it_got_to(state, step, done):
    forecast = Forecast([job(0), job(1)], 1)
    forecast.end(Outcome(forecast.jobs[0], state, step))
    assert forecast.done_steps() == done


def test_the_bar_of_a_stopped_study_is_not_full():
    bars = Bars()
    jobs = [job(0), job(1)]
    bars.begin(jobs, 1)
    bars.ended(Outcome(jobs[0], "done", 100))
    bars.ended(Outcome(jobs[1], "interrupted", 20))
    percentage = bars.live.tasks[0].percentage
    bars.close()
    assert percentage == 60


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (190_000, "2 days 4 h")],
)
def test_durations_read_well(seconds: float, text: str):
    assert duration(seconds) == text


def test_longest_first_is_by_what_is_left():
    jobs = [job(0, 100, step=95), job(1, 50), job(2, 60)]
    assert [j.config.seed for j in longest_first(jobs)] == [2, 1, 0]


def test_plain_lines_say_what_ended_and_why(capsys):
    import sys

    board = Lines(sys.stderr, interval=0)
    jobs = [job(0), job(1)]
    board.begin(jobs, 1)
    board.progress(jobs[0], 50, 100, 10.0)
    board.ended(Outcome(jobs[0], "failed", 50, "ValueError: no"))
    board.ended(Outcome(jobs[1], "waiting", 0))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "2 runs to train, 1 worker",
        "0 of 2 done, about 15 s left | custom seed 0 50%",
        "FAILED      custom seed 0 at step 50 of 100: ValueError: no (0 of 2 done, 1 failed, about 10 s left)",
    ]


@pytest.mark.parametrize(
    ("steps", "total", "shown"), [(0, 100, "0%"), (996, 1000, "99%"), (1000, 1000, "100%"), (0, 0, "0%")]
)
def test_what_still_goes_on_is_not_shown_as_done(steps, total, shown):
    assert _done(steps, total) == shown
