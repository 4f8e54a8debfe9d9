"""Runs are pooled only when they learned from the same data, and a run goes on only with its own."""

from dataclasses import replace

import numpy as np
import pytest

from grokscope import configio
from grokscope.files import read_json, write_json
from grokscope.report import build_report
from grokscope.store import open_run
from grokscope.store.same_data import refuse_mixed
from grokscope.study.study import Study
from grokscope.task_data import Split, TaskData
from grokscope.tasks.digest import split_digests
from grokscope.train.driver import Interrupted, train
from tiny import TINY, tiny

X, Y, E = np.arange(12, dtype=np.float32).reshape(6, 2), np.array([0, 1] * 3), np.array([0, 0, 1, 1, 2, 2])


def digest(**changes):
    data = TaskData(kind="classification", splits={"train": Split(**({"x": X, "y": Y, "env": E} | changes))}, classes=2,
                    threshold=0.9)  # fmt: skip
    return split_digests(data)["train"]


def edit(run, change):
    record = read_json(run.path / "config.json")
    change(record)
    write_json(run.path / "config.json", record)
    return open_run(run.path)


def quick(**changes):
    return tiny({"hardware.resume_every_s": 1000.0}, **changes)


def redrawn(record):
    record["facts"]["data"]["digests"]["id_val"] = "0" * 32


def without(record):
    record["facts"].pop("data")


def test_a_digest_sees_every_bit_of_a_split():
    other = X.copy()
    other[5, 1] = np.nextafter(other[5, 1], 99)
    changed = [digest(x=other), digest(x=X[::-1]), digest(y=1 - Y), digest(env=E[::-1]), digest(env=None),
               digest(env=None, group=E), digest(x=X.astype(np.int64)), digest(x=X[:, ::-1]),
               digest(x=X, x_digest="files")]  # fmt: skip
    assert digest() == digest(x=X.copy())
    assert len({digest(), *changed}) == 1 + len(changed)


def test_files_stand_for_pixels():
    assert digest(x_digest="a") == digest(x=X + 1, x_digest="a") != digest(x_digest="b")


def test_a_run_records_its_data(tmp_path):
    one, two = (train(quick(seed=0, regime__lr=lr), tmp_path) for lr in (1e-2, 2e-2))
    other = train(quick(seed=1), tmp_path)
    assert one.facts["data"]["version"] == 1
    assert set(one.facts["data"]["digests"]) == {"train", "id_val"}
    assert one.facts["data"] == two.facts["data"] != other.facts["data"]


def test_reports_and_checks_refuse_to_pool_other_data(tmp_path):
    raw = {**{k: v for k, v in TINY.items() if k != "hardware"}, "seeds": [0], "axes": {"regime.lr": [1e-2, 2e-2]},
           "expect": [{"verdict": ["memorized", "grokked", "generalized", "underfit"]}]}  # fmt: skip
    study = Study.from_dict(raw, "s")
    study.run(0, tmp_path)
    one, two = (s.run for s in study.status(tmp_path))
    study.check(tmp_path)
    edit(two, redrawn)
    words = f"{one.id} and {two.id} have the same task and seed, but different data in split id_val"
    with pytest.raises(ValueError, match=words):
        study.check(tmp_path)
    with pytest.raises(ValueError, match="cannot be pooled; exclude one"):
        build_report([open_run(one.path), open_run(two.path)], tmp_path / "report.html", formats=())


def test_other_seeds_and_tasks_may_differ(tmp_path):
    runs = [train(quick(seed=s, task__p=p), tmp_path) for s, p in ((0, 7), (1, 7), (0, 5))]
    assert refuse_mixed((r.id, r.record) for r in runs) == []


def test_runs_without_digests_are_pooled_on_trust_and_named(tmp_path):
    one, two = (train(quick(regime__lr=lr), tmp_path) for lr in (1e-2, 2e-2))
    two = edit(two, without)
    assert refuse_mixed((r.id, r.record) for r in (one, two)) == [two.id]
    page = build_report([one, two], tmp_path / "report.html", formats=()).read_text()
    assert "1 run pooled without verification of their data" in page


def test_a_run_does_not_go_on_with_other_data(tmp_path):
    with pytest.raises(Interrupted) as caught:
        train(quick(), tmp_path, interrupt_at=30)
    run = edit(caught.value.run, redrawn)
    status = (run.path / "status.json").read_bytes()
    with pytest.raises(
        ValueError,
        match=r"its data differ from those that it was trained on \(other bytes in "
        r"id_val\)",
    ):
        train(quick(), tmp_path)
    assert (run.path / "status.json").read_bytes() == status, "what is there stays"


@pytest.mark.parametrize("spoil", [redrawn, "sizes"])
def test_study_run_leaves_a_run_alone_that_has_other_data_and_says_so(tmp_path, spoil):
    from grokscope.commands.study import Ran

    def smaller(record):
        without(record)
        record["facts"]["splits"]["id_val"]["n"] -= 1

    raw = {k: v for k, v in TINY.items() if k != "hardware"} | {"seeds": [0, 1]}
    study = Study.from_dict(raw, "s")
    with pytest.raises(Interrupted) as caught:
        train(study.runs()[0], tmp_path, interrupt_at=30)
    run = edit(caught.value.run, smaller if spoil == "sizes" else spoil)
    before = {
        p: p.read_bytes() for p in run.path.rglob("*") if p.is_file() and not p.name.startswith((".lock", ".claim"))
    }
    outcomes = study.run(0, tmp_path)
    assert {p: p.read_bytes() for p in before} == before, "what is there stays"
    assert sorted(o.state for o in outcomes) == ["done", "failed"]
    ran = Ran(study, tmp_path, outcomes, 0)
    assert f"failed: {run.path}: {run.id}: its data differ from those that it was trained on" in str(ran)
    assert ran.exit_code == 1


def test_a_run_that_has_ended_is_not_called_failed_because_it_cannot_be_trained_longer(tmp_path):
    from grokscope.execute.attempt import record_failure

    run = train(quick(), tmp_path)
    before = (run.path / "status.json").read_bytes()
    record_failure(quick(), tmp_path, (), "the files of its task are gone")
    assert (run.path / "status.json").read_bytes() == before


def test_compare_says_first_which_splits_differ_in_their_data(tmp_path):
    from grokscope.comparison import compare

    one, two = (train(quick(regime__lr=lr), tmp_path) for lr in (1e-2, 2e-2))
    found = compare(one, two)
    assert (found.same_data, [s.key for s in found.settings]) == ("same", ["regime.lr"]), "same data is no difference"
    two = edit(two, redrawn)
    found = compare(one, two)
    assert {s.split: s.word for s in found.data} == {"train": "same", "id_val": "other"}
    assert found.same_data == "other"
    assert found.says[0].startswith("Data: other examples in id_val")
    two = edit(two, without)
    found = compare(one, two)
    assert {s.word for s in found.data} == {"unknown"}
    assert "facts.data_version" not in [s.key for s in found.settings], "both are of version 1"


def test_a_studys_report_shows_the_studys_label_of_a_run_that_began_under_another(tmp_path):
    raw = {k: v for k, v in TINY.items() if k != "hardware"} | {"seeds": [0]}
    Study.from_dict({**raw, "regime": {**raw["regime"], "name": "first-label"}}, "s").run(0, tmp_path)
    study = Study.from_dict({**raw, "regime": {**raw["regime"], "name": "second-label"}}, "s")
    assert [s.state for s in study.status(tmp_path)] == ["done"]
    assert study.status(tmp_path)[0].run.label == "first-label"
    shown = _groups_of_report(study, tmp_path)
    assert shown == ["second-label"]


def _groups_of_report(study, root):
    """The names of the groups that a study's page compares."""
    from grokscope.report.read.subjects import gather
    from grokscope.study.study import _labeled

    page = study.report(root / "page.html", root).read_text()
    groups = [s.group for s in gather([_labeled(s) for s in study.status(root)])]
    assert all(name in page for name in groups)
    return groups


def test_a_run_without_digests_is_told_apart_by_its_sizes(tmp_path):
    with pytest.raises(Interrupted) as caught:
        train(quick(), tmp_path, interrupt_at=30)

    def smaller(record):
        without(record)
        record["facts"]["splits"]["id_val"]["n"] -= 1

    edit(caught.value.run, smaller)
    with pytest.raises(ValueError, match="other sizes or trivial scores in id_val"):
        train(quick(), tmp_path)


def test_runs_of_two_data_versions_are_two_groups(tmp_path):
    one = train(quick(), tmp_path)
    two = edit(train(quick(seed=1), tmp_path), lambda r: r["facts"]["data"].update(version=2))
    from grokscope.report.read.subjects import gather

    assert len({s.group for s in gather([one, two])}) == 2


def test_a_newer_data_version_is_not_the_old_run(tmp_path):
    from grokscope.tasks.modular import Modular

    class Redrawn(Modular):
        data_version = 2

    run = train(quick(), tmp_path)
    config = replace(quick(), task=Redrawn(**vars(quick().task)))
    again = train(config, tmp_path)
    assert again.path != run.path
    assert again.facts["data"]["version"] == 2
    assert configio.load_run(again.config).run_id() == run.id, "the folder's own version keeps it apart"
    assert train(quick(), tmp_path).path == run.path
