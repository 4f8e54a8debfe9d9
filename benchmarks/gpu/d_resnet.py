"""Part d: ResNet-18 at 96 x 96 pixels, batch 32, in the two published regimes. Steps per second, eager and replayed;
then both regimes and two control arms on synthetic hospitals for as long as the time allows, side by side on one card.
The same part again goes on with these.

Cost: as long as it is given. Misleads on the regimes: a minute or two is some hundred epochs of the published 3,000.
"""

import time
from dataclasses import replace
from typing import Any

from harness import Report, end_quietly, finish, keep_data, left, options, stop_after

from grokscope import configio
from grokscope.study import Study
from grokscope.study.study import Stopped
from grokscope.train.driver import make_engine
from grokscope.verdicts import run_verdicts

STUDY: dict[str, Any] = {
    "schema": 2,
    "name": "hospitals_resnet18",
    "seeds": [42],
    "task": {"name": "hospitals", "n_train": 1000, "n_eval": 500, "image_size": 96},
    "model": {"name": "timm", "architecture": "resnet18"},
    "budget": {"epochs": 200},
    "evaluate": {"at": [1], "every": 5, "unit": "epochs"},
    "diagnose": {"at": [1], "every": 50, "unit": "epochs"},
    "checkpoint": {"every": 100, "unit": "epochs"},
    "arm": [
        {"name": "standard", "regime": {"recipe": "standard"}},
        {"name": "grokking-favorable", "regime": {"recipe": "grokking-favorable"}},
        {"name": "no correlation", "regime": {"recipe": "standard"}, "task": {"correlation": 0}},
        {"name": "no stain shift", "regime": {"recipe": "standard"}, "task": {"stain_shift": 0}},
    ],
}
TINY = {
    "task": {"name": "hospitals", "n_train": 32, "n_eval": 16, "image_size": 32},
    "model": {"name": "timm", "architecture": "test_resnet"},
    "budget": {"epochs": 6},
}
TARGET = 200
"""Steps per second that a replayed step should reach."""
CLOSING_S = 8.0


def trials(study: Study) -> dict[str, Any]:
    """Seconds of a step of each regime, eager and replayed, in float32 and in TF32."""
    out: dict[str, Any] = {}
    for config in study.only(["standard", "grokking-favorable"]).runs():
        for tf32 in (False, True):
            variant = replace(config, hardware=replace(config.hardware, tf32=tf32))
            _, engine = make_engine(variant, config.task.build(config.seed))
            facts = engine.facts().get("step", {})
            rates = {f"{k[:-2]}_steps_per_s": 1 / facts[k] for k in ("eager_s", "graph_s") if k in facts}
            out[f"{config.regime.name}, {'tf32' if tf32 else 'float32'}"] = {**facts, **rates}
            del engine
    return out


def story(study: Study, root: Any) -> list[dict[str, Any]]:
    out = []
    for entry, found in zip(study.entries, study.status(root), strict=True):
        if found.state == "new":
            continue
        rows = found.run.rows()
        out.append(
            {
                "arm": entry.label,
                "seed": entry.config.seed,
                "status": {k: found.run.status[k] for k in ("state", "step", "total_steps", "steps_per_s")},
                "step_used": found.run.facts.get("step"),
                "last": {k: v for k, v in rows[-1].items() if k.endswith("_acc") or k in ("epoch", "norm_total")}
                if rows
                else None,
                "verdicts": _verdicts(found.run),
            }
        )
    return out


def _verdicts(run: Any) -> Any:
    try:
        return {split: v.verdict for split, v in run_verdicts(run, neighbors=False).items()}
    except ValueError as error:
        return str(error)


def main() -> None:
    given = options(workers=4)
    end_quietly()
    raw = configio.overlay(STUDY, {"hardware": {"device": given.device, "tf32": True}, **(TINY if given.tiny else {})})
    study = Study.from_dict(raw)
    keep_data(type(study.runs()[0].task), given.work)
    report = Report("d_resnet", given)
    report.put(trials=trials(study), target_steps_per_s=TARGET)
    root = given.work / "resnet"
    begin, before = time.perf_counter(), sum(s.step for s in study.status(root))
    timer = stop_after(left(given) - CLOSING_S)
    try:
        study.run(workers=given.workers, root=root)
    except Stopped as stopped:
        report.put(stopped=str(stopped))
    timer.cancel()
    wall, steps = time.perf_counter() - begin, sum(s.step for s in study.status(root)) - before
    report.put(arms=story(study, root), wall_s=wall, steps_before=before, steps=steps)
    finish(report)


if __name__ == "__main__":
    main()
