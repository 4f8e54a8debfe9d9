"""Part c: the published m-height network on 105,000 codes, as many epochs as the time allows; and how much of the
card's TF32 rate its steps reach.

The run is the study's own (`studies/mheight_published.toml`), in a folder of its own, and resumable: the same part
again goes on. Operations are counted by torch on the network itself: 83.3 million for an example, forward and backward,
8.75 * 10^12 for an epoch. Cost: as long as it is given. Misleads as a measure of the card: layer norms over 64 x 6 x 6
numbers move as many bytes as the convolutions do work.
"""

import argparse
import math
import time
from dataclasses import replace
from typing import Any

import torch
from harness import Report, end_quietly, finish, keep_data, left, options, stop_after, tf32_rate
from torch.utils.flop_counter import FlopCounterMode

from grokscope import configio
from grokscope.config import Budget, Cadence, RunConfig
from grokscope.store.run import Run
from grokscope.study import Study
from grokscope.task_data import TaskData
from grokscope.train.driver import Interrupted, make_engine, train
from grokscope.verdicts import run_verdicts

TINY = {
    "task.train_per_group": 5,
    "task.val_per_group": 10,
    "task.pool_per_group": 40,
    "model.channels": 4,
    "model.blocks": 1,
    "regime.batch_size": 40,
}
CLOSING_S = 14.0
"""Kept for the last row, the state and the verdict."""


def chosen(given: argparse.Namespace) -> RunConfig:
    config = Study.load("mheight_published").only([given.arm]).runs()[0]
    if given.tiny:
        config = configio.load_run(configio.overlay(configio.dump(config), TINY))
        config = replace(config, budget=Budget(epochs=12), checkpoint=Cadence(every=5, unit="epochs"))
    return replace(config, hardware=replace(config.hardware, device=given.device, tf32=True, step="auto"))


def operations(config: RunConfig, data: TaskData) -> float:
    """Of one example, forward and backward, by torch's own count of products."""
    model = config.model.build(data, 1)
    x = torch.from_numpy(data.splits["train"].x[:8])
    with FlopCounterMode(display=False) as counter:
        model(x).sum().backward()
    return counter.get_total_flops() / len(x)


def measured_rate(device: str) -> float | None:
    """Operations per second of a large product in TF32, the best this card does here; None without one."""
    if device == "cpu":
        return None
    n = 8192
    a, b = (torch.randn(n, n, device=device) for _ in range(2))
    before = torch.backends.cuda.matmul.fp32_precision  # pyright: ignore[reportAttributeAccessIssue]
    torch.backends.cuda.matmul.fp32_precision = "tf32"  # pyright: ignore[reportAttributeAccessIssue]
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(10):
        a @ b
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - begin) / 10
    torch.backends.cuda.matmul.fp32_precision = before  # pyright: ignore[reportAttributeAccessIssue]
    return 2 * n**3 / seconds


def variants(config: RunConfig) -> dict[str, RunConfig]:
    """The same run in each precision; the settings of a run, and bfloat16, which would be another run."""
    plain = replace(config, hardware=replace(config.hardware, tf32=False))
    fast = replace(config, hardware=replace(config.hardware, deterministic=False))
    half = replace(config, regime=replace(config.regime, autocast="bfloat16"))
    return {"float32": plain, "tf32": config, "tf32, any kernels": fast, "bfloat16": half}


def trials(config: RunConfig, data: TaskData, per_step: float, rate: float | None) -> dict[str, Any]:
    """Seconds of a step, eager and replayed, in each precision, and the share of the card's TF32 rate."""
    out: dict[str, Any] = {}
    for name, variant in variants(config).items():
        _, engine = make_engine(variant, data)
        facts = engine.facts().get("step", {})
        seconds = facts.get("graph_s") or facts.get("eager_s")
        facts["share_of_tf32"] = per_step / seconds / rate if seconds and rate else None
        out[name] = facts
        del engine
    return out


def story(run: Run, given: argparse.Namespace) -> dict[str, Any]:
    """Where the run stands: epochs, losses against the trivial predictor's, norm, and its verdicts."""
    rows = run.rows()
    try:
        verdicts = {split: verdict.to_dict() for split, verdict in run_verdicts(run, neighbors=False).items()}
    except ValueError as error:
        verdicts = {"error": str(error)}
    return {
        "folder": str(run.path.relative_to(given.work)),
        "status": run.status,
        "rows": len(rows),
        "epoch": rows[-1]["epoch"],
        "first": _short(rows[0]),
        "last": _short(rows[-1]),
        "best_id_val_loss": min(row["id_val_loss"] for row in rows),
        "trivial": run.facts["splits"]["id_val"],
        "verdicts": verdicts,
    }


def _short(row: dict[str, Any]) -> dict[str, Any]:
    keys = ("step", "epoch", "train_loss", "id_val_loss", "train_r2", "id_val_r2", "norm_total")
    return {key: row[key] for key in keys if key in row}


def main() -> None:
    given = options(arm="decay 0.01")
    end_quietly()
    config = chosen(given)
    keep_data(type(config.task), given.work)
    begin = time.perf_counter()
    data = config.task.build(config.seed)
    report = Report("c_mheight", given)
    report.put(data_s=time.perf_counter() - begin)
    per_example = operations(config, data)
    n, batch = len(data.splits["train"]), config.regime.batch_size
    steps = math.ceil(n / batch)
    per_step = per_example * n / steps  # the last batch of an epoch is smaller
    rate = tf32_rate(report.content["machine"].get("card", ""))
    report.put(
        parameters=sum(p.numel() for p in config.model.build(data, 1).parameters()),
        operations_per_example=per_example,
        operations_per_step=per_step,
        datasheet_tf32=rate,
        measured_tf32=measured_rate(given.device),
    )
    report.put(trials=trials(config, data, per_step, rate))

    root = given.work / "mheight"
    begin, before = time.perf_counter(), _steps_before(config, root)
    timer = stop_after(left(given) - CLOSING_S)
    try:
        run = train(config, root)
    except Interrupted as stopped:
        run = stopped.run
    timer.cancel()
    wall = time.perf_counter() - begin
    made = run.status["step"] - before
    report.put(
        trained={"steps": made, "seconds": wall, "steps_per_s": made / wall, "epochs_per_s": made / steps / wall}
    )
    if rate:
        report.put(share_of_tf32_with_evaluation=made * per_step / wall / rate)
    report.put(run=story(run, given))
    finish(report)


def _steps_before(config: RunConfig, root: Any) -> int:
    path = root / config.run_id()
    return Run(path).status["step"] if (path / "status.json").exists() else 0


if __name__ == "__main__":
    main()
