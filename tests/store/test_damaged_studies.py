"""One damaged run of many: named by every question about all of them, and the others are answered."""

import json
import shutil

import pytest

import grokscope as gs
from grokscope import cli
from grokscope.commands.study import check, status
from grokscope.commands.verdict import verdict
from grokscope.store import find_runs
from grokscope.study import Study
from tiny import TINY

RAW = {
    **TINY,
    "seeds": [0, 1, 2],
    "axes": {"regime.lr": [0.01, 0.001]},
    "expect": [
        {"where": {"regime.lr": lr}, "verdict": ["underfit", "memorized", "grokked", "generalized"]}
        for lr in (0.01, 0.001)
    ],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    Study.from_dict(RAW).run(workers=0, root=root)
    return root


@pytest.fixture
def root(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "runs")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "s.json"
    path.write_text(json.dumps(RAW))
    return path


def cut_to_whole_rows(run):
    path = run.path / "results" / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))


def spoil_a_row(run):
    path = run.path / "results" / "metrics.jsonl"
    path.write_text(path.read_text().replace("{", "[", 1))


def spoil_the_config(run):
    (run.path / "config.json").write_text("{")


def spoil_the_status(run):
    (run.path / "status.json").write_text("{")


DAMAGE = {
    "cut": (cut_to_whole_rows, "damaged", "rows are missing"),
    "a row": (spoil_a_row, "damaged", "not a row of metrics"),
    "config": (spoil_the_config, "unreadable", "config.json: not readable"),
    "status": (spoil_the_status, "unreadable", "status.json: not readable"),
}


@pytest.fixture(params=DAMAGE)
def damaged(request, root):
    """(the run, its state in words, what is said of it)."""
    spoil, state, words = DAMAGE[request.param]
    bad = next(s.run for s in Study.from_dict(RAW).status(root) if s.entry.config.regime.lr == 0.01)
    spoil(bad)
    return bad, state, words


def test_verdict_judges_the_others_and_names_it(root, damaged, capsys):
    bad, _, words = damaged
    judged = verdict([root])
    assert sorted(judged.sources) == sorted(r.id for r in find_runs(root) if r.id != bad.id)
    assert words in judged.errors[bad.id]
    assert bad.id in judged.errors[bad.id]
    assert judged.exit_code == 0
    assert f"not judged: {judged.errors[bad.id]}" in str(judged)
    assert cli.run(["verdict", str(bad.path)]) == 2, "nothing was judged"
    assert words in capsys.readouterr().err


def test_grouped_verdicts_and_rules_leave_it_out(root, damaged):
    bad, _, words = damaged
    grouped = verdict([root], group=r".*/(?P<task>\w+?)_.*_s(?P<seed>\d)-.*")
    assert [g.n for g in grouped.grouped.groups] == [5]
    chosen = verdict([root], rule=("final",))
    for errors in (grouped.errors, chosen.errors):
        assert words in errors[bad.id]


def test_the_function_verdict_refuses_it(damaged):
    with pytest.raises(ValueError, match=damaged[2]):
        gs.verdict(damaged[0].path)
    with pytest.raises(ValueError, match=damaged[2]):
        gs.select(damaged[0].path)


def test_study_status_names_it_and_judges_the_others(root, file, damaged):
    bad, state, words = damaged
    shown = status(file, root=root)
    rows = {row["run"]: row for row in shown.data()["runs"]}
    assert words in rows[bad.id]["error"]
    assert rows[bad.id]["verdict"] is None
    assert [row["verdict"] is None for name, row in rows.items() if name != bad.id] == [False] * 5
    if bad.path.joinpath("results/metrics.jsonl").read_text().startswith("{"):
        assert rows[bad.id]["state"] == state
    assert bad.id in str(shown)


def test_study_check_decides_nothing_about_it_and_the_rest(root, file, damaged):
    bad, state, words = damaged
    found = check(file, root=root)
    one, other = found.rows
    assert other.held is True
    assert one.held is None
    assert one.seen == f"2 of 3 runs are finished; cannot be judged: {bad.id}"
    (problem,) = one.problems
    assert problem.startswith(f"{state}: {bad.id}: ")
    assert words in problem
    assert problem in str(found)
    assert found.exit_code == 1


def test_study_report_counts_it_and_says_what_is_wrong(root, tmp_path, damaged):
    bad, _, words = damaged
    page = Study.from_dict(RAW).report(tmp_path / "r.html", root).read_text()
    assert words in page
    assert "6 runs launched = 5 finished + 1 unreadable" in page
    assert bad.id in page


def test_a_run_is_whole_when_nothing_is_wrong(root, file):
    assert set(verdict([root]).errors) == set()
    assert status(file, root=root).data()["states"] == {"done": 6}
    assert [row.held for row in check(file, root=root).rows] == [True, True]


def test_a_damaged_run_is_gone_on_with_by_study_run_or_refused_with_its_reason(root):
    study = Study.from_dict(RAW)
    bad = study.status(root)[0].run
    before = (bad.path / "status.json").read_bytes()
    cut_to_whole_rows(bad)
    (outcome,) = study.run(workers=0, root=root)
    assert outcome.state == "failed"
    assert "rows are missing" in outcome.message
    assert (bad.path / "status.json").read_bytes() == before
