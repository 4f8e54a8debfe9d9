"""Talking to the Hub, with a Hub made of paper: what is asked of it, and what is said when it refuses."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from archive_samples import write_run

from grokscope.archive import export_archive, fetch, import_archive, push
from grokscope.store import Run

hub = pytest.importorskip("huggingface_hub")


class Paper:
    """Stands for HfApi: remembers what it was asked, and does what a test tells it."""

    calls: list[tuple[str, dict[str, Any]]]
    error: BaseException | None
    files: dict[str, str]

    def __init__(self, **options: Any):
        Paper.calls.append(("login", options))

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            Paper.calls.append((name, kwargs | ({"repo_id": args[0]} if args else {})))
            if Paper.error is not None:
                raise Paper.error
            if name == "create_repo":
                return SimpleNamespace(repo_id=f"me/{args[0].rpartition('/')[2]}")
            if name == "snapshot_download":
                for path, text in Paper.files.items():
                    target = Path(kwargs["local_dir"]) / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_text(text)
            return SimpleNamespace(commit_url="https://huggingface.co/me/x/commit/1")

        return call


@pytest.fixture(autouse=True)
def paper(monkeypatch):
    Paper.calls, Paper.error, Paper.files = [], None, {"runs/a/config.json": "{}"}
    monkeypatch.setattr(hub, "HfApi", Paper)


@pytest.fixture
def archive(tmp_path, tiny_network) -> Path:
    write_run(tmp_path / "in" / "runs" / "x_grokking_n1000_s42", names=["final"])
    runs: list[Run] = list(import_archive(tmp_path / "in", tmp_path / "runs"))
    return export_archive(runs, tmp_path / "archive", formats=()).path


def asked(name: str) -> dict[str, Any]:
    return next(options for call, options in Paper.calls if call == name)


def test_a_push_makes_a_private_repository_and_sends_the_folder(archive):
    assert push(archive, "x", message="All runs", token="t") == "https://huggingface.co/me/x/commit/1"
    assert asked("login")["token"] == "t"
    assert asked("create_repo") == {"repo_id": "x", "private": True, "exist_ok": True, "repo_type": "model"}
    sent = asked("upload_folder")
    assert (sent["repo_id"], sent["folder_path"], sent["commit_message"]) == ("me/x", archive, "All runs")
    assert sent["revision"] is None
    assert "create_branch" not in [name for name, _ in Paper.calls]


def test_what_stays_at_home_is_told_to_the_hub(archive):
    from huggingface_hub.utils import filter_repo_objects

    push(archive, "me/x")
    paths = [
        "README.md",
        "runs/a/checkpoints/final.pt",
        "runs/a/resume/state1.pt",
        ".cache/x",
        "runs/a/.lock",
        "runs/a/.b.1.tmp",
    ]
    kept = filter_repo_objects(paths, ignore_patterns=asked("upload_folder")["ignore_patterns"])
    assert list(kept) == ["README.md", "runs/a/checkpoints/final.pt"]


def test_publishing_has_to_be_asked_for(archive):
    push(archive, "me/x", private=False, revision="v1")
    assert asked("create_repo")["private"] is False
    assert asked("create_branch")["branch"] == asked("upload_folder")["revision"] == "v1"


def test_only_archives_are_pushed(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        push(tmp_path / "none", "me/x")
    (tmp_path / "README.md").write_text("# my thesis")
    with pytest.raises(ValueError, match="is not an exported archive"):
        push(tmp_path, "me/x")
    assert Paper.calls == []


def test_a_fetch_brings_what_was_asked(tmp_path):
    dest = fetch("me/x", tmp_path / "d", "v1", ["20260505-080445_grokking_n1000_s42", "*_s7/results/*"])
    assert (dest / "runs" / "a" / "config.json").exists()
    got = asked("snapshot_download")
    assert (got["repo_id"], got["revision"], got["local_dir"]) == ("me/x", "v1", tmp_path / "d")
    assert got["allow_patterns"] == ["runs/20260505-080445_grokking_n1000_s42/*", "*_s7/results/*"]
    fetch("me/x", tmp_path / "all")
    assert Paper.calls[-1][1]["allow_patterns"] is None


def test_a_fetch_that_finds_nothing_says_so(tmp_path):
    Paper.files = {".cache/huggingface/x": ""}
    with pytest.raises(ValueError, match=r"nothing matches \*_s9/\*"):
        fetch("me/x", tmp_path / "d", only=["*_s9/*"])
    with pytest.raises(ValueError, match="is empty"):
        fetch("me/x", tmp_path / "d")


def http() -> Any:
    """The package that carries huggingface_hub's requests: httpx, or a fork of it."""
    base = hub.errors.HfHubHTTPError.__mro__[1]
    return importlib.import_module(base.__module__.partition(".")[0])


def refusal(kind: str, status: int) -> BaseException:
    request = http().Request("GET", "https://huggingface.co/api")
    return getattr(hub.errors, kind)("no", response=http().Response(status, request=request))


def offline() -> BaseException:
    return http().ConnectError("no route")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (lambda: refusal("HfHubHTTPError", 401), ValueError, "hf auth login"),
        (lambda: refusal("HfHubHTTPError", 403), ValueError, "you may not write to me/x"),
        (lambda: refusal("HfHubHTTPError", 500), OSError, "answered 500"),
        (lambda: refusal("RepositoryNotFoundError", 404), ValueError, "no such repository, or it is private"),
        (lambda: refusal("RevisionNotFoundError", 404), ValueError, "me/x has no revision 'v9'"),
        (lambda: refusal("GatedRepoError", 403), ValueError, "gated"),
        (lambda: hub.errors.LocalTokenNotFoundError("no"), ValueError, "not logged in"),
        (lambda: hub.errors.HFValidationError("bad"), ValueError, "is not a repository name"),
        (lambda: hub.errors.OfflineModeIsEnabled("off"), OSError, "cannot be reached"),
        (lambda: hub.errors.LocalEntryNotFoundError("off"), OSError, "cannot be reached"),
        (offline, OSError, "cannot be reached .ConnectError."),
        (lambda: ConnectionResetError("reset"), OSError, "cannot be reached"),
    ],
)
def test_every_refusal_has_a_remedy(archive, tmp_path, error, kind, words):
    Paper.error = error()
    with pytest.raises(kind, match=words):
        push(archive, "me/x", revision="v9")
    with pytest.raises(kind, match=words):
        fetch("me/x", tmp_path / "d", "v9")


def test_our_own_faults_are_not_dressed_up(archive):
    Paper.error = ZeroDivisionError("ours")
    with pytest.raises(ZeroDivisionError):
        push(archive, "me/x")


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"pip install 'grokscope\[hub\]'"):
        fetch("me/x", tmp_path / "d")
