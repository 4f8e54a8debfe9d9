"""The code that a card prints under Use is run, on the files that were exported with it."""

import json
import re
from pathlib import Path

import pytest
import torch

from grokscope import configio
from grokscope.archive import export_archive, import_archive, load_model
from grokscope.dissect.runs import load_network, material
from grokscope.store import Run, open_run
from grokscope.train.driver import train
from tiny import TINY, small_task

IMAGES = {"task": small_task("hospitals"), "budget": {"steps": 2}, "evaluate": {"every": 2}, "checkpoint": {"every": 1}}
KINDS = {
    "small": {"name": "small-resnet", "width": 8, "norm": "group"},
    "timm": {"name": "timm", "architecture": "test_resnet"},
    "timm-group": {"name": "timm", "architecture": "test_resnet", "norm": "group"},
    "timm-layer": {"name": "timm", "architecture": "test_resnet", "norm": "layer"},
    "timm-none": {"name": "timm", "architecture": "test_resnet", "norm": "none"},
    "timm-fixed-size": {"name": "timm", "architecture": "test_vit"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Run]:
    root = tmp_path_factory.mktemp("runs")
    found = {
        kind: open_run(train(configio.load_run({**IMAGES, "model": model, "seed": i}), root).path)
        for i, (kind, model) in enumerate(KINDS.items())
    }
    return {**found, "tokens": open_run(train(configio.load_run({**TINY, "seed": 9}), root).path)}


def blocks(archive: Path) -> list[str]:
    use = (archive / "README.md").read_text().partition("## Use")[2].partition("## Limitations")[0]
    return re.findall(r"```python\n(.*?)```", use, re.DOTALL)


def executed(code: str):
    space: dict = {}
    exec(code, space)
    return space["model"]


def trained(run: Run):
    """(network as a dissection loads it, its inputs)."""
    given = material(run)
    weights = run.path / "checkpoints" / "final.safetensors"
    model, prepare = load_network(run, weights, given.data, given.config)
    return model, prepare(torch.as_tensor(given.sample.x))


@pytest.mark.parametrize("weights", ["pt", "safetensors"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_the_printed_code_builds_the_trained_network(runs, kind, weights, tmp_path, monkeypatch):
    done = export_archive([runs[kind]], tmp_path / "out", weights=weights, formats=())
    monkeypatch.chdir(done.path)
    (code,) = blocks(done.path)
    found, (expected, x) = executed(code), trained(runs[kind])
    assert not found.training
    with torch.inference_mode():
        torch.testing.assert_close(found(x), expected(x), rtol=0, atol=1e-6)
    assert ("import timm" in code) == (kind in ("timm", "timm-group", "timm-layer", "timm-none"))
    assert ("norm_layer=norm" in code) == (kind in ("timm-group", "timm-layer", "timm-none"))


def test_a_mixed_archive_has_a_block_for_each_kind_and_each_is_of_one_run(runs, tmp_path, monkeypatch):
    chosen = [runs[k] for k in ("small", "timm-group", "tokens", "timm")]
    done = export_archive(chosen, tmp_path / "out", formats=())
    monkeypatch.chdir(done.path)
    found = blocks(done.path)
    assert [next(r.id for r in chosen if r.id in code) for code in found] == [r.id for r in chosen]
    for code, run in zip(found, chosen, strict=True):
        expected = torch.load(f"runs/{run.id}/checkpoints/final.pt", weights_only=True)
        assert all(t.equal(expected[k]) for k, t in executed(code).state_dict().items())
    text = (done.path / "README.md").read_text()
    for words in (
        "small-resnet, norm group: 1 run. Inputs: float images (n x 3 x 16 x 16): pixels / 255",
        "timm test_resnet, norm batch: 1 run",
        "embedding-mlp: 1 run.\n",
    ):
        assert words in text


def test_a_run_without_weights_is_no_example(runs, tmp_path, monkeypatch):
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(runs["small"].path, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    done = export_archive([bare, runs["small"]], tmp_path / "out", formats=())
    monkeypatch.chdir(done.path)
    (code,) = blocks(done.path)
    assert runs["small"].id in code
    assert "small-resnet, norm group: 2 runs" in (done.path / "README.md").read_text()
    alone = export_archive([bare], tmp_path / "alone", formats=())
    assert "No weights were exported" in (alone.path / "README.md").read_text()


def test_a_network_of_the_authors_own_loop_is_left_to_the_author(runs, tmp_path, monkeypatch):
    import shutil

    own = tmp_path / "own"
    shutil.copytree(runs["small"].path, own)
    record = json.loads((own / "config.json").read_text())
    record["config"] = {"task": {"name": "own"}, "regime": {"name": "mine"}, "model": {}, "seed": 0}
    (own / "config.json").write_text(json.dumps(record))
    done = export_archive([own], tmp_path / "out", formats=())
    monkeypatch.chdir(done.path)
    (code,) = blocks(done.path)
    space: dict = {}
    exec(code, space)
    assert space["weights"].keys() == torch.load("runs/own/checkpoints/final.pt", weights_only=True).keys()
    assert "model" not in space


def test_a_model_is_loaded_from_run_folders_and_imports_too(runs, tmp_path):
    done = export_archive([runs["small"]], tmp_path / "out", formats=())
    imported = import_archive(done.path, tmp_path / "back")[0]
    expected, x = trained(runs["small"])
    for folder in (done.path / "runs" / runs["small"].id, runs["small"].path, imported.path):
        with torch.inference_mode():
            torch.testing.assert_close(load_model(folder)(x), expected(x), rtol=0, atol=1e-6)
    early = load_model(runs["small"].path, "st00000001").state_dict()
    assert not all(t.equal(expected.state_dict()[k]) for k, t in early.items())


def test_models_that_are_not_there_are_named(runs, tmp_path):
    with pytest.raises(ValueError, match="no checkpoint 'ep00200'; known: final, st00000001"):
        load_model(runs["small"].path, "ep00200")
    with pytest.raises(ValueError, match=r"config\.json"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"seed": 1}))
    with pytest.raises(ValueError, match="not the config of a grokscope run; bring it in with"):
        load_model(tmp_path)
