"""The page as a document: complete, self-contained, safe, the same bytes each time."""

import base64
import csv
import gzip
import hashlib
import io
import json
import re
from collections import Counter

import pytest

from grokscope.report import build_report
from grokscope.report.read.judged_run import Reading
from grokscope.report.read.run_details import downloads
from grokscope.report.read.subjects import subject_from_run
from grokscope.store import find_runs, open_run
from report.pages import Tags
from report.synthetic import GROKKED, MEMORIZED, write_run


def data_of(href: str) -> bytes:
    head, _, body = href.partition(",")
    assert head.endswith(";base64")
    return base64.b64decode(body)


def test_counts_reconcile_with_what_was_launched(page):
    states = Counter(run.status["state"] for run in page.runs)
    assert f"{len(page.runs)} runs launched = 9 finished + 1 diverged + 1 failed + 1 still running" in page.html
    assert states == {"done": 9, "diverged": 1, "failed": 1, "running": 1}
    counted = [int(n) for n in re.findall(r'class="count">(\d+)<', page.html)]
    assert sum(counted) == len(page.runs)


def test_the_first_sentence_answers(page):
    sentence = "3 of 12 runs grokked, 3 generalized, 3 memorized and 1 diverged; 1 failed and 1 is still running."
    assert sentence in page.html


def test_every_run_has_a_tile_a_row_and_a_folded_part(page):
    ids = {a.get("id") for _, a in page.tags.found}
    tiles = [a for a in page.tags.named("a") if "tile" in (a.get("class") or "")]
    assert len(tiles) == len(page.runs)
    for i, run in enumerate(page.runs, 1):
        assert {f"run-{i}", f"run-{i}-details"} <= ids
        assert page.html.count(run.id) >= 1


def words(part: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", part).split())


def told_of(page, state: str) -> tuple[str, str]:
    """(table row, folded part) of the only run in this state, without tags and with single blanks."""
    (run,) = (run for run in page.runs if run.status["state"] == state)
    parts = re.findall(r'<details id="(run-\d+)-details">(.*?)</details>', page.html, re.DOTALL)
    (anchor, folded) = next((anchor, part) for anchor, part in parts if run.id in part)
    row = page.html.partition(f'<tr id="{anchor}">')[2].partition("</tr>")[0]
    return words(row), words(folded)


def test_what_went_wrong_is_told_where_its_run_stands(page):
    row, folded = told_of(page, "failed")
    assert row == "seed 3 failed RuntimeError: CUDA out of memory: tried &lt;2 GiB&gt;"
    assert folded.startswith("failed wd 0, seed 3")
    assert "CUDA out of memory: tried &lt;2 GiB&gt;" in folded
    row, folded = told_of(page, "diverged")
    assert row.startswith("seed 0 diverged ")
    assert "The train loss is not finite from" in folded
    row, folded = told_of(page, "running")
    assert row.startswith("seed 3 memorized so far ")
    assert "CUDA" not in folded
    assert "not finite" not in folded


def test_ids_are_unique_and_links_lead_somewhere(page):
    ids = [a["id"] for _, a in page.tags.found if "id" in a]
    assert [name for name, n in Counter(ids).items() if n > 1] == []
    targets = [a["href"][1:] for a in page.tags.named("a") if (a.get("href") or "").startswith("#")]
    assert set(targets) <= set(ids)
    assert len(targets) > 20
    used = set(re.findall(r"url\(#([^)]+)\)", page.html)) | {a["href"][1:] for a in page.tags.named("use")}
    assert used <= set(ids)
    assert used


def test_nothing_is_loaded_from_anywhere(page):
    """Links may lead out; nothing that the browser fetches by itself may."""
    for tag, attributes in page.tags.found:
        assert tag not in ("link", "iframe", "object", "embed", "base", "img")
        for name in ("src", "srcset", "xlink:href", "background", "poster"):
            assert name not in attributes
        if tag in ("use", "image"):
            assert attributes["href"].startswith(("#", "data:"))
        assert not [name for name in attributes if name.startswith("on")]
    assert "@import" not in page.html
    assert "@font-face" not in page.html
    assert not re.search(r"url\((?!#)", page.html)
    policy = next(a["content"] for a in page.tags.named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    (script,) = re.findall(r"<script>(.*?)</script>", page.html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy, "this script and no other may run"
    assert page.tags.named("script") == [{}]


def test_every_figure_has_a_sentence_with_numbers(page):
    figures = page.tags.named("figure")
    assert len(figures) > 8
    for figure in figures:
        assert figure["role"] == "img"
        assert len(figure["aria-label"]) > 40
        assert re.search(r"\d", figure["aria-label"])
    assert any("right-censored" in f["aria-label"] for f in figures)
    plots = [a for a in page.tags.named("svg") if a.get("class") == "plot"]
    with_steps = page.html.count('<div class="linear">')
    assert with_steps > 8
    assert len(plots) == len(figures) + with_steps  # with a step axis both log and linear
    assert all(a["aria-hidden"] == "true" for a in page.tags.named("svg"))


def test_structure_for_keyboard_and_reader(page):
    assert page.tags.named("html") == [{"lang": "en"}]
    assert any("width=device-width" in (a.get("content") or "") for a in page.tags.named("meta"))
    assert len(page.tags.named("h1")) == 1
    regions = [a for a in page.tags.named("div") if a.get("class") == "scroll"]
    assert regions
    assert all(a["tabindex"] == "0" and a["role"] == "region" and a["aria-label"] for a in regions)
    assert all(a.get("scope") for a in page.tags.named("th"))


def test_verdict_words_stand_beside_every_color(page):
    for name in ("grokked", "memorized", "generalized", "diverged"):
        chips = re.findall(rf'class="chip v-{name}">(.*?)</span>', page.html)
        assert chips
        assert all(name in re.sub(r"<[^>]+>", "", chip) for chip in chips)


def test_expectations_can_be_refuted(page):
    assert "Refuted: 1 of 3 expectations held, 1 did not, 1 cannot be told from these runs." in page.html
    marks = re.findall(r'class="mark [^"]+"><span aria-hidden="true">(.)</span> ([a-z ]+)', page.html)
    assert marks == [("✓", "held"), ("✗", "refuted"), ("?", "cannot tell")]
    assert "a note" in page.html
    assert "Digits &amp; decay" in page.html


@pytest.mark.parametrize(
    ("oks", "sentence"),
    [
        ([True], "Held: 1 of 1 expectation held."),
        ([True, True], "Held: 2 of 2 expectations held."),
        ([True, None], "Not decided: 1 of 2 expectations held, 1 cannot be told from these runs."),
        ([False], "Refuted: 0 of 1 expectation held, 1 did not."),
    ],
)
def test_the_verdict_on_the_claim(oks, sentence):
    from grokscope.report.read.tables import expectation_rows, expectation_verdict

    assert expectation_verdict(expectation_rows([{"ok": ok} for ok in oks]))[1] == sentence


def test_no_significance_is_claimed_for_few_seeds(page):
    assert "fewer than 6" in page.html
    assert "call no difference established" in page.html
    assert not re.search(r"significan", page.html, re.IGNORECASE)


def test_pairs_that_all_say_the_same_are_one_sentence(tmp_path, page):
    for i, group in enumerate("abcd"):
        for seed in range(2):
            write_run(tmp_path / group, group, seed, MEMORIZED, lr=10.0**-i)
    runs = [open_run(p) for p in sorted(tmp_path.glob("*/*"))]
    text = build_report(runs, tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    reason = "cannot tell: no run of either group reached the milestone"
    assert f"The same for all 6 pairs of groups: {reason}." in text
    assert text.count(reason) == 1
    assert 'aria-label="Log-rank tests"' not in text
    assert "log-rank on the step" not in text, "no p to explain"
    assert 'aria-label="Log-rank tests"' in page.html, "rows that differ stay a table"
    assert "log-rank on the step" in page.html


def test_rows_can_be_taken_away_exactly(page):
    links = {a["download"]: a["href"] for a in page.tags.named("a") if "download" in a}
    for run in page.runs:
        if not run.rows():
            continue
        text = data_of(links[f"{run.id}.csv"]).decode()
        table = list(csv.DictReader(io.StringIO(text)))
        assert [int(row["step"]) for row in table] == [row["step"] for row in run.rows()]
        assert [float(row["id_val_acc"]) for row in table] == [row["id_val_acc"] for row in run.rows()]
    verdicts = list(csv.DictReader(io.StringIO(data_of(links["verdicts.csv"]).decode())))
    assert len(verdicts) == len(page.runs)
    censored = [row for row in verdicts if row["T_gen_censored"] == "True"]
    assert censored
    assert all(row["T_gen"] == "" for row in censored)


def test_large_data_is_packed_and_then_only_named(tmp_path, monkeypatch):
    runs = [open_run(write_run(tmp_path, "a", seed, GROKKED)) for seed in range(2)]
    readings = [Reading(subject_from_run(run), "id_val", None) for run in runs]
    monkeypatch.setattr("grokscope.report.read.run_details.PLAIN_DATA", 10)
    packed = downloads(readings)[runs[0].id]
    assert packed.name.endswith(".csv.gz")
    assert gzip.decompress(data_of(packed.href)).decode().count("\n") == len(runs[0].rows()) + 1
    monkeypatch.setattr("grokscope.report.read.run_details.PACKED_DATA", 10)
    assert downloads(readings)[runs[0].id].href is None


def test_the_config_that_makes_a_run_again(page):
    run = page.runs[0]
    link = next(a for a in page.tags.named("a") if a.get("download") == f"{run.id}.json")
    assert json.loads(data_of(link["href"])) == run.config
    assert f"grokscope train {run.id}.json" in page.html


def test_a_resolved_config_can_be_trained_from(tmp_path):
    from grokscope import configio
    from grokscope.report.read.run_details import config_file

    raw = configio.load_run(
        {"task": {"name": "digits"}, "model": {"name": "mlp"}, "budget": {"steps": 10}, "regime": {"weight_decay": 0.1}}
    )
    run = open_run(write_run(tmp_path, "a", 0, GROKKED))
    record = run.record | {"config": configio.dump(raw)}
    (run.path / "config.json").write_text(json.dumps(record))
    made = config_file(Reading(subject_from_run(open_run(run.path)), "id_val", None))
    file = tmp_path / made.name
    file.write_bytes(data_of(made.href))
    assert configio.load_run(configio.read_file(file)) == raw


EVIL = '<img src=x onerror="alert(1)"> & "q" $x^2$ \x07'


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    root = tmp_path_factory.mktemp("odd")
    write_run(root / "runs", EVIL, 0, GROKKED)
    write_run(root / "runs", "failed", 1, None, state="failed", error="<script>alert(2)</script>")
    write_run(root / "runs", "planned", 2, None, state="planned")
    damaged = write_run(root / "runs", "damaged", 3, MEMORIZED)
    (damaged / "results" / "metrics.jsonl").write_text('{"step": 1}\nrubbish\n{"step": 2}\n')
    expectations = [{"where": EVIL, "what": EVIL, "expected": EVIL, "seen": EVIL, "ok": False}]
    study = {"title": EVIL, "claim": EVIL, "reference": EVIL, "cost": EVIL}
    out = build_report(find_runs(root / "runs"), root / "r.html", study=study, expectations=expectations, formats=())
    return out.read_text(encoding="utf-8")


def test_names_are_text_not_markup(odd):
    tags = Tags(odd)
    assert tags.named("img") == []
    assert tags.named("script") == [{}], "the page's own"
    assert "&lt;img src=x" in odd
    assert "\x07" not in odd


def test_runs_without_a_curve_are_counted_and_named(odd):
    assert "4 runs launched = 1 finished + 1 failed + 1 not started + 1 unreadable" in odd
    assert "1 of 4 runs grokked; 1 failed, 1 is not started and 1 could not be read." in odd
    assert "line 2: not a row of metrics" in odd
    assert "Without a curve: damaged (1 unreadable), failed (1 failed) and planned (1 not started)." in odd


def test_identical_inputs_give_identical_bytes(tmp_path):
    def few_columns(rows):
        for row in rows:
            for name in ("rank_effective", "softmax_collapse", "margin_mean", "logit_max", "train_loss", "id_val_loss"):
                row.pop(name, None)

    write_run(tmp_path / "runs", "a", 0, GROKKED, edit=few_columns)
    write_run(tmp_path / "runs", "b", 1, MEMORIZED, edit=few_columns)
    files = []
    for place in ("one", "two"):
        out = build_report(find_runs(tmp_path / "runs"), tmp_path / place / "r.html", formats=("png", "pdf", "svg"))
        files.append({f.name: f.read_bytes() for f in [out, *sorted((tmp_path / place / "r_figures").iterdir())]})
    assert files[0] == files[1]
    assert {"curves.png", "curves.pdf", "curves_linear.svg", "survival.pdf", "diagnostics.png"} <= set(files[0])
    text = files[0]["r.html"].decode()
    for name in set(files[0]) - {"r.html"}:
        stem, _, suffix = name.partition(".")
        assert re.search(rf"<code>r_figures/{stem}</code> \([a-z, ]*\b{suffix}\b", text), name


def test_the_page_stays_small(page):
    assert len(page.html) < 1_200_000


def test_a_report_on_nothing_says_so(tmp_path):
    out = build_report([], tmp_path / "r.html")
    assert "There are no runs to report on." in out.read_text()


def test_unknown_formats_and_splits_are_errors(tmp_path):
    run = open_run(write_run(tmp_path, "a", 0, GROKKED))
    with pytest.raises(ValueError, match="no format 'gif'; known: png"):
        build_report([run], tmp_path / "r.html", formats=("gif",))
    with pytest.raises(ValueError, match="'id_vall'; did you mean 'id_val'"):
        build_report([run], tmp_path / "r.html", split="id_vall")
