"""Random damage to the files of small runs: every verb answers or says what is wrong; nothing hangs, nothing outside is
touched, and no damaged state or row is trained on without a word."""

import os
import random
import shutil
import signal
import warnings

import pytest

from grokscope.commands.look import ls, show, sql
from grokscope.commands.verdict import runs_at
from grokscope.store import find_runs
from grokscope.train.driver import Interrupted, train
from grokscope.verdicts import run_verdicts
from tiny import tiny

ROUNDS = 60
SEED = 0
SECONDS = 120
"""What one answer may take at most; they take well under one."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run, one that was stopped, and an index over both."""
    root = tmp_path_factory.mktemp("runs")
    train(tiny(seed=1), root)
    with pytest.raises(Interrupted):
        train(tiny(), root, interrupt_at=40)
    ls(root)
    sql("select count(*) n from metrics", root=root)
    return root


def files_of(root):
    return sorted(p for p in root.rglob("*") if p.is_file() and p.suffix != ".png")


def harm(rng, root, outside):
    """One act of damage; returns what was done, for the message."""
    path = rng.choice(files_of(root))
    data = path.read_bytes()
    kind = rng.choice(["flip", "flip", "cut", "empty", "delete", "line", "garbage", "link", "fifo", "folder", "value"])
    lines = data.splitlines(keepends=True) or [b""]
    match kind:
        case "flip" if data:
            changed = bytearray(data)
            for _ in range(rng.choice([1, 1, 5])):
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            path.write_bytes(changed)
        case "cut":
            path.write_bytes(data[: rng.randrange(len(data) + 1)])
        case "empty":
            path.write_bytes(b"")
        case "line":
            number = rng.randrange(len(lines))
            path.write_bytes(b"".join([*lines[:number], lines[number] * rng.choice([0, 2]), *lines[number + 1 :]]))
        case "garbage":
            place = rng.randrange(len(data) + 1)
            path.write_bytes(data[:place] + rng.randbytes(rng.choice([1, 40])) + data[place:])
        case "value":
            old, new = rng.choice([(b"0", b'"x"'), (b"1", b"[]"), (b"null", b"{}"), (b"true", b"1e999"), (b"{", b"[")])
            path.write_bytes(data.replace(old, new, rng.choice([1, 3])))
        case "link":
            path.unlink()
            path.symlink_to(rng.choice([outside / "file", outside, outside / "absent"]))
        case "fifo":
            path.unlink()
            os.mkfifo(path)
        case "folder":
            path.unlink()
            path.mkdir()
        case _:
            path.unlink()
    return f"{kind} {path.relative_to(root)}"


def answers(root):
    """All that is asked of a folder of runs."""
    yield lambda: str(ls(root))
    yield lambda: [str(show(run.path)) for run in find_runs(root)[:1]]
    yield lambda: [str(show(run.path)) for run in find_runs(root)[1:]]
    yield lambda: sql("select * from metrics", root=root)
    yield lambda: sql("select * from runs", root=root)
    yield lambda: [run_verdicts(run) for run in runs_at(root)[:1]]
    yield lambda: [run_verdicts(run) for run in runs_at(root)[1:]]
    yield lambda: train(tiny(), root)
    yield lambda: train(tiny(seed=1), root)
    yield lambda: str(ls(root))


def bytes_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Hung(BaseException):
    pass


def too_long(number, frame):
    raise Hung


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_damage_is_answered_with_words(runs, tmp_path, part):
    rng = random.Random(SEED + part)
    whole = train(tiny(), tmp_path / "whole").rows()
    before_alarm = signal.signal(signal.SIGALRM, too_long)
    try:
        for number in range(ROUNDS // 4):
            place = tmp_path / str(number)
            root, outside = shutil.copytree(runs, place / "runs"), place / "outside"
            outside.mkdir()
            (outside / "file").write_text('{"step": 1}\n')
            done = [harm(rng, root, outside) for _ in range(rng.choice([1, 1, 2, 4]))]
            before = bytes_of(outside)
            check(root, done, whole)
            assert bytes_of(outside) == before, done
            assert sorted(p.name for p in place.iterdir()) == ["outside", "runs"], done
            shutil.rmtree(place)
    finally:
        signal.signal(signal.SIGALRM, before_alarm)


def check(root, done, whole):
    told = []
    for number, answer in enumerate(answers(root)):
        signal.alarm(SECONDS)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                answer()
            told += caught
        except (ValueError, OSError) as error:
            told.append(error)
        except Exception as error:
            raise AssertionError(f"question {number} after {done}") from error
        finally:
            signal.alarm(0)
    states = {row["id"]: row["state"] for row in ls(root).rows}
    trained = tiny().run_id()
    if states.get(trained) == "done" and not told:
        run = next(run for run in find_runs(root) if run.id == trained)
        assert run.rows() == whole, f"trained on damage without a word: {done}"


def test_the_kinds_of_damage_leave_something_to_find(runs, tmp_path):
    root = shutil.copytree(runs, tmp_path / "runs")
    before = bytes_of(root)
    changed = set()
    for number in range(20):
        changed.add(harm(random.Random(number), root, tmp_path).split()[0])
        shutil.rmtree(root)
        shutil.copytree(runs, root)
    assert bytes_of(root) == before
    assert len(changed) >= 6
