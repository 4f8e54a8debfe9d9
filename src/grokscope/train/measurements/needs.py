"""What measurements need of a network, and the words for what it lacks."""

from typing import Literal

Need = Literal["initial", "update"]
"""What a run keeps on request only: the weights before the first step, the change of the last one."""
NO_HIDDEN_LAYER = "the network has no hidden layer"
NO_CLASSES = "the task has real targets, no classes"
NO_START = "the weights before the first step are not known"
NO_INVARIANT = "no weight of the network is scale-invariant"
OTHER_OUTPUTS = "an intervention changes the outputs that the loss sees"
