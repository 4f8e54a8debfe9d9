"""oracle: two models with exactly known training, and the results of verdicts and checks on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grokscope.commands.explained import Explained
from grokscope.commands.output import Result
from grokscope.vocabulary.text import number

if TYPE_CHECKING:
    from rich.console import Console

    from grokscope.trajectory import Criteria


@dataclass
class Known(Result):
    """Exact facts about the model, with the results of the checks on its trajectory."""

    facts: Mapping[str, float | int | None]
    meanings: dict[str, str]
    explained: Explained

    def data(self) -> Any:
        return {"known": dict(self.facts), **self.explained.data()}

    def show(self, console: "Console") -> None:
        for name, value in self.facts.items():
            shown = "not reached" if value is None else number(value)
            console.print(f"{name}: {shown}  ({self.meanings[name]})", markup=False)
        console.print()
        self.explained.show(console)


def ridge(
    *,
    n: int = 100,
    m: int = 1000,
    nu: float = 1.0,
    decay: float = 1e-4,
    lr: float = 1.0,
    steps: int = 40_000,
    loss: float = 0.01,
    seed: int = 0,
) -> Known:
    """Ridge regression with more weights than examples: train and held-out loss have different time scales.

    Args:
        n: Number of examples.
        m: Number of weights.
        nu: Standard deviation of the initial weights.
        decay: Weight decay lambda.
        lr: Step size of gradient descent.
        steps: Number of steps to simulate.
        loss: Loss at which T_fit and T_gen are measured.
        seed: Seed of data, teacher and initial weights.
    """
    import math

    from grokscope.mechanism.oracles import Ridge
    from grokscope.trajectory import Criteria

    model = Ridge(n=n, m=m, nu=nu, decay=decay, lr=lr, steps=steps, seed=seed)
    t1, t2 = model.first_below(loss)
    law = math.log((1 - n / m) * nu**2 / loss) / (2 * lr * decay) if decay else None
    facts = {"t1": t1, "t2": t2, "t2_law": law, "t2_times_decay": None if t2 is None else t2 * decay}
    meanings = {
        "t1": f"first step with the train loss below {loss:g}",
        "t2": f"first step with the held-out loss below {loss:g}",
        "t2_law": "ln((1 - n/m) nu^2 / loss) / (2 lr decay)",
        "t2_times_decay": "the same for every decay",
    }
    return Known(facts, meanings, _explained("ridge", model, Criteria(fit_loss=loss, generalize_loss=loss)))


def two_weights(*, decay: float = 0.01, lr: float = 0.1, steps: int = 5000) -> Known:
    """Two weights and one example: fitted from the start, generalizing only as fast as decay allows.

    Args:
        decay: Weight decay lambda.
        lr: Step size of gradient descent.
        steps: Number of steps to simulate.
    """
    import numpy as np

    from grokscope.mechanism.oracles import TwoWeights

    model = TwoWeights(decay=decay, lr=lr, steps=steps)
    first, second = (float(v) for v in model.weights(np.array([steps]))[0])
    facts = {"w1": first, "w2": second, "rate": 1 - 2 * lr * decay}
    meanings = {
        "w1": f"after {steps:,} steps",
        "w2": f"after {steps:,} steps",
        "rate": "factor by which the difference shrinks per step",
    }
    return Known(facts, meanings, _explained("two weights", model))


def _explained(name: str, model: Any, criteria: "Criteria | None" = None) -> Explained:
    from grokscope.mechanism import case_of_trajectory
    from grokscope.mechanism import explain as run_checks

    return Explained(name, run_checks(case_of_trajectory(model.trajectory(), model.setup(), criteria=criteria)))
