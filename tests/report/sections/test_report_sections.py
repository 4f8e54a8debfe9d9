"""Sections that only some reports have: what they hold, against the files that they were made from."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from grokscope.figures.layer_map import layer_map
from grokscope.report import build_report
from grokscope.report.read.dissections import find_dissections
from grokscope.report.read.grouped_regression import Grouped, code_of
from grokscope.report.read.judged_run import read
from grokscope.report.read.shortcut import SizeCurve, heat_rows, outcomes, size_curves
from grokscope.report.read.subjects import gather
from grokscope.report.sections.norms_and_ranks import growth_after_fit
from grokscope.report.sections.training_set_size import sentence
from grokscope.results.calibration import shipped
from grokscope.results.dissection import RULES
from grokscope.results.probes import M1
from grokscope.results.settings import Settings
from grokscope.store import find_runs
from grokscope.study import Study
from grokscope.trajectory import Criteria
from report.pages import Tags
from report.synthetic import MEMORIZED, UNGROKKED, write_run
from results.samples import at_chance, dissection, probe, score

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def hospital_rows(made):
    """Two training hospitals, two unseen ones, penalties that are lower on train than anywhere else."""
    for i, row in enumerate(made):
        for split, shift in (("ood_val", 0.0), ("ood_test", -0.1)):
            score = round(row["id_val_acc"] + shift + 0.01 * (i % 3), 4)
            row |= {f"{split}_acc": score, f"{split}_loss": 1.0, f"{split}_n": 400, f"{split}_class0_acc": 0.25,
                    f"{split}_class1_acc": 0.75, f"{split}_env{1 + (split == 'ood_test')}_acc": score}  # fmt: skip
        for split, u in (("train", 1e-8), ("ood_val", 3.0)):
            for env in (0, 3) if split == "train" else (1,):
                row |= {
                    f"{split}_env{env}_irm": 2 * u,
                    f"{split}_env{env}_irm_u": u,
                    f"{split}_env{env}_irm_u_se": u / 4,
                }
            row |= {f"{split}_irm": 2 * u, f"{split}_logit_scale": 10.0}
        row |= {"train_env0_acc": 1.0, "train_env3_acc": 0.5, "epoch": row["step"] / 10}


def write_hospitals(root, regime, seed, shape=UNGROKKED, n_train=200, **more):
    folder = write_run(root, regime, seed, shape, edit=hospital_rows, task="digits", threshold=0.9, **more)
    record = json.loads((folder / "config.json").read_text())
    record["config"]["task"]["n_train"] = n_train
    for split in ("ood_val", "ood_test"):
        record["facts"]["splits"][split] = {"n": 400, "trivial_acc": 0.5}
    record["facts"]["meta"] = {"labels": ["normal", "tumor"], "environments": {"1": "Utrecht"}}
    (folder / "config.json").write_text(json.dumps(record))
    return folder


def readings_of(root, *splits):
    subjects = gather(find_runs(root))
    return {s: read(subjects, s, Criteria(), neighbors=False) for s in splits}


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    root = tmp_path_factory.mktemp("hospitals")
    for seed in range(2):
        folder = write_hospitals(root / "runs", "standard", seed)
    (folder / "figures").mkdir()
    (folder / "figures" / "contact.png").write_bytes(PNG)
    out = build_report(find_runs(root / "runs"), root / "r.html", formats=("png",))
    return root, out.read_text(encoding="utf-8")


def test_a_report_without_unseen_environments_has_none_of_these_sections(page):
    assert not {"shortcut", "dissection", "groups"} & {a.get("id") for a in page.tags.named("section")}


def test_the_oracle_is_stamped_and_its_number_is_the_peak_on_ood_test(hospitals):
    root, html = hospitals
    section = html[html.index('id="shortcut"') : html.index('id="diagnostics"')]
    assert "oracle: chosen on ood_test" in section
    for run in find_runs(root / "runs"):
        assert f"{np.nanmax(run.metrics()['ood_test_acc']):.3f}" in section
    assert (
        len(
            re.findall(
                r"optimism\u00a00\.\d{3}, p\u00a0[\d.]+</span>|selection optimism: not estimable</span>", section
            )
        )
        == 4
    )


def test_selection_reports_ood_test_where_ood_val_peaked(hospitals):
    found = outcomes(readings_of(hospitals[0] / "runs", "ood_val", "ood_test"))
    assert len(found) == 2
    for o in found:
        m = o.subject.metrics
        row = int(np.nanargmax(m["ood_val_acc"]))
        chosen = o.chosen["peak_ood_val"]
        assert chosen.values["ood_test"] == m["ood_test_acc"][row]
        assert not chosen.oracle
        assert o.chosen["oracle"].oracle
        assert o.epoch(chosen.step) == m["epoch"][row]


def test_heat_shows_each_hospital_by_class_where_the_log_knows_it(tmp_path):
    def edit(made):
        hospital_rows(made)
        for row in made:
            row |= {"train_env3_class0_acc": 0.25, "train_env3_class1_acc": 1.0}

    write_run(tmp_path, "standard", 0, UNGROKKED, edit=edit, threshold=0.9)
    names, rows = heat_rows(readings_of(tmp_path, "ood_val")["ood_val"], ["train"])
    assert [(r.environment, {k: v[0] for k, v in r.cells.items()}) for r in rows[:2]] == [
        ("0", {"all": 1.0}), ("3", {"all": 0.5, names[0]: 0.25, names[1]: 1.0}),
    ]  # fmt: skip


def test_heat_has_classes_only_where_they_belong_to_one_environment(hospitals):
    classes, rows = heat_rows(readings_of(hospitals[0] / "runs", "ood_val")["ood_val"], ["train", "ood_val"])
    assert classes == ["normal", "tumor"]
    assert [(r.split, r.environment, sorted(r.cells)) for r in rows] == [
        ("train", "0", ["all"]), ("train", "3", ["all"]), ("train", "all of them", ["all"]),
        ("ood_val", "Utrecht", ["all", "normal", "tumor"]),
    ]  # fmt: skip
    assert rows[1].cells["all"] == (0.5, 0.5, 0.5)
    assert rows[3].cells["normal"][0] == 0.25


def test_the_penalty_stands_beside_its_warning_and_its_error(hospitals):
    html = hospitals[1]
    assert "On memorized data, the penalty is uninformative" in html
    train = html[html.index("IRM penalty at the last evaluation") :]
    row = re.sub(r"<[^>]+>", " ", train[train.index(">train</th>") :].split("</tr>")[0])
    assert row.split()[1:3] == ["1e−8", "1e−8"]  # median, and the range's lower end
    # two environments, each u / 4: the error of their mean is u / 4 / sqrt(2)
    assert f"{1e-8 / 4 / 2**0.5:.3g}".replace("e-0", "e−").replace("-", "−") in row


def test_columns_of_the_section_are_not_drawn_again(hospitals):
    diagnostics = hospitals[1][hospitals[1].index('id="diagnostics"') : hospitals[1].index('id="runs"')]
    assert "IRM" not in diagnostics
    assert "effective rank" not in diagnostics
    assert "gradient norm" in diagnostics


def test_the_contact_sheet_is_carried_inside(hospitals):
    images = Tags(hospitals[1]).named("img")
    assert len(images) == 1
    assert images[0]["src"] == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert len(images[0]["alt"] or "") > 20


def test_sections_have_files_ids_and_sentences(hospitals):
    root, html = hospitals
    made = {f.name for f in (root / "r_figures").iterdir()}
    assert {"shortcut_norms.png", "shortcut_irm.png", "shortcut_rank.png"} <= made
    tags = Tags(html)
    ids = [a["id"] for _, a in tags.found if "id" in a]
    assert len(ids) == len(set(ids))
    assert all(re.search(r"\d", f["aria-label"]) for f in tags.named("figure") if f.get("role") == "img")
    assert any(a.get("href") == "#shortcut" for a in tags.named("a"))


def test_growth_after_fit_is_a_ratio_of_logged_norms(hospitals):
    reading = readings_of(hospitals[0] / "runs", "ood_val")["ood_val"][0]
    m = reading.subject.metrics
    fitted = int(np.searchsorted(m["step"], reading.fit.at))
    assert growth_after_fit(reading, "norm_total") == pytest.approx(m["norm_total"][-1] / m["norm_total"][fitted])
    assert growth_after_fit(reading, "norm_absent") is None


def test_sizes_make_one_curve_for_each_regime(tmp_path):
    for i, n in enumerate((200, 400, 800)):
        write_hospitals(tmp_path, "standard", i, n_train=n)
        write_hospitals(tmp_path, "strong", i, MEMORIZED, n_train=n, weight_decay=1.0)
    found = size_curves(readings_of(tmp_path, "ood_val")["ood_val"])
    assert {c.name for c in found} == {"standard", "strong"}
    assert all(c.sizes == [200, 400, 800] for c in found)
    assert "no critical size up to 800" in sentence("ood_val", found[0])
    html = build_report(find_runs(tmp_path), tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    assert html.count("no critical size up to 800") == 4
    assert "On ood_test a peak is an oracle (chosen on ood_test)" in html
    assert re.search(r"Accuracy on ood_test against[^\"]*: oracle peak", html)
    assert 'Peak<span class="sub">oracle (chosen on ood_test)</span>' in html


def test_a_study_that_varies_the_size_by_an_axis_has_one_curve_for_each_arm(tmp_path):
    """The axis puts the size into the name of the regime, which must not tear the curve apart."""
    study = {
        "schema": 1, "name": "s", "seeds": [0], "task": {"name": "digits"}, "model": {"name": "mlp"},
        "budget": {"steps": 100}, "axes": {"task.n_train": [200, 400]},
        "arm": [{"name": "standard"}, {"name": "wide batch", "regime.batch_size": 64}],
    }  # fmt: skip
    for entry in Study.from_dict(study).entries:
        n = entry.config.task.n_train
        write_hospitals(tmp_path, entry.config.regime.name, 0, n_train=n, batch_size=entry.config.regime.batch_size)
    found = size_curves(readings_of(tmp_path, "ood_test")["ood_test"])
    assert [(c.name, c.sizes) for c in found] == [("standard", [200, 400]), ("wide batch", [200, 400])]


@pytest.mark.parametrize(
    ("finals", "critical"),
    [([0.5, 0.95, 0.96], 400), ([0.95, 0.5, 0.96], 800), ([0.95, 0.95, 0.5], None), ([0.91, 0.9, 0.9], 200)],
)
def test_the_critical_size_holds_from_there_on(finals, critical):
    sizes = (200, 400, 800)
    curve = SizeCurve("a", [(n, 1.0, f) for n, f in zip(sizes, finals, strict=True)], 0.9)
    assert curve.critical == critical


def write_codes(root, seed=0):
    """A regression on two groups of codes, of which (9, 4, 5) has m = n - k."""

    def edit(made):
        for i, row in enumerate(made):
            a, b = 1.0 - 0.01 * i, 3.0 - 0.02 * i
            for split in ("train", "id_val"):
                for key in ("acc", "correct"):
                    row.pop(f"{split}_{key}", None)
                row |= {f"{split}_loss": (a + b) / 2, f"{split}_r2": 1 - (a + b) / 2 / 1.5, "epoch": float(i),
                        f"{split}_group942_loss": a, f"{split}_group945_loss": b}  # fmt: skip

    folder = write_run(root, "decay", seed, MEMORIZED, task="mheight", edit=edit)
    record = json.loads((folder / "config.json").read_text())
    record["facts"] |= {"kind": "regression", "threshold": 0.5}
    for facts in record["facts"]["splits"].values():
        facts.pop("trivial_acc")
        facts |= {"trivial_loss": 1.5, "trivial_group942_loss": 0.5, "trivial_group945_loss": 2.5}
    (folder / "config.json").write_text(json.dumps(record))
    return folder


def test_codes_stand_beside_their_own_trivial_predictor(tmp_path):
    folder = write_codes(tmp_path / "runs")
    (folder / "results" / "predictions.json").write_text(
        json.dumps({"true": [0, 1, 2, 3], "predicted": [0, 1, 2, 4], "group": [942, 942, 945, 945]})
    )
    run = Grouped(readings_of(tmp_path / "runs", "id_val")["id_val"][0])
    assert run.largest_m == {945}
    assert run.without is not None
    assert run.without[1] == 0.5
    np.testing.assert_array_equal(run.without[0], run.groups[942])
    html = build_report(find_runs(tmp_path / "runs"), tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    rows = len(run.clock)
    best = ((1.0 - 0.01 * (rows - 1)) + (3.0 - 0.02 * (rows - 1))) / 2
    place = "below" if best < 1.5 else "not below"
    assert f"the best held-out loss is {best:.3g}, {place} the trivial predictor" in html
    assert "R² 0.800" in html  # one of four is off by one: 1 - 1 / 5
    assert "[9,4] m = 5" in html


def test_predictions_that_are_damaged_are_named_and_cost_the_other_runs_nothing(tmp_path):
    whole, damaged = (write_codes(tmp_path / "runs", seed) for seed in (0, 1))
    table = {"true": [0, 1, 2, 3], "predicted": [0, 1, 2, 4], "group": [942, 942, 945, 945]}
    (whole / "results" / "predictions.json").write_text(json.dumps(table))
    (damaged / "results" / "predictions.json").write_text(json.dumps(table | {"predicted": [0, 1, 2]}))
    html = build_report(find_runs(tmp_path / "runs"), tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    assert "R² 0.800" in html
    words = "true, predicted and group must be as long as each other, and not empty"
    assert re.search(rf"Damaged predictions, not shown: seed 1: [^<]*predictions.json: \$: {words}", html)


def test_groups_of_unequal_size_are_not_averaged(tmp_path):
    folder = write_codes(tmp_path)
    path = folder / "results" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(r | {"id_val_loss": 0.9 * r["id_val_loss"]}) + "\n" for r in rows))
    assert Grouped(readings_of(tmp_path, "id_val")["id_val"][0]).without is None


def test_group_ids_are_codes():
    assert [code_of(g) for g in (942, 1046, 953)] == [(9, 4, 2), (10, 4, 6), (9, 5, 3)]


def test_every_effect_of_a_dissection_stands_beside_its_control(tmp_path):
    folder = write_run(tmp_path / "runs", "standard", 0, MEMORIZED)
    dissection().write(folder / "mechinterp")
    for step in (100, 20000):
        dissection(selection=f"step:{step}").write(folder / "mechinterp" / f"step{step:08d}")
    out = build_report(find_runs(tmp_path / "runs"), tmp_path / "r.html", formats=("png",))
    html = out.read_text(encoding="utf-8")
    table = html[html.index('aria-label="Effects with their controls"') :].split("</table>")[0]
    words = re.sub(r"<[^>]+>", " ", table)
    assert "0.777" in words
    assert "chance 0.333" in words
    assert "leace: erased" in words
    assert "4.32" in words
    assert "p 0.41" in words  # the control that is hardest to beat, not the easiest
    assert "monotone (47 % of random ones are)" in words
    assert "readable and used" in words
    assert "oracle" not in html
    made = {f.name for f in (tmp_path / "r_figures").iterdir()}
    assert {f"dissection_{n}.png" for n in ("m1", "m4", "m5", "m6", "along")} <= made


@pytest.mark.parametrize("probes", [True, False])
def test_a_network_at_chance_is_said_once_and_shows_no_number_of_an_edit(tmp_path, probes):
    reason = "the network is at chance on id_val"
    at_chance(reason, probes).write(write_run(tmp_path / "runs", "standard", 0, MEMORIZED) / "mechinterp")
    out = build_report(find_runs(tmp_path / "runs"), tmp_path / "r.html", formats=("png",))
    words = re.sub(r"<[^>]+>", " ", out.read_text(encoding="utf-8"))
    assert f"Cannot tell, in 1 run: {reason}." in words
    assert f"cannot tell: {reason}" not in words
    made = {f.name for f in (tmp_path / "r_figures").glob("dissection_*")}
    assert made == ({f"dissection_m1.{suffix}" for suffix in ("png", "txt", "csv")} if probes else set())
    assert not re.search(r"\bnan\b", words, re.IGNORECASE)


def test_a_network_at_chance_is_no_curve_that_was_not_monotone(tmp_path):
    for seed, records in enumerate((dissection(), dissection(), at_chance("at chance", probes=True))):
        records.write(write_run(tmp_path / "runs", "standard", seed, MEMORIZED) / "mechinterp")
    html = build_report(find_runs(tmp_path / "runs"), tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    assert "monotone in 2 of 2" in html


def test_use_below_what_is_negligible_has_a_column_of_its_own_in_the_order_of_the_cells(tmp_path):
    records = dissection("readable and used, negligibly", settings=Settings(negligible=0.25))
    records.write(write_run(tmp_path / "runs", "standard", 0, MEMORIZED) / "mechinterp")
    html = build_report(find_runs(tmp_path / "runs"), tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    table = html[html.index('aria-label="Cells"') :].split("</table>")[0]
    heads = [re.sub(r"<[^>]+>", "", h).strip() for h in re.findall(r"<th.*?</th>", table, re.DOTALL)]
    at = heads.index("readable and used, negligibly")
    assert heads[at - 1 : at + 2] == ["readable and used", "readable and used, negligibly", "readable but unused"]
    assert "less than 25 % of the effect of the correct class" in html


def test_calibration_names_every_condition_in_which_nothing_is_used(tmp_path):
    folder = write_run(tmp_path / "runs", "standard", 0, MEMORIZED)
    dissection().write(folder / "mechinterp")
    calibration = shipped()
    one = replace(calibration.conditions["none"], seeds=40, nothing_used=True, rules=RULES)
    conditions = {
        "two hospitals, none": one,
        "wide, none": replace(one, rules=1),
        "shared direction": replace(one, nothing_used=False, rules=RULES - 1),
    }
    replace(calibration, conditions=conditions).write(folder / "mechinterp" / "calibration.json")
    html = build_report(find_runs(tmp_path / "runs"), tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    assert "nothing is used (“two hospitals, none” and “wide, none”)" in html
    assert "shared direction (40)" in html
    assert "Measured with older rules and not updated yet: “wide, none” and “shared direction”." in html


def test_layers_by_checkpoints_are_medians_of_runs_and_gaps_stay_gaps(tmp_path):
    for seed, level in ((0, 0.5), (1, 0.7), (2, 0.9)):
        folder = write_run(tmp_path / "runs", "standard", seed, MEMORIZED) / "mechinterp"
        for step in (100, 20000):
            probes = [probe(test=score()), probe(target="task", test=score())]
            if step != 100 or seed:  # what one run lacks at one step, the others have
                probes += [replace(p, site="layer1", test=score(level)) for p in probes]
                probes += [probe("layer2")]
            records = dissection(selection=f"step={step}", m1=M1(probes=tuple(probes)))
            records.write(folder / f"step{step:08d}")
    (readings,) = [list(r) for r in readings_of(tmp_path / "runs", "id_val").values()]
    found = layer_map(find_dissections(readings).along, "environment")
    assert (found.sites, found.steps, found.chance) == (["pooled", "layer1", "layer2"], [100, 20000], 0.3333)
    np.testing.assert_allclose(found.values, [[0.777, 0.777], [0.8, 0.7], [np.nan, np.nan]])
    html = build_report(find_runs(tmp_path / "runs"), tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    assert "Probes by layer and checkpoint" in html
    assert "environment: most at layer1, step 100 (0.80), chance 0.33" in html


def test_an_oracle_stays_stamped_and_other_formats_are_named(tmp_path):
    folder = write_run(tmp_path / "runs", "standard", 0, MEMORIZED)
    dissection("cannot tell", "oracle:ood_test").write(folder / "mechinterp")
    (folder / "mechinterp" / "m6.json").write_text(json.dumps({"K": [0, 4], "hospital": [0, 0.1]}))
    for part in ("m4", "m5"):
        (folder / "mechinterp" / f"{part}.json").unlink()
    found = find_dissections(readings_of(tmp_path / "runs", "id_val")["id_val"])
    assert [d.oracle for d in found.main] == [True]
    assert [f.rpartition("/")[2] for f in found.foreign] == ["m6.json"]
    html = build_report(find_runs(tmp_path / "runs"), tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    assert "Its numbers are not held out" in html
    assert "In another format and not shown: 1 file" in html
    assert "Cannot tell: too few patients." in html


def test_a_damaged_dissection_is_named_with_its_field_and_costs_the_others_nothing(tmp_path):
    for seed in (0, 1):
        folder = write_run(tmp_path / "runs", "standard", seed, MEMORIZED) / "mechinterp"
        dissection().write(folder)
    raw = json.loads((folder / "m5.json").read_text())
    raw["m5"]["slope_sizes"] = raw["m5"].pop("slope_size")
    (folder / "m5.json").write_text(json.dumps(raw))
    html = build_report(find_runs(tmp_path / "runs"), tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    words = re.sub(r"<[^>]+>", " ", html)
    assert re.search(r"Damaged and not shown: \S+/mechinterp/m5\.json: \$\.m5: unknown field", words)
    assert "0.777" in words
    assert "1.25" in words


def test_older_rules_are_named_with_the_command_even_where_nothing_else_is_dissected(tmp_path):
    folder = write_run(tmp_path / "runs", "standard", 0, MEMORIZED) / "mechinterp"
    dissection().write(folder)
    for path in folder.glob("m?.json"):
        raw = json.loads(path.read_text())
        del raw["accuracy"]
        path.write_text(json.dumps(raw | {"rules": RULES - 1}))
    html = build_report(find_runs(tmp_path / "runs"), tmp_path / "r.html", formats=()).read_text(encoding="utf-8")
    assert "Outdated: 1 dissection by older rules" in html
    assert f"grokscope dissect {folder.parent} --checkpoints final" in html


def test_sections_are_the_same_bytes_each_time(tmp_path):
    dissection().write(write_hospitals(tmp_path / "runs", "standard", 0) / "mechinterp")
    pages = [build_report(find_runs(tmp_path / "runs"), tmp_path / d / "r.html", formats=()).read_bytes() for d in "ab"]
    assert pages[0] == pages[1]
