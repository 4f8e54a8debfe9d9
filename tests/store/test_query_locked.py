"""A query sees the two tables and nothing else, whatever the folder of runs holds."""

import json
import os
import shutil
from pathlib import Path

import pytest

from grokscope.files import write_json
from grokscope.store import find_runs
from grokscope.store.query import sql

COUNT = "select count(distinct run) n, count(*) c from metrics"


def make_runs(root: Path, count: int = 3, rows: int = 4) -> Path:
    """Run folders as they lie on disk, without training."""
    for number in range(count):
        path = root / f"run{number}"
        config = {"task": {"name": "modular"}, "regime": {"name": "r", "lr": 0.1 * number}, "seed": number}
        write_json(path / "config.json", {"schema": 1, "config": config, "facts": {}, "passed": []})
        write_json(path / "status.json", {"state": "done", "step": rows, "error": None})
        (path / "results").mkdir()
        lines = (json.dumps({"step": step, "train_loss": step + number / 10}) + "\n" for step in range(rows))
        (path / "results" / "metrics.jsonl").write_text("".join(lines))
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_runs(tmp_path / "runs")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


SECRET = "the secret"
REFUSED = [
    "select * from read_csv('{out}/secret.txt')",
    "select * from read_text('{out}/secret.txt')",
    "select * from read_blob('{out}/secret.txt')",
    "select * from '{out}/secret.csv'",
    "select * from glob('{out}/*')",
    "select * from sniff_csv('{out}/secret.csv')",
    "select * from read_json('{root}/run0/config.json')",
    "select * from read_csv('http://127.0.0.1:9/x.csv')",
    "copy (select 1) to '{out}/written.csv'",
    "explain copy (select 1) to '{out}/written.csv'",
    "explain analyze copy (select 1) to '{out}/written.csv'",
    "explain analyze copy (select 1) to '{index}' (format parquet)",
    "/* explain */ explain (analyze) copy (select 1) to '{out}/written.csv'",
    "-- select\nexplain analyze create table t as select 1",
    "explain analyze select * from read_text('{out}/secret.txt')",
    "explain analyze insert into runs select * from runs",
    "export database '{out}/written'",
    "attach '{out}/written.db'",
    "install httpfs",
    "load httpfs",
    "select * from sqlite_scan('{out}/secret.txt', 't')",
    "set threads = 1",
    "set lock_configuration = false",
    "set enable_external_access = true",
    "reset lock_configuration",
    "pragma enable_profiling",
    "call enable_logging(storage='file', storage_path='{out}/written')",
    "select * from enable_logging(storage='file', storage_path='{out}/written')",
    "create secret (type s3)",
    "select * from connection, metrics",
]


@pytest.mark.parametrize("query", REFUSED)
@pytest.mark.parametrize("also", ["", " -- metrics and runs"])
def test_no_file_is_read_or_written_and_nothing_is_loaded_or_set(root, tmp_path, monkeypatch, query, also):
    out = tmp_path / "outside"
    out.mkdir()
    monkeypatch.chdir(out)
    for name in ("secret.txt", "secret.csv"):
        (out / name).write_text(SECRET)
    sql(COUNT, root)
    (index,) = (root / ".index").glob("*.parquet")
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"the query failed|one select statement is needed") as caught:
        sql(query.format(out=out, root=root, index=index) + also, root)
    assert SECRET not in str(caught.value)
    assert contents(tmp_path) == before


def test_questions_are_explained(root):
    assert sql("explain select * from metrics", root)
    assert sql("-- why\nexplain analyze select count(*) from metrics join runs on id = run", root)
    assert sql("explain (analyze, format json) select count(*) from metrics", root)


def test_now_is_a_time_with_its_zone(root):
    (row,) = sql("select now() as t", root)
    assert row["t"].tzinfo is not None


def test_what_does_not_fit_into_memory_is_not_left_behind(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    assert sql("select count(*) n from (select distinct i from range(3000000) t(i))", root) == [{"n": 3_000_000}]
    assert contents(tmp_path) == before


# -- an index that somebody else wrote --------------------------------------------------------------------------------


def rewritten(root: Path, **changes: object) -> None:
    path = root / ".index" / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def poison(root: Path, outside: Path, kind: str) -> None:
    (parquet,) = (root / ".index").glob("*.parquet")
    listing = root / ".index" / "metrics.json"
    moved = outside / parquet.name
    shutil.copy(parquet, moved)
    sqls = "x' where false) to '/dev/null'; copy (select 1) to '" + str(outside / "written.csv") + "' --.parquet"
    match kind:
        case "up":
            rewritten(root, file=f"../../outside/{parquet.name}")
        case "absolute":
            rewritten(root, file=str(moved))
        case "quotes":
            rewritten(root, file=sqls)
        case "glob":
            rewritten(root, file="*.parquet")
        case "newline":
            rewritten(root, file=parquet.name + "\n")
        case "link":
            parquet.unlink()
            parquet.symlink_to(moved)
        case "linked listing":
            shutil.copy(listing, outside / "metrics.json")
            listing.unlink()
            listing.symlink_to(outside / "metrics.json")
        case "linked folder":
            shutil.copytree(root / ".index", outside / "index")
            shutil.rmtree(root / ".index")
            (root / ".index").symlink_to(outside / "index")
        case "fifo":
            parquet.unlink()
            os.mkfifo(parquet)
        case "list":
            listing.write_text("[1, 2]")
        case "number":
            rewritten(root, file=7)
        case "runs":
            rewritten(root, runs={"run0": "x", "run1": None})
        case "nested":
            listing.write_text("[" * 100_000)
        case "digest":
            rewritten(root, digest=None)
        case "schema":
            write_parquet(parquet, "select 'x' as run, 'y' as step, 'z' as other")
            rewritten(root, digest=digest(parquet))
        case "values":
            write_parquet(parquet, "select 'run0' as run, 1::bigint as step, 'text' as train_loss")
            rewritten(root, digest=digest(parquet))
        case "cut":
            parquet.write_bytes(parquet.read_bytes()[:-20])
        case "flipped":
            data = bytearray(parquet.read_bytes())
            data[len(data) // 3] ^= 4
            parquet.write_bytes(data)
        case "garbage":
            parquet.write_bytes(b"PAR1 no PAR1")
            rewritten(root, digest=digest(parquet))


def write_parquet(path: Path, query: str) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"copy ({query}) to '{path}' (format parquet)")


def digest(path: Path) -> str:
    from hashlib import blake2b

    return blake2b(path.read_bytes(), digest_size=16).hexdigest()


KINDS = ["up", "absolute", "quotes", "glob", "newline", "link", "linked listing", "linked folder", "fifo", "list"]
KINDS += ["number", "runs", "nested", "digest", "schema", "values", "cut", "flipped", "garbage"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_that_is_not_ours_is_not_believed_and_harms_nothing(root, tmp_path, kind):
    right = sql("select * from metrics order by run, step", root)
    outside = tmp_path / "outside"
    outside.mkdir()
    poison(root, outside, kind)
    before, runs = contents(outside), {k: v for k, v in contents(root).items() if ".index" not in k}
    for _ in range(2):
        assert sql("select * from metrics order by run, step", root) == right
    assert contents(outside) == before
    assert {k: v for k, v in contents(root).items() if ".index" not in k} == runs


@pytest.mark.parametrize("name", ["it's", 'a "b"', "50% [x] *?{}", "naïve Δ", "a;drop table runs;--", "-x", "a\nb"])
def test_folders_with_odd_names_work(tmp_path, name):
    root = make_runs(tmp_path / name)
    for _ in range(2):  # read, then from the index
        assert sql(COUNT, root) == [{"n": 3, "c": 12}]
    assert sql("select count(*) n from runs join metrics on id = run", root) == [{"n": 12}]
    assert len(list((root / ".index").iterdir())) == 2


# -- values -----------------------------------------------------------------------------------------------------------

ODD = {
    "text": ('"high"', "text"),
    "a number in quotes": ('"1.5"', "text"),
    "a date": ('"2024-01-01"', "text"),
    "a list": ("[1, 2]", "a list"),
    "a table": ('{"a": 1}', "a table"),
    "an empty table": ("{}", "a table"),
    "a huge integer": ("9" * 400, "an integer too large"),
}


@pytest.mark.parametrize("kind", ODD)
def test_one_odd_value_is_null_and_named_and_ends_no_query(root, kind):
    value, words = ODD[kind]
    path = root / "run1" / "results" / "metrics.jsonl"
    path.write_text(path.read_text().replace('"train_loss": 2.1', f'"train_loss": {value}'))
    for _ in range(2):
        with pytest.warns(
            UserWarning, match=rf"run1/results/metrics\.jsonl: train_loss holds {words}.*NULL \(step 2\)"
        ):
            rows = sql("select run, step, train_loss v from metrics order by run, step", root)
    assert [(r["run"], r["step"]) for r in rows if r["v"] is None] == [("run1", 2)]
    assert [r["v"] for r in rows if r["run"] != "run1"] == [s + n / 10 for n in (0, 2) for s in range(4)]


@pytest.mark.parametrize(
    ("value", "number"), [("true", 1.0), ("false", 0.0), ("null", None), ("NaN", None), ("1e999", None)]
)
def test_values_with_an_agreed_meaning_need_no_words(root, value, number):
    path = root / "run1" / "results" / "metrics.jsonl"
    path.write_text(path.read_text().replace('"train_loss": 2.1', f'"train_loss": {value}'))
    (row,) = sql("select train_loss v from metrics where run = 'run1' and step = 2", root)
    assert row == {"v": number}


@pytest.mark.parametrize("name", ["", "run", "RUN", "Step", "a\\u0000b"])
def test_a_column_that_sql_cannot_name_is_left_out_with_a_warning(root, name):
    path = root / "run1" / "results" / "metrics.jsonl"
    path.write_text(path.read_text().replace('"train_loss": 2.1', f'"{name}": 7, "train_loss": 2.1'))
    with pytest.warns(UserWarning, match="run1.*cannot be a column name"):
        assert sql(COUNT, root) == [{"n": 3, "c": 12}]


def test_columns_that_differ_by_case_are_one_column_or_named(root):
    path = root / "run1" / "results" / "metrics.jsonl"
    path.write_text(path.read_text().replace("train_loss", "Train_Loss"))
    assert sql("select count(train_loss) n from metrics", root) == [{"n": 12}]
    path.write_text(path.read_text().replace('"Train_Loss"', '"train_loss": 5, "Train_Loss"'))
    with pytest.warns(UserWarning, match="run1.*differs from another column only by case"):
        assert sql("select distinct train_loss v from metrics where run = 'run1'", root) == [{"v": 5.0}]


def test_rows_with_nothing_but_a_step_are_rows(tmp_path):
    root = make_runs(tmp_path / "runs", count=1)
    (root / "run0" / "results" / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n')
    assert sql("select * from metrics order by step", root) == [{"run": "run0", "step": 1}, {"run": "run0", "step": 2}]


@pytest.mark.parametrize("damage", ["link", "fifo", "binary", "repeated", "back", "cut"])
def test_a_damaged_run_costs_the_others_nothing(root, tmp_path, damage):
    path = root / "run1" / "results" / "metrics.jsonl"
    text = path.read_text()
    if damage in ("link", "fifo"):
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere") if damage == "link" else os.mkfifo(path)
    elif damage == "binary":
        path.write_bytes(bytes(range(256)) * 10)
    else:
        lines = text.splitlines(keepends=True)
        changed = {"repeated": [*lines, lines[-1]], "back": lines[::-1], "cut": [*lines[:2], lines[2][:9] + "\n"]}
        path.write_text("".join(changed[damage]))
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"run1/results/metrics\.jsonl.*no rows in metrics"):
            assert sql("select distinct run from metrics order by run", root) == [{"run": "run0"}, {"run": "run2"}]
    assert len(sql("select id from runs", root)) == 3


def test_config_values_of_any_kind_end_no_query(root):
    config = {"task": {"name": "modular"}, "seed": 10**30, "ID": 1, "": 2, "x": {}, "y": "\ud800", "z": [{"a": 1}]}
    (root / "run1" / "config.json").write_text(json.dumps({"config": config, "schema": 1}))
    with pytest.warns(UserWarning, match="cannot be a column of runs"):
        assert len(sql("select * from runs", root)) == 3
    with pytest.warns(UserWarning, match="cannot be a column of runs"):
        assert sql("select id from runs where task = 'modular' order by id", root)[1] == {"id": "run1"}


def test_a_repaired_run_is_kept_again(root):
    path = root / "run1" / "results" / "metrics.jsonl"
    text = path.read_text()
    path.write_text("x\n")
    with pytest.warns(UserWarning, match="run1"):
        sql(COUNT, root)
    path.write_text(text)
    assert sql(COUNT, root) == [{"n": 3, "c": 12}]
    assert len(json.loads((root / ".index" / "metrics.json").read_text())["runs"]) == len(find_runs(root))
