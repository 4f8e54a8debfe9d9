"""A folder of runs in which nothing can be saved: every worker stops with one message, no run is marked failed for it,
and the same command goes on when there is room."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from grokscope import cli, configio
from grokscope.execute.attempt import attempt
from grokscope.execute.protocol import Silent
from grokscope.execute.ray_tasks import _Watch as Watch
from grokscope.execute.remote import NotSaved as JobNotSaved
from grokscope.execute.remote import RemoteWorker
from grokscope.execute.submissions import new_submission
from grokscope.storage import Storage, trouble_of
from grokscope.store import Run, claims, lock
from grokscope.study import NotSaved, Study
from grokscope.study.together import Together
from grokscope.study.worker import Worker
from grokscope.train.driver import Interrupted, Session, train
from grokscope.train.stacked.driver import train_stack
from tiny import TINY, TINY_TOML, tiny

pytestmark = pytest.mark.filterwarnings("ignore:no resume state had been saved")

BIG = {"model.embedding": 32, "model.hidden": [256], "budget.steps": 40, "hardware.resume_every_s": 0.0}
"""Resume states of some 300 kB, which 100 kB of free space do not hold."""


def study(seeds: int = 3) -> Study:
    return Study.from_dict(configio.overlay(TINY, BIG) | {"seeds": list(range(seeds))})


def fill(disk: Path, free: int = 100_000) -> Path:
    left = os.statvfs(disk)
    (disk / "filler").write_bytes(b"\0" * max(0, left.f_bavail * left.f_frsize - free))
    return disk / "filler"


WAYS = {
    "worker": lambda root: Worker(study().entries, root).work(),
    "stacked worker": lambda root: Worker(study().entries, root, together=Together("stacked", 3)).work(),
    "in this process": lambda root: study().run(workers=0, root=root),
    "stacked in this process": lambda root: study().run(workers=0, root=root, engine="stacked"),
    "pool": lambda root: study().run(workers=2, root=root),
}


AT_ONCE = {"pool": 2, "stacked worker": 3, "stacked in this process": 3}
"""How many runs are trained at a time, of which each meets the full disk."""


def outcomes_of(way: str, root: Path) -> list:
    try:
        return WAYS[way](root)
    except NotSaved as error:
        return list(error.outcomes)


@pytest.mark.parametrize("way", WAYS)
def test_a_full_disk_stops_everybody_once_and_the_same_command_goes_on(way, small_disk, tmp_path):
    root = small_disk / "runs"
    root.mkdir()
    filler = fill(small_disk)
    outcomes = outcomes_of(way, root)
    told = sum(o.trouble for o in outcomes)
    assert told <= AT_ONCE.get(way, 1)
    assert told
    assert all("free space, then run again" in o.message for o in outcomes if o.trouble)
    assert {o.state for o in outcomes} <= {"interrupted", "waiting"}
    assert not [s.state for s in study().status(root) if s.state in ("failed", "damaged", "unreadable")]
    filler.unlink()
    for run in root.iterdir():
        assert claims.deaths(run) == 0
    assert {o.state for o in WAYS[way](root)} == {"done"}
    study(1).run(workers=0, root=tmp_path / "calm")
    if "stacked" not in way:
        (calm,) = (tmp_path / "calm").iterdir()
        for name in ("results/metrics.jsonl", "checkpoints/final.safetensors"):
            assert (calm / name).read_bytes() == (root / calm.name / name).read_bytes()


def test_a_run_that_had_been_saved_stands_where_it_was(small_disk):
    (entry,) = study(1).entries
    with pytest.raises(Interrupted):
        train(entry.config, small_disk, interrupt_at=20)
    filler = fill(small_disk)
    result = attempt(entry.config, small_disk, (), lambda *_: None)
    assert (result.state, result.trouble) == ("interrupted", True)
    assert result.message.startswith("no space left to write ")
    status = Run(small_disk / entry.config.run_id()).status
    assert status["state"] == "interrupted"
    filler.unlink()
    assert attempt(entry.config, small_disk, (), lambda *_: None).state == "done"


@pytest.mark.parametrize("verb", ["worker", "study run"])
def test_the_command_line_says_it_in_two_lines_and_its_exit_code_is_not_0(verb, small_disk, tmp_path, capsys):
    file = tmp_path / "study.toml"
    text = TINY_TOML.replace("embedding = 4", "embedding = 32").replace("hidden = [8]", "hidden = [256]")
    file.write_text(f"seeds = [0, 1, 2]\n{text}\n[budget]\nsteps = 40\n[hardware]\nresume_every_s = 0.0\n")
    (small_disk / "runs").mkdir()
    fill(small_disk)
    more = ["--workers", "0"] if verb == "study run" else []
    assert cli.run([*verb.split(), str(file), "--root", str(small_disk / "runs"), *more]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("grokscope: ")]
    assert len(lines) == 2
    assert "no space left to write" in lines[0]
    assert "3 of 3 runs unfinished; run the same command again" in lines[1]


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


@pytest.mark.parametrize("way", ["worker", "in this process", "stacked worker"])
def test_a_file_system_that_becomes_read_only(way, small_disk, monkeypatch):
    """The whole study is read first; then nothing can be written, as when an error of the disk was found."""
    real = Storage.of

    def of(root: Path) -> Storage:
        storage = real(root)
        remount(small_disk, "ro")
        monkeypatch.setattr(Storage, "of", real)
        return storage

    monkeypatch.setattr(Storage, "of", of)
    try:
        outcomes = outcomes_of(way, small_disk / "runs")
    finally:
        remount(small_disk, "rw")
    assert {o.state for o in outcomes} <= {"interrupted", "waiting"}
    assert any(o.trouble and "this file system is read-only" in o.message for o in outcomes)
    assert {o.state for o in WAYS[way](small_disk / "runs")} == {"done"}


class Unmounting:
    """A board that takes the disk away when the first run has ended."""

    def __init__(self, away):
        self.away, self.ended_so_far = away, 0

    def begin(self, jobs, workers): ...
    def progress(self, job, step, total, steps_per_s): ...
    def note(self, line): ...
    def close(self): ...

    def ended(self, outcome):
        self.ended_so_far += 1
        if self.ended_so_far == 1:
            self.away()


@pytest.mark.parametrize("workers", [0, 1, None], ids=["in this process", "pool", "worker"])
def test_what_is_unmounted_between_two_runs_is_not_made_anew_below(workers, small_disk):
    board = Unmounting(lambda: subprocess.run(["umount", "-l", str(small_disk)], check=True))
    if workers is None:
        outcomes = Worker(study().entries, small_disk, board).work()
    else:
        with pytest.raises(NotSaved, match="another file system is here than when this command began") as error:
            study().run(workers=workers, root=small_disk, board=board)
        outcomes = error.value.outcomes
    try:
        assert [o.state for o in outcomes].count("done") == 1
        if workers != 1:  # the pool gives its worker the next run while the board is told of the first
            assert list(small_disk.iterdir()) == [], "the place where the disk was mounted"
    finally:
        subprocess.run(["mount", "-t", "tmpfs", "none", str(small_disk)], check=True)  # for the fixture to unmount


def test_a_root_that_is_removed_in_the_middle_of_a_run(tmp_path):
    (entry,) = study(1).entries
    root = tmp_path / "runs"

    def remove(step: int, total: int, speed: float) -> None:
        shutil.rmtree(root, ignore_errors=True)

    result = attempt(entry.config, root, (), remove)
    assert (result.state, result.trouble) == ("interrupted", True)
    assert "the folder of runs is gone" in result.message
    assert not root.exists(), "nothing is written where the runs were"


def test_a_folder_that_is_removed_alone_is_called_so(tmp_path):
    (entry,) = study(1).entries
    folder = tmp_path / entry.config.run_id()
    result = attempt(entry.config, tmp_path, (), lambda *_: shutil.rmtree(folder, ignore_errors=True))
    assert (result.state, result.trouble) == ("elsewhere", False)
    assert "the folder was removed while this process trained in it" in result.message


def test_a_job_on_a_cluster_that_cannot_save_fails_and_is_not_requeued(small_disk, monkeypatch):
    root = small_disk / "runs"
    jobs = [s.job() for s in study().status(root)]
    submission = new_submission("mine", root, "slurm", jobs, {})
    fill(small_disk)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr("grokscope.execute.remote._requeue", lambda *_: pytest.fail("it was requeued"))
    with pytest.raises(JobNotSaved, match="no space left"):
        RemoteWorker(submission.folder, requeues=9)()
    assert not [s.state for s in study().status(root) if s.state == "failed"]


def test_a_claim_is_released_although_the_line_finds_no_room(tmp_path, monkeypatch):
    real = os.open

    def full(path, flags, *more, **named):
        if flags & os.O_APPEND:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, flags, *more, **named)

    with lock.claimed(tmp_path):
        monkeypatch.setattr(claims.os, "open", full)
    monkeypatch.undo()
    newest = claims.newest(tmp_path)
    assert newest is not None
    assert newest.released
    assert claims.deaths(tmp_path) == 0
    with lock.claimed(tmp_path) as claim:
        assert (claim.number, claim.deaths, claim.released) == (2, 0, False)


def test_a_member_that_cannot_be_saved_stops_its_stack(tmp_path, monkeypatch):
    """One that fails for another reason does not."""
    real = Session._save_state

    def full(self):
        if self.config.seed == 1:
            raise OSError(number, "as the system says it")
        real(self)

    monkeypatch.setattr(Session, "_save_state", full)
    configs = [tiny(seed=seed) for seed in range(3)]
    number = errno.ENOSPC
    assert [e.state for e in train_stack(configs, tmp_path / "full")] == ["interrupted"] * 3
    assert {Run(tmp_path / "full" / c.run_id()).status["state"] for c in configs} == {"interrupted"}
    number = errno.EIO
    assert [e.state for e in train_stack(configs, tmp_path / "faulty")] == ["done", "failed", "done"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_what_is_the_storage_s_fault(number, tmp_path):
    error = RuntimeError("unexpected pos 80896 vs 80848")
    error.__cause__ = OSError(number, os.strerror(number), "runs/x")
    assert "runs/x; what was saved before is intact: free space, then run again" in trouble_of(error, tmp_path)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "a bad block"), ValueError("x"), PermissionError(13, "denied"),
                                   OSError(errno.EROFS, "a plug-in's own cache")])  # fmt: skip
def test_what_is_the_fault_of_one_run(error, tmp_path):
    assert trouble_of(error, tmp_path) == ""
    assert Storage.of(tmp_path).trouble(error) == ""


class FakeRay:
    """A Ray whose tasks have ended, and returned these words."""

    def __init__(self, words: str):
        self.words = words

    def wait(self, tasks, **_):
        return tasks, []

    def get(self, task):
        return self.words


@pytest.mark.parametrize(("words", "state"), [("no space left to write x", "waiting"), ("", "waiting")])
def test_ray_says_why_its_tasks_stopped(words, state, tmp_path):
    jobs = [s.job() for s in study().status(tmp_path)]
    outcomes = Watch(FakeRay(words), jobs, ["a task"], Silent()).until_done()
    assert [(o.state, o.trouble, o.message) for o in outcomes] == [(state, bool(words), words)] * 3


def test_a_root_that_is_a_link_is_described_by_its_folder(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir(mode=0o750)
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    monkeypatch.setattr("grokscope.files.os.access", lambda path, mode: False)
    with pytest.raises(ValueError, match=r"runs: this user may not write here \(.*drwxr-x---\)"):
        study().run(0, tmp_path / "runs")


def test_a_link_to_a_disk_that_is_not_mounted(tmp_path):
    (tmp_path / "runs").symlink_to(tmp_path / "not there")
    ways = (
        lambda: study().run(0, tmp_path / "runs"),
        lambda: study().run(0, tmp_path / "runs" / "below"),
        lambda: train(tiny(), tmp_path / "runs"),
    )
    for use in ways:
        with pytest.raises(
            ValueError, match=r"runs: is a link to .*not there, which is not there; is its disk mounted"
        ):
            use()
    assert not (tmp_path / "not there").exists()


def test_a_file_where_the_root_of_one_training_should_be(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(ValueError, match="runs: is a file, where a folder of runs is expected"):
        train(tiny(), tmp_path / "runs")
