"""The command line from outside: real processes, their exit codes, and what they leave on stdout and stderr."""

import itertools
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from grokscope import cli
from grokscope.store import Run, find_runs
from tiny import TINY

RUN = """
[task]
name = "modular"
p = 7
[model]
name = "embedding-mlp"
embedding = 4
hidden = [8]
[regime]
lr = 1e-2
[budget]
steps = 60
"""
STUDY = RUN.replace("[task]", "seeds = [0, 1]\n[task]", 1) + '[axes]\n"regime.lr" = [0.01, 0.001]\n'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run file, a study file, and the study's four finished runs under ``runs``."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "run.toml").write_text(RUN)
    (folder / "study.toml").write_text(STUDY + "[[expect]]\nend = [0, 1]\n")
    (folder / "wrong.toml").write_text(STUDY + '[[expect]]\nverdict = "diverged"\n')
    assert cli.run(["study", "run", str(folder / "study.toml"), "--workers", "0", "--root", str(folder / "runs")]) == 0
    return folder


def grokscope(*args: Any, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "grokscope.cli", *map(str, args)],
        cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip


def test_every_verb_is_a_function_whose_first_line_explains_it():
    for name, verb in cli.VERBS.items():
        function = verb.load()
        assert function.__doc__, name
        assert function.__doc__.split("\n")[0].endswith("."), name


@pytest.mark.parametrize("verb", [name.split() for name in cli.VERBS])
def test_every_verb_has_help_with_every_option_explained(verb: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.run([*verb, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: grokscope {' '.join(verb)}" in text
    assert "--json" in text
    assert "Raises" not in text
    lines = [line.strip("│ ") for line in text.splitlines()]
    bare = [
        line
        for line, after in itertools.pairwise(lines)
        if line.startswith("--") and "  " not in line and after.startswith("(default")
    ]
    assert not bare, f"options without an explanation: {bare}"


def test_importing_and_looking_imports_no_torch(place):
    """Everything that only reads must start fast: torch alone takes seconds to import."""
    code = (
        "import sys; from grokscope.cli import run\n"
        "for line in sys.argv[1:]:\n"
        "    try: assert run(line.split()) == 0, line\n"
        "    except SystemExit as e: assert e.code == 0, line\n"
        "    assert 'torch' not in sys.modules, line\n"
    )
    run, other = sorted(p for p in (place / "runs").iterdir() if p.name[0] != ".")[:2]
    lines = [
        "--help", "study", "train --help", "ls runs", f"show {run}",
        "study status study.toml", "study check study.toml",
        "study plan study.toml --no-probe", "sql select(1)", "list", f"verdict {run}", "study report study.toml",
        f"compare {run} {other}", "study run study.toml",
    ]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, *lines], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_reads_rows_of_kept_verdicts_imports_no_statistics(place):
    """scipy.stats takes as long to import as ten thousand rows to read."""
    (run, *_) = sorted(p for p in (place / "runs").iterdir() if p.name[0] != ".")
    code = (
        "import sys; from grokscope.cli import run\n"
        "for line in sys.argv[1:]:\n"
        "    assert run(line.split()) == 0, line\n"
        "    assert not {'scipy', 'pandas', 'torch'} & set(sys.modules), line\n"
    )
    lines = ["ls runs", f"show {run}", "sql select(1)", "list optimizer"]
    done = subprocess.run([sys.executable, "-c", code, *lines], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_grokscope_imports_no_numpy_and_its_public_names_exist():
    code = (
        "import sys, grokscope\nassert not {'torch', 'numpy'} & set(sys.modules)\n"
        "for name in grokscope.__all__: getattr(grokscope, name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_costs_little_cpu():
    """Against a fixed piece of Python work on the same machine, so that the machine's speed cancels."""
    code = "import resource,sys\n{}\nprint(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))"
    work = code.format("sum(i * i for i in range(10_000_000))")
    show = code.format("from grokscope.cli import run; run(['--help'])")
    cost = [float(subprocess.check_output([sys.executable, "-c", c], text=True).split()[-1]) for c in (work, show)]
    assert cost[1] < cost[0]


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["trian"], "unknown verb 'trian'; did you mean 'train'?"),
        (["study", "rum", "x"], "unknown verb 'study rum'; did you mean 'run'?"),
        (["train", "none.toml"], "none.toml: no such file"),
        (["train", "run.toml", "--regime.lrr", "3e-4"], "run.toml: $.regime.lrr: unknown key; did you mean 'lr'?"),
        (["train", "run.toml", "--regime.lr", "fast"], "$.regime.lr: expected float, got str 'fast'"),
        (["train", "run.toml", "--lr", "1"], "unknown option '--lr'; did you mean '--regime.lr'?"),
        (["train", "run.toml", "--rooot", "x"], "unknown option '--rooot'; did you mean '--root'?"),
        (["dissect", "runs", "--figures"], "no option '--figures': figures is on unless --no-figures is given"),
        (["report", "--paths", "a"], "unknown option '--paths'"),
        (["dissect", "runs", "--no-figure"], "unknown option '--no-figure'; did you mean '--no-figures'?"),
        (["archive", "push", "x", "me/x", "--no-public"], "public is off unless --public is given"),
        (["train", "run.toml", "--task.name", "modula"], "did you mean 'modular'?"),
        (["train", "study.toml"], "is a study; use: grokscope study run study.toml"),
        (["study", "run", "study"], "no shipped study of that name"),
        (["study", "plan", "study.toml", "--arms", "lr=0.1"], "no arm 'lr=0.1'; did you mean 'lr=0.01'?"),
        (["show", "runs"], "is not a run"),
        (["ls", "runs", "--state", "dome"], "unknown state 'dome'; did you mean 'done'?"),
        (["verdict", "run.toml"], "run.toml"),
        (["verdict"], "verdict needs a run folder"),
        (["report", "nowhere"], "nowhere: no such folder"),
        (["compare", "runs/a", "runs/b", "runs/c"], "compare takes two sides, but 3 were given"),
        (["sql", "selec 1"], "the query failed"),
        (["list", "taks"], "unknown kind 'taks'; did you mean 'task'?"),
        (["extend", "nowhere", "--steps", "5"], "nowhere: no such folder"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(args, message, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert cli.run(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert all(line.startswith("grokscope: ") for line in err.splitlines())


def test_the_debug_switch_shows_where_a_mistake_was_raised(place, monkeypatch):
    monkeypatch.setenv("GROKSCOPE_DEBUG", "1")
    with pytest.raises(ValueError, match="no such folder"):
        cli.run(["show", "nowhere"])


def test_a_full_disk_is_a_message(monkeypatch, capsys):
    import errno

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "runs/x")

    monkeypatch.setattr("grokscope.store.query.run_rows", full)
    assert cli.run(["ls"]) == 2
    err = capsys.readouterr().err
    assert err == "grokscope: No space left on device: runs/x; free space, then run again\n"


def test_a_bug_of_ours_shows_its_trace_and_has_its_own_code(monkeypatch, capsys):
    monkeypatch.setattr("grokscope.store.query.run_rows", lambda *a, **k: [][1])
    assert cli.run(["ls"]) == cli.BUG
    assert "IndexError" in capsys.readouterr().err


# -- results -----------------------------------------------------------------------------------------------------------


def test_json_is_json_for_every_verb_that_prints(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    run, other = sorted(str(p) for p in (place / "runs").iterdir() if p.name[0] != ".")[:2]
    for args in (
        ["ls", "runs"], ["show", run], ["compare", run, other], ["sql", "select * from runs"], ["list"],
        ["verdict", run], ["study", "status", "study.toml"], ["study", "check", "study.toml"],
        ["study", "plan", "study.toml", "--no-probe"], ["study", "run", "study.toml"],
        ["study", "report", "study.toml", "--out", "page.html"], ["report", "runs", "--out", "page.html"],
        ["train", "run.toml", "--regime.lr", "0.01"],
    ):  # fmt: skip
        assert cli.run([*args, "--json"]) == 0, args
        assert json.loads(capsys.readouterr().out) is not None, args
    assert (place / "page.html").stat().st_size > 1000


def test_a_check_that_fails_has_exit_code_1(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert cli.run(["study", "check", "study.toml"]) == 0
    assert "Held: 1 of 1 expectation held." in capsys.readouterr().out
    assert cli.run(["study", "check", "wrong.toml"]) == 1
    assert "refuted" in capsys.readouterr().out


def test_train_extend_and_branch_say_what_came_of_it(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["train", str(place / "run.toml"), "--seed", "5", "--regime.name", "mine"]) == 0
    first = capsys.readouterr()
    assert "done at step 60 (60 steps trained)" in first.out
    assert "1 run to train" in first.err
    run = find_runs("runs")[0]
    weights = re.search(r"\d+ kept checkpoints? and the final weights in \S+", first.out)
    assert weights is not None
    assert weights[0].startswith(f"{len(run.checkpoints())} kept")
    assert cli.run(["show", str(run.path)]) == 0
    assert weights[0] in capsys.readouterr().out.splitlines(), "both verbs count alike"
    assert run.seed == 5
    assert "seed" in run.record["passed"]
    assert cli.run(["train", str(place / "run.toml"), "--seed", "5", "--regime.name", "mine"]) == 0
    assert "nothing left to train" in capsys.readouterr().out
    assert cli.run(["extend", str(run.path), "--steps", "80", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trained_steps"] == 20
    assert cli.run(["branch", str(run.path), "--regime.weight_decay", "1", "--budget.steps", "10", "--json"]) == 0
    branched = Run(Path(json.loads(capsys.readouterr().out)["path"]))
    assert branched.record["lineage"]["run"] == run.id
    assert branched.config["regime"]["weight_decay"] == 1
    assert cli.run(["branch", str(run.path), "--step", "7"]) == 2
    assert "has no checkpoint at step 7; it has" in capsys.readouterr().err


def test_a_foreign_log_gets_a_verdict(tmp_path, capsys):
    rows = [f"{e},{min(1, e / 10)},{0.98 if e > 200 else 0.1}" for e in range(400)]
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["epoch,train_acc,val_acc", *rows]) + "\n")
    columns = ["--step", "epoch", "--train", "train_acc", "--held-out", "test=val_acc"]
    assert cli.run(["verdict", str(log), *columns, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)[str(log)]["test"]
    assert found["verdict"] == "grokked"
    assert cli.run(["verdict", str(log), *columns, "--criteria.delay_ratio", "50", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[str(log)]["test"]["verdict"] == "generalized"
    assert cli.run(["verdict", str(log), *columns, "--criteria.delay_ration", "50"]) == 2
    assert "did you mean 'delay_ratio'" in capsys.readouterr().err
    assert cli.run(["verdict", str(log)]) == 2
    assert "it has epoch, train_acc, val_acc" in capsys.readouterr().err


def test_what_is_piped_is_not_wrapped_and_a_closed_pipe_is_no_error(place):
    listing = grokscope("ls", "runs", cwd=place).stdout.splitlines()
    assert all(run.id in line for run, line in zip(find_runs(place / "runs"), listing[1:], strict=False))
    piped = subprocess.run(
        f"{sys.executable} -m grokscope.cli sql 'select * from range(200000)' | head -1; echo ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", cwd=place, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert piped.stdout.splitlines()[-1] == "0"
    assert piped.stderr == ""


@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False)])
def test_colors_on_a_terminal_follow_no_color(place, no_color, colored):
    reading, terminal = pty.openpty()
    command = [sys.executable, "-m", "grokscope.cli", "ls", "--help"]
    env = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": no_color}
    process = subprocess.Popen(command, env=env, stdout=terminal, stderr=terminal, stdin=terminal)
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(reading, 4096):
            shown += chunk
    except OSError:  # the terminal closes with its last user
        pass
    finally:
        process.wait()
        os.close(reading)
    assert b"List the runs" in shown
    assert (re.search(rb"\x1b\[[0-9;]*3[0-7]m", shown) is not None) is colored


# -- interruption ------------------------------------------------------------------------------------------------------


def endless(folder: Path, text: str) -> Path:
    path = folder / "endless.toml"
    path.write_text(text.replace("steps = 60", "steps = 10_000_000") + "[evaluate]\nper_decade = 5\n")
    return path


@pytest.mark.parametrize("kind", ["train", "study run"])
def test_ctrl_c_saves_says_how_to_go_on_and_exits_130(kind, tmp_path):
    file = endless(tmp_path, RUN if kind == "train" else STUDY)
    workers = ["--workers", "2"] if kind != "train" else []
    process = subprocess.Popen(
        [sys.executable, "-m", "grokscope.cli", *kind.split(), str(file), *workers, "--root", str(tmp_path / "runs")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end and not any(r.status["step"] for r in find_runs(tmp_path / "runs")):
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "run the same command again" in err
    assert "Traceback" not in err
    begun = [r for r in find_runs(tmp_path / "runs") if r.status["step"]]
    assert begun
    for run in begun:
        assert run.status["state"] == "interrupted"
        assert (run.path / "resume" / f"state{run.status['step']:010d}.pt").exists()


def test_overrides_are_read_as_toml():
    from grokscope.commands.overrides import split_overrides

    args = "f.toml --regime.lr 3e-4 --model.hidden 200 100 --model.bias=false --regime.augment-flip --root r --seed 3"
    rest, found = split_overrides(
        [*args.split(), "--regime.clip-norm", "none", "--regime.optimizer.betas", "[0.9, 0.98]"]
    )
    assert rest == ["f.toml", "--root", "r"]
    assert found == {
        "regime.lr": 3e-4, "model.hidden": [200, 100], "model.bias": False, "regime.augment_flip": True, "seed": 3,
        "regime.clip_norm": "none", "regime.optimizer.betas": [0.9, 0.98],
    }  # fmt: skip
    with pytest.raises(ValueError, match="given twice"):
        split_overrides(["--seed", "1", "--seed", "2"])


@pytest.mark.parametrize(
    ("text", "value"), [("True", True), (".5", 0.5), ("1.", 1.0), ("adamw", "adamw"), ("1e4", 1e4)]
)
def test_values_forgive_what_toml_does_not(text: str, value: Any):
    from grokscope.commands.overrides import split_overrides

    assert split_overrides(["--regime.x", text])[1] == {"regime.x": value}


def test_train_help_after_a_file_lists_its_keys(place, capsys):
    with pytest.raises(SystemExit):
        cli.run(["train", str(place / "run.toml"), "--help"])
    text = capsys.readouterr().out
    assert "--regime.weight-decay FLOAT" in text
    assert "--task.p" in text


def test_a_study_with_a_failed_run_has_exit_code_1(tmp_path, capsys):
    (tmp_path / "s.toml").write_text(STUDY.replace('"embedding-mlp"\nembedding = 4', '"mlp"'))
    assert cli.run(["study", "run", str(tmp_path / "s.toml"), "--workers", "0", "--root", str(tmp_path / "runs")]) == 1
    out = capsys.readouterr().out
    assert "4 runs: 4 failed" in out
    assert "tries the failed runs again" in out


@pytest.mark.slow
def test_the_demo_groks_says_where_the_report_is_and_again_only_writes_it(tmp_path):
    first = grokscope("demo", "--seeds", 0, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "6 of 6 expectations held" in first.stdout
    page = Path(first.stdout.splitlines()[-1])
    assert page == tmp_path / "report.html"
    assert "Two routes to late generalization" in page.read_text()
    page.unlink()
    again = grokscope("demo", "--seeds", 0, cwd=tmp_path)
    assert "5 runs: 5 already done" in again.stdout
    assert "to train" not in again.stderr
    assert page.exists()


def test_a_study_in_python_is_the_same_as_on_the_command_line(place):
    import grokscope as gs

    study = gs.Study.load(place / "study.toml")
    assert [s.state for s in study.status(place / "runs")] == ["done"] * 4
    assert {r["id"] for r in gs.sql("select id from runs", place / "runs")} >= {c.run_id() for c in study.runs()}
    verdict = gs.verdict(next((place / "runs").iterdir()))["id_val"]
    assert verdict.verdict in ("underfit", "memorized", "generalized", "grokked")
    assert TINY["task"]["name"] == study.runs()[0].task.name


def test_a_folder_that_is_not_there_is_no_empty_one(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["ls"]) == 0, "nothing was trained yet"
    assert cli.run(["ls", "nofolder"]) == 2
    assert cli.run(["sql", "select 1", "--root", "nofolder"]) == 2
    assert cli.run(["ls", str(place / "run.toml")]) == 2
    said = capsys.readouterr().err
    assert said.count("nofolder: no such folder") == 2
    assert "run.toml: is a file, not a folder of runs" in said


def test_recipes_are_listed_with_their_sources(capsys):
    from grokscope.regimes import ABOUT, RECIPES

    assert ABOUT.keys() == RECIPES.keys()
    assert cli.run(["list", "recipes"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in RECIPES)


@pytest.mark.parametrize(
    "error", [MemoryError("Unable to allocate 176. GiB"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_is_a_message(error, capsys):
    assert cli._explain(error, []) == 2
    assert "out of memory: make the task, the model or the batch smaller" in capsys.readouterr().err


def test_an_empty_list_says_why_and_what_to_name(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def listed(*words: str) -> str:
        assert cli.run(["ls", *words]) == 0
        return " ".join(capsys.readouterr().out.split())

    assert listed() == "no runs in runs: nothing has been trained yet"
    (tmp_path / "empty").mkdir()
    assert "a run is a folder with config.json" in listed("--root", "empty")
    assert f"name the folder with the runs: {place / 'runs'}" in listed(str(place))
    assert "with state failed" in listed(str(place / "runs"), "--state", "failed")
    assert listed("--root", str(place / "runs")) == listed(str(place / "runs"))
    assert cli.run(["ls", "empty", "--root", "other"]) == 2
    assert "name one folder, not both empty and --root other" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("query", ["select count(*) as n from metrics", "select count(*) as n from runs"])
def test_a_query_ends_without_a_word_of_the_library(place, query):
    done = grokscope("sql", query, "--root", "runs", cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
