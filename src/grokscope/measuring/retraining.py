"""Train new networks on the first examples of a run, with the run's settings."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from grokscope.config import RunConfig
from grokscope.moment import read_moment
from grokscope.seeds import derive
from grokscope.task_data import TaskData
from grokscope.train.driver import make_engine
from grokscope.train.evaluate import Retraining, forward
from grokscope.train.interventions.of_loss import TrainSubset
from grokscope.train.process_state import deterministic, precision
from grokscope.train.torch_engine import TorchEngine


def retraining(config: RunConfig, data: TaskData) -> Retraining:
    """How networks of this run are trained anew on a part of its examples; smaller parts are parts of larger ones."""
    n = len(data.splits["train"])
    order = torch.randperm(n, generator=torch.Generator().manual_seed(derive(config.seed, "train-subset/0")))
    return Retraining(order, _Trainer(config, data, n), _why_not(config))


def _why_not(config: RunConfig) -> str | None:
    regime = config.regime
    if config.start is not None:
        return "the run continued from another run, so its steps alone do not reproduce it"
    if any(
        i.name == "train_subset" or i.settings(regime).batch_size != regime.batch_size for i in regime.interventions
    ):
        return "an intervention draws its own batches"
    moments = [m for i in regime.interventions for m in (i.from_, i.until) if m is not None]
    if any(read_moment(m, "from").after_fit for m in moments):
        return "an intervention waits for T_fit, which is a different step with fewer examples"
    return None


@dataclass(frozen=True)
class _Trainer:
    config: RunConfig
    data: TaskData
    n: int

    def __call__(self, m: int, steps: int) -> Tensor:
        """Outputs (n, k) on all training examples of a network that was trained on the first m for so many steps."""
        regime = self.config.regime
        subset = TrainSubset(share=m / self.n)
        changed = replace(regime, interventions=(*regime.interventions, subset))
        config = replace(self.config, regime=changed, measure=())
        hardware = config.hardware
        with deterministic(derive(config.seed, "training"), hardware.deterministic), precision(hardware.tf32):
            engine = make_engine(config, self.data)[1]
            assert isinstance(engine, TorchEngine)
            with torch.enable_grad():
                engine.advance(steps, False, lambda: False)
            engine.model.eval()
            return forward(engine.network, engine.splits["train"].x).clone()
