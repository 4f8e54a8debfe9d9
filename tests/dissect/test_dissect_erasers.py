"""The theorems of erasure, in float64, against what they say: not against the code's own formulas."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from grokscope.dissect.leace import leace, splince
from grokscope.dissect.probes import fit_path
from grokscope.dissect.subspaces import class_means, lda, mean_diff, principal_angles, probe_rows

RNG = np.random.default_rng


def blobs(n=600, d=12, values=(0, 3, 4), shares=None, seed=0, correlated=True):
    """Gaussian classes with integer names, correlated features and unequal scales."""
    rng = RNG(seed)
    z = rng.choice(values, size=n, p=shares)
    mix = rng.standard_normal((d, d)) if correlated else np.eye(d)
    centers = {v: 1.5 * rng.standard_normal(d) for v in values}
    return rng.standard_normal((n, d)) @ mix + np.stack([centers[v] for v in z]) + 7.0, z


def fits(h, z):
    probe = fit_path(h, z, [1.0])[0]
    return [mean_diff(h, z), lda(h, z), leace(h, z), probe_rows(probe.rows, h.mean(0))]


def test_every_eraser_is_idempotent_keeps_the_mean_and_has_rank_below_the_classes():
    h, z = blobs()
    for eraser in fits(h, z):
        assert eraser.rank == 2, eraser.name
        assert np.linalg.matrix_rank(eraser.projection) == 2
        once = eraser.apply(h)
        np.testing.assert_allclose(eraser.apply(once), once, atol=1e-9)
        np.testing.assert_allclose(once.mean(axis=0), h.mean(axis=0), atol=1e-9)


@pytest.mark.parametrize("fit", [mean_diff, leace])
@pytest.mark.parametrize(("values", "shares"), [((0, 3, 4), None), ((0, 1), None), ((7, 8, 9), (0.01, 0.49, 0.5))])
def test_class_means_become_equal_and_a_probe_learns_nothing(fit, values, shares):
    h, z = blobs(n=1500, values=values, shares=shares)
    if shares:
        assert (z == 7).sum() < 25
    edited = fit(h, z).apply(h)
    means = [edited[z == v].mean(axis=0) for v in values]
    for m in means[1:]:
        np.testing.assert_allclose(m, means[0], atol=1e-9)
    before, after = (fit_path(x, z, [1.0])[0] for x in (h, edited))
    # in standardized units; the optimizer stops at a gradient of 1e-4
    assert np.abs(after.coef).max() < 5e-3
    assert np.abs(before.coef).max() > 0.5
    assert after.log_loss(edited, z) == pytest.approx(np.log(len(values)), abs=1e-3)


def test_a_rare_class_in_tiny_units_is_not_skipped():
    # an absolute tolerance on the cross-covariance would take one per cent of a small difference for zero
    h, z = blobs(n=3000, values=(0, 1, 2), shares=(0.01, 0.495, 0.495))
    edited = leace(h * 1e-4, z).apply(h * 1e-4) * 1e4
    gap = edited[z == 0].mean(axis=0) - edited[z == 1].mean(axis=0)
    assert np.abs(gap).max() < 1e-8


def test_classes_are_names_not_numbers():
    h, z = blobs()
    renamed = np.array([{0: 90, 3: -5, 4: 2}[v] for v in z])
    for fit in (mean_diff, lda, leace):
        np.testing.assert_allclose(fit(h, z).apply(h), fit(h, renamed).apply(h), atol=1e-9)


def test_leace_edits_less_than_the_orthogonal_projection_and_than_its_neighbors():
    h, z = blobs()
    eraser = leace(h, z)
    size = lambda x: ((x - h) ** 2).sum(axis=1).mean()  # noqa: E731
    best = size(eraser.apply(h))
    assert best < 0.9 * size(mean_diff(h, z).apply(h))
    # other maps that also erase exactly: any left inverse of a full-rank map that kills the class offsets
    offsets = (class_means(h, z)[0] - h.mean(0)).T[:, :2]
    rng = RNG(1)
    for _ in range(20):
        right = np.linalg.pinv(offsets) + 0.02 * rng.standard_normal((2, 12)) @ (
            np.eye(12) - offsets @ np.linalg.pinv(offsets)
        )
        other = h - (h - h.mean(0)) @ (offsets @ right).T
        np.testing.assert_allclose(other[z == 0].mean(0), other[z == 3].mean(0), atol=1e-9)
        assert size(other) >= best - 1e-9


def test_leace_is_the_published_formula():
    """r(x) = x - W^+ P W (x - mean), P from the pseudo-inverse of the whitened cross-covariance with one-hot labels."""
    h, z = blobs(d=6)
    x, one_hot = h - h.mean(0), (z[:, None] == np.unique(z)).astype(float)
    one_hot -= one_hot.mean(0)
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    w = vectors @ np.diag(values**-0.5) @ vectors.T
    cross = w @ (x.T @ one_hot / len(x))
    p = cross @ np.linalg.pinv(cross, rcond=1e-10)
    np.testing.assert_allclose(leace(h, z).apply(h), h - x @ (np.linalg.inv(w) @ p @ w).T, atol=1e-8)


def test_splince_erases_and_leaves_the_covariance_with_the_task_as_it_was():
    rng = RNG(4)
    n, d = 900, 10
    z = rng.integers(0, 3, n)
    y = (rng.random(n) < np.array([0.2, 0.5, 0.8])[z]).astype(int)  # tied to the environment
    mix = rng.standard_normal((d, d))
    h = rng.standard_normal((n, d)) @ mix + rng.standard_normal((3, d))[z] + np.outer(y, rng.standard_normal(d))
    edited, by_leace = splince(h, z, y).apply(h), leace(h, z).apply(h)
    for value in (1, 2):
        np.testing.assert_allclose(edited[z == value].mean(0), edited[z == 0].mean(0), atol=1e-9)

    def change(after):
        return np.abs((after - h).T @ (y - y.mean()) / n).max()

    assert change(edited) < 1e-10
    assert change(by_leace) > 0.05
    eraser = splince(h, z, y, np.ones(n))
    assert eraser.rank == 2
    np.testing.assert_allclose(eraser.apply(edited), edited, atol=1e-9)
    # the published form: I - W^-1 V (U_perp' V)^-1 U_perp' W
    x = h - h.mean(0)
    values, vectors = np.linalg.eigh(x.T @ x / n)
    w, back = (vectors * values**p @ vectors.T for p in (-0.5, 0.5))
    hot = np.eye(3)[z] - np.eye(3)[z].mean(0)
    u = np.linalg.svd(w @ x.T @ hot)[0][:, :2]
    v = w @ x.T @ (y - y.mean())[:, None]
    both = np.linalg.qr(np.concatenate([u, v], axis=1), mode="complete")[0]
    v = np.concatenate([v, both[:, 3:]], axis=1)
    away = np.linalg.qr(u, mode="complete")[0][:, 2:]
    p = back @ v @ np.linalg.inv(away.T @ v) @ away.T @ w
    np.testing.assert_allclose(edited, h.mean(0) + x @ p.T, atol=1e-8)
    with pytest.raises(ValueError, match="along the same directions"):
        splince(h, y, y)


def test_weights_equal_repeated_examples():
    h, z = blobs(n=90, d=5)
    w = RNG(2).integers(1, 4, 90)
    for fit in (mean_diff, leace):
        np.testing.assert_allclose(
            fit(h, z, w).projection, fit(np.repeat(h, w, 0), np.repeat(z, w)).projection, atol=1e-9
        )


def test_with_more_dimensions_than_examples_held_out_data_still_shows_the_classes():
    rng = RNG(3)
    d, n = 300, 120
    center = np.zeros(d)
    center[0] = 4.0
    draw = lambda: (z := rng.integers(0, 2, n), rng.standard_normal((n, d)) + z[:, None] * center)[::-1]  # noqa: E731
    (h, z), (other, other_z) = draw(), draw()
    eraser = leace(h, z)
    fit = eraser.apply(h)
    np.testing.assert_allclose(fit[z == 0].mean(0), fit[z == 1].mean(0), atol=1e-8)
    held = eraser.apply(other)
    gap = held[other_z == 1].mean(0) - held[other_z == 0].mean(0)
    assert gap[0] > 1.0  # a quarter of the planted difference and more is still there


def test_lda_leaves_the_means_apart_where_features_are_correlated_and_not_where_they_are_white():
    h, z = blobs(n=4000)
    gap = lambda x: np.linalg.norm(x[z == 0].mean(0) - x[z == 3].mean(0))  # noqa: E731
    assert gap(lda(h, z).apply(h)) > 0.1 * gap(h)
    white, z = blobs(n=4000, correlated=False)
    assert gap(lda(white, z).apply(white)) < 0.05 * gap(white)


def test_lda_directions_are_scikit_learns():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    h, z = blobs()
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(h, z)
    angle = np.degrees(subspace_angles(theirs.scalings_[:, :2], lda(h, z, shrinkage=0.0).left))
    assert angle.max() < 0.1


def test_lda_in_rounds_removes_more_dimensions():
    h, z = blobs()
    eraser = lda(h, z, rounds=3)
    assert eraser.rank == 6
    np.testing.assert_allclose(eraser.right @ eraser.left, np.eye(6), atol=1e-10)


def test_probe_rows_are_a_projector_where_the_published_formula_is_singular():
    h, z = blobs()
    rows = fit_path(h, z, [1.0])[0].rows
    assert np.linalg.cond(rows @ rows.T) > 1e6
    eraser = probe_rows(rows, h.mean(0))
    np.testing.assert_allclose(eraser.projection, eraser.projection.T, atol=1e-12)
    # the rows of the probe give the same answer everywhere afterward
    assert np.ptp((eraser.apply(h) @ rows.T) - (eraser.apply(h) @ rows.T).mean(0)) < 1e-8


def test_principal_angles():
    eye = np.eye(4)
    assert principal_angles(eye[:, :1], eye[:, 1:2]) == (90.0,)
    mixed = np.array([[1.0], [1.0], [0], [0]]) / np.sqrt(2)
    assert principal_angles(eye[:, :1], mixed)[0] == pytest.approx(45)
    assert principal_angles(eye[:, :0], mixed) == ()


@pytest.mark.parametrize("fit", [mean_diff, lda, leace])
def test_bad_input(fit):
    h, z = blobs(n=40)
    with pytest.raises(ValueError, match="only one class"):
        fit(h, np.zeros(40))
    with pytest.raises(ValueError, match="labels"):
        fit(h, z[:-1])
    h[0, 0] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        fit(h, z)
    with pytest.raises(ValueError, match="constant"):
        (leace if fit is leace else lda)(np.ones((40, 3)), z)
