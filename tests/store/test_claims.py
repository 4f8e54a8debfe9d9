"""Who may write a run's folder: one of many, known by files alone, and never somebody who was asleep."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from grokscope.files import require_writable, write_json
from grokscope.store import claims, lock
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
        with pytest.raises(ClaimLost, match="took this run over"):
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
    assert "took this run over" in said
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
