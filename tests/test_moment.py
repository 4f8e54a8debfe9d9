"""Moments of a run as configs write them."""

import pytest

from grokscope.moment import Moment, read_moment


@pytest.mark.parametrize(
    ("written", "moment", "step"),
    [
        (400, Moment(False, 400), 400),
        (0, Moment(False, 0), 0),
        ("400", Moment(False, 400), 400),
        ("1_000 steps", Moment(False, 1000), 1000),
        ("20 epochs", Moment(False, 20, "epochs"), 140),
        ("1 epoch", Moment(False, 1, "epochs"), 7),
        ("T_fit", Moment(True, 0), 50),
        ("T_fit + 5", Moment(True, 5), 55),
        ("T_fit+5", Moment(True, 5), 55),
        (" T_fit + 2 epochs ", Moment(True, 2, "epochs"), 64),
    ],
)
def test_what_is_written_is_a_step_once_the_fit_is_known(written, moment, step):
    read = read_moment(written, "from")
    assert read == moment
    assert read.step(7, 50) == step
    assert read.step(7, None) == (None if moment.after_fit else step)


@pytest.mark.parametrize(
    "wrong", [-1, 2.5, True, None, "", "T_gen", "T_fit 5", "T_fit +", "T_fit - 5", "+ 5", "epochs", "5 weeks", 10**19]
)
def test_what_is_no_moment_is_told_with_the_forms_that_there_are(wrong):
    with pytest.raises(ValueError, match=r"^from must (be a moment such as 400|lie within)"):
        read_moment(wrong, "from")


@pytest.mark.parametrize(
    ("one", "two", "certain"),
    [
        (3, 3, True),
        (3, 4, True),
        (4, 3, False),
        ("T_fit", "T_fit + 2", True),
        ("T_fit", 100, False),
        (10, "2 epochs", False),
        (0, "2 epochs", True),
    ],
)
def test_an_order_is_certain_only_in_one_unit_from_one_origin(one, two, certain):
    assert read_moment(one, "a").not_after(read_moment(two, "b")) == certain
