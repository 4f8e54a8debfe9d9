"""What does a dissection with all its controls cost, beside one forward pass and beside editing the network per
setting?

Run: OMP_NUM_THREADS=1 python benchmarks/dissection.py [--images 2000]. Writes benchmarks/results/dissection.json.

Side by side, in processor time of one thread: (1) one forward pass of a ResNet-18 (timm, 96 x 96) over all images;
(2) the whole battery, cold; (3) the loop it replaces, which puts every edit of every control into the network with a
hook and runs the test part again, measured on a few settings and a sub-sample of the test part and extrapolated to
all of them; (4) the same loop on features that were collected once. Floors: the operations of the forward pass at the
speed of a matrix product measured here, and the bytes that it cannot avoid to read.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import timm
import torch
from common import write_result
from torch.utils.flop_counter import FlopCounterMode

from grokscope.dissect.battery import dissect
from grokscope.dissect.effects import make_scene, measure
from grokscope.dissect.features import collect
from grokscope.dissect.head import head_of
from grokscope.dissect.intervention import Ablate, Erase, Intervention, Steer
from grokscope.dissect.through import logits_with
from grokscope.results.settings import Settings

SIZE = 96


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--sample", type=int, default=64, help="test images in the loop that runs the network")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = timm.create_model("resnet18", num_classes=2).eval()
    data = hospitals(options.images)
    settings = Settings()
    few = hospitals(240)
    dissect(model, few.x, few.y, few.e, few.g, settings=settings)  # imports and first calls are not timed
    forward = clock(lambda: collect(model, data.x, []))
    found = collect(model, data.x, ["pooled"])
    result = None

    def whole() -> None:
        nonlocal result
        result = dissect(model, data.x, data.y, data.e, data.g, settings=settings)

    battery = clock(whole)
    assert result is not None
    n_test, number = result.parts.sizes["test"], count_settings(settings)
    through = loop_through_network(model, data.x[: options.sample]) * n_test / options.sample
    cached = loop_on_features(found, model, data, n_test)
    flops, speed = count_flops(model) * options.images, peak_speed()
    row = {
        "images": options.images,
        "test_images": n_test,
        "draws": settings.draws,
        "settings": number,
        "forward_s": forward,
        "dissect_s": battery,
        "dissect_over_forward": battery / forward,
        "per_setting_through_network_s": through,
        "loop_through_network_s": through * number,
        "ratio_to_loop_through_network": (forward + through * number) / battery,
        "per_setting_on_features_s": cached,
        "loop_on_features_s": forward + cached * number,
        "ratio_to_loop_on_features": (forward + cached * number) / battery,
        "extrapolated_from": {"settings": 3, "images": options.sample},
        "floor": {
            "forward_tflop": flops / 1e12,
            "peak_gflop_per_s": speed / 1e9,
            "forward_s_at_that_speed": flops / speed,
            "image_gb": data.x.nbytes / 1e9,
            "weights_mb_per_batch": sum(p.nbytes for p in model.parameters()) / 1e6,
        },
    }
    show(row)
    write_result("dissection", row)


@dataclass
class Data:
    x: np.ndarray
    y: np.ndarray
    e: np.ndarray
    g: np.ndarray


def hospitals(n: int) -> Data:
    """Noise with a tint by hospital: the battery's cost does not depend on what the images show."""
    rng = np.random.default_rng(0)
    g = np.arange(n) % 60
    x = rng.standard_normal((n, 3, SIZE, SIZE), dtype=np.float32)
    x[:, 0] += 0.3 * (g % 3)[:, None, None]
    return Data(x, rng.integers(0, 2, n), g % 3, g)


def clock(work: Callable[[], object]) -> float:
    """Seconds of processor time: what else runs on the machine does not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def count_settings(settings: Settings) -> int:
    """Distinct edits whose effect the battery reports: subspaces, steering steps and neuron sets, with their
    controls."""
    subspaces = sum(1 + (4 if name in ("mean_diff", "leace") else 3) * settings.draws for name in settings.erasers)
    steering = 3 * (len(settings.steps) - 1) * (1 + settings.draws)
    neurons = 2 * sum(k > 0 for k in settings.ks) * (2 + 2 * settings.draws)
    return subspaces + steering + neurons


def loop_through_network(model: torch.nn.Module, x: np.ndarray) -> float:
    """Seconds for one setting: mean over one edit of each kind."""
    rng = np.random.default_rng(0)
    u = np.linalg.qr(rng.standard_normal((512, 2)))[0]
    edits: list[Intervention] = [
        Erase(site="pooled", left=tuple(map(tuple, u)), right=tuple(map(tuple, u.T)), mean=tuple(np.zeros(512))),
        Steer(site="pooled", direction=tuple(u[:, 0]), step=1.0),
        Ablate(site="pooled", neurons=tuple(range(64)), values=(0.0,) * 64),
    ]
    logits_with(model, x[:8], edits[0])
    return float(np.mean([clock(lambda e=edit: logits_with(model, x, e)) for edit in edits]))


def loop_on_features(found, model: torch.nn.Module, data: Data, n_test: int) -> float:
    """Seconds for one setting on kept features: form the edited features, run the head, measure the four effects."""
    h = found.sites["pooled"][:n_test].astype(np.float64)
    head = head_of(model, found.sites["pooled"], found.logits)
    scene = make_scene("test", h, head, data.y[:n_test], data.e[:n_test], data.g[:n_test], 9, 0)
    frames = np.linalg.qr(np.random.default_rng(0).standard_normal((60, 512, 2)))[0]
    center = h.mean(axis=0)
    start = time.process_time()
    for u in frames:
        measure(scene, head.logits(h - (h - center) @ u @ u.T)[None])
    return (time.process_time() - start) / len(frames)


def count_flops(model: torch.nn.Module) -> int:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.zeros(1, 3, SIZE, SIZE))
    return counter.get_total_flops()


def peak_speed() -> float:
    """Operations per second of the fastest dense kernel here: a float32 matrix product, or convolutions of the
    network's own shapes, which beat it on some processors."""
    a = torch.randn(1024, 1024)
    best = 4 * 2 * 1024**3 / min(clock(lambda: [a @ a for _ in range(4)]) for _ in range(6))
    for channels, side in ((64, 24), (128, 12), (256, 6), (512, 3)):
        x, w = torch.randn(64, channels, side, side), torch.randn(channels, channels, 3, 3)
        flops = 2 * 64 * side**2 * channels**2 * 9
        with torch.inference_mode():
            seconds = min(clock(lambda x=x, w=w: torch.conv2d(x, w, padding=1)) for _ in range(6))
        best = max(best, flops / seconds)
    return best


def show(row: dict) -> None:
    floor = row["floor"]
    print(
        f"{row['images']} images, {row['settings']} settings of {row['test_images']} test images, {row['draws']} draws"
    )
    print(f"one forward pass              {row['forward_s']:10.1f} s  (floor {floor['forward_s_at_that_speed']:.1f} s: "
          f"{floor['forward_tflop']:.2f} TFLOP at {floor['peak_gflop_per_s']:.0f} GFLOP/s)")  # fmt: skip
    print(
        f"whole dissection              {row['dissect_s']:10.1f} s  = {row['dissect_over_forward']:.2f} forward passes"
    )
    print(f"loop that runs the network    {row['loop_through_network_s']:10.0f} s  extrapolated: "
          f"{row['ratio_to_loop_through_network']:.0f} times the dissection")  # fmt: skip
    print(f"loop on kept features         {row['loop_on_features_s']:10.1f} s  extrapolated: "
          f"{row['ratio_to_loop_on_features']:.2f} times the dissection, probes not counted")  # fmt: skip


if __name__ == "__main__":
    main()
