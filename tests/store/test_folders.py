"""A run is found by what it is, wherever its folder was renamed to; and only by that."""

import json

import pytest

from grokscope.files import read_json, write_json
from grokscope.store.folders import Folders, find_run
from grokscope.train.driver import Interrupted, train
from tiny import tiny


def quick(**changes):
    return tiny({"hardware.resume_every_s": 1000.0, "budget.steps": 20, "checkpoint": {"at": []}}, **changes)


@pytest.fixture
def run(tmp_path):
    return train(quick(), tmp_path)


def copy(run, name):
    import shutil

    return shutil.copytree(run.path, run.path.with_name(name))


def test_where_nothing_is_the_run_will_be(tmp_path):
    assert find_run(tmp_path / "none", quick()).path == tmp_path / "none" / quick().run_id()


@pytest.mark.parametrize("name", ["mine", "modular_custom_n24_s0-00000000", "other_label_n24_s0-ffffffff"])
def test_a_renamed_folder_is_found(run, name):
    moved = run.path.rename(run.path.with_name(name))
    assert find_run(moved.parent, quick()).path == moved
    assert find_run(moved.parent, quick(seed=1)).path.name == quick(seed=1).run_id()
    assert find_run(moved.parent, quick(regime__lr=0.5)).path.name == quick(regime__lr=0.5).run_id()


def test_another_label_is_the_same_run_and_keeps_the_first(run):
    before = (run.path / "config.json").read_bytes()
    again = train(quick(regime__name="other"), run.path.parent)
    assert again.path == run.path
    assert train(quick(regime__name="other", budget__steps=30), run.path.parent).label == "custom"
    assert before != (run.path / "config.json").read_bytes(), "the budget is the new one"


def test_the_folder_of_its_name_comes_first(run):
    copy(run, "backup")
    assert find_run(run.path.parent, quick()).path == run.path


def test_of_two_renamed_copies_the_furthest_is_used_with_a_warning(run):
    short = copy(run, "short")
    write_json(short / "status.json", read_json(short / "status.json") | {"step": 10})
    run.path.rename(run.path.with_name("z-long"))
    with pytest.warns(UserWarning, match="z-long contains the same run as short, and has the most progress"):
        assert find_run(run.path.parent, quick()).path.name == "z-long"


def test_a_folder_with_another_runs_name_is_never_continued(tmp_path):
    with pytest.raises(Interrupted) as caught:
        train(quick(), tmp_path, interrupt_at=8)
    caught.value.run.path.rename(tmp_path / quick(regime__lr=0.5).run_id())
    with pytest.raises(ValueError, match="its run does not match its name"):
        train(quick(regime__lr=0.5), tmp_path)


def test_damaged_and_foreign_folders_are_passed_over(run):
    root = run.path.parent
    for name, text in (("damaged", "{"), ("newer", '{"schema": 99, "config": {}}'), ("none", "[]"),
                       ("own", '{"config": {"task": {"name": "own"}, "seed": 0}}')):  # fmt: skip
        (root / name).mkdir()
        (root / name / "config.json").write_text(text)
    moved = run.path.rename(root / "mine")
    assert find_run(root, quick()).path == moved


def test_a_config_that_changed_is_read_again(run):
    root = run.path.parent
    moved = run.path.rename(root / "mine")
    assert find_run(root, quick()).path == moved
    record = json.loads((moved / "config.json").read_text())
    record["config"]["regime"]["lr"] = 0.25
    write_json(moved / "config.json", record)
    assert find_run(root, quick()).path != moved
    assert Folders(root).find(quick(regime__lr=0.25)).path == moved


def test_each_folder_is_looked_at_once_however_many_runs_are_asked_for(run, monkeypatch):
    from grokscope.store import folders

    root = run.path.parent
    run.path.rename(root / "mine")
    for i in range(20):
        (root / f"other{i}").mkdir()
        (root / f"other{i}" / "config.json").write_text("{")
        (root / f"modular_custom_n24_s1-{i:08x}").mkdir()
    looked_at = []
    look = folders._identity_at
    monkeypatch.setattr(folders, "_identity_at", lambda folder: looked_at.append(folder) or look(folder))
    asked = Folders(root)
    for lr in range(1, 30):
        assert not asked.find(quick(regime__lr=lr / 100, seed=2)).path.exists()
    assert asked.find(quick()).path.name == "mine"
    assert len(looked_at) == len(set(looked_at)) == 21, "those named by hand; none of another seed"


def test_a_damaged_config_in_the_folder_of_its_name_is_named_and_never_trained_over(run):
    (run.path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: not readable as JSON"):
        find_run(run.path.parent, quick())
    with pytest.raises(ValueError, match=r"config\.json: not readable as JSON"):
        train(quick(), run.path.parent)
