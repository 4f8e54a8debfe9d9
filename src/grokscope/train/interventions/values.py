"""Values shared by several interventions, and their limits."""

from grokscope.checks import require, require_whole

Selection = str | tuple[str, ...]
"""``total``, ``matrices``, a parameter group, a parameter's name, or a list of such words."""
MAX_DRAW = 2**31 - 1


def require_strength(strength: float) -> None:
    require(0 <= strength <= 1, f"strength is a share in [0, 1], got {strength}")


def require_draw(draw: int) -> None:
    require_whole("draw", draw, 0, MAX_DRAW)
