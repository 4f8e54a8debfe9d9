"""Description of one code: its heights, minimum distance and the codewords that attain them."""

import numpy as np

from grokscope.codes.codewords import certificate, generator
from grokscope.codes.heights import m_heights


def describe_code(P: np.ndarray) -> dict[str, object]:
    """n, k, minimum distance and, per m in 1..n-k, height, log2 height and certificate of one parity part P (k, n-k).

    Plain JSON data; an infinite height is None. Raises ValueError as `m_heights` does.
    """
    G = generator(P)
    k, n = G.shape
    heights = m_heights(G[:, k:][None])[0]
    rows = []
    for m, height in enumerate(heights.tolist(), start=1):
        proof = certificate(G[:, k:], m)
        log2 = float(np.log2(height))
        value = {"height": height, "log2": log2} if np.isfinite(height) else {"height": None, "log2": None}
        rows.append({"m": m, **value, "codeword": proof.codeword.tolist(), "message": proof.message.tolist()})
    # h_m is finite exactly when every nonzero codeword has more than m nonzero positions.
    return {"n": n, "k": k, "distance": int(np.isfinite(heights).sum()) + 1, "heights": rows}


def show_code(P: np.ndarray) -> str:
    """`describe_code` as text, one line per m."""
    code = describe_code(P)
    lines = [f"[{code['n']}, {code['k']}] code, minimum distance {code['distance']}"]
    lines += [" m      height    log2  codeword"]
    rows = code["heights"]
    assert isinstance(rows, list)
    for row in rows:
        value = "  infinite       -"
        if row["height"] is not None:
            value = f"{row['height']:10.4g}  {row['log2']:6.3f}"
        word = " ".join(f"{x:.4g}" for x in row["codeword"])
        lines.append(f"{row['m']:2d}  {value}  ({word})")
    return "\n".join(lines)
