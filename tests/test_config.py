"""Configs: every fault is an error that says where; what is accepted reads back equal; identity is what matters."""

import json
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope import configio
from grokscope.config import Budget, Cadence, Hardware, Regime, RunConfig, TaskConfig
from grokscope.configio import content_hash, dump, flatten, load_run, overlay, read_file
from grokscope.flat_regime import SUPERSEDED
from grokscope.models.config import MLP, EmbeddingMLP
from grokscope.tasks.digits import Digits
from grokscope.tasks.mheight import MHeight
from grokscope.tasks.modular import Modular
from grokscope.train.filters import GrokfastMA
from grokscope.train.optimizers import SGD as SGDOptimizer
from grokscope.train.optimizers import AdamW, Muon
from grokscope.train.schedules import Warmup
from tiny import TINY, tiny

SGD, EMA, MA = {"name": "sgd"}, {"name": "grokfast_ema"}, {"name": "grokfast_ma"}
MUON = {"name": "muon", "momentum": 0.9}
NAN = float("nan")


def faults(changes, raw=TINY):
    """The lines of the error that these changes cause."""
    with pytest.raises(ValueError, match=r"\$") as caught:
        load_run(overlay(raw, changes))
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("regime.lrr", 1e-3, "$.regime.lrr: unknown key; did you mean 'lr'?"),
        ("sed", 1, "$.sed: unknown key; did you mean 'seed'?"),
        ("model.hiden", [8], "$.model.hiden: unknown key; did you mean 'hidden'?"),
        ("task.modulus", 7, "$.task.modulus: unknown key; known: operation, p, train_fraction"),
        ("evaluate.evry", 1, "$.evaluate.evry: unknown key; did you mean 'every'?"),
        ("regime.lr", "1e-3", "$.regime.lr: expected float, got str '1e-3'"),
        ("regime.lr", True, "$.regime.lr: expected float, got bool True"),
        ("seed", True, "$.seed: expected int, got bool True"),
        ("seed", "0", "$.seed: expected int, got str '0'"),
        ("regime.batch_size", 2.5, "$.regime.batch_size: expected int, got float 2.5"),
        ("regime.optimizer", SGD | {"nesterov": 1}, "$.regime.optimizer.nesterov: expected bool, got int 1"),
        ("regime.name", 3, "$.regime.name: expected str, got int 3"),
        ("regime.lr", float("inf"), "$.regime.lr: expected a finite number, got inf"),
        ("regime.grad_filter", EMA | {"lambda": NAN}, "$.regime.grad_filter.lambda: expected a finite number, got nan"),
        ("regime.clip_norm", "nothing", "$.regime.clip_norm: expected float, got str 'nothing'"),
        ("regime.optimizer.betas", [0.9], "$.regime.optimizer.betas: expected 2 values, got 1: [0.9]"),
        ("regime.optimizer.betas", [0.9, "x"], "$.regime.optimizer.betas[1]: expected float, got str 'x'"),
        ("model.hidden", 128, "$.model.hidden: expected a list, got int 128"),
        ("model.hidden", "12", "$.model.hidden: expected a list, got str '12'"),
        ("model.hidden", [8, 1.5], "$.model.hidden[1]: expected int, got float 1.5"),
        ("evaluate.at", {"0": 1}, "$.evaluate.at: expected a list, got dict {'0': 1}"),
        ("regime", 3, "$.regime: expected a table, got int 3"),
        ("task", "modular", "$.task: expected a table with a name, got 'modular'"),
        ("regime.loss_dtype", "float33", "$.regime.loss_dtype: unknown value 'float33'; did you mean 'float32'?"),
        (
            "engine",
            "jit",
            "$.engine: unknown engine 'jit'; known: compiled, torch; if your own module registers it, list the "
            "module under plugins in the file, or in GROKSCOPE_PLUGINS",
        ),
        ("task.name", "modul", "$.task.name: unknown task 'modul'; did you mean 'modular'?"),
        ("model.name", "embedding_mlp", "$.model.name: unknown model 'embedding_mlp'; did you mean 'embedding-mlp'?"),
        ("regime.optimizer", "adamW", "$.regime.optimizer: unknown optimizer 'adamW'; did you mean 'adamw'?"),
        ("regime.loss", "stable_max", "$.regime.loss: unknown loss 'stable_max'; did you mean 'stablemax'?"),
        ("regime.schedule", "cosin", "$.regime.schedule: unknown schedule 'cosin'; did you mean 'cosine'?"),
        (
            "regime.grad_filter",
            "grokfast",
            "$.regime.grad_filter: unknown filter 'grokfast'; did you mean 'grokfast_ma'?",
        ),
        ("regime.lr", 0.0, "$.regime: lr must be positive, got 0.0"),
        ("regime.init_scale", -1.0, "$.regime: init_scale must be positive, got -1.0"),
        ("regime.weight_decay", -0.1, "$.regime: weight_decay must not be negative, got -0.1"),
        ("regime.optimizer.betas", [0.9, 1.0], "$.regime.optimizer: betas must lie in [0, 1), got [0.9, 1.0]"),
        ("regime.grad_filter", EMA | {"alpha": 1.0}, "$.regime.grad_filter: alpha must lie in [0, 1), got 1.0"),
        ("regime.grad_filter", MA | {"window": 0}, "$.regime.grad_filter: window must be at least 1, got 0"),
        ("regime.label_noise", 1.5, "$.regime: label_noise is a share in [0, 1], got 1.5"),
        ("regime.clip_norm", 0.0, "$.regime: clip_norm must be positive or none, got 0.0"),
        ("regime.optimizer", SGD | {"nesterov": True}, "$.regime.optimizer: nesterov needs momentum > 0"),
        (
            "regime.optimizer.momentum",
            0.9,
            "$.regime.optimizer.momentum: optimizer 'adamw' has no parameter 'momentum'; it belongs to sgd, muon",
        ),
        (
            "regime.optimizer",
            SGD | {"lr": 0.1},
            "$.regime.optimizer.lr: optimizer 'sgd' has no parameter 'lr'; it belongs to the regime: regime.lr",
        ),
        (
            "regime.grad_filter",
            EMA | {"filter_alpha": 0.9},
            "$.regime.grad_filter.filter_alpha: filter 'grokfast_ema' has no parameter 'filter_alpha'; it is called "
            "'alpha' here",
        ),
        (
            "regime.optimizer",
            SGD | {"momentun": 0.9},
            "$.regime.optimizer.momentun: optimizer 'sgd' has no parameter 'momentun'; did you mean 'momentum'?",
        ),
        ("regime.loss", {"name": "mse", "x": 1}, "$.regime.loss.x: loss 'mse' has no parameter 'x'; it has none"),
        ("regime.optimizer", 3, "$.regime.optimizer: expected a name or a table with a name, got 3"),
        ("evaluate.every", 0, "$.evaluate: every must be at least 1, got 0"),
        ("evaluate.at", [-1], "$.evaluate: at must hold steps >= 0, got [-1]"),
        ("evaluate.unit", "minutes", "$.evaluate.unit: unknown value 'minutes'; known: epochs, steps"),
        ("budget", {"steps": 5, "epochs": 5}, "$.budget: give exactly one of steps and epochs"),
        ("budget.steps", 0, "$.budget: a budget's steps must be at least 1, got 0"),
        ("hardware.threads", 0, "$.hardware: threads must be at least 1, got 0"),
        ("model.hidden", [], "$.model: hidden needs positive widths, got []"),
        ("model.embedding", 0, "$.model: embedding must be positive, got 0"),
        ("task.p", 1, "$.task: p must be at least 2, got 1: modulo 1 every result is 0"),
        ("task.train_fraction", 0, "$.task: train_fraction must lie strictly between 0 and 1, got 0.0"),
        ("start", {"run": "x", "step": 3}, "$.start.digest: missing"),
        (
            "schema",
            configio.SCHEMA + 1,
            "$.schema: 4 is newer than this version of grokscope supports (3); upgrade grokscope",
        ),
        ("schema", "1", "$.schema: expected int, got '1'"),
    ],
)
def test_a_fault_names_its_path_and_the_nearest_right_name(key, value, line):
    assert faults({key: value}) == [line]


def test_all_faults_are_reported_at_once_and_each_once():
    lines = faults({"regime.lrr": 1, "regime.batch_size": 2.5, "seed": "x", "evaluate.evry": 3})
    assert sorted(lines) == [
        "$.evaluate.evry: unknown key; did you mean 'every'?",
        "$.regime.batch_size: expected int, got float 2.5",
        "$.regime.lrr: unknown key; did you mean 'lr'?",
        "$.seed: expected int, got str 'x'",
    ]


@pytest.mark.parametrize("key", ["task", "model", "budget"])
def test_a_missing_table_is_named(key):
    raw = {k: v for k, v in TINY.items() if k != key}
    assert faults({}, raw) == [f"$.{key}: missing"]


def test_a_task_without_a_name_lists_them():
    (line,) = faults({}, TINY | {"task": {"p": 7}})
    assert line.startswith("$.task: a task needs a name; known: ")
    assert "modular" in line


def test_whole_floats_are_ints_and_ints_are_floats():
    config = tiny({"budget.steps": 1e4, "regime.lr": 1})
    assert config.budget.steps == 10_000
    assert type(config.budget.steps) is int
    assert type(config.regime.lr) is float


def test_none_is_written_as_text_in_toml_and_as_null_in_json():
    assert tiny({"regime.clip_norm": "none"}).regime.clip_norm is None
    assert tiny({"regime.clip_norm": None}).regime.clip_norm is None
    assert tiny({"regime.clip_norm": 1}).regime.clip_norm == 1.0
    assert tiny({"task.operation": "s5", "task.p": "none"}).task == Modular(operation="s5", p=None)


# -- reading back -----------------------------------------------------------------------------------------------------

positive = st.floats(1e-6, 1e6)
share = st.floats(0, 0.999)
maybe_int = st.none() | st.integers(1, 10_000)
cadences = st.builds(
    Cadence,
    every=maybe_int,
    per_decade=maybe_int,
    at=st.lists(st.integers(0, 10**6), max_size=4).map(tuple),
    unit=st.sampled_from(["steps", "epochs"]),
)
regimes = st.builds(
    Regime,
    name=st.text(max_size=8),
    optimizer=st.builds(AdamW, betas=st.tuples(share, share)) | st.builds(Muon, momentum=share),
    lr=positive,
    weight_decay=st.floats(0, 10),
    decay_groups=st.sampled_from(["all", "matrices", "head", "no_norm"]),
    clip_norm=st.none() | positive,
    batch_size=st.integers(0, 10**6),
    label_noise=st.floats(0, 1),
    grad_filter=st.sampled_from(["none", "orthogonal"]) | st.builds(GrokfastMA, lambda_=positive),
    schedule=st.just("constant") | st.builds(Warmup, warmup_steps=st.integers(0, 100)),
)
runs = st.builds(
    RunConfig,
    task=st.builds(Modular, p=st.integers(5, 97), train_fraction=st.floats(0.2, 0.8))
    | st.builds(Digits, n_train=st.integers(10, 1796)),
    model=st.builds(MLP, hidden=st.lists(st.integers(1, 512), min_size=1, max_size=3).map(tuple))
    | st.builds(EmbeddingMLP, embedding=st.integers(1, 512)),
    regime=regimes,
    budget=st.builds(Budget, steps=st.integers(1, 10**9)) | st.builds(Budget, epochs=st.integers(1, 10**6)),
    evaluate=cadences,
    checkpoint=cadences,
    seed=st.integers(-(2**40), 2**40),
    hardware=st.builds(Hardware, threads=st.integers(1, 64), resume_every_s=st.floats(0, 1e4)),
)


@settings(max_examples=60, deadline=None)
@given(runs)
def test_what_is_dumped_reads_back_equal_and_keeps_its_identity(config):
    text = json.dumps(dump(config), allow_nan=False)
    again = load_run(json.loads(text))
    assert again == config
    assert again.run_id() == config.run_id()


@settings(max_examples=30, deadline=None)
@given(runs)
def test_flatten_and_overlay_are_inverse(config):
    raw = dump(config)
    assert load_run(overlay({}, flatten(raw))) == config
    assert overlay(raw, {}) == raw


@settings(max_examples=40, deadline=None)
@given(regimes, st.data())
def test_every_axis_but_the_name_changes_the_run(regime, data):
    config = tiny()
    key = data.draw(st.sampled_from([f.name for f in fields(Regime)]))
    value = getattr(regime, key)
    try:
        other = replace(config, regime=replace(config.regime, **{key: value}))
    except ValueError:
        return  # the axis does not go with the others
    same = key == "name" or value == getattr(config.regime, key)
    assert (other.run_id().rpartition("-")[2] == config.run_id().rpartition("-")[2]) == same


def test_nested_lists_are_dumped_as_json_gives_them_back():
    raw = dump(MHeight(groups=((9, 4, 2), (10, 6, 4))))
    assert raw["groups"] == [[9, 4, 2], [10, 6, 4]]
    assert raw == json.loads(json.dumps(raw))
    assert load_run(overlay(TINY, {"task": raw})).task == MHeight(groups=((9, 4, 2), (10, 6, 4)))
    assert faults({"task": raw | {"groups": [[9, 4]]}}) == ["$.task.groups[0]: expected 3 values, got 2: [9, 4]"]


# -- identity ---------------------------------------------------------------------------------------------------------


def test_the_hash_knows_no_key_order():
    assert content_hash({"a": 1, "b": {"c": 2, "d": 3}}) == content_hash({"b": {"d": 3, "c": 2}, "a": 1})
    assert content_hash({"a": [1, 2]}) != content_hash({"a": [2, 1]})


def test_identity_ignores_label_place_and_length_only():
    config = tiny()
    for changes in (
        {"regime.name": "other"},
        {"hardware.threads": 7},
        {"hardware.device": "cuda"},
        {"hardware.resume_every_s": 99.0},
        {"budget.steps": 12345},
        {"budget.epochs": 3},
    ):
        assert content_hash(tiny(changes).identity()) == content_hash(config.identity()), changes
    for changes in ({"seed": 1}, {"task.p": 11}, {"model.embedding": 5}, {"evaluate.every": 8}, {"engine": "compiled"}):
        assert content_hash(tiny(changes).identity()) != content_hash(config.identity()), changes


def test_the_folder_name_can_be_read_and_is_a_safe_path():
    assert tiny({"regime.name": "a b/../c"}).run_id().startswith("modular_a-b-..-c_n24_s0-")
    assert "/" not in tiny({"regime.name": "a b/../c"}).run_id()


# -- overlay ----------------------------------------------------------------------------------------------------------


def test_an_overlay_changes_what_it_names_and_nothing_else():
    changed = overlay(TINY, {"regime.lr": 3e-4, "hardware": {"threads": 2}})
    assert changed["regime"] == TINY["regime"] | {"lr": 3e-4}
    assert changed["hardware"] == TINY["hardware"] | {"threads": 2}
    assert {k: v for k, v in changed.items() if k not in ("regime", "hardware")} == {
        k: v for k, v in TINY.items() if k not in ("regime", "hardware")
    }


def test_an_overlay_leaves_its_inputs_alone():
    before = json.dumps(TINY)
    changed = overlay(TINY, {"regime.lr": 3e-4})
    changed["regime"]["lr"] = changed["model"]["embedding"] = 0
    assert json.dumps(TINY) == before


@pytest.mark.parametrize("turn", [list, lambda items: list(reversed(items))])
def test_another_model_drops_the_old_ones_keys_but_none_of_the_changes(turn):
    changes = dict(turn([("model.name", "mlp"), ("model.hidden", [5]), ("model.norm", "batch")]))
    assert overlay(TINY, changes)["model"] == {"name": "mlp", "hidden": [5], "norm": "batch"}


def test_naming_the_same_model_again_keeps_its_keys():
    assert overlay(TINY, {"model.name": "embedding-mlp", "model.embedding": 9})["model"] == TINY["model"] | {
        "embedding": 9
    }


def test_a_budget_in_another_unit_replaces_the_old_one_and_two_are_refused():
    assert tiny({"budget.epochs": 4}).budget == Budget(epochs=4)
    assert faults({"budget.epochs": 4, "budget.steps": 4}) == ["$.budget: give exactly one of steps and epochs"]


def test_dotted_and_nested_changes_to_one_table_meet():
    assert overlay({}, {"regime.lr": 1.0, "regime": {"eps": 2.0}}) == {"regime": {"lr": 1.0, "eps": 2.0}}


# -- components --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        ("sgd", {"regime.optimizer.momentum": 0.9}, {"name": "sgd", "momentum": 0.9}),
        ({"name": "sgd"}, {"regime.optimizer": {"momentum": 0.9}}, {"name": "sgd", "momentum": 0.9}),
        ({"name": "sgd", "momentum": 0.9}, {"regime.optimizer": "sgd"}, {"name": "sgd", "momentum": 0.9}),
        ({"name": "sgd", "momentum": 0.9}, {"regime.optimizer": "adamw"}, "adamw"),
        ({"name": "sgd", "momentum": 0.9}, {"regime.optimizer": MUON}, MUON),
        ({"name": "sgd", "momentum": 0.9}, {"regime.optimizer.name": "muon"}, "muon"),
        ("adamw", {"regime.optimizer.momentum": 0.9, "regime.optimizer": "sgd"}, {"name": "sgd", "momentum": 0.9}),
        ({"betas": [0.9, 0.98]}, {"regime.optimizer": "adamw"}, {"name": "adamw", "betas": [0.9, 0.98]}),
        ({"betas": [0.9, 0.98]}, {"regime.optimizer": "sgd"}, "sgd"),
    ],
)
def test_a_change_to_a_component_keeps_what_belongs_to_it(before, changes, after):
    assert overlay({"regime": {"optimizer": before}}, changes) == {"regime": {"optimizer": after}}


def test_a_parameter_over_a_bare_name_keeps_the_name_and_is_judged_by_it():
    raw = TINY | {"regime": {"optimizer": "adamw"}}
    words = "optimizer 'adamw' has no parameter 'momentum'; it belongs to sgd, muon"
    assert faults({"regime.optimizer.momentum": 0.9}, raw) == [f"$.regime.optimizer.momentum: {words}"]
    changed = overlay(TINY | {"regime": {"optimizer": "sgd"}}, {"regime.optimizer.momentum": 0.9})
    assert load_run(changed).regime.optimizer == SGDOptimizer(momentum=0.9)


def test_a_name_a_table_and_the_component_itself_are_one():
    assert Regime(optimizer="muon") == Regime(optimizer={"name": "muon", "momentum": 0.95}) == Regime(optimizer=Muon())
    assert Regime(optimizer={"eps": 1e-7}) == Regime(optimizer=AdamW(eps=1e-7)), "the default one where none is named"
    assert tiny(engine={"name": "torch"}) == tiny(engine="torch") == tiny()
    with pytest.raises(
        ValueError, match=r"regime.optimizer: expected a component of kind optimizer, got the filter 'grokfast_ma'"
    ):
        Regime(optimizer=GrokfastMA())


def test_a_recipe_keeps_its_parameters_beside_the_tables_own():
    regime = load_run(TINY | {"regime": {"recipe": "modular", "optimizer": {"eps": 1e-7}}}).regime
    assert regime.optimizer == AdamW(betas=(0.9, 0.98), eps=1e-7)
    assert load_run(TINY | {"regime": {"recipe": "modular", "optimizer": "sgd"}}).regime.optimizer == SGDOptimizer()


@pytest.mark.parametrize("key", list(SUPERSEDED))
def test_a_flat_key_is_an_error_that_names_its_right_place(key):
    (line,) = faults({f"regime.{key}": 1})
    place = line.partition("write regime.")[2].partition(",")[0]
    assert line.startswith(f"$.regime.{key} is a parameter of the ")
    example = line.partition("name = ")[2].partition(",")[0].strip('"')
    head, _, parameter = place.partition(".")
    assert parameter in dump(load_run(overlay(TINY, {f"regime.{head}": example})).regime)[head]


# -- files ------------------------------------------------------------------------------------------------------------


def test_toml_and_json_files_read_alike(tmp_path):
    (tmp_path / "a.toml").write_text('[regime]\nlr = 1e-3\nbetas = [0.9, 0.98]\nclip_norm = "none"\n')
    (tmp_path / "a.json").write_text('{"regime": {"lr": 1e-3, "betas": [0.9, 0.98], "clip_norm": "none"}}')
    assert read_file(tmp_path / "a.toml") == read_file(tmp_path / "a.json")


def test_a_byte_order_mark_is_no_syntax_error(tmp_path):
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfseed = 3\n")
    assert read_file(tmp_path / "a.toml") == {"seed": 3}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("bad.toml", b"[regime]\nlr = = 3\n", ["bad.toml", "line 2"]),
        ("bad.json", b'{\n"a": 1,\n}', ["bad.json", "line 3"]),
        ("list.json", b"[1]", ["list.json", "expected a table"]),
        ("latin.toml", b'name = "\xe9"\n', ["latin.toml", "utf-8"]),
        ("missing.toml", None, ["missing.toml", "no such file"]),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_line(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words[0]) as caught:
        read_file(tmp_path / name)
    assert words[1] in str(caught.value)


def test_a_folder_is_no_config_file(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        read_file(tmp_path)


# -- cadences and budgets ---------------------------------------------------------------------------------------------


def test_the_published_cadence_has_61_points():
    published = Cadence(at=(1,), every=50, unit="epochs")
    assert list(published.points(3000)) == [1, *range(50, 3001, 50)]
    assert published.at_most(3000) == 61
    assert list(published.steps(3000 * 32, 32)) == [32 * e for e in published.points(3000)]


@settings(max_examples=80, deadline=None)
@given(cadences, st.integers(0, 3000), st.integers(0, 3000), st.integers(1, 40))
def test_a_longer_run_visits_the_same_points(cadence, short, more, per_epoch):
    first, second = list(cadence.steps(short, per_epoch)), list(cadence.steps(short + more, per_epoch))
    assert first == sorted(set(first))
    assert [s for s in second if s <= short] == first


def test_log_spaced_points_are_even_in_the_logarithm():
    assert list(Cadence(per_decade=3).points(1000)) == [1, 2, 5, 10, 22, 46, 100, 215, 464, 1000]
    assert list(Cadence(per_decade=1).points(999)) == [1, 10, 100]


def _listed_whole(cadence, last):
    """What a cadence means, written as one would without a care for its length."""
    out = {a for a in cadence.at if a <= last}
    if cadence.every:
        out |= set(range(cadence.every, last + 1, cadence.every))
    k = 0
    while cadence.per_decade and (point := round(10 ** (k / cadence.per_decade))) <= last:
        out.add(point)
        k += 1
    return sorted(out)


@settings(max_examples=150, deadline=None)
@given(cadences, st.integers(0, 5000))
def test_the_points_one_by_one_are_the_points_listed_whole(cadence, last):
    listed = _listed_whole(cadence, last)
    assert list(cadence.points(last)) == listed
    assert [p for p in range(last + 1) if cadence.due(p)] == listed
    assert len(listed) <= cadence.at_most(last) <= last + 1
    if not cadence.at and not (cadence.every and cadence.per_decade) and (cadence.per_decade or 1) <= 5:
        assert cadence.at_most(last) - len(listed) <= 5  # rounding makes one of two points below ten


@pytest.mark.parametrize("per_decade", [1, 2, 3, 5, 7, 20, 50, 64, 1000])
def test_published_grids_are_as_they_were_up_to_a_hundred_million_steps(per_decade):
    cadence = Cadence(at=(0,), per_decade=per_decade)
    listed = _listed_whole(cadence, 10**8)
    assert list(cadence.points(10**8)) == listed
    assert all(cadence.due(p) for p in listed)
    assert not any(cadence.due(p) for p in (listed[-1] - 1, listed[-2] + 1, listed[-5] + 1))


def test_a_cadence_costs_the_same_after_a_trillion_steps():
    for cadence in (Cadence(every=1), Cadence(per_decade=10**9), Cadence(every=7, per_decade=10**6, at=(5, 10**14))):
        after = cadence.after(10**12)
        assert after is not None
        assert after > 10**12
        assert cadence.due(after)
        assert cadence.at_most(10**15) <= 10**15 + 1
    assert Cadence(every=7).after(10**12) == 10**12 // 7 * 7 + 7
    assert Cadence(at=(3,)).after(3) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cadence(every=10**16), "every must be at most"),
        (lambda: Cadence(every=True), "every must be a whole number"),
        (lambda: Cadence(every=2.5), "every must be a whole number"),
        (lambda: Cadence(per_decade=10**18), "per_decade must be at most"),
        (lambda: Cadence(at=(10**400,)), "at must hold steps"),
        (lambda: Budget(steps=10**16), "steps must be at most"),
        (lambda: Budget(steps=-1), "steps must be at least 1"),
        (lambda: Budget(steps=0), "steps must be at least 1"),
        (lambda: Budget(steps=True), "steps must be a whole number"),
        (lambda: Budget(epochs=float("nan")), "epochs must be a whole number"),
        (lambda: Budget(epochs=float("inf")), "epochs must be a whole number"),
        (lambda: Budget(epochs=10**5000), "a whole number of about 5,00[01] digits"),
        (lambda: Budget(epochs=10**15).in_steps(2), "more than 1,000,000,000,000,000 steps"),
        (lambda: Hardware(threads=10**6), "threads must be at most"),
    ],
)
def test_lengths_that_no_run_has_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_budget_in_epochs_counts_in_steps():
    assert Budget(epochs=3).in_steps(7) == 21
    assert Budget(steps=3).in_steps(7) == 3


# -- a config of somebody else's --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class OnDisk(TaskConfig):
    name: ClassVar[str] = "on-disk"
    root: str = field(default="here", metadata={"identity": False})
    size: int = 3

    def train_size(self):
        return self.size

    def build(self, seed):
        raise NotImplementedError


def test_where_a_task_keeps_its_files_is_not_identity():
    here, there, larger = (replace(tiny(), task=t) for t in (OnDisk(), OnDisk(root="there"), OnDisk(size=4)))
    assert here.run_id() == there.run_id()
    assert here.identity() != larger.identity()
    assert dump(there)["task"]["root"] == "there"


@pytest.mark.parametrize("seed", [0, 1, 12])
def test_another_seed_has_the_identity_that_it_would_have_alone(seed):
    other = tiny(seed=5).with_seed(seed)
    alone = tiny(seed=seed)
    assert other == alone
    assert other.identity() == alone.identity()
    assert other.run_id() == alone.run_id()
    assert other.with_seed(5).run_id() == tiny(seed=5).run_id()
