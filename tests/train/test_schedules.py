"""Learning-rate schedules by hand."""

import pytest

from grokscope import registry
from grokscope.config import Regime
from grokscope.train.schedules import Constant, Cosine, Warmup


def rates(cls, total, warmup=0, lr=1.0):
    schedule = cls() if cls is Constant else cls(warmup_steps=warmup)
    rate = schedule.build(lr, total)
    return [rate(step) for step in range(1, total + 1)]


def test_constant():
    assert rates(Constant, 3, lr=0.3) == [0.3, 0.3, 0.3]


def test_warm_up_reaches_the_rate_on_its_last_step():
    assert rates(Warmup, 6, warmup=4, lr=2.0) == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    assert rates(Warmup, 3, warmup=0) == [1.0, 1.0, 1.0]
    assert rates(Warmup, 2, warmup=1) == [1.0, 1.0]


def test_cosine_halves_in_the_middle_and_ends_at_zero():
    assert rates(Cosine, 4) == pytest.approx([(2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 0.0])
    assert rates(Cosine, 6, warmup=2) == pytest.approx([0.5, 1.0, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 0.0])


def test_cosine_survives_a_warm_up_as_long_as_the_run():
    assert rates(Cosine, 3, warmup=3) == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_a_warm_up_that_would_be_ignored_is_refused():
    with pytest.raises(ValueError, match=r"\$.regime.schedule.warmup_steps: .*belongs to warmup, cosine"):
        Regime(schedule={"name": "constant", "warmup_steps": 5})


@pytest.mark.parametrize("name", list(registry.built_in("schedule")))
def test_what_depends_on_the_length_says_so(name):
    """It decides whether a longer budget extends a run or is another run."""
    cls = registry.load("schedule", name)
    short, long = (rates(cls, total, warmup=3)[:10] for total in (10, 30))
    assert (short != long) == cls.depends_on_length
