"""Directions of a step and the way from the start, against planted ones; the balance of decay, against simulation."""

import math

import pytest
import torch

from grokscope.measure.movement import cosine, distances, equilibrium_rotation, rotations, update_cosines

GROUPS = {"weights": ["a"], "head": ["b"]}


pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(seed=0, size=1000):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(size, generator=generator) for name in ("a", "b")}


def moved(before, update):
    return {name: before[name] + update[name] for name in before}


@pytest.mark.parametrize(("factor", "wanted"), [(0.1, 1.0), (-0.1, -1.0)])
def test_pure_growth_is_plus_one_and_pure_shrinking_minus_one(factor, wanted):
    w = drawn()
    update = {name: factor * value for name, value in w.items()}
    cosines = update_cosines(moved(w, update), update, GROUPS)
    for part in ("total", "weights", "head"):
        assert float(cosines[part]) == pytest.approx(wanted, abs=1e-6)


def test_growth_of_the_head_alone():
    w = drawn()
    update = {"a": torch.zeros(1000), "b": 0.1 * w["b"]}
    cosines = update_cosines(moved(w, update), update, GROUPS)
    assert float(cosines["head_growth"]) == pytest.approx(1.0, abs=1e-6)
    assert float(cosines["total"]) == pytest.approx(float(w["b"].norm() / torch.cat([*w.values()]).norm()), rel=1e-4)
    assert math.isnan(float(cosines["weights"])), "a group that did not move has no direction"


def test_a_random_step_has_no_direction():
    w, update = drawn(), {n: 0.1 * v for n, v in drawn(seed=1).items()}
    cosines = update_cosines(moved(w, update), update, GROUPS)
    assert all(abs(float(c)) < 4 / math.sqrt(1000) for c in cosines.values())
    assert any(abs(float(c)) > 0 for c in cosines.values())


def test_the_cosine_is_that_of_one_long_vector():
    a, b = drawn(), drawn(seed=1)
    wanted = torch.nn.functional.cosine_similarity(torch.cat([*a.values()]), torch.cat([*b.values()]), dim=0)
    assert float(cosine(a, b, a)) == pytest.approx(float(wanted), abs=1e-6)


@pytest.mark.parametrize("angle", [1e-6, 1e-3, 0.5, 3.0])
def test_a_planted_rotation_is_read_to_rounding(angle):
    old = torch.zeros(50, dtype=torch.float64)
    old[0] = 3.0
    new = torch.zeros_like(old)
    new[0], new[7] = 5 * math.cos(angle), 5 * math.sin(angle)
    turned = rotations({"w": new}, {"w": new - old}, ["w"])
    assert float(turned["w"]) == pytest.approx(angle, rel=1e-6)


def test_growth_turns_nothing_and_a_weight_that_was_zero_has_no_angle():
    w = {"w": torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))}
    assert float(rotations(w, {"w": 0.3 * w["w"]}, ["w"])["w"]) < 1e-7
    assert math.isnan(float(rotations(w, w, ["w"])["w"]))


def simulated(optimizer, lr, decay, steps, scale=1.0, size=1000, seed=0):
    """Mean angle per step, over the second half, of scale-invariant weights under noise: gradients orthogonal to the
    weights whose size falls as 1 / |w|, decoupled decay before each step."""
    generator = torch.Generator().manual_seed(seed)
    w = torch.nn.Parameter(scale * torch.randn(size, generator=generator) * math.sqrt(1 / size))
    built = optimizer([w], lr)
    angles = []
    for step in range(steps):
        old = w.detach().clone()
        noise = torch.randn(size, generator=generator)
        noise -= (noise @ old) / (old @ old) * old
        w.grad = noise / old.norm()
        with torch.no_grad():
            w.mul_(1 - lr * decay)
        built.step()
        if step >= steps // 2:
            new = w.detach()
            angles.append(float(rotations({"w": new}, {"w": new - old}, ["w"])["w"]))
    return sum(angles) / len(angles)


def adam(beta1):
    return lambda p, lr: torch.optim.Adam(p, lr=lr, betas=(beta1, 0.999))


def sgd(momentum):
    return lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=momentum)


@pytest.mark.parametrize(
    ("optimizer", "memory"),
    [(adam(0.9), 0.9), (adam(0.0), 0.0), (sgd(0.0), 0.0), (sgd(0.8), 0.8)],
    ids=("adam", "rmsprop", "sgd", "momentum"),
)
def test_noise_turns_scale_invariant_weights_by_the_predicted_angle(optimizer, memory):
    lr, decay = 0.01, 0.5
    measured = simulated(optimizer, lr, decay, steps=1200, scale=3.0)
    assert measured == pytest.approx(equilibrium_rotation(lr, decay, memory), rel=0.05)
    if memory:
        assert measured < 0.5 * math.sqrt(2 * lr * decay), "the formula without momentum is far off in one step"


def test_without_time_for_decay_the_angle_is_not_that_of_balance():
    lr, decay = 0.01, 0.5
    early = simulated(adam(0.9), lr, decay, steps=40, scale=100.0)
    assert early < 0.3 * equilibrium_rotation(lr, decay, 0.9)


def test_there_is_no_balance_without_decay():
    assert math.isnan(equilibrium_rotation(0.01, 0.0, 0.9))


def test_distances_are_planted_ones():
    start = {"a": torch.tensor([3.0, 4.0]), "b": torch.tensor([0.0, 0.0])}
    now = {"a": torch.tensor([3.0, 4.0]), "b": torch.tensor([6.0, 8.0])}
    out = distances(now, start, GROUPS)
    assert [float(v) for v in out["total"]] == [10.0, 2.0]
    assert [float(v) for v in out["weights"]] == [0.0, 0.0]
    assert float(out["head"][0]) == 10.0
    assert math.isnan(float(out["head"][1])), "from zero no distance is relative"
