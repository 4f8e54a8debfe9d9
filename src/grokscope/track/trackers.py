"""The built-in trackers; importing this module registers them and imports none of their packages."""

from grokscope.track.to_tensorboard import TensorBoard
from grokscope.track.to_trackio import Trackio
from grokscope.track.to_wandb import WandB

__all__ = ["TensorBoard", "Trackio", "WandB"]
