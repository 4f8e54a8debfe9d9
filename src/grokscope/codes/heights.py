"""Exact m-heights of systematic linear codes, a batch at a time and without linear programs.

The code is C = {u G}, G = [I_k | P], of length n = k + r. For a codeword c let |c_(0)| >= ... >= |c_(n-1)| be its
sorted magnitudes. The m-height is h_m = max over nonzero c of |c_(0)| / |c_(m)|, infinite when a nonzero codeword has
at most m nonzero positions. It governs which ratio of outlying to tolerable error an analog code can handle: R. M.
Roth, "Analog error-correcting codes", IEEE Trans. Inf. Theory 66 (2020); A. Jiang, "Analog error-correcting codes:
designs and analysis", IEEE Trans. Inf. Theory 70 (2024); Roth et al., "On the height profile of analog
error-correcting codes", arXiv:2602.20366.

Derivation of the formula computed here; g_i is column i of G and p(T) = det G_T for |T| = k.

1. *Free the order statistics.* For |S| = n - m and a not in S put M(a, S) = max |c_a| subject to |c_i| <= 1 on S. Then
   h_m = max over (a, S) of M(a, S). (>=) A feasible c has at most m positions above 1, so |c_(m)| <= 1 and its ratio
   is at least |c_a|. (<=) Scale a codeword to |c_(m)| = 1, let S be its n - m smallest positions and a its largest one,
   which lies outside S because m >= 1. A codeword with c_(m) = 0 vanishes on such an S; then rank G_S < k and,
   conversely, a rank-deficient S carries one, so h_m is infinite exactly when some S holds no T with p(T) != 0.
2. *LP duality.* For rank G_S = k, M(a, S) = min sum |y_i| subject to sum over S of y_i g_i = g_a.
3. *Basic solutions.* The minimum is attained on some T in S, |T| = k, p(T) != 0, where y = G_T^-1 g_a.
4. *Cramer's rule.* |y_t| = |p(T - t + a)| / |p(T)|. With Q(U) = sum over u in U of |p(U - u)|, |U| = k + 1, this gives
   1 + sum |y_t| = Q(T + a) / |p(T)|, hence

       1 + h_m = max over (a, S) of min over T in S, |T| = k, p(T) != 0, of Q(T + a) / |p(T)|.

5. *Minors.* |p(T)| is a minor of P (rows not in T, parity columns in T): one Laplace sweep yields all C(n, k) of them.
6. *Subsets.* The min over T in S equals the min over S - u for any k + 1 choices of u, since T misses one of them; one
   pass over the subset lattice, per a, serves every S and so every m.

Numerics. The kernel takes 1/(1 + h) = max |p| / Q, so that infinity is an exact zero. Integer P whose permanents stay
below 2^53 (|P| <= 100 and min(k, r) <= 6 always do) have exact minors. Otherwise every minor carries an error bound
of a few roundings times the permanent of its absolute entries; a code with a minor not certified to 2^-32 relative
(fewer than one in a thousand for P uniform on (-100, 100), n <= 10) has its minors recomputed in exact integers and
rounded once. So `p(T) != 0` is always decided exactly for the float64 numbers given, and finite heights are right to
1e-9 relative (usually 1e-14). It is exact for *those* numbers: a matrix meant to be singular but rounded on input
(thirds, say) has a finite height.
"""

import numpy as np

from grokscope.codes import kernel

SMALLEST, LARGEST = 2.0**-36, 2.0**36
"""Magnitudes of nonzero entries for which no minor, sum or ratio of an 8 x 8 parity part leaves float64's range."""
MAX_SIDE = 8


def m_heights(P: np.ndarray, m: int | None = None, *, finite: bool = False) -> np.ndarray:
    """Heights of codes [I | P]: P (B, k, r) with 1 <= k, r <= 8 -> (B, r) heights h_1..h_r, or (B,) for one `m`.

    They are at least 1, nondecreasing in m, and exactly infinite where a nonzero codeword has at most m nonzero
    positions. One m costs less than all. Raises ValueError for a wrong shape, k or r out of range, entries that are
    not finite numbers or whose magnitude is outside {0} and [2^-36, 2^36], m outside 1..r, and (with `finite`) for an
    infinite height.
    """
    P = parity_parts(P)
    _, k, r = P.shape
    if m is not None:
        check_m(m, r)
    levels = r if m is None else r - m + 1
    count = len(kernel.laplace(k, r).size)
    step = max(1, 2**14 // count) * kernel.LANES
    blocks = [_block(P[start : start + step], levels) for start in range(0, len(P), step)]
    ratio = np.concatenate([np.empty((0, r)), *blocks])
    with np.errstate(divide="ignore"):
        heights = np.maximum(1.0 / ratio - 1.0, 1.0)
    heights = heights if m is None else heights[:, m - 1]
    if finite:
        _require_finite(heights, m)
    return heights


def _block(P: np.ndarray, levels: int) -> np.ndarray:
    """1 / (1 + h) of some thousand codes at most, (B, r)."""
    table = kernel.lattice(*P.shape[1:])
    least = kernel.sweep(minors(P), *table, levels)
    return least.transpose(0, 2, 1).reshape(-1, P.shape[2])[: len(P)]


def minors(P: np.ndarray) -> np.ndarray:
    """All minors det P[R, C] of checked P (B, k, r), in lanes: (ceil(B / 8), C(n, k), 8); spare lanes repeat a code.

    In the order of `kernel.laplace`; their magnitudes are the maximal minors of [I | P].
    """
    size, k, r = P.shape
    groups = -(-size // kernel.LANES)
    codes = P[np.minimum(np.arange(groups * kernel.LANES), size - 1)]
    entries = np.ascontiguousarray(codes.reshape(groups, kernel.LANES, k * r).transpose(0, 2, 1))
    value, doubtful, largest = kernel.minors(entries, *kernel.laplace(k, r))
    exact = (entries == np.rint(entries)).all(axis=1) & (largest < 2.0**53)
    for group, lane in np.argwhere(doubtful & ~exact):
        value[group, :, lane] = _exact_minors(entries[group, :, lane], k, r)
    return value


def _exact_minors(entries: np.ndarray, k: int, r: int) -> list[float]:
    """The same expansion in integers (a float64 is an integer over a power of two), each minor rounded once."""
    pairs = [float(x).as_integer_ratio() for x in entries]
    scale = max(denominator for _, denominator in pairs)
    numbers = [numerator * (scale // denominator) for numerator, denominator in pairs]
    table = kernel.laplace(k, r)
    value = [1]
    for size, entry, sub, sign in list(zip(*(part.tolist() for part in table[:4]), strict=True))[1:]:
        value.append(sum(int(sign[j]) * numbers[entry[j]] * value[sub[j]] for j in range(size)))
    return [v / scale**size for v, size in zip(value, table.size.tolist(), strict=True)]


def parity_parts(P: np.ndarray) -> np.ndarray:
    """P as a checked float64 batch (B, k, r); raises ValueError naming the remedy (see `m_heights`)."""
    P = np.asarray(P)
    if P.ndim != 3:
        raise ValueError(f"P has shape {P.shape}, expected (codes, k, n - k); pass P[None] for a single parity part")
    if not (1 <= P.shape[1] <= MAX_SIDE and 1 <= P.shape[2] <= MAX_SIDE):
        raise ValueError(f"P has k = {P.shape[1]}, n - k = {P.shape[2]}; both must lie in 1..{MAX_SIDE}")
    if P.dtype.kind not in "iuf":
        raise ValueError(f"P has dtype {P.dtype}; pass real numbers (float or integer)")
    size = np.abs(P.astype(np.float64))
    if not np.isfinite(size).all():
        bad = int(np.flatnonzero(~np.isfinite(size).all(axis=(1, 2)))[0])
        raise ValueError(f"P[{bad}] holds NaN or infinity; remove that code or repair its entries")
    if ((size > 0) & ((size < SMALLEST) | (size > LARGEST))).any():
        raise ValueError("P has nonzero entries outside 2^-36..2^36 in magnitude; round tiny entries to 0 or rescale P")
    return P.astype(np.float64)


def check_m(m: int, r: int) -> None:
    """Raises ValueError unless 1 <= m <= r = n - k."""
    if not 1 <= m <= r:
        raise ValueError(f"m = {m} is outside 1..n-k = 1..{r}; from n-k+1 on every height is infinite")


def _require_finite(heights: np.ndarray, m: int | None) -> None:
    bad = np.argwhere(np.isinf(heights))
    if len(bad):
        code, order = bad[0][0], m if m is not None else bad[0][1] + 1
        raise ValueError(
            f"{len(np.unique(bad[:, 0]))} code(s) have an infinite height, first code {code} at m = {order}: a nonzero "
            f"codeword has at most {order} nonzero positions; lower m, change P, or keep infinities by finite=False"
        )
