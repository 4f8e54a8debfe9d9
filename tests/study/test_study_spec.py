"""A study file becomes runs: all of them, each once, in a stable order; every fault in it is named with its place."""

import re
from typing import Any

import pytest

from grokscope import configio
from grokscope.commands import demo
from grokscope.study import Study, shipped_studies
from grokscope.study.conditions import matches
from tiny import TINY


def study(**more: Any) -> Study:
    return Study.from_dict({**TINY, **more}, "tiny")


def test_a_study_without_arms_and_axes_is_one_run_per_seed():
    runs = study(seeds=[3, 1]).runs()
    assert [r.seed for r in runs] == [3, 1]
    assert {r.regime.name for r in runs} == {"custom"}


def test_axes_are_crossed_in_the_order_of_the_file_with_seeds_innermost():
    made = study(axes={"regime.lr": [0.1, 0.01], "regime.weight_decay": [0, 1]}, seeds=[0, 1])
    assert [(r.regime.lr, r.regime.weight_decay, r.seed) for r in made.runs()] == [
        (0.1, 0, 0), (0.1, 0, 1), (0.1, 1, 0), (0.1, 1, 1), (0.01, 0, 0), (0.01, 0, 1), (0.01, 1, 0), (0.01, 1, 1),
    ]  # fmt: skip
    assert made.runs()[2].regime.name == "lr=0.1 weight_decay=1"


def test_nested_and_quoted_axis_keys_mean_the_same():
    assert study(axes={"regime": {"lr": [0.1, 0.2]}}) == study(axes={"regime.lr": [0.1, 0.2]})


def test_arms_take_dotted_and_nested_changes_their_own_seeds_and_budget():
    made = study(
        arm=[
            {"name": "plain"},
            {"name": "wide", "model": {"hidden": [16]}, "budget.steps": 90, "seeds": [7]},
        ]
    )
    plain, wide = made.runs()
    assert (plain.regime.name, plain.budget.steps, plain.seed) == ("plain", 60, 0)
    assert (wide.regime.name, wide.budget.steps, wide.seed) == ("wide", 90, 7)
    assert wide.model.hidden == (16,)  # type: ignore[attr-defined]


def test_an_arm_that_names_another_task_leaves_the_old_ones_keys_behind():
    task, model = {"n_train": 300, "name": "parity"}, {"hidden": [4], "name": "mlp"}  # in any order
    run = study(arm=[{"name": "p", "task": task, "model": model}]).runs()[0]
    assert (run.task.name, run.task.train_size(), run.model.hidden) == ("parity", 300, (4,))  # type: ignore[attr-defined]


def test_arms_are_crossed_with_axes_and_named_after_both():
    made = study(arm=[{"name": "A"}, {"regime.lr": 0.5}], axes={"regime.weight_decay": [0, 1]})
    assert [r.regime.name for r in made.runs()] == [
        "A weight_decay=0", "A weight_decay=1", "weight_decay=0 lr=0.5", "weight_decay=1 lr=0.5",
    ]  # fmt: skip


def test_a_nameless_arm_is_not_named_after_its_budget():
    made = study(arm=[{"regime.lr": 0.5, "budget.steps": 10}])
    assert made.runs()[0].regime.name == "lr=0.5"


def test_combinations_that_mean_the_same_training_are_one_run_with_both_names():
    made = study(arm=[{"name": "base"}, {"name": "same", "regime.weight_decay": 0.1}])
    assert len(made.runs()) == 1
    assert made.only(arms=["same"]).runs() == made.only(arms=["base"]).runs() == made.runs()


def test_the_same_training_with_two_budgets_is_an_error():
    with pytest.raises(ValueError, match="same training with two budgets"):
        study(arm=[{"name": "a"}, {"name": "b", "budget.steps": 99}])


def test_what_the_file_gave_is_recorded_and_defaults_are_not():
    entry = study(axes={"regime.lr": [0.1]}).entries[0]
    assert {"task.p", "regime.lr", "seed", "budget.steps"} <= set(entry.passed)
    assert "regime.optimizer.eps" not in entry.passed


def test_hardware_is_not_part_of_the_runs_identity():
    one, two = study(), study(hardware={"threads": 2})
    assert one.runs()[0].run_id() == two.runs()[0].run_id()


def test_only_selects_by_arm_by_regime_and_by_seed():
    made = study(arm=[{"name": "A"}, {"name": "B"}], axes={"regime.lr": [0.1, 0.2]}, seeds=[0, 1])
    made = Study.from_dict(
        {
            **TINY,
            "arm": [{"name": "A"}, {"name": "B", "regime.optimizer.eps": 1e-7}],
            "axes": {"regime.lr": [0.1, 0.2]},
            "seeds": [0, 1],
        }
    )
    assert len(made.only(arms=["A"]).runs()) == 4
    assert [r.seed for r in made.only(arms=["B lr=0.2"], seeds=[1]).runs()] == [1]
    with pytest.raises(ValueError, match=re.escape("no arm 'B lr=0.3'; did you mean 'B lr=0.")):
        made.only(arms=["B lr=0.3"])
    with pytest.raises(ValueError, match="no seed 5; this study has 0, 1"):
        made.only(seeds=[5])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"taks": {}}, "$.taks: unknown key; did you mean 'task'?"),
        ({"seed": 1}, "$.seed: a study lists its seeds"),
        ({"seeds": []}, "$.seeds: expected a list of whole numbers"),
        ({"seeds": [0, 0]}, "a seed is listed twice"),
        ({"seeds": [True]}, "$.seeds: expected a list of whole numbers"),
        ({"schema": 99}, "newer than this version"),
        ({"regime": {"lrr": 1}}, "$.regime.lrr: unknown key; did you mean 'lr'?"),
        ({"axes": {"regime.lrr": [1]}}, "$.regime.lrr: unknown key; did you mean 'lr'? (in 'lrr=1')"),
        ({"axes": {"regime.lr": 1}}, "$.axes.regime.lr: expected a list"),
        ({"axes": {"regime.lr": [1, 1.0]}}, "$.axes.regime.lr: 1.0 is listed twice"),
        ({"axes": {"regim.lr": [1]}}, "$.axes.regim.lr: unknown key; did you mean 'regime'?"),
        ({"axes": {"seed": [1]}}, "list the seeds under `seeds`"),
        ({"axes": {"hardware.threads": [1, 2]}}, "hardware is study-wide"),
        ({"arm": {"name": "x"}}, "[[arm]] with double brackets"),
        ({"arm": [{"name": "x"}, {"name": "x", "regime.lr": 1}]}, "two arms are called 'x'"),
        ({"arm": [{"nam": "x"}]}, "$.arm[0].nam: unknown key; did you mean 'name'?"),
        (
            {"arm": [{"name": "x", "task": {"name": "modula"}}]},
            "unknown task 'modula'; did you mean 'modular'? (in 'x')",
        ),
        ({"arm": [{"name": "x", "regime.schedule": "cosin"}]}, "did you mean 'cosine'? (in 'x')"),
        ({"title": 3}, "$.title: expected a text"),
        ({"criteria": {"fitt": 0.5}}, "$.criteria.fitt: unknown key; did you mean 'fit'?"),
        ({"criteria": {"fit": 50}}, "criteria.fit must lie in (0, 1]"),
    ],
)
def test_faults_are_named_with_their_place_and_the_nearest_right_name(more: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        study(**more)


def test_every_line_of_a_files_faults_names_the_file(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(
        '[task]\nname = "digits"\n[model]\nname = "mlp"\n[budget]\nsteps = 1\n[regime]\nlrr = 1\nepss = 2\n'
    )
    with pytest.raises(ValueError, match="lrr") as error:
        Study.load(path)
    assert all(line.startswith(str(path)) for line in str(error.value).split("\n"))


def test_every_shipped_study_loads_says_what_it_claims_and_is_found_by_its_name():
    assert shipped_studies()
    for name, path in shipped_studies().items():
        made = Study.load(name)
        assert made.runs(), path
        assert made.title, path
        assert made.claim, path
        assert made.reference, path
        assert made.cost, path


def test_the_demo_is_a_shipped_study_of_both_routes():
    tasks = [run.task.name for run in Study.load(demo.STUDY).runs()]
    assert (tasks.count("modular"), tasks.count("digits")) == (6, 9)


def test_an_unknown_study_names_the_nearest_shipped_one():
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        Study.load("digit")


def test_a_loaded_run_reads_back_from_its_own_config():
    configs = Study.load("digits").runs()
    assert len(configs) > 10
    for config in configs:
        assert configio.load_run(configio.dump(config)) == config


def test_the_largest_size_of_camelyon17_shares_the_published_runs():
    def hashes(name):
        runs = Study.load(shipped_studies()[name]).runs()
        return {(c.task.n_train, c.seed, c.run_id().rpartition("-")[2]) for c in runs}

    sizes, published = hashes("camelyon17_sizes"), hashes("camelyon17_published")
    assert published == {run for run in sizes if run[0] == 1000}
    assert sorted({n for n, _, _ in sizes}) == [300, 500, 1000]
    assert len(sizes) == 24


COMPONENTS = {
    "axes": {"regime.optimizer": ["adamw", {"name": "sgd", "momentum": 0.5}, {"name": "sgd", "momentum": 0.9}]},
    "expect": [
        {"where": {"regime.optimizer": "sgd"}, "censored": "T_gen"},
        {"where": {"regime.optimizer": {"name": "sgd", "momentum": 0.9}}, "censored": "T_gen"},
        {"where": {"regime.optimizer.momentum": [0.5, 0.9]}, "censored": "T_gen"},
    ],
}


def test_axes_and_conditions_take_a_component_by_name_and_with_its_parameters():
    made = study(**COMPONENTS)
    labels = [entry.label for entry in made.entries]
    assert labels == ["optimizer=adamw", "optimizer=sgd(momentum=0.5)", "optimizer=sgd(momentum=0.9)"]
    numbers = [sum(matches(entry, e.where) for entry in made.entries) for e in made.expectations]
    assert numbers == [2, 1, 2]
    swept = study(regime={"optimizer": "sgd"}, axes={"regime.optimizer.momentum": [0.0, 0.9]})
    assert [entry.config.regime.optimizer.momentum for entry in swept.entries] == [0.0, 0.9]


def test_a_flat_key_in_an_axis_or_a_condition_names_its_right_place():
    for part in ({"axes": {"regime.betas": [[0.9, 0.98]]}}, {"expect": [{"where": {"regime.betas": [0.9, 0.98]}}]}):
        with pytest.raises(ValueError, match=r"regime.betas is a parameter of the optimizer now: write regime.optim"):
            study(**part)


def test_runs_that_differ_in_seed_are_what_each_would_be_alone():
    made = Study.from_dict({**TINY, "seeds": [4, 0, 7], "axes": {"regime.lr": [1e-2, 1e-3]}})
    for entry in made.entries:
        alone = Study.from_dict({**TINY, "seeds": [entry.config.seed], "axes": {"regime.lr": [entry.config.regime.lr]}})
        (one,) = alone.entries
        assert entry == one
        assert entry.settings == one.settings
        assert entry.config.run_id() == one.config.run_id()
