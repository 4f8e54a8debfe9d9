"""Slow, independent answers for heights: exact rationals from the primal side, and linear programs.

Neither uses minors, the dual or the subset lattice of the program.
"""

from fractions import Fraction
from itertools import combinations, product

import numpy as np
from scipy.optimize import linprog


def exact_height(P, m: int) -> Fraction | float:
    """h_m by listing vertices: for each S of n-m positions, every u with c = +-1 on k independent columns of S.

    The largest |c_j| over the box |c_i| <= 1 on S is at such a vertex; when a nonzero codeword vanishes on S the box is
    unbounded.
    """
    rows = [[Fraction(int(i == j)) for j in range(len(P))] + [Fraction(x) for x in row] for i, row in enumerate(P)]
    k, n = len(rows), len(rows[0])
    best = Fraction(0)
    for S in combinations(range(n), n - m):
        if rank([[row[i] for i in S] for row in rows]) < k:
            return float("inf")
        for T in combinations(S, k):
            inverse = invert([[row[i] for i in T] for row in rows])
            if inverse is None:
                continue
            for signs in product((1, -1), repeat=k - 1):
                u = [sum(s * inverse[t][i] for t, s in enumerate((1, *signs))) for i in range(k)]
                c = [sum(u[i] * rows[i][j] for i in range(k)) for j in range(n)]
                if all(abs(c[i]) <= 1 for i in S):
                    best = max(best, *map(abs, c))
    return best


def rank(rows: list[list[Fraction]]) -> int:
    """Rank by Gaussian elimination."""
    rows, done = [list(row) for row in rows], 0
    for j in range(len(rows[0])):
        at = next((i for i in range(done, len(rows)) if rows[i][j]), None)
        if at is None:
            continue
        rows[done], rows[at] = rows[at], rows[done]
        for i in range(done + 1, len(rows)):
            factor = rows[i][j] / rows[done][j]
            rows[i] = [x - factor * y for x, y in zip(rows[i], rows[done], strict=True)]
        done += 1
    return done


def invert(square: list[list[Fraction]]) -> list[list[Fraction]] | None:
    """Inverse by Gauss and Jordan; None for a singular matrix."""
    k = len(square)
    rows = [[*row, *(Fraction(int(i == j)) for j in range(k))] for i, row in enumerate(square)]
    for j in range(k):
        at = next((i for i in range(j, k) if rows[i][j]), None)
        if at is None:
            return None
        rows[j], rows[at] = rows[at], rows[j]
        rows[j] = [x / rows[j][j] for x in rows[j]]
        for i in range(k):
            if i != j:
                rows[i] = [x - rows[i][j] * y for x, y in zip(rows[i], rows[j], strict=True)]
    return [row[k:] for row in rows]


def determinant(square: list[list]):
    """By cofactors of the first row, in whatever arithmetic the entries have."""
    if not square:
        return 1
    rest = square[1:]
    terms = (x * determinant([row[:j] + row[j + 1 :] for row in rest]) for j, x in enumerate(square[0]))
    return sum(-term if j % 2 else term for j, term in enumerate(terms))


def lp_height(P: np.ndarray, m: int) -> float:
    """h_m by one linear program per (a, b, X, psi), after Roth and Jiang: c_a the largest, c_b = 1 the m-th, the m - 1
    positions of X between them with signs psi, the others at most 1; infinite when one program is unbounded.

    Degenerate codes (a zero column, say) may leave every program infeasible: use `exact_height` for those.
    """
    k, r = P.shape
    n = k + r
    G = np.hstack([np.eye(k), P])
    best = 0.0
    for a, b in ((a, b) for a in range(n) for b in range(n) if a != b):
        rest = [i for i in range(n) if i not in (a, b)]
        for X in combinations(rest, m - 1):
            Y = [i for i in rest if i not in X]
            for psi in product((1, -1), repeat=m):
                top = psi[0] * G[:, a]
                between = [(s * G[:, j]) for s, j in zip(psi[1:], X, strict=True)]
                rows = [x - top for x in between] + [-x for x in between]
                rows += [G[:, j] for j in Y] + [-G[:, j] for j in Y]
                bound = [0.0] * (m - 1) + [-1.0] * (m - 1) + [1.0] * (2 * len(Y))
                answer = linprog(
                    -top,
                    A_ub=np.array(rows) if rows else None,
                    b_ub=bound if rows else None,
                    A_eq=G[:, [b]].T,
                    b_eq=[1.0],
                    bounds=(None, None),
                    method="highs",
                    options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
                )
                if answer.status == 3:
                    return float("inf")
                if answer.status == 0:
                    best = max(best, -answer.fun)
    return best
