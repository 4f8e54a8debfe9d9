import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import planted_network, stained, tiny_resnet
from torch import nn

from grokscope.dissect.answer import judge_use, main_eraser
from grokscope.dissect.battery import Unseen, check_selection, dissect, dissect_features, mean_rgb
from grokscope.dissect.controls import null
from grokscope.dissect.erasure import causal
from grokscope.dissect.features import state_hash
from grokscope.dissect.head import make_head
from grokscope.dissect.planted import Planting, plant
from grokscope.dissect.saving import save_dissection
from grokscope.results.answer import Reliance
from grokscope.results.scores import Effect
from grokscope.results.settings import Settings

QUICK = Settings(
    draws=39,
    permutations=99,
    resamples=99,
    probe_controls=1,
    halves=5,
    regularization=(1e-2, 1e-1),
    ks=(0, 1, 2, 4, 8, 32),
)
SMALL = Planting(n=480, d=24, neurons=4, separation=5.0, group_sd=0.2, groups_per_environment=12)


def run(what=SMALL, seed=0, settings=QUICK, **options):
    p = plant(what, seed)
    return p, dissect_features(
        {"pooled": p.features}, p.head, p.labels, p.environments, p.groups, settings=settings, **options
    )


@pytest.fixture(scope="module")
def used():
    return run()


@pytest.fixture(scope="module")
def trained():
    """A tiny network whose head was fitted to the labels, which its images carry beside the stain."""
    x, y, e, g = stained(360)
    model = tiny_resnet()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        optimizer.step()
    return model.eval(), x, y, e, g


def test_used_and_unused_shortcuts_land_in_their_cells(used):
    _, found = used
    assert found.where.cell == "readable and used"
    assert found.where.form in ("few neurons", "many neurons")
    assert found.reliance.p <= 0.05
    assert found.m5.causal
    assert found.m6.causal
    _, other = run(replace(SMALL, used=False, n=640, groups_per_environment=16, task_separation=5.0), seed=2)
    assert other.where.cell == "readable but unused"
    assert other.where.form == "cannot tell"
    assert not other.m5.causal


def test_the_main_eraser_is_chosen_by_sizes_alone(used):
    _, found = used
    many = replace(found.m4, erasures=tuple(replace(e, units_fit=3 * e.d) for e in found.m4.erasures))
    assert found.m4.erasures[0].units_fit == 18  # patients, not patches
    assert main_eraser(found.m4).eraser == found.where.eraser == "mean_diff"
    assert main_eraser(many).eraser == "leace"
    assert main_eraser(replace(found.m4, erasures=(found.m4.by("lda"),))).eraser == "lda"


def test_a_failed_test_is_no_proof_of_absence():
    near, far = (0.0, 0.3), (0.0, 0.9)
    whole = Reliance(
        env_gap=0.1,
        interval=near,
        class_gap=2.0,
        p=0.5,
        sidedness="greater",
        smallest_p=0.01,
        permuted="groups",
        fewest_units=5,
    )
    assert judge_use(True, 0.4, replace(whole, interval=far), 0.25) == "used"
    assert judge_use(True, 0.09, replace(whole, interval=far), 0.25) == "used, negligibly"
    assert judge_use(False, 0.1, whole, 0.25) == "unused"
    assert judge_use(None, 0.1, whole, 0.25) == "unused"
    for other in (
        replace(whole, interval=far),
        replace(whole, interval=None),
        replace(whole, interval=(0.1, 0.1)),
        replace(whole, class_gap=float("nan")),
        replace(whole, fewest_units=2),
    ):
        assert judge_use(False, 0.1, other, 0.25) == "cannot tell"


def test_use_needs_an_interval_above_zero_and_every_control_beaten():
    beaten = null("norm", 1.0, np.zeros(99), "greater")
    effect = Effect(
        name="env_gap_drop",
        on="test",
        value=1.0,
        interval=(0.2, 2.0),
        level=0.95,
        unit="group",
        n=90,
        n_units=9,
        controls={"norm": beaten},
    )
    assert causal(effect, 0.05) is True
    assert causal(replace(effect, interval=(-0.1, 2.0)), 0.05) is False
    assert causal(replace(effect, controls={"norm": beaten, "labels": replace(beaten, p=0.08)}), 0.05) is False
    assert causal(replace(effect, interval=(1.0, 1.0)), 0.05) is None
    assert causal(replace(effect, interval=None), 0.05) is None
    assert causal(replace(effect, controls={"norm": replace(beaten, smallest_p=0.1)}), 0.05) is None
    assert beaten.sidedness == "greater"


def test_nothing_is_found_where_nothing_is():
    _, found = run(replace(SMALL, separation=0.0), seed=3)
    assert found.where.cell in ("neither", "cannot tell")
    assert not found.m5.causal
    assert all(not e.causal for e in found.m4.erasures)
    assert all(e.verdict == "cannot tell" for e in found.m4.erasures)
    assert found.m4.erasures[0].reason.startswith("the environment could not be read before")


def test_an_old_probe_at_chance_is_not_taken_for_erasure():
    # two strong directions in many dimensions: the fitted subspace misses a part that a new probe reads
    _, found = run(Planting(n=600, d=100, rank=2, separation=6.0, neurons=50, groups_per_environment=12), seed=1)
    e = found.m4.by("probe_rows")
    assert e.old_probe.balanced < e.old_probe.chance + 0.05
    assert e.refitted.balanced > e.refitted.chance + 0.2
    assert e.verdict == "not erased"
    assert e.guarantee.startswith("none")
    exact = found.m4.by("leace")
    assert exact.refitted_on_fit.balanced < exact.refitted_on_fit.chance + 0.06
    assert "none on held-out examples" in exact.guarantee


def test_intervention_of_an_eraser_does_what_the_record_says(used):
    from grokscope.dissect.subspaces import mean_diff
    from grokscope.dissect.through import logits_with

    p, _ = used
    network = planted_network(p)
    eraser = mean_diff(p.features, p.environments)
    edited = logits_with(network, p.features, eraser.intervention("pooled"))
    np.testing.assert_allclose(edited, p.head.logits(eraser.apply(p.features)), atol=1e-4)


def test_whole_battery_on_a_network_leaves_it_as_it_was(trained, tmp_path):
    model, x, y, e, g = trained
    before = state_hash(model)
    far = Unseen(x[:60] + 0.5, y[:60], np.ones(60), g[:60])
    options = {"unseen": {"ood_val": far}, "settings": QUICK, "cache": tmp_path, "steer_sites": ["layer2"]}
    found = dissect(model, x, y, e, g, **options)
    assert state_hash(model) == before
    assert not model.training
    assert {p.site for p in found.m1.probes} == {
        "stem", "layer1", "layer2", "layer3", "layer4", "pooled", "mean_rgb"
    }  # fmt: skip
    assert found.m1.at("mean_rgb", "environment").verdict == "decodable"
    assert found.m1.at("stem", "environment").verdict == "decodable"
    assert [s.name for s in found.scenes] == ["test", "ood_val"]
    assert np.isnan(found.m4.by("leace").effects["ood_val"]["env_gap_drop"].value)
    assert np.isfinite(found.m4.by("leace").effects["ood_val"]["accuracy_drop"].value)
    assert found.m5.linearity_error < 1e-9
    assert found.m6.skipped_ks == (32,)
    (early,) = found.m5.sites
    assert (early.site, len(early.random_accuracy)) == ("layer2", 19)
    middle = early.steps.index(0.0)
    assert all(r[middle] == early.accuracy[middle] for r in early.random_accuracy)
    again = dissect(model, x, y, e, g, **options)
    assert json.dumps(again.to_dict()) == json.dumps(found.to_dict())


def test_results_are_written_as_strict_json_and_pictures(used, tmp_path):
    _, found = used
    out = save_dissection(found, tmp_path)
    names = [f"m{k}.{e}" for k in (1, 4, 5, 6) for e in ("json", "png")]
    assert sorted(p.name for p in out.iterdir()) == sorted([*names, "calibration.json"])
    raw = {k: json.loads((out / f"{k}.json").read_text(), parse_constant=pytest.fail) for k in ("m1", "m4", "m5", "m6")}
    for key, record in raw.items():
        assert set(record) & {"m1", "m4", "m5", "m6"} == {key}
        assert record["selection"] == "given"
        assert record["settings"]["draws"] == 39
        assert record["parts"]["sizes"]["test"] > 0
    effect = raw["m4"]["m4"]["erasures"][0]["effects"]["test"]["accuracy_drop"]
    assert set(effect["controls"]) == {"dimension", "variance", "norm", "labels"}
    assert effect["unit"] == "group"
    assert effect["controls"]["norm"]["smallest_p"] == pytest.approx(2 / 40)
    assert all((out / f"{k}.png").read_bytes().startswith(b"\x89PNG") for k in raw)


def test_controls_are_drawn_independently_of_each_other(used):
    _, found = used
    _, fewer = run(settings=replace(QUICK, erasers=("leace",), ks=(0, 4)))
    a, b = found.m4.by("leace"), fewer.m4.by("leace")
    assert a.effects["test"]["flips"].controls["norm"] == b.effects["test"]["flips"].controls["norm"]
    assert found.m5.slope_controls == fewer.m5.slope_controls


def test_oracle_selection_is_stamped(tmp_path):
    _, found = run(selection="oracle:ood_test")
    assert any("chosen by an oracle (chosen on ood_test)" in w for w in found.warnings)
    save_dissection(found, tmp_path, figures=False)
    assert json.loads((tmp_path / "mechinterp" / "m5.json").read_text())["selection"] == "oracle=ood_test"


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("given", "given"),
        ("final", "final"),
        ("step:1200", "step=1200"),
        ("peak:ood_val", "peak_ood_val"),
        ("peak_id_val", "peak_id_val"),
        ("oracle:ood_test", "oracle=ood_test"),
        ("oracle", "oracle=ood_test"),
    ],
)
def test_selection_rules_are_recorded_in_one_spelling(rule, name):
    assert check_selection(rule) == name


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("peak:ood_test", "only under the name 'oracle'"),
        ("best", "unknown rule 'best'"),
        ("mean_last=3", "no checkpoint"),
    ],
)
def test_other_selection_rules_are_refused(rule, message):
    with pytest.raises(ValueError, match=message):
        check_selection(rule)


def test_environment_that_is_the_class_cannot_be_told_apart():
    p = plant(SMALL, 0)
    e = np.where(p.labels == 1, "A", "B")
    found = dissect_features({"pooled": p.features}, p.head, p.labels, e, None, settings=QUICK)
    assert found.where.cell == "cannot tell"
    assert "coincide" in found.where.reason
    assert not found.balanced
    assert found.parts.association == pytest.approx(1)
    assert found.m1.at("pooled", "environment").verdict == "cannot tell"


def test_dead_features_cannot_tell():
    p = plant(SMALL, 0)
    found = dissect_features(
        {"pooled": np.ones_like(p.features)}, p.head, p.labels, p.environments, p.groups, settings=QUICK
    )
    assert found.m4.cannot_tell == found.m5.cannot_tell == found.m6.cannot_tell == "the features are constant"
    assert found.where.cell == "cannot tell"


def test_a_battery_that_cannot_tell_leaves_no_picture(tmp_path):
    p = plant(SMALL, 0)
    (tmp_path / "mechinterp").mkdir()
    (tmp_path / "mechinterp" / "m4.png").write_bytes(b"of an earlier dissection")
    blind = make_head(np.zeros_like(p.head.weight))
    found = dissect_features({"pooled": p.features}, blind, p.labels, p.environments, p.groups, settings=QUICK)
    assert found.accuracy[0].verdict == "at chance"
    out = save_dissection(found, tmp_path)
    assert not list(out.glob("*.png"))
    assert "at chance" in json.loads((out / "m4.json").read_text())["m4"]["cannot_tell"]


def test_bad_inputs_name_the_argument(used):
    p, _ = used
    args = {"labels": p.labels, "environments": p.environments, "groups": p.groups}
    call = lambda f=p.features, h=p.head, **changes: dissect_features({"pooled": f}, h, **{**args, **changes})  # noqa: E731
    broken = p.features.copy()
    broken[0, 0] = np.nan
    for message, changes in {
        "labels: must be integers 0 to 1": {"labels": p.labels + 1},
        "labels: expected 480 values": {"labels": p.labels[:-1]},
        "environments: only one": {"environments": np.zeros(480)},
        "groups: expected 480": {"groups": p.groups[:3]},
        "NaN or infinite": {"f": broken},
        "head: reads 5 features": {"h": make_head(np.ones((2, 5)))},
    }.items():
        with pytest.raises(ValueError, match=message):
            call(**changes)
    with pytest.raises(ValueError, match="the site 'pooled'"):
        dissect_features({"layer4": p.features}, p.head, **args)
    with pytest.raises(ValueError, match="is the name of a part"):
        call(unseen={"test": Unseen(p.features, p.labels)})
    with pytest.raises(ValueError, match="erasers: unknown"):
        Settings(erasers=("inlp",))


def test_labels_keep_the_order_of_the_outputs_when_a_class_is_absent():
    p = plant(SMALL, 0)
    weight = np.concatenate([-10 * np.ones((1, 24)), p.head.weight])
    head = make_head(weight, np.array([-1e3, 0, 0]))
    found = dissect_features({"pooled": p.features}, head, p.labels + 1, p.environments, p.groups, settings=QUICK)
    plain = (p.head.logits(p.features).argmax(1) == p.labels).mean()
    assert found.scenes[0].accuracy == pytest.approx(plain, abs=0.1)


def test_the_package_is_the_function():
    import grokscope.dissect as package

    with pytest.raises(ValueError, match="the set is empty"):
        package(tiny_resnet(), np.zeros((0, 3, 8, 8), np.float32), [], [])  # type: ignore[operator]


def test_color_is_the_mean_over_positions_of_rgb_images_only():
    x = stained(6)[0]
    np.testing.assert_allclose(mean_rgb(x), x.mean((2, 3)), atol=1e-6)
    assert mean_rgb(x[:, :1]) is None
    assert mean_rgb(np.zeros((4, 3))) is None
