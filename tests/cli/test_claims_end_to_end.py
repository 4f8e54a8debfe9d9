"""The claims page from training to the outcome: a study is run, saved, judged, repeated, and doctored."""

import contextlib
import io
import json
import shlex
import shutil

import pytest

from grokscope import cli
from grokscope.results.saved import MANIFEST, ROWS
from grokscope.study.saved.digests import digest

STUDY = """
schema = 2
name = "tiny"
task = { name = "modular", p = 7 }
model = { name = "embedding-mlp", embedding = 4, hidden = [8] }
regime = { lr = 1e-2, batch_size = 0 }
budget = { steps = 60 }
evaluate = { every = 20 }
axes = { "regime.weight_decay" = [0.5, 0.1] }
seeds = [0, 1]

[[expect]]
name = "nothing groks in 60 steps"
censored = "T_gen"

[[hypothesis]]
name = "more decay ends lower"
quantity = "end"
of = { "regime.weight_decay" = 0.5 }
to = { "regime.weight_decay" = 0.1 }
direction = "smaller"

[[claimed]]
id = "at-once"
quote = "it generalizes at once"
source = "A paper"
falsified_by = ["nothing groks in 60 steps"]

[[claimed]]
id = "not-so-soon"
claim = "sixty steps are not enough"
source = "A paper"
verified_by = ["nothing groks in 60 steps"]

[[claimed]]
id = "decay-lowers-the-end"
claim = "decay lowers the end"
source = "A paper"
verified_by = ["more decay ends lower"]
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    (folder / "tiny.toml").write_text(STUDY)
    return folder, _claims(folder, folder / "page.html", "--run", "tiny", "--root", str(folder / "runs"))


def _claims(folder, page, *options):
    """What the verb printed as data, by the ids of the claims."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        code = cli.run(["claims", "--studies", str(folder), "--out", str(page), "--workers", "1", "--json", *options])
    assert code == 0
    data = json.loads(printed.getvalue())
    assert data["problems"] == []
    return {claim["id"]: claim for claim in data["claims"]}


def test_a_study_is_trained_saved_beside_its_file_and_judged(trained):
    folder, claims = trained
    assert {name: claim["outcome"] for name, claim in claims.items()} == {
        "at-once": "falsified", "not-so-soon": "verified", "decay-lowers-the-end": "inconclusive",
    }  # fmt: skip
    manifest = json.loads((folder / "results" / "tiny" / MANIFEST).read_text())
    assert [run["state"] for run in manifest["runs"]] == ["done"] * 4
    assert (claims["at-once"]["evidence"][0]["finished"], claims["at-once"]["evidence"][0]["planned"]) == (4, 4)
    hypothesis = claims["decay-lowers-the-end"]["evidence"][0]
    assert "2 pairs" in hypothesis["seen"]
    assert "exploratory" not in hypothesis["seen"]  # it was declared before the runs began
    assert not list((folder / "results" / "tiny").glob("**/*.safetensors"))
    page = (folder / "page.html").read_text()
    assert page.count("<article") == 3
    assert page.count("<svg") == 3


def test_the_command_on_the_page_repeats_it_without_training_again(trained, tmp_path):
    folder, claims = trained
    verb, *options = shlex.split(claims["at-once"]["command"])[1:]
    assert verb == "claims"
    before = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/results/metrics.jsonl")}
    again = _claims(folder, tmp_path / "page.html", *options[:2], "--root", str(folder / "runs"))
    assert again == claims
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/results/metrics.jsonl")}
    assert options[2:] == ["--studies", str(folder)]
    assert (tmp_path / "page.html").read_bytes() == (folder / "page.html").read_bytes()


def test_a_doctored_result_changes_the_page(trained, tmp_path):
    """Held-out is all right from the second evaluation on, in rows whose digest and outcome were doctored as well."""
    folder = shutil.copytree(trained[0], tmp_path / "doctored", ignore=shutil.ignore_patterns("runs"))
    result = folder / "results" / "tiny"
    head, *rows = (result / ROWS).read_text().splitlines()
    columns = head.split(",")
    held, step = (columns.index(name) for name in ("id_val_correct", "step"))
    cells = [row.split(",") for row in rows]
    for row in cells:
        row[held] = "25" if float(row[step]) >= 20 else row[held]  # of 7 x 7 pairs 24 are trained on
    (result / ROWS).write_text("\n".join([head, *map(",".join, cells)]) + "\n")
    manifest = json.loads((result / MANIFEST).read_text())
    manifest["digests"][ROWS] = digest(result / ROWS)
    (result / MANIFEST).write_text(json.dumps(manifest))
    cli.run(["claims", "--studies", str(folder), "--out", str(tmp_path / "page.html")])
    page = (tmp_path / "page.html").read_text()
    assert "its rows disagree with its outcome.json" in page
    assert page != (trained[0] / "page.html").read_text()
    assert "nothing against it" in page


def test_a_study_that_is_not_among_the_files_is_not_run(trained, tmp_path, capsys):
    code = cli.run(["claims", "--studies", str(trained[0]), "--run", "tinny", "--root", str(tmp_path)])
    assert code == 2
    assert "--run tinny: no such study; did you mean 'tiny'?" in capsys.readouterr().err
    code = cli.run(["claims", "--studies", str(trained[0]), "--run", "ridge", "--root", str(tmp_path)])
    assert code == 2
    assert not list(tmp_path.iterdir())
