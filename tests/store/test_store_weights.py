"""Weights from strangers: read when they are weights, refused when they are anything else, and never run."""

import io
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from grokscope.store.weights import bare, fill, misfit, read_weights, read_weights_for, shapes


class Evil:
    """A pickle that runs a command when it is read."""

    def __init__(self, proof: Path):
        self.proof = proof

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.proof}",)


def tiny_weights(seed: int) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        "conv1.weight": torch.randn(2, 3, 3, 3, generator=g),
        "bn1.num_batches_tracked": torch.tensor(seed),
        "fc.weight": torch.randn(2, 2, generator=g),
        "fc.bias": torch.zeros(2),
    }


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
    expected = shapes(tiny_weights(1))
    weights = tiny_weights(0)
    assert misfit(weights, expected) is None
    assert misfit({k: v for k, v in weights.items() if k != "fc.bias"}, expected) == "lacks fc.bias"
    assert "beyond it extra" in str(misfit({**weights, "extra": torch.ones(1)}, expected))
    assert "shape of fc.bias" in str(misfit({**weights, "fc.bias": torch.ones(3)}, expected))


def test_the_finder_of_names_needs_no_torch_to_say_what_is_inside(tmp_path):
    from grokscope.store.weights import _foreign_names

    path = Path(tmp_path / "a.pt")
    path.write_bytes(saved(tiny_weights(0)))
    assert list(_foreign_names(path)) == []
    path.write_bytes(saved({"x": Evil(tmp_path / "ran")}))
    assert [n.partition(".")[2] for n in _foreign_names(path)] == ["system"]


class Tiny(torch.nn.Module):
    def __init__(self, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.body, self.fc = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.body(x).relu())


PREFIXES = [
    "",
    "module.",
    "model.",
    "net.",
    "_orig_mod.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "model.net.module.",
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("ending", ["pt", "ckpt", "safetensors"])
def test_prefixes_in_any_order_and_depth_are_matched_to_the_network(tmp_path, prefix, ending):
    weights = {f"{prefix}{k}": v for k, v in Tiny(1).state_dict().items()}
    path = tmp_path / f"w.{ending}"
    if ending == "safetensors":
        save_file(weights, path)
    else:
        path.write_bytes(saved({"epoch": 3, "state_dict": weights} if ending == "ckpt" else weights))
    model = Tiny(0)
    notes = fill(model, path)
    assert all(v.equal(Tiny(1).state_dict()[k]) for k, v in model.state_dict().items())
    assert any("prefixes" in n for n in notes) == bool(prefix)


def test_a_wrapped_part_and_a_wrapped_network_are_matched_too(tmp_path):
    renamed = {k.replace("body.", "body.module."): v for k, v in Tiny(1).state_dict().items()}
    (tmp_path / "a.pt").write_bytes(saved(renamed))
    wrapped = torch.nn.Sequential()
    wrapped.add_module("model", Tiny(0))
    fill(wrapped, tmp_path / "a.pt")
    assert wrapped.state_dict()["model.body.weight"].equal(Tiny(1).body.weight)
    assert bare("model.body._orig_mod.weight") == "body.weight"


def test_what_a_framework_stores_beside_the_network_is_left_out_and_said(tmp_path):
    weights = {f"model.{k}": v for k, v in Tiny(1).state_dict().items()}
    (tmp_path / "a.ckpt").write_bytes(saved({"state_dict": {**weights, "criterion.weight": torch.ones(2)}}))
    assert any("criterion.weight" in n for n in fill(Tiny(0), tmp_path / "a.ckpt"))
    (tmp_path / "b.ckpt").write_bytes(saved({"state_dict": {**weights, "model.extra": torch.ones(2)}}))
    with pytest.raises(ValueError, match="has beyond it extra"):
        fill(Tiny(0), tmp_path / "b.ckpt")


def test_a_misfit_names_keys_and_shapes(tmp_path):
    weights = {f"module.{k}": v for k, v in Tiny(1).state_dict().items()}
    weights["module.fc.weight"] = torch.ones(10, 4)
    del weights["module.body.bias"]
    (tmp_path / "a.pt").write_bytes(saved(weights))
    with pytest.raises(
        ValueError, match=r"lacks body\.bias; differs in the shape of fc\.weight \(10, 4\) for \(2, 4\)"
    ):
        read_weights_for(tmp_path / "a.pt", shapes(Tiny().state_dict()))
    with pytest.raises(ValueError, match=r"none\.pt: cannot be read"):
        read_weights(tmp_path / "none.pt")
