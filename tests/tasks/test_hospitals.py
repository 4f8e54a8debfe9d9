"""The planted shortcut is where the config says: stain tells the hospital, nuclei tell the tumor, nothing leaks."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from grokscope.tasks.hospitals import stain, tissue
from grokscope.tasks.hospitals.task import BLOCK, Hospitals
from grokscope.tasks.images.files import mean_rgb
from grokscope.tasks.trivial import trivial_metrics

SMALL = Hospitals(n_train=100, n_eval=70, image_size=24)


def texture(x):
    """Logarithm of the power of the gray image in rings of spatial frequency (n, 8), color and contrast taken out."""
    gray = x.mean(axis=1, dtype=np.float64)
    gray = (gray - gray.mean(axis=(1, 2), keepdims=True)) / gray.std(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.rfft2(gray)) ** 2
    size = gray.shape[1]
    ring = np.hypot(np.fft.fftfreq(size)[:, None], np.arange(power.shape[2]) / size) * 48
    edges = [1, 2, 3, 4, 6, 8, 11, 15, 22]
    bands = [power[:, (ring >= a) & (ring < b)].mean(axis=1) for a, b in pairwise(edges)]
    return np.log(np.stack(bands, axis=1))


def scores(data, features, target="y"):
    """Held-out accuracy per split of a logistic regression fitted on train."""
    train = data.splits["train"]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(features(train.x), getattr(train, target))
    return {name: model.score(features(s.x), getattr(s, target)) for name, s in data.splits.items()}


# -- the splits -----------------------------------------------------------------------------------------------------


def test_shapes_and_plain_meta():
    data = SMALL.build(0)
    assert {name: s.x.shape for name, s in data.splits.items()} == {
        "train": (100, 3, 24, 24), "id_val": (70, 3, 24, 24), "ood_val": (70, 3, 24, 24), "ood_test": (70, 3, 24, 24)
    }  # fmt: skip
    assert all(s.x.dtype == np.uint8 for s in data.splits.values())
    assert json.loads(json.dumps(data.meta)) == data.meta
    assert data.meta["groups"]["4"] == "004"
    assert len(data.meta["mean"]) == len(data.meta["std"]) == data.meta["image_shape"][0]


def test_the_same_seed_draws_the_same_and_another_draws_other_training_patches_only():
    one, again, other = SMALL.build(0), replace(SMALL).build(0), SMALL.build(1)
    for name, split in one.splits.items():
        np.testing.assert_array_equal(split.x, again.splits[name].x)
        assert (split.x == other.splits[name].x).all() == (name != "train")
    world = replace(SMALL, world_seed=1).build(0)
    assert all((one.splits[name].x != world.splits[name].x).any() for name in one.splits)


def test_a_larger_subset_begins_with_the_smaller_one():
    large = replace(SMALL, n_train=BLOCK + 90).build(0).splits["train"]
    for n in (1, BLOCK, 100):
        small = replace(SMALL, n_train=n).build(0).splits["train"]
        for key in ("x", "y", "env", "group"):
            np.testing.assert_array_equal(getattr(small, key), getattr(large, key)[:n])


@pytest.mark.parametrize(("hospitals", "correlation"), [(5, 0.0), (5, 0.9), (5, 1.0), (8, 0.5)])
def test_labels_follow_the_hospital_in_training_only(hospitals, correlation):
    plan = replace(SMALL, hospitals=hospitals, correlation=correlation, n_train=1200, n_eval=600).plan(0)
    side = {5: [-1, 0, 1], 8: [-1, -1, -1, 1, 1, 1]}[hospitals]
    for name in ("train", "id_val"):
        center, tumor = plan[name]["center"], plan[name]["tumor"]
        assert set(center) == set(range(hospitals)) - {1, 2}
        share = [tumor[center == c].mean() for c in sorted(set(center))]
        np.testing.assert_allclose(share, 0.5 + 0.5 * correlation * np.array(side), atol=0.005)
        assert np.ptp(np.bincount(center)[sorted(set(center))]) <= 2
    for name, center in (("ood_val", 1), ("ood_test", 2)):
        assert set(plan[name]["center"]) == {center}
        assert plan[name]["tumor"].mean() == 0.5


@pytest.mark.parametrize(("patients", "slides"), [(10, 10), (2, 7), (25, 30)])
def test_no_patient_leaks_and_numbers_nest(patients, slides):
    config = replace(SMALL, patients=patients, slides=slides, n_train=600, n_eval=600)
    plan = config.plan(0)
    seen = {name: set(rows["patient"]) for name, rows in plan.items()}
    assert not any(seen[a] & seen[b] for a in seen for b in seen if a != b)
    assert len(seen["train"] | seen["id_val"]) == 3 * patients
    rows = {key: np.concatenate([p[key] for p in plan.values()]) for key in plan["train"]}
    np.testing.assert_array_equal(rows["patient"] // max(20, patients), rows["center"])
    np.testing.assert_array_equal(rows["slide"] // max(10, slides), rows["center"])
    by_slide = {(s, p, n) for s, p, n in zip(rows["slide"], rows["patient"], rows["node"], strict=True)}
    assert len(by_slide) == len({(p, n) for _, p, n in by_slide}) == 5 * slides
    leaky = replace(config, id_val="leaky").plan(0)
    shared = set(leaky["id_val"]["slide"]) & set(leaky["train"]["slide"])
    assert len(shared) > 0.9 * 3 * slides


# -- the colors ----------------------------------------------------------------------------------------------------


def test_a_laboratory_without_offset_is_the_published_pair():
    pair = stain.laboratory(np.zeros(4))
    for vector, published in zip(pair, (stain.HEMATOXYLIN, stain.EOSIN), strict=True):
        np.testing.assert_allclose(vector, published / np.linalg.norm(published))
    turned = stain.laboratory(np.array([0.3, -0.2, 0.1, 0.2]))
    length = np.linalg.norm(turned, axis=1)
    np.testing.assert_allclose(length, np.exp([0.3, -0.2]))
    np.testing.assert_allclose((turned * pair).sum(axis=1) / length, np.cos([0.1, 0.2]))


def test_mixing_is_beer_lambert():
    rng = np.random.default_rng(0)
    vectors = stain.laboratory(rng.normal(0, 0.1, (3, 4)))
    amounts = rng.uniform(0, 0.8, (3, 2, 5, 6))
    colors = stain.mix(amounts, vectors)
    h, e = amounts[1, :, 2, 3]
    np.testing.assert_allclose(colors[1, :, 2, 3], 245 * 10 ** -(h * vectors[1, 0] + e * vectors[1, 1]))
    assert (stain.mix(0 * amounts, vectors) == stain.WHITE).all()


def test_balancing_meets_the_target_color():
    rng = np.random.default_rng(0)
    vectors = stain.laboratory(rng.normal(0, 0.1, (20, 4)))
    amounts = tissue.draw(rng, np.arange(20) % 2, 32, 1.0)
    target = np.array([0.2, 0.22]) * np.exp(rng.normal(0, 0.1, (20, 2)))
    factor = stain.balance(amounts, vectors, target).astype(np.float32)
    colors = stain.mix(amounts * factor[:, :, None, None], vectors).mean(axis=(2, 3))
    even = stain.mix(target[:, :, None, None], vectors)[:, :, 0, 0]
    np.testing.assert_allclose(colors[:, :2], even[:, :2], rtol=1e-3)


def test_evened_light_meets_the_target_in_every_channel():
    rng = np.random.default_rng(0)
    vectors = stain.laboratory(rng.normal(0, 0.1, (6, 4)))
    colors = stain.mix(tissue.draw(rng, np.arange(6) % 2, 32, 1.0), vectors)
    target = np.full((6, 2), 0.2)
    evened = colors * stain.even_light(colors, vectors, target)[:, :, None, None]
    np.testing.assert_allclose(evened.mean(axis=(2, 3)), stain.mix(target[:, :, None, None], vectors)[:, :, 0, 0])


def test_tumor_nuclei_are_larger_and_denser():
    tumor = np.repeat([0, 1], 60)
    covered = (tissue.draw(np.random.default_rng(0), tumor, 48, 1.0)[:, 0] > 0.25).mean(axis=(1, 2))
    assert covered[tumor == 1].mean() > 1.5 * covered[tumor == 0].mean()
    same = (tissue.draw(np.random.default_rng(0), tumor, 48, 0.0)[:, 0] > 0.25).mean(axis=(1, 2))
    assert abs(same[tumor == 1].mean() - same[tumor == 0].mean()) < 0.03


# -- the shortcut ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strong():
    return Hospitals(n_train=600, n_eval=300, image_size=32, correlation=1.0, morphology=1.0).build(0)


def test_color_tells_the_label_at_home_and_nothing_elsewhere(strong):
    color = scores(strong, mean_rgb)
    knows_hospital = trivial_metrics(strong)
    for name in ("train", "id_val"):
        assert color[name] > knows_hospital[name]["acc"] - 0.05 > 0.75
    assert all(abs(color[name] - 0.5) < 0.1 for name in ("ood_val", "ood_test"))


def test_nuclei_tell_the_label_everywhere(strong):
    assert min(scores(strong, texture).values()) > 0.8


def test_color_tells_the_hospital_only_where_stains_differ(strong):
    assert scores(strong, mean_rgb, "env")["train"] > 0.9
    flat = Hospitals(n_train=300, n_eval=8, image_size=24, stain_shift=0, slide_shift=0, correlation=0).build(0)
    assert scores(flat, mean_rgb, "env")["train"] < 0.45


@pytest.mark.parametrize("stain_shift", [0.0, 1.0])
def test_no_channel_of_the_mean_color_says_anything_of_the_label_without_the_correlation(stain_shift):
    """Two stains can be balanced in two channels only; blue alone once told .59 of held-out labels."""
    config = Hospitals(n_train=1500, n_eval=1000, image_size=32, correlation=0, morphology=1.0, stain_shift=stain_shift)
    data = config.build(0)
    for channels in ([0], [1], [2], [0, 1, 2]):
        told = scores(data, lambda x, c=channels: mean_rgb(x)[:, c])
        assert all(abs(told[name] - 0.5) < 0.05 for name in ("id_val", "ood_val", "ood_test")), (channels, told)


def test_with_the_colour_cue_the_mean_color_tells_the_label():
    config = Hospitals(n_train=600, n_eval=300, image_size=32, correlation=0, morphology=1.0)
    assert scores(replace(config, colour_cue=1.0, stain_shift=0.0).build(0), mean_rgb)["id_val"] > 0.7


def test_without_morphology_nothing_tells_the_label_elsewhere():
    data = Hospitals(n_train=300, n_eval=300, image_size=32, morphology=0).build(0)
    assert all(abs(scores(data, texture)[name] - 0.5) < 0.1 for name in ("ood_val", "ood_test"))


# -- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_train": 0}, "n_train and n_eval must be at least 1"),
        ({"image_size": 4}, "image_size must be at least 8"),
        ({"hospitals": 2}, "hospitals must be at least 3"),
        ({"hospitals": 3}, "a correlation needs two training hospitals"),
        ({"correlation": 1.2}, r"correlation must lie in \[0, 1\]"),
        ({"stain_shift": -1.0}, "stain_shift must not be negative"),
        ({"patients": 1}, "patients must be at least 2"),
        ({"patients": 61}, "slides must be at least patients"),
    ],
)
def test_impossible_worlds_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Hospitals(**change)


def test_more_patches_than_fit_in_memory_are_refused_and_not_tried():
    with pytest.raises(ValueError, match=r"\$.task.n_train, n_eval or image_size: .* GB of images do not fit"):
        Hospitals(n_train=10**9, image_size=96).build(0)
