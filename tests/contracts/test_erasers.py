"""Every registered eraser keeps the theorem it claims, changes nothing of what it is given, and has its control."""

from dataclasses import dataclass

import numpy as np
import pytest

from grokscope import registry
from grokscope.dissect.erasure_methods import ErasureMethod, ErasureView, method
from grokscope.dissect.leace import whiten
from grokscope.dissect.probes import fit_path
from grokscope.dissect.subspaces import Eraser, class_means
from grokscope.results.settings import ERASERS, Settings

NAMES = list(registry.entries("eraser"))


@pytest.fixture(scope="module")
def view():
    rng = np.random.default_rng(0)
    z, y = rng.integers(0, 3, 400), rng.integers(0, 2, 400)
    h = rng.normal(size=(400, 12)) @ rng.normal(size=(12, 12))
    h[:, 0] += 2.0 * z
    h[:, 1] += 3.0 * y
    probe = fit_path(h, z, (0.1,), None)[0]
    means, _, center = class_means(h, z)
    return ErasureView(h, z, y, None, probe, whiten(h, None), h - means[z] + center)


def spread(h, z):
    """Largest distance between class means, in standard deviations of the features."""
    means = np.array([h[z == k].mean(axis=0) for k in np.unique(z)])
    return float(np.abs(means - means.mean(axis=0)).max() / h.std())


@pytest.mark.parametrize("name", NAMES)
def test_an_eraser_is_a_projection_and_leaves_its_input_alone(name, view):
    before = view.h.copy()
    eraser = method(name).fit(view)
    once = eraser.apply(view.h)
    assert np.allclose(eraser.apply(once), once, atol=1e-8)
    assert np.array_equal(view.h, before)
    assert eraser.name == name
    assert 1 <= eraser.rank <= 2


@pytest.mark.parametrize("name", NAMES)
def test_means_stay_apart_exactly_where_it_is_said(name, view):
    erasure_method = method(name)
    after = spread(erasure_method.fit(view).apply(view.h), view.z)
    assert spread(view.h, view.z) > 0.1
    assert (after > 1e-3) == erasure_method.means_stay


@pytest.mark.parametrize("name", NAMES)
def test_the_control_is_fitted_to_each_labeling(name, view):
    rng = np.random.default_rng(1)
    labelings = [(rng.permutation(view.z), None) for _ in range(3)]
    fitted = method(name).fit_labelings(view, labelings)
    assert len(fitted) == (0 if name == "probe_rows" else 3)
    if fitted:
        assert not np.allclose(fitted[0].projection, fitted[1].projection)


def test_several_rounds_of_lda_cost_their_control(view):
    assert method("lda", lda_rounds=2).fit_labelings(view, [(view.z, None)]) == []
    assert method("lda", lda_rounds=2).fit(view).rank == 4


def test_the_default_erasers_are_all_there_are_built_in():
    assert set(ERASERS) == set(registry.built_in("eraser"))


def test_an_unknown_eraser_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"erasers: unknown \['leaze'\]; known: .*leace"):
        Settings(erasers=("leaze",))


def test_a_strangers_eraser_takes_part_in_a_dissection(monkeypatch):
    from grokscope.dissect.battery import dissect_features
    from grokscope.dissect.planted import Planting, plant

    monkeypatch.setattr(registry, "_IN_PROCESS", dict(registry._IN_PROCESS))

    @registry.register
    @dataclass(frozen=True, kw_only=True)
    class First(ErasureMethod):
        """Removes the first feature: ``h_0 = m_0``. Cost: none. Misleads: nearly always."""

        name = "first_feature"
        means_stay = True

        def fit(self, view):
            v = np.eye(view.h.shape[1])[:1]
            return Eraser(self.name, v.T, v, view.h.mean(axis=0))

    p = plant(Planting(n=240, d=16, groups_per_environment=8), seed=0)
    settings = Settings(erasers=("first_feature", "leace"), draws=9, permutations=19, resamples=19, probe_controls=1)
    found = dissect_features({"pooled": p.features}, p.head, p.labels, p.environments, p.groups, settings=settings)
    first, leace = found.m4.erasures
    assert first.guarantee == "none: the class means stay apart"
    assert set(first.effects["test"].env_gap_drop.controls) == {"dimension", "variance", "norm"}
    assert "labels" in leace.effects["test"].env_gap_drop.controls
