"""Each piece of a dissection is told as it begins, in order, and never past the end."""

import numpy as np

from grokscope.dissect.battery import dissect_features
from grokscope.dissect.planted import Planting, plant
from grokscope.dissect.progress import STEER_SITE, Progress
from grokscope.results.settings import Settings


def test_pieces_come_in_order_with_a_growing_share():
    told = []
    planted = plant(Planting(n=240, d=16, groups_per_environment=8), 0)
    settings = Settings(draws=9, permutations=19, resamples=19, probe_controls=1)
    progress = Progress(lambda piece, share: told.append((piece, share)))
    dissect_features(
        {"pooled": planted.features},
        planted.head,
        planted.labels,
        planted.environments,
        planted.groups,
        settings=settings,
        progress=progress,
    )
    assert [piece for piece, _ in told] == ["probes", "erasure", "steering", "neurons"]
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] < 1


def test_sites_to_steer_at_take_their_part_of_the_whole():
    told = []
    progress = Progress(lambda piece, share: told.append((piece, share)), ["layer1", "layer4"])
    progress.begin("neurons")
    progress.begin_site(0, "layer1")
    progress.begin_site(1, "layer4")
    assert [piece for piece, _ in told] == ["neurons", "steering at layer1", "steering at layer4"]
    assert told[1][1] == 1 / (1 + 2 * STEER_SITE)
    assert np.all(np.diff([share for _, share in told]) > 0)


def test_nobody_need_watch():
    Progress(None, ["layer1"]).begin("features")
