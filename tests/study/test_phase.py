"""Phase diagrams of studies whose runs are planted: every cell's counts, medians and marks are known beforehand."""

import json
import re
from dataclasses import replace

import pytest

from grokscope.results.phase import Phase
from grokscope.study import Study
from grokscope.study.judge import Judge
from grokscope.study.phase import found_phase, spacing_of
from grokscope.study.phase_cells import phase_of
from study.planted import STEPS, planted
from tiny import TINY, fitting

NEVER = 10**9
XY = {"x": "regime.lr", "y": "regime.weight_decay"}
LRS, DECAYS = [0.01, 0.001, 0.1], [0.5, 0.1]
"""Out of order on purpose: an axis is sorted."""


def gridded(phase=None, seeds=3, **more):
    table = {} if phase is None else {"phase": phase}
    axes = {"regime.lr": LRS, "regime.weight_decay": DECAYS}
    return Study.from_dict(
        {**TINY, "name": "gridded", "schema": 2, "budget": {"steps": STEPS}, "evaluate": {"every": 10, "at": [0]},
         "axes": axes, "seeds": list(range(seeds)), **table, **more}
    )  # fmt: skip


def key_of(entry):
    return entry.config.regime.lr, entry.config.regime.weight_decay, entry.config.seed


def runs_of(made, root, moment, state=None, fitted=None):
    """One run per entry: `moment` and `state` take an entry; runs that `fitted` denies never fit."""
    runs = []
    for entry in made.entries:
        key = entry.config.regime.weight_decay, entry.config.seed
        (one,) = planted(replace(made, entries=(entry,)), root, {key: moment(entry)})
        if fitted is not None and not fitted(entry):
            unfit(one)
        runs.append(replace(one, state="done" if state is None else state(entry)))
    return runs


def unfit(one):
    """The same metrics with a train accuracy that stays low."""
    path = one.run.path / "results" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    low = [{**row, "train_acc": 0.3, "train_correct": 30, "train_loss": 2.0} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in low))


def phase_from(made, runs) -> Phase:
    spec, reason = (made.phase_block, "") if made.phase_block is not None else found_phase(made.entries)
    phase = phase_of(made.name, spec, reason, runs, Judge(made.criteria, neighbors=False))
    assert Phase.from_dict(json.loads(json.dumps(phase.to_dict()))) == phase  # as it lies beside the page
    return phase


def diagram_from(made, runs):
    diagram = phase_from(made, runs).diagram
    assert diagram is not None
    for cell in diagram.cells:
        assert cell.planned == cell.judged + cell.unjudged + cell.failed + cell.waiting
        assert sum(cell.verdicts.values()) == cell.judged
    return diagram


# -- cells ------------------------------------------------------------------------------------------------------------


def test_two_settings_that_vary_span_a_diagram_without_being_named(tmp_path):
    """Held-out reaches its threshold at 400, 500 and 600 of seeds 0 to 2 with decay 0.5; never with 0.1. Train is
    fitted at 50."""
    made = gridded()
    runs = runs_of(made, tmp_path, lambda e: 400 + 100 * key_of(e)[2] if key_of(e)[1] == 0.5 else NEVER)
    diagram = diagram_from(made, runs)
    assert diagram.automatic
    assert (diagram.x.key, diagram.x.labels, diagram.x.spacing) == ("regime.lr", ("0.001", "0.01", "0.1"), "log")
    assert (diagram.y.key, diagram.y.labels) == ("regime.weight_decay", ("0.1", "0.5"))
    reached, never = diagram.cell("0.01", "0.5"), diagram.cell("0.01", "0.1")
    assert (reached.planned, reached.judged, reached.majority, reached.mixed) == (3, 3, "grokked", False)
    assert reached.delay is not None
    assert (reached.delay.median, reached.delay.low, reached.delay.high) == (450, 350, 550)
    assert (reached.delay.reached, reached.delay.high_open, reached.delay.censored) == (3, False, False)
    assert reached.T_gen is not None
    assert reached.T_gen.median == 500
    assert reached.best is not None
    assert (reached.best.median, reached.best.low, reached.best.runs) == (0.99, 0.99, 3)
    assert never.majority == "memorized"
    assert never.delay is not None
    assert (never.delay.median, never.delay.at_least, never.delay.censored) == (None, STEPS - 50, True)
    assert never.end is not None
    assert never.end.median == pytest.approx(0.15)
    assert not any(cell.lacks_runs for cell in diagram.cells)
    assert diagram.notes == ()


def test_equal_cells_look_equal(tmp_path):
    """Null data: nothing depends on the settings, and no cell says otherwise."""
    made = gridded()
    diagram = diagram_from(made, runs_of(made, tmp_path, lambda e: 300))
    assert len({(c.majority, c.delay, c.T_gen, c.best, c.end, c.lacks_runs) for c in diagram.cells}) == 1


def test_mixed_failed_waiting_and_unfitted_runs_are_counted_where_they_are(tmp_path):
    made = gridded()
    state = {(0.01, 0.5, 2): "failed", (0.001, 0.5, 1): "new", (0.001, 0.5, 2): "running", (0.1, 0.5, 0): "failed"}

    def moment(e):
        lr, decay, seed = key_of(e)
        return NEVER if (lr, decay) == (0.1, 0.1) and seed == 2 else 300 + 50 * seed

    runs = runs_of(
        made, tmp_path, moment, lambda e: state.get(key_of(e), "done"),
        fitted=lambda e: key_of(e)[:2] != (0.001, 0.1) or key_of(e)[2] == 0,
    )  # fmt: skip
    diagram = diagram_from(made, runs)
    failed = diagram.cell("0.01", "0.5")
    assert (failed.judged, failed.failed, failed.waiting, failed.lacks_runs) == (2, 1, 0, True)
    assert failed.delay is not None
    assert failed.delay.median == 275  # of 250 and 300: half of the runs lie on either side
    waiting = diagram.cell("0.001", "0.5")
    assert (waiting.judged, waiting.failed, waiting.waiting, waiting.lacks_runs) == (1, 0, 2, True)
    mixed = diagram.cell("0.1", "0.1")
    assert (mixed.majority, mixed.mixed, mixed.share("grokked")) == ("grokked", True, pytest.approx(2 / 3))
    assert mixed.T_gen is not None
    assert (mixed.T_gen.median, mixed.T_gen.reached, mixed.T_gen.high, mixed.T_gen.high_open) == (350, 2, STEPS, True)
    unfitted = diagram.cell("0.001", "0.1")
    assert (unfitted.unfitted, unfitted.verdicts) == (2, {"underfit": 2, "grokked": 1})
    assert unfitted.delay is not None
    assert (unfitted.delay.runs, unfitted.delay.median) == (1, 250)  # only of the run that has one
    assert any("2 runs failed" in note for note in diagram.notes)
    assert any("3 cells of 6 have fewer judged runs than planned" in note for note in diagram.notes)


def test_two_classes_alike_have_no_majority(tmp_path):
    made = gridded(seeds=2)
    diagram = diagram_from(made, runs_of(made, tmp_path, lambda e: 300 if key_of(e)[2] else NEVER))
    cell = diagram.cell("0.01", "0.5")
    assert (cell.majority, cell.mixed, cell.verdicts) == (None, True, {"memorized": 1, "grokked": 1})
    assert cell.T_gen is not None
    assert cell.T_gen.censored  # one of two reached it: the median lies anywhere after
    assert cell.T_gen.at_least == (300 + STEPS) / 2


def test_a_damaged_run_is_counted_and_costs_the_others_nothing(tmp_path):
    made = gridded()
    runs = runs_of(made, tmp_path, lambda e: 300)
    (runs[0].run.path / "results" / "metrics.jsonl").write_text("{no json\n{}\n")
    place = key_of(runs[0].entry)
    cell = diagram_from(made, runs).cell(f"{place[0]:g}", f"{place[1]:g}")
    assert (cell.judged, cell.failed, cell.majority) == (2, 1, "grokked")


def test_a_run_without_any_evaluation_is_counted_as_one_that_says_nothing(tmp_path):
    made = gridded(seeds=1)
    runs = runs_of(made, tmp_path, lambda e: 300)
    (runs[0].run.path / "results" / "metrics.jsonl").write_text("")
    place = key_of(runs[0].entry)
    cell = diagram_from(made, runs).cell(f"{place[0]:g}", f"{place[1]:g}")
    assert (cell.planned, cell.judged, cell.failed) == (1, 0, 1)


def test_a_run_that_diverged_never_gets_there(tmp_path):
    """Broken off at 200 of 1,000 steps, it counts as not generalized by 1,000, and not as one that left the study."""
    made = gridded()
    runs = []
    for entry in made.entries:
        key = entry.config.regime.weight_decay, entry.config.seed
        end = 200 if entry.config.seed < 2 else STEPS
        (one,) = planted(replace(made, entries=(entry,)), tmp_path, {key: 400}, end=end)
        runs.append(replace(one, state="diverged" if end == 200 else "done"))
    cell = diagram_from(made, runs).cell("0.01", "0.5")
    assert cell.T_gen is not None
    assert (cell.T_gen.median, cell.T_gen.at_least, cell.T_gen.reached) == (None, STEPS, 1)


def test_combinations_that_the_study_has_not_are_there_and_empty(tmp_path):
    arms = [
        {"name": "a", "regime.lr": 0.01, "regime.weight_decay": 0.1},
        {"name": "b", "regime.lr": 0.1, "regime.weight_decay": 0.1},
        {"name": "c", "regime.lr": 0.01, "regime.weight_decay": 0.5},
    ]
    made = Study.from_dict({**TINY, "name": "arms", "schema": 2, "budget": {"steps": STEPS}, "arm": arms})
    diagram = diagram_from(made, runs_of(made, tmp_path, lambda e: 300))
    assert [c.planned for c in diagram.cells] == [1, 1, 1, 0]
    assert (diagram.cells[3].judged, diagram.cells[3].lacks_runs, diagram.cells[3].T_gen) == (0, False, None)
    assert "1 combination of settings is not part of the study" in diagram.notes[0]


def test_a_third_setting_makes_panels_and_a_column_a_further_map(tmp_path):
    axes = {"regime.lr": [0.01, 0.1], "regime.weight_decay": [0.1, 0.5], "model.activation": ["relu", "tanh"]}
    block = {"x": "regime.weight_decay", "y": "regime.lr", "panels": "model.activation", "value": "norm_total",
             "time": "T_gen", "fewest": 3, "split": "id_val"}  # fmt: skip
    made = Study.from_dict(
        {**TINY, "name": "p", "schema": 2, "budget": {"steps": STEPS}, "axes": axes, "seeds": [0, 1], "phase": block}
    )
    diagram = diagram_from(made, runs_of(made, tmp_path, lambda e: 300))
    assert diagram.panels is not None
    assert (diagram.panels.labels, diagram.panels.numbers, diagram.panels.spacing) == (
        ("relu", "tanh"), None, "categories"
    )  # fmt: skip
    assert len(diagram.cells) == 8
    cell = diagram.cell("0.1", "0.01", "tanh")
    assert cell.value is not None
    assert (cell.value.median, cell.value.runs) == (1.0, 2)
    assert cell.lacks_runs  # 2 of 3 that the block asks for
    assert (diagram.value, diagram.time, diagram.split) == ("end of norm_total", "T_gen", "id_val")


def test_a_run_without_the_column_costs_its_cell_one_number_and_a_wrong_name_is_refused(tmp_path):
    made = gridded(phase={"x": "regime.weight_decay", "y": "regime.lr", "value": "norm_total"}, seeds=2)
    runs = runs_of(made, tmp_path, lambda e: 300)
    metrics = runs[0].run.path / "results" / "metrics.jsonl"
    metrics.write_text(re.sub(r', "norm_total": [0-9.]+', "", metrics.read_text()))
    diagram = diagram_from(made, runs)
    counts = sorted(cell.value.runs for cell in diagram.cells)
    assert counts == [1, *[2] * (len(diagram.cells) - 1)]
    assert sum(cell.judged for cell in diagram.cells) == len(runs)
    assert any("1 run without this number" in note and runs[0].run.id in note for note in diagram.notes)
    wrong = gridded(phase={"x": "regime.weight_decay", "y": "regime.lr", "value": "norm_totl"}, seeds=2)
    with pytest.raises(ValueError, match="no column 'norm_totl'"):
        diagram_from(wrong, runs_of(wrong, tmp_path / "wrong", lambda e: 300))


def test_runs_of_other_settings_are_chosen_away_and_not_pooled(tmp_path):
    axes = {"regime.lr": [0.01, 0.1], "regime.weight_decay": [0.1, 0.5], "model.activation": ["relu", "tanh"]}
    raw = {**TINY, "name": "p", "schema": 2, "budget": {"steps": STEPS}, "axes": axes}
    block = {"x": "regime.lr", "y": "regime.weight_decay"}
    with pytest.raises(ValueError, match=re.escape("differ by model.activation too; make it panels")):
        Study.from_dict({**raw, "phase": block})
    made = Study.from_dict({**raw, "phase": {**block, "where": {"model.activation": "tanh"}}})
    diagram = diagram_from(made, runs_of(made, tmp_path, lambda e: 300))
    assert [cell.planned for cell in diagram.cells] == [1, 1, 1, 1]


def test_a_narrowed_study_shows_its_part(tmp_path):
    made = gridded({"x": "regime.lr", "y": "regime.weight_decay"}).only(seeds=[0, 1])
    diagram = diagram_from(made, runs_of(made, tmp_path, lambda e: 300))
    assert {cell.planned for cell in diagram.cells} == {2}


# -- what varies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"axes": {"regime.lr": [0.1, 0.2]}}, "1 setting varies (regime.lr)"),
        ({"axes": {"regime.lr": [0.1, 0.2], "regime.weight_decay": [0, 1], "task.p": [5, 7]}}, "3 settings vary"),
        ({"arm": [{"regime.lr": 0.1, "regime.weight_decay": 1.0}, {"regime.lr": 0.2, "regime.weight_decay": 2.0}]},
         "regime.lr and regime.weight_decay vary together"),
        ({}, "0 settings vary;"),
    ],
)  # fmt: skip
def test_without_exactly_two_settings_there_is_no_diagram_and_the_reason_is_said(more, reason):
    spec, said = found_phase(Study.from_dict({**TINY, "schema": 2, "seeds": [0, 1], **more}).entries)
    assert spec is None
    assert reason in said


def test_parameters_of_a_component_that_varies_and_budgets_are_no_axes():
    arms = [
        {"name": "a", "regime.optimizer": "sgd", "budget.steps": 40},
        {"name": "b", "regime.optimizer": {"name": "adamw", "betas": [0.9, 0.98]}},
    ]
    made = Study.from_dict({**TINY, "schema": 2, "axes": {"regime.lr": [0.1, 0.2]}, "arm": arms})
    spec, _ = found_phase(made.entries)
    assert spec is not None
    assert {spec.x, spec.y} == {"regime.lr", "regime.optimizer"}


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"x": "regime.lr"}, "$.phase.y: missing; a phase diagram has two axes"),
        ({**XY, "x": "regime.lrr"}, "$.phase.x: unknown key 'regime.lrr'; did you mean 'regime.lr'"),
        ({**XY, "y": "regime.clip_norm"}, "$.phase.y: regime.clip_norm has one value in all these runs"),
        ({"x": "regime.lr", "y": "regime.lr"}, "must be different settings"),
        ({"x": "seed", "y": "regime.lr"}, "$.phase.x: unknown key 'seed'"),
        ({**XY, "time": "T_fit"}, "$.phase.time: expected delay and T_gen"),
        ({**XY, "split": "val"}, "$.phase.split: expected"),
        ({**XY, "fewest": -1}, "$.phase.fewest: expected a whole number"),
        ({**XY, "value": 3}, "$.phase.value: expected a column"),
        ({**XY, "panel": "task.p"}, "$.phase.panel: unknown key; did you mean 'panels'"),
        ({**XY, "where": {"regime.lr": 7}}, "no run of this study has 7"),
        ([1], "$.phase: expected a table"),
    ],
)  # fmt: skip
def test_faults_of_a_block_are_named(block, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        gridded(block)


@pytest.mark.parametrize(
    ("numbers", "spacing"),
    [
        ((0.001, 0.01, 0.1), "log"), ((1, 4, 10, 30, 100), "log"), ((0, 0.1, 1, 10), "log"), ((1, 2, 3), "linear"),
        ((0.2, 0.25, 0.3, 0.4, 0.6), "uneven"), ((1, 2, 3, 5), "uneven"), ((-1, 0, 5), "uneven"), ((1, 10), "log"),
        ((1, 2), "linear"), ((0, 10), "linear"), ((5,), "linear"),
    ],
)  # fmt: skip
def test_spacing_is_said_as_it_is(numbers, spacing):
    assert spacing_of(numbers) == spacing


def test_values_that_look_alike_in_six_digits_have_cells_of_their_own():
    made = Study.from_dict(
        {**TINY, "schema": 2, "axes": {"regime.lr": [0.10000001, 0.1], "regime.weight_decay": [0.1, 0.5]}}
    )
    spec, _ = found_phase(made.entries)
    assert spec is not None
    assert len({spec.place(e) for e in made.entries}) == 4


# -- the Pareto set, and what is written ------------------------------------------------------------------------------


def test_the_soonest_of_the_best_stands_in_the_pareto_set(tmp_path):
    """All that generalize are equally good, so the soonest regime alone is in the set; what never came is beaten."""
    made = gridded()
    sooner = {(0.001, 0.5): 600, (0.01, 0.5): 300, (0.1, 0.5): 400}
    phase = phase_from(made, runs_of(made, tmp_path, lambda e: sooner.get(key_of(e)[:2], NEVER)))
    assert phase.pareto is not None
    (first,) = phase.pareto.front()
    assert (first.name, first.at, first.best, first.runs) == ("lr=0.01 weight_decay=0.5", 300, 0.99, 3)
    assert {p.standing for p in phase.pareto.groups if p.name != first.name} == {"dominated"}
    assert len(phase.pareto.front("runs")) == 3  # its three seeds tie, and stand in it together
    assert all(p.censored and p.at == STEPS for p in phase.pareto.groups if "weight_decay=0.1" in p.name)


def test_nobody_generalized_or_one_regime_alone_makes_no_pareto_set(tmp_path):
    made = gridded()
    assert phase_from(made, runs_of(made, tmp_path / "a", lambda e: NEVER)).pareto is None
    alone = Study.from_dict({**TINY, "schema": 2, "budget": {"steps": STEPS}, "seeds": [0, 1]})
    assert phase_from(alone, runs_of(alone, tmp_path / "b", lambda e: 300)).pareto is None


def test_scores_on_different_tasks_make_no_pareto_set(tmp_path):
    arms = [{"name": "addition"}, {"name": "parity", **fitting("task", "parity")}]
    made = Study.from_dict({**TINY, "schema": 2, "budget": {"steps": STEPS}, "seeds": [0, 1], "arm": arms})
    assert {entry.settings["task.name"] for entry in made.entries} == {"modular", "parity"}
    assert phase_from(made, runs_of(made, tmp_path, lambda e: 300)).pareto is None


def test_rows_of_the_table_reconcile_with_the_cells(tmp_path):
    made = gridded()
    phase = phase_from(made, runs_of(made, tmp_path, lambda e: 400 if key_of(e)[1] == 0.5 else NEVER))
    rows = phase.cell_rows()
    assert len(rows) == 6
    first = next(r for r in rows if (r["regime.lr"], r["regime.weight_decay"]) == ("0.01", "0.5"))
    assert (first["share grokked"], first["share memorized"], first["delay median"]) == (1.0, 0.0, 350)
    censored = next(r for r in rows if (r["regime.lr"], r["regime.weight_decay"]) == ("0.01", "0.1"))
    assert (censored["delay median"], censored["delay at_least"], censored["delay reached"]) == (None, STEPS - 50, 0)
    assert [r["kind"] for r in phase.pareto_rows()] == ["group"] * 6 + ["run"] * 18


def test_the_file_beside_the_page_is_read_back(tmp_path):
    made = gridded()
    phase = phase_from(made, runs_of(made, tmp_path, lambda e: 400))
    phase.write(tmp_path / "phase.json")
    assert Phase.read(tmp_path / "phase.json") == phase
