"""From the study file over real runs to the terminal, the page and the file beside it."""

import json
import re
from contextlib import chdir

import pytest

from grokscope import cli
from grokscope.results.hypothesis import Hypotheses

FILE = """
schema = 2
name = "growth"
title = "Does decay keep the norm small?"
seeds = [0, 1, 2, 3, 4]
task = { name = "modular", p = 7 }
model = { name = "embedding-mlp", embedding = 4, hidden = [8] }
regime = { lr = 1e-2, batch_size = 8 }
budget = { steps = 60 }
evaluate = { every = 7, at = [0] }
axes = { "regime.weight_decay" = [5.0, 0.0] }

[[hypothesis]]
name = "decay shrinks"
measure = "norm_total"
of = { "regime.weight_decay" = 5.0 }
to = { "regime.weight_decay" = 0.0 }
direction = "smaller"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("growth")
    (folder / "growth.toml").write_text(FILE)
    with chdir(folder):
        assert cli.run(["study", "run", "growth.toml", "--workers", "0"]) == 0
    return folder


def said(place, capsys, *words):
    with chdir(place):
        code = cli.run([*words])
    return code, capsys.readouterr().out


def test_the_terminal_answers_in_one_sentence_first(place, capsys):
    code, text = said(place, capsys, "study", "check", "growth.toml")
    assert code == 0
    first = text.splitlines()[0]
    assert re.fullmatch(
        r"decay shrinks: Shown: final of norm_total of weight_decay=5 is smaller than that of weight_decay=0: "
        r"difference of means -\d\.\d+ \(93\.75 %: -\d\.\d+ to -\d\.\d+\), p = 0\.0312 one-sided \(smallest possible "
        r"0\.0312\), 5 pairs\.",
        first,
    ), first
    code, text = said(place, capsys, "study", "test", "growth.toml")
    assert code == 0
    assert text.splitlines()[0] == first
    assert "decay shrinks (declared on 20" in text
    assert "power " in text
    assert "10 runs: 10 finished, 0 failed, 0 waiting" in text


def test_json_says_the_same(place, capsys):
    code, text = said(place, capsys, "study", "test", "growth.toml", "--json")
    assert code == 0
    known = Hypotheses.from_dict(json.loads(text))
    (h,) = known.results
    assert h.standing == "declared"
    assert [arm.finished for arm in h.arms] == [5, 5]
    _, text = said(place, capsys, "study", "check", "growth.toml", "--json")
    assert json.loads(text)["hypotheses"][0]["answer"] == h.answer


def test_the_page_answers_on_its_first_screen_and_the_registry_lies_beside_it(place, capsys):
    code, _ = said(place, capsys, "study", "report", "growth.toml", "--out", "page.html")
    assert code == 0
    known = Hypotheses.read(place / "page_hypotheses.json")
    page = (place / "page.html").read_text()
    answer = known.results[0].answer
    assert answer in page[: page.index("<nav")]
    section = page[page.index('id="hypotheses"') :]
    for run in known.results[0].arms[0].numbers:
        assert f"{run.value:.4g}" in section
    assert "significant" not in section[: section.index("</section>")]
    assert (known.planned, known.finished, known.failed, known.waiting) == (10, 10, 0, 0)


def test_what_cannot_be_tested_ends_with_the_remedy(place, capsys, tmp_path):
    bare = tmp_path / "bare.toml"
    bare.write_text(FILE[: FILE.index("[[hypothesis]]")])
    assert cli.run(["study", "test", str(bare)]) == 2
    assert "has no [[hypothesis]] block" in capsys.readouterr().err
    code, text = said(tmp_path, capsys, "study", "test", str(place / "growth.toml"), "--root", str(tmp_path / "none"))
    assert code == 1
    assert "0 of 10 runs are finished" in text


def test_workers_declare_what_they_train_too(place, capsys, tmp_path):
    short = tmp_path / "short.toml"
    short.write_text(FILE.replace("[0, 1, 2, 3, 4]", "[0, 1]").replace("steps = 60", "steps = 14"))
    root = str(tmp_path / "runs")
    assert cli.run(["worker", str(short), "--root", root]) == 0
    capsys.readouterr()
    assert cli.run(["study", "test", str(short), "--root", root, "--json"]) == 0
    (h,) = Hypotheses.from_dict(json.loads(capsys.readouterr().out)).results
    assert (h.standing, h.arms[0].finished) == ("declared", 2)
