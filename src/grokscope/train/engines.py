"""The engines that a config can name: the loop that trains. Importing them imports no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from grokscope.components import EngineChoice
from grokscope.registry import register

if TYPE_CHECKING:
    from grokscope.config import RunConfig
    from grokscope.task_data import TaskData


@register
@dataclass(frozen=True, kw_only=True)
class Torch(EngineChoice):
    """The general loop, for every task and model: ``forward, loss, backward, filter, clip, decay, update``. Cost: one
    network in eager torch. Misleads on speed: for small networks most of a step is Python and launches of kernels."""

    name: ClassVar[str] = "torch"
    summary: ClassVar[str] = "the general training loop"

    def build(self, config: "RunConfig", data: "TaskData", total_steps: int) -> Any:
        from grokscope.train.torch_engine import TorchEngine

        engine = TorchEngine(config, data, total_steps)
        engine.choose_step(config.hardware)
        return engine


@register
@dataclass(frozen=True, kw_only=True)
class Compiled(EngineChoice):
    """Single-example SGD of the competing-features toy exactly as published: ``w -= lr (wd w + grad)`` on one example a
    step, in float64, compiled. Cost: some hundredth of the general loop's. Misleads beside it: the decay comes before
    the forward, so the two agree only to the order of lr * wd in each step."""

    name: ClassVar[str] = "compiled"
    summary: ClassVar[str] = "compiled single-example SGD of the competing-features toy"

    def build(self, config: "RunConfig", data: "TaskData", total_steps: int) -> Any:
        from grokscope.train.compiled_engine import CompiledEngine

        del total_steps
        return CompiledEngine(config, data)
