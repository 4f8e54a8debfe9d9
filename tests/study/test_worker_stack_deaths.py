"""A worker that dies in the middle of a stack, or shares a study with a plain one: each run is trained once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from execute_studies import log_of, trained_once, write_study
from grokscope.store import Run, find_runs
from grokscope.study import Study
from grokscope.study.together import Together
from grokscope.study.worker import Worker
from grokscope.train.stacked.sessions import MemberSession
from tiny import TINY, same_folder_content

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # killed between its first row and its first saved state, a run begins again and warns of it
    pytest.mark.filterwarnings("default:.*no resume state had been saved"),
]


def study() -> Study:
    return Study.from_dict({**TINY, "seeds": [0, 1, 2, 3]})


def work(root: Path, way: str = "stacked") -> list[str]:
    worker = Worker(study().entries, root, together=Together(way))  # type: ignore[arg-type]
    return [o.state for o in worker.work()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    assert work(root) == ["done"] * 4
    return root


def die_at(act: str, step: int, seed: int) -> None:
    """From now on this process kills itself, without a word, before the member with this seed does `act` (a method of
    its session) at or after this step: those before it have done so, those after it have not."""
    original = getattr(MemberSession, act)

    def deadly(self: MemberSession):
        if self.config.seed == seed and self.engine.step >= step:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self)

    setattr(MemberSession, act, deadly)


def killed(root: Path, act: str, step: int, seed: int = 2) -> None:
    """A stacked worker in a process of its own, killed there."""
    child = os.fork()
    if child == 0:
        try:
            die_at(act, step, seed)
            work(root)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


MOMENTS = [
    pytest.param("begin", 0, id="begin"),
    pytest.param("look", 0, id="first row"),
    pytest.param("look", 28, id="row"),
    pytest.param("save", 28, id="state"),
    pytest.param("finish", 60, id="end"),
]
FIRST_STATE = pytest.param("save", 1, id="first state")
"""Two members have a state then and two have none, so they cannot all go on together."""


@pytest.mark.parametrize(("act", "step"), MOMENTS)
def test_another_stacked_worker_goes_on_with_the_same_bits(act, step, undisturbed, tmp_path):
    killed(tmp_path, act, step)
    assert set(work(tmp_path)) == {"done"}
    for run in find_runs(undisturbed):
        same_folder_content(run.path, tmp_path / run.id)
        assert trained_once(tmp_path / run.id), log_of(tmp_path / run.id)


@pytest.mark.parametrize(
    ("way", "act", "step"),
    [("stacked", *FIRST_STATE.values), *(("one", *moment.values) for moment in (*MOMENTS, FIRST_STATE))],
)
def test_what_cannot_go_on_as_that_stack_is_continued_correctly(way, act, step, undisturbed, tmp_path):
    """With every row once, those from before the death bit for bit, and the others as near as another engine's are."""
    killed(tmp_path, act, step)
    before = {run.id: rows_with_a_state(run) for run in find_runs(tmp_path)}
    assert set(work(tmp_path, way)) == {"done"}
    for run in find_runs(undisturbed):
        again = Run(tmp_path / run.id)
        assert trained_once(again.path), log_of(again.path)
        kept = before.get(run.id, [])
        assert again.rows()[: len(kept)] == kept == run.rows()[: len(kept)]
        assert_near(run, again)


def rows_with_a_state(run: Run) -> list[dict[str, float]]:
    """Rows that a run keeps when it goes on: those up to its newest state."""
    states = [int(path.stem.removeprefix("state")) for path in (run.path / "resume").glob("state*.pt")]
    return [row for row in run.rows() if row["step"] <= max(states, default=-1)]


def assert_near(one: Run, two: Run) -> None:
    """The same rows and weights but for the last bits, which an engine has of its own."""
    import torch

    from grokscope.store.weights import load_weights

    assert [row["step"] for row in one.rows()] == [row["step"] for row in two.rows()]
    for a, b in zip(one.rows(), two.rows(), strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6, nan_ok=True)
    final = [load_weights(run.path / "checkpoints" / "final.safetensors") for run in (one, two)]
    for name, tensor in final[0].items():
        torch.testing.assert_close(tensor, final[1][name], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_stacked_and_a_plain_worker_share_a_study_and_train_each_run_once(tmp_path):
    file, root = write_study(tmp_path, seeds=range(24), steps=200), tmp_path / "runs"
    command = [sys.executable, "-m", "grokscope.cli", "worker", str(file), "--root", str(root)]
    more = (["--engine", "stacked", "--stack", "4"], ["--engine", "one"])
    workers = [subprocess.Popen([*command, *words], stderr=subprocess.PIPE, text=True) for words in more]
    try:
        for worker in workers:
            said = worker.communicate(timeout=300)[1]
            assert worker.returncode == 0, said
    finally:
        for worker in workers:
            worker.kill()
    runs = find_runs(root)
    assert len(runs) == 24
    assert {run.status["state"] for run in runs} == {"done"}
    for run in runs:
        assert trained_once(run.path, 200), log_of(run.path)
        assert log_of(run.path).count("started at step 0") == 1, log_of(run.path)
        steps = [row["step"] for row in run.rows()]
        assert steps == sorted(set(steps))
