"""A study carried out: planned without a trace, trained once, extended exactly, checked honestly."""

from pathlib import Path
from typing import Any

import pytest

from grokscope import cli, configio
from grokscope.execute.inline import Inline
from grokscope.study import Study
from grokscope.study.estimate import makespan
from grokscope.verdicts import run_verdicts
from tiny import TINY, TINY_TOML, same_folder_content


def study(**more: Any) -> Study:
    return Study.from_dict({**TINY, "axes": {"regime.lr": [0.01, 0.001]}, "seeds": [0, 1], **more})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    study().run(workers=0, root=root)
    return root


def test_a_plan_leaves_no_trace_and_counts_disk_and_time(tmp_path):
    plan = study().plan(tmp_path / "runs", workers=2)
    assert not (tmp_path / "runs").exists()
    assert plan.states == {"new": 4}
    assert plan.seconds is not None
    assert plan.seconds > 0
    assert plan.bytes is not None
    assert plan.bytes > 4 * 4 * 7 * 4  # at least four checkpoints of the embedding in each run


def test_the_disk_estimate_is_of_the_right_size(trained):
    plan = study().plan(trained)
    real = sum(p.stat().st_size for p in trained.rglob("*") if p.is_file())
    assert plan.bytes == real  # all are finished: counted, not estimated
    fresh = study().plan(trained / "elsewhere").bytes
    assert fresh is not None
    assert real / 4 < fresh < real * 4


def test_a_plan_without_probe_knows_neither_time_nor_disk(tmp_path):
    plan = study().plan(tmp_path, probe=False)
    assert plan.seconds is None
    assert plan.bytes is None


def test_running_again_does_nothing_and_a_new_seed_adds_only_its_runs(trained):
    before = {p: p.stat().st_mtime_ns for p in trained.glob("*/status.json")}
    assert study().run(workers=0, root=trained) == []
    more = study(seeds=[0, 1, 2])
    assert [s.state for s in more.status(trained)] == ["done", "done", "new"] * 2
    outcomes = more.run(workers=0, root=trained)
    assert [o.job.config.seed for o in outcomes] == [2, 2]
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_failing_run_does_not_stop_the_others_and_is_recorded(tmp_path):
    broken = study(arm=[{"name": "bad", "model": {"name": "mlp", "hidden": [4]}}, {"name": "good"}])
    outcomes = broken.run(workers=0, root=tmp_path)
    assert sorted(o.state for o in outcomes) == ["done"] * 4 + ["failed"] * 4
    stands = broken.status(tmp_path)
    assert [s.state for s in stands] == ["failed"] * 4 + ["done"] * 4
    assert "reads feature vectors" in stands[0].message


def test_a_failed_run_is_tried_again(tmp_path):
    made = study(seeds=[0])
    outcomes = made.run(workers=0, root=tmp_path)
    path = outcomes[0].job.run
    (path / "status.json").write_text('{"state": "failed", "step": 60, "error": {"message": "disk"}}')
    assert [o.state for o in made.run(workers=0, root=tmp_path)] == ["done"]
    assert made.status(tmp_path)[0].state == "done"


def test_extending_equals_having_had_the_budget_from_the_start(tmp_path):
    one, two = tmp_path / "extended", tmp_path / "direct"
    made = study(seeds=[0])
    made.run(workers=0, root=one)
    made.extend(steps=100, workers=0, root=one)
    study(seeds=[0], budget={"steps": 100}).run(workers=0, root=two)
    for run in one.iterdir():
        same_folder_content(run, two / run.name)


def test_extending_is_refused_before_anything_trains_when_the_schedule_depends_on_the_length(tmp_path):
    made = study(arm=[{"name": "plain"}, {"name": "cosine", "regime.schedule": "cosine"}])
    with pytest.raises(ValueError, match="cannot be extended: its schedule 'cosine' depends"):
        made.extend(steps=100, root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_longest_jobs_come_first(tmp_path):
    made = study(arm=[{"name": "short", "budget.steps": 10}, {"name": "long", "regime.optimizer.eps": 1e-7}])
    outcomes = made.run(executor=Inline(), root=tmp_path)
    assert [o.job.total for o in outcomes] == [60] * 4 + [10] * 4


def test_check_is_open_until_the_runs_are_finished_then_says_what_was_seen(tmp_path):
    made = study(
        seeds=[0],
        expect=[
            {"verdict": ["underfit", "memorized", "generalized", "grokked"]},
            {"verdict": "diverged"},
            {"where": {"regime.lr": 0.01}, "end": [0, 1], "note": "always"},
        ],
    )
    assert [row.held for row in made.check(tmp_path)] == [None, None, None]
    made.run(workers=0, root=tmp_path)
    rows = made.check(tmp_path)
    assert [row.held for row in rows] == [True, False, True]
    assert rows[1].seen.startswith("0 of 2: ")
    assert rows[2].note == "always"


def test_share_is_how_many_runs_must_agree(tmp_path):
    made = study(seeds=[0])
    made.run(workers=0, root=tmp_path)
    verdicts = [run_verdicts(s.run)["id_val"].milestones.end for s in made.status(tmp_path)]
    low, high = sorted(verdicts)
    assert low != high
    half = {"end": [(low + high) / 2, 1], "share": 0.5}
    both = {"end": [(low + high) / 2, 1]}
    assert [r.held for r in study(seeds=[0], expect=[half, both]).check(tmp_path)] == [True, False]


def test_a_narrowed_study_leaves_out_expectations_about_other_runs(tmp_path):
    made = study(expect=[{"where": {"seed": 0}, "end": [0, 1]}, {"where": {"seed": 1}, "end": [0, 1]}])
    assert len(made.only(seeds=[1]).check(tmp_path)) == 1


def test_the_studys_criteria_decide(tmp_path):
    made = study(seeds=[0], expect=[{"verdict": "underfit"}], criteria={"fit": 1.0})
    made.run(workers=0, root=tmp_path)
    strict = made.check(tmp_path)[0].seen
    loose = study(seeds=[0], expect=[{"verdict": "underfit"}], criteria={"fit": 0.01}).check(tmp_path)[0]
    assert loose.held is False
    assert strict != loose.seen


def test_a_kept_verdict_is_used_until_the_metrics_change(tmp_path, monkeypatch):
    made = study(seeds=[0])
    made.run(workers=0, root=tmp_path)
    run = made.status(tmp_path)[0].run
    first = run_verdicts(run)
    with monkeypatch.context() as patch:
        patch.setattr("grokscope.verdicts._judge", lambda *a: pytest.fail("judged again"))
        assert run_verdicts(run) == first
    metrics = run.path / "results" / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:-3]))
    assert run_verdicts(run)["id_val"].milestones.last_step < first["id_val"].milestones.last_step


def test_a_folder_that_cannot_be_written_is_judged_all_the_same(tmp_path, monkeypatch):
    made = study(seeds=[0])
    made.run(workers=0, root=tmp_path)
    run = made.status(tmp_path)[0].run
    (run.path / "results" / "verdict.json").unlink()

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "read-only")

    monkeypatch.setattr("os.replace", refuse)
    assert "id_val" in run_verdicts(run)
    assert not (run.path / "results" / "verdict.json").exists()


def test_the_makespan_of_workers():
    assert makespan([3, 1, 2], 1) == 6
    assert makespan([3, 1, 2], 2) == 3
    assert makespan([], 2) == 0


def test_a_study_reports_only_when_something_has_begun(tmp_path):
    with pytest.raises(ValueError, match="no run of 'study' has begun"):
        study().report(tmp_path / "r.html", tmp_path / "none")


def test_a_report_holds_failed_runs_and_needs_no_expectations(tmp_path):
    made = study(arm=[{"name": "bad", "model": {"name": "mlp", "hidden": [4]}}, {"name": "good"}], seeds=[0])
    made.run(workers=0, root=tmp_path / "runs")
    page = made.report(tmp_path / "r.html", tmp_path / "runs").read_text()
    assert "reads feature vectors" in page
    assert all(config.regime.name in page for config in made.runs())


def test_status_of_a_damaged_folder_is_unreadable_with_the_reason(tmp_path):
    made = study(seeds=[0])
    folder = tmp_path / made.runs()[0].run_id()
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "status.json").write_text("{")
    stand = made.status(tmp_path)[0]
    assert stand.state == "unreadable"
    assert "config.json: not the config of a grokscope run" in stand.message


def test_configs_survive_the_way_to_a_worker():
    assert study().runs()
    for config in study().runs():
        assert configio.load_run(configio.dump(config)).run_id() == config.run_id()


@pytest.mark.parametrize("workers", [-1, 1.5, "two", True])
def test_a_wrong_number_of_workers_is_refused_although_nothing_is_left(workers, tmp_path):
    study = Study.from_dict({**TINY, "seeds": [0]})
    study.run(0, tmp_path)
    with pytest.raises(ValueError, match="workers must be"):
        study.run(workers, tmp_path)


def test_a_folder_and_a_file_that_were_mixed_up_are_called_so(tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    assert cli.run(["worker", str(tmp_path / "runs")]) == 2
    assert "is a folder; give a study file (the folder of runs is --root)" in capsys.readouterr().err
    file = tmp_path / "study.toml"
    file.write_text("seeds = [0]\n" + TINY_TOML + "[budget]\nsteps = 5\n")
    assert cli.run(["study", "run", str(file), "--root", str(file)]) == 2
    assert "study.toml: is a file, where a folder of runs is expected" in capsys.readouterr().err
