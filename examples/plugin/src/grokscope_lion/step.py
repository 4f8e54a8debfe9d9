"""Lion's update as a torch optimizer. All that it remembers is in ``self.state``: a killed run goes on bit for bit."""

from collections.abc import Callable, Iterable

import torch


class LionStep(torch.optim.Optimizer):
    """One group of parameters; weight decay is done elsewhere."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], lr: float, betas: tuple[float, float]):
        super().__init__(parameters, {"lr": lr, "betas": tuple(betas)})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        del closure
        for group in self.param_groups:
            in_step, memory = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                momentum = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
                p.sub_(torch.lerp(p.grad, momentum, in_step).sign_(), alpha=group["lr"])
                momentum.lerp_(p.grad, 1 - memory)
