"""One hospital much smaller than the other: read as a balanced probe reads it, never absent or erased by default."""

import numpy as np
import pytest

from grokscope.dissect.battery import dissect_features
from grokscope.dissect.head import make_head
from grokscope.dissect.parts import coded, split_parts
from grokscope.dissect.probes import probe_site
from grokscope.dissect.sample import make_sample
from grokscope.results.probes import ProbeResult
from grokscope.results.settings import Settings

QUICK = Settings(permutations=199, resamples=199, probe_controls=1, draws=19, halves=2)


def draw(seed: int, separation: float, share: float, d: int = 32, patients: int = 60, per: int = 12):
    """Features, labels, environments and patients; the last hospital has this share of the patients."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), per)
    e = (np.arange(patients) < round(share * patients)).astype(int)[groups]
    y, h = rng.integers(0, 2, len(e)), rng.standard_normal((len(e), d))
    v, w = rng.standard_normal((2, d))
    h += separation * np.outer(e - e.mean(), v / np.linalg.norm(v))
    return h.astype(np.float32), y, e, groups, w / np.linalg.norm(w)


def read(seed: int, separation: float, share: float) -> ProbeResult | None:
    h, y, e, g, _ = draw(seed, separation, share)
    codes = coded(e, "e", len(e)), coded(y, "y", len(y)), coded(g, "g", len(g))
    try:
        parts, _ = split_parts(*codes, QUICK.shares, 0)
    except ValueError:
        return None
    sample = make_sample(codes[1].codes, codes[0].codes, codes[2].codes, parts, QUICK.balance)
    return probe_site("pooled", "environment", h, sample, QUICK)[0]


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_a_small_hospital_is_as_decodable_as_a_balanced_probe_shows(share):
    results = [r for s in range(6) if (r := read(s, 1.5, share)) is not None and r.test is not None]
    assert np.mean([r.test.balanced for r in results if r.test]) > 0.64
    # with one of fifteen patients in the test part no p below .05 exists: the others say so
    assert sum(r.verdict == "decodable" for r in results) >= 4
    assert not any(r.verdict == "not decodable" for r in results)


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_absence_is_not_concluded_from_a_few_patients(share):
    results = [r for s in range(6) if (r := read(s, 0.0, share)) is not None]
    assert all(r.verdict != "not decodable" for r in results)
    assert sum(r.verdict == "decodable" for r in results) <= 1
    silent = [r.reason for r in results if r.verdict == "cannot tell"]
    assert len(silent) >= 5
    assert all("15 units in the test part" in reason for reason in silent)


def test_nothing_is_erased_because_a_constant_guess_scores_chance():
    h, y, e, g, w = draw(0, 3.0, 0.1)
    h += 2 * np.outer(y, w).astype(np.float32)
    head = make_head(np.stack([-w, w]), np.array([1.0, -1.0]))
    found = dissect_features({"pooled": h}, head, y, e, g, settings=QUICK)
    assert found.accuracy[0].verdict == "above chance"
    assert all(x.verdict in ("not erased", "cannot tell") for x in found.m4.erasures)
