"""Requirements of measurements, and messages for networks that do not meet them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from grokscope.components import Measurement

if TYPE_CHECKING:
    from grokscope.train.evaluate import View

NO_HIDDEN_LAYER = "the network has no hidden layer"
NO_CLASSES = "the task has real targets, no classes"
NO_START = "the weights before the first step are not known"
NO_INVARIANT = "no weight of the network is scale-invariant"
OTHER_OUTPUTS = "an intervention changes the outputs that the loss sees"


def silences(measurement: Measurement, view: "View") -> Mapping[str, str]:
    """Name of a measurement -> why it says nothing of this run: a need that is not met, or a reason of its own."""
    if _lacks_training_loss(measurement, view):
        return {measurement.name: OTHER_OUTPUTS}
    return measurement.reasons(view)


def take(measurement: Measurement, view: "View") -> Mapping[str, Any]:
    """What it says of the present weights; nothing where a need is not met."""
    if _lacks_training_loss(measurement, view):
        return {}
    return measurement(view)


def _lacks_training_loss(measurement: Measurement, view: "View") -> bool:
    return view.outputs_changed and "training_loss" in measurement.needs
