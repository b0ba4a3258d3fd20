"""Training batches: random pieces of random copies, all of one length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from edgeser.features.front_end import Floats
from edgeser_train.augment import mask, warp
from edgeser_train.frames import CorpusFrames
from edgeser_train.recipe import Recipe

Batch: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Features (batch, frames, mels), frames (batch,), soft targets (batch, labels)."""


class Pieces(IterableDataset[Batch]):
    """An endless supply of epochs; every one shuffles and augments anew from (seed, epoch)."""

    def __init__(
        self,
        frames: CorpusFrames,
        utterances: tuple[int, ...],
        targets: tuple[int, ...],
        labels: int,
        recipe: Recipe,
        seed: int,
    ) -> None:
        self.frames = frames
        self.utterances = np.array(utterances)
        self.targets = np.array(targets)
        self.labels = labels
        self.recipe = recipe
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        """Batches in an epoch; a last one of less than half is left out."""
        return max(1, round(len(self.utterances) / self.recipe.batch))

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng((self.seed, self.epoch))
        self.epoch += 1
        for chosen in np.array_split(rng.permutation(self.utterances), len(self)):
            yield self._batch(chosen, rng)

    def _batch(self, chosen: np.ndarray, rng: np.random.Generator) -> Batch:
        recipe = self.recipe
        length = int(rng.choice(recipe.crop_frames))
        mels = recipe.front_end.mels
        features: Floats = np.empty((len(chosen), length, mels), np.float32)
        for row, utterance in enumerate(chosen):
            copy = int(rng.integers(self.frames.copies))
            piece = warp(self.frames.of(utterance, copy), length, recipe.spectrogram, rng)
            features[row] = recipe.front_end.normalised(piece)
            mask(features[row], recipe.spectrogram, rng)
        soft = np.eye(self.labels, dtype=np.float32)[self.targets[chosen]]
        if recipe.spectrogram.mixup > 0:
            share = rng.beta(recipe.spectrogram.mixup, recipe.spectrogram.mixup, len(chosen))
            share = np.maximum(share, 1 - share).astype(np.float32)
            other = rng.permutation(len(chosen))
            kept = share[:, None, None]
            features = np.asarray(kept * features + (1 - kept) * features[other], np.float32)
            soft = share[:, None] * soft + (1 - share[:, None]) * soft[other]
        frames = torch.full((len(chosen),), length, dtype=torch.int64)
        return torch.from_numpy(features), frames, torch.from_numpy(soft)


class PieceModule(L.LightningDataModule):
    """The training part as Lightning wants it."""

    def __init__(self, pieces: Pieces) -> None:
        super().__init__()
        self.pieces = pieces

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(self.pieces, batch_size=None)
