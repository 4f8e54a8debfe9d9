"""Part a: what a GPU must not get wrong. The tests marked `gpu`, and on the networks of the other parts the trial that
every run makes: are replayed steps the eager ones, and how much sooner do they come?

Cost: under a minute on one H100. Misleads where a test was skipped: the counts are written down.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import Report, end_quietly, finish, left, options

from grokscope import configio
from grokscope.config import RunConfig
from grokscope.train.driver import make_engine

ROOT = Path(__file__).parents[2]
HOSPITALS = {"task": {"name": "hospitals", "n_train": 300, "n_eval": 64, "image_size": 32}}
NETWORKS: dict[str, dict[str, Any]] = {
    "E1": {
        "task": {"name": "modular", "p": 59, "train_fraction": 0.5},
        "model": {"name": "embedding-mlp", "embedding": 64, "hidden": [128]},
        "regime": {"recipe": "modular"},
    },
    "digits": {"task": {"name": "digits"}, "model": {"name": "mlp"}, "regime": {"recipe": "large-init"}},
    "small-resnet": {**HOSPITALS, "model": {"name": "small-resnet"}, "regime": {"recipe": "standard"}},
    "small-resnet, stain jitter": {
        **HOSPITALS,
        "model": {"name": "small-resnet"},
        "regime": {"recipe": "standard", "augment_stain": 0.2},
    },
}


def config_of(raw: dict[str, Any], device: str) -> RunConfig:
    config = configio.load_run({**raw, "budget": {"steps": 1000}})
    return replace(config, hardware=replace(config.hardware, device=device))


def trials(device: str) -> dict[str, Any]:
    """Per network the record of its trial, in float32."""
    out: dict[str, Any] = {}
    for name, raw in NETWORKS.items():
        config = config_of(raw, device)
        _, engine = make_engine(config, config.task.build(0))
        out[name] = engine.facts().get("step", {"used": "eager", "why": "no GPU"})
    return out


def run_tests(seconds: float, out: Path) -> dict[str, Any]:
    """The tests marked `gpu`: how many passed, failed and were skipped, with the messages of those that failed."""
    report = out / "a_tests.xml"
    words = [sys.executable, "-m", "pytest", "-v", "-m", "gpu", "-p", "no:cacheprovider", f"--junitxml={report}"]
    words += ["-p", "pytest_timeout", "-W", "default", "tests/gpu/test_cuda.py"]
    bare = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # a cluster's Python has plug-ins of its own
    said = out / "a_tests.txt"
    with open(said, "w") as file:
        process = subprocess.Popen(words, cwd=ROOT, env=bare, stdout=file, stderr=file)
        try:
            code = process.wait(max(seconds, 5))
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    text = said.read_text()
    if report.exists():
        return {"exit_code": code, **_counts(ET.parse(report).getroot()), "said": text[-3000:]}
    so_far = {word.lower(): text.count(f" {word} ") for word in ("PASSED", "FAILED", "SKIPPED", "ERROR")}
    return {"exit_code": code, "state": "not finished", **so_far, "said": text[-3000:]}


def _counts(tree: ET.Element) -> dict[str, Any]:
    cases = list(tree.iter("testcase"))
    failed = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    skipped = [c for c in cases if c.find("skipped") is not None]
    return {
        "passed": len(cases) - len(failed) - len(skipped),
        "failed": len(failed),
        "skipped": len(skipped),
        "failures": {c.get("name"): _message(c)[:500] for c in failed},
    }


def _message(case: ET.Element) -> str:
    parts = [p.get("message") or p.text or "" for kind in ("failure", "error") for p in case.findall(kind)]
    return " ".join(parts)


def main() -> None:
    given = options()
    end_quietly()
    report = Report("a_correct", given)
    report.put(trials=trials(given.device))
    report.put(tests=run_tests(left(given) - 2, given.out))
    finish(report)


if __name__ == "__main__":
    main()
