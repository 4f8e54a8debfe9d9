"""What the section on unseen environments says of a peak's luck, of penalties, learning rates, images and ranks."""

import base64
import json
import re

import numpy as np
import pytest

from grokscope.report import build_report
from grokscope.report.read.judged_run import read
from grokscope.report.read.measured_columns import group_bands
from grokscope.report.read.shortcut import outcomes
from grokscope.report.read.subjects import effective_rates, gather
from grokscope.report.sections import contact_sheet
from grokscope.report.sections.irm import irm_columns
from grokscope.report.sections.norms_and_ranks import RANK_ROWS, gradient_columns, rank_rows
from grokscope.report.sections.shortcut import p_value
from grokscope.store import find_runs
from grokscope.trajectory import Criteria
from grokscope.vocabulary.columns import panels
from grokscope.vocabulary.text import score
from report.synthetic import UNGROKKED, write_run

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
IMAGES = {"image_shape": [3, 8, 8], "labels": ["normal", "tumor"], "environments": {"1": "Utrecht"}}


def unseen(made, noise=0.02, splits=("ood_val", "ood_test")):
    """Rows with unseen environments whose curves wobble."""
    rng = np.random.default_rng(0)
    for row in made:
        for split in splits:
            row |= {f"{split}_acc": float(0.6 + noise * rng.standard_normal()), f"{split}_loss": 1.0}


def write(
    root, seed=0, edit=unseen, regime="standard", facts=None, record=None, splits=("ood_val", "ood_test"), **more
):
    """A run with unseen environments; `facts` and `record` change its config.json."""
    folder = write_run(root, regime, seed, UNGROKKED, edit=edit, threshold=0.9, **more)
    found = json.loads((folder / "config.json").read_text())
    for split in splits:
        found["facts"]["splits"][split] = {"n": 400, "trivial_acc": 0.5}
    found["facts"] |= facts or {}
    (folder / "config.json").write_text(json.dumps(found | (record or {})))
    return folder


def page_of(root):
    """The page of all runs, with its text without tags."""
    html = build_report(find_runs(root), root / "r.html", formats=()).read_text(encoding="utf-8")
    return html, " ".join(re.sub(r"<svg.*?</svg>|<[^>]+>", " ", html, flags=re.DOTALL).split())


def readings(root, split="ood_val"):
    return read(gather(find_runs(root)), split, Criteria(), neighbors=False)


# -- the luck of a peak -----------------------------------------------------------------------------------------------


def test_both_peaks_stand_beside_their_luck_and_p(tmp_path):
    write(tmp_path)
    _, text = page_of(tmp_path)
    (o,) = outcomes({s: readings(tmp_path, s) for s in ("ood_val", "ood_test")})
    for rule in ("peak_ood_val", "oracle"):
        bias = o.chosen[rule].bias
        assert bias is not None
        assert bias.optimism > 0.01
        assert f"optimism {score(bias.optimism)}, p {p_value(bias.p)}" in text
        row = [score(bias.optimism), score(bias.corrected), p_value(bias.p), p_value(bias.p_new), score(bias.excess)]
        assert " ".join(row) in text
    assert "how often a flat curve of this roughness lies as far above its own end" in text


def test_the_end_and_the_final_score_are_two_words_for_two_numbers(tmp_path):
    write(tmp_path)
    _, text = page_of(tmp_path)
    (o,) = outcomes({s: readings(tmp_path, s) for s in ("ood_val", "ood_test")})
    final, end = o.chosen["final"].values["ood_test"], o.chosen["mean_last"]
    assert score(final) != score(end.values["ood_test"])
    assert f"{score(final)} last evaluation {score(end.values['ood_test'])} last {end.averaged}" in text
    found = readings(tmp_path, "ood_val")[0].milestones
    assert found is not None
    assert f"{score(found.end)} last {found.end_rows}" in text
    assert "Peak End Drop" in text
    assert "Final Drop" not in text


def test_luck_that_cannot_be_told_has_no_number(tmp_path):
    write(tmp_path, edit=lambda made: (made.__delitem__(slice(15, None)), unseen(made)))
    _, text = page_of(tmp_path)
    assert text.count("selection optimism: not estimable") == 2
    assert "not estimable too few evaluations" in text
    assert not re.search(r"optimism\s0\.", text)


# -- imported runs ----------------------------------------------------------------------------------------------------


def test_what_an_archive_does_not_say_is_not_said(tmp_path):
    def published(made):
        unseen(made, splits=("ood_test",))
        for row in made:
            row |= {"train_irm": 3.0, "rank_effective": 20.0}

    folder = write(
        tmp_path, edit=published, splits=("ood_test",),
        record={"lineage": {"kind": "archive", "archive": "theirs", "run": "x"}, "provenance": {"device": "cuda"}},
    )  # fmt: skip
    record = json.loads((folder / "config.json").read_text())
    record["facts"]["splits"]["ood_test"] = {"trivial_acc": 0.5}
    (folder / "config.json").write_text(json.dumps(record))
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | {"started": 0.0}))
    html, text = page_of(tmp_path)
    assert "1970" not in text
    assert "trained" not in text[: text.index("Learning curves")]
    assert not re.search(r"(?<![\d,])0 examples", text)
    assert "ood_test trivial accuracy 0.5" in text
    assert "To reproduce" not in text
    assert "grokscope train" not in text
    assert "imported from kind archive, archive theirs" in text
    assert "judged on ood_test" in text
    assert "no rule can choose on an unseen environment" in text
    assert "rows: unknown" in html, "how many rows their ranks are of, nobody wrote down"


def test_runs_of_ones_own_are_dated_and_can_be_made_again(tmp_path):
    write(tmp_path)
    _, text = page_of(tmp_path)
    assert "trained 15 June 2025" in text
    assert "ood_test 400 examples, trivial accuracy 0.5" in text
    assert "To reproduce" in text
    assert "grokscope train digits" in text


# -- penalties --------------------------------------------------------------------------------------------------------


def penalties(made):
    """Two training environments, one of which has too few examples for a penalty, and another split by name."""
    unseen(made)
    for row in made:
        row |= {"train_irm": 9.0, "train_logit_scale": 2.0, "mine_irm": 1.0}
        for e, value in (("0", 4.0), ("1", None), ("2", 2.0)):
            row |= {f"train_env{e}_irm": value, f"train_env{e}_irm_u": value, f"train_env{e}_irm_split": value}
            row |= {f"train_env{e}_irm_u_se": None if value is None else 0.3}
        row |= {"ood_val_irm": 7.0}


def test_an_environment_without_a_penalty_is_left_out_and_counted(tmp_path):
    write(tmp_path, edit=penalties)
    _, text = page_of(tmp_path)
    start = text.index("Last evaluation IRM penalty, U-statistic its approximate standard error split-half naive")
    (row,) = re.findall(r"train, 2 of 3 environments ((?:\S+ ){5})", text[start:])
    # mean of 4 and 2; its error 0.3 * sqrt(2) / 2; the split-half alike; what the run logged as its mean
    assert row.split()[:4] == ["3", "0.212", "3", "9"]
    assert "which is unbiased but noisier" in text


def test_a_naive_penalty_is_drawn_where_there_is_no_other(tmp_path):
    write(tmp_path, edit=penalties)
    html, text = page_of(tmp_path)
    assert re.search(r'aria-label="[^"]*IRM penalty, U-statistic: train from 3 to 3', html)
    assert re.search(r'aria-label="[^"]*IRM penalty, naive: ood_val from 7 to 7', html)
    assert "If runs recorded no U-statistic" in text
    shown = irm_columns({"standard": readings(tmp_path)})
    assert {"train_irm", "ood_val_irm", "train_env1_irm"} <= shown
    assert "mine_irm" not in shown
    others = html[html.index('id="other-columns"') :]
    assert "mine irm against step" in others, "the penalty of a split that no run has is somebody's own column"
    assert "IRM penalty, train against step" not in html


# -- learning rates and gradients -------------------------------------------------------------------------------------


def test_effective_rates_are_averaged_over_tensors():
    table = {"step": np.arange(3), "effective_lr/a": np.array([1.0, 3.0, np.nan]), "train_acc": np.ones(3),
             "effective_lr/b": np.array([3.0, np.nan, np.nan])}  # fmt: skip
    found = effective_rates(table)
    np.testing.assert_array_equal(found["elr_mean"], [2, 3, np.nan])
    np.testing.assert_array_equal(found["elr_low"], [1, 3, np.nan])
    np.testing.assert_array_equal(found["elr_high"], [3, 3, np.nan])
    assert effective_rates({"step": np.arange(3)}) == {}


def rates(made):
    unseen(made)
    for row in made:
        row |= {"effective_lr/conv1.weight": 1e-3, "effective_lr/conv2.weight": 3e-3, "norm_scale_invariant": 1.0}
        row |= {"grad_norm_total": 1.0, "grad_norm_head": 0.5, "grad_norm_scale_invariant": 0.8}


def test_the_effective_rate_is_drawn_with_its_range_over_tensors(tmp_path):
    for seed in range(2):
        write(tmp_path, seed, edit=rates)
    members = readings(tmp_path)
    (d,) = [d for d in panels(members[0].subject.metrics, ["ood_val"]) if d.column == "elr_mean"]
    band = group_bands(d, {"standard": members})["standard"]
    assert (band.low[-1], band.median[-1], band.high[-1]) == (1e-3, 2e-3, 3e-3)
    assert "effective learning rate against step, median per group: standard from 0.002" in page_of(tmp_path)[0]


def test_gradient_norms_by_group_stand_under_the_weights(tmp_path):
    write(tmp_path, edit=rates)
    html, text = page_of(tmp_path)
    assert "Norms of weights and gradients" in text
    assert re.search(r"gradient norm, L2 by parameter group: all from 1 to 1; scale-inv. from 0.8 to 0.8", html)
    moved = html[html.index('id="diagnostics"') : html.index('id="runs"')]
    assert "gradient norm" not in moved
    assert gradient_columns({"a": readings(tmp_path)}) == {
        f"grad_norm_{g}" for g in ("total", "head", "scale_invariant")
    }
    elsewhere = panels(["grad_norm_head", "grad_norm_total"], [])
    assert [d.title for d in elsewhere] == ["gradient norm, L2", "gradient norm, head"]


# -- images -----------------------------------------------------------------------------------------------------------


def test_the_sheet_that_training_left_comes_first(tmp_path):
    folder = write(tmp_path, facts={"meta": IMAGES})
    (folder / "figures").mkdir()
    (folder / "figures" / "contact.png").write_bytes(PNG + b"other")
    (folder / "results" / "contact.png").write_bytes(PNG)
    html, text = page_of(tmp_path)
    assert f'src="data:image/png;base64,{base64.b64encode(PNG).decode()}"' in html
    assert "grokscope data sheet" not in text


@pytest.mark.parametrize(("task", "shown"), [({"path": "my patches.csv"}, "'my patches.csv'"), ({}, "FOLDER-OR")])
def test_without_a_sheet_the_page_says_how_to_make_one(tmp_path, task, shown):
    folder = write(tmp_path, facts={"meta": IMAGES}, task="table")
    record = json.loads((folder / "config.json").read_text())
    record["config"]["task"] |= task
    (folder / "config.json").write_text(json.dumps(record))
    (words,) = contact_sheet.contact_blocks([r.subject for r in readings(tmp_path)])
    assert f"grokscope data sheet {shown}" in words.text


def test_runs_that_are_not_on_images_need_no_sheet(tmp_path):
    write(tmp_path)
    assert contact_sheet.contact_blocks([r.subject for r in readings(tmp_path)]) == []


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"prevalence": {"0": 0.05, "1": 0.95}, "environments": {"0": "Oslo", "1": "Utrecht"}},
         "Share of tumor by environment, as defined by the task: Oslo: 5.0 %, Utrecht: 95.0 %."),
        ({"prevalence": {"17": 0.125}, "groups": {"17": "slide 17"}},
         "Share of tumor by group, as defined by the task: slide 17: 12.5 %."),
        ({}, ""),
    ],
)  # fmt: skip
def test_prevalence_is_told_where_it_is_known(tmp_path, meta, words):
    write(tmp_path, facts={"meta": {**IMAGES, **meta}})
    found = contact_sheet.contact_blocks([r.subject for r in readings(tmp_path)])
    assert [b.text for b in found if "Share of" in b.text] == ([words] if words else [])


# -- ranks ------------------------------------------------------------------------------------------------------------


def sized(n):
    splits = {"train": {"n": n, "trivial_acc": 0.5}, "id_val": {"n": 100, "trivial_acc": 0.5}}
    return {"splits": splits | {s: {"n": 400, "trivial_acc": 0.5} for s in ("ood_val", "ood_test")}}


def test_ranks_of_unequal_n_are_warned_of(tmp_path):
    for regime, n, decay in (("small", 100, 0.1), ("large", 800, 0.2)):
        write(tmp_path, regime=regime, facts=sized(n), weight_decay=decay)
    _, text = page_of(tmp_path)
    assert "Compare ranks only at equal n" in text
    assert "small (n = 100)" in text
    assert "large (n = 512)" in text, "no more rows than the spectra use"
    assert "rows: 512, 100 (see the key)" in text


def test_ranks_of_equal_n_are_not(tmp_path):
    for regime, n, decay in (("small", 600, 0.1), ("large", 800, 0.2)):
        write(tmp_path, regime=regime, facts=sized(n), weight_decay=decay)
    _, text = page_of(tmp_path)
    assert "Compare ranks only at equal n" not in text
    assert "rows: 512" in text
    assert rank_rows(readings(tmp_path)) == "512"


def test_the_rows_of_a_spectrum_are_those_that_training_takes():
    from grokscope.train.evaluate import RANK_ROWS as TAKEN

    assert RANK_ROWS == TAKEN
