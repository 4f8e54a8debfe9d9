"""Records: what is written is read back to the byte, what does not fit is named, every field says what it is."""

import ast
import inspect
import json
import math
import re
from dataclasses import fields, replace
from importlib import import_module
from itertools import chain
from pathlib import Path
from pkgutil import iter_modules

import numpy as np
import pytest

import grokscope.results
from grokscope.dissect.battery import Unseen, dissect_features
from grokscope.dissect.calibrate import BASE
from grokscope.dissect.planted import plant
from grokscope.files import to_json
from grokscope.results import Dissection, Settings
from grokscope.results.calibration import shipped
from grokscope.results.dissection import FILES, RULES, NeuronsFile, NotOurs, Outdated, ProbesFile
from grokscope.results.factorial import FactorEffect
from grokscope.results.mechanisms import Arm as CauseArm
from grokscope.results.mechanisms import Explanation, Finding
from grokscope.results.milestones import Span
from grokscope.results.predictions import Predictions
from grokscope.results.reading import reader
from grokscope.results.record import Record
from grokscope.results.sample import Id
from grokscope.results.scores import ByEffect, Null
from grokscope.results.trials import Trial
from grokscope.results.verdict import Formation, VerdictRecord
from results import samples, verdict_samples

EXAMPLE = Path(__file__).parents[1] / "cases" / "dissection"
SMALL = Settings(
    draws=4, permutations=19, resamples=19, probe_controls=1, halves=2, ks=(0, 2), erasers=("mean_diff", "leace")
)


@pytest.fixture(scope="module")
def measured():
    """A real dissection of planted features, with an unseen set of one environment."""
    p, away = plant(replace(BASE, n=240, d=8, neurons=2), 0), plant(replace(BASE, n=120, d=8, neurons=2), 1)
    unseen = {"ood_test": Unseen(away.features, away.labels, None, away.groups)}
    return dissect_features(
        {"pooled": p.features}, p.head, p.labels, p.environments, p.groups, unseen=unseen, settings=SMALL
    )


def test_what_is_written_is_read_back_to_the_byte(measured, tmp_path):
    measured.write(tmp_path / "a")
    Dissection.read(tmp_path / "a").write(tmp_path / "b")
    for kind in FILES:
        name = f"{kind.NAME}.json"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    back = Dissection.read(tmp_path / "a")
    assert back.m4.by("leace").effects["test"].env_gap_drop == measured.m4.by("leace").effects["test"].env_gap_drop
    assert math.isnan(back.m4.by("leace").effects["ood_test"].env_gap_drop.value)  # null in the file
    assert back.settings == measured.settings


def test_a_dissection_of_an_earlier_version_of_the_same_layout_is_read_and_written_alike(tmp_path):
    """Files in tests/cases/dissection were written before there were these classes."""
    Dissection.read(EXAMPLE).write(tmp_path)
    for kind in FILES:
        assert (tmp_path / f"{kind.NAME}.json").read_bytes() == (EXAMPLE / f"{kind.NAME}.json").read_bytes()


def changed(path, change):
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["m6"]["ablations"][0]["arms"]["random"].pop("curves"),
         r"\$\.m6\.ablations\[0\]\.arms\.random: the field 'curves' is missing"),
        (lambda r: r["m6"].update(rankin="x"), r"\$\.m6: unknown field 'rankin'; did you mean 'ranking'"),
        (lambda r: r["settings"].update(draws="99"), r"\$\.settings\.draws: expected a whole number, got str '99'"),
        (lambda r: r["m6"].update(ks=[0, 1.5]), r"\$\.m6\.ks\[1\]: expected a whole number, got float 1.5"),
        (lambda r: r["where"].update(cell="used"), r"\$\.where\.cell: unknown value"),
        (lambda r: r["settings"].update(draws=0), r"\$\.settings: draws must be at least 1"),
        (lambda r: r["accuracy"][0].update(interval=[0.5]), r"\$\.accuracy\[0\]\.interval: expected 2 values, got 1"),
        (lambda r: r.update(schema=99), r"\$\.schema: 99 is newer than this version of grokscope supports \(1\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_file_and_field(measured, tmp_path, change, message):
    measured.write(tmp_path)
    path = tmp_path / "m6.json"
    changed(path, change)
    with pytest.raises(ValueError, match=re.escape(f"{path}: ") + message):
        NeuronsFile.read(path)


def test_other_programs_and_older_rules_are_told_apart(measured, tmp_path):
    measured.write(tmp_path)
    path = tmp_path / "m1.json"
    changed(path, lambda r: r.update(rules=RULES - 1))
    assert ProbesFile.read(path).rules == RULES - 1  # of older rules, and nothing is missing
    changed(path, lambda r: r["m1"].pop("cannot_tell"))
    with pytest.raises(Outdated, match="dissect it again"):
        ProbesFile.read(path)
    path.write_text('{"K": [0, 4]}')
    with pytest.raises(NotOurs, match="not written by grokscope"):
        ProbesFile.read(path)


def test_files_of_two_dissections_are_no_dissection(measured, tmp_path):
    measured.write(tmp_path)
    changed(tmp_path / "m5.json", lambda r: r.update(selection="step=7"))
    with pytest.raises(ValueError, match="of different dissections"):
        Dissection.read(tmp_path)


def test_records_made_by_hand_are_of_the_same_layout(tmp_path):
    samples.dissection().write(tmp_path)
    assert Dissection.read(tmp_path) == samples.dissection()
    silent = samples.at_chance("the network is at chance", probes=False)
    silent.write(tmp_path)
    assert Dissection.read(tmp_path) == silent


def an_explanation() -> Explanation:
    arm = CauseArm(name="no filter", changes={"regime.grad_filter": "none"}, expects="the head grows less")
    finding = Finding(
        check="filter feeds head", claim="the filter made the head grow", word="supports", evidence="x 3.2",
        numbers={"growth": 3.2, "share": None}, explains=True, applies=True, missing=("norm_head",), arm=arm,
        misleads="the head grows without a filter too", source="here",
    )  # fmt: skip
    return Explanation(
        split="ood_test", verdict="memorized", happened="held-out stayed", findings=(finding,), missing=("norm_head",)
    )


def test_an_explanation_is_read_back_and_says_what_does_not_fit(tmp_path):
    path = tmp_path / "explanation.json"
    an_explanation().write(path)
    back = Explanation.read(path)
    assert back == an_explanation()
    assert back.next_arms()[0][1].options == "--regime.grad_filter none"
    changed(path, lambda r: r["findings"][0].update(word="perhaps"))
    with pytest.raises(ValueError, match=r"explanation.json: \$\.findings\[0\]\.word: unknown value"):
        Explanation.read(path)


def test_a_trial_keeps_ends_of_its_interval_that_nothing_bounds():
    trial = Trial(
        check="c", arm="no decay", claim="decay", fate="open", n=2, differences=(0.1, 0.2), noise=0.05,
        interval=(-math.inf, math.inf), p=0.5, smallest_p=0.5, verdicts=(("grokked", "memorized"),) * 2, sentence="s",
    )  # fmt: skip
    assert Trial.from_dict(json.loads(to_json(trial.to_dict()))) == trial


def test_a_verdict_is_read_back_with_what_is_not_finite():
    never = Span(math.inf, 12.5, math.inf, censored=True)
    judged = verdict_samples.verdict(
        None, delay_ratio=never, formation=Formation(route="readout", reason="0.9 against 0.5", step=40)
    )
    written = to_json(judged.to_dict())
    back = VerdictRecord.from_dict(json.loads(written))
    assert back == judged
    assert back.milestones.delay_ratio == never
    assert back.label == "cannot be judged"
    assert to_json(back.to_dict()) == written, "whole steps stay whole"


def test_predictions_of_before_there_were_versions_are_read(tmp_path):
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps({"true": [0, 1, 2, 3], "predicted": [0, 1, 2, 4]}))
    old = Predictions.read(path)
    assert (old.schema, old.split, old.group) == (0, None, None)
    assert old.r2 == pytest.approx(0.8)
    new = replace(old, schema=1, split="id_val", group=(1, 1, 2, 2))
    new.write(path)
    assert Predictions.read(path) == new
    changed(path, lambda r: r["group"].pop())
    with pytest.raises(ValueError, match="as long as each other"):
        Predictions.read(path)


def test_values_under_fixed_names():
    values = samples.each_effect(1.0)
    assert values["flips"] == values.flips == 1.0
    assert [name for name, _ in values.items()] == ["accuracy_drop", "flips", "margin_shift", "env_gap_drop"]
    with pytest.raises(KeyError):
        values["to_dict"]
    assert reader(ByEffect[Null])(samples.each_effect(samples.null()).to_dict()).flips == samples.null()


def test_the_shipped_calibration_says_of_every_condition_whether_anything_is_used():
    calibration = shipped()
    assert calibration.conditions["none"].nothing_used
    assert not calibration.conditions["concentrated"].nothing_used
    assert all(0 <= c.rates["m5"][0] <= 1 for c in calibration.conditions.values())


def _documented(cls: type) -> dict[str, str]:
    """Field -> the docstring beneath it, of a class's own fields."""
    body = ast.parse(inspect.cleandoc("\n" + inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    out = {}
    for node, after in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            out[node.target.id] = str(after.value.value) if said else ""  # pyright: ignore
    return out


def _classes() -> list[type]:
    """Every record of the folder."""
    rooms = [import_module(f"grokscope.results.{file.name}") for file in iter_modules(grokscope.results.__path__)]
    every = chain.from_iterable(vars(room).values() for room in rooms)
    records = [v for v in every if isinstance(v, type) and issubclass(v, Record) and v.__module__ != Record.__module__]
    return list(dict.fromkeys(records))


@pytest.mark.parametrize("cls", _classes(), ids=lambda c: c.__name__)
def test_every_field_says_what_it_is_and_numbers_in_which_unit(cls):
    said = _documented(cls)
    own = [f for f in fields(cls) if f.name in said]
    assert [f.name for f in own if not said[f.name]] == []
    numbers = [f for f in own if re.search(r"\b(float|int)\b", str(f.type)) and f.type not in (Id, Id | None)]
    versions = ("schema", "rules", "seed")
    unitless = [f.name for f in numbers if f.name not in versions and not said[f.name].rstrip(".").endswith("]")]
    assert unitless == []
    assert cls.__doc__


def test_numpy_values_become_plain():
    assert samples.each_effect(np.float64(0.5)).to_dict()["flips"] == 0.5


def test_an_end_that_nothing_bounds_is_infinite_again_when_it_is_read():
    effect = FactorEffect(
        name="lr", aliases=(), by_seed=(1.0, 2.0), effect=1.5, interval=(-math.inf, 2.0), level=0.95, p=0.5,
        p_adjusted=0.5, smallest_p=0.5,
    )  # fmt: skip
    assert FactorEffect.from_dict(json.loads(to_json(effect.to_dict()))) == effect
