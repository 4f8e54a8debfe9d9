"""Who may write a run's folder: one of many, known by files alone, and never somebody who was asleep."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from grokscope.files import NotWritable, require_may_write, require_writable, write_atomic, write_json
from grokscope.store import Run, claims, lock
from grokscope.store.claims import ClaimLost, Held
from grokscope.store.metrics import MetricsWriter, read_rows


def from_another_machine(folder: Path, silent_s: float, **more: object) -> claims.Claim:
    """A claim as another machine would have left it, its last heartbeat so long ago."""
    newest = claims.newest(folder)
    path = folder / f".claim-{(newest.number if newest else 0) + 1:06d}.json"
    path.write_text(json.dumps({"holder": "pid 7 on afar", "machine": "another", "expires_s": 120.0, **more}) + "\n")
    then = time.time() - silent_s
    os.utime(path, (then, then))
    claim = claims.newest(folder)
    assert claim is not None
    return claim


def test_numbers_grow_and_only_the_newest_file_stays(tmp_path):
    for number in (1, 2, 3):
        with lock.claimed(tmp_path) as claim:
            assert claim.number == number
        assert [path.name for path in tmp_path.glob(".claim-*")] == [f".claim-{number:06d}.json"]
    newest = claims.newest(tmp_path)
    assert newest is not None
    assert newest.released
    assert claims.deaths(tmp_path) == 0


def test_a_living_claim_of_another_machine_keeps_everyone_out(tmp_path):
    from_another_machine(tmp_path, silent_s=60)
    with pytest.raises(Held, match="being trained by pid 7 on afar"), lock.claimed(tmp_path):
        pass
    with pytest.raises(Held, match="being trained by pid 7 on afar"), lock.exclusive(tmp_path):
        pass


def test_a_silent_claim_of_another_machine_is_taken_over_and_its_holder_loses(tmp_path):
    old = from_another_machine(tmp_path, silent_s=121)
    old.require()
    with lock.claimed(tmp_path) as claim:
        assert (claim.number, claim.deaths) == (2, 1)
        with pytest.raises(ClaimLost, match="took over this run"):
            old.require()
    claims.release(old)  # nothing to release, and no file made
    newest = claims.newest(tmp_path)
    assert newest is not None
    assert newest.number == 2


def test_the_clock_of_the_file_system_decides(tmp_path, monkeypatch):
    """This machine's clock is a day ahead; the heartbeat of a moment ago is still of a moment ago."""
    claim = from_another_machine(tmp_path, silent_s=1)
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 86_400)
    assert claim.silent_s() == pytest.approx(1, abs=0.9)
    assert not claim.expired


def test_a_holder_that_died_on_this_machine_is_succeeded_at_once(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from grokscope.store import lock\n"
        "with lock.claimed(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    for dead in (1, 2):
        assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -9
        assert claims.deaths(tmp_path) == dead
    with lock.claimed(tmp_path) as claim:
        assert claim.deaths == 2
    assert claims.deaths(tmp_path) == 0, "a proper end begins the count anew"


def test_where_the_file_system_has_no_locks_the_claim_alone_decides(tmp_path, monkeypatch):
    def unsupported(*args: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    with lock.claimed(tmp_path), pytest.raises(Held), lock.claimed(tmp_path):
        pass
    with lock.claimed(tmp_path) as claim:
        assert claim.number == 2


def test_of_many_that_take_at_once_one_gets_it(tmp_path):
    from_another_machine(tmp_path, silent_s=1_000)
    before = claims.newest(tmp_path)
    start, got = threading.Barrier(8), []

    def take() -> None:
        start.wait()
        try:
            got.append(claims.take(tmp_path, before, 120.0))
        except Held:
            got.append(None)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [claim.number for claim in got if claim] == [2]
    assert len(got) == 8


def test_who_comes_late_with_an_old_number_gets_nothing(tmp_path):
    before = from_another_machine(tmp_path, silent_s=1_000)
    claims.release(claims.take(tmp_path, before, 120.0))
    second = claims.newest(tmp_path)
    third = claims.take(tmp_path, second, 120.0)
    assert third.number == 3
    with pytest.raises(Held):
        claims.take(tmp_path, before, 120.0)  # its number's file is gone again, a higher one is there
    third.require()
    assert len(list(tmp_path.glob(".claim-*"))) == 1


def test_a_claim_half_written_is_somebody_at_work(tmp_path):
    (tmp_path / ".claim-000004.json").touch()
    with pytest.raises(Held, match="another process"), lock.claimed(tmp_path):
        pass


@pytest.mark.parametrize("at", ["fsync", "link"])
def test_a_holder_killed_while_it_wrote_its_claim_is_succeeded_at_once(at, tmp_path):
    """Its claim would be empty, and would not say that its holder died on this machine."""
    code = (
        "import os, signal, sys; from pathlib import Path; from grokscope.store import claims, lock\n"
        f"claims.os.{at} = lambda *args, **more: os.kill(os.getpid(), signal.SIGKILL)\n"
        "with lock.claimed(Path(sys.argv[1])): pass"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with lock.claimed(tmp_path) as claim:
        assert (claim.number, claim.deaths) == (1, 0)


def test_where_the_file_system_has_no_links_one_still_gets_it(tmp_path, monkeypatch):
    def link(*args: object, **more: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(claims.os, "link", link)
    before = claims.take(tmp_path, None, 120.0)
    assert claims.take(tmp_path, before, 120.0).number == 2
    with pytest.raises(Held):
        claims.take(tmp_path, before, 120.0)
    assert [path.name for path in tmp_path.glob(".claim-*")] == [".claim-000002.json"]
    newest = claims.newest(tmp_path)
    assert newest is not None
    assert newest.is_here


def test_a_link_whose_answer_the_network_lost_is_ours(tmp_path, monkeypatch):
    real = os.link

    def link(*args: object, **more: object) -> None:
        real(*args, **more)  # type: ignore[arg-type]
        raise FileExistsError(17, "File exists")

    monkeypatch.setattr(claims.os, "link", link)
    assert claims.take(tmp_path, None, 120.0).number == 1


def test_nothing_is_written_after_the_claim_is_lost(tmp_path):
    metrics = tmp_path / "results" / "metrics.jsonl"
    with lock.claimed(tmp_path) as claim:
        writer = MetricsWriter(metrics)
        writer.append({"step": 0})
        write_json(tmp_path / "status.json", {"state": "running"})
        claim.path.unlink()
        for write in (
            lambda: writer.append({"step": 1}),
            lambda: write_json(tmp_path / "status.json", {"state": "done"}),
            lambda: require_writable(tmp_path / "logs" / "train.log"),
        ):
            with pytest.raises(ClaimLost):
                write()
        writer.close()
    write_json(tmp_path / "status.json", {"state": "kept"})  # no longer guarded
    assert read_rows(metrics) == [{"step": 0}]
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_claim_lost_in_the_middle_of_a_write_leaves_the_old_file(tmp_path):
    """Weights of a large network take seconds to write: the claim is asked for again before the rename."""
    path = tmp_path / "status.json"
    with lock.claimed(tmp_path) as claim:
        write_json(path, {"by": "first"})

        def slowly(file: IO[bytes]) -> None:
            file.write(b"{}")
            claim.path.unlink()

        with pytest.raises(ClaimLost):
            write_atomic(path, slowly)
        with pytest.raises(ClaimLost):
            write_json(tmp_path / "new" / "file.json", {})
        assert not (tmp_path / "new").exists(), "not even a folder is made"
    assert json.loads(path.read_text()) == {"by": "first"}
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_row_written_by_a_process_that_slept_goes_where_nobody_reads(tmp_path):
    """Between its look at the claim and its write a process may be stopped; its file was replaced meanwhile."""
    metrics = tmp_path / "metrics.jsonl"
    asleep = MetricsWriter(metrics)
    asleep.append({"step": 0})
    awake = MetricsWriter(metrics)
    assert awake.keep(range(10), 0) == 0
    asleep._file.write(b'{"step": 5}\n')
    awake.append({"step": 1})
    assert [row["step"] for row in read_rows(metrics)] == [0, 1]
    asleep.close()
    awake.close()


STOPPED = """
import sys, time
from pathlib import Path
from grokscope.files import write_json
from grokscope.store import lock
from grokscope.store.metrics import MetricsWriter

folder = Path(sys.argv[1])
with lock.claimed(folder, expires_s=1.2):
    writer = MetricsWriter(folder / "metrics.jsonl")
    step = 0
    while True:
        writer.append({"step": step, "by": "first"})
        write_json(folder / "status.json", {"by": "first"})
        step += 1
        time.sleep(0.01)
"""


def test_a_process_that_was_stopped_and_wakes_writes_nothing(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", STOPPED, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "metrics.jsonl"
    try:
        while len(read_rows(metrics)) < 3:
            time.sleep(0.02)
        child.send_signal(signal.SIGSTOP)
        with pytest.raises(Held), lock.claimed(tmp_path):
            pass
        time.sleep(1.5)
        with lock.claimed(tmp_path, expires_s=60) as claim:
            assert claim.deaths == 1
            writer = MetricsWriter(metrics)
            kept = writer.keep(range(10**6), 10**6)
            write_json(tmp_path / "status.json", {"by": "second"})
            child.send_signal(signal.SIGCONT)
            said = child.communicate(timeout=60)[1]
            writer.append({"step": kept + 1, "by": "second"})
            writer.close()
    finally:
        child.kill()
    assert child.returncode == 1
    assert "took over this run" in said
    rows = read_rows(metrics)
    assert [row["by"] for row in rows] == ["first"] * (kept + 1) + ["second"]
    assert json.loads((tmp_path / "status.json").read_text()) == {"by": "second"}


def test_a_heartbeat_keeps_a_claim_for_longer_than_it_lasts(tmp_path):
    with lock.claimed(tmp_path, expires_s=0.6) as claim:
        time.sleep(1.0)
        assert not claim.expired
        claim.require()


def test_a_claim_that_the_disk_had_no_room_for_keeps_nobody_out(tmp_path, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(claims.os, "fsync", full)
        with pytest.raises(OSError, match=r"no space left to write .*claim.*free space, then run again"):
            claims.take(tmp_path, None, 120.0)
    assert not list(tmp_path.glob(".claim-*"))
    with lock.claimed(tmp_path) as claim:
        assert claim.number == 1


# -- several people ---------------------------------------------------------------------------------------------------


def modes(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.iterdir()}


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_the_umask_says_who_may_take_a_run_over(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        with lock.claimed(tmp_path) as claim:
            claim.silent_s()
    finally:
        os.umask(before)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", ".clock", ".claim-000001.json"}
    assert modes(tmp_path) == {mode}


@pytest.fixture
def shared_folder():
    """A folder that other users reach; those of pytest are its user's alone."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as two users")
    folder = Path(tempfile.mkdtemp(prefix="shared-"))
    os.chown(folder, 0, 4_000)
    folder.chmod(0o2775)
    yield folder
    shutil.rmtree(folder)


def as_user(user: int, act: Callable[[], None], umask: int) -> None:
    """Carry out `act` in a process of this user, of the group 4000."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([4_000])
            os.setgid(4_000)
            os.setuid(user)
            os.umask(umask)
            act()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_people_of_one_group_take_over_each_others_runs(shared_folder):
    run = shared_folder / "run"

    def claim_it(number: int) -> None:
        with lock.claimed(run) as claim:
            assert claim.number == number
            assert claim.silent_s() < 60
            writer = MetricsWriter(run / "results" / "metrics.jsonl")
            writer.append({"step": number})
            writer.close()
            write_json(run / "status.json", {"by": number})

    for number, user in enumerate((4_001, 4_002, 4_001), start=1):
        as_user(user, lambda number=number: claim_it(number), 0o002)
    assert [row["step"] for row in read_rows(run / "results" / "metrics.jsonl")] == [1, 2, 3]


def test_files_of_a_stricter_person_in_a_shared_folder_are_no_hindrance(shared_folder):
    """Lock and clock need not be written by whoever takes over; claims are new files."""

    def claim_it() -> None:
        with lock.claimed(shared_folder) as claim:
            assert claim.silent_s() < 60

    for user in (4_001, 4_002):
        as_user(user, claim_it, 0o022)
    newest = claims.newest(shared_folder)
    assert newest is not None
    assert newest.number == 2
    assert not list(shared_folder.glob(".clock.*"))


def test_a_folder_that_is_somebody_elses_is_refused_with_the_remedy(shared_folder):
    run = shared_folder / "run"

    def claim_it() -> None:
        with lock.claimed(run):
            pass

    def refused() -> None:
        words = r"run: this user may not write here \(user 4001's, drwxr-sr-x\).*chmod -R g\+w.*umask 002"
        for act in (claim_it, lambda: require_may_write(run / "deeper" / "still")):
            with pytest.raises(NotWritable, match=words.replace("run:", "run(/deeper/still)?:")):
                act()
        require_may_write(shared_folder / "new")

    as_user(4_001, claim_it, 0o022)
    as_user(4_002, refused, 0o022)


# -- who looks --------------------------------------------------------------------------------------------------------


def running(folder: Path, heartbeat: float, host: str = "afar") -> Run:
    write_json(folder / "status.json", {"state": "running", "step": 5, "host": host, "pid": 7, "heartbeat": heartbeat})
    return Run(folder)


@pytest.mark.parametrize("ahead_s", [-86_400, 0, 86_400])
def test_whether_another_machine_trains_is_not_asked_of_two_clocks(ahead_s, tmp_path):
    """Its status bears the time of its own clock, which may be a day off."""
    run = running(tmp_path, time.time() + ahead_s)
    from_another_machine(tmp_path, silent_s=60)
    assert run.status["state"] == "running"
    from_another_machine(tmp_path, silent_s=121)
    assert run.status["state"] == "interrupted"
    from_another_machine(tmp_path, silent_s=1, released=True)
    assert run.status["state"] == "interrupted"


def test_a_heartbeat_counts_where_nothing_else_is_known(tmp_path):
    assert running(tmp_path, time.time() - 60).status["state"] == "running"
    assert running(tmp_path, time.time() - 130).status["state"] == "interrupted"
    import socket

    assert running(tmp_path, time.time(), socket.gethostname()).status["state"] == "interrupted"


def test_a_run_is_looked_at_where_the_file_system_has_no_locks_or_cannot_be_written(tmp_path, monkeypatch):
    run = running(tmp_path, time.time())
    with lock.claimed(tmp_path):
        pass
    with monkeypatch.context() as patch:
        patch.setattr(lock.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(37, "No locks available")))
        assert run.status["state"] == "interrupted"
        with lock.claimed(tmp_path):
            assert run.status["state"] == "running"
        from_another_machine(tmp_path, silent_s=1)
        patch.setattr(claims, "_now", lambda folder: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
        assert run.status["state"] == "running"


# -- a network file system that is disturbed --------------------------------------------------------------------------


def failing(number: int) -> Callable[..., None]:
    def fail(*args: object, **more: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_disturbance_is_not_taken_for_another_process(tmp_path, monkeypatch):
    with lock.claimed(tmp_path, expires_s=0.6) as claim:
        with monkeypatch.context() as patch:
            patch.setattr(claims.os, "open", failing(5))
            with pytest.raises(OSError, match="Input/output error"):
                claim.require()
        with monkeypatch.context() as patch:
            patch.setattr(claims.os, "open", failing(116))
            with pytest.raises(ClaimLost):
                claim.require()
        with monkeypatch.context() as patch:  # for several beats
            patch.setattr(claims.os, "utime", failing(5))
            time.sleep(0.2)
        time.sleep(0.8)
        assert not claim.expired, "the heartbeat went on after the disturbance"


@pytest.mark.parametrize("how", ["claimed", "exclusive"])
def test_a_lock_that_a_child_of_a_dead_holder_has_for_a_moment_is_waited_for(how, tmp_path):
    """A process that is started has a copy of the lock until it becomes another program: on a machine under load that
    outlives a holder that is killed meanwhile."""
    code = (
        "import os, signal, sys, time; from pathlib import Path; from grokscope.store import lock\n"
        f"with lock.{how}(Path(sys.argv[1])):\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(0.6); os._exit(0)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -signal.SIGKILL
    assert lock.is_held(tmp_path), "by the copy"
    with lock.claimed(tmp_path):
        pass


def test_a_lock_of_a_living_holder_is_not_waited_for(tmp_path, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(lock.time, "sleep", waits.append)
    with lock.claimed(tmp_path), pytest.raises(Held), lock.claimed(tmp_path):
        pass
    assert sum(waits) < 0.2


def test_nothing_is_started_while_a_run_is_held(tmp_path, monkeypatch):
    """What is started then has a copy of the lock for a moment."""
    from grokscope import Recorder
    from grokscope.store import provenance
    from grokscope.train.driver import train
    from grokscope.train.stacked.driver import train_stack
    from tiny import tiny

    real, held = provenance.subprocess.run, []

    def run(*args, **named):
        held.extend(folder for folder in tmp_path.rglob("*") if folder.is_dir() and lock.is_held(folder))
        return real(*args, **named)

    monkeypatch.setattr(provenance.subprocess, "run", run)
    ways = (
        lambda: train(tiny(), tmp_path / "one"),
        lambda: train_stack([tiny(), tiny(seed=1)], tmp_path / "stack"),
        lambda: Recorder(tmp_path / "mine").finish(),
    )
    for way in ways:
        provenance.provenance.cache_clear()
        way()
    assert held == []


def test_a_claim_from_before_the_clock_was_set_back_expires_as_any_other(tmp_path):
    """On another machine nothing else says that its holder is dead: it would keep everybody out for an hour."""
    words = {"holder": "pid 1 on elsewhere", "machine": "another boot", "expires_s": 0.2, "deaths": 0}
    path = tmp_path / ".claim-000001.json"
    path.write_text(json.dumps(words) + "\n")
    ahead = time.time() + 3600
    os.utime(path, (ahead, ahead))
    with pytest.raises(Held), lock.claimed(tmp_path):
        pass
    time.sleep(0.4)
    with lock.claimed(tmp_path) as claim:
        assert (claim.number, claim.deaths) == (2, 1)
