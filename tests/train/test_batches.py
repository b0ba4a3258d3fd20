"""What a model is trained on, batch by batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from edgeser_train.training.batches import CropDataset, UtteranceDataset
from edgeser_train.training.recipe import changed
from tests.train.synthetic import TINY_RECIPE, training_data_of


def test_epochs_cover_the_part_and_only_it(emodb: Path, cache: Path) -> None:
    data = training_data_of(emodb, cache)
    chosen = tuple(range(0, 339, 3))
    crops = CropDataset(data, chosen, seed=3)
    batches = list(crops)
    assert len(batches) == len(crops)
    wanted = np.bincount([data.corpus.targets[i] for i in chosen], minlength=4)
    assert sum(batch.targets.sum(0) for batch in batches).tolist() == wanted.tolist()
    for batch in batches:
        assert batch.features.shape[1] in TINY_RECIPE.crop_frames
        assert (batch.frames == batch.features.shape[1]).all()
    mixed = training_data_of(emodb, cache, changed(TINY_RECIPE, ["spectrogram.mixup=0.4"]))
    for batch in CropDataset(mixed, chosen, seed=3):
        torch.testing.assert_close(batch.targets.sum(dim=1), torch.ones(len(batch.targets)))


def test_a_teacher_s_answers_are_mixed_as_the_labels_are(emodb: Path, cache: Path) -> None:
    plain = training_data_of(emodb, cache, changed(TINY_RECIPE, ["spectrogram.mixup=0.4"]))
    rows = np.log(np.full((339, 4), 0.1, np.float32) + 0.6 * np.eye(4)[list(plain.corpus.targets)])
    taught = replace(plain, teacher=rows.astype(np.float32))
    (alone,), (batch,) = (CropDataset(data, (1, 90, 300), 3) for data in (plain, taught))
    assert alone.teacher is None
    assert batch.teacher is not None
    assert torch.equal(alone.features, batch.features)
    assert torch.equal(alone.targets, batch.targets)
    assert not set(batch.targets.flatten().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(batch.teacher.exp(), 0.1 + 0.6 * batch.targets)


def test_without_crops_a_batch_holds_what_the_window_policy_cuts(emodb: Path, cache: Path) -> None:
    window = ["window.cut=segments", "window.frames=20", "window.hop_frames=5"]
    plain = ["crop_frames=[]", "spectrogram=null", "window.pad_frames=16", *window]
    data = training_data_of(emodb, cache, changed(TINY_RECIPE, plain))
    for batch in CropDataset(data, tuple(range(40)), seed=3):
        assert batch.features.shape[1] == 32
        assert (batch.frames == 20).all()
    features, frames, target = UtteranceDataset(data, (7, 8))[1]
    assert features.shape == (3, 32, 128)  # 30 frames: two pieces, and one that ends with them
    assert frames.tolist() == [20, 20, 20]
    assert target == data.corpus.targets[8]
