"""Complete tables of binary operations: modular arithmetic, and composition in the symmetric group S5."""

from collections.abc import Callable
from functools import cache
from itertools import permutations

import numpy as np

ARITHMETIC: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "add": lambda a, b, p: (a + b) % p,
    "subtract": lambda a, b, p: (a - b) % p,
    "multiply": lambda a, b, p: a * b % p,
    "divide": lambda a, b, p: a * _inverses(p)[b] % p,
    "x2+y2": lambda a, b, p: (a * a + b * b) % p,
    "x2+xy+y2": lambda a, b, p: (a * a + a * b + b * b) % p,
}
"""Operation -> result of residues a, b (n,) int64 modulo p."""

OPERATIONS = (*ARITHMETIC, "s5")
S5_ORDER = 120


def is_prime(p: int) -> bool:
    """By trial division: moduli are small."""
    return p >= 2 and all(p % d for d in range(2, int(p**0.5) + 1))


def pair_count(operation: str, p: int | None) -> int:
    """Number of rows of the operation's table, without building it."""
    left, right = _table_shape(operation, p)
    return left * right


def table(operation: str, p: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The complete table: tokens (pairs, 2) int64 in lexicographic order, and results (pairs,) int64.

    Division has no row with b = 0, the only residue of a prime modulus without an inverse.
    """
    left, right = _table_shape(operation, p)
    a, b = (grid.ravel() for grid in np.indices((left, right), dtype=np.int64))
    if operation == "s5" or p is None:
        return np.stack([a, b], axis=1), s5_table()[a, b]
    b = b + (operation == "divide")
    return np.stack([a, b], axis=1), ARITHMETIC[operation](a, b, p)


def s5_elements() -> np.ndarray:
    """Permutations of five things (120, 5) int64, lexicographic: token t maps i to row[t][i]; 0 is the identity."""
    return np.array(list(permutations(range(5))), dtype=np.int64)


@cache
def s5_table() -> np.ndarray:
    """Cayley table (120, 120) int64 of S5: entry (a, b) is the token of a after b, that is i -> a(b(i))."""
    elements = s5_elements()
    place = 5 ** np.arange(4, -1, -1)
    codes = elements @ place  # increasing, because the elements are in lexicographic order
    composed = elements[:, elements]  # (a, b, i) -> a(b(i))
    return np.searchsorted(codes, composed @ place).astype(np.int64)


def _table_shape(operation: str, p: int | None) -> tuple[int, int]:
    if operation == "s5" or p is None:
        return S5_ORDER, S5_ORDER
    return p, p - (operation == "divide")


def _inverses(p: int) -> np.ndarray:
    """The inverse of each residue modulo a prime (p,) int64; entry 0 is a placeholder that no row uses."""
    return np.array([0, *(pow(b, -1, p) for b in range(1, p))], dtype=np.int64)
