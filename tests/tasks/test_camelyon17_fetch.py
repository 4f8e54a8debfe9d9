"""A download that breaks goes on where it stopped, and nothing but the whole, right archive is ever unpacked."""

import io
import re
import socket
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from grokscope.tasks.camelyon17.fetch import FOLDER, fetch_camelyon17
from grokscope.tasks.camelyon17.files import HEADER, METADATA, RELEASE


def pack(members):
    """A tar.gz of (name, bytes)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


PATCH = np.random.default_rng(0).bytes(60_000)
MEMBERS = [(RELEASE, b"1.0\n"), (METADATA, HEADER.encode() + b"\n"), ("patches/patient_004_node_0/a.png", PATCH)]
ARCHIVE = pack(MEMBERS)


class Host(ThreadingHTTPServer):
    """Serves `content`; each answer may stop after `pieces[i]` bytes; may ignore ranges or answer with an error."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.content, self.pieces, self.ranges, self.error = ARCHIVE, [], True, None
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_port}/blob/"


class Answer(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self):
        host = self.server
        wanted = self.headers.get("Range")
        host.asked.append(wanted)
        if host.error:
            return self.send_error(host.error)
        start = int(re.findall(r"\d+", wanted)[0]) if wanted and host.ranges else 0
        rest = host.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(host.content) - 1}/{len(host.content)}")
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: host.pieces.pop(0)] if host.pieces else rest)
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def host(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Host() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(host, folder, **options):
    return fetch_camelyon17(folder, **{"url": host.url, "size": len(ARCHIVE), "wait_s": 0.0, **options})


def test_a_broken_transfer_goes_on_where_it_stopped(host, tmp_path):
    host.pieces = [10_000, 0, 20_000]
    seen = []
    folder = fetch(host, tmp_path / "new", progress=lambda done, size: seen.append((done, size)))
    assert folder == tmp_path / "new" / FOLDER
    assert (folder / MEMBERS[2][0]).read_bytes() == PATCH
    assert host.asked == [None, "bytes=10000-", "bytes=10000-", "bytes=30000-"]
    assert seen[-1] == (len(ARCHIVE), len(ARCHIVE))
    assert sorted(p.name for p in folder.parent.iterdir()) == [FOLDER]
    host.asked.clear()
    assert fetch(host, tmp_path / "new") == folder
    assert host.asked == []


def test_the_next_call_goes_on_too(host, tmp_path):
    host.pieces = [10_000, 0]
    with pytest.raises(
        ValueError, match=r"10,000 of .* bytes are kept in .*\.part, and the same command resumes from there"
    ):
        fetch(host, tmp_path, retries=0)
    host.asked.clear()
    fetch(host, tmp_path, keep_archive=True)
    assert host.asked == ["bytes=10000-"]
    assert (tmp_path / f"{FOLDER}.tar.gz").read_bytes() == ARCHIVE


def test_a_host_without_ranges_starts_anew(host, tmp_path):
    host.ranges, host.pieces = False, [10_000]
    assert (fetch(host, tmp_path) / RELEASE).exists()


@pytest.mark.parametrize("error", [404, 503])
def test_a_host_that_refuses_is_explained(host, tmp_path, error):
    host.error = error
    with pytest.raises(ValueError, match=f"the host answers {error}.*CodaLab has been down.*camelyon17 check.*--url"):
        fetch(host, tmp_path, retries=2)
    assert len(host.asked) == (1 if error == 404 else 3)


def test_no_host_at_all_is_explained(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{s.getsockname()[1]}/"
    with pytest.raises(ValueError, match=r"nothing came.*CodaLab has been down"):
        fetch_camelyon17(tmp_path, url=url, size=100, retries=1, wait_s=0.0)


def test_what_is_no_address_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"url: expected http://\.\.\. or https://\.\.\., got 'mirror\.org/a'"):
        fetch_camelyon17(tmp_path / "new", url="mirror.org/a")
    assert not (tmp_path / "new").exists()


def test_another_archive_is_refused(host, tmp_path):
    with pytest.raises(
        ValueError, match=rf"has {len(ARCHIVE):,} bytes, expected {len(ARCHIVE) + 1:,}; it is another one"
    ):
        fetch(host, tmp_path, size=len(ARCHIVE) + 1)
    host.content = pack([("else.txt", b"x")])
    with pytest.raises(ValueError, match=r"contains no RELEASE.*not the camelyon17 archive"):
        fetch(host, tmp_path, size=len(host.content))
    assert not (tmp_path / FOLDER).exists()


@pytest.mark.parametrize("at", [1000, len(ARCHIVE) // 2, len(ARCHIVE) - 6])
def test_one_wrong_bit_is_found(host, tmp_path, at):
    host.content = ARCHIVE[:at] + bytes([ARCHIVE[at] ^ 4]) + ARCHIVE[at + 1 :]
    with pytest.raises(ValueError, match="cannot be unpacked"):
        fetch(host, tmp_path)
    assert not (tmp_path / FOLDER).exists()


def test_a_cut_or_foreign_archive_on_disk_is_refused(host, tmp_path):
    archive = tmp_path / f"{FOLDER}.tar.gz"
    archive.write_bytes(ARCHIVE[:-9])
    with pytest.raises(ValueError, match="delete it and fetch again"):
        fetch(host, tmp_path)
    archive.write_bytes(bytes(len(ARCHIVE)))
    with pytest.raises(ValueError, match="cannot be unpacked"):
        fetch(host, tmp_path)
    assert not (tmp_path / FOLDER).exists()
    assert host.asked == []


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt"])
def test_members_cannot_leave_the_folder(host, tmp_path, name):
    host.content = pack([*MEMBERS, (name, b"evil")])
    inner = tmp_path / "inner"
    if name.startswith("/"):  # an absolute name is taken as a relative one
        assert (fetch(host, inner, size=len(host.content)) / "evil.txt").exists()
    else:
        with pytest.raises(ValueError, match="cannot be unpacked"):
            fetch(host, inner, size=len(host.content))
        assert not (inner / FOLDER).exists()
    assert not (tmp_path / "evil.txt").exists()
    assert not (inner / "evil.txt").exists()


def test_an_archive_with_its_own_folder_is_flattened(host, tmp_path):
    host.content = pack([(f"{FOLDER}/{name}", content) for name, content in MEMBERS])
    assert (fetch(host, tmp_path, size=len(host.content)) / RELEASE).exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == [FOLDER]


def test_a_small_disk_or_a_half_folder_is_told_before_anything_is_asked(host, tmp_path):
    with pytest.raises(ValueError, match=r"GB free, but archive and patches need .* GB more"):
        fetch(host, tmp_path, size=10**18)
    (tmp_path / FOLDER).mkdir()
    with pytest.raises(ValueError, match=r"exists but has no RELEASE"):
        fetch(host, tmp_path)
    assert host.asked == []
