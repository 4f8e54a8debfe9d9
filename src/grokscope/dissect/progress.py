"""Progress of a dissection."""

from collections.abc import Callable, Sequence
from typing import Literal

Watch = Callable[[str, float], None]
"""Called with the piece that begins and the share of the whole dissection that is done by then."""

Piece = Literal["features", "probes", "erasure", "steering", "neurons"]
DONE: dict[Piece, float] = {"features": 0.0, "probes": 0.07, "erasure": 0.56, "steering": 0.84, "neurons": 0.88}
"""Share of the work done when a piece begins, as processor time was divided on a small ResNet and 400 images."""
STEER_SITE = 2.0
"""Time that steering through the network at one site takes, roughly, in dissections without it."""


class Progress:
    """Tells a watcher, if there is one, of each piece as it begins."""

    def __init__(self, watch: Watch | None, steer_sites: Sequence[str] = ()):
        self.watch = watch
        self.total = 1 + STEER_SITE * len(steer_sites)

    def begin(self, piece: Piece) -> None:
        if self.watch:
            self.watch(piece, DONE[piece] / self.total)

    def begin_site(self, number: int, site: str) -> None:
        """Steering through the network at the `number`-th site begins."""
        if self.watch:
            self.watch(f"steering at {site}", (1 + STEER_SITE * number) / self.total)
