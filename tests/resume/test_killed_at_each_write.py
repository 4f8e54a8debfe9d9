"""A process killed at any of its writes: the next command works at once, nothing is lost, and no row differs."""

import os
import shutil
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from grokscope import Recorder, cli
from grokscope.store import claims, open_run
from tiny import TINY_TOML

STUDY = f"""
seeds = [0]
{TINY_TOML}
[budget]
steps = 21
[evaluate]
every = 7
at = [0]
[checkpoint]
every = 10
states = ["T_fit", 10]
[hardware]
resume_every_s = 0.0
[[arm]]
name = "plain"
[[arm]]
name = "forked"
of = "plain"
from = 10
regime.weight_decay = 0.5
[[hypothesis]]
name = "less"
quantity = "end"
arms = ["forked", "plain"]
direction = "smaller"
"""
MOMENTS = ("fsync", "replace", "link")
"""Calls of the operating system between which a file is made, filled, and put in its place."""


SMALL = ("verdict", "row", "columns", "study")
"""What is written without holding a run, and may lie half-written until the run is trained again."""


def killing_at(n: int) -> None:
    """From now on this process is killed before its n-th write."""
    count = 0

    def wrap(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **named: object) -> object:
            nonlocal count
            count += 1
            if count == n:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **named)

        setattr(os, name, call)

    for name in MOMENTS:
        wrap(name)


def in_child(act: Callable[[], int], n: int = 0) -> int:
    """The exit code of `act` in a process of its own; the negative signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            if n:
                killing_at(n)
            code = act()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def content(root: Path) -> dict[str, bytes]:
    """What must not differ, by its place."""
    names = [*root.glob("*/results/metrics.jsonl"), *root.glob("*/checkpoints/*.safetensors")]
    return {str(path.relative_to(root)): path.read_bytes() for path in names}


def worker(root: Path) -> Callable[[], int]:
    return lambda: cli.run(["worker", str(root.parent / "study.toml"), "--root", str(root)])


def log(root: Path) -> Callable[[], int]:
    path = root.parent / "log.csv"
    path.write_text("step,train,val\n" + "".join(f"{i},{min(1, i / 5)},0.1\n" for i in range(20)))
    columns = ["--step", "step", "--train", "train", "--held-out", "val"]
    return lambda: cli.run(["archive", "import-logs", str(path), "--into", str(root), *columns])


def recorded(root: Path) -> Callable[[], int]:
    def record() -> int:
        with Recorder(root / "mine", n={"train": 10, "id_val": 20}) as rec:
            for step in (1, 2):
                rec.log(step, train_acc=step / 2, id_val_acc=0.1)
        return 0

    return record


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("command", [worker, log, recorded], ids=lambda c: c.__name__)
def test_the_next_command_works_at_once_and_nothing_is_lost(command, tmp_path, one_thread):
    (tmp_path / "study.toml").write_text(STUDY)
    root = tmp_path / "runs"
    act = command(root)
    assert act() == 0  # here, so that no child has to import anything
    expected = content(root)
    n = 0
    while True:
        n += 1
        shutil.rmtree(root)
        code = in_child(act, n)
        if code == 0:
            break
        assert code == -signal.SIGKILL, f"write {n}: exit code {code}"
        assert in_child(act) == 0, f"after write {n}"
        assert content(root) == expected, f"after write {n}"
        for run in (path.parent for path in root.glob("*/config.json")):
            assert open_run(run).status["state"] == "done", (n, run)
            assert claims.deaths(run) <= 1, (n, run)
        left = [path.name for path in root.rglob("*.tmp") if path.name.split(".")[1] not in SMALL]
        assert not left, f"after write {n}"
    assert n > 3, "it writes"
