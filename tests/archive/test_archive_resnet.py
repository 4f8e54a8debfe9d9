"""The published network: its size, groups and norms."""

import pytest
import torch
from archive_samples import tiny_network, tiny_weights

from grokscope.archive.resnet import norms, resnet18
from grokscope.store.weights import shapes


def test_norms_are_those_of_the_parameters():
    weights = tiny_weights(3)
    found = norms(weights, tiny_network(2)[1])
    head = torch.cat([weights["fc.weight"].flatten(), weights["fc.bias"]]).norm().item()
    assert found["norm_head"] == pytest.approx(head)
    every = torch.cat([v.flatten().float() for k, v in weights.items() if "num_batches" not in k]).norm().item()
    assert found["norm_total"] == pytest.approx(every)


def test_the_published_network_has_the_published_size():
    known = resnet18(2)
    assert known is not None
    names, groups, parameters = known
    assert parameters == 11_177_538
    assert names["fc.weight"] == (2, 512)
    assert {g: len(n) for g, n in groups.items()} == {"head": 2, "scale_invariant": 20, "normalization": 40}


@pytest.mark.slow
def test_its_groups_are_those_found_by_trying():
    from grokscope.measure.groups import parameter_groups
    from grokscope.models.resnet import timm_classifier

    torch.manual_seed(0)
    model = timm_classifier("resnet18", 3, 2, "batch")
    known = resnet18(2)
    assert known is not None
    assert parameter_groups(model, torch.randn(4, 3, 32, 32)) == known[1]
    assert shapes(model.state_dict()) == known[0]
