"""Links, FIFOs and other folders' files in an archive are named and never opened, and cost the rest nothing."""

import os
import shutil

import pytest
from archive_samples import RUN, STANDARD, write_archive

from grokscope.archive.importing import import_archive

SECRET = "the secret of another folder"


@pytest.fixture
def archive(tmp_path, tiny_network):
    return write_archive(tmp_path / "archive")


def contents(folder):
    return b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


@pytest.mark.parametrize("kind", ["link", "fifo"])
@pytest.mark.parametrize(
    "name", ["logs/train.log", "results/summary.json", "checkpoints/ep00200.pt", "mechinterp/m1.json"]
)
def test_a_member_that_is_no_regular_file_is_named_and_not_opened(archive, tmp_path, kind, name):
    (tmp_path / "secret").write_text(SECRET)
    path = archive / "runs" / RUN / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(tmp_path / "secret") if kind == "link" else os.mkfifo(path)
    done = import_archive(archive, tmp_path / "runs")
    words = "a symbolic link" if kind == "link" else "a FIFO"
    assert [p for p in done.problems if f"runs/{RUN}/{name}: is {words}" in p]
    assert len(done.runs) == 2
    assert SECRET.encode() not in contents(tmp_path / "runs")


@pytest.mark.parametrize("name", ["config.json", "results/history.json"])
def test_a_config_or_history_that_is_a_link_is_not_read(archive, tmp_path, name):
    path = archive / "runs" / RUN / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    done = import_archive(archive, tmp_path / "runs")
    assert [p for p in done.problems if f"{name}: is a symbolic link" in p]
    assert len(done.runs) == (1 if name == "config.json" else 2)


def test_a_run_that_is_a_link_is_named_and_the_others_come(archive, tmp_path):
    path = archive / "runs" / STANDARD
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    done = import_archive(archive, tmp_path / "runs")
    assert [p for p in done.problems if f"runs/{STANDARD}: is a symbolic link and is not followed" in p]
    assert len(done.runs) == 1


def test_a_folder_in_the_way_costs_the_other_runs_nothing(archive, tmp_path):
    first = import_archive(archive, tmp_path / "runs").runs[0]
    shutil.rmtree(tmp_path / "runs")
    first.path.mkdir(parents=True)
    (first.path / "config.json").write_text("{")
    done = import_archive(archive, tmp_path / "runs")
    assert len(done.runs) == 1
    assert any(f"{first.id}/config.json" in problem for problem in done.problems)
