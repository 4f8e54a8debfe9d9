"""Which runs can share a stack, decided from their configs. Imports no torch.

What only the built networks and data can tell is checked when a stack is made (`grokscope.train.stacked.engine`).
"""

from collections.abc import Sequence

from grokscope import configio
from grokscope.config import RunConfig

UPDATE = (
    "optimizer", "schedule", "grad_filter", "lr", "weight_decay", "decay_groups", "decay_target", "clip_norm",
    "interventions",
)  # fmt: skip
"""Settings of a regime of which each value makes an update of its own in every step of a stack."""


def refusal(config: RunConfig) -> str:
    """Why this run cannot be trained in a stack, naming the key; empty where nothing is in the way."""
    if config.engine.name != "torch":
        return f"$.engine: {config.engine.name!r} has its own training loop, so it cannot be stacked"
    if config.regime.autocast != "none":
        return f"$.regime.autocast: {config.regime.autocast!r} cannot be stacked"
    if config.hardware.compile:
        return "$.hardware.compile: a compiled network cannot be stacked"
    if config.hardware.step == "graph":
        return "$.hardware.step: steps of a stack are not captured as a graph; use auto or eager"
    if config.start is not None and config.start.exact:
        return "$.start: an exact fork continues from its parent's state, and is trained alone"
    for i, intervention in enumerate(config.regime.interventions):
        settings = intervention.settings(config.regime)
        if (settings.loss, settings.loss_dtype) != (config.regime.loss, config.regime.loss_dtype):
            return (
                f"$.regime.interventions[{i}]: {intervention.name!r} changes the loss, which members of a stack share"
            )
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


def settings_key(config: RunConfig) -> str:
    """Equal for runs of one `stack_key` whose weights a stack updates at once: 16 runs with one learning rate make
    steps nearly twice as fast as 16 with a learning rate each."""
    regime = configio.dump(config.regime)
    return configio.content_hash([regime[key] for key in UPDATE])


def mixture(configs: Sequence[RunConfig]) -> str:
    """Equal for stacks of about one speed, whatever their numbers: of one kind, with the same components, and with
    equally many settings of which each is an update of its own."""
    components = {configio.content_hash(_components(config)) for config in configs}
    settings = {settings_key(config) for config in configs}
    return configio.content_hash([stack_key(configs[0]), sorted(components), len(settings)])


def _components(config: RunConfig) -> list[object]:
    regime = config.regime
    acting = [regime.optimizer.name, regime.grad_filter.name, *(i.name for i in regime.interventions)]
    drawn = [bool(regime.irm_weight), regime.augment_flip, bool(regime.augment_crop), bool(regime.augment_stain)]
    return [*acting, *drawn]
