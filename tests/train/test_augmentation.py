"""Augmentation: labels stay right, evaluation sees nothing, strength zero is nothing, and a run resumes exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from grokscope.config import Regime
from grokscope.tasks.hospitals import Hospitals, stain
from grokscope.train.augment import Augmentation
from grokscope.train.driver import Interrupted, make_engine, train
from tiny import fitting, tiny

IMAGES = torch.as_tensor(Hospitals(n_train=12, n_eval=8, image_size=16).build(0).splits["train"].x)
ALL = {"regime.augment_flip": True, "regime.augment_crop": 2, "regime.augment_stain": 0.2}


def augmented(x=IMAGES, seed=0, **regime):
    return Augmentation(Regime(**regime), x, "hospitals", seed)


def test_nothing_asked_for_is_the_very_same_tensor():
    assert augmented()(IMAGES) is IMAGES


@pytest.mark.parametrize("regime", [{"augment_flip": True}, {"augment_crop": 3}, {"augment_stain": 0.3}])
def test_each_changes_images_differently_every_time_and_is_the_seeds(regime):
    one, again = augmented(**regime), augmented(**regime)
    first, second = one(IMAGES), one(IMAGES)
    assert first.dtype == torch.uint8
    assert not torch.equal(first, IMAGES)
    assert not torch.equal(first, second)
    assert torch.equal(again(IMAGES), first)
    assert not torch.equal(augmented(seed=1, **regime)(IMAGES), first)


def test_flips_are_the_eight_symmetries_each_alike_often():
    image = torch.arange(9, dtype=torch.uint8).view(1, 1, 3, 3).expand(4000, 3, 3, 3)
    out = augmented(image, augment_flip=True)(image)
    kinds, counts = np.unique(out[:, 0].reshape(4000, 9).numpy(), axis=0, return_counts=True)
    wanted = {np.rot90(m, k).tobytes() for m in (image[0, 0].numpy(), image[0, 0].numpy().T) for k in range(4)}
    assert {k.reshape(3, 3).tobytes() for k in kinds} == wanted
    assert abs(counts / 4000 - 1 / 8).max() < 0.02


def test_oblong_images_are_not_turned():
    x = torch.zeros(5, 3, 4, 6, dtype=torch.uint8)
    assert augmented(x, augment_flip=True)(x).shape == x.shape


def test_a_crop_shifts_and_reflects():
    x = torch.arange(6, dtype=torch.uint8).view(1, 1, 1, 6).expand(2000, 3, 6, 6)
    out = augmented(x, augment_crop=2)(x)
    rows = {tuple(r) for r in out[:, 0, 0].tolist()}
    assert rows == {(2, 1, 0, 1, 2, 3), (1, 0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 4), (2, 3, 4, 5, 4, 3)}


def test_stain_jitter_moves_the_stains_and_leaves_the_nuclei_where_they_are():
    out = augmented(augment_stain=0.3)(IMAGES)
    shift = (out.float().mean((2, 3)) - IMAGES.float().mean((2, 3))).abs().mean()
    assert shift > 3  # gray values
    for before, after in zip(IMAGES.float().mean(1).flatten(1), out.float().mean(1).flatten(1), strict=True):
        assert torch.corrcoef(torch.stack([before, after]))[0, 1] > 0.9


def test_stain_jitter_by_hand():
    """Of pure hematoxylin only the amount changes: its direction in optical density stays."""
    h = np.array(stain.HEMATOXYLIN) / np.linalg.norm(stain.HEMATOXYLIN)
    pixel = torch.tensor(stain.WHITE * 10 ** (-0.5 * h)).round().to(torch.uint8).view(1, 3, 1, 1)
    change = augmented(pixel, augment_stain=0.5)
    density = -np.log10(np.maximum(change(pixel.expand(300, 3, 4, 4))[:, :, 0, 0].numpy(), 1) / stain.WHITE)
    amount = density @ h
    assert amount.min() < 0.35
    assert amount.max() > 0.65
    assert amount.min() > 0.2
    assert amount.max() < 0.82


def test_what_has_no_images_refuses_by_key():
    for key, value in {"augment_flip": True, "augment_crop": 1, "augment_stain": 0.1}.items():
        with pytest.raises(ValueError, match=rf"\$.regime.{key}: needs .*images; task 'modular' has none"):
            make_engine(config := tiny({f"regime.{key}": value}), config.task.build(0))
    with pytest.raises(ValueError, match="augment_stain must lie in"):
        Regime(augment_stain=1.5)
    with pytest.raises(ValueError, match="images larger than the shift"):
        augmented(augment_crop=16)


def hospital_run(**more):
    return tiny({**fitting("task", "hospitals"), **ALL, **more})


def test_a_resumed_run_is_bit_identical_and_evaluation_sees_the_images_as_they_are(tmp_path):
    config = hospital_run()
    whole = train(config, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(config, tmp_path / "parts", interrupt_at=23)
    parts = train(config, tmp_path / "parts")
    assert parts.rows() == whole.rows()
    plain = train(tiny(fitting("task", "hospitals")), tmp_path / "plain")
    assert plain.rows()[0] == whole.rows()[0] | {k: v for k, v in plain.rows()[0].items() if k not in whole.rows()[0]}
    assert plain.rows()[-1] != whole.rows()[-1]


def test_augmentation_is_part_of_a_runs_identity():
    config = hospital_run()
    assert config.run_id() != replace(config, regime=replace(config.regime, augment_crop=0)).run_id()
