"""Claims beside what saved results say of them: verified, falsified, changed by a doctored result, not run."""

import json
import re
import shutil
from pathlib import Path

import pytest

from grokscope import cli
from grokscope.inference.claim_outcome import OUTCOMES
from grokscope.results.saved import MANIFEST, ROWS
from grokscope.study import Study
from grokscope.study.claimed import read_claim_list, read_claimed
from grokscope.study.claims import gather
from grokscope.study.saved import read_saved, save_study, saved_results
from grokscope.study.saved.digests import digest
from grokscope.study.study import shipped_folder, shipped_studies
from planted_rows import plant

STUDY = """
schema = 2
name = "planted"
task = { name = "modular", p = 7 }
model = { name = "embedding-mlp", embedding = 4, hidden = [8] }
regime = { lr = 1e-2, batch_size = 8 }
budget = { steps = 4000 }
evaluate = { every = 20, at = [0] }
axes = { "regime.weight_decay" = [0.5, 0.1] }
seeds = [0, 1]

[[expect]]
name = "decay groks"
where = { "regime.weight_decay" = 0.5 }
verdict = "grokked"

[[expect]]
name = "weak decay never"
where = { "regime.weight_decay" = 0.1 }
censored = "T_gen"

[[expect]]
name = "the norm grows"
measure = "norm_total"
statistic = "growth after fit"
between = [1.1, 9]

[[claimed]]
id = "decay-groks"
quote = "decay brings it"
source = "A paper"
place = "abstract"
verified_by = ["decay groks"]

[[claimed]]
id = "weak-decay-never"
claim = "weak decay never does"
source = "A paper"
verified_by = ["decay groks", "weak decay never"]
toy = "seven numbers"

[[claimed]]
id = "norm-grows"
claim = "the norm grows"
source = "Another paper"
verified_by = ["the norm grows"]

[[claimed]]
id = "norm-shrinks"
claim = "the norm does not grow"
source = "Another paper"
falsified_by = ["the norm grows"]
"""
LIST = """
schema = 2
title = "Untested"

[[claimed]]
id = "elsewhere"
claim = "it works on real data"
source = "Another paper"
not_run = "no data"

[[claimed]]
id = "disagree"
claim = "eleven runs"
source = "Another paper"
contradicted = "fourteen, says the next page"
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder of studies with the saved result of one of them."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "planted.toml").write_text(STUDY)
    (folder / "claims").mkdir()
    (folder / "claims" / "untested.toml").write_text(LIST)
    study = Study.load(folder / "planted.toml")
    plant(study, folder / "runs", {(0.5, 0): 1200, (0.5, 1): 1300, (0.1, 0): 3000, (0.1, 1): 3100})
    save_study(study, folder / "runs", folder / "results")
    shutil.rmtree(folder / "runs")
    return folder


@pytest.fixture
def folder(kept, tmp_path):
    """A copy, to be changed."""
    return Path(shutil.copytree(kept, tmp_path / "studies"))


def outcomes(folder):
    gathered = gather(sorted(folder.glob("*.toml")), sorted(folder.glob("claims/*.toml")), [folder / "results"])
    return {c.id: c for c in gathered.claims.claims}, gathered


def test_every_outcome_follows_from_what_was_seen(kept):
    claims, gathered = outcomes(kept)
    assert {c.id: c.words for c in claims.values()} == {
        "decay-groks": "verified", "weak-decay-never": "toy: verified in part there", "norm-grows": "falsified",
        "norm-shrinks": "inconclusive", "elsewhere": "not run here", "disagree": "inconclusive",
    }  # fmt: skip
    assert gathered.claims.problems == ()
    assert gathered.claims.counts == dict(zip(OUTCOMES, (1, 0, 1, 1, 2, 1), strict=True))
    evidence = claims["decay-groks"].evidence[0]
    assert (evidence.finished, evidence.planned) == (2, 2)
    assert evidence.share == pytest.approx((0.1581, 1.0), abs=1e-4)  # Clopper-Pearson of 2 of 2: (.025)^(1/2)
    assert "torch 2" in claims["decay-groks"].origin
    assert claims["decay-groks"].command == "grokscope claims --run planted"
    assert claims["elsewhere"].why == "no data"
    assert {c.group for c in gathered.figures["decay-groks"].curves} == {"weight_decay=0.5"}


def test_a_doctored_result_changes_the_outcome_and_is_told(folder):
    """Held-out never rises in the doctored rows, whose digest was doctored too."""
    result = folder / "results" / "planted"
    lines = (result / ROWS).read_text().splitlines()
    place = lines[0].split(",").index("id_val_correct")
    cells = [line.split(",") for line in lines[1:]]
    (result / ROWS).write_text("\n".join([lines[0], *(",".join([*c[:place], "150", *c[place + 1 :]]) for c in cells)]))
    manifest = json.loads((result / MANIFEST).read_text())
    manifest["digests"][ROWS] = digest(result / ROWS)
    (result / MANIFEST).write_text(json.dumps(manifest))
    claims, gathered = outcomes(folder)
    assert claims["decay-groks"].outcome == "falsified"
    assert claims["weak-decay-never"].words == "toy: verified in part there"
    assert claims["norm-shrinks"].outcome == "inconclusive"
    assert "its rows disagree with its outcome.json" in gathered.claims.problems[0]


def test_a_result_that_was_cut_short_decides_nothing_and_costs_no_other_file_its_claims(folder):
    rows = folder / "results" / "planted" / ROWS
    rows.write_text(rows.read_text()[:900])
    claims, gathered = outcomes(folder)
    assert {c.outcome for c in claims.values() if c.study} == {"inconclusive"}
    assert "rows.csv changed after the study was saved" in claims["decay-groks"].why
    assert claims["elsewhere"].outcome == "not run here"
    assert len(gathered.claims.problems) == 1


def test_a_study_without_a_result_says_not_run(folder):
    shutil.rmtree(folder / "results")
    claims, gathered = outcomes(folder)
    assert {c.outcome for c in claims.values() if c.study} == {"not run here"}
    assert claims["decay-groks"].why == "no result of the study planted is kept"
    assert gathered.figures == {}


def test_a_malformed_file_is_one_message_and_the_others_keep_their_claims(folder):
    (folder / "broken.toml").write_text("schema = ")
    (folder / "claims" / "worse.toml").write_text('[[claimed]]\nid = "x"\nclaim = "y"\nsource = "z"\n')
    (folder / "claims" / "twice.toml").write_text(LIST.partition("[[claimed]]")[0] + LIST[LIST.index("[[claimed]]") :])
    claims, gathered = outcomes(folder)
    assert claims["decay-groks"].outcome == "verified"
    problems = "\n".join(gathered.claims.problems)
    assert "broken.toml" in problems
    assert "worse.toml: $.claimed[0]: list its tests (verified_by, falsified_by), or give the reason" in problems
    assert problems.count("two claims are called") == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verified_by": ["decay grok"]}, r"verified_by: no .* is called 'decay grok'.*did you mean 'decay groks'"),
        ({"quoted": "x"}, r"\$\.claimed\[0\]\.quoted: unknown key.*'quote'"),
        ({"claim": "too"}, "as quote .verbatim. or claim"),
        ({"quote": "x" * 300}, "300 characters; at most 240"),
        ({"falsified_by": ["as published"], "verified_by": []}, 'marked published = "claim"'),
        ({"verified_by": ["the opposite"]}, 'marked published = "opposite"'),
        ({"recomputed": "steering"}, "unknown number 'steering'.*'steering p'"),
        ({"source": ""}, "source: missing"),
    ],
)
def test_a_block_that_does_not_fit_is_told_where_and_what_would(change, message):
    block = {"id": "a", "quote": "b", "source": "c", "verified_by": ["decay groks"], **change}
    with pytest.raises(ValueError, match=message):
        read_claimed([block], {"decay groks": "", "as published": "claim", "the opposite": "opposite"})


def test_two_expectations_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"\$\.expect\[0\]\.name: two expectations are called 'a'"):
        Study.from_dict({"task": {"name": "modular", "p": 7}, "model": {"name": "mlp"}, "budget": {"steps": 10},
                         "expect": [{"name": "a", "verdict": "grokked"}, {"name": "a", "T_gen": [1, 2]}]})  # fmt: skip


def test_the_verb_writes_page_data_markdown_and_logbook(kept, tmp_path, capsys):
    files = {name: str(tmp_path / name) for name in ("claims.html", "claims.md", "book")}
    code = cli.run(["claims", "--studies", str(kept), "--out", files["claims.html"], "--markdown", files["claims.md"],
                    "--trackio", files["book"], "--json"])  # fmt: skip
    assert code == 0
    data = json.loads(capsys.readouterr().out)
    assert [c["outcome"] for c in data["claims"] if c["id"] == "norm-grows"] == ["falsified"]
    assert len(data["written"]) == 3
    page = (tmp_path / "claims.html").read_text()
    assert "“decay brings it”" in page
    assert page.count("<article") == 6
    assert page.count("<svg") == 4


def test_what_is_installed_is_not_changed_by_a_repetition(kept, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("grokscope.study.study.PACKAGE", tmp_path)
    shutil.copytree(kept, tmp_path / "studies")
    code = cli.run(["claims", "--run", "planted", "--root", str(tmp_path / "runs")])
    assert code == 2
    assert "--run needs --results FOLDER" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_shipped_results_are_whole_and_of_the_shipped_studies():
    """No digest is off, and no saved run has settings that its study file does not have any more."""
    folder = shipped_folder()
    assert folder is not None
    studies = shipped_studies()
    found = saved_results(folder / "results")
    assert len(found) >= 12
    for path in found:
        assert read_saved(path).gone(Study.load(studies[path.name])) == []


def test_shipped_claims_have_names_of_their_own_and_say_where_they_are_made():
    folder = shipped_folder()
    assert folder is not None
    claims = [c for path in shipped_studies().values() for c in Study.load(path).claimed]
    claims += [c for path in (folder / "claims").glob("*.toml") for c in read_claim_list(path).claimed]
    assert len({c.id for c in claims}) == len(claims) >= 60
    assert all(c.source for c in claims)


DOCUMENTS = {
    "Interventional Analysis of Shortcut Geometry (essay)": "Result 2 - A Representational Difference Under",
    "Interventional Analysis of Shortcut Geometry (archive page)": "Training Artifact Archive",
    "Grokking & Delayed Generalization (explainer)": "Grokking & Delayed Generalization",
    "Observing Grokking in M-Height Prediction": "# Observing Grokking in M-Height Prediction",
}
"""Name of a source document in study files -> words by which it is known."""


def shipped_claims():
    folder = shipped_folder()
    assert folder is not None
    claims = [c for path in shipped_studies().values() for c in Study.load(path).claimed]
    return claims + [c for path in (folder / "claims").glob("*.toml") for c in read_claim_list(path).claimed]


def plain(text):
    """Without line breaks and emphasis; a dash whose bytes were read in a Greek code page is one again."""
    return re.sub(r"\s+", " ", text.replace("\u03b2\u20ac\u201d", "\u2014").replace("**", ""))


def stands_in(quote, text):
    """Every part of a quote, in this order; ``...`` leaves something out."""
    at = 0
    for part in plain(quote).split(" ... "):
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def test_a_quote_must_stand_there_literally_and_in_its_order():
    text = plain("The norm **grows**\n4x across \u03b2\u20ac\u201d all seeds.")
    assert stands_in("norm grows 4x ... all seeds", text)
    assert stands_in("across \u2014 all", text)
    assert not stands_in("all seeds ... norm grows", text)
    assert not stands_in("norm grows 5x", text)


def test_every_quote_of_the_four_documents_stands_in_them():
    """Where the documents lie beside the checkout or above it, which is not everywhere: they are not shipped."""
    places = [parent / "shared" / "reference" / "seeds" for parent in Path(__file__).resolve().parents]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        pytest.skip("the four source documents are not at hand")
    texts = [plain(path.read_text()) for path in sorted(folder.glob("*.txt"))]
    by_name = {name: next(t for t in texts if words in t) for name, words in DOCUMENTS.items()}
    assert len(set(by_name.values())) == 4
    quoted = [c for c in shipped_claims() if c.quote and c.source in by_name]
    assert len(quoted) >= 38
    assert [c.id for c in quoted if not stands_in(c.quote, by_name[c.source])] == []


def test_what_must_be_on_the_page_is_there():
    """The claims on which the documents and the measurements part, by name, and how each is decided."""
    claims = {c.id: c for c in shipped_claims()}
    tested = (
        "toy-shows-delay", "memorization-decays-signal-takes-over",  # competing features, and the claimed route
        "grokfast-amplifies-the-head", "head-is-the-engine",  # the head that does not grow; growth against diffusion
        "batch-norm-prevents-shrinking", "decay-is-a-learning-rate",  # eta lambda T
        "late-rise-of-a-readout", "grokfast-accelerates", "small-data-acts-larger",
    )  # fmt: skip
    assert [name for name in tested if not claims[name].tested_by] == []
    assert ".88" in claims["mheight-leaves-the-means"].note
    contradicted = [c for c in claims.values() if c.contradicted]
    assert len(contradicted) >= 7
    assert "diffusion" in claims["head-is-the-engine"].note
    assert "decay budget" in claims["batch-norm-prevents-shrinking"].note
