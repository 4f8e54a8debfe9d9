"""What others wrote (names, values, errors, columns) reaches the terminal as text, never as a command to it."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from grokscope.terminal import message, one_line, visible
from grokscope.train.driver import train
from tiny import TINY, tiny

EVIL = "\x1b[31mred\x1b[0m \x07\r\x9b2J \u202egnp.exe \x1b]0;title\x07 [red]x[/red] [link=http://x]y[/link] :skull:"
FORGED = "one\nrun 2 is done"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def command(*args, env=None):
    done = subprocess.run(
        [sys.executable, "-m", "grokscope.cli", *map(str, args)], capture_output=True, check=False, env=env
    )
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    assert not CONTROL.search(out), repr(CONTROL.search(out))
    assert not CONTROL.search(err), repr(CONTROL.search(err))
    assert "Traceback" not in err, err[-2000:]
    return done.returncode, out, err


def test_control_characters_become_their_escapes():
    assert visible("a\x1b[31m\x9b\u202e\u2028\ufeffb\n\t") == "a\\x1b[31m\\x9b\\u202e\\u2028\\ufeffb\n\t"
    assert one_line("a\nb\tc") == "a\\nb\\tc"
    assert visible("Δ Größe 染色 é") == "Δ Größe 染色 é"
    assert message("x" * 10_000).endswith("... (10,000 characters)")
    assert len(message("x" * 10_000)) < 2100


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with one run under a hostile name, label and note."""
    root = tmp_path_factory.mktemp("runs")
    run = train(tiny({"regime.name": EVIL + FORGED}), root)
    record = json.loads((run.path / "config.json").read_text())
    record["facts"]["notes"] = [EVIL + FORGED]
    (run.path / "config.json").write_text(json.dumps(record))
    status = json.loads((run.path / "status.json").read_text())
    status["error"] = {"type": "E", "message": EVIL + FORGED, "traceback": ""}
    (run.path / "status.json").write_text(json.dumps(status))
    shutil.copytree(run.path, root / "evil\x1b[31m [red]\nforged \u202e")
    return root


def test_ls_and_show_escape_names_values_and_notes(runs):
    folders = sorted(p for p in runs.iterdir() if p.name[0] != ".")
    for words in (["ls", runs], *(["show", p] for p in folders)):
        code, out, _ = command(*words)
        assert code == 0
        assert not any(line.startswith("run 2 is done") for line in out.splitlines())
        assert "\\x1b[31m" in out
    _, out, _ = command("show", folders[-1])
    assert "[red]x[/red] [link=http://x]y[/link] :skull:" in out
    assert "one\\nrun 2 is done" in out


def test_compare_escapes_what_it_refuses(runs):
    code, _, err = command("compare", *sorted(p for p in runs.iterdir() if p.name[0] != "."))
    assert code == 2
    assert "\\x1b[31m" in err
    assert "is a copy of" in err


def test_json_stays_json(runs):
    code, out, _ = command("ls", runs, "--json")
    assert code == 0
    assert any("\x1b[31m" in row["id"] for row in json.loads(out))


def test_sql_values_and_column_names_are_text(runs):
    code, out, _ = command(
        "sql", "select chr(27) || '[31m' as \"a\x1b[2Jb\", 'x' || chr(10) || 'y' as c", "--root", runs
    )
    assert code == 0
    assert "a\\x1b[2Jb" in out
    assert "x\\ny" in out


def test_errors_escape_names_of_files_and_values(tmp_path):
    for args in (
        ["show", tmp_path / f"no{FORGED}\x1b[31m"],
        ["verdict", tmp_path / f"{EVIL.replace('/', '')}.csv"],
        ["train", tmp_path / f"{FORGED}\u202e.toml"],
        [f"ls\x1b[31m{FORGED}"],
        ["ls", tmp_path, "--state", EVIL],
    ):
        code, _, err = command(*args)
        assert code == 2
        assert err.startswith("grokscope: ")
        assert all(line.startswith("grokscope: ") for line in err.splitlines()), err


def test_progress_lines_and_a_study_escape_labels(tmp_path):
    arms = [{"name": EVIL, "regime": {"lr": 0.02}}, {"name": FORGED}]
    file = tmp_path / "study.json"
    file.write_text(json.dumps({**TINY, "arm": arms}))
    for verb in ("plan", "run", "status"):
        code, out, err = command("study", verb, file, "--root", tmp_path / "runs")
        assert code == 0, err
        assert not any(line.startswith("run 2 is done") for line in (out + err).splitlines())
    assert "one\\nrun 2 is done" in out


def test_a_log_with_hostile_columns_is_told_as_text(tmp_path):
    rows = [{"step": i, f"{EVIL}": 1.0, "train_acc": min(1.0, i / 5), "val_acc": min(1.0, i / 50)} for i in range(100)]
    (tmp_path / "log.json").write_text(json.dumps(rows))
    columns = ["--step", "step", "--train", "train_acc", "--held-out", f"x{EVIL}"]
    code, _, err = command("verdict", tmp_path / "log.json", *columns)
    assert code == 2
    assert "\\x1b[31m" in err
    code, out, err = command("verdict", tmp_path / "log.json")
    assert code == 2
    assert "train_acc" in out + err, "the columns that it suggests"


def test_live_bars_escape_labels():
    from grokscope.execute.boards import Bars
    from grokscope.execute.protocol import Job

    bars = Bars()
    config = tiny({"regime.name": EVIL + FORGED})
    job = Job(config, __import__("pathlib").Path("nowhere"), (), 0, 60)
    bars.begin([job], 1)
    bars.progress(job, 10, 60, 5.0)
    labels = [task.description for task in bars.live.tasks]
    bars.close()
    assert any("\\x1b[31mred" in label for label in labels)
    assert not any(CONTROL.search(label) or "\n" in label for label in labels)
