"""A worker process: reads jobs as JSON lines from stdin, trains them one by one, and answers in JSON lines on its own
pipe. Several jobs in one message are trained as a stack.

    in:   {"jobs": [{"job": 3, "config": {...}, "root": "runs", "passed": [...]}], "plugins": ["my_lab"],
           "fall_back": false, "track": [{"name": "tensorboard"}]}
    out:  {"job": 3, "warning": "..."}
          {"job": 3, "step": 200, "total": 14000, "speed": 960.0}
          {"job": 3, "state": "done", "step": 14000, "message": "", "trouble": false}

It is a fresh interpreter in a session of its own: it inherits no threads, no random state, no open files, and Ctrl-C in
the terminal reaches only the parent, which asks its workers to stop with SIGTERM. When the parent dies, however it
dies, the end of the input tells the worker to save and leave.
"""

import json
import os
import queue
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import IO, Any


def main() -> None:
    answers = os.fdopen(int(sys.argv[1]), "w", buffering=1, encoding="utf-8")
    jobs: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    while (order := jobs.get()) is not None:
        _carry_out(order, answers)


def _listen(jobs: "queue.SimpleQueue[dict[str, Any] | None]") -> None:
    for line in sys.stdin:
        jobs.put(json.loads(line))
    jobs.put(None)
    os.kill(os.getpid(), signal.SIGTERM)  # a job that is running saves itself; an idle worker ends


def _carry_out(order: dict[str, Any], answers: IO[str]) -> None:
    from grokscope import configio, registry
    from grokscope.execute.attempt import attempt, attempt_stack
    from grokscope.track.chosen import named_trackers

    jobs = order["jobs"]

    def answer(place: int, **data: Any) -> None:
        try:
            answers.write(json.dumps({"job": jobs[place]["job"], **data}) + "\n")
        except BrokenPipeError:
            return  # the parent is gone; the run saves itself all the same

    def tell(message: Warning | str, category: type[Warning], *where: Any) -> None:
        if category is UserWarning:
            answer(0, warning=str(message))

    def progress(place: int, step: int, total: int, speed: float) -> None:
        answer(place, step=step, total=total, speed=speed)

    registry.import_plugins(order["plugins"])
    track = named_trackers(order["track"], "$.track")
    configs = [configio.load_run(job["config"]) for job in jobs]
    root, passed = Path(jobs[0]["root"]), [tuple(job["passed"]) for job in jobs]
    with warnings.catch_warnings():
        warnings.showwarning = tell
        if len(jobs) == 1:
            results = [attempt(configs[0], root, passed[0], lambda *news: progress(0, *news), track)]
        else:
            results = attempt_stack(configs, root, passed, progress, order["fall_back"], track)
    for place, result in enumerate(results):
        answer(place, **result._asdict())


if __name__ == "__main__":
    main()
