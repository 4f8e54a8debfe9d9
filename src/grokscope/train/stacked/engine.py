"""The stacked engine: one step of K networks at a time, equivalent to each member's own engine.

A member is a `TorchEngine`, built by the code that builds it alone. Its weights and buffers then become slices of
stacked tensors, so that it can look at itself, tell its state and be judged as ever; only the step is common. One step
is: forward and backward of all, then filter, clip, decay and update of each cluster
(`grokscope.train.stacked.updates`); interventions act on each member by itself.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from grokscope import configio
from grokscope.components import LossFunction
from grokscope.measure import irm
from grokscope.train import loss_functions
from grokscope.train.stacked.batches import Batches
from grokscope.train.stacked.networks import stacked_forward
from grokscope.train.stacked.updates import Cluster
from grokscope.train.torch_engine import TorchEngine

MEANS = (
    loss_functions.CrossEntropy,
    loss_functions.OneHotMSE,
    loss_functions.StableMax,
    loss_functions.Hinge,
    loss_functions.Logistic,
    loss_functions.SquaredError,
)
"""Losses known to be means over examples: K times the mean over all examples of K members is the sum of their means."""
PRECISE = (torch.float32, torch.float64)
"""Dtypes in which the mean over K times as many examples still has a gradient."""


def update_key(engine: TorchEngine) -> str:
    """What members of one cluster share: all that happens to a gradient, and for how many steps it has."""
    regime = engine.regime
    components = (regime.optimizer, regime.schedule, regime.grad_filter)
    return configio.content_hash(
        {
            "components": [configio.dump(c) for c in components],
            "numbers": [regime.lr, regime.weight_decay, regime.decay_groups, regime.decay_target, regime.clip_norm],
            "length": engine.total_steps,
            "memory": [*_form(engine.filter.state_dict()), *_form(engine.optimizer.state_dict())],
        }
    )


def _form(state: Any) -> Iterator[Any]:
    """Numbers and counts in a state, and where it holds tensors: what must be alike for states to be stacked."""
    if isinstance(state, Tensor):
        yield list(state.shape) if state.dim() else state.item()
    elif isinstance(state, dict):
        for key, value in state.items():
            yield from (str(key), *_form(value))
    elif isinstance(state, list | tuple):
        for value in state:
            yield from _form(value)
    elif isinstance(state, int | float):
        yield state


class Stack:
    """Trains K engines that stand at the same step and of which `require_stackable` holds. Those that are alike in all
    that happens to a gradient are placed side by side."""

    def __init__(self, engines: Sequence[TorchEngine]):
        keys = [update_key(e) for e in engines]
        places = sorted(range(len(keys)), key=lambda i: keys.index(keys[i]))
        self.engines = [engines[i] for i in places]
        self.step = self.engines[0].step
        self.loss = self.engines[0].loss
        self.batches = Batches(self.engines)
        self.forward = stacked_forward(self.engines[0].model)
        self.parameters = {name: self._stacked(name) for name, _ in self.engines[0].model.named_parameters()}
        self.buffers = {name: self._stacked_buffer(name) for name, _ in self.engines[0].model.named_buffers()}
        trained = [n for n, p in self.engines[0].model.named_parameters() if p.requires_grad]
        self.leaves = [self.parameters[name].requires_grad_() for name in trained]
        self.intervened = [(k, e) for k, e in enumerate(self.engines) if e.interventions]
        """Members that something is done to while they train, with their places."""
        self._make_clusters()

    def _stacked(self, name: str) -> Tensor:
        """One parameter of all members; theirs become its slices."""
        members = [e.model.get_parameter(name) for e in self.engines]
        leaf = torch.stack([p.detach() for p in members])
        # A view, not a copy: an update of the stack is at once an update of the member, which can be evaluated, saved
        # and intervened on by the code that knows nothing of stacks.
        for k, p in enumerate(members):
            p.data = leaf[k]
        return leaf

    def _stacked_buffer(self, name: str) -> Tensor:
        leaf = torch.stack([e.model.get_buffer(name) for e in self.engines])
        folder, _, last = name.rpartition(".")
        for k, engine in enumerate(self.engines):
            setattr(engine.model.get_submodule(folder), last, leaf[k])
        return leaf

    def _make_clusters(self) -> None:
        """Members that lie side by side and are alike are updated together."""
        self.clusters: list[Cluster] = []
        for _, members in groupby(self.engines, key=update_key):
            first = self.clusters[-1].last if self.clusters else 0
            self.clusters.append(Cluster(list(members), self.leaves, first))
        self.one_by_one = bool(self.intervened) or any(c.one_by_one for c in self.clusters)
        self.penalized = any(e.regime.irm_weight for e in self.engines)

    # -- training -----------------------------------------------------------------------------------------------------

    def advance(self, until: int, watched: Collection[int], paused: Callable[[], bool]) -> None:
        """Train up to step `until`, or until `paused` says so after a step; the members at the places `watched` look at
        the last step."""
        while self.step < until:
            last = self.step == until - 1
            self._one_step([self.engines[k] for k in watched] if last else [])
            if paused():
                break
        for engine in self.engines:
            engine.step = self.step
        self.batches.write_back()

    def _one_step(self, watching: Sequence[TorchEngine]) -> None:
        if any(e.interventions.due(self.step) for _, e in self.intervened):
            self._intervene()
        x, target, env = self.batches.next()
        logits = self._seen_by_the_loss(self.forward(self.parameters, self.buffers, x))
        loss = self._total_loss(logits, target, env)
        gradients = [_laid_out(g) for g in torch.autograd.grad(loss, self.leaves, allow_unused=True)]
        for cluster in self.clusters:
            cluster.take(gradients)
        if watching or self.one_by_one:
            self._hand_out(gradients)
        for engine in watching:
            engine.watch.before_filter()
        for cluster in self.clusters:
            cluster.filter(cluster.slices)
        for _, engine in self.intervened:
            with engine.own_random():
                engine.interventions.gradient()
        for engine in watching:
            engine.watch.before_update()
        for cluster in self.clusters:
            cluster.clip()
        self.step += 1
        for cluster in self.clusters:
            cluster.update(self.step)
        for _, engine in self.intervened:
            with engine.own_random():
                engine.interventions.after_step()
        for engine in watching:
            engine.watch.after_update()

    def _intervene(self) -> None:
        """Begin and end what is due. Settings may change then, and memories be lost: members find theirs in their own
        engines, and the clusters are made anew."""
        self.write_back()
        for _, engine in self.intervened:
            engine.step = self.step
            with engine.own_random():
                if engine.interventions.before_step(self.step):
                    engine.switch(engine.interventions.settings(engine.base_regime))
        self._make_clusters()

    def _seen_by_the_loss(self, logits: Tensor) -> Tensor:
        """Logits (K, b, k) after what interventions do to them."""
        if not self.intervened:
            return logits
        seen = list(logits)
        for k, engine in self.intervened:
            engine.interventions.batch(None if self.batches.index is None else self.batches.index[k])
            with engine.own_random():
                seen[k] = engine.interventions.logits(seen[k])
        return torch.stack(seen)

    def _hand_out(self, gradients: Sequence[Tensor | None]) -> None:
        """Members' own parameters hold their share of the gradients, in the same memory."""
        for k, engine in enumerate(self.engines):
            for p, gradient in zip(engine.parameters, gradients, strict=True):
                p.grad = None if gradient is None else gradient[k]

    def _total_loss(self, logits: Tensor, target: Tensor, env: Tensor | None) -> Tensor:
        """The sum of the members' losses: the gradient of each member's weights is that of its own."""
        # No weight of one member is in the loss of another, so one backward pass of the sum is K backward passes.
        total = summed_loss(self.loss, logits, target, self.engines)
        if self.penalized and env is not None:
            for k, engine in enumerate(self.engines):
                total = total + self._penalty(engine, logits[k], target[k], env[k])
        return total

    def _penalty(self, engine: TorchEngine, logits: Tensor, target: Tensor, env: Tensor) -> Tensor | float:
        regime = engine.regime
        if not regime.irm_weight:
            return 0.0
        engine.step = self.step  # its weight rises with the steps
        penalty = irm.penalty(self.loss, logits, target, env, engine.environments, regime.irm_estimator)
        return engine.irm_weight() * penalty

    # -- between steps ------------------------------------------------------------------------------------------------

    def write_back(self) -> None:
        """Put all that is remembered of the members where their own engines look for it, as slices."""
        for cluster in self.clusters:
            cluster.write_back()


def _laid_out(gradient: Tensor | None) -> Tensor | None:
    """A gradient that lies in memory as its weights do: torch's fused optimizers go by place and would mix them up."""
    if gradient is None:
        return None
    return gradient.contiguous()


def summed_loss(
    loss: LossFunction, logits: Tensor, target: Tensor, engines: Sequence[TorchEngine] | None = None
) -> Tensor:
    """Sum over members of the mean losses of logits (K, n, k). A loss of other people's may draw random numbers, from
    each of these engines' own generator."""
    if type(loss) in MEANS and loss.dtype in PRECISE:
        return len(logits) * loss(logits.flatten(0, 1), target.flatten(0, 1))
    each: list[Tensor] = []
    for k, (outputs, right) in enumerate(zip(logits, target, strict=True)):
        with nullcontext() if engines is None else engines[k].own_random():
            each.append(loss(outputs, right))
    return torch.stack(each).sum()
