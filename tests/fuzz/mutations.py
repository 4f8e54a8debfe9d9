"""Hostile inputs made from sound ones, and children in which trying them can do no harm. Everything follows a seed."""

import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

HERE = Path(__file__).parent
GIGABYTE = 1 << 30

TOKENS = (
    b"\x00", b"\xff\xfe", b"\x1b[31m", b"\xe2\x80\xae", b"\n", b"\r", b"'", b'"', b"../../../etc/passwd",
    b"[", b"{", b"]", b"}", b"[" * 3000, b"true", b"null",
    b"NaN", b"-Infinity", b"1e400", b"-1", b"0", b"18446744073709551616", b"9" * 400, b"9" * 5000,
    b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff\xff\xff\xff\xff", b"A" * 200_000,
)  # fmt: skip
"""What a parser meets where it expects something else."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**18, int("9" * 400),
    0.5, -0.0, 1e308, float("inf"), float("-inf"), float("nan"),
    "", "none", "\x1b[31mred\x1b[0m", "[red]x[/red]", "a\nb", "\u202eabc", "\x00", "../up", "/etc/passwd", "x" * 10_000,
    [], {}, [[]], [None], {"name": None}, ["a", 1, {}],
)  # fmt: skip
"""What a reader of plain data meets where it expects something else."""


def mutants(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    """`count` damaged copies of a file's bytes: bits flipped, bytes overwritten, parts cut, doubled or replaced."""
    for number in range(count):
        rng = Random(f"{seed}:{number}")
        out = data
        for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
            out = rng.choice(_CHANGES)(out, rng)
        yield out


def _flip(data: bytes, rng: Random) -> bytes:
    if not data:
        return b"\x01"
    out = bytearray(data)
    out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _overwrite(data: bytes, rng: Random) -> bytes:
    at, token = rng.randint(0, len(data)), rng.choice(TOKENS)
    return data[:at] + token + data[at + len(token) :]


def _insert(data: bytes, rng: Random) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.choice(TOKENS) + data[at:]


def _part(data: bytes, rng: Random) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + rng.choice((1, 4, 16, 256, 4096)))


def _cut(data: bytes, rng: Random) -> bytes:
    start, end = _part(data, rng)
    return data[:start] + data[end:]


def _truncate(data: bytes, rng: Random) -> bytes:
    return data[: rng.randint(0, len(data))]


def _double(data: bytes, rng: Random) -> bytes:
    start, end = _part(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 1, 50)) + data[end:]


def _number(data: bytes, rng: Random) -> bytes:
    """A run of digits becomes another number."""
    starts = [i for i, byte in enumerate(data[:100_000]) if 48 <= byte <= 57]
    if not starts:
        return _overwrite(data, rng)
    start = rng.choice(starts)
    end = start
    while end < len(data) and 48 <= data[end] <= 57:
        end += 1
    wild = (b"0", b"-1", b"1e400", b"1000000000000000000", b"9" * 400, b"0.5", b"nan", b"true", b"", b"4294967296")
    return data[:start] + rng.choice(wild) + data[end:]


_CHANGES: tuple[Callable[[bytes, Random], bytes], ...] = (_flip, _overwrite, _insert, _cut, _truncate, _double, _number)


def data_mutants(data: Any, seed: int, count: int) -> Iterator[Any]:
    """`count` damaged copies of plain data: leaves and branches replaced, keys renamed, dropped or added."""
    for number in range(count):
        rng = Random(f"{seed}:{number}")
        out = json.loads(json.dumps(data))
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            out = _change(out, rng)
        yield out


def _change(data: Any, rng: Random) -> Any:
    if isinstance(data, dict) and data and rng.random() < 0.9:
        key = rng.choice(sorted(data, key=str))
        kind = rng.random()
        if kind < 0.1:
            return {k: v for k, v in data.items() if k != key}
        if kind < 0.2:
            return {**data, rng.choice(("", "x" * 5000, key + "\x1b[2J", "name", "a.b", "\u202e")): rng.choice(VALUES)}
        return {**data, key: _change(data[key], rng)}
    if isinstance(data, list) and data and rng.random() < 0.8:
        at = rng.randrange(len(data))
        if rng.random() < 0.2:
            return data[:at] + data[at:] * 2
        return [*data[:at], _change(data[at], rng), *data[at + 1 :]]
    return rng.choice(VALUES)


class Hang(BaseException):
    """One attempt took longer than it may."""


def attempt(action: Callable[[], Any], what: str, seconds: int = 60) -> str:
    """``ok``, or ``refused`` where it raises a ValueError.

    Raises:
        AssertionError: naming `what`, with the trace, for any other exception, and where it takes too long.
    """

    def ring(*_: object) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        action()
    except ValueError:
        return "refused"
    except Hang:
        raise AssertionError(f"{what}: still going after {seconds} s\n{traceback.format_exc()}") from None
    except Exception:
        raise AssertionError(f"{what}:\n{traceback.format_exc()}") from None
    finally:
        signal.alarm(0)
    return "ok"


def in_child(
    module: str, function: str, *args: Any, memory: int = 6 * GIGABYTE, seconds: int = 500, cwd: Path | None = None
) -> Any:
    """What ``module.function(*args)`` returns, called in a process that may have only so much memory, beyond what its
    imports take, and time.

    The module lies among the tests; arguments and result are plain data (paths as text).

    Raises:
        AssertionError: with the child's last words, where it fails, is killed or takes too long.
    """
    paths = [str(HERE), str(HERE.parent), *sys.path]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(Path(__file__)), module, function, str(memory), json.dumps(args)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, errors="replace", timeout=seconds, cwd=cwd, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-1000:]}\n{done.stderr[-6000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def files_below(folder: Path) -> dict[str, int]:
    """Every file below a folder with its size: to see that nothing was written where nothing belongs."""
    return {str(p.relative_to(folder)): p.lstat().st_size for p in sorted(folder.rglob("*")) if not p.is_dir()}


def _main(module: str, function: str, memory: str, args: str) -> None:
    action = getattr(import_module(module), function)
    pages = int(Path("/proc/self/statm").read_text().split()[0])  # the libraries that are loaded by now
    limit = pages * resource.getpagesize() + int(memory)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print("\n" + json.dumps(action(*json.loads(args))))


if __name__ == "__main__":
    _main(*sys.argv[1:])
