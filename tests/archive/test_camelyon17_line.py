"""The whole line on PNG files in the Camelyon17 layout: train, stop, resume, export, import, evaluate again."""

import pytest
import torch

from grokscope import configio
from grokscope.archive.exporting import export_archive
from grokscope.archive.importing import import_archive
from grokscope.dissect.runs import load_network, material
from grokscope.tasks.camelyon17.files import VARIABLE
from grokscope.tasks.hospitals import Hospitals
from grokscope.tasks.hospitals.files import write_camelyon17
from grokscope.train.driver import Interrupted, train
from tiny import same_folder_content


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("camelyon17")
    write_camelyon17(folder, Hospitals(n_train=60, n_eval=24, image_size=96, patients=10, slides=10), seed=0)
    task = {"name": "camelyon17", "root": str(folder), "n_train": 24, "n_eval": 12, "image_size": 32}
    return configio.load_run(
        {
            "task": {**task, "cache_dir": str(folder / "cache")},
            "model": {"name": "small-resnet", "width": 4},
            "regime": {"recipe": "grokking-favorable", "batch_size": 8},
            "budget": {"epochs": 4},
            "evaluate": {"at": [1], "every": 50, "unit": "epochs"},
            "diagnose": {"at": [1], "unit": "epochs"},
            "checkpoint": {"every": 2, "unit": "epochs"},
        }
    )


def test_trained_resumed_exported_and_imported_it_is_the_same(config, tmp_path, monkeypatch):
    whole = train(config, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(config, tmp_path / "parts", interrupt_at=7)
    run = train(config, tmp_path / "parts")
    same_folder_content(whole.path, run.path)

    export_archive([run], tmp_path / "archive", formats=(), license="cc-by-4.0")
    texts = [p.read_text() for p in (tmp_path / "archive").rglob("*") if p.suffix in (".json", ".jsonl", ".md", ".log")]
    assert texts
    assert not [text for text in texts if config.task.root in text or str(tmp_path) in text]
    monkeypatch.setenv(VARIABLE, config.task.root)  # an archive does not say where its data lay
    (back,) = import_archive(tmp_path / "archive", tmp_path / "back").runs
    assert back.rows() == run.rows()
    assert list(back.checkpoints()) == list(run.checkpoints())
    logits = []
    for which in (run, back):
        given = material(which)
        weights = which.path / "checkpoints" / "final.safetensors"
        model, prepare = load_network(which, weights, given.data, given.config)
        with torch.inference_mode():
            logits.append(model(prepare(torch.as_tensor(given.sample.x))))
    assert torch.equal(*logits)
    right = int((logits[1].argmax(1).numpy() == given.sample.y).sum())
    assert right == back.rows()[-1]["id_val_correct"]
    assert {row.startswith("ood_test_env2") for row in back.rows()[-1] if row.startswith("ood_test_env")} == {True}
