"""Which runs can share a stack, told from their configs alone. Imports no torch.

What only the built networks and data can tell is checked when a stack is made (`grokscope.train.stacked.engine`).
"""

from grokscope import configio
from grokscope.config import RunConfig


def refusal(config: RunConfig) -> str:
    """Why this run cannot be trained in a stack, naming the key; empty where nothing is in the way."""
    if config.engine.name != "torch":
        return f"$.engine: {config.engine.name!r} is a loop of its own, so it cannot be stacked"
    if config.regime.autocast != "none":
        return f"$.regime.autocast: {config.regime.autocast!r} cannot be stacked"
    if config.hardware.compile:
        return "$.hardware.compile: a compiled network cannot be stacked"
    if config.hardware.step == "graph":
        return "$.hardware.step: steps of a stack are not captured as a graph; use auto or eager"
    if config.start is not None and config.start.exact:
        return "$.start: an exact fork goes on from its parent's state, and is trained alone"
    for i, intervention in enumerate(config.regime.interventions):
        settings = intervention.settings(config.regime)
        if (settings.loss, settings.loss_dtype) != (config.regime.loss, config.regime.loss_dtype):
            return f"$.regime.interventions[{i}]: {intervention.name!r} changes the loss, which a stack has in common"
        if settings.batch_size != config.regime.batch_size:
            return f"$.regime.interventions[{i}]: {intervention.name!r} changes the batch size; a stack has one"
    return ""


def stack_key(config: RunConfig) -> str:
    """Equal for runs that may share a stack: model, task and sizes, loss, length, cadences and hardware. Numbers of the
    regime may differ, and so may fractional numbers of the task, which draw other data of one size."""
    regime = config.regime
    shared = {
        "model": configio.dump(config.model),
        "task": {key: value for key, value in configio.dump(config.task).items() if not isinstance(value, float)},
        "n_train": config.task.train_size(),
        "loss": [configio.dump(regime.loss), regime.loss_dtype],
        "batch_size": regime.batch_size,
        "budget": configio.dump(config.budget),
        "cadences": [configio.dump(c) for c in (config.evaluate, config.diagnose, config.checkpoint)],
        "hardware": configio.dump(config.hardware),
        "engine": configio.dump(config.engine),
    }
    return configio.content_hash(shared)
