"""Where and with what a run was made."""

import json

from grokscope.store.provenance import provenance


def test_provenance_is_plain_data_with_what_outcomes_depend_on():
    found = provenance()
    assert json.loads(json.dumps(found)) == found
    assert {"python", "platform", "processor", "cpus", "host", "command", "packages", "git"} == found.keys()
    assert {"torch", "numpy", "grokscope"} <= found["packages"].keys()
    assert found["processor"]


def test_outside_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    provenance.cache_clear()
    try:
        assert provenance()["git"] is None
    finally:
        provenance.cache_clear()


def test_without_git_too(monkeypatch):
    monkeypatch.setenv("PATH", "")
    provenance.cache_clear()
    try:
        assert provenance()["git"] is None
    finally:
        provenance.cache_clear()
