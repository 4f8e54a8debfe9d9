"""An arm in words, for whoever trains in a loop of their own: what to change there, where grokscope cannot train it."""

from collections.abc import Mapping
from typing import Any

from grokscope.components import name_in
from grokscope.mechanism.in_force import INTERVENTIONS
from grokscope.vocabulary.text import whole


def in_own_loop(changes: Mapping[str, Any], fitted_at: float | None) -> str:
    """The changes of an arm as sentences about a loop of PyTorch. `fitted_at`: T_fit, by the time of the log."""
    words = [setting_in_words(key, value) for key, value in changes.items() if key != INTERVENTIONS]
    words += [_intervention(each, fitted_at) for each in changes.get(INTERVENTIONS, ())]
    return "; ".join(words)


def setting_in_words(key: str, value: Any) -> str:
    """One setting of a config."""
    match key, value:
        case "regime.weight_decay", _:
            return f"set the weight decay of the optimizer to {value:g}"
        case "regime.decay_groups", "all":
            return "let the decay act on all weights: the same weight_decay in every parameter group"
        case "regime.grad_filter", "none":
            return "leave the gradient filter out"
        case "regime.loss_dtype", "float64":
            return "compute the loss in float64: loss(logits.double(), labels)"
        case "regime.irm_weight", _:
            return (
                "add the IRMv1 penalty to the loss (for each environment, the squared gradient of its loss with "
                f"respect to a factor of 1 on the logits), with weight {value:g}"
            )
        case "regime.label_noise", 0:
            return "train on the true labels, with none replaced"
        case "model.norm", "none":
            return "take the normalization layers out of the network"
        case "task.n_train", _:
            return f"train on {value:,} examples, and keep the held-out splits"
        case "budget.steps", _:
            return f"train on, with the same settings, to optimizer step {value:,}"
    return f"set {key.partition('.')[2]} to {value}"


def _intervention(said: Any, fitted_at: float | None) -> str:
    """One change of a training that goes on."""
    given = said if isinstance(said, Mapping) else {}
    when = _since(given.get("from"), fitted_at)
    match name_in(said):
        case "hold_norm":
            of = _weights(given.get("of"))
            return f"{when}, after every optimizer step rescale {of} to {_times(given['rho'])}the norm of the beginning"
        case "switch":
            return f"{when}, {'; '.join(setting_in_words(f'regime.{k}', v) for k, v in given['to'].items())}"
        case "temperature":
            return f"{when}, divide the logits by {given['temperature']:g} in the loss, and not where they are scored"
        case "decay_head":
            return (
                f"{when}, give the last linear layer a parameter group of its own in the optimizer, with weight_decay "
                f"{given['weight_decay']:g}"
            )
        case "subtract_initial":
            return (
                "keep a copy of the untrained network, and subtract its logits from those of the trained one, in the "
                "loss and where they are scored"
            )
    return f"{when}, {name_in(said)}"


def _since(moment: Any, fitted_at: float | None) -> str:
    if moment == "T_fit":
        return "from the fit on" if fitted_at is None else f"from the fit on (T_fit, {whole(round(fitted_at))})"
    if moment is None:
        return "from the beginning on"
    return f"from {moment} on"


def _weights(of: Any) -> str:
    if of in (None, "total"):
        return "all weights, by one factor,"
    return {"head": "the last linear layer"}.get(of, f"the weights of group {of}, by one factor,")


def _times(rho: float) -> str:
    """``half `` of it, or itself."""
    if rho == 1:
        return ""
    return f"{rho:g} times "
