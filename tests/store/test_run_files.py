"""Files of a run: whole or absent, readable by a person, and plain about what is wrong with them."""

import errno
import fcntl
import io
import json
import math
import os
import threading

import numpy as np
import pytest
import torch

from grokscope.files import explain_full_disk, read_json, remove_leftovers, to_json, write_atomic, write_json
from grokscope.store.checkpoints import load_state, load_weights, save_state, save_weights, state_paths
from grokscope.store.lock import Held, exclusive, is_held
from grokscope.store.metrics import MetricsWriter, columns, read_rows

# -- atomic writes ----------------------------------------------------------------------------------------------------


def test_a_failing_write_keeps_the_old_content_and_leaves_nothing(tmp_path):
    path = tmp_path / "deep" / "x.json"
    write_json(path, {"a": 1})

    def half(file):
        file.write(b'{"a": 2')
        raise RuntimeError("died in the middle")

    with pytest.raises(RuntimeError, match="died in the middle"):
        write_atomic(path, half)
    assert read_json(path) == {"a": 1}
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupt_during_a_write_passes_unchanged(tmp_path):
    def interrupted(file):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        write_atomic(tmp_path / "x", interrupted)
    assert caught.value.__cause__ is None, "an error must not be its own cause"
    assert list(tmp_path.iterdir()) == []


def test_readers_see_the_old_or_the_new_and_nothing_between(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"n": 0, "pad": "x" * 100_000})
    stop = threading.Event()

    def write():
        n = 0
        while not stop.is_set():
            n += 1
            write_json(path, {"n": n, "pad": "x" * 100_000})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = [0]
        while seen[-1] < 20:  # a torn file would raise here
            seen.append(read_json(path)["n"])
    finally:
        stop.set()
        writer.join()
    assert seen == sorted(seen)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_under_torch_is_explained(tmp_path, number):
    """torch.save answers the failed write with ``RuntimeError: unexpected pos 80896 vs 80848``."""

    class Full(io.BytesIO):
        def write(self, data):
            if self.tell() > 500:
                raise OSError(number, "the disk is full")
            return super().write(data)

    with pytest.raises(RuntimeError, match="unexpected pos"):
        torch.save({"a": torch.zeros(1000)}, Full())
    with pytest.raises(OSError, match=r"no space left to write .*free space, then run again"):
        write_atomic(tmp_path / "state.pt", lambda file: torch.save({"a": torch.zeros(1000)}, Full()))


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [FULL, OSError(errno.EDQUOT, "quota"), OSError(errno.EFBIG, "big")])
def test_a_full_disk_is_explained_whoever_reports_it(tmp_path, error):
    write_json(tmp_path / "x", {"old": True})

    def full(file):
        raise error

    with pytest.raises(OSError, match=rf"no space left to write {tmp_path}/x; .* free space, then run again") as caught:
        write_atomic(tmp_path / "x", full)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.__cause__ is error
    assert read_json(tmp_path / "x") == {"old": True}


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "denied"), RuntimeError("shape"), ValueError("x")])
def test_other_errors_are_not_mistaken_for_a_full_disk(tmp_path, error):
    explain_full_disk(error, tmp_path)

    def other(file):
        raise error

    with pytest.raises(type(error)) as caught:
        write_atomic(tmp_path / "x", other)
    assert caught.value is error


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(tmp_path):
    for name in (".a.pt.123.tmp", "a.pt", ".lock", "notes.tmp"):
        (tmp_path / name).write_text("x")
    remove_leftovers(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "a.pt", "notes.tmp"]
    remove_leftovers(tmp_path / "absent")


def test_json_is_strict_and_says_which_file_is_broken(tmp_path):
    assert json.loads(to_json({"a": math.nan, "b": [math.inf, 1.5], "c": {"d": -math.inf}})) == {
        "a": None,
        "b": [None, 1.5],
        "c": {"d": None},
    }
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ValueError, match=r"bad\.json: not readable as JSON"):
        read_json(tmp_path / "bad.json")
    with pytest.raises(ValueError, match=r"none\.json: no such file"):
        read_json(tmp_path / "none.json")


# -- metrics ----------------------------------------------------------------------------------------------------------


def lines(path, *rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_rows_come_back_as_written(tmp_path):
    writer = MetricsWriter(tmp_path / "results" / "metrics.jsonl")
    rows = [{"step": s, "train_loss": 0.1 * s, "train_correct": s} for s in (0, 3, 10)]
    for row in rows:
        writer.append(row)
        assert read_rows(writer.path) == rows[: rows.index(row) + 1], "readable at any moment"
    writer.append({"step": 11, "train_loss": math.nan})
    writer.close()
    assert read_rows(writer.path)[-1] == {"step": 11, "train_loss": None}
    assert read_rows(tmp_path / "absent.jsonl") == []


@pytest.mark.parametrize("tail", ['{"step": 9, "lo', '{"step": 9}', "\x00\x00\x00"])
def test_a_last_line_without_its_end_is_left_out(tmp_path, tail):
    path = lines(tmp_path / "m", {"step": 1}, {"step": 2})
    with open(path, "a") as file:
        file.write(tail)
    assert [r["step"] for r in read_rows(path)] == [1, 2]


@pytest.mark.parametrize(
    "damage", [b'{"step": 2, "lo\n', b"\n", b"[1]\n", b'{"loss": 1}\n', b'{"step": "2"}\n', b"\xff\xfe\n", b"null\n"]
)
def test_a_damaged_line_in_the_middle_is_named(tmp_path, damage):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + damage + b'{"step": 3}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2: not a row of metrics.*the file is damaged"):
        read_rows(path)


def test_steps_must_increase(tmp_path):
    path = lines(tmp_path / "m", {"step": 1}, {"step": 5}, {"step": 5})
    with pytest.raises(ValueError, match="line 3: step 5 does not follow 5"):
        read_rows(path)


def test_keep_cuts_back_to_what_a_resume_state_has_seen(tmp_path):
    writer = MetricsWriter(lines(tmp_path / "m", *({"step": s, "v": s} for s in range(10))))
    assert writer.keep({0, 2, 4, 6, 8}, last=6) == 6
    writer.append({"step": 7, "v": 7})  # through the new file, not the old handle
    writer.close()
    assert [r["step"] for r in read_rows(writer.path)] == [0, 2, 4, 6, 7]


def test_keep_of_nothing_empties_the_file_and_of_all_keeps_each_byte(tmp_path):
    path = lines(tmp_path / "m", {"step": 1}, {"step": 2})
    before = path.read_bytes()
    writer = MetricsWriter(path)
    assert writer.keep({1, 2, 3}, last=5) == 2
    assert path.read_bytes() == before
    assert writer.keep({1, 2}, last=-1) == -1
    assert path.read_bytes() == b""
    writer.close()


def test_keep_removes_a_cut_line_even_when_every_row_is_wanted(tmp_path):
    path = lines(tmp_path / "m", {"step": 1})
    with open(path, "ab") as file:
        file.write(b'{"step": 2, "v"')
    writer = MetricsWriter(path)
    writer.keep({1, 2}, last=9)
    writer.append({"step": 2})
    writer.close()
    assert [r["step"] for r in read_rows(path)] == [1, 2]


def test_a_row_that_is_written_in_part_is_an_error(tmp_path):
    """A nearly full disk takes some bytes and reports success; the next row would be glued to them."""
    writer = MetricsWriter(tmp_path / "m")
    real = writer._file

    class Short:
        def write(self, data):
            return real.write(data[:5])

    writer._file = Short()
    with pytest.raises(OSError, match="no space left to write"):
        writer.append({"step": 1})
    real.close()


def test_columns_have_nan_where_a_row_lacks_the_value():
    got = columns([{"step": 1, "a": 2}, {"step": 5, "b": None, "c": True}, {"step": 9, "a": 0.5, "c": "text"}])
    assert got["step"].dtype == np.int64
    assert got["step"].tolist() == [1, 5, 9]
    np.testing.assert_array_equal(got["a"], [2, np.nan, 0.5])
    np.testing.assert_array_equal(got["b"], [np.nan] * 3)
    np.testing.assert_array_equal(got["c"], [np.nan, 1.0, np.nan])
    assert all(v.dtype == np.float64 for k, v in got.items() if k != "step")
    assert columns([])["step"].shape == (0,)


# -- checkpoints ------------------------------------------------------------------------------------------------------


def test_weights_survive_views_strides_and_sharing(tmp_path):
    base = torch.arange(12.0).view(3, 4)
    weights = {"a": base, "t": base.t(), "row": base[1], "half": base.half(), "n": torch.tensor(3)}
    save_weights(tmp_path / "w.safetensors", weights)
    back = load_weights(tmp_path / "w.safetensors")
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[k], v) and back[k].dtype == v.dtype for k, v in weights.items())


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such checkpoint"), (b"", "damaged"), (b"short", "damaged"), (b"{}", "damaged")]
)
def test_a_checkpoint_that_cannot_be_read_is_named(tmp_path, content, message):
    path = tmp_path / "st1.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"st1\.safetensors: .*{message}"):
        load_weights(path)


def test_a_cut_checkpoint_is_damaged(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="damaged checkpoint"):
        load_weights(path)


def test_the_last_two_states_are_kept_newest_first(tmp_path):
    assert state_paths(tmp_path) == []
    for step in (5, 50, 500, 10**11):
        save_state(tmp_path, step, {"step": step})
    (tmp_path / "stateless.pt").touch()
    paths = state_paths(tmp_path)
    assert [p.name for p in paths] == ["state100000000000.pt", "state0000000500.pt"]
    assert [load_state(p) for p in paths] == [{"step": 10**11}, {"step": 500}]
    assert torch.load(paths[0], weights_only=True) == {"step": 10**11}, "a plain file of torch.save all the same"


def test_any_flipped_bit_and_any_cut_of_a_state_is_noticed(tmp_path):
    save_state(tmp_path, 5, {"step": 5, "w": torch.arange(30.0)})
    (path,) = state_paths(tmp_path)
    whole = path.read_bytes()
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"state0000000005\.pt is damaged"):
            load_state(path)
    for length in range(len(whole) - 80, len(whole)):
        path.write_bytes(whole[:length])
        if length != len(whole) - 52:  # without the digest it is a state of before there were digests
            with pytest.raises(ValueError, match="is damaged"):
                load_state(path)


def test_a_state_of_before_the_digests_is_read(tmp_path):
    path = tmp_path / "state0000000005.pt"
    torch.save({"step": 5}, path)
    assert load_state(path) == {"step": 5}
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="is damaged"):
        load_state(path)
    torch.save([5], path)
    with pytest.raises(ValueError, match="holds no state"):
        load_state(path)


def test_nothing_is_ever_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "pwned"),))

    torch.save({"step": Evil()}, tmp_path / "state0000000001.pt")
    with pytest.raises(ValueError, match=r"state0000000001\.pt is damaged"):
        load_state(tmp_path / "state0000000001.pt")
    assert not (tmp_path / "pwned").exists()


# -- the lock ---------------------------------------------------------------------------------------------------------


def test_the_lock_is_exclusive_and_ends_with_its_block(tmp_path):
    folder = tmp_path / "run"
    assert not is_held(folder)
    with exclusive(folder):
        assert is_held(folder)
        with pytest.raises(Held, match=f"is being trained by pid {os.getpid()} on"), exclusive(folder):
            pass
        assert is_held(folder), "a refused attempt must not drop the lock"
    assert not is_held(folder)
    with exclusive(folder):
        pass


def test_the_lock_ends_with_its_process_however_it_ends(tmp_path):
    ready = os.pipe()
    child = os.fork()
    if child == 0:
        with exclusive(tmp_path):
            os.write(ready[1], b"x")
            os.kill(os.getpid(), 9)
    os.read(ready[0], 1)
    os.waitpid(child, 0)
    assert not is_held(tmp_path)
    with exclusive(tmp_path):
        pass
    for end in ready:
        os.close(end)


def test_somebody_who_looks_does_not_keep_a_writer_out(tmp_path):
    """Looking takes the lock for an instant; starting to train in that instant must not fail."""
    with exclusive(tmp_path):
        pass
    looking = os.open(tmp_path / ".lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    done = threading.Timer(0.02, os.close, [looking])
    done.start()
    with exclusive(tmp_path):
        assert is_held(tmp_path)
    done.join()


def test_somebody_who_stays_does(tmp_path):
    (tmp_path / ".lock").touch()
    with open(tmp_path / ".lock") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        with pytest.raises(Held, match="is being trained by another process"), exclusive(tmp_path):
            pass
