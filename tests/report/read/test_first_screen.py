"""The first screen: asked, found, how sure, what would decide; sentences that hold for the planted runs."""

import json
import re

import pytest

from grokscope.report import build_report
from grokscope.report.read.first_screen import first_screen
from grokscope.report.read.material import collect
from grokscope.report.read.matrix import fits, matrix_of
from grokscope.report.read.run_details import group_differences, shown
from grokscope.results.factorial import DesignResult, FactorEffect, Response
from grokscope.store import find_runs
from report.synthetic import GROKKED, MEMORIZED, write_run

ASKED = {"title": None, "study": None, "expectations": None, "criteria": None, "split": None, "remake": None}


def screen(root, **changes):
    return first_screen(collect(find_runs(root), **(ASKED | changes), out=root / "r.html"))


def plant(root, grokked=0, memorized=0):
    for seed in range(grokked):
        write_run(root, "wd 0.1", seed, GROKKED)
    for seed in range(memorized):
        write_run(root, "wd 0", seed, MEMORIZED, weight_decay=0.0)


def test_without_a_study_nothing_was_asked_and_times_have_their_interval(tmp_path):
    plant(tmp_path, grokked=6)
    first = screen(tmp_path)
    assert first.asked == ["No hypotheses were preregistered; this page is descriptive."]
    assert first.findings[0] == "All 6 runs grokked."
    assert re.fullmatch(r"Median T_gen: [\d,.]+ steps \(95 %: [\d,]+ (to [\d,]+|or later)[^)]*\)\.", first.findings[1])
    assert first.decides == ["Nothing is undecided at this budget and these thresholds."]
    assert not any("single seeds can decide" in line for line in first.sure)


def test_runs_that_waited_to_the_end_need_a_longer_budget_and_their_share_has_the_exact_interval(tmp_path):
    plant(tmp_path, memorized=3)
    first = screen(tmp_path)
    # 1 - .025 ** (1 / 3) = .708: what zero of three leaves possible
    assert first.findings[1] == "The threshold was reached in 0 of 3 runs (95 % of the share: 0 % to 71 %)."
    assert "A longer budget: 3 runs had not generalized when it ended." in first.decides
    assert any("single seeds can decide" in line for line in first.sure)


def test_a_studys_claim_is_what_was_asked(tmp_path):
    plant(tmp_path, grokked=2, memorized=2)
    first = screen(tmp_path, study={"claim": "Only with decay.", "planned": 9})
    assert first.asked == ["Only with decay."]
    assert "The 5 runs that are not finished." in first.decides
    assert "For differences between groups: 6 or more seeds in each." in first.decides


def test_a_run_that_still_trains_is_what_would_decide(tmp_path):
    plant(tmp_path, grokked=1)
    write_run(tmp_path, "wd 0.1", 7, GROKKED, state="running", until=3000)
    assert "The 1 run that is not finished." in screen(tmp_path).decides


@pytest.mark.parametrize("seeds", [2, 5])
def test_below_six_seeds_no_sentence_says_significant(tmp_path, seeds):
    plant(tmp_path / "runs", grokked=seeds, memorized=seeds)
    page = build_report(find_runs(tmp_path / "runs"), tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    words = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)
    assert "significan" not in words
    assert page.index(">Question</dt>") < page.index(">Findings</dt>") < page.index("<dt>Certainty</dt>")
    assert page.index("<dt>What would resolve it</dt>") < page.index("<nav")


def readings(configs):
    from types import SimpleNamespace

    return {n: [SimpleNamespace(subject=SimpleNamespace(config=c))] for n, c in configs.items()}


def test_a_parameter_that_follows_from_its_component_has_no_column():
    held = {"name": "hold_norm", "rho": 0.85, "of": "matrices"}
    other = {"name": "hold_norm", "rho": 1.0, "of": "matrices"}
    configs = {
        "a": {"regime": {"interventions": [held]}}, "b": {"regime": {"interventions": [other]}},
        "c": {"regime": {"interventions": []}},
    }  # fmt: skip
    keys, values = group_differences(readings(configs))
    assert "regime.interventions.0" in keys
    assert "regime.interventions.0.rho" in keys
    assert "regime.interventions.0.of" not in keys
    assert values["a"]["regime.interventions.0.rho"] == "0.85"


def test_large_numbers_of_one_table_are_written_alike():
    assert [shown(v) for v in (999, 1500, 12_000)] == ["999", "1,500", "12,000"]


def effect(name, size, interval, p):
    return FactorEffect(
        name=name, aliases=(), by_seed=(), effect=size, interval=interval, level=0.96875, p=0.03125, p_adjusted=p,
        smallest_p=0.03125,
    )  # fmt: skip


def design(outcome, *effects):
    response = Response(
        response="norm", outcome=outcome, effect_name="difference of means", null=0.0, seeds=6, cells=(),
        effects=effects, notes=(),
    )  # fmt: skip
    return DesignResult(factors=(), cells=4, resolution="full", says="", responses=(response,)).to_dict()


def test_a_designed_study_says_which_factors_have_an_effect_and_which_are_not_told_from_none(tmp_path):
    plant(tmp_path, memorized=3)
    given = effect("decay", 0.2, (0.1, 0.3), 0.1875), effect("scale", 0.01, (-0.1, 0.1), 0.9)
    first = screen(tmp_path, study={"claim": "Which?", "design": design("told", *given)})
    assert first.findings[1:] == [
        "Norm, difference of means, 6 seeds in every cell: decay 0.2 (96.88 %: 0.1 to 0.3). Corrected for 2 effects, "
        "the smallest is p = 0.188. Not distinguishable from zero: scale."
    ]
    nothing = screen(tmp_path, study={"claim": "Which?", "design": design("told", given[1])})
    assert nothing.findings[1:] == [
        "Norm, difference of means, 6 seeds in every cell: no effect is distinguishable from zero."
    ]
    unfinished = screen(tmp_path, study={"claim": "Which?", "design": design("open")})
    assert unfinished.findings[1].startswith("The threshold was reached in 0 of 3 runs")


def elsewhere(rows):
    """The held-out split is another one than the page leads with."""
    for row in rows:
        for what in ("loss", "acc", "correct", "n"):
            row[f"ood_val_{what}"] = row.pop(f"id_val_{what}")


def test_a_finished_run_without_the_leading_split_is_finished_and_the_split_that_judges_it_is_named(tmp_path):
    plant(tmp_path, grokked=3)
    file = write_run(tmp_path, "unseen", 0, GROKKED, weight_decay=0.3, edit=elsewhere) / "config.json"
    whole = json.loads(file.read_text())
    whole["facts"]["splits"]["ood_val"] = whole["facts"]["splits"].pop("id_val")
    file.write_text(json.dumps(whole))
    assert not any("without a verdict" in line for line in screen(tmp_path).decides), "each group on a split it has"
    first = screen(tmp_path, split="ood_val")
    assert first.sure[0].startswith("4 of 4 runs finished")
    assert not any("not finished" in line for line in first.decides)
    assert (
        "3 finished runs without a verdict on ood_val: 3 of them have one on id_val, for a page that leads with it "
        "(--split id_val)."
    ) in first.decides


def test_several_groups_have_their_median_times_beside_their_tiles_and_not_in_a_sentence(tmp_path):
    plant(tmp_path, grokked=2, memorized=2)
    material = collect(find_runs(tmp_path), **ASKED, out=tmp_path / "r.html")
    matrix = matrix_of(material.groups(), material.anchors)
    assert matrix is not None
    by_name = {row.name: row for row in matrix.rows}
    assert by_name["wd 0"].median.startswith("> ")
    assert float(by_name["wd 0.1"].median.replace(",", "")) > 0
    assert [len(row.tiles) for row in matrix.rows] == [2, 2]
    assert by_name["wd 0"].reached == "0 of 2 reached it"
    assert matrix.unit == "steps"
    assert "too few runs" in matrix.note
    assert all(row.interval == "" for row in matrix.rows), "what all rows would say stands once beneath"
    assert not any("Median T_gen" in line for line in first_screen(material).findings)


def test_tiles_are_shown_while_they_can_be_seen():
    groups = {name: [object()] * 25 for name in ("a", "b")}
    assert not fits(groups)
    assert fits({name: members[:24] for name, members in groups.items()})
