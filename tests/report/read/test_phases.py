"""Phases of a run: each boundary is known to the evaluation grid and no better."""

from dataclasses import replace

import numpy as np

from grokscope.report.read.judged_run import read
from grokscope.report.read.phases import phases_of
from grokscope.report.read.subjects import subject_from_trajectory
from grokscope.trajectory import Criteria, from_log

STEPS = np.arange(0, 3100, 100)


def reading(train_fits=200, rise=(1050, 1450), high=1.0, steps=STEPS):
    """Held-out stays at .1 up to the rise, which is straight; train is right from `train_fits` on."""
    train = np.where(steps >= train_fits, 1.0, 0.3)
    held = np.interp(steps, rise, (0.1, high))
    rows = [{"step": int(s), "train": float(t), "held": float(h)} for s, t, h in zip(steps, train, held, strict=True)]
    trajectory = from_log(rows, step="step", train="train", held_out={"held": "held"})
    return read([subject_from_trajectory(trajectory, "a")], "held", Criteria(), neighbors=False)[0]


def bounds(phase):
    moment = lambda m: None if m is None else ("after" if m.censored else m.previous, m.at)  # noqa: E731
    return phase.name, moment(phase.start), moment(phase.end)


def test_every_boundary_lies_between_two_evaluations():
    # from .1 at 1,050 to 1 at 1,450: .325, its lowest quarter, is passed at 1,150, .775 at 1,350, .95 at 1,428
    assert [bounds(p) for p in phases_of(reading())] == [
        ("fitting", None, (100, 200)),
        ("plateau", (100, 200), (1100, 1200)),
        ("transition", (1100, 1200), (1300, 1400)),
        ("generalized", (1400, 1500), ("after", 3000)),
    ]


def test_lengths_reach_as_far_as_the_grid_allows():
    fitting, plateau, transition, generalized = phases_of(reading())
    assert fitting.length == (200, 100, 200)
    assert plateau.length == (1000, 900, 1100)
    assert transition.length == (200, 100, 300)
    assert generalized.length == (1500, 1500, float("inf"))


def test_a_run_that_never_rises_waits_to_the_end_of_its_log():
    fitting, plateau = phases_of(reading(high=0.1))
    assert (fitting.name, plateau.name) == ("fitting", "plateau")
    assert plateau.end.censored
    assert plateau.length == (2800, 2800, float("inf"))


def test_without_a_fit_there_is_no_plateau():
    assert [p.name for p in phases_of(reading(train_fits=10_000, high=0.1))] == ["fitting"]
    assert phases_of(reading(train_fits=10_000, high=0.1))[0].end.censored


def test_there_is_no_plateau_where_held_out_was_there_first():
    names = [p.name for p in phases_of(reading(train_fits=1500, rise=(0, 300)))]
    assert "plateau" not in names
    assert names[-1] == "generalized"


def test_a_planted_boundary_lies_in_its_interval_on_any_grid():
    rng = np.random.default_rng(0)
    for _ in range(20):
        steps = np.unique(np.r_[0, rng.integers(1, 3000, 40), 3000])
        phases = {p.name: p for p in phases_of(reading(steps=steps))}
        fit, gen = phases["fitting"].end, phases["generalized"].start
        assert fit.previous < 200 <= fit.at
        assert gen.previous < 1050 + 400 * (0.95 - 0.1) / 0.9 + 1e-6
        assert gen.at >= 1050 + 400 * (0.95 - 0.1) / 0.9 - 1e-6


def test_what_cannot_be_judged_has_no_phases():
    assert phases_of(replace(reading(), verdict=None)) == []
