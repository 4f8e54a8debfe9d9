"""Tables over many runs agree with the folders, whatever changed since the last question."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from grokscope.store import find_runs
from grokscope.store.index import _digest
from grokscope.store.query import run_rows, sql
from grokscope.study import Study
from tiny import TINY


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    Study.from_dict({**TINY, "axes": {"regime.lr": [0.01, 0.001]}, "seeds": [0, 1]}).run(workers=0, root=root)
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "runs")


def test_a_row_for_each_run_with_state_verdict_and_config(trained):
    rows = run_rows(trained)
    assert [r["id"] for r in rows] == [run.id for run in find_runs(trained)]
    assert {(r["regime.lr"], r["seed"]) for r in rows} == {(0.01, 0), (0.01, 1), (0.001, 0), (0.001, 1)}
    assert {(r["task"], r["state"], r["step"], r["split"]) for r in rows} == {("modular", "done", 60, "id_val")}
    for row in rows:
        kept = json.loads((Path(row["path"]) / "results" / "verdict.json").read_text())
        verdict = kept["by_criteria"]["default"]["id_val"]
        assert row["verdict"] == verdict["verdict"]
        assert (row["T_gen"], row["T_gen_censored"]) == tuple(
            verdict["milestones"]["T_gen"][k] for k in ("at", "censored")
        )


def test_a_damaged_run_is_listed_not_lost(root):
    damaged = find_runs(root)[0].path
    (damaged / "config.json").write_text("{")
    rows = run_rows(root)
    assert [r["state"] for r in rows] == ["unreadable", "done", "done", "done"]
    assert "config.json" in rows[0]["error"]


def test_sql_over_runs_groups_and_types(trained):
    query = 'select "regime.lr" as lr, count(*) as n, sum(step) as steps from runs group by lr order by lr'
    assert sql(query, trained) == [{"lr": 0.001, "n": 2, "steps": 120}, {"lr": 0.01, "n": 2, "steps": 120}]
    kinds = sql("select typeof(T_gen_censored) c, typeof(id) i, typeof(error) e from runs limit 1", trained)
    assert kinds == [{"c": "BOOLEAN", "i": "VARCHAR", "e": "VARCHAR"}]


def test_sql_over_metrics_holds_every_row_of_every_run(root):
    for run in find_runs(root):
        rows = sql(f"select step, id_val_acc from metrics where run = '{run.id}' order by step", root)
        assert [(r["step"], r["id_val_acc"]) for r in rows] == [(r["step"], r["id_val_acc"]) for r in run.rows()]
    nulls = sql("select count(*) n from metrics where margin_mean is null and step not in (20, 40, 60)", root)
    assert nulls[0]["n"] > 0  # rows without diagnostics


def test_the_index_follows_changed_new_and_deleted_runs(root):
    count = "select run, count(*) as n from metrics group by run order by run"
    before = sql(count, root)
    index = (root / ".index" / "metrics.json").read_text()
    assert sql(count, root) == before
    assert (root / ".index" / "metrics.json").read_text() == index  # nothing changed: nothing written
    first, second, third, _ = find_runs(root)
    with open(first.path / "results" / "metrics.jsonl", "a") as file:
        file.write('{"step": 61, "id_val_acc": 0.5, "quite_new": 1.5}\n{"step": 62, "id_v')  # and one being written
    shutil.rmtree(second.path)
    shutil.copytree(third.path, root / "copy-of-third")
    after = {r["run"]: r["n"] for r in sql(count, root)}
    expected = {r["run"]: r["n"] for r in before if r["run"] != second.id}
    assert after == expected | {first.id: expected[first.id] + 1, "copy-of-third": expected[third.id]}
    assert sql("select quite_new from metrics where quite_new is not null", root) == [{"quite_new": 1.5}]
    assert len(list((root / ".index").iterdir())) == 2


def test_a_folder_that_cannot_be_written_is_read_all_the_same(root, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "read-only")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        rows = sql("select count(distinct run) n from metrics", root)
    assert rows == [{"n": 4}]
    assert not (root / ".index").exists()


def test_a_lost_or_damaged_index_is_made_anew(root):
    sql("select count(*) from metrics", root)
    (root / ".index" / "metrics.json").write_text("{")
    assert sql("select count(distinct run) n from metrics", root) == [{"n": 4}]
    for file in (root / ".index").glob("*.parquet"):
        file.unlink()
    assert sql("select count(distinct run) n from metrics", root) == [{"n": 4}]


def test_an_index_from_elsewhere_is_not_believed_although_it_fits(root, tmp_path):
    """Sizes, times and digest agree, as in an archive that keeps times; the rows are false."""
    import duckdb

    right = sql("select sum(train_correct) as n from metrics", root)
    index = root / ".index"
    meta = json.loads((index / "metrics.json").read_text())
    forged = tmp_path / "forged.parquet"
    duckdb.sql(
        f"copy (select * replace (train_correct + 1 as train_correct) from '{index / meta['file']}') to '{forged}'"
    )
    (index / meta["file"]).write_bytes(forged.read_bytes())
    (index / "metrics.json").write_text(json.dumps(meta | {"digest": _digest(forged)}))
    assert sql("select sum(train_correct) as n from metrics", root) != right, "here it is as good as ours"
    copied = shutil.copytree(root, tmp_path / "copied")  # keeps the times of the content
    assert sql("select sum(train_correct) as n from metrics", copied) == right


def test_a_kept_verdict_from_elsewhere_is_judged_anew(root, tmp_path):
    from grokscope.store import kept_verdicts
    from grokscope.verdicts import run_verdicts

    run = find_runs(root)[0]
    right = run_verdicts(run)
    forged = {split: replace(v, verdict="grokked", reason="so they say") for split, v in right.items()}
    kept_verdicts.keep(run, kept_verdicts.stamp(run), forged)
    copied = shutil.copytree(root, tmp_path / "copied")
    assert run_verdicts(find_runs(copied)[0]) == right


def test_damaged_metrics_are_left_out_and_named_at_every_question(root):
    run = find_runs(root)[0]
    (run.path / "results" / "metrics.jsonl").write_text("not json\n")
    for _ in range(2):
        with pytest.warns(UserWarning, match=rf"{run.id}/results/metrics\.jsonl, line 1.*no rows in metrics"):
            assert sql("select count(distinct run) n from metrics", root) == [{"n": 3}]


def test_an_empty_root_has_empty_tables(tmp_path):
    assert sql("select * from runs", tmp_path) == []
    assert sql("select * from metrics", tmp_path) == []
    assert sql("select id, verdict from runs", tmp_path / "nowhere") == []


def test_a_wrong_query_is_a_value_error_with_duckdbs_reason(trained):
    with pytest.raises(ValueError, match=r"the query failed.*no_such"):
        sql("select no_such from runs", trained)


def test_odd_names_of_folders_do_no_harm(root):
    run = find_runs(root)[0]
    os.rename(run.path, root / 'it\'s "odd"')
    assert sql("select count(distinct run) n from metrics", root) == [{"n": 4}]


@pytest.mark.parametrize(
    "query", ["", "-- nothing", "drop table runs", "copy (select 1) to 'x.csv'", "select 1; drop table runs"]
)
def test_only_questions_are_answered(root, query, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="one select statement is needed"):
        sql(query, root)
    assert not (tmp_path / "x.csv").exists()


def test_questions_in_other_words_are_answered(root):
    assert sql("describe runs", root)
    assert sql("from runs", root) == sql("with a as (select * from runs) select * from a", root)


def test_a_column_of_flat_regimes_is_told_its_right_place(tmp_path):
    with pytest.raises(ValueError, match=r"regime.betas is a parameter of the optimizer now: write regime.opt"):
        sql('select "regime.betas" from runs', tmp_path)
