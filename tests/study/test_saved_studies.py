"""A study kept as text says what its runs said: judged again from its rows, and noticed where it was changed."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grokscope.results.dissection import FOLDER
from grokscope.results.saved import MANIFEST, OUTCOME, ROWS, SavedOutcome
from grokscope.study import Study
from grokscope.study.dissected import SAVED
from grokscope.study.saved import read_saved, save_study, saved_results
from grokscope.study.saved.digests import digest
from grokscope.study.saved.outcome import outcome_of
from grokscope.study.saved.rows import Kept, read_rows, rows_text
from grokscope.study.saved.write import first_difference
from planted_rows import plant
from tiny import TINY

STEPS = 4000
T_GEN = {(0.5, 0): 1200, (0.5, 1): 1300, (0.5, 2): 1240, (0.1, 0): 3000, (0.1, 1): 3100, (0.1, 2): math.inf}


def study(**more):
    return Study.from_dict(
        {
            **TINY, "name": "planted", "schema": 2, "budget": {"steps": STEPS}, "evaluate": {"every": 20, "at": [0]},
            "axes": {"regime.weight_decay": [0.5, 0.1]}, "seeds": [0, 1, 2],
            "expect": [
                {"where": {"regime.weight_decay": 0.5}, "verdict": "grokked", "T_gen": [1000, 1500]},
                {"where": {"regime.weight_decay": 0.1}, "censored": "T_gen"},
                {"measure": "norm_total", "statistic": "growth after fit", "between": [0, 1],
                 "where": {"regime.weight_decay": 0.5}},
                {"ratio": "T_gen", "of": {"regime.weight_decay": 0.1}, "to": {"regime.weight_decay": 0.5},
                 "between": [1, 9]},
            ],
            "hypothesis": [{"name": "sooner", "quantity": "T_gen", "of": {"regime.weight_decay": 0.5},
                            "to": {"regime.weight_decay": 0.1}, "direction": "earlier"}],
            **more,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The runs of the study, with held-out at its threshold from a known step on, and noise that is no round number."""
    return plant(study(), tmp_path_factory.mktemp("planted") / "runs", T_GEN)


@pytest.fixture(scope="module")
def kept(root, tmp_path_factory):
    """The study, saved."""
    return save_study(study(), root, tmp_path_factory.mktemp("results"))


@pytest.fixture
def folder(kept, tmp_path):
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(kept, tmp_path / "results" / kept.name))


def test_what_is_saved_gives_the_same_outcome_from_fewer_rows(root, tmp_path):
    made = study(hypothesis=[])
    before = outcome_of(made, root)
    saved = read_saved(save_study(made, root, tmp_path))
    assert [e.word for e in before.expectations] == ["held", "refuted", "held", "held"]
    with saved.unpacked(made) as again:
        assert first_difference(before, outcome_of(made, again)) is None
    rows = read_rows(saved.folder / ROWS)
    assert sum(r.kept for r in saved.manifest.runs) < 0.6 * sum(r.evaluations for r in saved.manifest.runs)
    assert [r.kept for r in saved.manifest.runs] == [len(rows[i]["step"]) for i in range(6)]
    for index, run in enumerate(saved.manifest.runs):  # the rows around T_gen are those of the run
        at = T_GEN[made.entries[index].config.regime.weight_decay, run.seed]
        assert math.isinf(at) or {at - 20, at} <= set(rows[index]["step"].tolist())


def test_rows_are_not_thinned_where_a_test_over_seeds_would_change_by_it(root, kept):
    """Runs thinned each in its own way stand on different grids, and a test of milestones needs one for all."""
    saved = read_saved(kept)
    assert all(r.kept == r.evaluations == 201 for r in saved.manifest.runs)
    with saved.unpacked(study()) as again:
        assert first_difference(outcome_of(study(), root), outcome_of(study(), again)) is None


def test_a_saved_study_tells_machine_and_versions_but_no_host(root, kept):
    text = "".join(path.read_text() for path in kept.iterdir())
    assert "secret" not in text
    assert str(root) not in text
    manifest = read_saved(kept).manifest
    assert manifest.machines == ({"python": "3.11", "packages": {"torch": "2"}, "threads": 1},)
    assert {r.ended for r in manifest.runs} == {"2001-09-09"}
    assert saved_results(kept.parent) == [kept]


def test_saving_twice_writes_the_same_rows_and_outcome(root, kept, tmp_path):
    second = save_study(study(), root, tmp_path)
    assert [(kept / n).read_bytes() for n in (ROWS, OUTCOME)] == [(second / n).read_bytes() for n in (ROWS, OUTCOME)]


def test_runs_that_are_missing_and_unfinished_stay_in_the_manifest(tmp_path):
    root = plant(study().only(seeds=[0, 1]), tmp_path / "runs", T_GEN, unfinished={(0.1, 1)})
    saved = read_saved(save_study(study(), root, tmp_path / "results"))
    assert [r.state for r in saved.manifest.runs] == ["done", "done", "new", "done", "partial", "new"]
    with saved.unpacked(study()) as again:
        assert [s.state for s in study().status(again)] == ["done", "done", "new", "done", "partial", "new"]
        assert [row.word for row in study().check(again)] == ["open"] * 4


@pytest.mark.parametrize("name", [ROWS, OUTCOME])
def test_a_file_that_was_changed_or_cut_short_is_noticed(folder, name):
    (folder / name).write_text((folder / name).read_text()[:-200])
    with pytest.raises(ValueError, match=rf"{name} changed after the study was saved.*grokscope study save planted"):
        read_saved(folder)
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"{name} changed after"):
        read_saved(folder)


def test_doctored_rows_with_doctored_digests_change_the_outcome(folder):
    lines = (folder / ROWS).read_text().splitlines()
    place = lines[0].split(",").index("id_val_correct")
    held = [",".join([*c[:place], "150", *c[place + 1 :]]) for c in (line.split(",") for line in lines[1:])]
    (folder / ROWS).write_text("\n".join([lines[0], *held]) + "\n")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["digests"][ROWS] = digest(folder / ROWS)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    saved = read_saved(folder)
    with saved.unpacked(study()) as again:
        now = outcome_of(study(), again)
    assert [e.word for e in now.expectations] == ["refuted", "held", "held", "cannot tell"]
    assert "the verdict of" in str(first_difference(saved.outcome, now))


def test_a_run_whose_settings_the_study_file_changed_is_not_taken_for_the_new_one(kept):
    saved = read_saved(kept)
    other = study(regime={**TINY["regime"], "lr": 0.02})
    with saved.unpacked(other) as again:
        assert {s.state for s in other.status(again)} == {"new"}
    assert len(saved.gone(other)) == 6
    assert saved.gone(study()) == []


def test_a_file_of_rows_says_where_it_is_damaged(tmp_path):
    kept = Kept({"step": np.array([0, 5]), "a": np.array([1.0, math.nan]), "b": np.array([0.1, 2e-9])}, {})
    path = tmp_path / "rows.csv"
    path.write_text(rows_text([None, kept]))
    assert {k: v.tolist() for k, v in read_rows(path)[1].items() if k != "a"} == {"step": [0, 5], "b": [0.1, 2e-9]}
    for damaged, message in {"1,5,,zwei": "'zwei' is not a number", "1,5,": "3 cells, and 4 columns"}.items():
        path.write_text("run,step,a,b\n1,0,1,0.1\n" + damaged + "\n")
        with pytest.raises(ValueError, match=f"rows.csv, line 3: {message}"):
            read_rows(path)


def test_nothing_is_saved_of_a_study_without_runs(tmp_path):
    with pytest.raises(ValueError, match="no run of 'planted' has begun"):
        save_study(study(), tmp_path / "runs", tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_the_outcome_is_a_record_that_reads_back(root, kept):
    assert SavedOutcome.read(kept / OUTCOME).to_dict() == outcome_of(study(), root).to_dict()


def test_numbers_of_dissections_are_kept_without_their_records(tmp_path):
    made = study(hypothesis=[], seeds=[0], expect=[{"dissection": "steer.slope", "between": [0.3, 0.5]}])
    root = plant(made, tmp_path / "runs", T_GEN)
    for entry, value in zip(made.entries, (0.4, 0.6), strict=True):
        folder = root / entry.config.run_id() / FOLDER
        folder.mkdir()
        (folder / SAVED).write_text(json.dumps({"steer.slope": value}))
    saved = read_saved(save_study(made, root, tmp_path / "results"))
    assert [r.numbers for r in saved.manifest.runs] == [{"steer.slope": 0.4}, {"steer.slope": 0.6}]
    with saved.unpacked(made) as again:
        assert made.check(again)[0].seen == made.check(root)[0].seen == "1 of 2: 0.4 to 0.6"
        other = study(hypothesis=[], seeds=[0], expect=[{"dissection": "neurons.separated@64", "between": [0, 1]}])
        with pytest.raises(ValueError, match=r"neurons\.separated@64 was not saved with the study"):
            other.check(again)


def test_last_digits_of_an_effect_are_no_difference_and_others_are(root):
    """Kept rows have seven digits; an effect is a difference of nearly equal numbers, and its own last digits hang on
    theirs."""
    outcome = outcome_of(study(), root)
    (result,) = outcome.hypotheses.results
    assert result.test is not None
    for change, same in ((1 + 2e-5, True), (1.01, False)):
        moved = replace(result, test=replace(result.test, effect=result.test.effect * change))
        now = replace(outcome, hypotheses=replace(outcome.hypotheses, results=(moved,)))
        assert (first_difference(outcome, now) is None) == same


def test_how_an_interval_of_medians_is_said_is_no_difference_and_a_median_is(root):
    outcome = outcome_of(study(), root)
    said = "0.958 (medians 575 [500, open] and 600 [600, open] steps)"
    before = replace(outcome, expectations=(replace(outcome.expectations[0], seen=said),))
    for other, same in ((said.replace("[500, open]", "[?, open]"), True), (said.replace("575", "525"), False)):
        now = replace(outcome, expectations=(replace(outcome.expectations[0], seen=other),))
        assert (first_difference(before, now) is None) == same


def test_the_wording_of_a_sentence_is_no_difference_and_its_numbers_and_outcomes_are(root):
    outcome = outcome_of(study(), root)
    first = outcome.expectations[0]
    (result,) = outcome.hypotheses.results

    def with_first(**change):
        return replace(outcome, expectations=(replace(first, **change), *outcome.expectations[1:]))

    def with_result(**change):
        return replace(outcome, hypotheses=replace(outcome.hypotheses, results=(replace(result, **change),)))

    reworded = [
        with_first(expected=first.expected.replace("in [", "between ["), seen=first.seen.replace(": ", " runs: ")),
        with_result(answer="Otherwise said.", asked="the same question", notes=("in other words",)),
        replace(outcome, standing=outcome.standing.replace("planned runs finished", "runs of the plan are finished")),
    ]
    assert all(first_difference(outcome, other) is None for other in reworded)
    assert reworded[0].expectations[0] != first
    different = [
        with_first(expected=first.expected.replace("1,000", "1,001")),
        with_first(seen=first.seen.replace("3", "2", 1)),
        with_first(word="refuted"),
        with_first(where="other runs"),
        with_result(outcome="refuted"),
        with_result(standing="exploratory" if result.standing == "declared" else "declared"),
    ]
    assert all(first_difference(outcome, other) is not None for other in different)


def test_counts_of_runs_are_compared_and_not_the_words_for_them(root):
    outcome = outcome_of(study(), root)
    front, fragile = "4 of 6 planned runs finished", "; 1 of 4 verdicts fragile."
    by_arm, otherwise = " (slow (new): 1 of 3; fast: 3)", " (slow (new): 1 of 3; all runs of 1 other)"
    before = replace(outcome, standing=front + by_arm + fragile)
    assert first_difference(before, replace(outcome, standing=front + otherwise + fragile)) is None
    for other in (f"5 of 6 planned runs finished{by_arm}{fragile}", f"{front}{by_arm}; 2 of 4 verdicts fragile."):
        assert first_difference(before, replace(outcome, standing=other)) == "a hypothesis, or the count of runs"
