"""Tables of operations against brute force and the axioms of a group."""

from itertools import permutations

import numpy as np
import pytest

from grokscope.tasks.operations import OPERATIONS, is_prime, pair_count, s5_elements, s5_table, table

FORMULA = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "x2+y2": lambda a, b: a**2 + b**2,
    "x2+xy+y2": lambda a, b: a**2 + a * b + b**2,
}


@pytest.mark.parametrize("operation", FORMULA)
@pytest.mark.parametrize("p", [2, 6, 59])
def test_arithmetic_agrees_with_python_integers(operation, p):
    tokens, results = table(operation, p)
    assert {tuple(t) for t in tokens.tolist()} == {(a, b) for a in range(p) for b in range(p)}
    assert results.tolist() == [FORMULA[operation](a, b) % p for a, b in tokens.tolist()]


@pytest.mark.parametrize("p", [2, 7, 59])
def test_division_times_the_divisor_is_the_dividend(p):
    tokens, quotient = table("divide", p)
    a, b = tokens.T
    assert (b > 0).all()
    assert len(tokens) == p * (p - 1)
    np.testing.assert_array_equal(quotient * b % p, a)
    if p > 3:  # below, every unit is its own inverse and the trap cannot show
        assert (quotient != a * b % p).any()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_pair_count_is_the_length_of_the_table(operation):
    p = None if operation == "s5" else 11
    tokens, results = table(operation, p)
    assert len(tokens) == len(results) == pair_count(operation, p)
    assert len(np.unique(tokens, axis=0)) == len(tokens)
    assert tokens.dtype == results.dtype == np.int64


def test_s5_composes_the_second_token_first():
    elements, product = s5_elements(), s5_table()
    token = {row: t for t, row in enumerate(permutations(range(5)))}
    swap, cycle = token[1, 0, 2, 3, 4], token[1, 2, 3, 4, 0]
    by_hand = tuple(elements[swap][elements[cycle][i]] for i in range(5))
    assert by_hand == (0, 2, 3, 4, 1)
    assert product[swap, cycle] == token[by_hand]
    assert product[swap, cycle] != product[cycle, swap]


def test_s5_is_the_group():
    product = s5_table()
    every = np.arange(120)
    np.testing.assert_array_equal(product[0], every)
    np.testing.assert_array_equal(product[:, 0], every)
    for line in (*product, *product.T):  # a Latin square: inverses exist
        np.testing.assert_array_equal(np.sort(line), every)
    np.testing.assert_array_equal(product[product], product[:, product])  # (ab)c = a(bc)
    commuting = int((product == product.T).sum())
    assert commuting == 120 * 7  # order times the number of conjugacy classes


def test_s5_rows_follow_the_cayley_table():
    tokens, results = table("s5", None)
    np.testing.assert_array_equal(results, s5_table()[tokens[:, 0], tokens[:, 1]])


def test_is_prime():
    assert [p for p in range(-2, 60) if is_prime(p)] == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59]
    assert not is_prime(59 * 59)
