"""The answer in words: a reader without statistics can follow it, and the numbers behind it come after."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from grokscope.dissect.controls import null
from grokscope.dissect.sentences import TISSUE, Nouns, _fraction, _moves, _used, units_above_zero, units_beyond_chance
from grokscope.results.answer import Reliance
from grokscope.results.scores import ByEffect, Effect
from grokscope.results.settings import Settings

RNG = np.random.default_rng(0)
DRAWS = RNG.normal(0, 1, 99)


class Removal:
    """The parts of an erasure that sentences read."""

    eraser = "leace"

    def __init__(self, effect):
        self.effects = {"test": ByEffect(**dict.fromkeys(ByEffect.names(), effect))}


def effect(value, interval, draws=DRAWS, unit="group"):
    return Effect(
        name="env_gap_drop",
        on="test",
        value=value,
        interval=interval,
        level=0.95,
        unit=unit,
        n=400,
        n_units=15,
        controls={"labels": null("labels", value, draws, "greater")},
    )


def reliance(gap=1.0, p=0.001, fewest=5):
    return Reliance(
        env_gap=gap,
        interval=(0.8 * gap, 1.2 * gap),
        class_gap=2.0,
        p=p,
        sidedness="greater",
        smallest_p=0.001,
        permuted="groups",
        fewest_units=fewest,
    )


def test_half_as_far_as_a_tumor_and_more_than_chance():
    words = _moves(reliance(), Settings(), TISSUE)
    assert words == "It moves the decision about half as far as a tumor does, and this is more than chance."
    assert "chance alone may do" in _moves(reliance(p=0.3), Settings(), TISSUE)


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.02, "less than a tenth"), (0.25, "about a quarter"), (0.5, "about half"), (1.0, "about"), (2.13, "2.1 times")],
)
def test_shares_are_fractions_in_words(share, words):
    assert _fraction(share) == words


def test_use_is_withheld_with_the_reason_and_with_what_would_decide_it():
    value = float(np.sort(DRAWS)[-9])  # eight draws above it, and itself
    near = effect(value + 1e-9, (0.2, 3.0))
    text = _used("cannot tell", Removal(near), reliance(), Settings(), TISSUE, 3)
    assert text.startswith("We withhold 'used' because 8 of 99 random labelings do as much; with about ")
    assert " patients per hospital instead of 20 this would be decided if the effect is as large as it looks." in text
    assert "We withhold 'unused' because its part may be above 25 % of what a tumor does." in text


def test_an_effect_behind_its_controls_is_not_promised_to_be_decided():
    text = _used("cannot tell", Removal(effect(-0.5, (-1.0, 0.1))), reliance(), Settings(), Nouns(), 3)
    assert "no realistic amount of data would decide this" in text
    assert "per environment" not in text


def test_an_interval_over_zero_names_how_many_more():
    wide = effect(5.0, (-1.0, 11.0))
    text = _used("cannot tell", Removal(wide), reliance(), Settings(), Nouns(), 3)
    assert "because what its removal takes away may be nothing; with about" in text
    assert " groups per environment instead of 20 " in text


def test_too_few_units_are_counted_in_their_own_name():
    text = _used("cannot tell", Removal(effect(5.0, (-1.0, 11.0))), reliance(fewest=2), Settings(), TISSUE, 3)
    assert "the rarest of the hospitals has only 2 patients in the test part" in text
    single = effect(5.0, (-1.0, 11.0), unit="example")
    assert "only 2 examples" in _used("cannot tell", Removal(single), reliance(fewest=2), Settings(), TISSUE, 3)


def test_too_few_draws_are_the_obstacle_before_anything_else():
    few = Settings(draws=9)
    text = _used("cannot tell", Removal(effect(5.0, (1.0, 9.0), DRAWS[:9])), reliance(), few, TISSUE, 3)
    assert "9 random labelings cannot show that something is rare; raise draws" in text


def test_used_says_how_many_random_edits_it_beats():
    clear = effect(float(DRAWS.max()) + 1, (2.0, 6.0))
    assert "than all 99 random labelings do." in _used("used", Removal(clear), reliance(), Settings(), TISSUE, 3)
    second = effect(float(np.sort(DRAWS)[-2]) + 1e-9, (2.0, 6.0))
    assert "than all but 1 of 99 random labelings do." in _used(
        "used", Removal(second), reliance(), Settings(), TISSUE, 3
    )
    little = _used("used, negligibly", Removal(clear), reliance(), Settings(), TISSUE, 3)
    assert "but little" in little
    assert "less than 25 % of what a tumor does" in little


def test_as_many_units_as_named_have_the_power_that_is_named():
    """Draws of spread sd / sqrt(times), an effect as large as seen: four fifths of such studies pass the level."""
    rng = np.random.default_rng(1)
    seen = effect(1.0, (-0.2, 2.2))
    times = units_beyond_chance(seen, replace(seen.controls["labels"], mean=0.0, sd=1.0), alpha=0.05)
    assert times == pytest.approx((norm.isf(0.05) + norm.ppf(0.8)) ** 2, rel=1e-6)
    repeated = rng.normal(1.0, 1 / math.sqrt(times), 20_000)
    assert (repeated > norm.isf(0.05) / math.sqrt(times)).mean() == pytest.approx(0.8, abs=0.01)
    error = 1.2 / norm.isf(0.025)
    wider = units_above_zero(seen)
    repeated = rng.normal(1.0, error / math.sqrt(wider), 20_000)
    assert (repeated > norm.isf(0.025) * error / math.sqrt(wider)).mean() == pytest.approx(0.8, abs=0.01)


def test_more_units_are_never_fewer_than_there_are():
    clear = effect(50.0, (49.0, 51.0))
    assert units_beyond_chance(clear, clear.controls["labels"], 0.05) == 1
    assert units_above_zero(clear) == 1
    assert units_above_zero(effect(-1.0, (-2.0, 0.1))) == math.inf
