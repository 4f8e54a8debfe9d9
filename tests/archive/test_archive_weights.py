"""Weights from strangers: read when they are weights, refused when they are anything else, and never run."""

import io
import pickle
from pathlib import Path

import pytest
import torch
from archive_samples import Evil, tiny_network, tiny_weights
from safetensors.torch import save_file

from grokscope.archive.weights import misfit, norms, read_weights, resnet18, shapes


def saved(data: object, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(data, buffer, **options)
    return buffer.getvalue()


def test_plain_state_dicts_are_read(tmp_path):
    weights = tiny_weights(0)
    (tmp_path / "a.pt").write_bytes(saved(weights))
    (tmp_path / "old.pt").write_bytes(saved(weights, _use_new_zipfile_serialization=False))
    save_file(weights, tmp_path / "a.safetensors")
    for name in ("a.pt", "old.pt", "a.safetensors"):
        found, notes = read_weights(tmp_path / name)
        assert found.keys() == weights.keys()
        assert all(found[k].equal(weights[k]) and found[k].dtype == weights[k].dtype for k in weights)
        assert notes == []


@pytest.mark.parametrize("form", ["zip", "old", "pickle", "pickle0"])
def test_a_pickle_with_code_is_refused_and_nothing_runs(tmp_path, form):
    proof = tmp_path / "ran"
    data = {"conv1.weight": torch.ones(2), "x": Evil(proof)}
    content = {
        "zip": lambda: saved(data),
        "old": lambda: saved(data, _use_new_zipfile_serialization=False),
        "pickle": lambda: pickle.dumps({"x": Evil(proof)}),
        "pickle0": lambda: pickle.dumps({"x": Evil(proof)}, protocol=0),
    }[form]()
    path = tmp_path / "ep00200.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"ep00200\.pt: refused: .*system.*nothing was run"):
        read_weights(path)
    assert not proof.exists()


def test_the_malicious_file_would_have_run(tmp_path):
    """Or the test above shows nothing."""
    proof = tmp_path / "ran"
    pickle.loads(pickle.dumps(Evil(proof)))
    assert proof.exists()


def test_a_whole_module_is_refused(tmp_path):
    (tmp_path / "a.pt").write_bytes(saved(torch.nn.Linear(2, 2)))
    with pytest.raises(ValueError, match=r"refused.*torch\.nn\.modules"):
        read_weights(tmp_path / "a.pt")


@pytest.mark.parametrize("keep", [0, 1, 100, 1000, -10])
def test_files_cut_short_are_named(tmp_path, keep):
    path = tmp_path / "final.pt"
    path.write_bytes(saved(tiny_weights(0))[:keep])
    with pytest.raises(ValueError, match=r"final\.pt: (cut short|not a file of weights)"):
        read_weights(path)


def test_a_pointer_in_place_of_the_file_is_recognized(tmp_path):
    path = tmp_path / "final.pt"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 44000000\n")
    with pytest.raises(ValueError, match="Git LFS pointer"):
        read_weights(path)


def test_wrapped_weights_are_unwrapped_and_said(tmp_path):
    wrapped = {"epoch": 3, "model_state_dict": {f"module.{k}": v for k, v in tiny_weights(0).items()}}
    (tmp_path / "a.pt").write_bytes(saved(wrapped))
    found, notes = read_weights(tmp_path / "a.pt")
    assert found.keys() == tiny_weights(0).keys()
    assert any("model_state_dict" in n for n in notes)
    assert any("module." in n for n in notes)


@pytest.mark.parametrize("data", [[1, 2], {}, {"a": 1}, {"epoch": 3, "model": {"a": "text"}}])
def test_what_holds_no_weights_is_refused(tmp_path, data):
    (tmp_path / "a.pt").write_bytes(saved(data))
    with pytest.raises(ValueError, match="no state dict"):
        read_weights(tmp_path / "a.pt")


def test_another_network_is_noticed():
    expected = tiny_network(2)[0]
    weights = tiny_weights(0)
    assert misfit(weights, expected) is None
    assert misfit({k: v for k, v in weights.items() if k != "fc.bias"}, expected) == "lacks fc.bias"
    assert "beyond it extra" in str(misfit({**weights, "extra": torch.ones(1)}, expected))
    assert "shape of fc.bias" in str(misfit({**weights, "fc.bias": torch.ones(3)}, expected))


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


def test_the_finder_of_names_needs_no_torch_to_say_what_is_inside(tmp_path):
    from grokscope.archive.weights import _foreign_names

    path = Path(tmp_path / "a.pt")
    path.write_bytes(saved(tiny_weights(0)))
    assert list(_foreign_names(path)) == []
    path.write_bytes(saved({"x": Evil(tmp_path / "ran")}))
    assert [n.partition(".")[2] for n in _foreign_names(path)] == ["system"]
