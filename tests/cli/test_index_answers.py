"""What is kept beside runs (rows, verdicts, columns, the index) saves time and changes no answer: of finished, failed,
damaged, unreadable, recorded and half-trained runs."""

import json
import shutil

import pytest

from grokscope import cli
from grokscope.recorder import Recorder
from grokscope.store import find_runs, run_index
from grokscope.study import Study
from grokscope.study import study as study_room
from tiny import TINY_TOML

FILE = (
    "seeds = [0, 1, 2, 3]\n"
    + TINY_TOML
    + """
[budget]
steps = 60
[evaluate]
every = 10
[[arm]]
name = "decay 0"
regime.weight_decay = 0.0
[[arm]]
name = "decay 1"
regime.weight_decay = 1.0
[[expect]]
name = "nothing groks so soon"
where = { arm = "decay 0" }
verdict = "underfit"
[[expect]]
name = "a level"
of = { arm = "decay 0" }
to = { arm = "decay 1" }
ratio = "T_fit"
between = [0.1, 10]
[[hypothesis]]
name = "less decay fits sooner"
quantity = "T_fit"
of = { arm = "decay 0" }
to = { arm = "decay 1" }
direction = "earlier"
"""
)
METRICS = "select run, count(*), avg(id_val_acc) from metrics group by run order by run"
ASKED = {
    "ls": ["ls", "{root}", "--json"],
    "ls of some": ["ls", "{root}", "--where", "regime.weight_decay=1.0", "--sort=-end", "--json"],
    "sql over runs": ["sql", "select * from runs order by id", "--root", "{root}", "--json"],
    "sql over metrics": ["sql", METRICS, "--root", "{root}", "--json"],
    "sql over all metrics": ["sql", "select * from metrics order by run, step", "--root", "{root}", "--json"],
    "status": ["study", "status", "{file}", "--root", "{root}", "--json"],
    "check": ["study", "check", "{file}", "--root", "{root}", "--json"],
    "test": ["study", "test", "{file}", "--root", "{root}", "--json"],
    "compare": ["compare", "{file}::decay 0", "{file}::decay 1", "--root", "{root}", "--json"],
}  # fmt: skip


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Eight runs of a study, four of them spoiled in different ways, and one of another loop."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "study.toml").write_text(FILE)
    Study.load(folder / "study.toml").run(workers=0, root=folder / "runs")
    by_name = {run.id: run.path for run in find_runs(folder / "runs")}
    failed, cut, damaged, unreadable = (
        path for name, path in sorted(by_name.items()) if "_s0-" in name or "_s1-" in name
    )
    change(failed / "status.json", state="failed", error={"type": "RuntimeError", "message": "out of memory"})
    rows = (cut / "results" / "metrics.jsonl").read_text().splitlines(keepends=True)
    (cut / "results" / "metrics.jsonl").write_text("".join(rows[:3]))
    change(cut / "status.json", state="interrupted", step=json.loads(rows[2])["step"])
    (damaged / "results" / "metrics.jsonl").write_text("no rows\n")
    (unreadable / "config.json").write_text("{")
    with Recorder(folder / "runs" / "mine", n={"train": 100, "id_val": 100}) as rec:
        for step in range(1, 60):
            rec.log(step, train_acc=min(1.0, step / 5), train_loss=1 / step, id_val_acc=min(1.0, step / 50))
    return folder


def differing(one, two, place=""):
    """Where two answers differ, with both values."""
    if isinstance(one, dict) and isinstance(two, dict):
        pairs = [(one.get(key), two.get(key), f"{place}.{key}") for key in {**one, **two}]
    elif isinstance(one, list | tuple) and isinstance(two, list | tuple) and len(one) == len(two):
        pairs = [(a, b, f"{place}[{i}]") for i, (a, b) in enumerate(zip(one, two, strict=True))]
    else:
        unknown = place.endswith(".robust") and None in (one, two)  # it is computed once somebody asks for it
        return [] if one == two or unknown else [f"{place}: {one!r} and {two!r}"]
    return [line for a, b, there in pairs for line in differing(a, b, there)]


def answers(folder, capsys):
    out = {}
    for name, words in ASKED.items():
        code = cli.run([w.format(root=folder / "runs", file=folder / "study.toml") for w in words])
        said = capsys.readouterr()
        assert said.out, (name, said.err)
        out[name] = (code, json.loads(said.out))
    return out


@pytest.mark.filterwarnings("ignore")  # of what is damaged: they are told on the terminal
def test_what_is_kept_changes_no_answer(mixed, tmp_path, capsys, monkeypatch):
    copied = tmp_path / "bare"
    shutil.copytree(mixed, copied)
    for run in (copied / "runs").iterdir():
        for kept in ("results/row.json", "results/verdict.json", "results/columns.bin"):
            (run / kept).unlink(missing_ok=True)
    monkeypatch.setattr(run_index, "WORTH", 1)
    monkeypatch.setattr(study_room, "WORTH", 1)
    place = {str(copied): str(mixed)}
    assert any((run / "results" / "columns.bin").exists() for run in (mixed / "runs").iterdir())
    bare = answers(copied, capsys)  # everything read and judged now
    assert (copied / "runs" / ".index" / "runs.json").exists()
    kept = answers(copied, capsys)  # and what that left asked again
    assert differing(kept, bare) == []
    left_by_training = json.loads(_renamed(json.dumps(bare), place))
    assert differing(json.loads(json.dumps(answers(mixed, capsys))), left_by_training) == []
    assert {run["state"] for run in bare["ls"][1]} >= {"done", "failed", "damaged", "unreadable", "interrupted"}


def _renamed(text, place):
    for old, new in place.items():
        text = text.replace(old, new)
    return text
