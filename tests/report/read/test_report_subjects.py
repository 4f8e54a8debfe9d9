"""Bringing runs and logs of any origin to one shape, and saying the whole in one sentence."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grokscope.report import build_report, subject_from_run, subject_from_trajectory
from grokscope.report.read.judged_run import read, splits_of
from grokscope.report.read.subjects import differing, flat, gather, natural
from grokscope.report.read.summary import headline, reconciliation, summarize
from grokscope.report.read.tables import robustness, verdict_rows
from grokscope.store import open_run
from grokscope.trajectory import Criteria, Trajectory, from_log
from report.pages import STUDY
from report.synthetic import GENERALIZED, GROKKED, MEMORIZED, UNGROKKED, diverge, write_run


def log(steps=200, late=150, **more) -> Trajectory:
    step = np.arange(steps)
    train = np.where(step < 20, 0.1 + 0.04 * step, 1.0)
    held = np.where(step < late, 0.1, 0.99)
    columns = {"epoch": step, "train": np.minimum(train, 1.0), "val": held}
    return from_log(columns, step="epoch", train="train", held_out="val", **more)


def made(tmp_path: Path, *specs) -> list:
    runs = [open_run(write_run(tmp_path, group, seed, shape, **more)) for group, seed, shape, more in specs]
    subjects = gather(runs)
    return read(subjects, "id_val", Criteria(), neighbors=False)


def test_one_name_for_several_configurations_is_split(tmp_path):
    for seed in range(2):
        write_run(tmp_path / "x", "custom", seed, GROKKED, weight_decay=0.1)
        write_run(tmp_path / "y", "custom", seed, GROKKED, weight_decay=0.5)
    subjects = gather([open_run(p) for p in sorted(tmp_path.glob("*/*"))])
    assert [s.group for s in subjects] == ["custom · weight_decay 0.1"] * 2 + ["custom · weight_decay 0.5"] * 2
    assert len({s.name for s in subjects}) == 4, "folders of one name in two places stay apart"


def branch(root: Path, seed: int, start, **more):
    """A run folder that started from another run's weights, or not."""
    folder = write_run(root, "r", seed, GROKKED, **more)
    record = json.loads((folder / "config.json").read_text())
    record["config"]["start"] = start
    (folder / "config.json").write_text(json.dumps(record))
    return open_run(folder)


def test_branches_are_named_by_their_step_and_seeds_stay_together(tmp_path):
    runs = [branch(tmp_path / "a", seed, None) for seed in range(2)]
    for step in (160, 1600):
        for seed in range(2):
            start = {"run": f"digits_r_n200_s{seed}-0000000{seed}", "step": step, "digest": f"{seed}{step}"}
            runs.append(branch(tmp_path / str(step), seed, start, lr=0.5))
    assert [s.group for s in gather(runs)] == [
        *["r · lr 0.001"] * 2,
        *["r · lr 0.5, branched at step 160"] * 2,
        *["r · lr 0.5, branched at step 1,600"] * 2,
    ]
    html = build_report(runs, tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    table = html.split('aria-label="Differences between groups"')[1].split("</table>")[0]
    assert "start.step" in table
    assert "start.digest" not in table, "that of one seed"
    assert "<dt>start.digest</dt><dd>0160 " in html, "which each run's details tell"


def test_branches_of_other_parents_are_other_groups(tmp_path):
    starts = [{"run": f"digits_{p}_n200_s0-00000000", "step": 160, "digest": p} for p in "xy"]
    runs = [branch(tmp_path / s["digest"], i, s) for i, s in enumerate(starts)]
    found = [s.group for s in gather(runs)]
    assert found == ["r · branched from digits_x_n200", "r · branched from digits_y_n200"]
    assert [s.group for s in gather(runs[:1])] == ["r"], "nothing to tell apart"


def test_a_setting_without_a_value_is_none_and_not_null(tmp_path):
    runs = [subject_from_run(open_run(write_run(tmp_path / str(c), "r", 0, GROKKED, clip=c))) for c in (None, 1.0)]
    assert [s.group for s in gather(runs)] == ["r · clip none", "r · clip 1.0"]


def test_seed_hardware_and_budget_do_not_split_a_group(tmp_path):
    a = subject_from_run(open_run(write_run(tmp_path / "a", "r", 0, GROKKED, last=20000)))
    b = subject_from_run(open_run(write_run(tmp_path / "b", "r", 1, GROKKED, last=10000)))
    assert {s.group for s in gather([a, b])} == {"r"}


def test_order_is_by_group_as_met_then_seed(tmp_path):
    specs = [("z", 2), ("a", 1), ("z", 0), ("a", 10), ("a", 9)]
    runs = [open_run(write_run(tmp_path, g, s, MEMORIZED)) for g, s in specs]
    assert [(s.group, s.seed) for s in gather(runs)] == [("z", 0), ("z", 2), ("a", 1), ("a", 9), ("a", 10)]


def test_a_folders_groups_are_sorted_by_the_numbers_in_their_names(tmp_path):
    names = ["n_train=120", "n_train=40", "lr 0.001", "n_train=80", "lr 1e-4", "at 1,600", "at 160"]
    runs = [open_run(write_run(tmp_path, name, 0, MEMORIZED, init_scale=float(i))) for i, name in enumerate(names)]
    found = [s.group for s in gather(runs, by_name=True)]
    assert found == ["at 160", "at 1,600", "lr 1e-4", "lr 0.001", "n_train=40", "n_train=80", "n_train=120"]
    assert [s.group for s in gather(runs)] == names
    html = build_report(runs, tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    places = [html.index(f'<div class="name">n_train={n}<') for n in (40, 80, 120)]
    assert places == sorted(places)
    html = build_report(runs, tmp_path / "s.html", study=STUDY | {"expect": []}, formats=()).read_text(encoding="utf-8")
    assert html.index('<div class="name">n_train=120<') < html.index('<div class="name">n_train=40<')


def test_names_that_begin_with_a_number_or_are_one_sort_beside_words():
    assert sorted(["b", "10", "9 a", "a", ""], key=natural) == ["", "9 a", "10", "a", "b"]


def test_flat_and_differing():
    assert flat({"a": {"b": 1, "c": [1, 2]}, "d": None}) == {"a.b": 1, "a.c": [1, 2], "d": None}
    assert differing([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}]) == ["b", "c"]
    assert differing([{"a": 1}]) == []
    assert differing([]) == []


def test_the_split_that_speaks(tmp_path):
    step = np.arange(10)
    t = from_log(
        {"s": step, "t": step / 9, "a": step / 9, "b": step / 9, "c": step / 9},
        step="s", train="t", held_out={"ood_test": "a", "id_val": "b", "ood_val": "c"},
    )  # fmt: skip
    subject = subject_from_trajectory(t, "log")
    assert splits_of([subject]) == ["ood_val", "ood_test", "id_val"]
    assert splits_of([subject], "id_val")[0] == "id_val"
    assert splits_of([]) == ["held-out"]
    without = replace(t, held_out={s: v for s, v in t.held_out.items() if s != "ood_val"})
    assert splits_of([subject_from_trajectory(without, "log")])[0] == "ood_test", "an unseen environment, if only one"


def test_a_foreign_log_becomes_a_page(tmp_path):
    subjects = [subject_from_trajectory(log(late=150 + 9 * k), "mine.csv", "mine", k, unit="epoch") for k in range(2)]
    out = build_report(subjects, tmp_path / "r.html", formats=())
    text = out.read_text()
    assert "All 2 runs grokked." in text
    assert "epoch (log scale; 0 = untrained)" in text
    assert "grokscope train" not in text
    assert "the trivial predictor&#39;s accuracy was not given" in text


def test_one_run_is_answered_with_its_reason(tmp_path):
    out = build_report([subject_from_trajectory(log(), "a.csv")], tmp_path / "r.html", formats=())
    assert "The run grokked: train fitted at 20" in out.read_text()
    assert "Kaplan-Meier curves of" not in out.read_text(), "one run makes no survival curve"


@pytest.mark.parametrize(
    ("specs", "sentence"),
    [
        ([("a", s, MEMORIZED, {}) for s in range(2)], "None of 2 runs grokked: all memorized."),
        (
            [("a", 0, MEMORIZED, {}), ("a", 1, UNGROKKED, {"trivial": 0.5})],
            "None of 2 runs grokked: 1 memorized and 1 ungrokked.",
        ),
        ([("a", s, GROKKED, {}) for s in range(2)], "All 2 runs grokked."),
        (
            [("a", 0, None, {"state": "failed"}), ("a", 1, None, {"state": "planned"})],
            "None of 2 runs has a verdict yet: 1 failed and 1 is not started.",
        ),
        ([("a", 0, GROKKED, {"state": "running", "until": 3000})], "The run is still running: so far memorized."),
        ([("a", 0, GENERALIZED, {}), ("a", 1, GROKKED, {})], "1 of 2 runs grokked and 1 generalized."),
    ],
)
def test_headlines(tmp_path, specs, sentence):
    assert headline(summarize(made(tmp_path, *specs))) == sentence


def test_every_run_is_in_exactly_one_place(tmp_path):
    found = made(
        tmp_path,
        ("a", 0, GROKKED, {}),
        ("a", 1, GROKKED, {"state": "running", "until": 3000}),
        ("a", 2, None, {"state": "diverged"}),
        ("a", 3, GROKKED, {"state": "interrupted", "until": 300}),
        ("a", 4, UNGROKKED, {"state": "diverged", "edit": diverge}),
    )
    s = summarize(found)
    assert {k: len(v) for k, v in s.outcomes.items()} == {"grokked": 1, "diverged": 2}
    assert {k: len(v) for k, v in s.open.items()} == {"interrupted": 1, "running": 1}
    assert s.judged + sum(map(len, s.open.values())) == s.total == 5
    assert reconciliation(s) == "5 runs launched = 1 finished + 2 diverged + 1 interrupted + 1 still running"


def test_censored_times_are_bounds_never_values(tmp_path):
    found = made(tmp_path, ("a", 0, MEMORIZED, {}), ("b", 0, GROKKED, {}))
    memorized, grokked = verdict_rows(found, {r.subject.name: "x" for r in found})
    assert memorized.gen.main == "▷ 20,000"
    assert memorized.delay.main.startswith("> ")
    assert grokked.gen.main == "10,000"
    assert grokked.gen.sub.startswith("(")
    assert grokked.gen.sub.endswith("10,000]")
    assert grokked.robust == "not tested"


def test_a_fragile_verdict_names_what_it_would_become(tmp_path):
    step = np.arange(200)
    held = np.where(step < 45, 0.1, 0.99)  # a ratio of 2.25 is between the criterion 2 and its neighbor 3
    t = from_log({"s": step, "t": np.minimum(0.05 * (step + 1), 1), "v": held}, step="s", train="t", held_out="v")
    (reading,) = read([subject_from_trajectory(t, "log")], "held_out", Criteria())
    word, more = robustness(reading)
    assert (reading.outcome, word) == ("grokked", "fragile")
    assert "generalized if" in more
    assert "delay_ratio=3" in more


def test_a_task_that_cannot_be_judged_says_why(tmp_path):
    found = made(tmp_path, ("a", 0, GROKKED, {"threshold": 0.5, "trivial": 0.7}))
    assert found[0].outcome == "no verdict"
    assert "trivial predictor" in found[0].problem
    assert headline(summarize(found)) == "The run has no verdict."


def test_a_run_without_the_split_is_kept(tmp_path):
    run = open_run(write_run(tmp_path, "a", 0, GROKKED))
    (reading,) = read([subject_from_run(run)], "ood_val", Criteria())
    assert reading.verdict is None
    assert "has no split ood_val; it has id_val" in reading.problem


def test_many_groups_get_a_map_and_every_run_of_many_a_row_and_a_fold(tmp_path):
    subjects = [subject_from_trajectory(log(40, 25), f"l{g}-{s}", f"arm {g}", s) for g in range(13) for s in range(5)]
    text = build_report(subjects, tmp_path / "r.html", formats=()).read_text()
    assert "13 groups: the map shows" in text
    assert 'href="data:image/png' in text
    for front in ('<tr id="run-', '<details id="run-', 'class="spark '):
        assert text.count(front) == 65
