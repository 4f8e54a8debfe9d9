"""Our time to a verified verdict against a plain PyTorch loop of the same recipe, side by side: E1 and digits.

The plain loop is what one writes in an afternoon: the same network from the same weights, the same optimizer,
accuracies at the same steps in a list, and a threshold looked up at the end. Ours writes a run folder with checkpoints
and diagnostics, and judges it with every threshold moved. Both must find the same step; the numbers are ratios.

How to run the field's own scripts for the same comparison: docs/how-to/peers.md.

    python benchmarks/peers.py [--pairs 3] [--scale 1.0]
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from common import write_result
from torch import Tensor, nn

from grokscope import configio
from grokscope.config import Budget, RunConfig
from grokscope.seeds import derive
from grokscope.study import Study
from grokscope.train.driver import train
from grokscope.train.torch_engine import scale_weights
from grokscope.verdicts import run_verdicts


def recipes(scale: float) -> dict[str, RunConfig]:
    """The runs compared: each the first of a shipped study, its budget times `scale`."""
    chosen = {"E1": ("modular_addition", "decay 1"), "digits": ("digits", "init_scale=8 weight_decay=0.1")}
    out = {}
    for name, (study, arm) in chosen.items():
        config = Study.load(study).only([arm], [0]).runs()[0]
        assert config.budget.steps is not None
        out[name] = replace(config, budget=Budget(steps=max(int(config.budget.steps * scale), 20)))
    return out


def ours(config: RunConfig) -> float | None:
    """T_gen of a run that is trained, stored and judged."""
    with tempfile.TemporaryDirectory() as root:
        verdict = next(iter(run_verdicts(train(config, root)).values())).to_dict()
    milestone = verdict["milestones"]["T_gen"]
    return None if milestone["censored"] else milestone["at"]


def plain(config: RunConfig) -> float | None:
    """The same recipe in a loop of its own: the first step at which the held-out accuracy is there, twice in a row."""
    torch.set_num_threads(config.hardware.threads)
    data = config.task.build(config.seed)
    x, y = torch.from_numpy(data.splits["train"].x), torch.from_numpy(data.splits["train"].y)
    held_x, held_y = (torch.from_numpy(getattr(data.splits["id_val"], k)) for k in ("x", "y"))
    torch.manual_seed(derive(config.seed, "init"))
    model = config.model.build(data, data.classes)
    scale_weights(model, config.regime.init_scale)
    optimizer = _optimizer(config, model)
    loss_of = _loss(config, data.classes)
    assert config.budget.steps is not None
    due = {
        *config.evaluate.points(config.budget.steps),
        *config.diagnose.points(config.budget.steps),
        config.budget.steps,
    }
    log: list[tuple[int, float, float]] = []
    for step in range(config.budget.steps + 1):
        if step:
            optimizer.zero_grad()
            loss_of(model(x), y).backward()
            optimizer.step()
        if step in due:
            with torch.no_grad():
                log.append((step, _accuracy(model(x), y), _accuracy(model(held_x), held_y)))
    return _first(log, data.threshold)


def _optimizer(config: RunConfig, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW with the recipe's numbers: both recipes use it."""
    regime: Any = config.regime
    return torch.optim.AdamW(
        model.parameters(),
        lr=regime.lr,
        weight_decay=regime.weight_decay,
        betas=tuple(regime.optimizer.betas),
        fused=True,
    )


def _loss(config: RunConfig, classes: int) -> Callable[[Tensor, Tensor], Tensor]:
    if config.regime.loss.name == "mse":
        return lambda z, y: nn.functional.mse_loss(z, nn.functional.one_hot(y, classes).to(z.dtype))
    return nn.functional.cross_entropy


def _accuracy(z: Tensor, y: Tensor) -> float:
    return (z.argmax(1) == y).float().mean().item()


def _first(log: list[tuple[int, float, float]], threshold: float) -> float | None:
    for (step, _, held), (_, _, following) in itertools.pairwise(log):
        if held >= threshold and following >= threshold:
            return step
    return None


def timed(work: Callable[[RunConfig], float | None], config: RunConfig) -> tuple[float, float | None]:
    begin = time.perf_counter()
    result = work(config)
    return time.perf_counter() - begin, result


def compare(config: RunConfig, pairs: int) -> dict[str, Any]:
    """Ratios of our time to the plain loop's, in turn, and the step that each found."""
    ours(replace(config, budget=Budget(steps=20)))  # what is loaded and compiled once is not the recipe's
    ratios, steps = [], []
    for _ in range(pairs):
        (theirs_s, theirs), (ours_s, own) = timed(plain, config), timed(ours, config)
        ratios.append(ours_s / theirs_s)
        steps.append((own, theirs))
    return {"ratios": ratios, "median": statistics.median(ratios), "T_gen (ours, plain)": steps}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    given = parser.parse_args()
    result: dict[str, Any] = {"pairs": given.pairs, "scale": given.scale}
    for name, config in recipes(given.scale).items():
        result[name] = compare(config, given.pairs)
        result[name]["config"] = {"regime": configio.dump(config.regime), "budget": configio.dump(config.budget)}
        print(f"{name}: a verified verdict takes {result[name]['median']:.2f} times a plain loop, {result[name]}"[:200])
    write_result("peers", result)


if __name__ == "__main__":
    main()
