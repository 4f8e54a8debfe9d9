"""Numbers as text: the same value reads the same in every room, and thousands are always separated."""

import math
import re
from pathlib import Path

import pytest

import grokscope
from grokscope.vocabulary.text import (
    NONE,
    digits,
    factor,
    listed,
    number,
    p_equation,
    p_value,
    percent,
    plural,
    score,
    short,
    size,
    steps,
    steps_or_more,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.93333, "0.9333"), (999.96, "1,000"), (1000, "1,000"), (12345.6, "12,346"), (-2500, "-2,500"), (1e20, "1e+20"),
     (math.nan, "nan"), (math.inf, "inf"), (0, "0"), (1.5e-7, "1.5e-07")],
)  # fmt: skip
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(12000.0, "12,000"), (12.25, "12.25"), (-3, "−3"), (math.inf, "∞")])
def test_steps(value, text):
    assert steps(value) == text


def test_a_time_that_was_not_reached_is_a_bound():
    assert [steps_or_more(1200, censored) for censored in (False, True)] == ["1,200", "> 1,200"]


def test_what_is_missing_is_a_dash():
    assert {f(v) for f in (steps, score, digits, factor) for v in (None, math.nan)} == {NONE}


@pytest.mark.parametrize(
    ("value", "text"), [(0.012345, "0.0123"), (-1.2e-05, "−1.2e−5"), (4.321e12, "4.32e12"), (-math.inf, "−∞")]
)
def test_three_digits(value, text):
    assert digits(value) == text


def test_plurals_and_lists():
    assert [plural(n, "run") for n in (0, 1, 1200)] == ["0 runs", "1 run", "1,200 runs"]
    assert plural(2, "study", "studies") == "2 studies"
    assert [listed(x) for x in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


def test_short_forms_for_axes_and_disks():
    assert [short(v) for v in (12000, 1.5e6, 3e9, 0.25)] == ["12k", "1.5M", "3G", "0.25"]
    assert [size(v) for v in (12, 68e6, 999.4)] == ["12 B", "68 MB", "999 B"]
    assert [factor(v) for v in (2.34, 1234.0)] == ["2.3×", "1,234×"]


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.0037, "<1 %"), (0.005, "<1 %"), (0.0051, "1 %"), (0.374, "37 %"), (0.9949, "99 %"),
     (0.995, ">99 %"), (0.9951, ">99 %"), (1, "100 %"), (-0.002, ">-1 %"), (12.5, "1,250 %")],
)  # fmt: skip
def test_percent_says_none_and_all_only_of_none_and_all(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.0004, "<0.1 %"), (0.005, "0.5 %"), (0.123, "12.3 %"), (0.9996, ">99.9 %"), (1, "100.0 %")]
)
def test_percent_with_a_decimal_rounds_neither_to_none_nor_to_all(share, text):
    assert percent(share, 1) == text


def test_no_p_is_zero():
    assert p_equation(0.03125) == "p = 0.0312"
    assert p_equation(0.0) == p_equation(1e-310) == "p < 1e-300"
    assert p_equation(1e-299) == "p = 1e-299"
    assert [p_value(p) for p in (0.03125, 0.0, 1.0, None, math.nan)] == ["0.0312", "<1e-300", "1", NONE, NONE]


def by_hand(source: str) -> list[str]:
    """Lines that format a p or a share by themselves: ``p {x.p:.3g}``, ``{share:.0%}``."""
    p = r"\b(p|\w+_p|p_\w+)"
    form = rf"{p}:\.\dg\}}|\b(number|digits|text|score)\([\w.]*{p}\)|:\.\d%\}}"
    names = "cut="  # of a setting, which is no share of anything counted
    return [line.strip() for line in source.splitlines() if re.search(form, line) and names not in line]


def test_no_other_module_formats_p_or_shares():
    root = Path(grokscope.__file__).parent
    files = {str(file.relative_to(root)): by_hand(file.read_text()) for file in root.rglob("*.py")}
    assert {name for name, lines in files.items() if lines} == {"vocabulary/text.py"}


@pytest.mark.parametrize(
    ("code", "count"),
    [('f"p = {test.p:.3g}"', 1), ('f"{t.smallest_p:.2g}"', 1), ('f"{number(t.p_adjusted)}"', 1), ('f"{share:.0%}"', 1),
     ('f"{p_value(t.p)}"', 0), ('f"{percent(share)}, {step:.3g}"', 0)],
)  # fmt: skip
def test_the_finder_of_formats_sees_what_it_should(code, count):
    assert len(by_hand(code)) == count
