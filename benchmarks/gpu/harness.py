"""What the parts of benchmarks/gpu.sh share: their options, what machine it is, a result that is written as it grows,
and an end in good time.
"""

import argparse
import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

import torch

from grokscope.config import TaskConfig
from grokscope.store.provenance import provenance
from grokscope.task_data import TaskData

BEGAN = time.monotonic() - (time.time() - float(os.environ.get("BEGAN", time.time())))
"""When the part was started; importing torch counts."""
TF32_DENSE = {"H100 PCIe": 378e12, "H100": 494.7e12, "H200": 494.7e12, "A100": 156e12}
"""Datasheet rates of dense products in TF32, operations per second (NVIDIA's tables state twice that, with
sparsity)."""


def options(**defaults: Any) -> argparse.Namespace:
    """--out, --work, --device, --seconds and --tiny, and whatever a part adds with its default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder of the JSON files")
    parser.add_argument("--work", type=Path, default=Path("gpu-work"), help="folder of runs and prepared data")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=280.0, help="when to stop, counted from the start")
    parser.add_argument("--tiny", action="store_true", help="a thousandth of the size")
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    given.work.mkdir(parents=True, exist_ok=True)
    return given


def left(given: argparse.Namespace) -> float:
    """Seconds until this part must be over."""
    return given.seconds - (time.monotonic() - BEGAN)


def machine() -> dict[str, Any]:
    facts = provenance()
    out = {k: facts[k] for k in ("python", "processor", "cpus", "packages")}
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        out |= {"card": card.name, "card_gib": card.total_memory / 2**30, "processors": card.multi_processor_count}
        out |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "driver": _driver()}
    return out


def _driver() -> str | None:
    words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def tf32_rate(card: str) -> float | None:
    """The datasheet's, by the card's name."""
    for name, rate in TF32_DENSE.items():
        if all(word in card for word in name.split()):
            return rate
    return None


class Report:
    """A part's result. Every `put` writes the whole file anew, so that a part that is killed leaves what it had."""

    def __init__(self, part: str, given: argparse.Namespace):
        self.path = given.out / f"{part}.json"
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(given).items()}
        self.content: dict[str, Any] = {"part": part, "settings": settings, "machine": machine(), "state": "begun"}
        self.put()

    def put(self, **values: Any) -> None:
        self.content |= values
        self.content["seconds"] = time.monotonic() - BEGAN
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.content, indent=1, default=str) + "\n")
        fresh.replace(self.path)
        for key, value in values.items():
            shown = json.dumps(value, default=str)[:400]
            print(f"[{self.content['part']} {self.content['seconds']:6.1f} s] {key}: {shown}", flush=True)


def finish(report: Report) -> NoReturn:
    """The result is written: leave at once, without the seconds that taking libraries apart can cost."""
    report.put(state="done")
    sys.stdout.flush()
    os._exit(0)


def stop_after(seconds: float) -> threading.Timer:
    """Ask this process to stop as a scheduler would; a run or a study in it saves itself and says `Interrupted` or
    `Stopped`."""
    timer = threading.Timer(max(seconds, 0.1), os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    return timer


def end_quietly() -> None:
    """SIGTERM between two runs ends the part like an error, through its `finally` blocks. A second one must not end
    those: `timeout` passes a signal on to the process and then to its whole group."""

    def leave(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def keep_data(kind: type[TaskConfig], folder: Path) -> None:
    """From now on, what a task of this kind draws is kept in the working folder, and read from there by whoever of
    this benchmark needs it next."""
    draw = kind.build

    def build(task: TaskConfig, seed: int) -> TaskData:
        name = hashlib.sha256(repr((task, seed)).encode()).hexdigest()[:12]
        path = folder / f"data-{task.name}-{name}.pickle"
        making = path.with_suffix(".making")
        wait_until = time.monotonic() + 90
        while making.exists() and time.monotonic() < wait_until:
            time.sleep(0.1)
        if path.exists():
            return pickle.loads(path.read_bytes())
        making.touch()
        try:
            data = draw(task, seed)
            fresh = path.with_suffix(f".{os.getpid()}")
            fresh.write_bytes(pickle.dumps(data, protocol=5))
            fresh.replace(path)
            return data
        finally:
            making.unlink(missing_ok=True)

    kind.build = build  # pyright: ignore[reportAttributeAccessIssue]
