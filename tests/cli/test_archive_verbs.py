"""The archive verbs: out, in again, the same numbers; and what is wrong is said with exit code 1 or 2."""

import json

import pytest

from grokscope.cli import run as cli
from grokscope.store import find_runs
from grokscope.train.driver import train
from tiny import tiny


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    published = {"evaluate": {"at": [1], "every": 50, "unit": "epochs"}, "diagnose": {"at": [1], "unit": "epochs"}}
    return train(tiny(published), tmp_path_factory.mktemp("runs"))


def test_out_and_in_again(trained, tmp_path, capsys):
    out, back = tmp_path / "archive", tmp_path / "back"
    assert cli(["archive", "export", str(trained.path), "--out", str(out), "--license", "cc-by-4.0"]) == 0
    assert (out / "README.md").exists()
    assert cli(["archive", "import", str(out), "--root", str(back), "--json"]) == 0
    printed = capsys.readouterr().out
    told = json.loads(printed[printed.index("{") :])
    assert told["problems"] == []
    (imported,) = find_runs(back)
    assert told["notes"] == {imported.id: imported.facts.get("notes", [])}
    assert imported.rows() == trained.rows()
    assert cli(["verdict", str(imported.path)]) == 0


def test_what_is_missing_is_said_with_exit_code_1(trained, tmp_path, capsys):
    assert cli(["archive", "export", str(trained.path), "--out", str(tmp_path / "archive")]) == 1  # no license chosen
    assert "license" in capsys.readouterr().out


def test_the_card_is_told_its_citation_and_the_figures_their_formats(trained, tmp_path, capsys):
    entry = "@misc{x, title={Y}}"
    (tmp_path / "cite.bib").write_text(entry + "\n")
    words = ["archive", "export", str(trained.path), "--license", "cc-by-4.0"]
    for name, citation, formats in (("a", entry, ["svg"]), ("b", str(tmp_path / "cite.bib"), [])):
        out = tmp_path / name
        assert cli([*words, "--out", str(out), "--citation", citation, "--formats", *formats]) == 0
        assert f"```bibtex\n{entry}\n```" in (out / "README.md").read_text()
        beside = {".csv", ".txt"} if formats else set()  # the numbers and the caption of each figure
        assert {p.suffix for p in (out / "figures").glob("*")} == {f".{f}" for f in formats} | beside
    assert cli([*words, "--out", str(tmp_path / "c"), "--citation", "nowhere.bib"]) == 2
    assert "neither a BibTeX entry" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["archive", "export", "nowhere"], "no runs in nowhere"),
        (["archive", "import", "nowhere"], "nowhere"),
        (["archive", "import", ".", "--map", "acc"], "expected name=value"),
        (["archive", "import", ".", "--n", "ood_test=many"], "expected a number"),
        (["archive", "import", ".", "--n", "foo=3"], "no held-out split 'foo'; known: id_val, ood_test, ood_val"),
        (["archive", "import", ".", "--n", "train=3"], "no held-out split 'train'"),
        (["archive", "exprot"], "did you mean 'export'"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli(words) == 2
    assert message in capsys.readouterr().err


def test_the_published_inference_is_recomputed_in_words_and_as_data(capsys):
    assert cli(["archive", "inference"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "grokking-favorable 4/5, standard 1/3" in said
    assert "Fisher p = 0.286, one-sided (greater); two-sided 0.464" in said
    assert "Fisher p = 0.179, one-sided (greater); two-sided 0.196" in said
    assert "U = 13 of 15, one-sided (greater): p = 0.0714, two-sided 0.143" in said
    assert "U = 14 of 15, two-sided: p = 0.0714" in said
    assert "0.7533, is the mean of 2 seeds: 42, 456" in said
    assert cli(["archive", "inference", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [round(t["p"], 3) for t in facts["shares"]] == [0.286, 0.179]
    assert facts["corrected_mean"] == {"published": 0.7533, "means_of": [[42, 456]]}
