"""Expectations that name a number of a dissection: which names there are, and a study that is really dissected."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from grokscope.dissect.runs import dissect_run
from grokscope.results.dissection import RULES
from grokscope.results.probes import M1
from grokscope.results.settings import Settings
from grokscope.study import Study
from grokscope.study.check import check
from grokscope.study.dissected import HEADS, parse, undone, value
from results import samples
from tiny import small_task

SETTINGS = Settings(draws=19, permutations=99)
SITES = ("layer1", "global_pool")


def study(*expect, **more):
    raw = {
        "name": "tiny",
        "seeds": [0, 1],
        "task": {**small_task("hospitals"), "n_train": 96, "n_eval": 192, "patients": 16, "slides": 16},
        "model": {"name": "small-resnet", "width": 4},
        "budget": {"steps": 300},
        "regime": {"recipe": "standard"},
        "diagnose": {"at": [300]},
        "arm": [{"name": "plain"}, {"name": "decay", "regime": {"weight_decay": 1.0}}],
        "expect": list(expect),
        **more,
    }
    return Study.from_dict(raw)


# -- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["steer.monotone.ood_test", "steer.monotone", "steer.slope", "neurons.separated@64", "neurons.excess.ood_val@8",
     "probe.env.layer1", "probe.task.mean_rgb", "probe.env.blocks.0.norm", "erase.refitted.leace"],
)  # fmt: skip
def test_names_are_read(name):
    assert study({"dissection": name, "between": [0, 1]}).expectations[0].expected() == f"dissection {name} in [0, 1]"


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"dissection": "steer.monoton.ood_test"}, r"\$\.expect\[0\]\.dissection: unknown number .*'steer\.monotone'"),
        ({"dissection": "neuron.separated@64"}, "did you mean 'neurons.separated'"),
        ({"dissection": "nonsense"}, f"known: .*{HEADS[0].split('.')[0]}|known: erase"),
        ({"dissection": 3}, "expected a text such as 'steer.monotone.ood_test', got 3"),
        ({"dissection": "steer.monotone.ood_tset"}, "unknown place 'ood_tset'; did you mean 'ood_test'"),
        ({"dissection": "neurons.separated"}, "write 'neurons.separated@64'"),
        ({"dissection": "steer.trend@4"}, "write 'steer.trend'"),
        ({"dissection": "steer.slope.test"}, "takes no further word"),
        ({"dissection": "probe.env"}, r"needs the site, for example 'probe\.env\.layer1'"),
        ({"dissection": "steer.slope", "measure": "norm_total"}, r"\.measure: not together with dissection"),
        ({"dissection": "steer.slope", "statistic": "first"}, r"\.statistic: not together with dissection"),
        ({"dissection": "steer.slope", "between": None}, "expected a range"),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest(block, words):
    with pytest.raises(ValueError, match=words):
        study({"between": [0, 1], **block})


def record(folder, **changes):
    """A run's folder with records made by hand."""
    samples.dissection(**changes).write(folder / "mechinterp")
    return folder


def test_what_a_dissection_could_not_tell_is_no_number(tmp_path):
    silent = samples.at_chance("at chance", probes=False)
    run = record(tmp_path, m1=M1(probes=(samples.probe("stem"),)), m4=silent.m4, m5=silent.m5, m6=silent.m6)
    assert undone(run) is None
    for name in ("steer.monotone", "probe.env.stem", "erase.refitted.leace", "neurons.separated@8", "steer.slope"):
        assert math.isnan(value(run, parse(name, "x")))


def test_separation_is_judged_by_the_draws_at_that_number_of_neurons(tmp_path):
    """The targeted drop must lie above 97.5 % of the random draws, not above their mean."""
    ks = (0, 8, 64, 128)
    done = samples.ablations("ood_test", "zero", ks)
    over = lambda *drops: replace(samples.each_effect((0.0,) * 4), accuracy_drop=drops)  # noqa: E731
    arms = replace(
        done.arms,
        environment=replace(done.arms.environment, curves=over(0.0, 0.1, 0.3, 0.3), high=None),
        random=replace(done.arms.random, curves=over(0.0, 0.05, 0.1, 0.1), high=over(0.0, 0.2, 0.2, math.nan)),
    )
    m6 = replace(samples.dissection().m6, ks=ks, ablations=(replace(done, arms=arms),))
    run = record(tmp_path, m6=m6)
    got = [value(run, parse(f"neurons.separated.ood_test@{k}", "x")) for k in (0, 8, 64)]
    assert got == [0.0, 0.0, 1.0]
    assert math.isnan(value(run, parse("neurons.separated.ood_test@128", "x")))  # no draws to stand against
    assert value(run, parse("neurons.excess.ood_test@64", "x")) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="no on 'test' was dissected; did you mean 'ood_test'"):
        value(run, parse("neurons.separated@8", "x"))


def test_a_record_that_lacks_a_field_says_which(tmp_path):
    path = record(tmp_path) / "mechinterp" / "m5.json"
    raw = json.loads(path.read_text())
    del raw["m5"]["curves"]
    path.write_text(json.dumps(raw))
    with pytest.raises(ValueError, match=r"steer\.trend: .*m5\.json: \$\.m5: the field 'curves' is missing"):
        value(tmp_path, parse("steer.trend", "x"))


# -- numbers --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The runs of the study, trained and not dissected."""
    root = tmp_path_factory.mktemp("runs")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study().run(root=root)
    return root


@pytest.fixture(scope="module")
def dissected(trained):
    """The same, dissected; run's id -> its dissection."""
    import warnings

    results = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for stand in study().status(trained):
            ((_, result),) = dissect_run(stand.run, sites=SITES, settings=SETTINGS, figures=False)
            results[stand.run.id] = result
    return results


def rows(trained, *expect):
    return study(*expect).check(trained)


@pytest.mark.slow
def test_without_a_dissection_it_is_open_with_the_command(trained):
    runs = [s.run for s in study().status(trained)]
    blocks = [
        {"dissection": "steer.slope", "between": [0, 9]},
        {"dissection": "steer.slope", "between": [0, 9], "of": {"arm": "plain"}, "to": {"arm": "decay"}},
    ]
    open_rows = rows(trained, *blocks)
    assert len(open_rows) == 2
    for row in open_rows:
        assert row.held is None
        assert row.seen.startswith("0 of 4 final checkpoints are dissected; run: grokscope dissect ")
        assert str(runs[0].path) in row.seen
        assert "3 more; all of a study: grokscope study dissect" in row.seen


@pytest.mark.slow
def test_every_name_gives_the_number_of_the_dissection(trained, dissected):
    for stand in study().status(trained):
        run, d = stand.run, dissected[stand.run.id]

        def got(name, run=run):
            return value(run.path, parse(name, "x"))

        for place in ("test", "ood_val", "ood_test"):
            curve = d.m5.curve(place)
            assert got(f"steer.monotone.{place}") == float(curve.monotone)
            assert got(f"steer.trend.{place}") == pytest.approx(curve.trend)
            assert got(f"steer.gain.{place}") == pytest.approx(curve.best_gain)
            assert got(f"steer.monotone_random.{place}") == pytest.approx(curve.monotone_random)
            arms = d.m6.on(place, "zero").arms
            i = d.m6.ks.index(4)
            drop = arms["environment"].curves["accuracy_drop"][i]
            assert got(f"neurons.separated.{place}@4") == float(drop > arms["random"].high["accuracy_drop"][i])
            assert got(f"neurons.excess.{place}@4") == pytest.approx(drop - arms["random"].curves["accuracy_drop"][i])
        assert got("steer.monotone") == got("steer.monotone.test")
        assert got("steer.slope") == pytest.approx(d.m5.slope_size)
        for site in SITES:
            assert got(f"probe.env.{site}") == pytest.approx(d.m1.at(site, "environment").test.balanced)
            assert got(f"probe.task.{site}") == pytest.approx(d.m1.at(site, "task").test.balanced)
        assert got("erase.refitted.leace") == pytest.approx(d.m4.by("leace").refitted.balanced)


@pytest.mark.slow
def test_expectations_hold_or_fail_by_the_numbers(trained, dissected):
    numbers = {i: d.m1.at("layer1", "environment").test.balanced for i, d in dissected.items()}
    low, high = min(numbers.values()), max(numbers.values())
    sure = {"dissection": "probe.env.layer1", "between": [low, high]}
    never = {"dissection": "probe.env.layer1", "between": [high + 0.01, 1.0]}
    some = {"dissection": "probe.env.layer1", "between": [high, 1.0], "share": 0.25}
    of, to = ({"arm": "plain"}, {"arm": "decay"})
    arms = {
        arm: [numbers[s.run.id] for s in study().status(trained) if arm in s.entry.arms] for arm in ("plain", "decay")
    }
    ratio = np.median(arms["plain"]) / np.median(arms["decay"])
    near = {"dissection": "probe.env.layer1", "of": of, "to": to, "between": [ratio - 1e-6, ratio + 1e-6]}
    far = {**near, "between": [ratio + 0.1, ratio + 0.2]}
    assert [row.held for row in rows(trained, sure, never, some, near, far)] == [True, False, True, True, False]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("probe.env.layr1", r"probe\.env: no site 'layr1' was dissected; did you mean 'layer1'"),
        ("neurons.separated@3", r"no K = 3 was ablated; known: 0, 1, 2, 4"),
        ("erase.refitted.leice", "no eraser 'leice' was dissected; did you mean 'leace'"),
    ],
)
def test_what_was_not_dissected_is_named_with_the_nearest(trained, dissected, name, words):
    with pytest.raises(ValueError, match=words):
        rows(trained, {"dissection": name, "between": [0, 1]})


@pytest.mark.slow
def test_another_checkpoint_or_older_rules_are_no_answer(trained, dissected):
    run = study().status(trained)[0].run
    file = run.path / "mechinterp" / "m1.json"
    record = json.loads(file.read_text())
    assert undone(run.path) is None
    try:
        for change in ({"selection": "peak_ood_val"}, {"rules": RULES - 1}, {"selection": "step=2"}):
            file.write_text(json.dumps(record | change))
            assert undone(run.path) == f"grokscope dissect {run.path}"
        (run.path / "mechinterp" / "step00000300").mkdir()
        file.write_text(json.dumps(record | {"selection": "step=300"}))  # all were dissected, this is the last
        assert undone(run.path) is None
    finally:
        file.write_text(json.dumps(record))
    stands = [replace(s, run=s.run) for s in study().status(trained)]
    assert check(study({"dissection": "steer.slope", "between": [0, 1e9]}).expectations, stands, None)[0].held is True
