"""Parameter groups: head, scale-invariant weights, other weights, normalization, biases. Disjoint, and complete."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

GROUPS = ("head", "scale_invariant", "weights", "normalization", "biases")

NORM_LAYERS = (
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.modules.instancenorm._InstanceNorm,
)


def find_head(model: nn.Module) -> tuple[str, nn.Module]:
    """(name, module) of the last layer: what the network itself names as its classifier, or its last linear layer.

    Raises:
        ValueError: when the network has no linear layer.
    """
    named = dict(model.named_modules())
    getter = getattr(model, "get_classifier", None)
    classifier = getter() if callable(getter) else None
    for name, module in named.items():
        if module is classifier:
            return name, module
    linears = [(name, m) for name, m in named.items() if isinstance(m, nn.Linear)]
    if not linears:
        raise ValueError("the network has no linear layer to serve as its head")
    return linears[-1]


def parameter_groups(model: nn.Module, x: Tensor) -> dict[str, list[str]]:
    """Names of the parameters in each of `GROUPS` (empty groups left out).

    Whether a weight is scale-invariant is found by test on the inputs x (n, ...), not by name: with the tensor four
    times as large, do the logits move? (In train mode, because batch norm hides scale only there.) 1706.05350 is why it
    matters:
    decay on such a weight sets its effective learning rate and regularizes nothing.
    """
    head, _ = find_head(model)
    norm_parameters = _normalization(model)
    groups: dict[str, list[str]] = {g: [] for g in GROUPS}
    rest = []
    for name, parameter in model.named_parameters():
        if not head or name.startswith(f"{head}."):
            groups["head"].append(name)
        elif name in norm_parameters:
            groups["normalization"].append(name)
        elif parameter.dim() <= 1:
            groups["biases"].append(name)
        else:
            rest.append(name)
    invariant = scale_invariant(model, x, rest)
    for name in rest:
        groups["scale_invariant" if name in invariant else "weights"].append(name)
    return {g: names for g, names in groups.items() if names}


def _normalization(model: nn.Module) -> set[str]:
    """Names of the parameters of normalization layers, and of the magnitudes of weight normalization (1602.07868), in
    both spellings that torch has for them."""
    layers = {
        f"{name}.{p}" if name else p
        for name, module in model.named_modules()
        if isinstance(module, NORM_LAYERS)
        for p, _ in module.named_parameters(recurse=False)
    }
    names = {name for name, _ in model.named_parameters()}
    pairs = ((".original0", ".original1"), ("_g", "_v"))
    magnitudes = {n for g, v in pairs for n in names if n.endswith(g) and n.removesuffix(g) + v in names}
    return layers | magnitudes


def running_averages(model: nn.Module) -> bool:
    """Whether some layer evaluates with averages that it took while training."""
    batch = nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm
    return any(isinstance(m, batch) and m.track_running_stats for m in model.modules())


def depends_on_batch(model: nn.Module) -> bool:
    """Whether training sees an example otherwise than evaluation does: with the statistics of its batch, or with parts
    dropped at random."""
    batchwise = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    return any(isinstance(module, batchwise) for module in model.modules())


@torch.no_grad()
def scale_invariant(model: nn.Module, x: Tensor, names: list[str], tolerance: float = 1e-3) -> set[str]:
    """Those of the named parameters whose scale the logits do not feel although they feel their direction.

    Works on a float64 copy (float32 where the network casts its inputs to that) whose normalization gains are set to
    one, because a gain that starts at zero (a common start for the last norm of a residual block) would hide the branch
    before it and make everything in it look invariant, and whose eps is next to nothing, because in a small batch some
    channels hardly vary. Weight-standardized, weight-normed and hand-written norms are found like any other, for
    nothing goes by the layer's name. Each tensor is scaled alone, so a weight with a bias of its own before a layer
    norm is not invariant (only the pair is); before a batch norm it is, for that removes the bias.

    Misleads: a hand-written norm whose eps is a constant in its code, and not small against the variance, leaves a
    little of the scale in the logits; above `tolerance` of their spread the weight then counts as not invariant.
    """
    try:
        model, x, base = _ready_copy(model, x, torch.float64)
    except RuntimeError:  # float32 inputs meet float64 weights in a network that says x.float()
        model, x, base = _ready_copy(model, x, torch.float32)
    parameters = dict(model.named_parameters())

    def logits() -> Tensor:
        return _same_draws(model, x)

    scale = base.std().clamp_min(1e-12)
    generator = torch.Generator().manual_seed(0)

    def moved(parameter: Tensor, value: Tensor) -> float:
        kept = parameter.clone()
        parameter.copy_(value)
        change = float((logits() - base).abs().max() / scale)
        parameter.copy_(kept)
        return change

    invariant = set()
    for name in names:
        p = parameters[name]
        other = torch.randn(p.shape, generator=generator, dtype=p.dtype).to(p.device)
        other *= p.norm() / other.norm().clamp_min(1e-300)
        # A tenth of the way to another direction: far off, a layer whose units are all dead on these inputs would feel
        # a direction too, and its scale never
        if moved(p, 4 * p) <= tolerance < moved(p, p + 0.1 * other):
            invariant.add(name)
    return invariant


def _ready_copy(model: nn.Module, x: Tensor, dtype: torch.dtype) -> tuple[nn.Module, Tensor, Tensor]:
    """A copy of the network in a dtype with its gates open, the inputs for it, and its logits."""
    ready = _copy_in(dtype, model)
    _open_gates(ready)
    inputs = x.to(dtype) if x.is_floating_point() else x
    return ready, inputs, _same_draws(ready, inputs)


def _same_draws(model: nn.Module, x: Tensor) -> Tensor:
    """Logits; dropout drops the same in each call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return model(x)


def _copy_in(dtype: torch.dtype, model: nn.Module) -> nn.Module:
    """A copy of this dtype in train mode. What an old-style weight norm keeps as a plain attribute is computed anew at
    each forward, and in between is no leaf, which a deep copy refuses."""
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and not value.is_leaf:
                setattr(module, name, value.detach())
    return copy.deepcopy(model).to(dtype).train()


def _open_gates(model: nn.Module) -> None:
    """Gains of one and an eps of nearly nothing, in layers of torch's and in hand-written ones."""
    for module in model.modules():
        if isinstance(getattr(module, "eps", None), float):
            object.__setattr__(module, "eps", 1e-16)
        if isinstance(module, NORM_LAYERS) and module.weight is not None:
            module.weight.fill_(1.0)
    for name, parameter in model.named_parameters():
        if parameter.dim() <= 1 and "bias" not in name and not parameter.any():
            parameter.fill_(1.0)


def group_norms(tensors: Mapping[str, Tensor], groups: Mapping[str, list[str]], prefix: str) -> dict[str, Tensor]:
    """L2 norm of each group and of all tensors together, as 0-dimensional tensors (nothing is moved off the device)."""
    squares = dict(
        zip(tensors, torch.stack(torch._foreach_norm(list(tensors.values()))).double().square(), strict=True)
    )
    out = {f"{prefix}_total": torch.stack(list(squares.values())).sum().sqrt()}
    for group, names in groups.items():
        present = [squares[n] for n in names if n in squares]
        if present:
            out[f"{prefix}_{group}"] = torch.stack(present).sum().sqrt()
    return out
