"""Part e: the study `hospitals_decay` on one card by several processes at once, in replayed steps, for as long as the
time allows. The same part again goes on. Finished runs are packed by `pack.py`.

Cost: as long as it is given. Misleads on a single run's speed: several share the card, which takes turns among them.
"""

import time
from dataclasses import replace
from pathlib import Path

from harness import Report, end_quietly, finish, left, options, stop_after

from grokscope.config import Budget
from grokscope.study import Study
from grokscope.study.study import Stopped

SEEDS = (31337, 2024, 456, 123, 42, 7)
"""In this order: another machine may take them from the other end."""
CLOSING_S = 8.0


def study_of(device: str, tiny: bool) -> Study:
    """The study's own runs, the seeds in order, in full float32 as on a CPU."""
    whole = Study.load("hospitals_decay")
    entries = sorted(whole.entries, key=lambda entry: SEEDS.index(entry.config.seed))
    placed = []
    for entry in entries[:3] if tiny else entries:
        hardware = replace(entry.config.hardware, device=device, step="auto", resume_every_s=60.0)
        budget = Budget(steps=8) if tiny else entry.config.budget
        placed.append(replace(entry, config=replace(entry.config, hardware=hardware, budget=budget)))
    return replace(whole, entries=tuple(placed))


def steps_made(study: Study, root: Path) -> int:
    """Of all runs together, so far."""
    return sum(s.step for s in study.status(root))


def main() -> None:
    given = options(workers=6)
    end_quietly()
    study = study_of(given.device, given.tiny)
    report = Report("e_hospitals", given)
    root = given.work / "hospitals"
    begin, before = time.perf_counter(), steps_made(study, root)
    timer = stop_after(left(given) - CLOSING_S)
    try:
        study.run(workers=min(given.workers, 2) if given.tiny else given.workers, root=root)
    except Stopped as stopped:
        report.put(stopped=str(stopped))
    timer.cancel()
    wall = time.perf_counter() - begin
    begun = [s for s in study.status(root) if s.state != "new"]
    steps = steps_made(study, root) - before  # those of an earlier call took none of this time
    report.put(wall_s=wall, steps_before=before, steps=steps, steps_per_s=steps / wall)
    report.put(finished=sum(s.finished for s in begun))
    report.put(
        runs=[
            {
                "run": s.run.id,
                "arm": s.entry.label,
                "seed": s.entry.config.seed,
                "state": s.state,
                "step": s.run.status["step"],
                "steps_per_s": s.run.status["steps_per_s"],
                "step_used": s.run.facts.get("step"),
            }
            for s in begun
        ]
    )
    finish(report)


if __name__ == "__main__":
    main()
